"""What rays gather on their way from slice to slice, one class for each kind of picture."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch

from recon.render.shading import Medium, dimmed, face_colour, light

if TYPE_CHECKING:
    from torch import Tensor

    from recon.render.preview import Source
    from recon.render.rays import Part, Rays
    from recon.scene import Scene

REFINEMENTS = 2
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

    @property
    def least_dn(self) -> float | None:
        """Where dn is below this there is nothing to gather; None: there is everywhere."""
        ...

    def add(self, slab: Slab) -> None:
        """Take the next slab of some rays; called for each ray in order."""
        ...

    def pending(self) -> Tensor | None:
        """Rays on which more can be gathered, (rows, columns) bool; None: all of them."""
        ...

    def gathered(self) -> Tensor:
        """What there is in the end, (channels, rows, columns): one of values, or colours and opacity."""
        ...


class Extreme:
    """Largest or smallest dn; 0 where a ray meets nothing."""

    least_dn = None

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

    least_dn = None

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
    """Change of values, (..., rows, columns), along rows and columns per micrometre, at places off its edge."""
    flat, columns = values.reshape(-1), values.shape[-1]
    along_rows = (flat[at + columns] - flat[at - columns]) / (2.0 * spacing_um[0])
    along_columns = (flat[at + 1] - flat[at - 1]) / (2.0 * spacing_um[1])
    return along_rows, along_columns


def _places(mask: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Where a mask (K, rows, columns) holds: slice, ray, and places in itself and in the mask with neighbours."""
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
        self._behind_um = rays.behind_um(device)
        self._medium = Medium(scene, device)
        self._edge = EDGE * (scene.levels[1] - scene.levels[0]) / scene.opacity.layer_um
        self._colour = torch.zeros(3, *rays.shape, device=device)
        self._depth = torch.zeros(rays.shape, device=device)

    @property
    def least_dn(self) -> float:
        """See `Projection.least_dn`."""
        return self._medium.lowest

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
        behind = self._behind_um[slab.part].reshape(-1)[ray] + slab.s_um[k] * self._rays.path
        return (1.0 + lit * (brightness - 1.0)) * dimmed(behind, self._reach_um)

    def pending(self) -> Tensor:
        """See `Projection.pending`."""
        return self._depth < CLOUDED

    def gathered(self) -> Tensor:
        """See `Projection.gathered`."""
        return torch.cat([self._colour, -torch.expm1(-self._depth)[None]])


class Surface:
    """The first place on each ray where dn reaches a value, lit; faces that cut through the sample show its index.

    Slices tell between which two of them a ray meets the surface; where exactly, and how it leans, is then asked of the
    source itself. An edge is often sharper than slices are dense, and would else come out in steps.
    """

    def __init__(self, source: Source, rays: Rays, scene: Scene, enter_um: Tensor, reach_um: float) -> None:
        self._source, self._rays, self._scene, self._enter_um, self._reach_um = source, rays, scene, enter_um, reach_um
        self._device = enter_um.device
        self._behind_um = rays.behind_um(self._device)
        self._colour = torch.zeros(4, *rays.shape, device=self._device)
        self._open = torch.ones(rays.shape, dtype=torch.bool, device=self._device)
        self._plain = torch.tensor(scene.surface_colour, device=self._device) / 255.0

    @property
    def least_dn(self) -> float:
        """See `Projection.least_dn`."""
        return self._scene.surface_dn

    def add(self, slab: Slab) -> None:
        """See `Projection.add`."""
        part, level, before, after = slab.part, self._scene.surface_dn, slab.inner[:-1], slab.inner[1:]
        mask = torch.maximum(before, after) >= level
        mask &= slab.length_um > 0.0
        mask &= self._open[part]
        k, ray, at, _ = _places(mask)
        # Where between its two slices a ray enters what is shown and leaves it again.
        first = ((self._enter_um[part].reshape(-1)[ray] - slab.s_um[k]) / slab.way_um).clamp(min=0.0)
        last = first + slab.length_um.reshape(-1)[at] / (self._rays.path * slab.way_um)
        low, high = before.reshape(-1)[at], after.reshape(-1)[at]
        at_first, at_last = torch.lerp(low, high, first), torch.lerp(low, high, last)
        met = torch.maximum(at_first, at_last) >= level
        # Of the slices in which a ray meets the surface, the nearest: places are in the order of slices.
        nearest = torch.full((mask[0].numel(),), len(k), device=self._device)
        order = torch.arange(len(k), device=self._device)
        nearest.scatter_reduce_(0, ray[met], order[met], "amin")
        chosen = nearest[nearest < len(k)]
        if len(chosen) == 0:
            return
        columns = part[1].stop - part[1].start
        rows, columns = ray[chosen] // columns + part[0].start, ray[chosen] % columns + part[1].start
        starts_um = slab.s_um[k[chosen]]
        ends_um = [starts_um + share[chosen] * slab.way_um for share in (first, last)]
        self._paint(rows, columns, ends_um, at_first[chosen], at_last[chosen])

    def _paint(self, rows: Tensor, columns: Tensor, ends_um: list[Tensor], at_first: Tensor, at_last: Tensor) -> None:
        """Paint rays that meet the surface between two places, at which dn is known."""
        is_face = at_first >= self._scene.surface_dn
        s_um = torch.where(is_face, ends_um[0], self._crossing(rows, columns, ends_um, at_first, at_last))
        slopes = self._source.slopes(self._rays.points(rows, columns, s_um))
        of_surface = self._rays.in_camera(slopes)
        of_face = self._face(rows, columns)
        brightness, spot = light([torch.where(is_face, f, s) for f, s in zip(of_face, of_surface, strict=True)])
        colour = torch.where(is_face[:, None], face_colour(self._scene, at_first), self._plain)
        behind = self._behind_um[rows, columns] + s_um * self._rays.path
        lit = colour * brightness[:, None] + torch.where(is_face, 0.0, spot)[:, None]
        self._colour[:3, rows, columns] = (lit * dimmed(behind, self._reach_um)[:, None]).clamp(max=1.0).T
        self._colour[3, rows, columns] = 1.0
        self._open[rows, columns] = False

    def _crossing(
        self, rows: Tensor, columns: Tensor, ends_um: list[Tensor], at_first: Tensor, at_last: Tensor
    ) -> Tensor:
        """s at which dn reaches the level, by regula falsi (Illinois)."""
        near, far = ends_um
        low, high = at_first - self._scene.surface_dn, at_last - self._scene.surface_dn
        for _ in range(REFINEMENTS):
            s_um = near + (far - near) * (low / (low - high).clamp(max=-1e-12)).clamp(0.02, 0.98)
            found = self._source.values(self._rays.points(rows, columns, s_um)) - self._scene.surface_dn
            beyond = found >= 0.0
            near, far = torch.where(beyond, near, s_um), torch.where(beyond, s_um, far)
            low, high = torch.where(beyond, 0.5 * low, found), torch.where(beyond, found, 0.5 * high)
        return near + (far - near) * (low / (low - high).clamp(max=-1e-12)).clamp(0.0, 1.0)

    def _face(self, rows: Tensor, columns: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Direction inwards of the faces by which rays enter what is shown."""
        at = rows * self._rays.shape[1] + columns
        along_rows, along_columns = _slopes(self._enter_um, at, self._rays.spacing_um)
        return self._rays.to_camera(-along_rows, -along_columns, torch.ones_like(along_rows))

    def pending(self) -> Tensor:
        """See `Projection.pending`."""
        return self._open

    def gathered(self) -> Tensor:
        """See `Projection.gathered`."""
        return self._colour


def make_projection(scene: Scene, source: Source, rays: Rays, enter_um: Tensor) -> Projection:
    """Choose what is gathered by the scene's mode; `enter_um`: where rays enter what is shown of the box."""
    device, box = enter_um.device, source.box
    reach_um = 0.5 * float(((box.bounds[1] - box.bounds[0]) ** 2).sum() ** 0.5)
    match scene.mode:
        case "mip" | "minip":
            return Extreme(rays, scene.mode == "mip", device)
        case "phase":
            return Phase(rays, box.optics.wavelength_um, device)
        case "composite":
            return Composite(rays, scene, reach_um, device)
        case "surface":
            return Surface(source, rays, scene, enter_um, reach_um)
