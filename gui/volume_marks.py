"""What is drawn over the picture of a volume: the edges of its box, a scale bar, and the directions of the axes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import QPointF, QRect, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QPainter, QPen

from gui import theme
from gui.lengths import length_text, round_length_um

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from recon.scene import Camera

TRIAD_PX = 30.0


def box_edges(bounds_um: NDArray[np.float64], camera: Camera) -> list[tuple[NDArray[np.float64], bool]]:
    """Edges of a box, (2, 3) micrometres each, and whether the box itself hides them."""
    away = camera.axes[2]
    edges = []
    for axis in range(3):
        one, other = (k for k in range(3) if k != axis)
        for i in (0, 1):
            for j in (0, 1):
                ends = np.array([bounds_um[0], bounds_um[0]], float)
                ends[:, one], ends[:, other] = bounds_um[i, one], bounds_um[j, other]
                ends[1, axis] = bounds_um[1, axis]
                faces_viewer = [(2 * side - 1) * away[k] < 0 for side, k in ((i, one), (j, other))]
                edges.append((ends, not any(faces_viewer)))
    return edges


class VolumeMarks:
    """Draws on a widget as a camera sees it.

    Parameters
    ----------
    painter
        Of the widget's paint event.
    camera
        With the widget's pixels; it looks at the middle of `rect`.
    ink, font
        Of bar and letters.
    """

    def __init__(self, painter: QPainter, camera: Camera, rect: QRect, ink: str, font: QFont) -> None:
        self._painter, self._camera, self._rect, self._ink = painter, camera, QRectF(rect), ink
        self._font = QFont(font)
        self._font.setPointSizeF(9)

    def draw_boxes(self, boxes: Sequence[tuple[NDArray[np.float64], str]], hidden: bool) -> None:
        """Draw edges of boxes, (2, 3) micrometres with a colour each: those the boxes hide, or those that are near."""
        middle = self._rect.center()
        for bounds_um, colour in boxes:
            style = Qt.PenStyle.DotLine if hidden else Qt.PenStyle.SolidLine
            self._painter.setPen(QPen(theme.faded(colour, 90 if hidden else 150), 1.0, style))
            for ends_um, is_hidden in box_edges(bounds_um, self._camera):
                if is_hidden == hidden:
                    (x0, y0, _), (x1, y1, _) = self._camera.project(ends_um).tolist()
                    self._painter.drawLine(middle + QPointF(x0, y0), middle + QPointF(x1, y1))

    def draw_scale_bar(self) -> None:
        """At the right below, of a round length."""
        scale = self._camera.um_per_px
        length_um = round_length_um(min(160.0, max(30.0, 0.25 * self._rect.width())) * scale)
        right, bottom = self._rect.width() - 16.0, self._rect.height() - 16.0
        bar = QRectF(right - length_um / scale, bottom - 3.0, length_um / scale, 3.0)
        self._painter.fillRect(bar, QColor(self._ink))
        self._write(length_text(length_um), QPointF(bar.center().x(), bar.top() - 10.0), self._ink)

    def draw_triad(self) -> None:
        """Directions of x, y and z, at the left below."""
        origin = QPointF(TRIAD_PX + 22.0, self._rect.height() - TRIAD_PX - 22.0)
        arrows = sorted(
            zip("xyz", self._camera.axes.T, (theme.DRAWN, theme.TRACE, theme.HAIR), strict=True),
            key=lambda arrow: -arrow[1][2],  # the farthest first
        )
        for name, (right, down, _), colour in arrows:
            self._painter.setPen(QPen(QColor(colour), 2.0))
            self._painter.drawLine(origin, origin + QPointF(right, down) * TRIAD_PX)
            self._write(name, origin + QPointF(right, down) * (TRIAD_PX + 10.0), colour)

    def _write(self, text: str, middle: QPointF, colour: str) -> None:
        self._painter.setFont(self._font)
        self._painter.setPen(QColor(colour))
        frame = QRectF(middle.x() - 60, middle.y() - 10, 120, 20)
        self._painter.drawText(frame, Qt.AlignmentFlag.AlignCenter, text)
