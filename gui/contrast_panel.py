"""Contrast and colours of the slices: histogram with the two levels on it, automatic by percentile, colour map."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import Signal
from PySide6.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QGridLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from gui import theme
from gui.quiet_plot import QuietPlot

if TYPE_CHECKING:
    from numpy.typing import NDArray

AUTO_PERCENTILES = (0.5, 99.8)
RIM = 0.12
"""Share of the box along each edge that automatic contrast leaves out."""
PARTS = {"Index Δn": "dn", "Absorption κ": "kappa"}


def colour_maps() -> dict[str, NDArray[np.uint8]]:
    """Lookup tables (256, 3) by name."""
    grey = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    tables = {"grey": grey, "grey, inverted": grey[::-1].copy()}
    for name in ("inferno", "magma", "viridis", "cividis"):
        tables[name] = np.asarray(pg.colormap.get(name).getLookupTable(nPts=256)[:, :3], dtype=np.uint8)
    return tables


def automatic_levels(pictures: list[NDArray[np.float32]]) -> tuple[float, float] | None:
    """Levels that leave out the rare extremes of the pictures; None where there is nothing to see.

    The rim of the box is not counted: light from outside the field of view makes it brighter than any sample.
    """
    inner = [_without_rim(picture) for picture in pictures]
    values = [picture[np.isfinite(picture)] for picture in inner]
    joined = np.concatenate([v.ravel() for v in values]) if values else np.empty(0)
    if joined.size == 0:
        return None
    low, high = (float(level) for level in np.percentile(joined, AUTO_PERCENTILES))
    return (low, high) if high - low > 1e-9 else (low - 5e-5, high + 5e-5)


def _without_rim(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    rows, columns = (round(RIM * length) for length in picture.shape)
    return picture[rows : picture.shape[0] - rows, columns : picture.shape[1] - columns]


class ContrastPanel(QWidget):
    """Emits `changed` when levels or colour map changed and `part_changed` when another quantity is to be shown."""

    changed = Signal()
    part_changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("contrast")
        self.setAccessibleName("Contrast and colours")
        self._tables = colour_maps()
        self._pictures: list[NDArray[np.float32]] = []
        self._value_range = (0.0, 0.0)
        self.histogram: tuple[NDArray[np.int64], NDArray[np.float64]] | None = None
        self._setting = False
        self._build()
        self._set_levels(0.0, 0.02)

    def _build(self) -> None:
        self.part = QComboBox()
        self.part.addItems(list(PARTS))
        self.part.setObjectName("part")
        self.part.setAccessibleName("Quantity shown")
        self.part.currentIndexChanged.connect(lambda _: self.part_changed.emit())
        self.map = QComboBox()
        self.map.addItems(list(self._tables))
        self.map.setObjectName("colour_map")
        self.map.setAccessibleName("Colour map")
        self.map.currentIndexChanged.connect(lambda _: self._recolour())
        self.auto = QPushButton("Auto contrast")
        self.auto.setCheckable(True)
        self.auto.setChecked(True)
        self.auto.setObjectName("auto_contrast")
        self.auto.setAccessibleName("Automatic contrast")
        self.auto.setToolTip(
            f"Levels at {AUTO_PERCENTILES[0]} and {AUTO_PERCENTILES[1]} per cent of the values in the box"
        )
        self.auto.toggled.connect(lambda _: self._apply_automatic())
        self.levels_spin = (QDoubleSpinBox(), QDoubleSpinBox())
        for spin, name in zip(self.levels_spin, ("Lower level", "Upper level"), strict=True):
            spin.setRange(-1.0, 1.0)
            spin.setDecimals(4)
            spin.setSingleStep(0.0005)
            spin.setObjectName(name.lower().replace(" ", "_"))
            spin.setAccessibleName(name)
            spin.setToolTip(f"{name}; typing here switches automatic contrast off")
            spin.valueChanged.connect(lambda _: self._typed())

        self.graph = QuietPlot("Histogram of the values in the box")
        self.graph.setFixedHeight(96)
        self.graph.hideAxis("left")
        self.curve = self.graph.plot(stepMode="center", fillLevel=0, x=[0, 1], y=[0])
        self.curve.hide()
        self.region = pg.LinearRegionItem()
        self.region.sigRegionChanged.connect(self._dragged)
        self.graph.addItem(self.region, ignoreBounds=True)
        theme.follow(self._paint)

        fields = QGridLayout()
        fields.setHorizontalSpacing(6)
        fields.setVerticalSpacing(4)
        fields.addWidget(self.part, 0, 0)
        fields.addWidget(self.map, 0, 1)
        fields.addWidget(self.levels_spin[0], 1, 0)
        fields.addWidget(self.levels_spin[1], 1, 1)
        fields.addWidget(self.auto, 2, 0, 1, 2)
        self.colour_bar = QLabel()
        self.colour_bar.setFixedHeight(8)
        self.colour_bar.setScaledContents(True)
        self.colour_bar.setAccessibleName("Colour scale between the two levels")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(5)
        layout.addWidget(self.graph)
        layout.addWidget(self.colour_bar)
        layout.addLayout(fields)

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
        """Chosen colour map, (256, 3)."""
        return self._tables[self.map.currentText()]

    @property
    def shown_part(self) -> str:
        """``dn`` or ``kappa``."""
        return PARTS[self.part.currentText()]

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
        values = np.concatenate([picture[np.isfinite(picture)].ravel() for picture in pictures])
        if values.size:
            counts, edges = self.histogram = np.histogram(values, bins=80)
            self.curve.setData(x=edges, y=np.sqrt(counts))
            self.curve.show()
            self._value_range = (float(edges[0]), float(edges[-1]))
        self._apply_automatic()

    def _apply_automatic(self) -> None:
        levels = automatic_levels(self._pictures) if self.auto.isChecked() else None
        if levels is not None:
            self._set_levels(*levels)

    def _typed(self) -> None:
        if not self._setting:
            self.auto.setChecked(False)
            self._set_levels(*self.levels)

    def _dragged(self) -> None:
        if not self._setting:
            self.auto.setChecked(False)
            self._set_levels(*self.region.getRegion())

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
        from PySide6.QtGui import QImage, QPixmap

        table = np.ascontiguousarray(self.lookup_table)
        self.colour_bar.setPixmap(QPixmap.fromImage(QImage(table.tobytes(), 256, 1, 768, QImage.Format.Format_RGB888)))
        self.changed.emit()
