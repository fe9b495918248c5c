"""Spheres one by one: the index inside each, and how wide it appears, beside the truth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from acquisition.capture import Truth

INSIDE = 0.5
"""Voxels count as inside a sphere from this share of its index on: at its edge a voxel holds a part of it only."""


def label(mask_zyx: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Number the connected parts of a mask 1, 2, ...; 0 outside. Neighbours share a face."""
    labels = np.where(mask_zyx, np.arange(1, mask_zyx.size + 1).reshape(mask_zyx.shape), 0)
    while True:
        before = labels
        for axis in range(3):
            for shift in (1, -1):
                near = np.roll(labels, shift, axis)
                edge: list[Any] = [slice(None)] * 3
                edge[axis] = 0 if shift == 1 else -1
                near[tuple(edge)] = 0
                labels = np.where(mask_zyx, np.maximum(labels, near), 0)
        if np.array_equal(labels, before):
            break
    numbers = np.unique(labels)
    return np.searchsorted(numbers, labels) if numbers[0] == 0 else np.searchsorted(numbers, labels) + 1


def width_pixels(profile: NDArray[np.floating]) -> float:
    """Width at half of the maximum, in samples, of what surrounds the maximum; crossings are interpolated."""
    peak = int(np.argmax(profile))
    half = 0.5 * float(profile[peak])
    sides = []
    for part in (profile[peak:], profile[peak::-1]):
        below = np.flatnonzero(part < half)
        if not len(below):
            return float("nan")
        k = int(below[0])
        sides.append(k - 1 + float((part[k - 1] - half) / (part[k - 1] - part[k])))
    return sum(sides)


def bead_report(dn_zyx: NDArray[np.float32], truth: Truth, pixel_um: float) -> list[dict[str, float]]:
    """Compare each sphere of a truth with what was found in its place, largest first.

    Returns
    -------
    list
        For each: `radius_um`, `dn` (truth), `dn_ratio` (mean found inside / mean true inside), `width_error_pixels`
        (lateral diameter at half maximum, found minus true, mean of x and y) and the centre.
    """
    labels = label(truth.dn_zyx > 0)
    dz_um = float(truth.z_um[1] - truth.z_um[0])
    beads = []
    for number in range(1, int(labels.max()) + 1):
        own = np.where(labels == number, truth.dn_zyx, 0.0)
        dn = float(own.max())
        inside = own > INSIDE * dn
        if inside.sum() < 8:
            continue
        places = np.argwhere(inside)
        z, y, x = np.rint(np.average(places, axis=0, weights=own[inside])).astype(int)
        volume_um3 = float(own.sum()) / dn * pixel_um**2 * dz_um
        radius_um = float((3.0 * volume_um3 / (4.0 * np.pi)) ** (1 / 3))
        reach = int(np.ceil(2.0 * radius_um / pixel_um)) + 2
        errors = []
        for axis, centre in ((1, y), (2, x)):
            along = slice(max(0, centre - reach), centre + reach + 1)
            at: Any = (z, along, x) if axis == 1 else (z, y, along)
            errors.append(width_pixels(dn_zyx[at]) - width_pixels(own[at]))
        beads.append(
            {
                "radius_um": radius_um,
                "dn": dn,
                "dn_ratio": float(dn_zyx[inside].mean() / truth.dn_zyx[inside].mean()),
                "width_error_pixels": float(np.mean(errors)),
                "x_um": float((x - dn_zyx.shape[2] // 2) * pixel_um),
                "y_um": float((y - dn_zyx.shape[1] // 2) * pixel_um),
                "z_um": float(truth.z_um[z]),
            }
        )
    return sorted(beads, key=lambda bead: -bead["radius_um"])
