"""Time points and positions of a time-lapse below the views: a slider, a list of positions, and a button that plays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QSignalBlocker, Qt, QTimer, Signal
from PySide6.QtWidgets import QComboBox, QFrame, QHBoxLayout, QLabel, QPushButton, QSizePolicy, QSlider, QWidget

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gui.field_names import Visit

FRAME_MS = 600
"""Time for which playing shows each time point at least."""


class TimeBar(QFrame):
    """Emits `chosen(visit)` when the operator goes to another time point or position; hidden where there is but one."""

    chosen = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("section")
        self.setAccessibleName("Time points and positions")
        self.visits: list[Visit] = []
        self.shown: Visit | None = None
        self._answered = True
        self.play_button = QPushButton("Play")
        self.play_button.setObjectName("time_play")
        self.play_button.setAccessibleName("Play the time points")
        self.play_button.setToolTip("Show one time point after the other, over and over (Ctrl+Space)")
        self.play_button.setCheckable(True)
        self.play_button.setFixedWidth(76)
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setObjectName("time_slider")
        self.slider.setAccessibleName("Time point")
        self.slider.setToolTip("Time point (Ctrl+Left, Ctrl+Right)")
        self.slider.setPageStep(1)
        self.position = QComboBox()
        self.position.setObjectName("time_position")
        self.position.setAccessibleName("Position of the stage")
        self.label = QLabel()
        self.label.setObjectName("time_label")
        self.label.setAccessibleName("What is shown")
        self.label.setMinimumWidth(190)
        self.label.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        row = QHBoxLayout(self)
        row.setContentsMargins(10, 5, 10, 5)
        row.setSpacing(10)
        row.addWidget(self.play_button)
        row.addWidget(self.slider, 1)
        row.addWidget(self.label)
        row.addWidget(self.position)
        self._timer = QTimer(self)
        self._timer.setInterval(FRAME_MS)
        self._timer.timeout.connect(self._play_on)
        self.slider.valueChanged.connect(self._slid)
        self.position.activated.connect(self._go_to_position)
        self.play_button.toggled.connect(self._play)
        self.hide()

    def show_visits(self, visits: Iterable[Visit], shown: Visit | None) -> None:
        """Offer these, one of which is shown."""
        self.visits, self.shown = sorted(visits), shown
        several = len(self.visits) > 1
        self.setVisible(several)
        if not several:
            self.play_button.setChecked(False)
        positions = sorted({position for _, position in self.visits})
        times = self._times()
        with QSignalBlocker(self.slider), QSignalBlocker(self.position):
            if [self.position.itemData(index) for index in range(self.position.count())] != positions:
                self.position.clear()
                for position in positions:
                    self.position.addItem(f"position {position}", position)
            self.position.setVisible(len(positions) > 1)
            self.slider.setRange(0, max(0, len(times) - 1))
            self.slider.setEnabled(len(times) > 1)
            self.play_button.setEnabled(len(times) > 1)
            if shown is not None and shown in self.visits:
                self.position.setCurrentIndex(positions.index(shown[1]))
                self.slider.setValue(times.index(shown[0]))
        self._answered = True
        if shown is not None:
            self.say("")

    def say(self, text: str) -> None:
        """Tell which time point is shown, and something about it."""
        if self.shown is not None:
            times = self._times()
            number = f" ({times.index(self.shown[0]) + 1} of {len(times)})" if self.shown[0] in times else ""
            self.label.setText(f"time point {self.shown[0]}{number}{', ' if text else ''}{text}")

    def answered(self) -> None:
        """The process shows what was asked for; playing may go on."""
        self._answered = True

    def step(self, by: int) -> None:
        """Go to an earlier or a later time point."""
        self.slider.setValue(self.slider.value() + by)

    def toggle_play(self) -> None:
        """Begin or end playing."""
        if self.play_button.isEnabled():
            self.play_button.toggle()

    def _times(self) -> list[int]:
        """Time points at the position that is shown."""
        position = self.shown[1] if self.shown is not None else (self.visits[0][1] if self.visits else 0)
        return [time for time, place in self.visits if place == position]

    def _play(self, on: bool) -> None:
        self.play_button.setText("Stop" if on else "Play")
        if on:
            self._timer.start()
        else:
            self._timer.stop()

    def _play_on(self) -> None:
        if self._answered:
            count = self.slider.maximum() + 1
            self.slider.setValue((self.slider.value() + 1) % count)

    def _slid(self, index: int) -> None:
        if self.shown is not None:
            self._choose((self._times()[index], self.shown[1]))

    def _go_to_position(self, index: int) -> None:
        """Go to the time point of another position that is nearest to the one shown."""
        position = self.position.itemData(index)
        now = self.shown[0] if self.shown is not None else 0
        there = [time for time, place in self.visits if place == position]
        self._choose((min(there, key=lambda time: abs(time - now)), position))

    def _choose(self, visit: Visit) -> None:
        if visit != self.shown:
            self.show_visits(self.visits, visit)
            self._answered = False
            self.chosen.emit(visit)
