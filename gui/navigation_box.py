"""What lies under a slice view: a view box that tells what the mouse wants and moves nothing by itself."""

from __future__ import annotations

import pyqtgraph as pg
from PySide6.QtCore import QPointF, Qt, Signal
from PySide6.QtGui import QPainter


class SmoothImage(pg.ImageItem):  # type: ignore[misc]  # pyqtgraph is untyped
    """Image that is interpolated where it is coarser than the screen: a preview looks soft, never blocky."""

    def paint(self, painter: QPainter, *args: object) -> None:
        """Paint with bilinear interpolation."""
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, True)
        super().paint(painter, *args)


class NavigationBox(pg.ViewBox):  # type: ignore[misc]  # pyqtgraph is untyped
    """Wheel, drags and clicks as signals; places are coordinates of the slice in micrometres.

    Parameters
    ----------
    left_pans
        Whether the left button pans as the middle one does; else it moves the slice along its normal.

    Attributes
    ----------
    draws
        Whether the next drag with the left button draws (`drawn`) instead.
    """

    zoomed = Signal(float, QPointF)
    panned = Signal(QPointF)
    lifted = Signal(float)
    turned = Signal(QPointF, QPointF, bool)
    pointed = Signal(QPointF)
    enlarged = Signal()
    stepped = Signal(float)
    drawn = Signal(QPointF, QPointF, bool)

    def __init__(self, left_pans: bool = True) -> None:
        super().__init__(enableMenu=False, defaultPadding=0.0)
        self.left_pans = left_pans
        self.draws = False
        self.setMouseEnabled(False, False)
        self.invertY(True)
        self.disableAutoRange()

    def wheelEvent(self, event: object, axis: int | None = None) -> None:
        """Zoom about the mouse; with Ctrl or Shift step through the slices."""
        del axis
        notches = event.delta() / 120.0  # type: ignore[attr-defined]
        if event.modifiers() & (Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier):  # type: ignore[attr-defined]
            self.stepped.emit(notches)
        else:
            self.zoomed.emit(1.2**notches, self.mapSceneToView(event.scenePos()))  # type: ignore[attr-defined]
        event.accept()  # type: ignore[attr-defined]

    def mouseDragEvent(self, event: object, axis: int | None = None) -> None:
        """Draw, pan, move along the normal, or turn, by button."""
        del axis
        event.accept()  # type: ignore[attr-defined]
        here = self.mapSceneToView(event.scenePos())  # type: ignore[attr-defined]
        before = self.mapSceneToView(event.lastScenePos())  # type: ignore[attr-defined]
        button = event.button()  # type: ignore[attr-defined]
        if button == Qt.MouseButton.RightButton:
            rolls = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)  # type: ignore[attr-defined]
            self.turned.emit(before, here, rolls)
        elif button == Qt.MouseButton.LeftButton and self.draws:
            start = self.mapSceneToView(event.buttonDownScenePos())  # type: ignore[attr-defined]
            self.drawn.emit(start, here, event.isFinish())  # type: ignore[attr-defined]
        elif button == Qt.MouseButton.LeftButton and not self.left_pans:
            self.lifted.emit(before.y() - here.y())
        else:
            self.panned.emit(before - here)

    def mouseClickEvent(self, event: object) -> None:
        """Put the cross-hair where the left button was clicked; twice: enlarge the view."""
        if event.button() == Qt.MouseButton.LeftButton:  # type: ignore[attr-defined]
            event.accept()  # type: ignore[attr-defined]
            if event.double():  # type: ignore[attr-defined]
                self.enlarged.emit()
            else:
                self.pointed.emit(self.mapSceneToView(event.scenePos()))  # type: ignore[attr-defined]
