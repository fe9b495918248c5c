"""Where slices are read from: the field itself, or a coarse copy of it that is fast enough for a camera that moves."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from recon.box import Box
    from recon.render.rays import Part, Rays

MOST_NODES = 5 * 2**17
MOST_NODES_ACROSS = 136
"""Size of the coarse copy: under 3 MB, which a processor keeps near while it passes through."""
NODES_PER_LAYER = 2
"""Nodes for each layer of the field's grid at most: straight lines between fewer would show."""
LEAST_SLICES = 48
PIXELS_PER_SLICE = 1.5
NEAR_NODE = 1e-6
SERVES_TIMES = 10.0
"""A camera that moves passes through a copy for so many times what it took to make."""


class Source(Protocol):
    """Gives dn of a box."""

    @property
    def slices_at_once(self) -> int:
        """Slices that are read together."""
        ...

    @property
    def box(self) -> Box:
        """The box it gives."""
        ...

    def slices(self, rays: Rays) -> int:
        """How many slices show all that it has."""
        ...

    def read(self, rays: Rays, s_um: Sequence[float], part: Part) -> Tensor:
        """dn where the rays of a part meet slices, (slices, rows, columns)."""
        ...

    def values(self, points_um: Tensor) -> Tensor:
        """dn at points, (N,); at the nearest place of the box for those outside it."""
        ...

    def slopes(self, points_um: Tensor) -> Tensor:
        """Gradient of dn at points, along x, y, z, (N, 3), smoothed over what it can tell apart."""
        ...


def _slopes(source: Source, points_um: Tensor, reach_um: Sequence[float]) -> Tensor:
    """Gradient from the corners of a tetrahedron around each point that reaches so far along x, y, z."""
    corners = torch.tensor([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], device=points_um.device)
    reach = torch.tensor(reach_um, device=points_um.device)
    found = [source.values(points_um + corner * reach)[:, None] * (corner / reach) for corner in corners]
    return 0.25 * torch.stack(found).sum(dim=0).to(torch.float32)


@dataclass(frozen=True)
class Itself:
    """The field, evaluated at every point that is asked for."""

    box: Box
    slices_at_once: int = 12

    def slices(self, rays: Rays) -> int:
        """See `Source.slices`: one for each layer of the grid that the screen can tell apart."""
        extent, whole = rays.span_um[1] - rays.span_um[0], self.box.bounds[1] - self.box.bounds[0]
        pitch_um = whole[rays.axis] / self.box.shape_zyx[2 - rays.axis]
        finest_um = max(float(pitch_um), PIXELS_PER_SLICE * rays.camera.um_per_px)
        return max(LEAST_SLICES, math.ceil(extent / finest_um)) + 1

    def read(self, rays: Rays, s_um: Sequence[float], part: Part) -> Tensor:
        """See `Source.read`."""
        return torch.stack([self._slice(rays, place_um, part) for place_um in s_um])

    def values(self, points_um: Tensor) -> Tensor:
        """See `Source.values`."""
        inside = np.clip(points_um.cpu().numpy(), *self.box.bounds)
        dn = np.ascontiguousarray(self.box.at_points(inside).real)
        return torch.as_tensor(dn, device=points_um.device)

    def slopes(self, points_um: Tensor) -> Tensor:
        """See `Source.slopes`."""
        extent = self.box.bounds[1] - self.box.bounds[0]
        return _slopes(self, points_um, [0.5 * extent[k] / self.box.shape_zyx[2 - k] for k in range(3)])

    def _slice(self, rays: Rays, s_um: float, part: Part) -> Tensor:
        axes_um = [np.array([rays.depth_um(s_um)])] * 3
        rows, columns = rays.on_slices(np.array([s_um]), part)
        axes_um[rays.row], axes_um[rays.column] = rows[0], columns[0]
        lower, upper = self.box.bounds[:, rays.axis]
        axes_um[rays.axis] = np.clip(axes_um[rays.axis], lower, upper)  # not outside by rounding
        return self.box.dn_on_axes(axes_um).squeeze(2 - rays.axis)


@dataclass(frozen=True, eq=False)
class Preview:
    """dn on nodes from face to face of the box, (Z, Y, X), read linearly in between."""

    box: Box
    dn_zyx: Tensor
    slices_at_once: int = 24
    across: dict[int, Tensor] = field(default_factory=dict)

    @cached_property
    def bounds_um(self) -> NDArray[np.float64]:
        """Lower and upper corner of the box, x y z, (2, 3)."""
        return self.box.bounds

    @cached_property
    def spacing_um(self) -> tuple[float, float, float]:
        """Distance of nodes along x, y and z."""
        extent = self.bounds_um[1] - self.bounds_um[0]
        x, y, z = (float(extent[k]) / (self.dn_zyx.shape[2 - k] - 1) for k in range(3))
        return x, y, z

    def slices(self, rays: Rays) -> int:
        """See `Source.slices`: as many as there are nodes."""
        extent = rays.span_um[1] - rays.span_um[0]
        return max(2, round(extent / self.spacing_um[rays.axis]) + 1)

    def read(self, rays: Rays, s_um: Sequence[float], part: Part) -> Tensor:
        """See `Source.read`."""
        across = self.across.get(rays.axis)
        if across is None:  # slices lie in memory one after the other, whichever way they are passed
            across = self.across[rays.axis] = self.dn_zyx.movedim(2 - rays.axis, 0).contiguous()
        planes, shares = self._nodes(rays.axis, rays.camera.centre_um[rays.axis] + rays.sign * np.array(s_um))
        if shares.max() > NEAR_NODE:
            share = torch.as_tensor(shares, device=across.device)[:, None, None]
            dn = torch.lerp(across[planes], across[planes + 1], share)
        else:
            dn = across[planes]
        for axis, at_um in zip((rays.row, rays.column), rays.on_slices(np.array(s_um), part), strict=True):
            dn = self._along_rows(dn, axis, at_um).transpose(1, 2)
        return dn.contiguous()

    def values(self, points_um: Tensor) -> Tensor:
        """See `Source.values`."""
        lower, upper = (torch.as_tensor(corner, device=points_um.device) for corner in self.bounds_um)
        where = (2.0 * (points_um - lower) / (upper - lower) - 1.0).to(torch.float32)[None, None, None]
        volume = self.dn_zyx[None, None]
        return torch.nn.functional.grid_sample(volume, where, padding_mode="border", align_corners=True).reshape(-1)

    def slopes(self, points_um: Tensor) -> Tensor:
        """See `Source.slopes`."""
        return _slopes(self, points_um, self.spacing_um)

    def _along_rows(self, dn: Tensor, axis: int, at_um: NDArray[np.float64]) -> Tensor:
        """Slices (K, nodes, other) read at places (K, N) of each: (K, N, other)."""
        nodes, shares = self._nodes(axis, at_um)
        count, other = dn.shape[1:]
        first = torch.as_tensor((nodes + count * np.arange(len(dn))[:, None]).reshape(-1), device=dn.device)
        share = torch.as_tensor(shares, device=dn.device)[:, :, None]
        lines = dn.reshape(-1, other)
        low, high = (lines.index_select(0, line).view(len(dn), -1, other) for line in (first, first + 1))
        return torch.lerp(low, high, share)

    def _nodes(self, axis: int, at_um: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        place = (at_um - self.bounds_um[0, axis]) / self.spacing_um[axis]
        node = np.clip(np.floor(place + NEAR_NODE), 0, self.dn_zyx.shape[2 - axis] - 2)
        return node.astype(np.int64), np.clip(place - node, 0.0, 1.0).astype(np.float32)


def copy_coarsely(box: Box, pulse: Callable[[], None]) -> Preview:
    """Evaluate a box on nodes: no finer than its own grid, and no more than can be painted many times a second."""
    extent = box.bounds[1] - box.bounds[0]
    own = np.array(box.shape_zyx[::-1], np.float64)
    spacing = max(float(np.prod(extent) / MOST_NODES) ** (1 / 3), float(extent.max()) / MOST_NODES_ACROSS)
    while True:
        counts = np.maximum(np.minimum(np.ceil(extent / spacing), NODES_PER_LAYER * own).astype(int), 2) + 1
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
    """Keeps the coarse copy of the field that is looked at, as long as the field stays as it is.

    Of a field that is being fitted each copy would serve one picture and take longer than that. So a camera that moves
    gets one that is a little old.
    """

    _state: Hashable = None
    _kept: Preview | None = None
    _renewed_s: float = 0.0
    _serves_s: float = 0.0

    def of(self, box: Box, state: Hashable, pulse: Callable[[], None], moving: bool = False) -> Preview:
        """Return the copy of a box; `state` changes whenever the field has."""
        start_s = time.monotonic()
        old = state != self._state and not (moving and start_s < self._renewed_s + self._serves_s)
        if self._kept is None or old:
            self._kept, self._state = copy_coarsely(box, pulse), state
            self._renewed_s = time.monotonic()
            self._serves_s = SERVES_TIMES * (self._renewed_s - start_s)
        return self._kept
