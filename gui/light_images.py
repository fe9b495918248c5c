"""Predicted, measured and residual image side by side, with one zoom, one contrast and one point under the mouse."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QEvent, QObject, QPointF, QRectF, Qt, Signal
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QSizePolicy, QVBoxLayout, QWidget

from gui import theme
from gui.navigation_box import NavigationBox, SmoothImage
from gui.scale_bar import ScaleBar
from gui.section import hint

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PySide6.QtGui import QResizeEvent

TITLES = ("Predicted", "Measured", "Residual")
TIPS = (
    "The image that the volume gives in this light, as the microscope would see it",
    "The image that the camera took in this light, relative to the empty field",
    "Predicted less measured, on the scale of the two: blue is below zero, yellow above",
)
WIDE = 1.6
"""Where the width is more than so many times the height, three images in a row are larger than two."""


class LightImage(QWidget):
    """One of the three, with its title, or words where there is no image."""

    def __init__(self, number: int, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        name = TITLES[number]
        self.setObjectName(f"light_{name.lower()}")
        self.setAccessibleName(f"{name} image")
        self.setToolTip(TIPS[number])
        self.title = QLabel(name)
        self.title.setProperty("role", "heading")
        self.figure = QLabel()
        self.figure.setProperty("role", "state")
        self.figure.setObjectName(f"light_{name.lower()}_figure")
        self.figure.setAccessibleName(f"{name}: figure")
        head = QHBoxLayout()
        head.addWidget(self.title)
        head.addStretch(1)
        head.addWidget(self.figure)
        self.box = NavigationBox(left_pans=True)
        self.box.setAspectLocked(True)
        self.canvas = pg.GraphicsView()
        self.canvas.setCentralItem(self.box)
        self.canvas.setAccessibleName(f"{name} image")
        self.canvas.setMinimumSize(120, 120)
        self.canvas.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Ignored)  # its hint grows with it
        self.image = SmoothImage()
        self.image.setOpts(axisOrder="row-major")
        self.box.addItem(self.image, ignoreBounds=True)
        self.cross = pg.TargetItem(movable=False, size=11, brush=None)
        self.cross.hide()
        self.box.addItem(self.cross, ignoreBounds=True)
        self.words = hint()
        self.words.setParent(self.canvas)
        self.words.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.words.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.canvas.installEventFilter(self)
        self.picture: NDArray[np.float32] | None = None
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(head)
        layout.addWidget(self.canvas, 1)
        theme.follow(self._paint)

    def _paint(self) -> None:
        self.canvas.setBackground(theme.CANVAS)
        self.cross.setPen(theme.LIGHT)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Keep the words in the middle."""
        if event.type() == QEvent.Type.Resize:
            self.words.setGeometry(self.canvas.rect().adjusted(16, 0, -16, 0))
        return super().eventFilter(watched, event)

    def show_image(self, picture: NDArray[np.float32] | None, rectangle: QRectF, words: str = "") -> None:
        """Show an image (H, W) on a rectangle in micrometres; None: words in its place."""
        self.picture = picture
        self.words.setText("" if picture is not None else words)
        if picture is None:
            self.image.hide()
            self.figure.setText("")
            return
        self.image.setImage(picture, autoLevels=False, levels=self.image.levels)
        self.image.setRect(rectangle)
        self.image.show()


class LightImages(QWidget):
    """The three images; `hovered(text)` tells the point under the mouse and what they say there.

    Wheel: zoom. Drag: pan. Home: all of it.
    """

    hovered = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("light_images")
        self.setAccessibleName("Predicted, measured and residual image")
        self.setAccessibleDescription("Wheel: zoom. Drag: pan. Home: all of it.")
        self._rectangle = QRectF(0, 0, 1, 1)
        self._pristine = self._bar_wanted = True
        self.parts = tuple(LightImage(number) for number in range(3))
        self.predicted, self.measured, self.residual = self.parts
        self.scale_bar = ScaleBar(self.predicted.box)
        self.scale_bar.hide()
        self._places = QGridLayout(self)
        self._places.setContentsMargins(0, 0, 0, 0)
        self._places.setSpacing(8)
        self._columns = 0
        self._lay_out(3)
        grey = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
        for part in self.parts:
            part.image.setLookupTable(grey)
            part.box.zoomed.connect(self._zoom)
            part.box.panned.connect(self._pan)
            part.box.sigResized.connect(self._fit_pristine)
            part.canvas.scene().sigMouseMoved.connect(lambda at, part=part: self._hover(part, at))
        self.set_levels(0.9, 1.1)
        theme.follow(self._paint)

    def _paint(self) -> None:
        signed = theme.ACCENT, theme.FIELD, theme.LIGHT
        colours = [theme.between(signed, float(share)).getRgb() for share in np.linspace(0, 1, 256)]
        self.residual.image.setLookupTable(np.array(colours, np.uint8)[:, :3])

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Stand side by side, or where that is too narrow the residual below."""
        super().resizeEvent(event)
        self._lay_out(3 if self.width() > WIDE * self.height() else 2)

    def _lay_out(self, columns: int) -> None:
        if columns == self._columns:
            return
        self._columns = columns
        for number, part in enumerate(self.parts):
            self._places.addWidget(part, *divmod(number, columns))
        for place in range(3):
            self._places.setColumnStretch(place, int(place < columns))
            self._places.setRowStretch(place, int(place * columns < len(self.parts)))

    # --- zoom ---------------------------------------------------------------------------------------------------------

    def show_all(self) -> None:
        """Show the whole images."""
        self._range(self._rectangle)
        self._pristine = True

    def _fit_pristine(self) -> None:
        if self._pristine:
            self._range(self._rectangle)

    def _range(self, rectangle: QRectF) -> None:
        for part in self.parts:
            part.box.setRange(rectangle, padding=0.01, disableAutoRange=True)

    def zoom_by(self, factor: float) -> None:
        """Zoom about the middle."""
        self._zoom(factor, self.predicted.box.viewRect().center())

    def _zoom(self, factor: float, at: QPointF) -> None:
        self._pristine = False
        for part in self.parts:
            part.box.scaleBy((1 / factor, 1 / factor), center=at)

    def _pan(self, shift: QPointF) -> None:
        self._pristine = False
        for part in self.parts:
            part.box.translateBy(x=shift.x(), y=shift.y())

    def show_scale_bar(self, shown: bool) -> None:
        """Show or hide the scale bar."""
        self._bar_wanted = shown
        self.scale_bar.setVisible(shown and self.predicted.picture is not None)

    # --- what is shown ------------------------------------------------------------------------------------------------

    def set_box(self, bounds_um: NDArray[np.float64], resolution_um: tuple[float, float]) -> None:
        """Take where the images lie, lower and upper corner (2, 3), and the optical resolution, lateral and axial."""
        (left, top), (right, bottom) = bounds_um[:, :2].tolist()
        rectangle = QRectF(left, top, right - left, bottom - top)
        self.scale_bar.set_resolution(resolution_um)
        if rectangle != self._rectangle:
            self._rectangle = rectangle
            self.show_all()

    def show_images(
        self,
        predicted: NDArray[np.float32] | None,
        measured: NDArray[np.float32] | None,
        residual: NDArray[np.float32] | None,
        words: tuple[str, str],
    ) -> None:
        """Show the images there are, (H, W); `words` stand in place of the first two where they are missing."""
        self.predicted.show_image(predicted, self._rectangle, words[0])
        self.measured.show_image(measured, self._rectangle, words[1])
        self.residual.show_image(residual, self._rectangle)
        self.scale_bar.setVisible(predicted is not None and self._bar_wanted)

    def clear(self, words: str = "") -> None:
        """Show nothing but words."""
        for part in self.parts:
            part.show_image(None, self._rectangle, words if part is self.predicted else "")
            part.cross.hide()
        self.scale_bar.hide()

    def set_levels(self, low: float, high: float, magnified: float = 1.0) -> None:
        """Contrast of predicted and measured image; the residual has as many units to a grey, or `magnified`."""
        self.predicted.image.setLevels((low, high))
        self.measured.image.setLevels((low, high))
        half = max(0.5 * (high - low) / magnified, 1e-6)
        self.residual.image.setLevels((-half, half))

    def _hover(self, over: LightImage, scene_position: QPointF) -> None:
        at = over.box.mapSceneToView(scene_position)
        values = [self._value(part, at) for part in self.parts]
        for part in self.parts:
            part.cross.setPos(at)
            part.cross.setVisible(part is not over and part.picture is not None)
        known = [
            f"{title.lower()} {value:{'+' if title == TITLES[2] else ''}.3f}"
            for title, value in zip(TITLES, values, strict=True)
            if math.isfinite(value)
        ]
        self.hovered.emit("   ".join([f"x {at.x():.2f}   y {at.y():.2f} µm  ", *known]))

    def _value(self, part: LightImage, at: QPointF) -> float:
        if part.picture is None:
            return math.nan
        rows, columns = part.picture.shape
        i = math.floor((at.y() - self._rectangle.top()) / self._rectangle.height() * rows)
        j = math.floor((at.x() - self._rectangle.left()) / self._rectangle.width() * columns)
        return float(part.picture[i, j]) if 0 <= i < rows and 0 <= j < columns else math.nan
