"""Where slices are read from: the field itself, or a coarse copy of it that is fast enough for a camera that moves."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from torch import Tensor

    from recon.render.rays import Part, Rays
    from recon.result import Box

MOST_NODES = 2**20
MOST_NODES_ACROSS = 160
"""Size of the coarse copy: 4 MB, which a processor keeps near while it passes through."""
LEAST_SLICES = 48


@dataclass(frozen=True)
class Itself:
    """The field, evaluated at every point that is asked for."""

    box: Box

    def slices(self, rays: Rays) -> int:
        """How many slices show all that is in the box: one for each layer of its grid."""
        extent, whole = rays.span_um[1] - rays.span_um[0], self.box.bounds[1] - self.box.bounds[0]
        pitch_um = whole[rays.axis] / self.box.shape_zyx[2 - rays.axis]
        return max(LEAST_SLICES, math.ceil(extent / pitch_um)) + 1

    def read(self, rays: Rays, s_um: float, part: Part) -> Tensor:
        """dn where the rays of a part meet a slice, (rows, columns)."""
        axes_um = [np.array([rays.depth_um(s_um)])] * 3
        axes_um[rays.row], axes_um[rays.column] = rays.on_slice(s_um, part)
        lower, upper = self.box.bounds[:, rays.axis]
        axes_um[rays.axis] = np.clip(axes_um[rays.axis], lower, upper)  # not outside by rounding
        return self.box.dn_on_axes(axes_um).squeeze(2 - rays.axis)


@dataclass(frozen=True, eq=False)
class Preview:
    """dn on nodes from face to face of the box, (Z, Y, X), read linearly in between."""

    box: Box
    dn_zyx: Tensor
    _across: dict[int, Tensor] = field(default_factory=dict)

    @property
    def spacing_um(self) -> tuple[float, float, float]:
        """Distance of nodes along x, y and z."""
        extent = self.box.bounds[1] - self.box.bounds[0]
        x, y, z = (float(extent[k]) / (self.dn_zyx.shape[2 - k] - 1) for k in range(3))
        return x, y, z

    def slices(self, rays: Rays) -> int:
        """As many as there are nodes."""
        extent = rays.span_um[1] - rays.span_um[0]
        return max(2, round(extent / self.spacing_um[rays.axis]) + 1)

    def read(self, rays: Rays, s_um: float, part: Part) -> Tensor:
        """dn where the rays of a part meet a slice, (rows, columns)."""
        across = self._across.get(rays.axis)
        if across is None:  # slices lie in memory one after the other, whichever way they are passed
            across = self._across[rays.axis] = self.dn_zyx.movedim(2 - rays.axis, 0).contiguous()
        (plane,), (share,) = self._nodes(rays.axis, np.array([rays.depth_um(s_um)]))
        dn = across[plane]
        if share > 1e-3:
            dn = torch.lerp(dn, across[plane + 1], float(share))
        for k, (axis, at_um) in enumerate(zip((rays.row, rays.column), rays.on_slice(s_um, part), strict=True)):
            nodes, shares = (torch.as_tensor(v, device=dn.device) for v in self._nodes(axis, at_um))
            low, high = dn.index_select(k, nodes), dn.index_select(k, nodes + 1)
            dn = torch.lerp(low, high, shares[:, None] if k == 0 else shares[None, :])
        return dn

    def _nodes(self, axis: int, at_um: np.ndarray[tuple[int], np.dtype[np.float64]]) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
        place = (at_um - self.box.bounds[0, axis]) / self.spacing_um[axis]
        node = np.clip(np.floor(place), 0, self.dn_zyx.shape[2 - axis] - 2)
        return node.astype(np.int64), np.clip(place - node, 0.0, 1.0).astype(np.float32)


def copy_coarsely(box: Box, pulse: Callable[[], None]) -> Preview:
    """Evaluate a box on nodes: no finer than its own grid, and no more than can be painted many times a second."""
    extent = box.bounds[1] - box.bounds[0]
    own = np.array(box.shape_zyx[::-1], np.float64)
    spacing = max(float(np.prod(extent) / MOST_NODES) ** (1 / 3), float(extent.max()) / MOST_NODES_ACROSS)
    while True:
        counts = np.maximum(np.minimum(np.ceil(extent / spacing), own).astype(int), 2) + 1
        if counts.prod() <= MOST_NODES:
            break
        spacing *= 1.02
    axes_um = [np.linspace(low, high, count) for low, high, count in zip(*box.bounds, counts, strict=True)]
    layers = []
    for z_um in np.array_split(axes_um[2], max(1, len(axes_um[2]) // 4)):
        pulse()
        layers.append(box.dn_on_axes([axes_um[0], axes_um[1], z_um]))
    return Preview(box, torch.cat(layers))


@dataclass
class Previews:
    """Keeps the coarse copy of the field that is looked at, as long as the field stays as it is."""

    _state: Hashable = None
    _kept: Preview | None = None

    def of(self, box: Box, state: Hashable, pulse: Callable[[], None]) -> Preview:
        """Return the copy of a box; `state` changes whenever the field has."""
        if self._kept is None or state != self._state:
            self._kept, self._state = copy_coarsely(box, pulse), state
        return self._kept
