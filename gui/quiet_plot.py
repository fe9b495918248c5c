"""A plot that only shows: no menu, no mouse, axes in the colours of the theme."""

from __future__ import annotations

import pyqtgraph as pg
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QSizePolicy, QWidget

from gui import theme


class QuietPlot(pg.PlotWidget):  # type: ignore[misc]  # pyqtgraph is untyped
    """Plot for curves and histograms; as wide as it may be, and as high as its owner says.

    Parameters
    ----------
    name
        What it shows, for those who cannot see it.
    """

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName(name)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Ignored)  # its hint is 640 × 480
        self.setMenuEnabled(False)
        self.setMouseEnabled(False, False)
        self.hideButtons()
        self.plotItem.layout.setContentsMargins(0, 7, 0, 0)  # room for the upper half of the topmost number
        for side in ("left", "bottom"):
            self.getAxis(side).enableAutoSIPrefix(False)
        theme.follow(self._paint_axes)

    def _paint_axes(self) -> None:
        self.setBackground(theme.WINDOW)
        for side in ("left", "bottom"):
            axis = self.getAxis(side)
            axis.setPen(theme.EDGE)
            axis.setTextPen(theme.MUTED)
            if axis.labelText:
                axis.setLabel(axis.labelText, color=theme.MUTED)
