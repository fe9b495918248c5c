"""The image in the light of any LED: what the volume predicts, what the camera took, and what is left between them.

Which light is chosen on a map of the pupil, whose LEDs are coloured by how badly their images are explained. A
direction that no LED has can be chosen as well: the image is then predicted alone.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from acquisition.aperture import inside_aperture
from gui.contrast_panel import automatic_levels
from gui.light_images import LightImages
from gui.picture_channel import PictureChannel
from gui.residual_map import ResidualMap
from gui.section import Section, hint
from recon.view_requests import NO_PATTERN, NO_RUN, CloseView, RequestLight

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PySide6.QtGui import QHideEvent, QKeyEvent, QShowEvent

    from recon.messages import FieldReady, Lights, Picture

VIEW = "light"
PLAY_MS = 250
"""Each image stands at least so long while they are played."""
KEY_ZOOM = 1.25
FIRST_LEVELS = 0.8, 1.2
ENOUGH_PX = 256
"""Pixels a side that tell the contrast of an image."""
MAGNIFIED = (1, 2, 5, 10)
NO_VOLUME = "No volume yet.\nWhen there is one, this shows how its images compare with those that the camera took."
NEVER_LIT = "No LED shines from here, so there is nothing to compare with.\nThe volume predicts what it would show."
NOT_MEASURED = "There is no frame of this pattern, or none yet."
TOO_FAR = (
    "The model of weak scattering predicts bright field alone: light from inside the aperture, NA up to {na:.3f}.\n"
    "Choose a direction inside the circle, or reconstruct with the model of strong scattering."
)
BEYOND = "Light at NA {na:.3f} does not travel in the medium. Choose a direction nearer to the middle."


def thinned(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Every n-th pixel of an image, enough for its contrast."""
    step = max(1, max(image.shape) // ENOUGH_PX)
    return image[::step, ::step]


class LightsPanel(QWidget):
    """The images; their `controls` (map, playing, contrast) are a section that stands beside them.

    `picture_wanted(request)` goes to the reconstruction process, answers come to `show_picture`; `read_out(text)` tells
    the point under the mouse, `error_found(pattern, error)` the error of an image that was shown, and
    `marked(LEDs, direction or None, LED or None)` which light is shown.
    """

    picture_wanted = Signal(object)
    read_out = Signal(str)
    error_found = Signal(int, float)
    marked = Signal(object, object, object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("lights")
        self.setAccessibleName("Predicted and measured images")
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self._lights: Lights | None = None
        self._has_field = False
        self._pattern = NO_PATTERN
        self._na: tuple[float, float] | None = None
        self._led: int | None = None
        self._shown: tuple[NDArray[np.float32] | None, NDArray[np.float32] | None] = (None, None)
        self._error = NO_PATTERN, math.nan
        self._setting = False
        self.channel: PictureChannel[tuple[int, tuple[float, float]]] = PictureChannel(VIEW, self._send)
        self._next = QTimer(self)
        self._next.setSingleShot(True)
        self._next.setInterval(PLAY_MS)
        self._next.timeout.connect(lambda: self.step(+1))
        self.map = ResidualMap()
        self.map.setMinimumHeight(290)
        self.images = LightImages()
        self.controls = self._make_controls()
        self.heading = QLabel()
        self.heading.setProperty("role", "heading")
        self.heading.setObjectName("light_shown")
        self.heading.setAccessibleName("Light shown")
        self.note = hint()
        self.note.setObjectName("lights_note")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 6, 4, 0)
        layout.setSpacing(6)
        layout.addWidget(self.heading)
        layout.addWidget(self.images, 1)
        layout.addWidget(self.note)
        self.marked.connect(self.map.mark)
        self.error_found.connect(self.map.note_error)
        self.map.picked.connect(self.show_led)
        self.map.pointed.connect(self.show_direction)
        self.images.hovered.connect(self.read_out)
        self.clear()

    def _make_controls(self) -> Section:
        section = Section("Light", "light")
        self.play = QPushButton("Play")
        self.play.setObjectName("play_lights")
        self.play.setAccessibleName("Play through the LEDs")
        self.play.setToolTip("One LED after the other, from the middle outwards (Space)")
        self.play.setCheckable(True)
        self.play.toggled.connect(self._play)
        self.worst = QPushButton("Worst")
        self.worst.setObjectName("worst_light")
        self.worst.setAccessibleName("Go to the image that is explained worst")
        self.worst.setToolTip("Go to the image that the volume explains worst")
        self.worst.clicked.connect(self.show_worst)
        back, on = QPushButton("‹"), QPushButton("›")
        for button, name, by, key in ((back, "Previous", -1, "Page Up"), (on, "Next", +1, "Page Down")):
            button.setObjectName(f"{name.lower()}_light")
            button.setAccessibleName(f"{name} LED")
            button.setToolTip(f"{name} LED ({key})")
            button.clicked.connect(lambda _checked=False, by=by: self.step(by))
        row = QHBoxLayout()
        row.addWidget(back)
        row.addWidget(self.play, 1)
        row.addWidget(on)
        row.addWidget(self.worst, 1)
        self.hold = QPushButton("Hold contrast")
        self.hold.setObjectName("hold_contrast")
        self.hold.setAccessibleName("Hold the contrast")
        self.hold.setToolTip("Keep the contrast as it is from LED to LED; else each image has the one that suits it")
        self.hold.setCheckable(True)
        self.hold.toggled.connect(lambda _: self._recolour())
        self.levels = (QDoubleSpinBox(), QDoubleSpinBox())
        for spin, name, level in zip(self.levels, ("Lower", "Upper"), FIRST_LEVELS, strict=True):
            spin.setRange(-100.0, 100.0)
            spin.setDecimals(4)
            spin.setSingleStep(0.02)
            spin.setValue(level)
            spin.setObjectName(f"{name.lower()}_light_level")
            spin.setAccessibleName(f"{name} level of the images")
            spin.setToolTip(f"{name} level of both images, 1 is the empty field; typing here holds the contrast")
            spin.valueChanged.connect(lambda _: self._typed())
        self.magnified = QComboBox()
        self.magnified.setObjectName("residual_magnified")
        self.magnified.setAccessibleName("Residual magnified")
        self.magnified.setToolTip("How much stronger the residual is shown than the images")
        for factor in MAGNIFIED:
            self.magnified.addItem(f"residual × {factor}", factor)
        self.magnified.currentIndexChanged.connect(lambda _: self._recolour())
        grid = QGridLayout()
        levels = QHBoxLayout()
        levels.addWidget(QLabel("Levels"))
        for spin in self.levels:
            levels.addWidget(spin, 1)
        grid.addLayout(levels, 0, 0, 1, 2)
        grid.addWidget(self.hold, 1, 0)
        grid.addWidget(self.magnified, 1, 1)
        section.body.addWidget(self.map, 1)
        section.body.addLayout(row)
        section.body.addLayout(grid)
        return section

    # --- a field comes and goes ---------------------------------------------------------------------------------------

    def show_field(self, ready: FieldReady) -> None:
        """There is a field: ask for the image shown."""
        self._has_field = True
        self.images.set_box(ready.bounds_um, ready.resolution_um)
        self.channel.forget()
        self._ask()

    def show_lights(self, lights: Lights) -> None:
        """Take the LEDs with their errors; of a new run, choose one to begin with."""
        first = self._lights is None
        self._lights = lights
        self.map.show_lights(lights)
        self.note.setText(lights.told)
        self.note.setVisible(bool(lights.told) and len(lights.lit_k2) > 0)  # else it stands in place of the image
        self.controls.setEnabled(True)
        if first:
            self._begin(lights)
        else:
            self._mark()
            self.error_found.emit(*self._error)  # newer than what a fit saw on its way

    def _begin(self, lights: Lights) -> None:
        """Show a pattern that was kept from the fit: there the volume has to prove itself."""
        patterns = self._patterns()
        held_out = [pattern for pattern in patterns if pattern in lights.held_out]
        if patterns:
            self.show_pattern((held_out or patterns)[0])
        elif len(lights.led_na_l2):
            self.show_led(int(np.argmin(np.hypot(*lights.led_na_l2.T))))

    def clear(self, expecting: str = "") -> None:
        """Forget the field; `expecting` says what the next one waits for."""
        self._has_field, self._lights = False, None
        self._pattern, self._na, self._led = NO_PATTERN, None, None
        self._shown, self._error = (None, None), (NO_PATTERN, math.nan)
        self.play.setChecked(False)
        self.channel.forget()
        self.map.clear()
        self.images.clear(expecting or NO_VOLUME)
        self.controls.setEnabled(False)
        self.controls.say("")
        self.heading.setText("")
        self.note.hide()
        self.read_out.emit("")

    def refresh(self) -> None:
        """The field has reached its final state: ask again."""
        self._ask()

    # --- choosing the light -------------------------------------------------------------------------------------------

    def show_led(self, led: int) -> None:
        """Show the image in the light of an LED: of a pattern that lights it, else predicted alone."""
        if self._lights is None or not 0 <= led < len(self._lights.led_na_l2):
            return
        pattern = self.map.pattern_of(led, after=self._pattern)
        if pattern != NO_PATTERN:
            self.show_pattern(pattern, led)
        else:
            na_x, na_y = self._lights.led_na_l2[led].tolist()
            self._choose(NO_PATTERN, (na_x, na_y), led)

    def show_pattern(self, pattern: int, led: int | None = None) -> None:
        """Show the image of a pattern of the capture; the arrow keys go on from `led`, one of its LEDs."""
        leds = self._leds(pattern)
        if len(leds):
            self._choose(pattern, None, int(leds[0]) if led is None else led)

    def show_direction(self, na_x: float, na_y: float) -> None:
        """Predict the image in light from a direction that no LED has."""
        if self._lights is not None:
            self._choose(NO_PATTERN, (na_x, na_y), None)

    def show_worst(self) -> None:
        """Show the image that is explained worst."""
        self.show_pattern(self.map.worst())

    def step(self, by: int) -> None:
        """Show the next or the previous pattern, from the middle outwards in a spiral."""
        patterns = self._patterns()
        if not patterns:
            return
        place = patterns.index(self._pattern) + by if self._pattern in patterns else 0
        self.show_pattern(patterns[place % len(patterns)])

    def _choose(self, pattern: int, na: tuple[float, float] | None, led: int | None) -> None:
        self._pattern, self._na, self._led = pattern, na, led
        self._mark()
        self._ask()

    def _mark(self) -> None:
        leds = self._leds(self._pattern)
        if not len(leds) and self._led is not None:
            leds = np.array([self._led])
        self.marked.emit(leds, self._na if self._led is None else None, self._led)
        self.heading.setText(self._what())

    def _what(self) -> str:
        """The light shown, in words."""
        assert self._lights is not None
        leds = self._leds(self._pattern)
        if len(leds) > 1:
            text = f"Pattern {self._pattern}: {len(leds)} LEDs together"
        else:
            na_x, na_y = self._lights.led_na_l2[leds[0]].tolist() if self._na is None else self._na
            bright = inside_aperture(np.array([na_x, na_y]), self._lights.objective_na)
            field = "bright field" if bright else "dark field"
            name = "No LED" if self._led is None else f"LED {self._led}"
            text = f"{name}   NA ({na_x:+.3f}, {na_y:+.3f})   {field}"
        return text + ("   kept from the fit" if self._pattern in self._lights.held_out else "")

    def _leds(self, pattern: int) -> NDArray[np.intp]:
        if self._lights is None:
            return np.empty(0, np.intp)
        lit_k2 = self._lights.lit_k2
        leds: NDArray[np.intp] = lit_k2[lit_k2[:, 0] == pattern, 1].astype(np.intp)
        return leds

    def _patterns(self) -> list[int]:
        """All patterns, from the middle outwards in a spiral; of several LEDs by the first of them."""
        assert self._lights is not None
        if not len(self._lights.lit_k2):
            return []
        patterns, first = np.unique(self._lights.lit_k2[:, 0], return_index=True)
        na_p2 = self._lights.led_na_l2[self._lights.lit_k2[first, 1]]
        ring = np.round(np.hypot(*na_p2.T) / max(0.1 * self._lights.objective_na, 1e-9))
        return [int(p) for p in patterns[np.lexsort([np.arctan2(na_p2[:, 1], na_p2[:, 0]), ring])]]

    # --- pictures -----------------------------------------------------------------------------------------------------

    def _ask(self) -> None:
        if self._has_field and self.isVisible() and (self._pattern != NO_PATTERN or self._na is not None):
            self.channel.ask((self._pattern, self._na or (0.0, 0.0)))

    def _send(self, view: str, request: int, light: tuple[int, tuple[float, float]]) -> None:
        self.picture_wanted.emit(RequestLight(NO_RUN, view, request, *light))

    def show_picture(self, answer: Picture, picture: NDArray[np.float32]) -> None:
        """Show an answer of this view, (3, H, W), unless a newer one is there."""
        if answer.view != VIEW or not self._has_field or not self.channel.answered(answer.request):
            return
        asked = answer.asked
        assert isinstance(asked, RequestLight)
        predicted, measured, residual = (image if math.isfinite(float(image[0, 0])) else None for image in picture)
        self._shown = predicted, measured
        self._recolour()
        self.images.show_images(predicted, measured, residual, self._words(asked))
        error = math.nan
        if residual is not None and measured is not None:
            error = float(np.linalg.norm(residual) / max(float(np.linalg.norm(measured - 1)), 1e-12))
            self.images.residual.figure.setText(f"error {error:.3f}")
            self.error_found.emit(asked.pattern, error)
        self._error = asked.pattern, error
        for part, image in ((self.images.predicted, predicted), (self.images.measured, measured)):
            if image is not None:
                part.figure.setText(f"contrast {float(thinned(image).std()):.3f}")
        self.controls.say(f"error {error:.3f}" if math.isfinite(error) else "predicted alone")
        if self.play.isChecked() and not self._next.isActive():  # images also come unasked, while fitting
            self._next.start()

    def _words(self, asked: RequestLight) -> tuple[str, str]:
        """What stands where there is no predicted and no measured image."""
        assert self._lights is not None
        farthest = math.hypot(*asked.na)
        if asked.pattern != NO_PATTERN:
            farthest = float(np.hypot(*self._lights.led_na_l2[self._leds(asked.pattern)].T).max(initial=0.0))
        weak = self._lights.largest_na <= self._lights.objective_na
        predicted = TOO_FAR.format(na=self._lights.largest_na) if weak else BEYOND.format(na=farthest)
        return predicted, NOT_MEASURED if asked.pattern != NO_PATTERN else self._lights.told or NEVER_LIT

    # --- view, contrast -----------------------------------------------------------------------------------------------

    def reset_view(self) -> None:
        """Show the whole images."""
        self.images.show_all()

    def zoom(self, steps: int) -> None:
        """Zoom about the middle by keyboard."""
        self.images.zoom_by(KEY_ZOOM**steps)

    def choose_contrast(self) -> None:
        """Give each image the contrast that suits it."""
        self.hold.setChecked(False)

    def _typed(self) -> None:
        if not self._setting:
            self.hold.setChecked(True)
            self._recolour()

    def _recolour(self) -> None:
        """Give both images the contrast that suits them, unless it is held."""
        images = [thinned(image) for image in reversed(self._shown) if image is not None]
        levels = automatic_levels(images[:1]) if images and not self.hold.isChecked() else None
        if levels is not None:
            self._setting = True
            for spin, level in zip(self.levels, levels, strict=True):
                spin.setValue(level)
            self._setting = False
        low, high = (spin.value() for spin in self.levels)
        self.images.set_levels(low, max(high, low + 1e-4), float(self.magnified.currentData()))

    # --- playing, keys ------------------------------------------------------------------------------------------------

    def _play(self, on: bool) -> None:
        self.play.setText("Stop" if on else "Play")
        if on:
            self.step(+1)
        else:
            self._next.stop()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrow keys: LED by LED. Page Up, Page Down: pattern by pattern. Space: play. Home: all of the image."""
        key = event.key()
        if key in (Qt.Key.Key_PageUp, Qt.Key.Key_PageDown):
            self.step(+1 if key == Qt.Key.Key_PageDown else -1)
        elif key == Qt.Key.Key_Space:
            self.play.toggle()
        elif key == Qt.Key.Key_Home:
            self.images.show_all()
        else:
            self.map.keyPressEvent(event)

    def showEvent(self, event: QShowEvent) -> None:
        """Ask for what is to be seen."""
        super().showEvent(event)
        self._ask()

    def hideEvent(self, event: QHideEvent) -> None:
        """Nothing is played, nor painted while the fit goes on, where nobody looks."""
        super().hideEvent(event)
        self.play.setChecked(False)
        self.channel.forget()
        self.picture_wanted.emit(CloseView(NO_RUN, VIEW))
