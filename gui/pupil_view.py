"""The LED pattern as the objective sees it: every LED is a direction in the pupil, the lit ones shine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import QEvent, QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QHelpEvent, QPainter, QPaintEvent, QPen, QRadialGradient
from PySide6.QtWidgets import QToolTip, QWidget

from gui import theme

if TYPE_CHECKING:
    from numpy.typing import NDArray


class PupilView(QWidget):
    """Directions of the LEDs (na_x right, na_y down) with the circle of the objective's aperture.

    Lit LEDs glow; told apart are those already exposed in this scan, those of the plan, and those outside the aperture.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("pupil_map")
        self.setAccessibleName("LED directions in the objective's pupil")
        self.setMinimumSize(180, 180)
        self._na_l2: NDArray[np.float64] = np.empty((0, 2))
        self._brightness_l: NDArray[np.float32] = np.empty(0, np.float32)
        self._planned_l: NDArray[np.bool_] = np.empty(0, bool)
        self._seen_l: NDArray[np.bool_] = np.empty(0, bool)
        self._objective_na = 0.0

    def set_leds(self, led_na_l2: NDArray[np.float64], objective_na: float) -> None:
        """Show the LEDs (L, 2) of a connected board, all dark."""
        count = len(led_na_l2)
        self._na_l2, self._objective_na = np.asarray(led_na_l2, dtype=np.float64), objective_na
        self._brightness_l = np.zeros(count, np.float32)
        self._planned_l = np.zeros(count, bool)
        self._seen_l = np.zeros(count, bool)
        self.update()

    def set_planned(self, planned_l: NDArray[np.bool_]) -> None:
        """Mark the LEDs that the plan uses, (L,)."""
        self._planned_l = planned_l
        self.update()

    def set_lit(self, brightness_l: NDArray[np.float32] | None) -> None:
        """Show which LEDs shine now, brightness (L,) 0 to 1; None: all dark."""
        self._brightness_l = np.zeros(len(self._na_l2), np.float32) if brightness_l is None else brightness_l
        lit = np.flatnonzero(self._brightness_l)
        self.setAccessibleDescription(f"{len(self._na_l2)} LEDs, lit: {', '.join(map(str, lit[:12])) or 'none'}")
        self.update()

    def mark_seen(self, brightness_l: NDArray[np.float32] | None) -> None:
        """Mark LEDs as exposed in this scan; None forgets all marks."""
        self._seen_l = np.zeros(len(self._na_l2), bool) if brightness_l is None else self._seen_l | (brightness_l > 0)
        self.update()

    @property
    def lit_l(self) -> NDArray[np.float32]:
        """Brightness shown now, (L,)."""
        return self._brightness_l

    def _to_px(self) -> tuple[QPointF, float]:
        """Centre of the pupil on the screen and pixels per unit of NA: the aperture and what is near fill the view."""
        farthest = float(np.hypot(*self._na_l2.T).max(initial=0.0))
        reach = min(1.5 * self._objective_na, 1.07 * max(farthest, self._objective_na)) or 1.0
        half = 0.5 * min(self.width(), self.height() - 18) - 4
        return QPointF(self.width() / 2, (self.height() - 18) / 2), half / reach

    def paintEvent(self, _event: QPaintEvent) -> None:
        """Draw the pupil."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        centre, scale = self._to_px()
        font = QFont(self.font())
        font.setPointSizeF(8)
        painter.setFont(font)
        if not len(self._na_l2):
            painter.setPen(QColor(theme.MUTED))
            painter.drawText(
                self.rect(), Qt.AlignmentFlag.AlignCenter, "LED directions appear\nwhen the board is connected"
            )
            painter.end()
            return
        radius = self._objective_na * scale
        painter.setBrush(QColor(theme.FIELD))
        painter.setPen(QPen(QColor(theme.MUTED), 1.4))
        painter.drawEllipse(centre, radius, radius)
        painter.setPen(QPen(QColor(theme.EDGE), 1))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawEllipse(centre, radius / 2, radius / 2)
        painter.drawLine(QPointF(centre.x() - radius, centre.y()), QPointF(centre.x() + radius, centre.y()))
        painter.drawLine(QPointF(centre.x(), centre.y() - radius), QPointF(centre.x(), centre.y() + radius))
        self._paint_leds(painter, centre, scale)
        painter.setPen(QColor(theme.MUTED))
        foot = QRectF(0, self.height() - 17, self.width(), 16)
        lit = np.flatnonzero(self._brightness_l)
        painter.drawText(foot, Qt.AlignmentFlag.AlignLeft, f"aperture NA {self._objective_na:g}")
        if len(lit) == 1:
            na_x, na_y = np.round(self._na_l2[lit[0]], 3) + 0.0  # no negative zero
            text = f"LED {lit[0]}  ({na_x:+.3f}, {na_y:+.3f})"
        else:
            text = f"{len(lit)} LEDs lit" if len(lit) else "dark"
        painter.setPen(QColor(theme.LIGHT if len(lit) else theme.MUTED))
        painter.drawText(foot, Qt.AlignmentFlag.AlignRight, text)
        painter.end()

    def _paint_leds(self, painter: QPainter, centre: QPointF, scale: float) -> None:
        painter.save()
        painter.setClipRect(QRectF(0, 0, self.width(), self.height() - 18))
        dot = float(np.clip(0.30 * scale * self._spacing(), 1.6, 5.0))
        painter.setPen(Qt.PenStyle.NoPen)
        inside = np.hypot(*self._na_l2.T) <= self._objective_na
        for led, (na_x, na_y) in enumerate(self._na_l2):
            at = QPointF(centre.x() + na_x * scale, centre.y() + na_y * scale)
            brightness = float(self._brightness_l[led])
            if brightness > 0:
                glow = QRadialGradient(at, 4.2 * dot)
                light = QColor(theme.LIGHT)
                light.setAlphaF(0.55 * min(1.0, 0.4 + brightness))
                glow.setColorAt(0, light)
                glow.setColorAt(1, theme.faded(theme.LIGHT, 0))
                painter.setBrush(glow)
                painter.drawEllipse(at, 4.2 * dot, 4.2 * dot)
                painter.setBrush(QColor(theme.LIT))
                painter.drawEllipse(at, 1.25 * dot, 1.25 * dot)
                continue
            if self._seen_l[led]:
                colour = theme.SEEN
            elif self._planned_l[led]:
                colour = theme.PLANNED
            else:
                colour = theme.FAINT if inside[led] else theme.EDGE
            painter.setBrush(QColor(colour))
            painter.drawEllipse(at, dot, dot)
        painter.restore()

    def _spacing(self) -> float:
        """Distance between neighbouring directions near the axis, in NA."""
        if len(self._na_l2) < 2:
            return 0.05
        order = np.argsort(np.hypot(*self._na_l2.T))[:40]
        near = self._na_l2[order]
        distance = np.hypot(*(near[:, None] - near[None]).T) + np.eye(len(near)) * 9
        return float(np.median(distance.min(axis=0)))

    def led_at(self, position: QPointF) -> int | None:
        """Index of the LED within 7 pixels of a point of the widget."""
        if not len(self._na_l2):
            return None
        centre, scale = self._to_px()
        away = np.hypot(
            centre.x() + self._na_l2[:, 0] * scale - position.x(), centre.y() + self._na_l2[:, 1] * scale - position.y()
        )
        nearest = int(np.argmin(away))
        return nearest if away[nearest] <= 7 else None

    def event(self, event: QEvent) -> bool:
        """Name the LED under the mouse."""
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip:
            led = self.led_at(QPointF(event.pos()))
            if led is None:
                QToolTip.hideText()
            else:
                na_x, na_y = self._na_l2[led]
                field = "bright field" if np.hypot(na_x, na_y) <= self._objective_na else "dark field"
                QToolTip.showText(event.globalPos(), f"LED {led}: NA ({na_x:+.3f}, {na_y:+.3f}), {field}", self)
            return True
        return super().event(event)
