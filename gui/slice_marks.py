"""What is drawn over a slice: cross-hair, outline of the box, trace of the oblique plane, caption and scale bar."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QPolygonF
from PySide6.QtWidgets import QGraphicsPolygonItem, QLabel

from gui import theme
from gui.navigator import OBLIQUE
from gui.planes import UPRIGHT, as_point, section
from gui.scale_bar import ScaleBar

if TYPE_CHECKING:
    from gui.navigator import Navigator

AXIS_NAMES = "xyz"
LEFT_AXIS_PX = 46
CAPTION_MARGIN_PX = 8


class SliceMarks:
    """Marks of one view; they follow the navigator, and what is dragged moves its cross-hair.

    Parameters
    ----------
    view
        Name of the view.
    box, canvas
        View box and widget it is in.
    navigator
        Cross-hair and planes.
    """

    def __init__(self, view: str, box: pg.ViewBox, canvas: pg.GraphicsView, navigator: Navigator) -> None:
        self._view, self._canvas, self._navigator = view, canvas, navigator
        self._wanted = {"cross_hair": True, "scale_bar": True, "oblique": True}
        self._shown = False
        self.outline = QGraphicsPolygonItem()
        self.hair_column = pg.InfiniteLine(angle=90, movable=True)
        self.hair_row = pg.InfiniteLine(angle=0, movable=True)
        self.trace = pg.InfiniteLine(angle=45, movable=True)
        for depth, item in ((5, self.outline), (9, self.trace), (10, self.hair_column), (10, self.hair_row)):
            item.setZValue(depth)
            box.addItem(item, ignoreBounds=True)
        self.hair_column.sigDragged.connect(lambda: self._drag_hair(a_um=float(self.hair_column.value())))
        self.hair_row.sigDragged.connect(lambda: self._drag_hair(b_um=float(self.hair_row.value())))
        self.trace.sigDragged.connect(self._drag_trace)
        self.caption = QLabel(canvas)
        self.caption.setProperty("role", "caption")
        self.caption.move(LEFT_AXIS_PX + 10, 12)
        self.caption.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.scale_bar = ScaleBar(box)
        self.show(False)

    def paint(self) -> None:
        """Take the colours of the theme."""
        self.outline.setPen(pg.mkPen(theme.FAINT, width=1, style=Qt.PenStyle.DashLine))
        for line in (self.hair_column, self.hair_row):
            line.setPen(pg.mkPen(theme.faded(theme.HAIR, 170), width=1))
        self.trace.setPen(pg.mkPen(theme.faded(theme.TRACE, 210), width=1, style=Qt.PenStyle.DashLine))
        for line in (self.hair_column, self.hair_row, self.trace):
            line.setHoverPen(pg.mkPen(theme.DRAWN, width=2))
        self.caption.adjustSize()

    def follow(self) -> None:
        """Put the marks where the navigator says."""
        frame = self._navigator.frame(self._view)
        a_um, b_um = frame.coordinates(self._navigator.cursor_um)
        self.hair_column.setValue(a_um)
        self.hair_row.setValue(b_um)
        corners = section(frame, self._navigator.bounds_um)
        self.outline.setPolygon(QPolygonF([QPointF(a, b) for a, b in corners.tolist()]))
        self._write_caption()
        self.scale_bar.set_direction(frame.across)
        if self._view != OBLIQUE:
            normal = self._navigator.directions[2]
            along_a, along_b = float(normal @ frame.across), float(normal @ frame.down)
            self._crosses = math.hypot(along_a, along_b) > 1e-3
            if self._crosses:
                self.trace.setPos((a_um, b_um))
                self.trace.setAngle(math.degrees(math.atan2(-along_a, along_b)))
        self._apply()

    def _write_caption(self) -> None:
        """Which slice it is and where it lies, in the longest words that the view has room for."""
        room_px = self._canvas.width() - self.caption.x() - CAPTION_MARGIN_PX
        for text in self._captions():
            self.caption.setText(text)
            self.caption.adjustSize()
            if self.caption.width() <= room_px:
                break

    def _captions(self) -> tuple[str, ...]:
        if self._view != OBLIQUE:
            axes = UPRIGHT[self._view]
            where = f"{AXIS_NAMES[axes.normal]} = {self._navigator.cursor_um[axes.normal]:.2f}"
            return f"{axes.name}   {where} µm", f"{where} µm", where
        x, y, z = self._navigator.directions[2].tolist()
        tilt = math.degrees(math.acos(min(1.0, abs(z))))
        turn = math.degrees(math.atan2(y, x) if z >= 0 else math.atan2(-y, -x))
        where = f"tilt {tilt:.0f}°, turn {turn:.0f}°"
        return f"oblique   {where}", where, where.replace(", ", "\n")

    def set_wanted(self, which: str, wanted: bool) -> None:
        """Show or hide ``cross_hair``, ``scale_bar`` or the trace of the ``oblique`` plane."""
        self._wanted[which] = wanted
        self._apply()

    def set_movable(self, movable: bool) -> None:
        """Whether the lines can be dragged; not while something is drawn over them."""
        for line in (self.hair_column, self.hair_row, self.trace):
            line.setMovable(movable)

    def show(self, shown: bool) -> None:
        """Without a field there are no marks at all."""
        self._shown = shown
        self._crosses = self._view != OBLIQUE
        self._apply()

    def _apply(self) -> None:
        for line in (self.hair_column, self.hair_row):
            line.setVisible(self._shown and self._wanted["cross_hair"])
        self.trace.setVisible(self._shown and self._crosses and self._wanted["oblique"])
        self.scale_bar.setVisible(self._shown and self._wanted["scale_bar"])
        self.outline.setVisible(self._shown)
        self.caption.setVisible(self._shown)

    def _drag_hair(self, a_um: float | None = None, b_um: float | None = None) -> None:
        frame = self._navigator.frame(self._view)
        here = frame.coordinates(self._navigator.cursor_um)
        self._navigator.set_cursor(frame.point(here[0] if a_um is None else a_um, here[1] if b_um is None else b_um))

    def _drag_trace(self) -> None:
        """Take the oblique plane along its normal to where its trace was dragged."""
        dragged = self._navigator.frame(self._view).point(self.trace.pos().x(), self.trace.pos().y())
        away = np.array(dragged) - self._navigator.cursor_um
        normal = self._navigator.directions[2]
        self._navigator.move_along(as_point(normal), float(normal @ away))
