"""The channels of a volume, plane by plane, so that a large one needs little memory."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import TYPE_CHECKING

import numpy as np

from acquisition.errors import OperatorError
from gui.export.sampling import Sampling

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from recon.box import Box

INDEX, KAPPA, UNCERTAINTY = "refractive index", "kappa (absorption)", "uncertainty of the index"

LEAST_ABSORPTION = 0.01
"""Largest kappa, over the largest difference of n from the medium, up to which a sample counts as clear."""
GLANCE = 96
"""Samples along each axis, at most, that tell whether it is clear."""
POINTS_AT_ONCE = 4 * 10**6


@dataclass(frozen=True, eq=False)
class Channels:
    """A field on voxels: `names` of its channels, of which the first is the real part of n."""

    field: Box
    sampling: Sampling
    names: tuple[str, ...]
    _ends: list[float] = dataclass_field(default_factory=lambda: [np.inf, -np.inf])

    @property
    def index_range(self) -> tuple[float, float]:
        """Smallest and largest real part of n on the planes that have been sampled."""
        return self._ends[0], self._ends[1]

    @property
    def absorbs(self) -> bool:
        """Whether there is a channel of kappa."""
        return KAPPA in self.names

    def planes(self) -> Iterator[NDArray[np.float32]]:
        """Each plane of all channels, (C, Y, X), from the lowest z on."""
        for k in range(self.sampling.shape_zyx[0]):
            index_yx = self._index(k)
            layers = [index_yx.real]
            if KAPPA in self.names:
                layers.append(index_yx.imag)
            if UNCERTAINTY in self.names:
                layers.append(self.uncertainty(k))
            yield np.stack(layers).astype(np.float32, copy=False)

    def index_planes(self) -> Iterator[NDArray[np.complex64]]:
        """Each plane of n + i kappa, (Y, X)."""
        return (self._index(k) for k in range(self.sampling.shape_zyx[0]))

    def uncertainty(self, k: int) -> NDArray[np.float32]:
        """Standard deviation of n on plane `k`, (Y, X)."""
        x_um, y_um, z_um = self.sampling.axes_um
        points_um = np.stack(np.broadcast_arrays(x_um[None, :], y_um[:, None], z_um[k]), axis=-1)
        return self.field.uncertainty(points_um)

    def _index(self, k: int) -> NDArray[np.complex64]:
        x_um, y_um, z_um = self.sampling.axes_um
        plane_yx = np.empty((len(y_um), len(x_um)), np.complex64)
        rows = max(1, POINTS_AT_ONCE // len(x_um))
        for first in range(0, len(y_um), rows):
            part = slice(first, first + rows)
            plane_yx[part] = self.field.on_axes([x_um, y_um[part], z_um[k : k + 1]])[0]
        plane_yx += np.complex64(self.field.medium_index)
        self._ends[0] = min(self._ends[0], float(plane_yx.real.min()))
        self._ends[1] = max(self._ends[1], float(plane_yx.real.max()))
        return plane_yx


def channels_of(field: Box, sampling: Sampling, uncertainty: bool) -> Channels:
    """Choose the channels: kappa is one where it exceeds 1 % of the largest difference of n from the medium.

    Raises
    ------
    OperatorError
        The field has no uncertainty and it was asked for.
    """
    names = [INDEX]
    if _absorbs(field, sampling):
        names.append(KAPPA)
    if uncertainty:
        if field.figures is None:
            raise OperatorError(
                "The field has no uncertainty: it was saved before its fit had ended.",
                "Leave the uncertainty out, or reconstruct it to the end.",
            )
        names.append(UNCERTAINTY)
    return Channels(field, sampling, tuple(names))


def _absorbs(field: Box, sampling: Sampling) -> bool:
    shape = tuple(min(GLANCE, count) for count in sampling.shape_zyx)
    glance = Channels(field, Sampling(sampling.bounds_um, shape), (INDEX,))  # type: ignore[arg-type]  # three of them
    largest_dn = largest_kappa = 0.0
    for index_yx in glance.index_planes():
        largest_dn = max(largest_dn, float(np.abs(index_yx.real - field.medium_index).max()))
        largest_kappa = max(largest_kappa, float(np.abs(index_yx.imag).max()))
    return largest_kappa > LEAST_ABSORPTION * largest_dn
