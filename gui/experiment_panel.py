"""Repetition of the plan: how often, where, with or without a search for the focus. Closed until somebody wants it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QSignalBlocker, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QDoubleSpinBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from acquisition.estimate import duration_text
from acquisition.experiment import Experiment, Position, TimeLapse, read_positions
from acquisition.scan import ScanState
from gui.section import hint

if TYPE_CHECKING:
    from acquisition.plan import ExposurePlan
    from acquisition.profile import Profile
    from acquisition.profile_plan import AutofocusSettings
    from acquisition.scan import ScanStatus

CLOSED, OPEN = "▸", "▾"
LIST_PX, SPIN_PX, BUTTON_PX = 80, 84, 60


class ExperimentPanel(QWidget):
    """Emits `edited` when the experiment has changed, `place_wanted` to add where the stage is, `go_wanted(place)`."""

    edited = Signal()
    place_wanted = Signal()
    go_wanted = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("experiment")
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)  # the column keeps its width
        self.positions: list[Position] = []
        self._autofocus: AutofocusSettings | None = None
        self.fold = QPushButton()
        self.fold.setObjectName("experiment_fold")
        self.fold.setAccessibleName("Time-lapse and positions")
        self.fold.setProperty("flat", "true")
        self.fold.setProperty("align", "left")
        self.fold.setCheckable(True)
        self.count = QSpinBox()
        self.count.setObjectName("time_points")
        self.count.setAccessibleName("Number of time points")
        self.count.setRange(1, 1_000_000)
        self.count.setSuffix(" ×")
        self.interval = QDoubleSpinBox()
        self.interval.setObjectName("interval")
        self.interval.setAccessibleName("Time from the start of one time point to that of the next")
        self.interval.setRange(0.0, 1e7)
        self.interval.setDecimals(1)
        self.interval.setPrefix("every ")
        self.interval.setSuffix(" s")
        self.interval.setSpecialValueText("without a pause")
        for box in (self.count, self.interval):
            box.setMinimumWidth(SPIN_PX)  # not as wide as the largest number
        self.autofocus = QCheckBox("Search the focus before the scan")
        self.autofocus.setObjectName("autofocus")
        self.autofocus.setAccessibleName("Search the focus before each scan")
        self.list = QListWidget()
        self.list.setObjectName("positions")
        self.list.setAccessibleName("Positions of the stage, in the order in which they are visited")
        self.list.setFixedHeight(LIST_PX)
        self.add_button = self._button("add_position", "Add", "Take the place where the stage is now into the list")
        self.go_button = self._button("go_to_position", "Go to", "Move the stage to the chosen place")
        self.remove_button = self._button("remove_position", "Remove", "Take the chosen place out of the list")
        self.state = hint()
        self.state.setObjectName("experiment_state")
        self._body = QWidget()
        form = QGridLayout()
        form.setVerticalSpacing(6)
        form.addWidget(QLabel("Time points"), 0, 0)
        form.addWidget(self.count, 0, 1)
        form.addWidget(self.interval, 0, 2)
        form.addWidget(self.autofocus, 1, 0, 1, 3)
        self._places = QWidget()
        buttons = QHBoxLayout()
        for button in (self.add_button, self.go_button, self.remove_button):
            buttons.addWidget(button, 1)
        places = QVBoxLayout(self._places)
        places.setContentsMargins(0, 0, 0, 0)
        places.setSpacing(6)
        self._places_title = QLabel()
        places.addWidget(self._places_title)
        places.addWidget(self.list)
        places.addLayout(buttons)
        inside = QVBoxLayout(self._body)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.setSpacing(7)
        inside.addLayout(form)
        inside.addWidget(self._places)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        layout.addWidget(self.fold)
        layout.addWidget(self._body)
        layout.addWidget(self.state)
        self.fold.toggled.connect(self._unfold)
        self.count.valueChanged.connect(lambda count: self.interval.setEnabled(count > 1))
        self.count.valueChanged.connect(self._changed)
        self.interval.valueChanged.connect(self._changed)
        self.autofocus.toggled.connect(self._changed)
        self.list.currentRowChanged.connect(self._offer)
        self.add_button.clicked.connect(self.place_wanted)
        self.go_button.clicked.connect(self._go)
        self.remove_button.clicked.connect(self._remove)
        self.state.hide()
        self._unfold(False)
        self.set_stage(False)

    def _button(self, name: str, text: str, tip: str) -> QPushButton:
        button = QPushButton(text)
        button.setObjectName(name)
        button.setAccessibleName(f"{text} position")
        button.setMinimumWidth(BUTTON_PX)
        button.setToolTip(tip)
        return button

    # --- what it starts from ------------------------------------------------------------------------------------------

    def set_profile(self, profile: Profile) -> None:
        """Take the experiment of a profile.

        Raises
        ------
        CsvError
            Its positions cannot be read; there are none then.
        """
        settings = profile.experiment
        self._autofocus = settings.autofocus
        with QSignalBlocker(self.count), QSignalBlocker(self.interval), QSignalBlocker(self.autofocus):
            self.count.setValue(settings.count)
            self.interval.setValue(settings.interval_s)
            self.interval.setEnabled(settings.count > 1)
            self.autofocus.setChecked(settings.autofocus is not None)
        self.autofocus.setEnabled(settings.autofocus is not None)
        self.autofocus.setToolTip(
            "At every time point and position, as [experiment.autofocus] of the profile has it"
            if settings.autofocus is not None
            else "The profile says nothing about it: add [experiment.autofocus]"
        )
        self.positions = []
        try:
            if settings.positions is not None:
                self.positions = list(read_positions(settings.positions))
        finally:
            self._list_positions()
            self.fold.setChecked(settings.count > 1 or bool(self.positions))
            self._title()

    def set_stage(self, there: bool) -> None:
        """Offer positions where there is a stage."""
        self._places.setVisible(there)
        self._offer()

    def add_place(self, place_um: tuple[float, float, float]) -> None:
        """Take a place into the list."""
        names = {position.name for position in self.positions}
        number = len(names) + 1
        while f"P{number}" in names:
            number += 1
        self.positions.append(Position(f"P{number}", *place_um))
        self._list_positions(len(self.positions) - 1)
        self._changed()

    def of_plan(self, plan: ExposurePlan) -> Experiment:
        """Return the experiment that was chosen, with this plan.

        Raises
        ------
        OperatorError
            It cannot be.
        """
        return Experiment(
            plan,
            TimeLapse(self.interval.value(), self.count.value()),
            tuple(self.positions),
            self._autofocus if self.autofocus.isChecked() else None,
        )

    # --- while it runs ------------------------------------------------------------------------------------------------

    def set_scanning(self, scanning: bool) -> None:
        """While scanning nothing can be changed."""
        self._body.setEnabled(not scanning)
        self.state.hide()

    def show_status(self, status: ScanStatus) -> None:
        """Tell where a scan of several visits is, and how long until the next."""
        self.state.setVisible(status.visits > 1)
        if status.visits <= 1:
            return
        place = ""
        if self.positions:
            place = f", {self.positions[status.position].name}"
        text = f"time point {status.time_point} ({status.time_point + 1} of {self.count.value()}){place}"
        match status.state:
            case ScanState.WAITING:
                text += f": next in {duration_text(status.waiting_s)}"
            case ScanState.MOVING | ScanState.FOCUSING:
                text += f": {status.state.value}"
        self.state.setText(text)
        self.state.setToolTip(status.focus)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _unfold(self, shown: bool) -> None:
        self._body.setVisible(shown)
        self._title()

    def _title(self) -> None:
        """Say behind the name what was chosen, so that nobody has to look."""
        chosen = []
        if self.count.value() > 1:
            chosen.append(f"{self.count.value()} time points")
        if self.positions:
            chosen.append(f"{len(self.positions)} position{'s' if len(self.positions) > 1 else ''}")
        told = f": {', '.join(chosen)}" if chosen and not self.fold.isChecked() else ""
        self.fold.setText(f"{OPEN if self.fold.isChecked() else CLOSED} Time-lapse and positions{told}")

    def _changed(self) -> None:
        self._title()
        self.edited.emit()

    def _list_positions(self, row: int = 0) -> None:
        self.list.clear()
        for place in self.positions:
            self.list.addItem(f"{place.name}    {place.x_um:.1f}, {place.y_um:.1f}, {place.z_um:.1f} µm")
        self.list.setCurrentRow(row)
        self._places_title.setText("Positions" if self.positions else "Positions: only where the stage is")
        self._offer()

    def _offer(self) -> None:
        chosen = 0 <= self.list.currentRow() < len(self.positions)
        self.go_button.setEnabled(chosen)
        self.remove_button.setEnabled(chosen)

    def _go(self) -> None:
        self.go_wanted.emit(self.positions[self.list.currentRow()])

    def _remove(self) -> None:
        row = self.list.currentRow()
        del self.positions[row]
        self._list_positions(min(row, len(self.positions) - 1))
        self._changed()
