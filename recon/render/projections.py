"""What rays gather on their way from slice to slice, one class for each kind of picture."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch

from recon.render.shading import Medium, dimmed, light

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from recon.render.rays import Part, Rays
    from recon.scene import Scene

OPAQUE = 1.0 / 256.0
"""A ray with less light than this left ends."""
EDGE = 0.05
"""Slope of dn, in brightest colours per layer of the opacity, from which clouds look lit."""


@dataclass(frozen=True, eq=False)
class Segment:
    """The way of all rays between two slices.

    Attributes
    ----------
    part
        Rays that pass the box here.
    start_um, stop_um
        The slices, as s.
    before, after
        dn on both, of all rays, (rows, columns); only `part` and its neighbours are up to date.
    length_um
        Way of the rays of `part` within what is shown of the box, (rows, columns of the part).
    """

    part: Part
    start_um: float
    stop_um: float
    before: Tensor
    after: Tensor
    length_um: Tensor


class Projection(Protocol):
    """Gathers along rays, from the viewer on."""

    def add(self, segment: Segment) -> None:
        """Take the next segment; called once for each, in order."""
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

    def add(self, segment: Segment) -> None:
        """See `Projection.add`."""
        choose = torch.maximum if self._largest else torch.minimum
        found = choose(segment.before[segment.part], segment.after[segment.part])
        found = found.masked_fill(segment.length_um <= 0.0, self._nothing)
        part = self._value[segment.part]
        choose(part, found, out=part)

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

    def add(self, segment: Segment) -> None:
        """See `Projection.add`."""
        mean = torch.lerp(segment.before[segment.part], segment.after[segment.part], 0.5)
        self._integral_um[segment.part].addcmul_(mean, segment.length_um)

    def pending(self) -> None:
        """See `Projection.pending`."""
        return

    def gathered(self) -> Tensor:
        """See `Projection.gathered`."""
        return (self._per_um * self._integral_um)[None]


class _Lattice:
    """Neighbours of chosen rays on the lattice."""

    def __init__(self, rays: Rays) -> None:
        self._rays = rays
        self._rows, self._columns = rays.shape

    def chosen(self, part: Part, mask: Tensor) -> Tensor:
        """Numbers of the rays of a part, (rows, columns), that a mask holds."""
        rows, columns = torch.nonzero(mask, as_tuple=True)
        return (rows + part[0].start) * self._columns + columns + part[1].start

    def slopes(self, values: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Change of values, (rows, columns), along rows and columns, per micrometre, at chosen rays."""
        flat = values.reshape(-1)
        row, column = chosen // self._columns, chosen % self._columns
        found = []
        for place, count, stride, spacing in (
            (row, self._rows, self._columns, self._rays.spacing_um[0]),
            (column, self._columns, 1, self._rays.spacing_um[1]),
        ):
            above, below = (place < count - 1).to(torch.int64), (place > 0).to(torch.int64)
            difference = flat[chosen + stride * above] - flat[chosen - stride * below]
            found.append(difference / ((above + below) * spacing))
        return found[0], found[1]


class Composite:
    """Clouds: light from the back that the sample dims, and that it gives off in the colour of its index."""

    def __init__(self, rays: Rays, scene: Scene, reach_um: float, device: torch.device) -> None:
        self._rays, self._reach_um, self._device = rays, reach_um, device
        self._medium = Medium(scene, device)
        self._lattice = _Lattice(rays)
        self._edge = EDGE * (scene.levels[1] - scene.levels[0]) / scene.opacity.layer_um
        count = rays.shape[0] * rays.shape[1]
        self._colour = torch.zeros(count, 3, device=device)
        self._left = torch.ones(count, device=device)

    def add(self, segment: Segment) -> None:
        """See `Projection.add`."""
        part, medium = segment.part, self._medium
        before, after = segment.before[part], segment.after[part]
        mask = segment.length_um > 0.0
        mask &= torch.maximum(before, after) >= medium.lowest
        mask &= torch.minimum(before, after) <= medium.highest
        mask &= self._left.reshape(self._rays.shape)[part] > OPAQUE
        chosen = self._lattice.chosen(part, mask)
        if medium.is_clear or len(chosen) == 0:
            return
        before, after, length_um = before[mask], after[mask], segment.length_um[mask]
        extinction, colour = medium.between(before, after)
        shade = self._shade(segment, chosen, (after - before) / (segment.stop_um - segment.start_um))
        opacity = -torch.expm1(-extinction * length_um)
        left = self._left[chosen]
        self._colour[chosen] += (left * opacity * shade)[:, None] * colour
        self._left[chosen] = left * (1.0 - opacity)

    def _shade(self, segment: Segment, chosen: Tensor, along_s: Tensor) -> Tensor:
        mean = torch.lerp(segment.before, segment.after, 0.5)
        slopes = self._rays.to_camera(*self._lattice.slopes(mean, chosen), along_s)
        brightness, _ = light(slopes)
        steepness = torch.sqrt(slopes[0] ** 2 + slopes[1] ** 2 + slopes[2] ** 2)
        lit = steepness / (steepness + self._edge)
        behind = self._rays.behind_um(0.5 * (segment.start_um + segment.stop_um), _all(self._rays), self._device)
        return (1.0 + lit * (brightness - 1.0)) * dimmed(behind.reshape(-1)[chosen], self._reach_um)

    def pending(self) -> Tensor:
        """See `Projection.pending`."""
        return (self._left > OPAQUE).reshape(self._rays.shape)

    def gathered(self) -> Tensor:
        """See `Projection.gathered`."""
        return torch.cat([self._colour, 1.0 - self._left[:, None]], dim=1).T.reshape(4, *self._rays.shape)


class Surface:
    """The first place on each ray where dn reaches a value, lit; faces that cut through the sample show its index."""

    def __init__(
        self, rays: Rays, scene: Scene, enter_um: Tensor, reach_um: float, device: torch.device
    ) -> None:
        self._rays, self._scene, self._enter_um, self._reach_um, self._device = rays, scene, enter_um, reach_um, device
        self._lattice = _Lattice(rays)
        count = rays.shape[0] * rays.shape[1]
        self._colour = torch.zeros(count, 4, device=device)
        self._open = torch.ones(rays.shape, dtype=torch.bool, device=device)
        self._table = torch.as_tensor(scene.table.copy(), device=device) / 255.0
        self._plain = torch.tensor(scene.surface_colour, device=device) / 255.0

    def add(self, segment: Segment) -> None:
        """See `Projection.add`."""
        part, level = segment.part, self._scene.surface_dn
        way_um = segment.stop_um - segment.start_um
        before, after = segment.before[part], segment.after[part]
        # Where within the segment the ray enters the box (below 0: before it), and where it leaves it.
        enter = (self._enter_um[part] - segment.start_um) / way_um
        first = enter.clamp(min=0.0)
        last = first + segment.length_um / (self._rays.path * way_um)
        at_first, at_last = torch.lerp(before, after, first), torch.lerp(before, after, last)
        mask = (segment.length_um > 0.0) & self._open[part] & (torch.maximum(at_first, at_last) >= level)
        chosen = self._lattice.chosen(part, mask)
        if len(chosen) == 0:
            return
        before, after, first, at_first = before[mask], after[mask], first[mask], at_first[mask]
        is_face = at_first >= level
        crossing = torch.where(is_face, first, (level - before) / (after - before).clamp(min=1e-12)).clamp(0.0, 1.0)
        inwards = self._inwards(segment, chosen, crossing, is_face, (after - before) / way_um)
        brightness, spot = light(inwards)
        colour = torch.where(is_face[:, None], self._face_colour(at_first), self._plain)
        behind = self._rays.behind_um(segment.start_um, _all(self._rays), self._device).reshape(-1)[chosen]
        depth = dimmed(behind + crossing * way_um * self._rays.path, self._reach_um)
        lit = (colour * brightness[:, None] + torch.where(is_face, 0.0, spot)[:, None]) * depth[:, None]
        self._colour[chosen] = torch.cat([lit.clamp(max=1.0), torch.ones_like(lit[:, :1])], dim=1)
        self._open.view(-1)[chosen] = False

    def _inwards(
        self, segment: Segment, chosen: Tensor, crossing: Tensor, is_face: Tensor, along_s: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        slopes_before = self._lattice.slopes(segment.before, chosen)
        slopes_after = self._lattice.slopes(segment.after, chosen)
        rows, columns = (torch.lerp(a, b, crossing) for a, b in zip(slopes_before, slopes_after, strict=True))
        of_surface = self._rays.to_camera(rows, columns, along_s)
        face_rows, face_columns = self._lattice.slopes(self._enter_um, chosen)
        of_face = self._rays.to_camera(-face_rows, -face_columns, torch.ones_like(along_s))
        right, down, away = (torch.where(is_face, f, s) for f, s in zip(of_face, of_surface, strict=True))
        return right, down, away

    def _face_colour(self, dn: Tensor) -> Tensor:
        low, high = self._scene.levels
        share = ((dn - low) / max(high - low, 1e-12)).clamp(0.0, 1.0)
        return self._table[(share * (len(self._table) - 1)).to(torch.int64)]

    def pending(self) -> Tensor:
        """See `Projection.pending`."""
        return self._open

    def gathered(self) -> Tensor:
        """See `Projection.gathered`."""
        return self._colour.T.reshape(4, *self._rays.shape)


def _all(rays: Rays) -> Part:
    return slice(0, rays.shape[0]), slice(0, rays.shape[1])


def make_projection(
    scene: Scene, rays: Rays, enter_um: Tensor, bounds_um: NDArray[float], wavelength_um: float
) -> Projection:  # type: ignore[type-var]
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
