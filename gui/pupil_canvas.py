"""A map of the pupil: every LED is a direction (na_x right, na_y down), inside the circle of the aperture or outside.

What a dot looks like and what the foot says is up to those who draw on it.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFont,
    QHelpEvent,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPainterPath,
    QPaintEvent,
    QPen,
)
from PySide6.QtWidgets import QToolTip, QWidget

from acquisition.aperture import inside_aperture
from gui import theme

if TYPE_CHECKING:
    from numpy.typing import NDArray

FOOT_PX = 18
COMFORTABLE_PX = 250, 250
NEAR_PX = 7
"""A click so near to an LED is meant for it."""
ASIDE = 2.0
"""An arrow key goes to the LED that is nearest, distances across the arrow counted so many times."""
ARROWS = {
    Qt.Key.Key_Left: (-1.0, 0.0),
    Qt.Key.Key_Right: (1.0, 0.0),
    Qt.Key.Key_Up: (0.0, -1.0),
    Qt.Key.Key_Down: (0.0, 1.0),
}


class PupilCanvas(QWidget):
    """Emits `picked(led)` when an LED is clicked, dragged over or reached with the arrow keys.

    Parameters
    ----------
    name, title
        Object name, and accessible name.
    when_empty
        What stands there without LEDs.
    """

    picked = Signal(int)

    def __init__(self, name: str, title: str, when_empty: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName(name)
        self.setAccessibleName(title)
        self.setMinimumSize(140, 140)
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self._when_empty = when_empty
        self._na_l2: NDArray[np.float64] = np.empty((0, 2))
        self._inside_l: NDArray[np.bool_] = np.empty(0, bool)
        self._objective_na = 0.0
        self._under_mouse: int | None = None

    def sizeHint(self) -> QSize:
        """As large as is comfortable; it also goes smaller and larger."""
        return QSize(*COMFORTABLE_PX)

    def set_leds(self, led_na_l2: NDArray[np.float64], objective_na: float) -> None:
        """Show the LEDs (L, 2)."""
        self._na_l2, self._objective_na = np.asarray(led_na_l2, dtype=np.float64), objective_na
        self._inside_l = inside_aperture(self._na_l2, objective_na)
        self._under_mouse = None
        self.update()

    # --- what is drawn on it ------------------------------------------------------------------------------------------

    @abstractmethod
    def paint_led(self, painter: QPainter, at: QPointF, dot: float, led: int) -> None:
        """Draw an LED at a point of the widget, with a radius of about `dot` pixels."""

    @abstractmethod
    def foot(self) -> tuple[str, str]:
        """What stands below the map at the left and at the right."""

    @abstractmethod
    def here(self) -> int | None:
        """LED from which the arrow keys go on."""

    def describe(self, led: int) -> str:
        """Tell of an LED, for the tip at the mouse and the foot."""
        na_x, na_y = np.round(self._na_l2[led], 3) + 0.0  # no negative zero
        field = "bright field" if self.inside(led) else "dark field"
        return f"LED {led}: NA ({na_x:+.3f}, {na_y:+.3f}), {field}"

    def inside(self, led: int) -> bool:
        """Whether an LED shines into the aperture."""
        return bool(self._inside_l[led])

    # --- geometry -----------------------------------------------------------------------------------------------------

    def _to_px(self) -> tuple[QPointF, float]:
        """Centre of the pupil on the screen and pixels per unit of NA: the aperture and what is near fill the view."""
        farthest = float(np.hypot(*self._na_l2.T).max(initial=0.0))
        reach = min(1.5 * self._objective_na, 1.07 * max(farthest, self._objective_na)) or 1.0
        half = 0.5 * min(self.width(), self.height() - FOOT_PX) - 4
        return QPointF(self.width() / 2, (self.height() - FOOT_PX) / 2), half / reach

    def _point(self, na: NDArray[np.float64]) -> QPointF:
        centre, scale = self._to_px()
        return QPointF(centre.x() + na[0] * scale, centre.y() + na[1] * scale)

    def na_at(self, position: QPointF) -> tuple[float, float]:
        """Direction at a point of the widget."""
        centre, scale = self._to_px()
        return (position.x() - centre.x()) / scale, (position.y() - centre.y()) / scale

    def led_at(self, position: QPointF) -> int | None:
        """Index of the LED within some pixels of a point of the widget."""
        if not len(self._na_l2):
            return None
        centre, scale = self._to_px()
        away = np.hypot(
            centre.x() + self._na_l2[:, 0] * scale - position.x(), centre.y() + self._na_l2[:, 1] * scale - position.y()
        )
        nearest = int(np.argmin(away))
        return nearest if away[nearest] <= NEAR_PX else None

    def _spacing(self) -> float:
        """Distance between neighbouring directions near the axis, in NA."""
        if len(self._na_l2) < 2:
            return 0.05
        order = np.argsort(np.hypot(*self._na_l2.T))[:40]
        near = self._na_l2[order]
        distance = np.hypot(*(near[:, None] - near[None]).T) + np.eye(len(near)) * 9
        return float(np.median(distance.min(axis=0)))

    # --- painting -----------------------------------------------------------------------------------------------------

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw the pupil."""
        with QPainter(self) as painter:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            font = QFont(self.font())
            font.setPointSizeF(8)
            painter.setFont(font)
            if len(self._na_l2):
                self._paint_pupil(painter)
            else:
                painter.setPen(QColor(theme.MUTED))
                painter.drawText(self.rect(), Qt.AlignmentFlag.AlignCenter, self._when_empty)

    def _paint_pupil(self, painter: QPainter) -> None:
        centre, scale = self._to_px()
        radius = self._objective_na * scale
        painter.setBrush(QColor(theme.FIELD))
        painter.setPen(QPen(QColor(theme.MUTED), 1.4))
        painter.drawEllipse(centre, radius, radius)
        painter.setPen(QPen(QColor(theme.EDGE), 1))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawEllipse(centre, radius / 2, radius / 2)
        painter.drawLine(QPointF(centre.x() - radius, centre.y()), QPointF(centre.x() + radius, centre.y()))
        painter.drawLine(QPointF(centre.x(), centre.y() - radius), QPointF(centre.x(), centre.y() + radius))
        painter.save()
        painter.setClipRect(QRectF(0, 0, self.width(), self.height() - FOOT_PX))
        dot = float(np.clip(0.30 * scale * self._spacing(), 1.6, 5.0))
        points = (self._na_l2 * scale + [centre.x(), centre.y()]).tolist()
        for led, (x, y) in enumerate(points):
            self.paint_led(painter, QPointF(x, y), dot, led)
        if self._under_mouse is not None:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(QColor(theme.TEXT), 1))
            painter.drawEllipse(self._point(self._na_l2[self._under_mouse]), dot + 3, dot + 3)
        painter.restore()
        self.paint_over(painter, dot)
        left, right = self.foot()
        foot = QRectF(0, self.height() - FOOT_PX + 1, self.width(), FOOT_PX - 2)
        painter.setPen(QColor(theme.MUTED))
        painter.drawText(foot, Qt.AlignmentFlag.AlignLeft, left)
        painter.setPen(QColor(theme.TEXT))
        painter.drawText(foot, Qt.AlignmentFlag.AlignRight, right)
        if self.hasFocus():
            painter.setPen(QPen(QColor(theme.ACCENT), 1))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            outline = QPainterPath()
            outline.addRoundedRect(QRectF(self.rect()).adjusted(0.5, 0.5, -0.5, -FOOT_PX - 0.5), 5, 5)
            painter.drawPath(outline)

    def paint_over(self, painter: QPainter, dot: float) -> None:
        """Draw what lies above the LEDs."""

    # --- mouse and keys -----------------------------------------------------------------------------------------------

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Pick what is under the mouse."""
        if event.button() == Qt.MouseButton.LeftButton and len(self._na_l2):
            self.setFocus(Qt.FocusReason.MouseFocusReason)
            self.pick_at(event.position())

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Mark the LED under the mouse; with the button down pick it."""
        under = self.led_at(event.position())
        if under != self._under_mouse:
            self._under_mouse = under
            self.update()
        if event.buttons() & Qt.MouseButton.LeftButton and len(self._na_l2):
            self.pick_at(event.position())

    def leaveEvent(self, event: QEvent) -> None:
        """Nothing is under the mouse."""
        self._under_mouse = None
        self.update()
        super().leaveEvent(event)

    def pick_at(self, position: QPointF) -> None:
        """Pick the LED at a point of the widget, if there is one and it is not the one picked already."""
        led = self.led_at(position)
        if led is not None and led != self.here():
            self.picked.emit(led)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrow keys go to the neighbouring LED."""
        arrow = ARROWS.get(Qt.Key(event.key()))
        led = None if arrow is None else self.neighbour(np.array(arrow))
        if led is not None:
            self.picked.emit(led)
        elif arrow is None:
            super().keyPressEvent(event)

    def neighbour(self, arrow: NDArray[np.float64]) -> int | None:
        """LED next to the one picked, in the direction of an arrow (2,); from none the one in the middle."""
        if not len(self._na_l2):
            return None
        here = self.here()
        if here is None:
            return int(np.argmin(np.hypot(*self._na_l2.T)))
        away_l2 = self._na_l2 - self._na_l2[here]
        along_l = away_l2 @ arrow
        across_l = np.abs(away_l2 @ np.array([-arrow[1], arrow[0]]))
        ahead = (along_l > 0.1 * self._spacing()) & (across_l <= along_l)
        if not ahead.any():
            return None
        return int(np.argmin(np.where(ahead, along_l + ASIDE * across_l, np.inf)))

    def event(self, event: QEvent) -> bool:
        """Name the LED under the mouse."""
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip:
            led = self.led_at(QPointF(event.pos()))
            if led is None:
                QToolTip.showText(event.globalPos(), self.toolTip(), self)
            else:
                QToolTip.showText(event.globalPos(), self.describe(led), self)
            return True
        return super().event(event)
