"""A line or an outline that the operator draws on a slice.

It stays where it is on its view and cuts whatever slice that view shows: to step through the slices moves it along the
normal.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QObject, QPointF, Qt, Signal

from gui import theme

if TYPE_CHECKING:
    from collections.abc import Callable

    from PySide6.QtWidgets import QAbstractButton

    from gui.planes import Frame
    from gui.slice_view import SliceView

Corners = tuple[tuple[float, float], ...]
ELLIPSE_CORNERS = 48
LEAST_DRAG_PX = 4
FIRST_SHARE = 0.5
"""Drawn by key: across so much of the view."""


class DrawnMark(QObject):
    """One mark on one of the views; `changed` when it was drawn, moved, reshaped or removed.

    Parameters
    ----------
    views
        Where it can be drawn.
    button
        Checkable: while it is on, the next drag over a view draws. Pressed by key, a mark appears in the middle of the
        view that has the keyboard.
    make
        Makes the item from the two ends of the drag.
    corners
        Corners of the item, in coordinates of the slice.
    """

    changed = Signal()

    def __init__(
        self,
        views: dict[str, SliceView],
        button: QAbstractButton,
        make: Callable[[QPointF, QPointF], pg.ROI],
        corners: Callable[[pg.ROI], Corners],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._views, self._button, self._make, self._corners = views, button, make, corners
        self.view: SliceView | None = None
        self._item: pg.ROI | None = None
        button.setCheckable(True)
        button.toggled.connect(self._arm)
        theme.follow(self._paint)
        for view in views.values():
            view.box.drawn.connect(lambda start, here, finished, view=view: self._drawn(view, start, here, finished))

    @property
    def corners(self) -> Corners:
        """Coordinates on its slice; empty while there is no mark."""
        return () if self._item is None else self._corners(self._item)

    def frame(self) -> Frame | None:
        """Where its slice lies now."""
        return None if self.view is None else self.view.frame()

    def _arm(self, armed: bool) -> None:
        for view in self._views.values():
            view.box.draws = armed
            view.marks.set_movable(not armed)
            view.canvas.setCursor(Qt.CursorShape.CrossCursor if armed else Qt.CursorShape.ArrowCursor)

    def _drawn(self, view: SliceView, start: QPointF, here: QPointF, finished: bool) -> None:
        if not self._button.isChecked():
            return
        px = self.distance_px(view, start, here)
        if px >= LEAST_DRAG_PX:
            self.put(view, start, here)
        if finished:
            self._button.setChecked(False)

    def distance_px(self, view: SliceView, start: QPointF, here: QPointF) -> float:
        """Length of a drag on the screen."""
        return math.hypot(here.x() - start.x(), here.y() - start.y()) / view.navigator.scale_um_per_px(view.name)

    def put(self, view: SliceView, start: QPointF, end: QPointF) -> None:
        """Draw the mark between two points of a view's slice, in place of the one there may be."""
        self._take_away()
        self.view, self._item = view, self._make(start, end)
        self._item.setZValue(20)
        self._paint()
        view.box.addItem(self._item, ignoreBounds=True)
        self._item.sigRegionChanged.connect(self.changed)
        self.changed.emit()

    def put_in_the_middle(self) -> None:
        """Draw it without the mouse, in the view that has the keyboard, else in xy."""
        if not self._button.isEnabled():
            return
        view = next((view for view in self._views.values() if view.hasFocus()), self._views["xy"])
        a_um, b_um = view.frame().coordinates(view.navigator.centre_um)
        half = [0.5 * FIRST_SHARE * size * view.navigator.scale_um_per_px(view.name) for size in view.size_px()]
        flat = 0.0 if len(self._corners(self._make(QPointF(0, 0), QPointF(1, 1)))) == 2 else min(half)
        self.put(view, QPointF(a_um - min(half), b_um - flat), QPointF(a_um + min(half), b_um + flat))

    def remove(self) -> None:
        """Take the mark away."""
        self._button.setChecked(False)
        if self._item is not None:
            self._take_away()
            self.changed.emit()

    def _paint(self) -> None:
        """Take the colour of the theme."""
        if self._item is not None:
            self._item.setPen(pg.mkPen(theme.DRAWN, width=2))
            for handle in self._item.getHandles():
                handle.pen = handle.currentPen = pg.mkPen(theme.DRAWN, width=1)
                handle.update()

    def _take_away(self) -> None:
        if self._item is not None and self.view is not None:
            self.view.box.removeItem(self._item)
        self.view = self._item = None


def line_item(start: QPointF, end: QPointF) -> pg.ROI:
    """A line whose ends can be dragged, and itself."""
    return pg.LineSegmentROI([(start.x(), start.y()), (end.x(), end.y())], **_hovered())


def line_corners(item: pg.ROI) -> Corners:
    """Both ends."""
    return tuple(_place(item, handle["item"].pos()) for handle in item.handles)


def outline_item(shape: str, start: QPointF, end: QPointF) -> pg.ROI:
    """A ``rectangle``, ``ellipse`` or ``polygon`` in the rectangle of a drag."""
    left, top = min(start.x(), end.x()), min(start.y(), end.y())
    size = (max(abs(end.x() - start.x()), 1e-6), max(abs(end.y() - start.y()), 1e-6))
    if shape == "polygon":
        angle = 2.0 * np.pi * (np.arange(8) + 0.5) / 8
        around = np.stack([np.cos(angle), np.sin(angle)], axis=-1) / np.cos(np.pi / 8)
        corners = [left, top] + 0.5 * np.array(size) * (1.0 + np.clip(around, -1.0, 1.0))
        return pg.PolyLineROI(corners.tolist(), closed=True, **_hovered())
    kind = pg.EllipseROI if shape == "ellipse" else pg.ROI
    item = kind((left, top), size, **_hovered())
    if shape == "rectangle":
        for corner in ((0, 0), (0, 1), (1, 0), (1, 1)):
            item.addScaleHandle(corner, (1 - corner[0], 1 - corner[1]))
    return item


def outline_corners(item: pg.ROI) -> Corners:
    """Corners of an outline; an ellipse is a polygon of the same area."""
    if isinstance(item, pg.PolyLineROI):
        return line_corners(item)
    width, height = item.size()
    unit = np.array([(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)])
    if isinstance(item, pg.EllipseROI):
        angle = 2.0 * np.pi * np.arange(ELLIPSE_CORNERS) / ELLIPSE_CORNERS
        larger = math.sqrt((2.0 * math.pi / ELLIPSE_CORNERS) / math.sin(2.0 * math.pi / ELLIPSE_CORNERS))
        unit = 0.5 + 0.5 * larger * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    return tuple(_place(item, QPointF(a * width, b * height)) for a, b in unit.tolist())


def _place(item: pg.ROI, point: QPointF) -> tuple[float, float]:
    place = item.mapToParent(point)
    return float(place.x()), float(place.y())


def _hovered() -> dict[str, object]:
    return {"hoverPen": pg.mkPen(theme.HAIR, width=2), "handleHoverPen": pg.mkPen(theme.HAIR, width=2)}
