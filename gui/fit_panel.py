"""How the reconstruction stands: what it does now, its error, when it is done, finish or discard."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pyqtgraph as pg
from PySide6.QtWidgets import QComboBox, QGridLayout, QHBoxLayout, QLabel, QSizePolicy, QSpinBox, QVBoxLayout, QWidget

from acquisition.estimate import duration_text
from gui import theme
from gui.actions import button_for
from gui.section import Section, hint
from recon.messages import Finished, FitProgress, FitSettings

if TYPE_CHECKING:
    from PySide6.QtGui import QAction

    from recon.messages import ModelName

DEVICES = {"auto": "best device", "cpu": "CPU", "cuda": "GPU (CUDA)"}
MODELS: dict[ModelName, str] = {
    "auto": "Automatic: as the sample scatters",
    "born": "Weak scattering (Born)",
    "beam": "Strong scattering (beam propagation, quicker)",
    "ssnp": "Strong scattering (SSNP, slower)",
}


class FitPanel(Section):
    """Figures, curves and the two ways to end a fit."""

    def __init__(self, finish: QAction, discard: QAction, save: QAction, parent: QWidget | None = None) -> None:
        super().__init__("Reconstruct", "fit", parent)
        self._times_s: list[float] = []
        self._losses: list[float] = []
        self._held_times_s: list[float] = []
        self._held_out: list[float] = []
        self.detail = hint("The volume forms while frames arrive.")
        self.detail.setObjectName("fit_detail")
        self.figures = {name: QLabel("–") for name in ("Held-out error", "Time left")}
        row = QHBoxLayout()
        for name, figure in self.figures.items():
            figure.setProperty("role", "figure")
            figure.setAccessibleName(name)
            figure.setObjectName(name.lower().replace(" ", "_").replace("-", "_"))
            column = QVBoxLayout()
            column.setSpacing(0)
            column.addWidget(figure)
            column.addWidget(hint(name))
            row.addLayout(column, 1)
        self.figures["Held-out error"].setToolTip(
            "How well the volume predicts the images of LEDs that were kept from the fit:\n"
            "norm of the difference over norm of the image contrast. 0 is perfect, 1 says nothing."
        )
        self.graph = self._make_graph()
        self.seconds = QSpinBox()
        self.seconds.setObjectName("max_seconds")
        self.seconds.setAccessibleName("Time limit of the fit")
        self.seconds.setToolTip("The fit also ends by itself when the held-out error no longer falls")
        self.seconds.setRange(5, 86400)
        self.seconds.setPrefix("at most ")
        self.seconds.setSuffix(" s")
        self.device = QComboBox()
        self.device.setObjectName("device")
        self.device.setAccessibleName("Device that computes")
        for key, text in DEVICES.items():
            self.device.addItem(text, key)
        self.model = QComboBox()
        self.model.setObjectName("model")
        # The column keeps its width; the list that drops down is as wide as its texts.
        self.model.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.model.setMinimumContentsLength(12)
        self.model.setAccessibleName("Model of the light in the sample")
        self.model.setToolTip(
            "Strong scattering: cells with Δn above about 0.01, in which light scatters more than once"
        )
        for model, text in MODELS.items():
            self.model.addItem(text, model)
        settings = QGridLayout()
        settings.addWidget(self.seconds, 0, 0)
        settings.addWidget(self.device, 0, 1)
        settings.addWidget(self.model, 1, 0, 1, 2)
        self.finish_button = button_for(finish, primary=True)
        self.discard_button = button_for(discard)
        self.save_button = button_for(save)
        self.save_button.setText("Save…")
        self.finish_button.setText("Finish now")
        self.discard_button.setText("Cancel")
        buttons = QGridLayout()
        buttons.addWidget(self.finish_button, 0, 0)
        buttons.addWidget(self.discard_button, 0, 1)
        buttons.addWidget(self.save_button, 0, 2)
        self.body.addWidget(self.detail)
        self.body.addLayout(row)
        self.body.addWidget(self.graph, 10)
        self.body.addStretch(1)
        self.body.addLayout(settings)
        self.body.addLayout(buttons)
        self.say("starting…", "busy")

    def _make_graph(self) -> pg.PlotWidget:
        graph = pg.PlotWidget(background=None)
        graph.setObjectName("fit_curves")
        graph.setAccessibleName("Loss and held-out error over time")
        graph.setMinimumHeight(96)
        graph.setMaximumHeight(300)
        graph.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Ignored)  # its hint is 640 × 480
        graph.setMenuEnabled(False)
        graph.setMouseEnabled(False, False)
        graph.hideButtons()
        graph.showGrid(y=True, alpha=0.12)
        for side in ("left", "bottom"):
            axis = graph.getAxis(side)
            axis.setPen(theme.EDGE)
            axis.setTextPen(theme.MUTED)
            axis.enableAutoSIPrefix(False)
        graph.getAxis("left").setWidth(38)
        graph.setLabel("bottom", "s", color=theme.MUTED)
        legend = graph.addLegend(offset=(-4, 4), labelTextColor=theme.MUTED, labelTextSize="8pt")
        legend.setScale(0.9)
        self.held_curve = graph.plot(pen=pg.mkPen(theme.ACCENT, width=2), name="held-out error")
        # The loss has a scale of its own, logarithmic and without figures: only its fall says something.
        self._loss_box = pg.ViewBox(enableMouse=False, enableMenu=False)
        graph.scene().addItem(self._loss_box)
        self._loss_box.setXLink(graph.getViewBox())
        self.loss_curve = pg.PlotDataItem(pen=pg.mkPen(theme.MUTED, width=1.2), name="loss (log)")
        self._loss_box.addItem(self.loss_curve)
        legend.addItem(self.loss_curve, "loss (log)")
        graph.getViewBox().sigResized.connect(lambda box: self._loss_box.setGeometry(box.sceneBoundingRect()))
        return graph

    def settings(self) -> FitSettings:
        """What the operator chose for the next fit."""
        return FitSettings(
            model=self.model.currentData(),
            max_seconds=float(self.seconds.value()),
            device=str(self.device.currentData()),
        )

    def begin(self, detail: str) -> None:
        """Clear figures and curves for a new run."""
        for values in (self._times_s, self._losses, self._held_times_s, self._held_out):
            values.clear()
        self._draw()
        for figure in self.figures.values():
            figure.setText("–")
        self.detail.setText(detail)

    def show_progress(self, progress: FitProgress) -> None:
        """Add a point to the curves and update the figures."""
        if progress.loss > 0 and math.isfinite(progress.loss):
            self._times_s.append(progress.elapsed_s)
            self._losses.append(math.log10(progress.loss))
        held_out = progress.held_out_error
        if held_out is not None and held_out > 0:
            if not self._held_out or held_out != self._held_out[-1]:
                self._held_times_s.append(progress.elapsed_s)
                self._held_out.append(held_out)
            self.figures["Held-out error"].setText(f"{held_out:.3f}")
        if progress.eta_s is not None:
            self.figures["Time left"].setText(duration_text(progress.eta_s))
        self.detail.setText(
            f"step {progress.step}, {progress.frames_used} frames, {duration_text(progress.elapsed_s)},"
            f" {progress.memory_mb / 1000:.1f} GB"
        )
        self._draw()

    def show_finished(self, finished: Finished) -> None:
        """Show the result."""
        if finished.held_out_error is not None:
            self.figures["Held-out error"].setText(f"{finished.held_out_error:.3f}")
        self.figures["Time left"].setText("done")
        self.detail.setText(
            f"{finished.reason}: {finished.steps} steps in {duration_text(finished.elapsed_s)},"
            f" {finished.parameter_bytes / 1e6:.1f} MB of parameters"
        )

    def _draw(self) -> None:
        self.graph.setXRange(0, max([10.0, *self._times_s[-1:], *self._held_times_s[-1:]]), padding=0.02)
        self.loss_curve.setData(self._times_s, self._losses)
        self.held_curve.setData(
            self._held_times_s, self._held_out, symbol="o" if len(self._held_out) == 1 else None, symbolSize=5
        )
