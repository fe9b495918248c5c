"""The newest frame's spectrum with the circles that its LEDs should show in it: a wrong geometry is seen at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QPainterPath
from PySide6.QtWidgets import QGraphicsPathItem, QSizePolicy

from gui import theme
from gui.section import Section, hint
from gui.spectrum import SpectrumService

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gui.spectrum import Spectrum

PURPOSE = (
    "Light of one LED shows two bright discs in the spectrum of its image, as large as the aperture: their rims\n"
    "should lie on the circles. Where they lie beside them, the profile is wrong about the board (position, rotation,\n"
    "distance, mirroring) or the objective's NA, or the frames do not belong to their LEDs.\n"
    "Dashed: as the profile has it. Solid: as the calibration of a reconstruction found it."
)
SHOWN = 2.15
"""So many times the aperture's radius is shown: the discs reach to 2."""
MOST_LEDS = 24
"""Circles of more LEDs at once would hide the spectrum."""


class SpectrumPanel(Section):
    """Give it frames with `offer`; nothing is computed while it is not to be seen."""

    def __init__(self) -> None:
        super().__init__("Spectrum of the frame", "spectrum")
        self.setToolTip(PURPOSE)
        self.service = SpectrumService(self)
        self.service.ready.connect(self._show)
        self.destroyed.connect(self.service.end)
        self._wavelength_um, self._pixel_um = 1.0, 1.0
        self._geometries: list[tuple[NDArray[np.float64], float] | None] = [None, None]
        self.view = pg.GraphicsView()
        self.view.setObjectName("spectrum_image")
        self.view.setAccessibleName("Spectrum of the newest frame, with the circles of its LEDs")
        self.view.setMinimumSize(140, 110)
        self.view.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Ignored)  # its hint grows with it
        self.box = pg.ViewBox(lockAspect=True, invertY=True, enableMenu=False, enableMouse=False, defaultPadding=0.0)
        self.view.setCentralItem(self.box)
        self.image = pg.ImageItem(axisOrder="row-major")
        self.box.addItem(self.image, ignoreBounds=True)
        self.circles = (QGraphicsPathItem(), QGraphicsPathItem())
        for item in self.circles:
            item.setZValue(5)
            self.box.addItem(item, ignoreBounds=True)
        self.legend = hint()
        self.legend.setObjectName("spectrum_legend")
        self.body.addWidget(self.view, 1)
        self.body.addWidget(self.legend)
        self.clear()
        theme.follow(self._paint)

    def _paint(self) -> None:
        self.view.setBackground(theme.CANVAS)
        nominal, calibrated = self.circles
        nominal.setPen(pg.mkPen(theme.LIGHT, width=1.2, style=Qt.PenStyle.DashLine))
        calibrated.setPen(pg.mkPen(theme.ACCENT, width=1.4))

    def clear(self) -> None:
        """Without an instrument there is nothing to see."""
        self._geometries = [None, None]
        self.image.clear()
        for item in self.circles:
            item.setPath(QPainterPath())
        self.legend.setText("")
        self.say("no frame")

    def set_geometry(
        self, led_na_l2: NDArray[np.float64], objective_na: float, wavelength_um: float, pixel_um: float
    ) -> None:
        """Take the profile's directions (L, 2), NA, wavelength and pixel in the sample; a calibration is forgotten."""
        self._geometries = [(led_na_l2, objective_na), None]
        self._wavelength_um, self._pixel_um = wavelength_um, pixel_um
        reach = min(SHOWN * objective_na / wavelength_um, 0.5 / pixel_um)
        self.box.setRange(QRectF(-reach, -reach, 2 * reach, 2 * reach), padding=0, disableAutoRange=True)

    def set_calibrated(self, led_na_l2: NDArray[np.float64], objective_na: float) -> None:
        """Take the directions (L, 2) and the NA that a calibration found, where they belong to this board."""
        nominal = self._geometries[0]
        if nominal is None or nominal[0].shape != led_na_l2.shape:
            return
        same = np.allclose(nominal[0], led_na_l2, atol=1e-6) and abs(nominal[1] - objective_na) < 1e-6
        self._geometries[1] = None if same else (led_na_l2, objective_na)

    def offer(self, image_yx: NDArray[np.uint16], brightness_l: NDArray[np.float32] | None) -> None:
        """Take a frame (H, W) and the LEDs that shone, (L,); None: dark, which has no spectrum worth looking at."""
        if self.isVisible() and self._geometries[0] is not None and brightness_l is not None and brightness_l.any():
            self.service.offer(image_yx, brightness_l)

    def _show(self, spectrum: Spectrum) -> None:
        if self._geometries[0] is None:
            return
        rows, columns = spectrum.log_yx.shape
        step_y, step_x = 1 / (rows * self._pixel_um), 1 / (columns * self._pixel_um)
        self.image.setImage(spectrum.log_yx, autoLevels=False, levels=spectrum.levels)
        # Frequency 0 is the middle of pixel N // 2.
        self.image.setRect(
            QRectF(-(columns // 2 + 0.5) * step_x, -(rows // 2 + 0.5) * step_y, columns * step_x, rows * step_y)
        )
        lit = np.flatnonzero(spectrum.brightness_l)
        names = []
        for item, geometry, name in zip(
            self.circles, self._geometries, ("dashed: profile", "solid: calibrated"), strict=True
        ):
            drawn = geometry is not None and len(lit) <= MOST_LEDS
            item.setPath(self._discs(geometry, lit) if drawn and geometry is not None else QPainterPath())
            names += [name] if drawn else []
        self.legend.setText(", ".join(names).capitalize() if names else "Too many LEDs at once for circles")
        self.say(f"LED {lit[0]}" if len(lit) == 1 else f"{len(lit)} LEDs", "good")

    def _discs(self, geometry: tuple[NDArray[np.float64], float], lit: NDArray[np.intp]) -> QPainterPath:
        """Rims of the two discs of each LED, in cycles per micrometre."""
        led_na_l2, objective_na = geometry
        radius = objective_na / self._wavelength_um
        path = QPainterPath()
        for x, y in led_na_l2[lit] / self._wavelength_um:
            for sign in (1, -1):
                path.addEllipse(sign * x - radius, sign * y - radius, 2 * radius, 2 * radius)
        return path
