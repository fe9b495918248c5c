"""What will be exposed, how long it takes, start, progress, pause, cancel."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QStandardItemModel
from PySide6.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QSpinBox,
    QWidget,
)

from acquisition.estimate import bytes_text, duration_text, short_duration_text
from acquisition.plan import Pace
from gui.actions import button_for
from gui.controls import PathButton
from gui.experiment_panel import ExperimentPanel
from gui.section import Section, hint

if TYPE_CHECKING:
    from collections.abc import Mapping

    from PySide6.QtGui import QAction

    from acquisition.estimate import Estimate
    from acquisition.plan import ExposurePlan
    from acquisition.profile import Profile
    from acquisition.profile_plan import PlanKind


KINDS: dict[PlanKind, str] = {
    "brightfield": "Bright field, LED after LED",
    "annular": "Annulus, LED after LED",
    "darkfield": "Dark field, ring after ring",
    "dpc": "Half circles (DPC)",
    "multiplexed": "Several LEDs at once",
    "subset": "LEDs listed in the profile",
    "list": "Patterns of a file",
}
PACES: dict[Pace, str] = {
    Pace.SOFTWARE: "by the computer",
    Pace.CAMERA: "by the camera's exposures",
    Pace.BOARD: "by the LED board's timer",
    Pace.HANDSHAKE: "by camera and board in turn",
}
EXPOSURES = {
    "": ("fixed", "As long as it says here"),
    "auto": ("automatic", "Measured before the scan: as long as the light allows, the same for all LEDs"),
    "balanced": ("balanced", "Measured before the scan for each LED: dark field becomes as bright as bright field"),
}
"""Ways of `gui.commands.expose`, with what they mean; empty: as the plan has them."""
LEAST_PX = 88
NEEDS_PROFILE: tuple[PlanKind, ...] = ("annular", "subset", "list")
"""Kinds that are only offered where the profile has their settings."""


class AcquirePanel(Section):
    """Emits `plan_edited` when the operator changed the plan and `folder_wanted` to choose where captures go."""

    plan_edited = Signal()
    folder_wanted = Signal()

    def __init__(self, start: QAction, pause: QAction, cancel: QAction, parent: QWidget | None = None) -> None:
        super().__init__("Acquire", "acquire", parent)
        self.sample = QLineEdit()
        self.sample.setObjectName("sample")
        self.sample.setAccessibleName("Name of the sample")
        self.sample.setPlaceholderText("what is on the stage")
        self.kind = QComboBox()
        self.kind.setObjectName("plan_kind")
        self.kind.setAccessibleName("Which LEDs shine, and which of them together")
        self.kind.currentIndexChanged.connect(lambda _: self.plan_edited.emit())
        self.exposure = QDoubleSpinBox()
        self.exposure.setObjectName("plan_exposure")
        self.exposure.setAccessibleName("Exposure of each frame")
        self.exposure.setSuffix(" ms")
        self.exposure.setDecimals(1)
        self.every = QSpinBox()
        self.every.setObjectName("plan_every")
        self.every.setAccessibleName("Take every n-th LED")
        self.every.setToolTip("1 takes all LEDs of the plan; 2 every second: half the time, less detail")
        self.every.setRange(1, 50)
        self.every.setPrefix("every ")
        self.every.setSuffix(". LED")
        self.every.setSpecialValueText("every LED")
        self.pace = QComboBox()
        self.pace.setObjectName("plan_trigger")
        self.pace.setAccessibleName("Who leads LEDs and camera")
        for pace, text in PACES.items():
            self.pace.addItem(text, pace.value)
        self.pace.currentIndexChanged.connect(lambda _: self.plan_edited.emit())
        self.exposure.valueChanged.connect(lambda _: self.plan_edited.emit())
        self.every.valueChanged.connect(lambda _: self.plan_edited.emit())
        self.expose = QComboBox()
        self.expose.setObjectName("plan_expose")
        self.expose.setAccessibleName("How the exposures are found")
        for row, (way, (text, meaning)) in enumerate(EXPOSURES.items()):
            self.expose.addItem(text, way)
            self.expose.setItemData(row, meaning, Qt.ItemDataRole.ToolTipRole)
        for widget in (self.kind, self.exposure, self.every, self.expose, self.pace):
            widget.setMinimumWidth(LEAST_PX)  # not as wide as the longest text: the column keeps its width
        self.expose.setToolTip("\n".join(f"{text}: {meaning}" for text, meaning in EXPOSURES.values()))
        self.experiment = ExperimentPanel()
        self.experiment.edited.connect(self.plan_edited)
        form = QGridLayout()
        form.setVerticalSpacing(6)
        form.addWidget(QLabel("Sample"), 0, 0)
        form.addWidget(self.sample, 0, 1, 1, 2)
        form.addWidget(QLabel("Plan"), 1, 0)
        form.addWidget(self.kind, 1, 1, 1, 2)
        form.addWidget(QLabel("LEDs"), 2, 0)
        form.addWidget(self.every, 2, 1, 1, 2)
        form.addWidget(QLabel("Exposure"), 3, 0)
        form.addWidget(self.exposure, 3, 1)
        form.addWidget(self.expose, 3, 2)
        form.addWidget(QLabel("Timing"), 4, 0)
        form.addWidget(self.pace, 4, 1, 1, 2)
        self.folder = PathButton()
        self.folder.setObjectName("folder")
        self.folder.clicked.connect(self.folder_wanted)
        form.addWidget(QLabel("Folder"), 5, 0)
        form.addWidget(self.folder, 5, 1, 1, 2)
        form.setColumnStretch(1, 1)
        form.setColumnStretch(2, 1)
        self.summary = hint("Connect the instrument first.")
        self.summary.setObjectName("plan_summary")
        self.bar = QProgressBar()
        self.bar.setObjectName("scan_progress")
        self.bar.setAccessibleName("Progress of the acquisition")
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(7)
        self.start_button = button_for(start, primary=True)
        self.pause_button = button_for(pause)
        self.cancel_button = button_for(cancel)
        self.start_button.setText("Start")
        self.pause_button.setText("Pause")
        self.cancel_button.setText("Cancel")
        buttons = QHBoxLayout()
        buttons.addWidget(self.start_button, 2)
        buttons.addWidget(self.pause_button, 1)
        buttons.addWidget(self.cancel_button, 1)
        self.body.addLayout(form)
        self.body.addWidget(self.experiment)
        self.body.addWidget(self.summary)
        self.body.addWidget(self.bar)
        self.body.addLayout(buttons)
        self.set_connected(False)

    def set_folder(self, folder: Path) -> None:
        """Show where captures go."""
        home = str(Path.home())
        text = str(folder)
        short = "~" + text[len(home) :] if text.startswith(home) else text
        self.folder.show_path(short)
        self.folder.setAccessibleName(f"Folder of the captures: {folder}")
        self.folder.setToolTip(f"Captures go to {folder}; click to choose another folder")

    def set_profile(self, profile: Profile) -> None:
        """Take the limits and the default plan of a profile."""
        for widget in (self.kind, self.exposure, self.every, self.pace):
            widget.blockSignals(True)
        self.kind.clear()
        for kind, text in KINDS.items():
            if kind not in NEEDS_PROFILE or kind == profile.plan.kind:
                self.kind.addItem(text, kind)
        self.kind.setCurrentIndex(self.kind.findData(profile.plan.kind))
        limits = profile.camera.exposure_ms
        self.exposure.setRange(limits.min, limits.max)
        self.exposure.setValue(profile.plan.exposure_ms)
        self.every.setValue(profile.plan.every)
        self.pace.setCurrentIndex(self.pace.findData(profile.plan.trigger))
        for widget in (self.kind, self.exposure, self.every, self.pace):
            widget.blockSignals(False)
        self.experiment.set_profile(profile)

    def set_paces(self, reasons: Mapping[Pace, str]) -> None:
        """Offer the ways that the instrument can go: those with a reason against them are grey and tell it."""
        model = self.pace.model()
        assert isinstance(model, QStandardItemModel)
        for index, pace in enumerate(PACES):
            model.item(index).setEnabled(not reasons[pace])
            reason = reasons[pace]
            self.pace.setItemData(index, reason[:1].upper() + reason[1:], Qt.ItemDataRole.ToolTipRole)

    def set_connected(self, connected: bool) -> None:
        """Enable what needs an instrument."""
        for widget in (self.kind, self.exposure, self.every, self.pace, self.expose, self.experiment):
            widget.setEnabled(connected)
        self.say("ready" if connected else "no instrument")
        if not connected:
            self.summary.setText("Connect the instrument first.")
            self.bar.setValue(0)

    def chosen(self) -> dict[str, Any]:
        """Return what the operator chose, by the keys of the profile's table [plan]."""
        return {
            "kind": self.kind.currentData(),
            "exposure_ms": self.exposure.value(),
            "every": self.every.value(),
            "trigger": self.pace.currentData(),
        }

    def show_plan(self, plan: ExposurePlan, seconds: float, estimate: Estimate) -> None:
        """Tell what an experiment will do; `seconds` is what the scans so far let expect of a single scan."""
        dark = f" after {plan.dark_count} dark frames" if plan.dark_count else ""
        exposures = " and ".join(f"{exposure_ms:g}" for exposure_ms in plan.exposures_ms[:3])
        scans = f" in {estimate.scans} scans" if estimate.scans > 1 else ""
        seconds = max(estimate.total_s, seconds * estimate.scans) if estimate.scans > 1 else seconds
        frames = estimate.frames + estimate.dark_frames
        self.summary.setText(
            f"<b>{frames} frames</b>{scans} in about <b>{short_duration_text(seconds)}</b>:"
            f" {plan.pattern_count} LED patterns, {exposures} ms each{dark}"
            + ("." if estimate.file_bytes is None else f"; {bytes_text(estimate.file_bytes)}.")
            + (f" Light on the sample: {_dose_text(estimate)}." if estimate.scans > 1 else "")
        )
        self.summary.setToolTip("\n".join(estimate.lines()))

    def show_fault(self, message: str, remedy: str) -> None:
        """Say why the plan cannot be run."""
        self.summary.setText(f"{message} {remedy}")

    def set_scanning(self, scanning: bool) -> None:
        """While scanning the plan cannot be changed."""
        if scanning and self.start_button.hasFocus():
            self.setFocus()  # from a button that is switched off Qt would go on to the map, and scroll there
        for widget in (self.sample, self.kind, self.exposure, self.every, self.pace, self.expose, self.folder):
            widget.setEnabled(not scanning)
        self.experiment.set_scanning(scanning)
        self.set_paused(False)

    def set_paused(self, paused: bool) -> None:
        """Offer to pause, or to go on."""
        self.pause_button.setText("Resume" if paused else "Pause")

    def show_progress(self, done: int, total: int, eta_s: float | None) -> None:
        """Move the bar."""
        self.bar.setMaximum(max(1, total))
        self.bar.setValue(done)
        left = f", {duration_text(eta_s)} left" if eta_s is not None else ""
        self.say(f"{done} of {total}{left}", "busy")


def _dose_text(estimate: Estimate) -> str:
    """Light of a whole experiment, in the unit that the profile allows."""
    if estimate.dose_j_per_cm2 is not None:
        return f"{estimate.dose_j_per_cm2:.3g} J/cm²"
    return f"{duration_text(estimate.light_s)} of one LED"
