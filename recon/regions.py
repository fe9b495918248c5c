"""What a region of a field holds: area, volume, mean index, and its integral, from which dry mass follows.

The outline is a polygon on a slice. Its section is sampled on that slice, its volume on the grid of the box, whose
cells count where their middle lies in the outline and dn is above the threshold. The field is smooth on that grid, so
a coarser one serves as well for large regions.

How sure means and integrals are: the error of dn at one point is told by the field (`recon.uncertainty`). Errors of
neighbouring points are not independent: the missing cone spreads along the axis what it takes away elsewhere, and what
the model or the light get wrong bears the same sign in a whole cell. How far they agree is not known, so all of them
are taken to go the same way:

    sigma(mean) = mean of sigma        sigma(integral) = integral of sigma

More than that no correlation can make of it. To divide by the square root of the number of points would claim far too
much.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recon.box import plane_points
from recon.figures import RegionFigures

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from recon.box import Box
    from recon.view_requests import RequestRegion

SECTION_SIDE = 200
"""Samples along each side of the rectangle about an outline."""
MOST_SAMPLES = 400_000
"""Of a volume; more cells than that are sampled on a coarser grid, so that a picture need not wait for it."""


def region_figures(box: Box, asked: RequestRegion) -> RegionFigures:
    """Measure a region of a box; an outline without area holds nothing."""
    section = _section(box, asked) if asked.outline_um else (float("nan"),) * 6
    return RegionFigures(*section, *_solid(box, asked))


def _section(box: Box, asked: RequestRegion) -> tuple[float, ...]:
    corners = np.array(asked.outline_um)
    (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
    across, down = np.array(asked.across), np.array(asked.down)
    corner = np.array(asked.origin_um) + left * across + top * down
    u, v = (right - left) * across, (bottom - top) * down
    shape = (SECTION_SIDE, SECTION_SIDE)
    points = plane_points(corner, u, v, shape)
    steps = (np.arange(SECTION_SIDE) + 0.5) / SECTION_SIDE
    chosen = in_polygon(left + steps * (right - left), (top + steps * (bottom - top))[:, None], corners)
    chosen &= ((points >= box.bounds[0]) & (points <= box.bounds[1])).all(axis=-1)
    area = float((right - left) * (bottom - top) * chosen.mean())
    if not chosen.any():
        return area, *(float("nan"),) * 5
    dn = box.slice(corner, u, v, shape).real[chosen] - box.medium_index
    sigma = box.uncertainty(points[chosen])
    return area, float(dn.mean()), float(dn.std()), float(dn.min()), float(dn.max()), float(sigma.mean())


def _solid(box: Box, asked: RequestRegion) -> tuple[float, ...]:
    lower, upper = _around(box, asked)
    extent = upper - lower
    if (extent <= 0).any():
        return 0.0, float("nan"), 0.0, 0.0
    pitch = (box.bounds[1] - box.bounds[0]) / box.shape_zyx[::-1]
    counts = np.maximum(1, np.ceil(extent / pitch - 1e-6))
    counts = np.maximum(1, np.round(counts * min(1.0, (MOST_SAMPLES / counts.prod()) ** (1 / 3)))).astype(int)
    axes_um = [lo + (np.arange(n) + 0.5) * size / n for lo, size, n in zip(lower, extent, counts, strict=True)]
    dn_zyx = box.on_axes(axes_um).real
    chosen_zyx = dn_zyx > asked.above_dn
    x, y, z = axes_um[0], axes_um[1][:, None], axes_um[2][:, None, None]
    if asked.outline_um:
        from_origin = [axis - start for axis, start in zip((x, y, z), asked.origin_um, strict=True)]
        a, b = (
            # Without the terms that are zero the outline of an upright slice is compared on one plane alone.
            sum((axis * share for axis, share in zip(from_origin, edge, strict=True) if share), np.zeros(()))
            for edge in (asked.across, asked.down)
        )
        chosen_zyx &= in_polygon(a, b, np.array(asked.outline_um))
    if not chosen_zyx.any():
        return 0.0, float("nan"), 0.0, 0.0
    cell = float(extent.prod() / counts.prod())
    points = np.stack(np.broadcast_arrays(x, y, z), axis=-1)[chosen_zyx]
    dn = dn_zyx[chosen_zyx].astype(np.float64)
    sigma = box.uncertainty(points).astype(np.float64)
    return dn.size * cell, float(dn.mean()), float(dn.sum() * cell), float(sigma.sum() * cell)


def _around(box: Box, asked: RequestRegion) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Part of the box, lower and upper corner, that the outline drawn along its normal can reach."""
    lower, upper = box.bounds
    if not asked.outline_um:
        return lower, upper
    across, down = np.array(asked.across), np.array(asked.down)
    normal = np.cross(across, down)
    corners = np.array(asked.outline_um)
    base = np.array(asked.origin_um) + corners[:, :1] * across + corners[:, 1:] * down
    far = float(np.linalg.norm(upper - lower) + np.abs(base - lower).max())
    ends = np.concatenate([base - far * normal, base + far * normal])
    return np.clip(ends.min(axis=0), lower, upper), np.clip(ends.max(axis=0), lower, upper)


def in_polygon(a: NDArray[np.float64], b: NDArray[np.float64], corners: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether points lie in a polygon (corners, 2), by counting its edges to one side; `a` and `b` broadcast."""
    inside = np.zeros(np.broadcast_shapes(a.shape, b.shape), bool)
    for (a1, b1), (a2, b2) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if b1 == b2:
            continue
        between = (b1 > b) != (b2 > b)
        inside ^= between & (a < a1 + (b - b1) * ((a2 - a1) / (b2 - b1)))
    return inside
