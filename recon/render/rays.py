"""Parallel rays through a box, laid so that every slice of the box meets them on a product of two axes.

Across the axis along which the rays run most steeply, a slice at distance s from the camera's centre meets ray (p, q)
at

    column = p + slope_column s        row = q + slope_row s

Rays on a lattice of p and q therefore pass every slice on a lattice too, only shifted: an upright rectangle, on which a
field is evaluated many times faster than at scattered points, and nothing is interpolated between voxels. What the rays
have gathered is then laid onto the pixels of the screen, once. (Shear-warp: Lacroute and Levoy, SIGGRAPH 1994.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from recon.scene import Camera, Cut

MARGIN = 2
"""Rays beyond the box on each side, so that its picture ends softly."""

Part = tuple[slice, slice]
"""Rows and columns of the lattice."""


@dataclass(frozen=True, eq=False)
class Rays:
    """A lattice of parallel rays.

    Attributes
    ----------
    camera
        They run away from it.
    lower_um, upper_um
        Corners of the box they pass, (3,).
    axis, row, column
        Axis (0 x, 1 y, 2 z) that the slices lie across, and those of their rows and columns.
    slope
        How far a ray moves along row and column while it runs a micrometre along s.
    first_um, spacing_um
        Row and column of the first ray at s = 0, and distance between rays.
    shape
        Rays along rows and columns.
    """

    camera: Camera
    lower_um: NDArray[np.float64]
    upper_um: NDArray[np.float64]
    axis: int
    row: int
    column: int
    slope: tuple[float, float]
    first_um: tuple[float, float]
    spacing_um: tuple[float, float]
    shape: tuple[int, int]

    @property
    def sign(self) -> float:
        """Whether s runs along the axis or against it: away from the viewer."""
        return 1.0 if self.camera.axes[2, self.axis] >= 0.0 else -1.0

    @property
    def path(self) -> float:
        """Way along a ray while s grows by 1."""
        return 1.0 / abs(float(self.camera.axes[2, self.axis]))

    @property
    def span_um(self) -> tuple[float, float]:
        """Where s enters the box and where it leaves it."""
        ends = self.sign * (
            np.array([self.lower_um[self.axis], self.upper_um[self.axis]]) - self.camera.centre_um[self.axis]
        )
        return float(ends.min()), float(ends.max())

    def depth_um(self, s_um: float) -> float:
        """Coordinate of a slice along its axis."""
        return self.camera.centre_um[self.axis] + self.sign * s_um

    def offsets_um(self, part: Part) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Row and column coordinates of rays at s = 0."""
        rows, columns = (
            first + spacing * np.arange(piece.start, piece.stop, dtype=np.float64)
            for first, spacing, piece in zip(self.first_um, self.spacing_um, part, strict=True)
        )
        return rows, columns

    def on_slices(self, s_um: NDArray[np.float64], part: Part) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Row and column coordinates, (slices, rows) and (slices, columns), where rays meet slices.

        Rays beside the box take its nearest place.
        """
        rows, columns = (
            np.clip(offset + slope * s_um[:, None], self.lower_um[axis], self.upper_um[axis])
            for offset, slope, axis in zip(self.offsets_um(part), self.slope, (self.row, self.column), strict=True)
        )
        return rows, columns

    def part_of(self, low_um: tuple[float, float], high_um: tuple[float, float], s_um: tuple[float, float]) -> Part:
        """Rays that meet a rectangle of rows and columns anywhere between two slices, but for those at the edge."""
        pieces = []
        for k in range(2):
            shifts = self.slope[k] * s_um[0], self.slope[k] * s_um[1]
            start = math.floor((low_um[k] - max(shifts) - self.first_um[k]) / self.spacing_um[k])
            stop = math.ceil((high_um[k] - min(shifts) - self.first_um[k]) / self.spacing_um[k]) + 1
            pieces.append(slice(max(start, 1), min(stop, self.shape[k] - 1)))
        return pieces[0], pieces[1]

    def inside_um(self, cut: Cut | None, device: torch.device) -> tuple[Tensor, Tensor]:
        """s at which each ray enters what is shown of the box and leaves it, (rows, columns) each."""
        whole = slice(0, self.shape[0]), slice(0, self.shape[1])
        offsets = [torch.as_tensor(o, dtype=torch.float32, device=device) for o in self.offsets_um(whole)]
        enter = torch.full(self.shape, self.span_um[0], device=device)
        leave = torch.full(self.shape, self.span_um[1], device=device)
        for k, axis in enumerate((self.row, self.column)):
            offset = offsets[k][:, None] if k == 0 else offsets[k][None, :]
            low, high = float(self.lower_um[axis]), float(self.upper_um[axis])
            _bound(enter, leave, offset - low, self.slope[k])
            _bound(enter, leave, high - offset, -self.slope[k])
        if cut is not None:
            normal, point = np.array(cut.normal, np.float64), np.array(cut.point_um, np.float64)
            at_zero = (
                normal[self.row] * offsets[0][:, None]
                + normal[self.column] * offsets[1][None, :]
                + float(normal[self.axis] * self.camera.centre_um[self.axis] - normal @ point)
            )
            growth = (
                normal[self.row] * self.slope[0] + normal[self.column] * self.slope[1] + normal[self.axis] * self.sign
            )
            _bound(enter, leave, at_zero, float(growth))
        return enter, leave

    def behind_um(self, device: torch.device) -> Tensor:
        """How far behind the camera's centre rays are at s = 0, (rows, columns); `path` more for each s."""
        away, centre = self.camera.axes[2], self.camera.centre_um
        whole = slice(0, self.shape[0]), slice(0, self.shape[1])
        rows, columns = (torch.as_tensor(o, dtype=torch.float32, device=device) for o in self.offsets_um(whole))
        across_rows = float(away[self.row]) * (rows - centre[self.row])
        across_columns = float(away[self.column]) * (columns - centre[self.column])
        return across_rows[:, None] + across_columns[None, :]

    def points(self, rows: Tensor, columns: Tensor, s_um: Tensor) -> Tensor:
        """Where chosen rays are, x y z, (N, 3) float64."""
        found = torch.empty(len(rows), 3, dtype=torch.float64, device=rows.device)
        for k, (axis, ray) in enumerate(((self.row, rows), (self.column, columns))):
            found[:, axis] = self.first_um[k] + self.spacing_um[k] * ray + self.slope[k] * s_um
        found[:, self.axis] = self.camera.centre_um[self.axis] + self.sign * s_um
        return found

    def in_camera(self, vectors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Vectors along x, y, z, (N, 3), along the camera's right, down and away."""
        axes = torch.as_tensor(self.camera.axes, dtype=vectors.dtype, device=vectors.device)
        right, down, away = axes @ vectors.T
        return right, down, away

    def to_camera(self, along_row: Tensor, along_column: Tensor, along_s: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Slopes along rows, columns and each ray itself -> gradient along right, down and away.

        A value on the lattice of slices, f(q, p, s), changes along s as it does along a ray.
        """
        along_axis = self.sign * (along_s - self.slope[0] * along_row - self.slope[1] * along_column)
        row, column, axis = (self.camera.axes[:, k].tolist() for k in (self.row, self.column, self.axis))
        right, down, away = (row[k] * along_row + column[k] * along_column + axis[k] * along_axis for k in range(3))
        return right, down, away

    def seen(self, shape: tuple[int, int], every: int, count: tuple[int, int], device: torch.device) -> Tensor:
        """Whether each n-th ray, `count` rows and columns of them, is on a screen of `shape`, with a margin."""
        per_px = np.linalg.inv(_per_pixel(self))
        rows, columns = (
            self.first_um[k] + every * self.spacing_um[k] * np.arange(count[k]) - self.camera.centre_um[axis]
            for k, axis in enumerate((self.row, self.column))
        )
        across, down = (row[0] * rows[:, None] + row[1] * columns[None, :] for row in per_px)
        margin = [every * np.abs(row) @ np.array(self.spacing_um) for row in per_px]
        inside = (np.abs(across) <= 0.5 * shape[1] + margin[0]) & (np.abs(down) <= 0.5 * shape[0] + margin[1])
        return torch.as_tensor(inside, device=device)

    def on_screen(self, gathered: Tensor, shape: tuple[int, int]) -> Tensor:
        """Lay what rays have gathered, (C, rows, columns), onto the pixels of the screen."""
        per_px = _per_pixel(self)
        device = gathered.device
        across = (torch.arange(shape[1], device=device) + 0.5 - 0.5 * shape[1])[None, :]
        down = (torch.arange(shape[0], device=device) + 0.5 - 0.5 * shape[0])[:, None]
        places = []
        for k, axis in ((1, self.column), (0, self.row)):
            start = (self.camera.centre_um[axis] - self.first_um[k]) / self.spacing_um[k]
            ray = start + (per_px[k, 0] * across + per_px[k, 1] * down) / self.spacing_um[k]
            places.append(2.0 * ray / max(1, self.shape[k] - 1) - 1.0)
        where = torch.stack(places, dim=-1)[None]
        return torch.nn.functional.grid_sample(gathered[None], where, align_corners=True)[0]


def _bound(enter: Tensor, leave: Tensor, at_zero: Tensor, growth: float) -> None:
    """Keep of each ray's way the part where at_zero + growth s >= 0."""
    if abs(growth) < 1e-9:
        leave.masked_fill_((at_zero < 0.0).expand_as(leave), -torch.inf)
    elif growth > 0.0:
        torch.maximum(enter, (at_zero / -growth).expand_as(enter), out=enter)
    else:
        torch.minimum(leave, (at_zero / -growth).expand_as(leave), out=leave)


def _slopes(camera: Camera, axis: int) -> tuple[int, int, tuple[float, float]]:
    column, row = (k for k in range(3) if k != axis)
    away = camera.axes[2]
    return row, column, (float(away[row] / abs(away[axis])), float(away[column] / abs(away[axis])))


def _per_pixel(rays: Rays) -> NDArray[np.float64]:
    """Move of row and column at s = 0 for a pixel right and a pixel down, (2, 2) micrometres."""
    right, down, _ = rays.camera.axes
    moves = [
        [own[axis] - slope * rays.sign * own[rays.axis] for own in (right, down)]
        for axis, slope in ((rays.row, rays.slope[0]), (rays.column, rays.slope[1]))
    ]
    return rays.camera.um_per_px * np.array(moves)


def lay_rays(
    camera: Camera,
    shape: tuple[int, int],
    bounds_um: NDArray[np.float64],
    finest_um: tuple[float, float, float] = (0.0, 0.0, 0.0),
    coarser: float = 1.0,
) -> Rays:
    """Lay rays through that part of a box which is on the screen, as dense as its pixels.

    Parameters
    ----------
    camera, shape
        The picture: its camera, rows and columns.
    bounds_um
        The box, (2, 3).
    finest_um
        Spacing along x, y, z below which rays are never laid.
    coarser
        Distance between rays in pixels.
    """
    lower, upper = np.asarray(bounds_um, np.float64)
    axis = int(np.abs(camera.axes[2]).argmax())
    row, column, slope = _slopes(camera, axis)
    bare = Rays(camera, lower, upper, axis, row, column, slope, (0.0, 0.0), (1.0, 1.0), (1, 1))
    corners = _per_pixel(bare) @ (0.5 * np.array([[-1, -1, 1, 1], [-1, 1, -1, 1]]) * np.array(shape)[::-1, None])
    first, spacings, counts = [], [], []
    for k, along in enumerate((row, column)):
        shifts = [slope[k] * s for s in bare.span_um]
        on_screen = camera.centre_um[along] + np.array([corners[k].min(), corners[k].max()])
        low = max(float(on_screen[0]), float(lower[along]) - max(shifts))
        high = min(float(on_screen[1]), float(upper[along]) - min(shifts))
        spacing = max(coarser * camera.um_per_px, finest_um[along])
        count = max(1, math.ceil((high - low) / spacing) + 1)
        first.append(0.5 * (low + high) - (0.5 * (count - 1) + MARGIN) * spacing)
        spacings.append(spacing)
        counts.append(count + 2 * MARGIN)
    return Rays(
        camera, lower, upper, axis, row, column, slope,
        (first[0], first[1]), (spacings[0], spacings[1]), (counts[0], counts[1]),
    )  # fmt: skip
