"""Where the slice views look: one centre, one scale and one cross-hair for all of them, and the oblique plane.

The views do not keep ranges of their own, so that the axes of neighbours can never drift apart. All slices go through
the cross-hair, the oblique one too: to move it along its normal is to move the cross-hair.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import QObject, Signal

from gui.planes import UPRIGHT, as_point, oblique_frame, section, turned

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gui.planes import Frame, Point

OBLIQUE = "oblique"
VIEWS = (*UPRIGHT, OBLIQUE)
CLOSEST_UM_PER_PX = 1e-4
DIAGONAL = np.array([[math.sqrt(0.5), math.sqrt(0.5), 0.0], [0.0, 0.0, 1.0], [math.sqrt(0.5), -math.sqrt(0.5), 0.0]])
"""The oblique plane as it is at first: upright, from corner to corner."""


class Navigator(QObject):
    """Centre and scale of the views, position of the cross-hair, direction of the oblique plane, box of the field.

    `moved` is emitted when centre, scale or box changed, `cursor_moved` when the cross-hair did, `plane_turned` when
    the oblique plane did.
    """

    moved = Signal()
    cursor_moved = Signal()
    plane_turned = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.bounds_um: NDArray[np.float64] = np.array([[-50.0, -50.0, -25.0], [50.0, 50.0, 25.0]])
        self.centre_um: Point = (0.0, 0.0, 0.0)
        self.cursor_um: Point = (0.0, 0.0, 0.0)
        self.directions: NDArray[np.float64] = DIAGONAL.copy()
        self.um_per_px = 0.25
        self._fitted_um_per_px = 0.25
        self._oblique_factor = 1.0

    def frame(self, view: str) -> Frame:
        """Where the slice of a view lies."""
        if view == OBLIQUE:
            return oblique_frame(self.directions, self.cursor_um, self._middle())
        axes = UPRIGHT[view]
        return axes.frame(self.cursor_um[axes.normal])

    def scale_um_per_px(self, view: str) -> float:
        """Size of a pixel of a view in the volume: the same in all upright ones."""
        return self.um_per_px * (self._oblique_factor if view == OBLIQUE else 1.0)

    def set_box(self, bounds_um: NDArray[np.float64]) -> bool:
        """Take the box of a field; a different box puts the cross-hair in its middle. Returns whether it differs."""
        if np.allclose(bounds_um, self.bounds_um):
            return False
        self.bounds_um = np.asarray(bounds_um, dtype=np.float64)
        self.set_cursor(self._middle())
        return True

    def fit(self, sizes_px: dict[str, tuple[float, float]]) -> None:
        """Show the whole box in the views that are there: `sizes_px` holds their width and height."""
        extents = {name: np.ptp(section(self.frame(name), self.bounds_um), axis=0) for name in sizes_px}
        scales = {name: float(max(extents[name] / size)) for name, size in sizes_px.items()}
        upright = [scale for name, scale in scales.items() if name != OBLIQUE]
        self.centre_um = self._middle()
        self.um_per_px = self._fitted_um_per_px = 1.04 * max(upright or scales.values())
        # Its place is small and its section may be long: it has a scale of its own, which zooms with the others.
        self._oblique_factor = 1.04 * scales.get(OBLIQUE, self.um_per_px) / self.um_per_px
        self.moved.emit()

    @property
    def zoom(self) -> float:
        """Magnification against the view of the whole box."""
        return self._fitted_um_per_px / self.um_per_px

    def zoom_by(self, factor: float, about_um: dict[int, float]) -> None:
        """Magnify by `factor`; the coordinates `about_um` (by axis) stay where they are on the screen."""
        wanted = self.um_per_px / factor
        um_per_px = min(max(wanted, CLOSEST_UM_PER_PX), 4 * self._fitted_um_per_px)
        ratio = um_per_px / self.um_per_px
        centre = list(self.centre_um)
        for axis, fixed in about_um.items():
            centre[axis] = fixed + (centre[axis] - fixed) * ratio
        self.centre_um = (centre[0], centre[1], centre[2])
        self.um_per_px = um_per_px
        self.moved.emit()

    def look_at(self, centre_um: Point, um_per_px: float) -> None:
        """Go to a place that was looked at before."""
        self.centre_um, self.um_per_px = centre_um, um_per_px
        self.moved.emit()

    def pan(self, shift_um: dict[int, float]) -> None:
        """Move the centre; it stays within the box."""
        centre = list(self.centre_um)
        for axis, shift in shift_um.items():
            centre[axis] = float(np.clip(centre[axis] + shift, self.bounds_um[0, axis], self.bounds_um[1, axis]))
        self.centre_um = (centre[0], centre[1], centre[2])
        self.moved.emit()

    def set_cursor(self, point_um: Point) -> None:
        """Move the cross-hair; it stays within the box."""
        clipped = np.clip(point_um, self.bounds_um[0], self.bounds_um[1])
        self.cursor_um = as_point(clipped)
        self.cursor_moved.emit()

    def move_along(self, direction: Point, distance_um: float) -> None:
        """Move the cross-hair, and with it the slices that this direction leaves.

        At a face of the box it slides along it, as long as that brings the oblique plane farther.
        """
        start, normal = np.array(self.cursor_um), np.array(direction)
        lower, upper = self.bounds_um
        point, free, left_um = start, normal, distance_um
        while abs(left_um) > 1e-9 and (share := float(free @ normal)) > 1e-9:
            point = np.clip(point + left_um / share * free, lower, upper)
            left_um = distance_um - float(normal @ (point - start))
            blocked = np.where(left_um * normal > 0, point >= upper, point <= lower)
            free = np.where(blocked, 0.0, normal)
        self.set_cursor(as_point(point))

    def step_um(self, view: str) -> float:
        """From one slice of a view to the next: two screen pixels, at most a fiftieth of the box along the normal."""
        extent = float(np.abs(self.frame(view).normal) @ (self.bounds_um[1] - self.bounds_um[0]))
        return min(2 * self.um_per_px, extent / 50)

    # --- oblique plane ------------------------------------------------------------------------------------------------

    def set_directions(self, directions: NDArray[np.float64]) -> None:
        """Turn the oblique plane about the cross-hair; rows: across, down, normal."""
        self.directions = directions
        self.plane_turned.emit()

    def turn_plane(self, about: int, angle_rad: float) -> None:
        """Turn it about its own across (0), down (1) or normal (2)."""
        self.set_directions(turned(self.directions, about, angle_rad))

    def turn_plane_about_axis(self, axis: Point, angle_rad: float) -> None:
        """Turn it about a direction of the volume."""
        x, y, z = axis
        cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
        rotation = np.eye(3) + math.sin(angle_rad) * cross + (1.0 - math.cos(angle_rad)) * cross @ cross
        self.set_directions(turned(self.directions @ rotation.T, 2, 0.0))

    def reset_plane(self) -> None:
        """The oblique plane as it was at first."""
        self.set_directions(DIAGONAL.copy())

    def _middle(self) -> Point:
        return as_point(self.bounds_um.mean(axis=0))
