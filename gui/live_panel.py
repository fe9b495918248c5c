"""What the camera sees, how old it is, how it is exposed, and which LEDs shine."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QObject, Qt, QTimer, Signal
from PySide6.QtWidgets import QComboBox, QDoubleSpinBox, QGridLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout

from acquisition.aperture import inside_aperture
from gui import theme
from gui.pupil_view import PupilView
from gui.quiet_plot import QuietPlot
from gui.section import Section, Tone, hint, set_tone

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gui.camera_picture import CameraPicture

OLD_AFTER_S = 2.0
GOAL, STEP_ON, STEP_BACK = 0.7, 20.0, 0.25
"""Of the camera's range, for the brightest pixels of the live image; and the longest steps on the way there."""
BRIGHTEST = 0.999
"""Share of the pixels that are darker than those that count as the brightest: one in a thousand may be hot."""
LIGHTS = ("Centre LED", "Bright field", "Dark", "LED of the map")


class LivePanel(QObject):
    """Three sections, which stand where the task has them: `camera`, `lighting` of the live image, and `leds`.

    Emits `exposure_chosen(ms)` and `light_chosen(brightness of each LED)`.
    """

    exposure_chosen = Signal(float)
    light_chosen = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._taken_at_s: float | None = None
        self._expected = False
        self._brightest: float | None = None
        self._build()
        self._clock = QTimer(self)
        self._clock.setInterval(250)
        self._clock.timeout.connect(self._tell_age)
        self._clock.start()

    def _build(self) -> None:
        self.camera = Section("Camera", "camera")
        self.image = pg.ImageItem(axisOrder="row-major")
        self.image.setOpts(autoDownsample=True)
        self.view = pg.GraphicsView()
        self.view.setObjectName("camera_image")
        self.view.setAccessibleName("Camera image")
        self.box = pg.ViewBox(lockAspect=True, invertY=True, enableMenu=False, enableMouse=False, defaultPadding=0.0)
        self.view.setCentralItem(self.box)
        self.box.addItem(self.image)
        self.view.setMinimumSize(140, 110)
        self.view.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.missing = hint()
        self.missing.setAlignment(Qt.AlignmentFlag.AlignCenter)
        inside = QVBoxLayout(self.view)
        inside.setContentsMargins(40, 0, 40, 0)
        inside.addWidget(self.missing)
        self.view.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.histogram = QuietPlot("Histogram of the camera image")
        self.histogram.setFixedHeight(120)
        self.histogram.hideAxis("left")
        self.histogram.hideAxis("bottom")
        self.curve = self.histogram.plot(fillLevel=0)
        self.figures = QLabel()
        self.figures.setObjectName("camera_figures")
        self.figures.setProperty("role", "state")
        self.figures.setToolTip("Size of the image, and its brightest pixel in per cent of the camera's range")
        self.exposure = QDoubleSpinBox()
        self.exposure.setObjectName("exposure")
        self.exposure.setAccessibleName("Exposure of the live image")
        self.exposure.setToolTip("Exposure of the live image; the acquisition has its own")
        self.exposure.setSuffix(" ms")
        self.exposure.setDecimals(1)
        self.exposure.setKeyboardTracking(False)
        self.exposure.valueChanged.connect(self.exposure_chosen)
        self.light = QComboBox()
        self.light.setObjectName("light")
        self.light.setAccessibleName("Light of the live image")
        self.light.setToolTip("LEDs that shine during the live image; a click on the map of LEDs lights one of them")
        self.light.addItems(LIGHTS)
        self.light.activated.connect(lambda _: self._choose_light())
        self.auto = QPushButton("Auto")
        self.auto.setObjectName("auto_exposure")
        self.auto.setAccessibleName("Find the exposure of the live image")
        self.auto.setToolTip("Expose so that the brightest pixels of the live image leave head-room")
        self.auto.clicked.connect(self._expose_better)
        row = QGridLayout()
        row.setColumnStretch(1, 1)
        row.addWidget(QLabel("Light"), 0, 0)
        row.addWidget(self.light, 0, 1, 1, 2)
        row.addWidget(QLabel("Exposure"), 1, 0)
        row.addWidget(self.exposure, 1, 1)
        row.addWidget(self.auto, 1, 2)
        self.camera.body.addWidget(self.view, 1)
        self.camera.body.addWidget(self.figures)
        self.lighting = Section("Light and exposure", "lighting")
        self.lighting.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self.lighting.body.addWidget(self.histogram)
        self.lighting.body.addLayout(row)
        self.leds = Section("LED directions in the pupil", "leds")
        self.pupil = PupilView()
        self.pupil.picked.connect(self._light_led)
        self.leds.body.addWidget(self.pupil, 1)
        self.set_connected(False)
        theme.follow(self._paint)

    def _paint(self) -> None:
        self.view.setBackground(theme.CANVAS)
        self.curve.setPen(theme.MUTED)
        self.curve.setBrush(theme.faded(theme.MUTED, 60))

    def set_connected(self, connected: bool) -> None:
        """Enable what needs an instrument."""
        self.exposure.setEnabled(connected)
        self.auto.setEnabled(connected)
        self.light.setEnabled(connected)
        if not connected:
            self._taken_at_s, self._expected = None, False
            self.image.clear()
            self.missing.setText("No image yet. Choose the profile of your microscope, and connect.")
            self.missing.show()
            self.curve.setData([], [])
            set_tone(self.figures, "", "quiet")
            self.camera.say("no camera")
            self.pupil.set_leds(np.empty((0, 2)), 0.0)

    def set_instrument(
        self, led_na_l2: NDArray[np.float64], objective_na: float, exposure_ms: tuple[float, float, float]
    ) -> None:
        """Take limits and value of the exposure (ms: min, max, now) and the LED directions."""
        self.set_connected(True)
        self.camera.say("waiting for the first image", "busy")
        self.missing.setText("")
        self.exposure.blockSignals(True)
        self.exposure.setRange(exposure_ms[0], exposure_ms[1])
        self.exposure.setValue(exposure_ms[2])
        self.exposure.blockSignals(False)
        self.pupil.set_leds(led_na_l2, objective_na)
        self._led_na_l2, self._objective_na = led_na_l2, objective_na
        self._picked = int(np.argmin(np.hypot(*led_na_l2.T)))

    def expect(self, frames: bool) -> None:
        """Frames should be coming (live or scan): an old picture is then a sign of trouble."""
        self._expected = frames

    def chosen_light(self) -> NDArray[np.float32]:
        """Brightness of each LED (L,) for the light chosen."""
        distance = np.hypot(*self._led_na_l2.T)
        brightness = np.zeros(len(distance), np.float32)
        if self.light.currentText() == LIGHTS[0]:
            brightness[np.argmin(distance)] = 1
        elif self.light.currentText() == LIGHTS[1]:
            brightness[inside_aperture(self._led_na_l2, self._objective_na)] = 1
        elif self.light.currentText() == LIGHTS[3]:
            brightness[self._picked] = 1
        return brightness

    def _light_led(self, led: int) -> None:
        """Light an LED that was picked on the map."""
        if self.light.isEnabled():
            self._picked = led
            self.light.setCurrentText(LIGHTS[3])
            self._choose_light()

    def _expose_better(self) -> None:
        """Make one step to the goal by the picture shown; each picture is good for one."""
        if self._brightest is None:
            return
        share, self._brightest = self._brightest, None
        step = STEP_BACK if share >= 1 else min(GOAL / share, STEP_ON)
        self.exposure.setValue(self.exposure.value() * step)

    def _choose_light(self) -> None:
        self.light_chosen.emit(self.chosen_light())

    def show_picture(self, picture: CameraPicture) -> None:
        """Show a camera picture with its histogram and saturation."""
        thinned = picture.image_yx[::4, ::4]
        low, high = np.percentile(thinned, (0.5, 99.5))
        self.missing.hide()
        fresh_shape = self.image.image is None or self.image.image.shape != picture.image_yx.shape
        self.image.setImage(picture.image_yx, autoLevels=False, levels=(float(low), float(max(high, low + 1))))
        if fresh_shape:
            self.box.autoRange(padding=0)
        self.curve.setData(np.arange(len(picture.counts)), np.sqrt(picture.counts))
        passed = np.cumsum(picture.counts) >= BRIGHTEST * picture.counts.sum()
        self._brightest = float(np.argmax(passed) + 1) / len(passed)
        top = float(np.flatnonzero(picture.counts).max() + 1) / len(picture.counts)
        if picture.saturated_fraction > 0:
            set_tone(self.figures, f"{100 * picture.saturated_fraction:.2g} % saturated: expose less", "bad")
        else:
            height, width = picture.image_yx.shape
            set_tone(self.figures, f"{width} × {height}   brightest {100 * top:.0f} %", "quiet")
        self._taken_at_s = picture.taken_at_s
        self._tell_age()

    def _tell_age(self) -> None:
        if self._taken_at_s is None:
            return
        age_s = time.monotonic() - self._taken_at_s
        text = "live" if age_s < 0.5 else f"{age_s:.1f} s ago" if age_s < 10 else f"{age_s:.0f} s ago"
        tone: Tone = "good" if age_s < OLD_AFTER_S and self._expected else "bad" if self._expected else "quiet"
        self.camera.say(text if self._expected or age_s >= 0.5 else "paused", tone)
