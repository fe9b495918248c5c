"""Contrast and colours of the slices: histogram with the two levels on it, by percentile or by hand, gamma, colours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import Signal
from PySide6.QtWidgets import QCheckBox, QComboBox, QGridLayout, QLabel, QSizePolicy, QWidget

from gui import theme
from gui.controls import choice, number
from gui.lookup_tables import DIVERGING, bar_of, bent, colour_maps
from gui.quiet_plot import QuietPlot
from gui.section import Section

if TYPE_CHECKING:
    from numpy.typing import NDArray

AUTO_PERCENTILES = (0.5, 99.8)
RIM = 0.12
"""Share of the box along each edge that automatic contrast leaves out."""
PARTS = {"Index Δn": "dn", "Absorption κ": "kappa", "Uncertainty σ of Δn": "sigma"}


def automatic_levels(
    pictures: list[NDArray[np.float32]], percentiles: tuple[float, float] = AUTO_PERCENTILES
) -> tuple[float, float] | None:
    """Levels that leave out the rare extremes of the pictures; None where there is nothing to see.

    The rim of the box is not counted: light from outside the field of view makes it brighter than any sample.
    """
    inner = [_without_rim(picture) for picture in pictures]
    values = [picture[np.isfinite(picture)] for picture in inner]
    joined = np.concatenate([v.ravel() for v in values]) if values else np.empty(0)
    if joined.size == 0:
        return None
    low, high = (float(level) for level in np.percentile(joined, percentiles))
    return (low, high) if high - low > 1e-9 else (low - 5e-5, high + 5e-5)


def _without_rim(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    rows, columns = (round(RIM * length) for length in picture.shape)
    return picture[rows : picture.shape[0] - rows, columns : picture.shape[1] - columns]


class ContrastPanel(Section):
    """Emits `changed` when levels or colours changed and `part_changed` when another quantity is to be shown."""

    changed = Signal()
    part_changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Contrast", "contrast", parent)
        self._tables = colour_maps()
        self._pictures: list[NDArray[np.float32]] = []
        self._value_range = (0.0, 0.0)
        self.histogram: tuple[NDArray[np.int64], NDArray[np.float64]] | None = None
        self._setting = False
        self._build()
        self._set_levels(0.0, 0.02)
        self._recolour()

    def _build(self) -> None:
        self.part = choice(PARTS, "Quantity shown", "part", "What the slices show")
        self.part.currentIndexChanged.connect(lambda _: self.part_changed.emit())
        self.map = choice(self._tables, "Colour map", "colour_map", "Colours of low and high values")
        self.map.currentIndexChanged.connect(lambda _: self._choose_table())
        self.auto = QCheckBox("By percentile")
        self.auto.setChecked(True)
        self.auto.setObjectName("auto_contrast")
        self.auto.setAccessibleName("Automatic contrast")
        self.auto.setToolTip("Levels follow the values in the box; a level that is set by hand switches this off")
        self.auto.toggled.connect(lambda _: self._apply_automatic())
        self.percentile_spins = tuple(
            number(value, limits, 0.1, 1, f"{which} percentile", "Share of the values below this level, %")
            for which, value, limits in zip(
                ("Lower", "Upper"), AUTO_PERCENTILES, ((0.0, 49.0), (51.0, 100.0)), strict=True
            )
        )
        for spin in self.percentile_spins:
            spin.setSuffix(" %")
            spin.valueChanged.connect(lambda _: self._apply_automatic())
        self.levels_spin = tuple(
            number(0.0, (-1.0, 1.0), 0.0005, 4, f"{which} level", f"{which} level; switches percentiles off")
            for which in ("Lower", "Upper")
        )
        for spin in self.levels_spin:
            spin.valueChanged.connect(lambda _: self._typed())
        self.gamma = number(1.0, (0.2, 5.0), 0.1, 1, "Gamma", "Below 1: opens up what is dark")
        self.gamma.valueChanged.connect(lambda _: self._recolour())
        self._build_histogram()

        fields = QGridLayout()
        fields.setHorizontalSpacing(6)
        fields.setVerticalSpacing(5)
        rows: tuple[tuple[QWidget, ...], ...] = (
            (QLabel("Shows"), self.part), (QLabel("Colours"), self.map), (self.auto, *self.percentile_spins),
            (QLabel("Levels"), *self.levels_spin), (QLabel("Gamma"), self.gamma),
        )  # fmt: skip
        for row, (label, *widgets) in enumerate(rows):
            fields.addWidget(label, row, 0)
            for column, widget in enumerate(widgets, 1):
                wide = len(widgets) == 1 and isinstance(widget, QComboBox)
                fields.addWidget(widget, row, column, 1, 2 if wide else 1)
        fields.setColumnStretch(1, 1)
        fields.setColumnStretch(2, 1)
        self.colour_bar = QLabel()
        self.colour_bar.setFixedHeight(8)
        self.colour_bar.setScaledContents(True)
        self.colour_bar.setAccessibleName("Colour scale between the two levels")
        self.body.setSpacing(5)
        self.body.addWidget(self.graph)
        self.body.addWidget(self.colour_bar)
        self.body.addLayout(fields)

    def _build_histogram(self) -> None:
        self.graph = QuietPlot("Histogram of the values in the box")
        self.graph.setFixedHeight(92)
        self.graph.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.graph.hideAxis("left")
        self.curve = self.graph.plot(stepMode="center", fillLevel=0, x=[0, 1], y=[0])
        self.curve.hide()
        self.region = pg.LinearRegionItem()
        self.region.sigRegionChanged.connect(self._dragged)
        self.graph.addItem(self.region, ignoreBounds=True)
        theme.follow(self._paint)

    def _paint(self) -> None:
        self.curve.setPen(theme.MUTED)
        self.curve.setBrush(theme.faded(theme.MUTED, 60))
        self.region.setBrush(theme.faded(theme.ACCENT, 28))
        self.region.setHoverBrush(theme.faded(theme.ACCENT, 45))
        for line in self.region.lines:
            line.setPen(theme.ACCENT)
            line.setHoverPen(theme.LIGHT)

    @property
    def levels(self) -> tuple[float, float]:
        """Values shown as the darkest and the brightest colour."""
        low, high = (spin.value() for spin in self.levels_spin)
        return low, max(high, low + 1e-4)

    @property
    def lookup_table(self) -> NDArray[np.uint8]:
        """Chosen colours, bent by gamma, (256, 3)."""
        return bent(self._tables[self.map.currentText()], self.gamma.value(), self._diverges)

    @property
    def shown_part(self) -> str:
        """``dn``, ``kappa`` or ``sigma``."""
        return PARTS[self.part.currentText()]

    @property
    def _diverges(self) -> bool:
        return self.map.currentText() == DIVERGING

    def choose_map(self, name: str) -> None:
        """Select a colour map by name; an unknown one changes nothing."""
        if name in self._tables:
            self.map.setCurrentText(name)
            self._recolour()

    def chosen_levels(self) -> tuple[float, float] | None:
        """Levels that were set by hand; None while they are automatic."""
        return None if self.auto.isChecked() else self.levels

    def choose_levels(self, levels: tuple[float, float] | None) -> None:
        """Set levels by hand, or have them found by themselves."""
        self.auto.setChecked(levels is None)
        if levels is not None:
            self._set_levels(*levels)

    def start_with(self, levels: tuple[float, float]) -> None:
        """First contrast of a new field, unless the operator has set one by hand."""
        if self.auto.isChecked():
            self._set_levels(*levels)

    def set_pictures(self, pictures: list[NDArray[np.float32]]) -> None:
        """Take the coarse pictures of the box for histogram and automatic levels."""
        self._pictures = pictures
        known = [picture[np.isfinite(picture)].ravel() for picture in pictures]
        values = np.concatenate(known) if known else np.empty(0)
        self.say("" if values.size or not pictures else "not known yet")
        if values.size:
            counts, edges = self.histogram = np.histogram(values, bins=80)
            self.curve.setData(x=edges, y=np.sqrt(counts))
            self.curve.show()
            self._value_range = (float(edges[0]), float(edges[-1]))
        self._apply_automatic()

    def _apply_automatic(self) -> None:
        if not self.auto.isChecked():
            return
        low, high = (spin.value() for spin in self.percentile_spins)
        levels = automatic_levels(self._pictures, (low, high))
        if levels is not None and self._diverges:
            largest = max(abs(level) for level in levels)
            levels = (-largest, largest)
        if levels is not None:
            self._set_levels(*levels)

    def _choose_table(self) -> None:
        self._apply_automatic()
        self._recolour()

    def _typed(self) -> None:
        if not self._setting:
            self._set_by_hand(*self.levels)

    def _dragged(self) -> None:
        if not self._setting:
            self._set_by_hand(*self.region.getRegion())

    def _set_by_hand(self, low: float, high: float) -> None:
        self.auto.setChecked(False)
        self._set_levels(low, high)

    def _set_levels(self, low: float, high: float) -> None:
        self._setting = True
        self.levels_spin[0].setValue(low)
        self.levels_spin[1].setValue(high)
        self.region.setRegion((low, high))
        self._setting = False
        margin = 0.15 * (high - low)
        first, last = self._value_range
        self.graph.setXRange(min(first, low) - margin, max(last, high) + margin, padding=0)
        self.changed.emit()

    def _recolour(self) -> None:
        self.colour_bar.setPixmap(bar_of(self.lookup_table))
        self.changed.emit()
