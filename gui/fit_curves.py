"""How a fit goes: loss and held-out error over time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pyqtgraph as pg
from PySide6.QtWidgets import QSizePolicy, QWidget

from gui import theme
from gui.quiet_plot import QuietPlot
from gui.section import Section

if TYPE_CHECKING:
    from recon.messages import FitProgress


class FitCurves(Section):
    """The held-out error on the axis; the loss beside it without figures, because only its fall says something."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Progress of the fit", "curves", parent)
        self._times_s: list[float] = []
        self._losses: list[float] = []
        self._held_times_s: list[float] = []
        self._held_out: list[float] = []
        self.graph = self._make_graph()
        self.body.addWidget(self.graph, 1)
        theme.follow(self._paint)

    def _make_graph(self) -> QuietPlot:
        graph = QuietPlot("Loss and held-out error over time")
        graph.setObjectName("fit_curves")
        graph.setMinimumHeight(140)
        graph.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Expanding)
        graph.showGrid(y=True, alpha=0.12)
        graph.getAxis("left").setWidth(38)
        graph.setLabel("bottom", "s")
        self._legend = legend = graph.addLegend(offset=(-8, 4), labelTextSize="8pt")  # above curves that fall
        self.held_curve = graph.plot(name="held-out error")
        # The loss has a scale of its own, which is logarithmic.
        self._loss_box = pg.ViewBox(enableMouse=False, enableMenu=False)
        graph.scene().addItem(self._loss_box)
        self._loss_box.setXLink(graph.getViewBox())
        self.loss_curve = pg.PlotDataItem(name="loss (log)")
        self._loss_box.addItem(self.loss_curve)
        legend.addItem(self.loss_curve, "loss (log)")
        graph.getViewBox().sigResized.connect(lambda box: self._loss_box.setGeometry(box.sceneBoundingRect()))
        return graph

    def _paint(self) -> None:
        self.held_curve.setPen(pg.mkPen(theme.ACCENT, width=2))
        self.held_curve.setSymbolBrush(theme.ACCENT)
        self.held_curve.setSymbolPen(theme.ACCENT)
        self.loss_curve.setPen(pg.mkPen(theme.MUTED, width=1.2))
        for _, label in self._legend.items:
            label.setText(label.text, color=theme.MUTED)  # setLabelTextColor does not paint anew

    def clear(self) -> None:
        """Forget the curves, for a new run."""
        for values in (self._times_s, self._losses, self._held_times_s, self._held_out):
            values.clear()
        self._draw()

    def show_progress(self, progress: FitProgress) -> None:
        """Add a point."""
        if progress.loss > 0 and math.isfinite(progress.loss):
            self._times_s.append(progress.elapsed_s)
            self._losses.append(math.log10(progress.loss))
        held_out = progress.held_out_error
        if held_out and (not self._held_out or held_out != self._held_out[-1]):
            self._held_times_s.append(progress.elapsed_s)
            self._held_out.append(held_out)
        self._draw()

    def _draw(self) -> None:
        self.graph.setXRange(0, max([10.0, *self._times_s[-1:], *self._held_times_s[-1:]]), padding=0.02)
        self.loss_curve.setData(self._times_s, self._losses)
        self.held_curve.setData(
            self._held_times_s, self._held_out, symbol="o" if len(self._held_out) == 1 else None, symbolSize=5
        )
