"""What will be exposed, how long it takes, start, progress, cancel."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtWidgets import (
    QDoubleSpinBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QSpinBox,
    QWidget,
)

from gui.actions import button_for
from gui.section import Section, duration_text, hint

if TYPE_CHECKING:
    from PySide6.QtGui import QAction

    from acquisition.plan import ExposurePlan
    from acquisition.profile import Profile


class AcquirePanel(Section):
    """Emits `plan_edited` when the operator changed the plan and `folder_wanted` to choose where captures go."""

    plan_edited = Signal()
    folder_wanted = Signal()

    def __init__(self, start: QAction, cancel: QAction, parent: QWidget | None = None) -> None:
        super().__init__("Acquire", "acquire", parent)
        self.sample = QLineEdit()
        self.sample.setObjectName("sample")
        self.sample.setAccessibleName("Name of the sample")
        self.sample.setPlaceholderText("what is on the stage")
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
        self.exposure.valueChanged.connect(lambda _: self.plan_edited.emit())
        self.every.valueChanged.connect(lambda _: self.plan_edited.emit())
        form = QGridLayout()
        form.setVerticalSpacing(6)
        form.addWidget(QLabel("Sample"), 0, 0)
        form.addWidget(self.sample, 0, 1, 1, 2)
        form.addWidget(QLabel("Plan"), 1, 0)
        form.addWidget(self.exposure, 1, 1)
        form.addWidget(self.every, 1, 2)
        self.folder = QPushButton()
        self.folder.setObjectName("folder")
        self.folder.setProperty("flat", "true")
        self.folder.setStyleSheet("text-align: left; padding: 2px 0;")
        self.folder.clicked.connect(self.folder_wanted)
        self.summary = hint("Connect the instrument first.")
        self.summary.setObjectName("plan_summary")
        self.bar = QProgressBar()
        self.bar.setObjectName("scan_progress")
        self.bar.setAccessibleName("Progress of the acquisition")
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(7)
        self.start_button = button_for(start, primary=True)
        self.cancel_button = button_for(cancel)
        self.start_button.setText("Start")
        self.cancel_button.setText("Cancel")
        buttons = QHBoxLayout()
        buttons.addWidget(self.start_button, 2)
        buttons.addWidget(self.cancel_button, 1)
        self.body.addLayout(form)
        self.body.addWidget(self.folder)
        self.body.addWidget(self.summary)
        self.body.addWidget(self.bar)
        self.body.addLayout(buttons)
        self.set_connected(False)

    def set_folder(self, folder: Path) -> None:
        """Show where captures go."""
        home = str(Path.home())
        text = str(folder)
        short = "~" + text[len(home) :] if text.startswith(home) else text
        self.folder.setText(f"to {short}")
        self.folder.setAccessibleName(f"Folder of the captures: {folder}")
        self.folder.setToolTip(f"Captures go to {folder}; click to choose another folder")

    def set_profile(self, profile: Profile) -> None:
        """Take the limits and the default plan of a profile."""
        for widget in (self.exposure, self.every):
            widget.blockSignals(True)
        limits = profile.camera.exposure_ms
        self.exposure.setRange(limits.min, limits.max)
        self.exposure.setValue(profile.plan.exposure_ms)
        self.every.setValue(profile.plan.every)
        for widget in (self.exposure, self.every):
            widget.blockSignals(False)

    def set_connected(self, connected: bool) -> None:
        """Enable what needs an instrument."""
        self.exposure.setEnabled(connected)
        self.every.setEnabled(connected)
        if not connected:
            self.summary.setText("Connect the instrument first.")
            self.bar.setValue(0)
            self.say("")

    def show_plan(self, plan: ExposurePlan, seconds: float, dark_frames: int) -> None:
        """Tell what the plan will do."""
        dark = f" after {dark_frames} dark frames" if dark_frames else ""
        self.summary.setText(
            f"<b>{plan.frame_count} frames</b> in about <b>{duration_text(seconds)}</b>:"
            f" {plan.pattern_count} LED patterns, {plan.exposure_ms:g} ms each{dark}."
        )

    def show_fault(self, message: str, remedy: str) -> None:
        """Say why the plan cannot be run."""
        self.summary.setText(f"{message} {remedy}")

    def set_scanning(self, scanning: bool) -> None:
        """While scanning the plan cannot be changed."""
        for widget in (self.sample, self.exposure, self.every, self.folder):
            widget.setEnabled(not scanning)

    def show_progress(self, done: int, total: int, eta_s: float | None) -> None:
        """Move the bar."""
        self.bar.setMaximum(max(1, total))
        self.bar.setValue(done)
        left = f", {duration_text(eta_s)} left" if eta_s is not None else ""
        self.say(f"{done} of {total}{left}", "busy")
