"""One picture of a box in three dimensions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from recon.render.preview import Itself, Previews
from recon.render.projections import Slab, make_projection
from recon.render.rays import lay_rays
from recon.render.worth import Worth
from recon.scene import COLOURED_MODES
from recon.side_by_side import no_pulse

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from numpy.typing import NDArray
    from torch import Tensor

    from recon.box import Box
    from recon.render.preview import Preview, Source
    from recon.render.rays import Part, Rays
    from recon.scene import Quality, Scene


@torch.no_grad()
def render(
    box: Box,
    scene: Scene,
    shape: tuple[int, int],
    quality: Quality = "rest",
    *,
    previews: Previews | None = None,
    state: Hashable = 0,
    pulse: Callable[[], None] = no_pulse,
) -> NDArray[np.float32] | NDArray[np.uint8]:
    """Paint a scene.

    Parameters
    ----------
    box
        What is looked at.
    scene, shape
        The scene, and rows and columns of the picture.
    quality
        ``rest`` evaluates the field along the rays and is sharp at any zoom; ``moving`` passes through a coarse copy of
        it, many times a second.
    previews, state
        Keeps that copy from picture to picture, while `state` stays the same.
    pulse
        Called between slices; whatever it raises ends the picture.

    Returns
    -------
    ndarray
        (H, W) float32: dn, or radians for projected phase, 0 beside the box; or, of the modes ``composite`` and
        ``surface``, (H, W, 4) uint8: red, green, blue, already multiplied by the opacity, and opacity.
    """
    bounds_um = shown_bounds(box, scene)
    if np.any(bounds_um[1] <= bounds_um[0]):
        return _finished(torch.zeros(4 if scene.mode in COLOURED_MODES else 1, *shape))
    copy = (previews or Previews()).of(box, state, pulse, quality == "moving")
    if quality == "moving":
        rays = lay_rays(scene.camera, shape, bounds_um, copy.spacing_um)
        gathered = _gather(copy, rays, scene, None, pulse)
    else:
        rays = lay_rays(scene.camera, shape, bounds_um)
        gathered = _gather(Itself(box), rays, scene, (copy, shape), pulse)
    return _finished(rays.on_screen(gathered, shape))


def shown_bounds(box: Box, scene: Scene) -> NDArray[np.float64]:
    """Corners of the part of the box that is shown, (2, 3)."""
    if scene.crop_um is None:
        return box.bounds
    lower, upper = scene.crop_um
    return np.stack([np.maximum(box.bounds[0], lower), np.minimum(box.bounds[1], upper)])


def _gather(
    source: Source,
    rays: Rays,
    scene: Scene,
    looked_up: tuple[Preview, tuple[int, int]] | None,
    pulse: Callable[[], None],
) -> Tensor:
    """Follow the rays from slab to slab; `looked_up`: copy and picture that tell which are worth it."""
    s_um = np.linspace(*rays.span_um, source.slices(rays))
    enter_um, leave_um = rays.inside_um(scene.cut, source.box.device)
    projection = make_projection(scene, source, rays, enter_um)
    worth = Worth(rays, looked_up[1], looked_up[0], projection.least_dn) if looked_up else None
    low, high = ((float(corner[rays.row]), float(corner[rays.column])) for corner in (rays.lower_um, rays.upper_um))
    for start in range(0, len(s_um) - 1, source.slices_at_once):
        slices_um = s_um[start : start + source.slices_at_once + 1].tolist()
        passing = rays.part_of(low, high, (slices_um[0], slices_um[-1]))
        if any(piece.stop <= piece.start for piece in passing):
            continue
        places_um = torch.tensor(slices_um, device=enter_um.device)
        ends_um = places_um[:, None, None]
        for part in worth.parts(slices_um, passing, projection.pending()) if worth else (passing,):
            pulse()
            way_um = torch.minimum(leave_um[part], ends_um[1:]) - torch.maximum(enter_um[part], ends_um[:-1])
            dn = source.read(rays, slices_um, _wider(part))
            projection.add(Slab(part, places_um, dn, way_um.clamp_(min=0.0) * rays.path))
    return projection.gathered()


def _wider(part: Part) -> Part:
    """A part with its neighbours."""
    rows, columns = (slice(piece.start - 1, piece.stop + 1) for piece in part)
    return rows, columns


def _finished(picture: Tensor) -> NDArray[np.float32] | NDArray[np.uint8]:
    if len(picture) == 1:
        values: NDArray[np.float32] = picture[0].cpu().numpy()
        return values
    colours: NDArray[np.uint8] = (255.0 * picture.clamp(0.0, 1.0) + 0.5).to(torch.uint8).movedim(0, -1).cpu().numpy()
    return np.ascontiguousarray(colours)
