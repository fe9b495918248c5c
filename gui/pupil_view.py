"""The LED pattern as the objective sees it: every LED is a direction in the pupil, the lit ones shine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QColor, QPainter, QPen, QRadialGradient

from gui import theme
from gui.pupil_canvas import PupilCanvas

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PySide6.QtWidgets import QWidget

GLOW = 4.2
"""Radius of the light around an LED, in radii of its dot."""


class PupilView(PupilCanvas):
    """Lit LEDs glow; told apart are those already exposed in this scan, those of the plan, and dark field (rings)."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(
            "pupil_map", "LED directions in the objective's pupil",
            "LED directions appear\nwhen the board is connected", parent,
        )  # fmt: skip
        self.setToolTip(
            "Each dot is the direction of an LED, the circle the objective's aperture; LEDs of the dark field are\n"
            "rings. Click or drag over an LED to light it for the live image; arrow keys go to its neighbours."
        )
        self._brightness_l: NDArray[np.float32] = np.empty(0, np.float32)
        self._planned_l: NDArray[np.bool_] = np.empty(0, bool)
        self._seen_l: NDArray[np.bool_] = np.empty(0, bool)

    def set_leds(self, led_na_l2: NDArray[np.float64], objective_na: float) -> None:
        """Show the LEDs (L, 2) of a connected board, all dark."""
        count = len(led_na_l2)
        self._brightness_l = np.zeros(count, np.float32)
        self._planned_l = np.zeros(count, bool)
        self._seen_l = np.zeros(count, bool)
        super().set_leds(led_na_l2, objective_na)

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

    def here(self) -> int | None:
        """See `PupilCanvas.here`: the LED that shines alone."""
        lit = np.flatnonzero(self._brightness_l)
        return int(lit[0]) if len(lit) == 1 else None

    def foot(self) -> tuple[str, str]:
        """See `PupilCanvas.foot`."""
        lit = np.flatnonzero(self._brightness_l)
        if len(lit) == 1:
            na_x, na_y = np.round(self._na_l2[lit[0]], 3) + 0.0  # no negative zero
            text = f"LED {lit[0]}  ({na_x:+.3f}, {na_y:+.3f})"
        else:
            text = f"{len(lit)} LEDs lit" if len(lit) else "dark"
        return f"aperture NA {self._objective_na:g}", text

    def describe(self, led: int) -> str:
        """See `PupilCanvas.describe`."""
        states = [
            text
            for text, holds in (
                ("lit", self._brightness_l[led] > 0),
                ("in the plan", self._planned_l[led]),
                ("exposed", self._seen_l[led]),
            )
            if holds
        ]
        return ", ".join([super().describe(led), *states])

    def paint_led(self, painter: QPainter, at: QPointF, dot: float, led: int) -> None:
        """See `PupilCanvas.paint_led`."""
        brightness = float(self._brightness_l[led])
        if brightness > 0:
            glow = QRadialGradient(at, GLOW * dot)
            light = QColor(theme.LIGHT)
            light.setAlphaF(0.55 * min(1.0, 0.4 + brightness))
            glow.setColorAt(0, light)
            glow.setColorAt(1, theme.faded(theme.LIGHT, 0))
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(glow)
            painter.drawEllipse(at, GLOW * dot, GLOW * dot)
            painter.setBrush(QColor(theme.LIT))
            painter.drawEllipse(at, 1.25 * dot, 1.25 * dot)
            return
        if self._seen_l[led]:
            colour = QColor(theme.SEEN)
        elif self._planned_l[led]:
            colour = QColor(theme.PLANNED)
        else:
            colour = QColor(theme.FAINT)
        if self.inside(led):
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(colour)
            painter.drawEllipse(at, dot, dot)
        else:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(colour, 1.2))
            painter.drawEllipse(at, dot - 0.4, dot - 0.4)
