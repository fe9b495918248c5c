"""Opacity over the index, drawn by hand over the histogram of the index."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QPointF, Qt, Signal
from PySide6.QtWidgets import QSizePolicy

from gui import theme
from gui.quiet_plot import QuietPlot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from PySide6.QtGui import QMouseEvent
    from PySide6.QtWidgets import QWidget

GRIP_PX = 12.0
LEAST_POINTS = 2
ROOT = 3.0
"""The plot shows this root of the opacity: low ones matter most and get most of the room."""

Points = tuple[tuple[float, float], ...]


def moved_point(points: Points, number: int, dn: float, opacity: float) -> Points:
    """Move one point of a curve; it stays between its neighbours and within 0 and 1."""
    low = points[number - 1][0] if number > 0 else -np.inf
    high = points[number + 1][0] if number + 1 < len(points) else np.inf
    moved = (float(min(max(dn, low), high)), float(min(max(opacity, 0.0), 1.0)))
    return (*points[:number], moved, *points[number + 1 :])


class OpacityEditor(QuietPlot):
    """Curve whose points are dragged; double click adds one, right click removes one. `changed(points)`."""

    changed = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Opacity over the index, with the histogram", parent)
        self.setObjectName("opacity_curve")
        self.setAccessibleDescription("Drag points; double click adds one, right click removes one.")
        self.setToolTip("Opacity by index. Drag points; double click adds one, right click removes one.")
        self.setFixedHeight(130)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.points: Points = ((0.0, 0.0), (0.02, 0.3))
        self._dragged: int | None = None
        self._range = (0.0, 0.02)
        self.hideAxis("left")
        self.setYRange(0.0, 1.0, padding=0.06)
        self._histogram = self.plot(stepMode="center", fillLevel=0, x=[0, 1], y=[0])
        self._curve = self.plot(symbol="o", symbolSize=9)
        theme.follow(self._paint_curves)
        self._draw()

    def _paint_curves(self) -> None:
        self._histogram.setPen(theme.FAINT)
        self._histogram.setBrush(theme.faded(theme.MUTED, 60))
        self._curve.setPen(pg.mkPen(theme.ACCENT, width=2))
        self._curve.setSymbolBrush(theme.LIGHT)
        self._curve.setSymbolPen(theme.PANEL)

    def set_points(self, points: Sequence[tuple[float, float]]) -> None:
        """Show a curve; emits nothing."""
        self.points = tuple(points)
        self._draw()

    def set_histogram(self, counts: NDArray[np.int64], edges: NDArray[np.float64]) -> None:
        """Show how often values occur, (N,) between edges, (N + 1,)."""
        share = np.sqrt(counts / max(1, counts.max()))
        self._histogram.setData(x=edges, y=share)
        self._range = (float(edges[0]), float(edges[-1]))
        self._draw()

    def _draw(self) -> None:
        dn, opacity = (np.array(column) for column in zip(*self.points, strict=True))
        self._curve.setData(dn, opacity ** (1.0 / ROOT))
        low, high = min(self._range[0], dn[0]), max(self._range[1], dn[-1])
        if self._dragged is None:
            self.setXRange(low, high, padding=0.04)

    def _place(self, at: QPointF) -> tuple[float, float]:
        where = self.getPlotItem().vb.mapSceneToView(self.mapToScene(at.toPoint()))
        return where.x(), min(max(where.y(), 0.0), 1.0) ** ROOT

    def position_of(self, number: int) -> QPointF:
        """Where a point is on the widget."""
        dn, opacity = self.points[number]
        return QPointF(self.mapFromScene(self.getPlotItem().vb.mapViewToScene(QPointF(dn, opacity ** (1.0 / ROOT)))))

    def _near(self, at: QPointF) -> int | None:
        distances = [(self.position_of(k) - at).manhattanLength() for k in range(len(self.points))]
        nearest = int(np.argmin(distances))
        return nearest if distances[nearest] <= GRIP_PX else None

    def _take(self, points: Points) -> None:
        self.points = points
        self._draw()
        self.changed.emit(points)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Take hold of a point; with the right button remove it."""
        number = self._near(event.position())
        if number is None:
            return
        if event.button() == Qt.MouseButton.LeftButton:
            self._dragged = number
        elif event.button() == Qt.MouseButton.RightButton and len(self.points) > LEAST_POINTS:
            self._take((*self.points[:number], *self.points[number + 1 :]))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Move the point that is held."""
        if self._dragged is not None:
            self._take(moved_point(self.points, self._dragged, *self._place(event.position())))

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Let go."""
        del event
        self._dragged = None
        self._draw()

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Add a point where there is none."""
        if self._near(event.position()) is None:
            self._take(tuple(sorted((*self.points, self._place(event.position())))))
