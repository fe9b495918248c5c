"""Where the data say nothing: uncertainty laid over the slices, the frequencies no LED shows, resolution in words."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QRectF, Signal
from PySide6.QtWidgets import QGraphicsEllipseItem, QGridLayout, QLabel, QSizePolicy, QSpinBox, QWidget

from gui import theme
from gui.controls import choice, figure_rows, number
from gui.lengths import length_text
from gui.lookup_tables import bar_of, colour_maps, tint
from gui.navigation_box import SmoothImage
from gui.picture_channel import PictureChannel
from gui.quiet_plot import QuietPlot
from gui.section import Section
from recon.figures import Figures
from recon.view_requests import NO_RUN, CloseView, RequestCoverage, RequestFigures

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from recon.messages import FieldReady, Picture

COVERAGE, FIGURES = "coverage", "figures"
COVERAGE_SHAPE = (130, 260)
TINTS = {"none": None, "in colour": "WARN", "fades to grey": "FAINT"}
"""What lies over the slices, and its colour in the theme."""
ROWS = {
    "Lateral resolution": "Period down to which two halves of the LEDs agree about the sample",
    "Axial resolution": "The same along z",
    "Never seen": "Share of the frequencies within the ring that no LED shows: the missing cone",
    "Seen of possible": "Share of the frequencies that bright-field LEDs could show, that these LEDs do show",
}


class CertaintyPanel(Section):
    """Emits `tint_changed` when `tint_levels` or `tint_table` did."""

    picture_wanted = Signal(object)
    tint_changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Certainty", "certainty", parent)
        self._has_field = False
        self._extent = QRectF()
        self._coverage = PictureChannel(COVERAGE, self._send_coverage)
        self._figures = PictureChannel(FIGURES, self._send_figures)
        self._build()
        self._show_tint()

    def _build(self) -> None:
        self.tint = choice(
            TINTS, "Uncertainty over the slices", "tint", "Lays σ, the standard deviation of Δn, over all slices"
        )
        self.tint.currentIndexChanged.connect(lambda _: self._show_tint())
        self.full = number(
            0.005, (0.0001, 1.0), 0.0005, 4, "Uncertainty of the full tint", "σ at which the tint is strongest"
        )
        self.full.valueChanged.connect(lambda _: self._show_tint())
        self.legend = QLabel()
        self.legend.setFixedHeight(8)
        self.legend.setScaledContents(True)
        self.legend.setAccessibleName("Tint from no uncertainty to the full one")
        fields = QGridLayout()
        fields.setHorizontalSpacing(8)
        fields.addWidget(QLabel("σ over slices"), 0, 0)
        fields.addWidget(self.tint, 0, 1)
        fields.addWidget(QLabel("full at σ"), 1, 0)
        fields.addWidget(self.full, 1, 1)
        fields.setColumnStretch(1, 1)
        self.azimuth = QSpinBox()
        self.azimuth.setRange(0, 175)
        self.azimuth.setSingleStep(5)
        self.azimuth.setWrapping(True)
        self.azimuth.setSuffix("°")
        self.azimuth.setObjectName("azimuth")
        self.azimuth.setAccessibleName("Direction of the section through the frequencies")
        self.azimuth.setToolTip("0°: the plane of x and z; 90°: of y and z")
        self.azimuth.valueChanged.connect(lambda _: self._ask())
        turning = QGridLayout()
        turning.addWidget(QLabel("Frequencies shown, at"), 0, 0)
        turning.addWidget(self.azimuth, 0, 1)
        turning.setColumnStretch(0, 1)
        self._build_coverage()
        table = QGridLayout()
        self.figures = figure_rows(table, 0, ROWS, "of the field")
        self.body.addLayout(fields)
        self.body.addWidget(self.legend)
        self.body.addLayout(turning)
        self.body.addWidget(self.graph)
        self.body.addLayout(table)

    def _build_coverage(self) -> None:
        self.graph = QuietPlot("Section through the sample's frequencies: dark is what no LED shows")
        self.graph.setToolTip(
            "Light of an LED shows the frequencies on a cap; the dark cone about the vertical axis, which no LED shows,"
            " is why the field is less sharp along z. The ring: frequencies as fine as the finest lateral ones."
        )
        self.graph.setFixedHeight(150)
        self.graph.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.graph.setAspectLocked(True)
        self.graph.invertY(True)
        self.graph.setLabel("left", "axial")
        self.graph.setLabel("bottom", "transverse (cycles/µm)")
        self.image = SmoothImage()
        self.image.setOpts(axisOrder="row-major")
        self.image.setLookupTable(colour_maps()["inferno"])
        self.ball = QGraphicsEllipseItem()
        for item in (self.image, self.ball):
            self.graph.addItem(item, ignoreBounds=True)
        theme.follow(self._paint)

    def _paint(self) -> None:
        self.ball.setPen(pg.mkPen(theme.FAINT, width=1))
        if self.tint_table is not None:
            self._show_tint()

    # --- the tint -----------------------------------------------------------------------------------------------------

    @property
    def tint_table(self) -> NDArray[np.uint8] | None:
        """See-through colours (256, 4); None where nothing is to lie over the slices."""
        colour = TINTS[self.tint.currentText()]
        return None if colour is None else tint(getattr(theme, colour))

    @property
    def tint_levels(self) -> tuple[float, float]:
        """Uncertainty of no tint and of the full one."""
        return 0.0, self.full.value()

    def _show_tint(self) -> None:
        table = self.tint_table
        self.legend.setVisible(table is not None)
        self.full.setEnabled(table is not None)
        if table is not None:
            self.legend.setPixmap(bar_of(table))
        self.tint_changed.emit()

    # --- a field comes and goes ---------------------------------------------------------------------------------------

    def show_field(self, ready: FieldReady) -> None:
        """There is a field to ask; a first scale of the tint."""
        if not self._has_field:
            self.full.setValue(max(0.0005, 0.4 * ready.dn_range[1]))
        self._has_field = True
        cutoff = 1.0 / ready.resolution_um[0]
        self._extent = QRectF(-cutoff, -cutoff / 2, 2 * cutoff, cutoff)
        self.ball.setRect(QRectF(-cutoff, -cutoff, 2 * cutoff, 2 * cutoff))
        self.graph.setRange(self._extent, padding=0.02)
        self._tell(None)
        self.refresh()

    def refresh(self) -> None:
        """Ask again, while it can be seen."""
        self._coverage.forget()
        self._figures.forget()
        self._ask()

    def clear(self) -> None:
        """Forget the field."""
        self._has_field = False
        self._coverage.forget()
        self._figures.forget()
        self.image.clear()
        self._tell(None)
        self.say("")

    def showEvent(self, event: object) -> None:
        """Ask for what was not asked for meanwhile."""
        super().showEvent(event)  # type: ignore[arg-type]
        self._ask()

    def hideEvent(self, event: object) -> None:
        """Spare the fit pictures that nobody sees."""
        super().hideEvent(event)  # type: ignore[arg-type]
        for channel in (self._coverage, self._figures):
            channel.forget()
            self.picture_wanted.emit(CloseView(NO_RUN, channel.name))

    def _ask(self) -> None:
        if self._has_field and self.isVisible():
            self._coverage.ask(float(self.azimuth.value()))
            self._figures.ask(None)

    def _send_coverage(self, view: str, request: int, azimuth_deg: float) -> None:
        self.picture_wanted.emit(RequestCoverage(NO_RUN, view, request, azimuth_deg, COVERAGE_SHAPE))

    def _send_figures(self, view: str, request: int, _: None) -> None:
        self.picture_wanted.emit(RequestFigures(NO_RUN, view, request))

    def show_picture(self, answer: Picture, picture: NDArray[np.float32]) -> None:
        """Take a picture of the frequencies, or the figures."""
        if answer.view == COVERAGE and self._coverage.answered(answer.request):
            # Strength spans decades near the axis; its root shows what is seen at all.
            self.image.setImage(np.sqrt(picture), autoLevels=False, levels=(0.0, float(np.sqrt(picture.max())) or 1.0))
            self.image.setRect(self._extent)
        elif answer.view == FIGURES and self._figures.answered(answer.request):
            self._tell(Figures.of_vector(picture))

    def _tell(self, figures: Figures | None) -> None:
        self.say("not known" if figures is None else "")
        for label, text in zip(self.figures.values(), ["–"] * 4 if figures is None else in_words(figures), strict=True):
            label.setText(text)


def in_words(figures: Figures) -> list[str]:
    """Texts of `ROWS`."""
    return [
        _resolution(figures.lateral_um, figures.lateral_at_limit),
        _resolution(figures.axial_um, figures.axial_at_limit),
        f"{figures.missing_share:.0%}",
        f"{figures.filled_share:.0%}",
    ]


def _resolution(period_um: float, at_limit: bool) -> str:
    if math.isnan(period_um):
        return "the halves agree on nothing"
    return length_text(float(f"{period_um:.2g}")) + (", the limit of light" if at_limit else "")
