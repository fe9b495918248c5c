"""What rays gather on their way from slice to slice, one class for each kind of picture."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch

from recon.render.shading import Medium, dimmed, face_colour, light

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from recon.render.rays import Part, Rays
    from recon.scene import Scene

CLOUDED = 5.5
"""A ray whose light has been dimmed by e to this power ends."""
EDGE = 0.05
"""Slope of dn, in brightest colours per layer of the opacity, from which clouds look lit."""


@dataclass(frozen=True, eq=False)
class Slab:
    """The way of rays through some slices that follow each other.

    Attributes
    ----------
    part
        Rays that pass the box here; never those at the edge of the lattice.
    s_um
        Place of each slice, (K + 1,), evenly spaced.
    dn
        dn of `part` and its neighbours on the slices, (K + 1, rows + 2, columns + 2).
    length_um
        Way of each ray, within what is shown of the box, between slices, (K, rows, columns).
    """

    part: Part
    s_um: Tensor
    dn: Tensor
    length_um: Tensor

    @property
    def inner(self) -> Tensor:
        """dn of `part` alone, (K + 1, rows, columns)."""
        return self.dn[:, 1:-1, 1:-1]

    @property
    def way_um(self) -> float:
        """Distance of slices."""
        return float(self.s_um[1] - self.s_um[0])


class Projection(Protocol):
    """Gathers along rays, from the viewer on."""

    def add(self, slab: Slab) -> None:
        """Take the next slab; called once for each, in order."""
        ...

    def pending(self) -> Tensor | None:
        """Rays on which more can be gathered, (rows, columns) bool; None: all of them."""
        ...

    def gathered(self) -> Tensor:
        """What there is in the end, (channels, rows, columns): one of values, or colours and opacity."""
        ...


class Extreme:
    """Largest or smallest dn; 0 where a ray meets nothing."""

    def __init__(self, rays: Rays, largest: bool, device: torch.device) -> None:
        self._largest = largest
        self._nothing = -torch.inf if largest else torch.inf
        self._value = torch.full(rays.shape, self._nothing, device=device)

    def add(self, slab: Slab) -> None:
        """See `Projection.add`."""
        choose = torch.maximum if self._largest else torch.minimum
        outside = slab.length_um <= 0.0
        part = self._value[slab.part]
        for values in (slab.inner[:-1], slab.inner[1:]):  # both ends of each way
            shown = values.masked_fill(outside, self._nothing)
            choose(part, shown.amax(dim=0) if self._largest else shown.amin(dim=0), out=part)

    def pending(self) -> None:
        """See `Projection.pending`."""
        return

    def gathered(self) -> Tensor:
        """See `Projection.gathered`."""
        return self._value.masked_fill(self._value == self._nothing, 0.0)[None]


class Phase:
    """Delay of light that passes straight along the rays, in radians."""

    def __init__(self, rays: Rays, wavelength_um: float, device: torch.device) -> None:
        self._per_um = 2.0 * math.pi / wavelength_um
        self._integral_um = torch.zeros(rays.shape, device=device)

    def add(self, slab: Slab) -> None:
        """See `Projection.add`."""
        mean = torch.lerp(slab.inner[:-1], slab.inner[1:], 0.5)
        self._integral_um[slab.part] += (mean * slab.length_um).sum(dim=0)

    def pending(self) -> None:
        """See `Projection.pending`."""
        return

    def gathered(self) -> Tensor:
        """See `Projection.gathered`."""
        return (self._per_um * self._integral_um)[None]


def _slopes(values: Tensor, at: Tensor, spacing_um: tuple[float, float]) -> tuple[Tensor, Tensor]:
    """Change of values, (..., rows, columns), along rows and columns per micrometre, at places that are not its edge."""
    flat, columns = values.reshape(-1), values.shape[-1]
    along_rows = (flat[at + columns] - flat[at - columns]) / (2.0 * spacing_um[0])
    along_columns = (flat[at + 1] - flat[at - 1]) / (2.0 * spacing_um[1])
    return along_rows, along_columns


def _places(mask: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Where a mask (K, rows, columns) holds: slice, place in the mask's rays, and places in itself and with neighbours."""
    _, rows, columns = mask.shape
    at = torch.nonzero(mask.reshape(-1)).reshape(-1)
    k, ray = at // (rows * columns), at % (rows * columns)
    row, column = ray // columns, ray % columns
    wide = (k * (rows + 2) + row + 1) * (columns + 2) + column + 1
    return k, ray, at, wide


class Composite:
    """Clouds: light from the back that the sample dims, and that it gives off in the colour of its index."""

    def __init__(self, rays: Rays, scene: Scene, reach_um: float, device: torch.device) -> None:
        self._rays, self._reach_um, self._device = rays, reach_um, device
        self._medium = Medium(scene, device)
        self._edge = EDGE * (scene.levels[1] - scene.levels[0]) / scene.opacity.layer_um
        self._colour = torch.zeros(3, *rays.shape, device=device)
        self._depth = torch.zeros(rays.shape, device=device)

    def add(self, slab: Slab) -> None:
        """See `Projection.add`."""
        medium, part = self._medium, slab.part
        before, after = slab.inner[:-1], slab.inner[1:]
        mask = torch.maximum(before, after) >= medium.lowest
        if medium.highest < torch.inf:
            mask &= torch.minimum(before, after) <= medium.highest
        mask &= slab.length_um > 0.0
        mask &= self._depth[part] < CLOUDED
        k, ray, at, wide = _places(mask)
        if len(at) == 0:
            return
        stride = slab.dn[0].numel()
        values = slab.dn.reshape(-1)
        first, last = values[wide], values[wide + stride]
        extinction, colour = medium.between(first, last)
        own = extinction * slab.length_um.reshape(-1)[at]
        depth = torch.zeros_like(slab.length_um)
        depth.view(-1)[at] = own
        passed = depth.cumsum(dim=0)
        passed += self._depth[part]
        weight = torch.exp(own - passed.reshape(-1)[at]) * -torch.expm1(-own)
        weight *= self._shade(slab, k, ray, wide, (last - first) / slab.way_um)
        rows, columns = passed.shape[1:]
        gathered = torch.zeros(rows * columns, 3, device=self._device).index_add_(0, ray, weight[:, None] * colour)
        self._colour[(slice(None), *part)] += gathered.T.reshape(3, rows, columns)
        self._depth[part] = passed[-1]

    def _shade(self, slab: Slab, k: Tensor, ray: Tensor, wide: Tensor, along_s: Tensor) -> Tensor:
        mean = torch.lerp(slab.dn[:-1], slab.dn[1:], 0.5)
        slopes = self._rays.to_camera(*_slopes(mean, wide, self._rays.spacing_um), along_s)
        brightness, _ = light(slopes)
        steepness = torch.sqrt(slopes[0] ** 2 + slopes[1] ** 2 + slopes[2] ** 2)
        lit = steepness / (steepness + self._edge)
        behind = self._rays.behind_um(slab.part, self._device).reshape(-1)[ray] + slab.s_um[k] * self._rays.path
        return (1.0 + lit * (brightness - 1.0)) * dimmed(behind, self._reach_um)

    def pending(self) -> Tensor:
        """See `Projection.pending`."""
        return self._depth < CLOUDED

    def gathered(self) -> Tensor:
        """See `Projection.gathered`."""
        return torch.cat([self._colour, -torch.expm1(-self._depth)[None]])


class Surface:
    """The first place on each ray where dn reaches a value, lit; faces that cut through the sample show its index."""

    def __init__(self, rays: Rays, scene: Scene, enter_um: Tensor, reach_um: float, device: torch.device) -> None:
        self._rays, self._scene, self._enter_um, self._reach_um, self._device = rays, scene, enter_um, reach_um, device
        self._colour = torch.zeros(4, *rays.shape, device=device)
        self._open = torch.ones(rays.shape, dtype=torch.bool, device=device)
        self._plain = torch.tensor(scene.surface_colour, device=device) / 255.0

    def add(self, slab: Slab) -> None:
        """See `Projection.add`."""
        part, level, before, after = slab.part, self._scene.surface_dn, slab.inner[:-1], slab.inner[1:]
        mask = torch.maximum(before, after) >= level
        mask &= slab.length_um > 0.0
        mask &= self._open[part]
        k, ray, at, wide = _places(mask)
        if len(at) == 0:
            return
        # Where between its two slices a ray enters what is shown and leaves it again.
        first = ((self._enter_um[part].reshape(-1)[ray] - slab.s_um[k]) / slab.way_um).clamp(min=0.0)
        last = first + slab.length_um.reshape(-1)[at] / (self._rays.path * slab.way_um)
        values = slab.dn.reshape(-1)
        low, high = values[wide], values[wide + slab.dn[0].numel()]
        met = torch.maximum(torch.lerp(low, high, first), torch.lerp(low, high, last)) >= level
        # Of the slices in which a ray meets the surface, the nearest: places are in the order of slices.
        nearest = torch.full((mask[0].numel(),), len(k), device=self._device)
        order = torch.arange(len(k), device=self._device)
        nearest.scatter_reduce_(0, ray[met], order[met], "amin")
        chosen = nearest[nearest < len(k)]
        if len(chosen) == 0:
            return
        k, ray, wide, first, low, high = (v[chosen] for v in (k, ray, wide, first, low, high))
        at_first = torch.lerp(low, high, first)
        is_face = at_first >= level
        crossing = torch.where(is_face, first, (level - low) / (high - low).clamp(min=1e-12)).clamp(0.0, 1.0)
        brightness, spot = light(self._inwards(slab, ray, wide, crossing, is_face))
        colour = torch.where(is_face[:, None], face_colour(self._scene, at_first), self._plain)
        behind = self._rays.behind_um(part, self._device).reshape(-1)[ray]
        depth = dimmed(behind + (slab.s_um[k] + crossing * slab.way_um) * self._rays.path, self._reach_um)
        lit = (colour * brightness[:, None] + torch.where(is_face, 0.0, spot)[:, None]) * depth[:, None]
        self._paint(part, ray, lit.clamp(max=1.0))

    def _inwards(
        self, slab: Slab, ray: Tensor, wide: Tensor, crossing: Tensor, is_face: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        stride, values = slab.dn[0].numel(), slab.dn.reshape(-1)
        slopes = (_slopes(slab.dn, at, self._rays.spacing_um) for at in (wide, wide + stride))
        rows, columns = (torch.lerp(low, high, crossing) for low, high in zip(*slopes, strict=True))
        along_s = (values[wide + stride] - values[wide]) / slab.way_um
        of_surface = self._rays.to_camera(rows, columns, along_s)
        enter_um = self._enter_um[slab.part[0].start - 1 : slab.part[0].stop + 1]
        enter_um = enter_um[:, slab.part[1].start - 1 : slab.part[1].stop + 1]
        on_face = wide % stride  # the same ray, among rays and their neighbours
        face_rows, face_columns = _slopes(enter_um, on_face, self._rays.spacing_um)
        of_face = self._rays.to_camera(-face_rows, -face_columns, torch.ones_like(along_s))
        right, down, away = (torch.where(is_face, f, s) for f, s in zip(of_face, of_surface, strict=True))
        return right, down, away

    def _paint(self, part: Part, ray: Tensor, colour: Tensor) -> None:
        columns = part[1].stop - part[1].start
        row, column = ray // columns + part[0].start, ray % columns + part[1].start
        self._colour[:3, row, column] = colour.T
        self._colour[3, row, column] = 1.0
        self._open[row, column] = False

    def pending(self) -> Tensor:
        """See `Projection.pending`."""
        return self._open

    def gathered(self) -> Tensor:
        """See `Projection.gathered`."""
        return self._colour


def make_projection(
    scene: Scene, rays: Rays, enter_um: Tensor, bounds_um: NDArray[np.float64], wavelength_um: float
) -> Projection:
    """Choose what is gathered by the scene's mode; `bounds_um`: the whole box, `enter_um`: where rays enter its part."""
    device = enter_um.device
    reach_um = 0.5 * float(((bounds_um[1] - bounds_um[0]) ** 2).sum() ** 0.5)
    match scene.mode:
        case "mip" | "minip":
            return Extreme(rays, scene.mode == "mip", device)
        case "phase":
            return Phase(rays, wavelength_um, device)
        case "composite":
            return Composite(rays, scene, reach_um, device)
        case "surface":
            return Surface(rays, scene, enter_um, reach_um, device)
