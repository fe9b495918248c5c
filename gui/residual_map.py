"""How well the field explains the image of each LED: the pupil with its LEDs coloured by the error."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QColor, QLinearGradient, QPainter, QPen

from gui import theme
from gui.pupil_canvas import PupilCanvas
from gui.section import Section
from recon.view_requests import NO_PATTERN

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PySide6.QtWidgets import QWidget

    from recon.messages import Lights

BAR_PX = (64.0, 7.0)
"""Width and height of the scale of colours."""
OUTLYING = 3.0
"""Errors above the middle one by more than so many times what the least is below it are all shown as bad."""
LEAST_SPAN = 0.02
"""Errors that differ by less are shown alike."""


def _colours() -> tuple[str, ...]:
    """From well explained to badly."""
    return theme.ACCENT, theme.LIGHT, theme.BAD


class ResidualMap(PupilCanvas):
    """LEDs coloured by error, held-out ones in a ring, those never lit hollow, and what is shown marked.

    `picked(led)` is emitted as by every map, `pointed(na_x, na_y)` where there is no LED.
    """

    pointed = Signal(float, float)

    def __init__(self, name: str = "residual_map", parent: QWidget | None = None) -> None:
        super().__init__(name, "Error of each LED's image in the pupil", "LEDs appear with the volume", parent)
        self.setToolTip(
            "How far the image of each LED is from the one that the volume predicts: blue is well explained,\n"
            "red badly. A ring marks LEDs that were kept from the fit, a hollow dot those never lit. Click on an LED,\n"
            "or anywhere: the image is also predicted where there is no LED. Arrow keys go from LED to LED."
        )
        self._patterns_of: dict[int, list[int]] = {}
        self._lit_k2: NDArray[np.int32] = np.empty((0, 2), np.int32)
        self._error_p: NDArray[np.float32] = np.empty(0, np.float32)
        self._error_l: NDArray[np.float32] = np.empty(0, np.float32)
        self._held_out_l: NDArray[np.bool_] = np.empty(0, bool)
        self._range = (0.0, 1.0)
        self._shown_l: NDArray[np.bool_] = np.empty(0, bool)
        self._shown_na: tuple[float, float] | None = None
        self._here: int | None = None

    # --- what is shown ------------------------------------------------------------------------------------------------

    def show_lights(self, lights: Lights) -> None:
        """Take directions and errors."""
        count = len(lights.led_na_l2)
        self._lit_k2 = lights.lit_k2
        self._patterns_of = {}
        for pattern, led in lights.lit_k2.tolist():
            self._patterns_of.setdefault(led, []).append(pattern)
        self._error_p = np.array(lights.error_p, np.float32)
        self._held_out_l = np.zeros(count, bool)
        self._held_out_l[self._lit_k2[np.isin(self._lit_k2[:, 0], lights.held_out), 1]] = True
        if len(self._shown_l) != count:
            self._shown_l, self._here = np.zeros(count, bool), None
        self.set_leds(lights.led_na_l2, lights.objective_na)
        self._rate()

    def note_error(self, pattern: int, error: float) -> None:
        """Take the error of a pattern that was just looked at, which is newer than the others."""
        if not 0 <= pattern < len(self._error_p) or not np.isfinite(error):
            return
        self._error_p[pattern] = error
        self._rate()

    def _rate(self) -> None:
        """Give each LED the mean error of its patterns, and find the range of the colours."""
        count = len(self._na_l2)
        error_k = self._error_p[self._lit_k2[:, 0]]
        led_k, error_k = self._lit_k2[np.isfinite(error_k), 1], error_k[np.isfinite(error_k)]
        patterns_l = np.bincount(led_k, minlength=count)
        total_l = np.bincount(led_k, error_k, minlength=count)
        self._error_l = np.where(patterns_l > 0, total_l / np.maximum(patterns_l, 1), np.nan).astype(np.float32)
        known = self._error_l[np.isfinite(self._error_l)]
        if known.size:
            low, middle, high = (float(value) for value in np.quantile(known, (0.0, 0.5, 1.0)))
            self._range = low, max(min(high, middle + OUTLYING * (middle - low)), low + LEAST_SPAN)
            worst = int(np.nanargmax(self._error_l))
            self.setAccessibleDescription(
                f"{len(self._na_l2)} LEDs, error {low:.2f} to {high:.2f}, worst is LED {worst}"
            )
        else:
            self.setAccessibleDescription(f"{len(self._na_l2)} LEDs, errors not known")
        self.update()

    def clear(self) -> None:
        """Forget all."""
        self._patterns_of, self._shown_na, self._here = {}, None, None
        self._error_p = np.empty(0, np.float32)
        self._error_l, self._lit_k2 = np.empty(0, np.float32), np.empty((0, 2), np.int32)
        self._shown_l = np.empty(0, bool)
        self.set_leds(np.empty((0, 2)), 0.0)

    def mark(self, leds: NDArray[np.intp], na: tuple[float, float] | None = None, here: int | None = None) -> None:
        """Mark the LEDs whose light is shown, or a direction; the arrow keys go on from `here`."""
        self._shown_l = np.zeros(len(self._na_l2), bool)
        self._shown_l[leds] = True
        self._shown_na, self._here = na, here
        self.update()

    # --- what else is known of LEDs and patterns ----------------------------------------------------------------------

    def pattern_of(self, led: int, after: int = NO_PATTERN) -> int:
        """A pattern that lights an LED, `NO_PATTERN` where none does; of several the one after another."""
        patterns = self._patterns_of.get(led, [])
        if not patterns:
            return NO_PATTERN
        return patterns[(patterns.index(after) + 1) % len(patterns)] if after in patterns else patterns[0]

    def worst(self) -> int:
        """Pattern whose image is explained worst; `NO_PATTERN` where no error is known."""
        return int(np.nanargmax(self._error_p)) if np.isfinite(self._error_p).any() else NO_PATTERN

    def here(self) -> int | None:
        """See `PupilCanvas.here`."""
        return self._here

    def describe(self, led: int) -> str:
        """See `PupilCanvas.describe`."""
        error = self._error_l[led]
        state = "never lit" if led not in self._patterns_of else ""
        if np.isfinite(error):
            state = f"error {error:.3f}" + (", kept from the fit" if self._held_out_l[led] else "")
        return f"{super().describe(led)}{', ' if state else ''}{state}"

    def foot(self) -> tuple[str, str]:
        """See `PupilCanvas.foot`."""
        return f"aperture NA {self._objective_na:.4g}", ""

    def colour(self, led: int) -> QColor:
        """Colour of an LED by its error."""
        low, high = self._range
        return theme.between(_colours(), float((self._error_l[led] - low) / (high - low)))

    def pick_at(self, position: QPointF) -> None:
        """Pick the LED at a point of the widget, or point to the direction there."""
        if self.led_at(position) is not None:
            super().pick_at(position)
        else:
            self.pointed.emit(*self.na_at(position))

    # --- painting -----------------------------------------------------------------------------------------------------

    def paint_led(self, painter: QPainter, at: QPointF, dot: float, led: int) -> None:
        """See `PupilCanvas.paint_led`."""
        if np.isfinite(self._error_l[led]):
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(self.colour(led))
            painter.drawEllipse(at, dot, dot)
        else:
            filled = led in self._patterns_of
            painter.setBrush(QColor(theme.FAINT) if filled else Qt.BrushStyle.NoBrush)
            painter.setPen(Qt.PenStyle.NoPen if filled else QPen(QColor(theme.FAINT), 1.0))
            painter.drawEllipse(at, dot - 0.4, dot - 0.4)
        if self._held_out_l[led]:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(QColor(theme.TEXT), 1.2))
            painter.drawEllipse(at, dot + 2, dot + 2)
        if self._shown_l[led]:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.setPen(QPen(QColor(theme.LIGHT), 1.8))
            painter.drawEllipse(at, dot + 4.5, dot + 4.5)

    def paint_over(self, painter: QPainter, dot: float) -> None:
        """Draw the direction shown where it is no LED's, and the scale of colours."""
        if self._shown_na is not None:
            at, arm = self._point(np.array(self._shown_na)), dot + 5
            painter.setPen(QPen(QColor(theme.LIGHT), 1.8))
            painter.drawLine(QPointF(at.x() - arm, at.y()), QPointF(at.x() + arm, at.y()))
            painter.drawLine(QPointF(at.x(), at.y() - arm), QPointF(at.x(), at.y() + arm))
        if not np.isfinite(self._error_l).any():
            return
        low, high = (f"{value:.2f}" for value in self._range)
        if np.nanmax(self._error_l) > self._range[1]:
            high = f"> {high}"
        metrics = painter.fontMetrics()
        width, height = BAR_PX
        right = self.width() - metrics.horizontalAdvance(high) - 2
        base = self.height() - 5.0
        bar = QRectF(right - 4 - width, base - height, width, height)
        gradient = QLinearGradient(bar.topLeft(), bar.topRight())
        for share in np.linspace(0, 1, 9):
            gradient.setColorAt(float(share), theme.between(_colours(), float(share)))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(gradient)
        painter.drawRoundedRect(bar, 2, 2)
        painter.setPen(QColor(theme.MUTED))
        painter.drawText(QPointF(right, base), high)
        text = f"error {low}"
        painter.drawText(QPointF(bar.left() - 5 - metrics.horizontalAdvance(text), base), text)


class ErrorSection(Section):
    """The map beside a fit: how well the images are explained so far."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Error of each LED", "errors", parent)
        self.map = ResidualMap("fit_residual_map")
        self.body.addWidget(self.map, 1)

    def show_lights(self, lights: Lights) -> None:
        """Take directions and errors."""
        self.map.show_lights(lights)
        known = lights.error_p[np.isfinite(lights.error_p)]
        self.say(f"mean {known.mean():.3f}" if known.size else "")

    def clear(self) -> None:
        """Forget all."""
        self.map.clear()
        self.say("")
