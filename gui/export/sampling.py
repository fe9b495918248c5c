"""On which voxels a box is sampled, and how large the file becomes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from acquisition.errors import OperatorError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gui.export.job import Region

MAX_PLANE = 2 * 10**8
"""Voxels of a plane, which is held in memory: 0.8 GB for each channel."""


@dataclass(frozen=True, eq=False)
class Sampling:
    """Voxels that fill a part of the box: `bounds_um` (2, 3) is its lower and upper corner, x y z."""

    bounds_um: NDArray[np.float64]
    shape_zyx: tuple[int, int, int]

    @property
    def voxel_xyz_um(self) -> NDArray[np.float64]:
        """Size of a voxel, x y z."""
        size: NDArray[np.float64] = (self.bounds_um[1] - self.bounds_um[0]) / self.shape_zyx[::-1]
        return size

    @property
    def axes_um(self) -> list[NDArray[np.float64]]:
        """Centres of the voxels along x, y and z."""
        return [
            low + (np.arange(count) + 0.5) * size
            for low, count, size in zip(self.bounds_um[0], self.shape_zyx[::-1], self.voxel_xyz_um, strict=True)
        ]

    @property
    def voxels(self) -> int:
        """Number of voxels."""
        z, y, x = self.shape_zyx
        return z * y * x

    def size_bytes(self, channels: int) -> int:
        """Size of that many channels of single precision."""
        return 4 * channels * self.voxels


def sample_region(bounds_um: NDArray[np.float64], native_zyx: tuple[int, int, int], region: Region) -> Sampling:
    """Lay voxels over a region.

    Parameters
    ----------
    bounds_um, native_zyx
        The whole box, (2, 3), and the grid it was reconstructed on.

    Raises
    ------
    OperatorError
        The region lies outside the box or is empty, or a plane of it would not fit into memory.
    """
    native_um = (bounds_um[1] - bounds_um[0]) / native_zyx[::-1]
    part = np.array(bounds_um, np.float64)
    if region.box_um is not None:
        part = np.array([np.maximum(bounds_um[0], region.box_um[0]), np.minimum(bounds_um[1], region.box_um[1])])
        if np.any(part[1] <= part[0]):
            whole = ", ".join(
                f"{axis} {low:.4g} to {high:.4g}" for axis, low, high in zip("xyz", *bounds_um, strict=True)
            )
            raise OperatorError(
                "The region has nothing of the box in it.", f"The box goes, in um, from {whole}; smaller number first."
            )
    if region.shape_zyx is not None:
        shape = region.shape_zyx
    else:
        size_zyx = native_um[::-1] if region.voxel_zyx_um is None else np.array(region.voxel_zyx_um)
        sides_zyx = (part[1] - part[0])[::-1]
        z, y, x = (max(1, round(float(length / size))) for length, size in zip(sides_zyx, size_zyx, strict=True))
        shape = (z, y, x)
    if shape[1] * shape[2] > MAX_PLANE:
        raise OperatorError(
            f"A plane of {shape[1]} x {shape[2]} voxels does not fit into memory; {MAX_PLANE:.0e} is the limit.",
            "Choose larger voxels with --voxel-um, fewer with --shape, or a part of the box with --box.",
        )
    return Sampling(part, shape)
