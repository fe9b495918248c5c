"""The bar at the top: one button for each task, with its state in a word."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtWidgets import QButtonGroup, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from gui.section import set_tone
from gui.tasks import Task

if TYPE_CHECKING:
    from gui.section import Tone


class TaskButton(QPushButton):
    """Title above, state below."""

    def __init__(self, task: Task, shortcut: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._title = task.value
        self.setObjectName(f"task_{task.name.lower()}")
        self.setProperty("role", "task")
        self.setCheckable(True)
        self.setToolTip(f"{task.value} ({shortcut})")
        title, self.state = QLabel(task.value), QLabel()
        title.setProperty("role", "task")
        self.state.setProperty("role", "state")
        self._lines = QVBoxLayout(self)
        self._lines.setContentsMargins(14, 6, 14, 7)
        self._lines.setSpacing(0)
        for label in (title, self.state):
            label.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
            self._lines.addWidget(label)
        self.say("", "quiet")

    def say(self, text: str, tone: Tone) -> None:
        """Show the state."""
        set_tone(self.state, text, tone)
        self.setAccessibleName(f"{self._title}: {text}" if text else self._title)

    def sizeHint(self) -> QSize:
        """Wide enough for a short state, so that the bar does not move when it changes."""
        return QSize(max(204, self._lines.sizeHint().width()), self._lines.sizeHint().height())

    def minimumSizeHint(self) -> QSize:
        """Narrow windows cut the state, not the title."""
        return QSize(120, self._lines.sizeHint().height())


class TaskBar(QWidget):
    """Emits `chosen(task)` when the operator goes to another task."""

    chosen = Signal(Task)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("task_bar")
        self.setAccessibleName("Tasks")
        group = QButtonGroup(self)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(6)
        self.buttons: dict[Task, TaskButton] = {}
        for number, task in enumerate(Task, 1):
            button = self.buttons[task] = TaskButton(task, f"Ctrl+{number}")
            button.clicked.connect(lambda _checked, task=task: self.chosen.emit(task))
            group.addButton(button)
            row.addWidget(button)
        row.addStretch(1)

    def mark(self, task: Task) -> None:
        """Show which task is open."""
        self.buttons[task].setChecked(True)

    def say(self, task: Task, text: str, tone: Tone) -> None:
        """Show the state of a task."""
        self.buttons[task].say(text, tone)
