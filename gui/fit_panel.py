"""How the reconstruction stands: what it does now, its error, when it is done, its settings, finish or discard."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QComboBox, QGridLayout, QHBoxLayout, QLabel, QSlider, QSpinBox, QVBoxLayout, QWidget

from acquisition.estimate import duration_text
from gui.actions import button_for
from gui.fit_curves import FitCurves
from gui.section import Section, hint
from recon.messages import Finished, FitProgress, FitSettings

if TYPE_CHECKING:
    from PySide6.QtGui import QAction

    from recon.messages import ModelName, Saved

DEVICES = {"auto": "best device", "cpu": "CPU", "cuda": "GPU (CUDA)"}
MODELS: dict[ModelName, str] = {
    "auto": "Automatic: as the sample scatters",
    "born": "Weak scattering (Born)",
    "beam": "Strong scattering (beam propagation, quicker)",
    "ssnp": "Strong scattering (SSNP, slower)",
}

LEAST_PX = 88
VIEW_PERCENT = (5, 90)
"""As the reconstruction process allows."""


class FitPanel(Section):
    """Figures, settings and the two ways to end a fit; `curves` is a section of its own, shown beside the volume.

    `view_budget_chosen(fraction)` tells how much of the fitting time pictures may take.
    """

    view_budget_chosen = Signal(float)

    def __init__(self, finish: QAction, discard: QAction, save: QAction, parent: QWidget | None = None) -> None:
        super().__init__("Reconstruct", "fit", parent)
        self.curves = FitCurves()
        self.detail = hint("The volume forms while frames arrive.")
        self.detail.setObjectName("fit_detail")
        self.kept = hint()
        self.kept.setObjectName("fit_kept")
        self.kept.hide()
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
        self.view_share = QSlider(Qt.Orientation.Horizontal)
        self.view_share.setObjectName("view_share")
        self.view_share.setAccessibleName("Share of the time for pictures while fitting")
        self.view_share.setToolTip(
            "While a volume is fitted, at most this share of the time goes into pictures of it.\n"
            "Less: the fit is done sooner. More: the slices follow it and the mouse more closely."
        )
        self.view_share.setRange(*VIEW_PERCENT)
        self.view_share.setPageStep(10)
        self.view_share_text = hint("")
        self.view_share.valueChanged.connect(self._share_chosen)
        self.view_share.setValue(30)
        for widget in (self.seconds, self.device):
            widget.setMinimumWidth(LEAST_PX)  # the column keeps its width
        settings = QGridLayout()
        settings.setVerticalSpacing(6)
        settings.addWidget(QLabel("Model"), 0, 0)
        settings.addWidget(self.model, 0, 1, 1, 2)
        settings.addWidget(QLabel("Device"), 1, 0)
        settings.addWidget(self.device, 1, 1)
        settings.addWidget(self.seconds, 1, 2)
        settings.addWidget(self.view_share_text, 2, 0, 1, 3)
        settings.addWidget(self.view_share, 3, 0, 1, 3)
        settings.setColumnStretch(1, 1)
        settings.setColumnStretch(2, 1)
        self.finish_button = button_for(finish, primary=True)
        self.discard_button = button_for(discard)
        self.save_button = button_for(save)
        self.save_button.setText("Save…")
        self.finish_button.setText("Finish now")
        self.discard_button.setText("Discard")
        buttons = QGridLayout()
        buttons.addWidget(self.finish_button, 0, 0)
        buttons.addWidget(self.discard_button, 0, 1)
        buttons.addWidget(self.save_button, 0, 2)
        self.body.addWidget(self.detail)
        self.body.addLayout(row)
        self.body.addWidget(self.kept)
        self.body.addLayout(settings)
        self.body.addLayout(buttons)
        self.say("starting…", "busy")

    def _share_chosen(self, percent: int) -> None:
        self.view_share_text.setText(f"Pictures while fitting: up to {percent} % of the time")
        self.view_budget_chosen.emit(percent / 100)

    def settings(self) -> FitSettings:
        """What the operator chose for the next fit."""
        return FitSettings(
            model=self.model.currentData(),
            max_seconds=float(self.seconds.value()),
            device=str(self.device.currentData()),
        )

    def begin(self, detail: str) -> None:
        """Clear figures and curves for a new run."""
        self.curves.clear()
        self.kept.hide()
        for figure in self.figures.values():
            figure.setText("–")
        self.detail.setText(detail)

    def show_progress(self, progress: FitProgress) -> None:
        """Update figures and curves."""
        self.curves.show_progress(progress)
        if progress.held_out_error:
            self.figures["Held-out error"].setText(f"{progress.held_out_error:.3f}")
        if progress.eta_s is not None:
            self.figures["Time left"].setText(duration_text(progress.eta_s))
        self.detail.setText(
            f"step {progress.step}, {progress.frames_used} frames, {duration_text(progress.elapsed_s)},"
            f" {progress.memory_mb / 1000:.1f} GB"
        )

    def show_saved(self, saved: Saved) -> None:
        """Tell where the field is."""
        path = Path(saved.field_path)
        self.kept.setText(f"Saved: {path.name}, {saved.file_bytes / 1e6:.1f} MB")
        self.kept.setToolTip(f"In {path.parent}")
        self.kept.show()

    def show_finished(self, finished: Finished) -> None:
        """Show the result."""
        if finished.held_out_error is not None:
            self.figures["Held-out error"].setText(f"{finished.held_out_error:.3f}")
        self.figures["Time left"].setText("done")
        self.detail.setText(
            f"{finished.reason}: {finished.steps} steps in {duration_text(finished.elapsed_s)},"
            f" {finished.parameter_bytes / 1e6:.1f} MB of parameters"
        )
