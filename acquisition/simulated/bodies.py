"""Bodies of which simulated objects consist, defined at every point, and their index sampled on a grid.

A phantom is a list of bodies, painted one after the other: inside a body its own index replaces what was there, so a
nucleus is painted onto its cell. Bodies are star-shaped: an ellipsoid whose radius varies smoothly with direction, with
an optional smooth texture inside. A body without either is a homogeneous sphere, for which Mie's solution holds.

Sampled volumes hold the mean of the index over each voxel, so the optics and the truth do not depend on how an edge
happens to fall on the grid. Axes and signs are those of the whole project: x = image columns, y = image rows, z in the
direction of light, micrometres; index = medium + dn + i kappa.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]
    Complexes = NDArray[np.complex128]

SUBSAMPLES_SHARP, SUBSAMPLES_SOFT = 4, 2
"""Points per side of a voxel, to average where a sharp or a soft edge runs through it."""


@dataclass(frozen=True)
class Ripple:
    """A sum of plane cosines: sum_i amplitude_i cos(wave_i . p + phase_i), smooth and without a preferred axis.

    Attributes
    ----------
    waves
        (M, 3) wave vectors, radians per unit of p.
    phases
        (M,) radians.
    amplitudes
        (M,).
    """

    waves: Floats
    phases: Floats
    amplitudes: Floats

    def __call__(self, p: Floats) -> Floats:
        """Value at points p (..., 3)."""
        total: Floats = np.zeros(p.shape[:-1])
        for wave, phase, amplitude in zip(self.waves, self.phases, self.amplitudes, strict=True):
            total += amplitude * np.cos(p @ wave + phase)
        return total

    @classmethod
    def random(cls, rng: np.random.Generator, count: int, wave_number: float, bound: float) -> Ripple:
        """`count` waves of about `wave_number` in random directions, whose sum never exceeds `bound`."""
        waves = rng.normal(size=(count, 3))
        waves *= wave_number * rng.uniform(0.7, 1.3, (count, 1)) / np.linalg.norm(waves, axis=1, keepdims=True)
        amplitudes = rng.uniform(0.4, 1.0, count)
        return cls(waves, rng.uniform(0, 2 * np.pi, count), amplitudes * (bound / amplitudes.sum()))


@dataclass(frozen=True)
class Body:
    """A star-shaped body.

    Attributes
    ----------
    centre_um
        (3,) x, y, z.
    frame
        (3, 3) rows: the body's own axes in x, y, z.
    semi_axes_um
        (3,) half lengths along them.
    index
        dn + i kappa inside.
    shape
        Relative change of the radius with direction; None: an exact ellipsoid.
    texture
        Relative change of the index with place (argument in micrometres); None: homogeneous.
    edge_um
        Width over which the index rises at the edge; 0: a sharp edge.
    """

    centre_um: Floats
    frame: Floats
    semi_axes_um: Floats
    index: complex
    shape: Ripple | None = None
    texture: Ripple | None = None
    edge_um: float = 0.0

    @property
    def reach_um(self) -> float:
        """Radius of a sphere about the centre that holds the whole body."""
        return float(self.semi_axes_um.max()) * self.bounds(0.0)[0] + self.edge_um

    def bounds(self, margin_um: float) -> tuple[float, float]:
        """Normalised radius beyond which nothing of the body is, and one within which all is; with a margin."""
        swell = float(np.abs(self.shape.amplitudes).sum()) if self.shape else 0.0
        margin = (margin_um + self.edge_um) / float(self.semi_axes_um.min())
        return 1.0 + swell + margin, 1.0 - swell - margin

    def normalised(self, points: Floats) -> Floats:
        """Points (..., 3) in the body's own axes, in units of its half lengths."""
        p: Floats = (points - self.centre_um) @ (self.frame.T / self.semi_axes_um)
        return p

    def depth_um(self, points: Floats) -> Floats:
        """Depth (...,) of points (..., 3) below the surface, negative outside; exact at the surface to first order."""
        p = self.normalised(points)
        rho = np.maximum(np.linalg.norm(p, axis=-1), 1e-9)
        direction = p / rho[..., None]
        radius = 1.0 if self.shape is None else 1.0 + self.shape(direction)
        slope = np.linalg.norm(direction / self.semi_axes_um, axis=-1)
        depth: Floats = (radius - rho) / slope
        return depth

    def coverage(self, points: Floats) -> Floats:
        """How far the body fills points (..., 3): 0 outside, 1 inside, between over the width of the edge."""
        depth = self.depth_um(points)
        if self.edge_um == 0.0:
            return (depth > 0).astype(np.float64)
        t = np.clip(depth / self.edge_um + 0.5, 0.0, 1.0)
        smooth: Floats = t * t * (3.0 - 2.0 * t)
        return smooth

    def index_at(self, points: Floats) -> Complexes | complex:
        """Index of the body's substance at points (..., 3)."""
        if self.texture is None:
            return self.index
        textured = (self.index * (1.0 + self.texture(points))).astype(np.complex128)
        return textured


@dataclass(frozen=True)
class Phantom:
    """Bodies in the order in which they are painted."""

    name: str
    bodies: tuple[Body, ...] = field(repr=False)

    def index(self, x: ArrayLike, y: ArrayLike, z: ArrayLike) -> Complexes:
        """dn + i kappa at any points, micrometres; x, y and z are broadcast against each other."""
        points = np.stack(np.broadcast_arrays(x, y, z), axis=-1).astype(np.float64)
        value: Complexes = np.zeros(points.shape[:-1], np.complex128)
        for body in self.bodies:
            inside = body.coverage(points)
            value += inside * (body.index_at(points) - value)
        return value


def volume_zyx(
    phantom: Phantom, z_um: ArrayLike, shape: tuple[int, int], pixel_um: float, oversampling: int = 1
) -> NDArray[np.complex64]:
    """Mean of the phantom's index over the voxels of a grid.

    Parameters
    ----------
    phantom
        What to sample.
    z_um
        (Z,) centres of the slices, equally spaced; a slice is as thick as their distance.
    shape
        (H, W) rows and columns; pixel (row, column) is centred at x = (column - W // 2) * pixel_um, y likewise.
    pixel_um
        Side of a pixel.
    oversampling
        s: voxels per pixel in x and y.

    Returns
    -------
    NDArray[np.complex64]
        (Z, H * s, W * s), dn + i kappa.
    """
    rows, columns = shape
    lateral_um = pixel_um / oversampling
    axes = (
        np.asarray(z_um, np.float64),
        ((np.arange(rows * oversampling) + 0.5) / oversampling - 0.5 - rows // 2) * pixel_um,
        ((np.arange(columns * oversampling) + 0.5) / oversampling - 0.5 - columns // 2) * pixel_um,
    )
    z_step = float(axes[0][1] - axes[0][0]) if len(axes[0]) > 1 else lateral_um
    steps_zyx = np.array([z_step, lateral_um, lateral_um])
    volume = np.zeros(tuple(len(axis) for axis in axes), np.complex64)
    for body in phantom.bodies:
        reach = body.reach_um + steps_zyx
        low = body.centre_um[::-1] - reach
        high = body.centre_um[::-1] + reach
        box = tuple(
            slice(int(np.searchsorted(axis, a)), int(np.searchsorted(axis, b, side="right")))
            for axis, a, b in zip(axes, low, high, strict=True)
        )
        if any(part.start >= part.stop for part in box):
            continue
        z, y, x = np.meshgrid(*(axis[part] for axis, part in zip(axes, box, strict=True)), indexing="ij", sparse=True)
        points = np.stack(np.broadcast_arrays(x, y, z), axis=-1)
        outer, inner = body.bounds(0.5 * float(np.linalg.norm(steps_zyx)))
        rho = np.linalg.norm(body.normalised(points), axis=-1)
        near = rho < outer
        coverage = np.ones(int(near.sum()))
        at_edge = rho[near] >= inner
        points = points[near]
        coverage[at_edge] = _mean_coverage(body, points[at_edge], steps_zyx)
        held = volume[box]
        held[near] += coverage * (body.index_at(points) - held[near])
    return volume


def _mean_coverage(body: Body, points: Floats, steps_zyx: Floats) -> Floats:
    """Mean coverage over the voxels centred at points (M, 3): that of the centre, or of many points at the surface."""
    depth = body.depth_um(points)
    coverage = (depth > 0).astype(np.float64)
    # The depth is of first order only, hence the factor.
    at_edge = np.abs(depth) < 1.3 * 0.5 * (float(np.linalg.norm(steps_zyx)) + body.edge_um)
    centres = points[at_edge]
    count = SUBSAMPLES_SHARP if body.edge_um == 0.0 else SUBSAMPLES_SOFT
    offsets = (np.arange(count) + 0.5) / count - 0.5
    mean: Floats = np.zeros(len(centres))
    for dz in offsets * steps_zyx[0]:
        for dy in offsets * steps_zyx[1]:
            for dx in offsets * steps_zyx[2]:
                mean += body.coverage(centres + np.array([dx, dy, dz]))
    coverage[at_edge] = mean / count**3
    return coverage
