"""A scale bar of a round length (1, 2 or 5 times a power of ten) that stays in its corner at every zoom."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pyqtgraph as pg
from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QColor, QFont, QFontMetricsF, QPainter

from gui import theme
from gui.lengths import length_text, round_length_um

if TYPE_CHECKING:
    from PySide6.QtWidgets import QStyleOptionGraphicsItem, QWidget

MARGIN_PX = 14.0
THICKNESS_PX = 3.0
LIFT_PX = 32.0
"""How far above the bar the resolution stands where there is no room beside it."""
HEIGHT_PX = 80.0
BEYOND_PX = 12.0
"""Where the shortest period that light shows covers so many pixels, a closer look shows no more of the sample."""


class ScaleBar(pg.GraphicsObject):  # type: ignore[misc]  # pyqtgraph is untyped
    """Bar at the lower right of a view box; at the lower left the optical resolution, once zoom passes it.

    A view that is too narrow for the word has no resolution: a bar that nothing explains would only be a riddle.

    Parameters
    ----------
    view_box
        The view box it lies in; follows its range and size.
    """

    def __init__(self, view_box: pg.ViewBox) -> None:
        super().__init__()
        self.setParentItem(view_box)
        self.setZValue(50)
        self.setAcceptedMouseButtons(Qt.MouseButton.NoButton)
        self._box = view_box
        self._resolution_um = (0.0, 0.0)
        self._steepness = 0.0
        view_box.sigRangeChanged.connect(self._follow)
        view_box.sigResized.connect(self._follow)

    def set_resolution(self, resolution_um: tuple[float, float]) -> None:
        """Lateral and axial optical resolution."""
        self._resolution_um = resolution_um
        self.update()

    def set_direction(self, across: tuple[float, float, float]) -> None:
        """Direction of the view's columns in the volume: the resolution along it is what counts."""
        self._steepness = abs(across[2])
        self.update()

    @property
    def resolution_um(self) -> float:
        """Optical resolution along the bar."""
        lateral, axial = self._resolution_um
        if lateral <= 0 or axial <= 0:
            return 0.0
        return 1.0 / math.hypot(math.sqrt(1.0 - min(1.0, self._steepness**2)) / lateral, self._steepness / axial)

    def _follow(self) -> None:
        self.prepareGeometryChange()
        self.update()

    def um_per_px(self) -> float:
        """Size of a screen pixel in the view, in micrometres."""
        (left, right), _ = self._box.viewRange()
        return float(right - left) / max(1.0, float(self._box.width()))

    def length_um(self) -> float:
        """Length the bar has now: at most a quarter of the view, at most 160 pixels."""
        return round_length_um(min(160.0, max(30.0, 0.25 * float(self._box.width()))) * self.um_per_px())

    def boundingRect(self) -> QRectF:
        """Lower part of the view, in its pixels."""
        size = self._box.size()
        return QRectF(0, size.height() - HEIGHT_PX, size.width(), HEIGHT_PX)

    def paint(self, painter: QPainter, _option: QStyleOptionGraphicsItem, _widget: QWidget | None = None) -> None:
        """Draw in screen pixels, on a veil so that it can be read on any picture."""
        scale = self.um_per_px()
        shown_um = self.length_um()
        right, bottom = float(self._box.width()) - MARGIN_PX, float(self._box.height()) - MARGIN_PX
        width = shown_um / scale
        font = QFont(painter.font())
        font.setPointSizeF(9)
        painter.setFont(font)
        bar = QRectF(right - width, bottom - THICKNESS_PX, width, THICKNESS_PX)
        self._draw(painter, bar, length_text(shown_um), theme.TEXT)
        resolved = self.resolution_um / scale
        if resolved >= BEYOND_PX:
            mark = QRectF(MARGIN_PX, bottom - 2, min(resolved, 0.6 * self._box.width()), 2)
            length = length_text(float(f"{self.resolution_um:.2g}"))
            beside, above = bar.left() - 34 - MARGIN_PX, self._box.width() - 2 * MARGIN_PX
            for text, room, lift in (
                (f"beyond the optical resolution ({length})", beside, 0),
                (f"resolution {length}", beside, 0),
                (f"resolution {length}", above, LIFT_PX),
            ):
                if QFontMetricsF(font).horizontalAdvance(text) < room:
                    self._draw(painter, mark.translated(0, -lift), text, theme.DRAWN)
                    break

    def _draw(self, painter: QPainter, bar: QRectF, text: str, colour: str) -> None:
        """Draw a bar with its text above: in the middle, but within the view."""
        width = QFontMetricsF(painter.font()).horizontalAdvance(text)
        rightmost = float(self._box.width()) - MARGIN_PX - width
        left = max(MARGIN_PX, min(bar.center().x() - width / 2, rightmost))
        veil = bar.united(QRectF(left, bar.top() - 18, width, 14) if text else bar).adjusted(-6, -3, 6, 6)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(theme.VEIL))
        painter.drawRoundedRect(veil, 4, 4)
        painter.fillRect(bar, QColor(colour))
        painter.setPen(QColor(theme.TEXT))
        painter.drawText(int(left), int(bar.top() - 6), text)
