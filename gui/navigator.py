"""Where the three slice views look: one centre, one scale and one cross-hair for all of them.

The views do not keep ranges of their own, so that the axes of neighbours can never drift apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import QObject, Signal

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gui.planes import Point

CLOSEST_UM_PER_PX = 1e-4


class Navigator(QObject):
    """Centre and scale of the views, position of the cross-hair, box of the field.

    `moved` is emitted when centre, scale or box changed, `cursor_moved` when the cross-hair did.
    """

    moved = Signal()
    cursor_moved = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.bounds_um: NDArray[np.float64] = np.array([[-50.0, -50.0, -25.0], [50.0, 50.0, 25.0]])
        self.centre_um: Point = (0.0, 0.0, 0.0)
        self.cursor_um: Point = (0.0, 0.0, 0.0)
        self.um_per_px = 0.25
        self._fitted_um_per_px = 0.25

    def set_box(self, bounds_um: NDArray[np.float64]) -> bool:
        """Take the box of a field; a different box puts the cross-hair in its middle. Returns whether it differs."""
        if np.allclose(bounds_um, self.bounds_um):
            return False
        self.bounds_um = np.asarray(bounds_um, dtype=np.float64)
        self.set_cursor(self._middle())
        return True

    def fit(self, sizes_px: dict[str, tuple[float, float]]) -> None:
        """Show the whole box: `sizes_px` holds width and height of the views xy, xz and yz."""
        extent = self.bounds_um[1] - self.bounds_um[0]
        scales = [
            extent[0] / sizes_px["xy"][0],
            extent[1] / sizes_px["xy"][1],
            extent[2] / sizes_px["xz"][1],
            extent[2] / sizes_px["yz"][0],
        ]
        self.centre_um = self._middle()
        self.um_per_px = self._fitted_um_per_px = float(max(scales)) * 1.04
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
        self.cursor_um = (float(clipped[0]), float(clipped[1]), float(clipped[2]))
        self.cursor_moved.emit()

    def move_cursor(self, axis: int, position_um: float) -> None:
        """Move the cross-hair along one axis."""
        point = list(self.cursor_um)
        point[axis] = position_um
        self.set_cursor((point[0], point[1], point[2]))

    def _middle(self) -> Point:
        middle = self.bounds_um.mean(axis=0)
        return float(middle[0]), float(middle[1]), float(middle[2])
