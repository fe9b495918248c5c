"""What lies under the simulated microscope: cells, beads, nothing, or what absorbs, placed at random in the field."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from acquisition.simulated.bodies import Body, Phantom, Ripple

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Maker = Callable[[np.random.Generator, float, tuple[float, float], tuple[float, float]], list[Body]]

RIM = 0.1
"""Share of the field of view that stays empty on each side."""

PLACING_DRAWS = 200

LARGEST_CELL_UM = 3.4
"""Half length of the longest cell."""

AREA_PER_CELL_UM2 = 160.0

KAPPA_TO_DN = 0.6
"""kappa of a pigment granule over the largest dn of the phantom."""


def make_phantom(
    name: str,
    seed: int = 0,
    dn_max: float = 0.02,
    size_um: tuple[float, float] = (30.0, 30.0),
    z_um: tuple[float, float] = (-6.0, 6.0),
) -> Phantom:
    """A phantom by name; the same arguments always give the same phantom.

    Parameters
    ----------
    name
        One of `PHANTOMS`.
    seed
        Seed of all that is random.
    dn_max
        Largest dn anywhere.
    size_um
        Width and height of the field of view; bodies keep away from its rim, so that light which a periodic simulation
        folds over the rim misses them.
    z_um
        Top and bottom of the space for the bodies.

    Raises
    ------
    ValueError
        Unknown name.
    """
    if name not in PHANTOMS:
        raise ValueError(f"no phantom is called {name!r}; there are {', '.join(PHANTOMS)}")
    rng = np.random.default_rng(seed)
    return Phantom(name, tuple(PHANTOMS[name](rng, dn_max, size_um, z_um)))


def _places(
    rng: np.random.Generator,
    radii_um: list[float],
    heights_um: list[float],
    size_um: tuple[float, float],
    z_um: tuple[float, float],
    gap: float,
) -> list[Floats]:
    """Centres for bodies of given radius (x, y) and half height (z), at least `gap` of their joint radii apart in x, y.

    Each is the first of many random draws that keeps the distance, or the best one where there is hardly room.
    """
    centres: list[Floats] = []
    for radius, height in zip(radii_um, heights_um, strict=True):
        room = [max((0.5 - RIM) * size - radius, 0.0) for size in size_um]
        room.append(max(0.5 * (z_um[1] - z_um[0]) - height, 0.0))
        best, best_distance = np.zeros(3), -np.inf
        for _ in range(PLACING_DRAWS):
            draw = rng.uniform(-1, 1, 3) * room + np.array([0, 0, 0.5 * (z_um[0] + z_um[1])])
            distance = min(
                (
                    float(np.hypot(*(draw - other)[:2])) / (radius + other_radius)
                    for other, other_radius in zip(centres, radii_um, strict=False)
                ),
                default=np.inf,
            )
            if distance > best_distance:
                best, best_distance = draw, distance
            if distance >= gap:
                break
        centres.append(best)
    return centres


def _frame(rng: np.random.Generator, tilt_rad: float) -> Floats:
    """Axes turned freely about z and tilted by about `tilt_rad` out of the plane."""
    turn, tilt, where = rng.uniform(0, 2 * np.pi), rng.normal(0, tilt_rad), rng.uniform(0, 2 * np.pi)
    axis = np.array([np.cos(where), np.sin(where), 0.0])
    cross = np.cross(np.eye(3), axis)
    tilted = np.eye(3) + np.sin(tilt) * cross + (1 - np.cos(tilt)) * cross @ cross
    about_z = np.array([[np.cos(turn), np.sin(turn), 0], [-np.sin(turn), np.cos(turn), 0], [0, 0, 1.0]])
    frame: Floats = about_z @ tilted
    return frame


def _within(rng: np.random.Generator, cell: Body, low: float, high: float) -> Floats:
    """A point of the cell at a relative radius between low and high."""
    direction = rng.normal(size=3)
    direction /= np.linalg.norm(direction)
    place: Floats = cell.centre_um + (direction * rng.uniform(low, high) * cell.semi_axes_um) @ cell.frame
    return place


def _cells(
    rng: np.random.Generator,
    dn_max: float,
    size_um: tuple[float, float],
    z_um: tuple[float, float],
    pigment: float = 0.0,
) -> list[Body]:
    """Cells, each of membrane, cytoplasm, nucleus with nucleoli, and organelles; `pigment`: kappa of half of these."""
    largest = min(LARGEST_CELL_UM, 0.19 * min(size_um), 0.4 * (z_um[1] - z_um[0]))
    count = int(np.clip(size_um[0] * size_um[1] / AREA_PER_CELL_UM2, 3, 14))
    axes = [
        a * np.array([1.0, rng.uniform(0.65, 0.9), rng.uniform(0.6, 0.85)])
        for a in np.sort(largest * rng.uniform(0.5, 1.0, count))[::-1]
    ]
    centres = _places(rng, [float(a[0]) for a in axes], [float(a[2]) * 1.1 for a in axes], size_um, z_um, gap=0.9)
    bodies: list[Body] = []
    for centre, semi_axes in zip(centres, axes, strict=True):
        shape = Ripple.random(rng, 5, 2.8, 0.3)
        frame = _frame(rng, 0.2)
        membrane = Body(centre, frame, semi_axes, 0.62 * dn_max, shape, edge_um=0.15)
        cytoplasm = Body(
            centre, frame, semi_axes * 0.9, 0.45 * dn_max, shape, Ripple.random(rng, 6, 1.8, 0.12), edge_um=0.15
        )
        small = float(semi_axes[2])
        nucleus = Body(
            _within(rng, cytoplasm, 0.05, 0.25),
            _frame(rng, 0.3),
            small * rng.uniform(0.42, 0.55) * np.array([1.15, 1.0, 0.85]),
            0.32 * dn_max,
            Ripple.random(rng, 4, 2.0, 0.08),
            Ripple.random(rng, 5, 3.0, 0.12),
            edge_um=0.15,
        )
        bodies += [membrane, cytoplasm]
        bodies += [
            Body(
                _within(rng, cytoplasm, 0.55, 0.78),
                _frame(rng, 0.6),
                small * rng.uniform(0.14, 0.24) * np.array([rng.uniform(1.0, 1.8), 1.0, 1.0]),
                complex(rng.uniform(0.7, 1.0) * dn_max, pigment if granule else 0.0),
                edge_um=0.15,
            )
            for granule in rng.permutation(6) % 2 == 0
        ]
        bodies.append(nucleus)
        bodies += [
            Body(
                _within(rng, nucleus, 0.1, 0.5),
                np.eye(3),
                np.full(3, small * rng.uniform(0.12, 0.18)),
                rng.uniform(0.75, 0.9) * dn_max,
                edge_um=0.15,
            )
            for _ in range(2)
        ]
    return bodies


def _beads(
    rng: np.random.Generator, dn_max: float, size_um: tuple[float, float], z_um: tuple[float, float]
) -> list[Body]:
    """Homogeneous spheres that do not shade each other, the first of full dn."""
    largest = min(min(*size_um) * 0.08, 0.3 * (z_um[1] - z_um[0]))
    radii = [float(r) for r in largest * np.array([1.0, 0.85, 0.7, 0.6, 0.5])]
    contrasts = [1.0, *rng.uniform(0.5, 1.0, 4)]
    centres = _places(rng, radii, radii, size_um, z_um, gap=1.3)
    return [
        Body(centre, np.eye(3), np.full(3, radius), contrast * dn_max)
        for centre, radius, contrast in zip(centres, radii, contrasts, strict=True)
    ]


def _none(
    _rng: np.random.Generator, _dn_max: float, _size_um: tuple[float, float], _z_um: tuple[float, float]
) -> list[Body]:
    """An empty field."""
    return []


def _absorbing(
    rng: np.random.Generator, dn_max: float, size_um: tuple[float, float], z_um: tuple[float, float]
) -> list[Body]:
    """Cells, half of whose organelles are pigment granules that absorb."""
    return _cells(rng, dn_max, size_um, z_um, pigment=KAPPA_TO_DN * dn_max)


PHANTOMS: dict[str, Maker] = {
    "cells": _cells,
    "beads": _beads,
    "absorbing": _absorbing,
    "none": _none,
}
"""Makers of phantoms by name."""
