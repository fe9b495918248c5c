"""The window by task: the task bar, and below it a column of controls, the stage and what stands beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QScrollArea, QSplitter, QVBoxLayout, QWidget

from gui.section import Column
from gui.task_bar import TaskBar
from gui.tasks import Task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gui.messages import MessageBar
    from gui.tasks import Arrangement

COLUMN_PX, SIDE_PX = 330, 300
LEAST_STAGE_PX = 320


class Workbench(QWidget):
    """Shows one task at a time; `task_changed(task)` is emitted when it is another one.

    Parameters
    ----------
    arrangements
        What each task shows.
    message
        The message bar, below the task bar.
    """

    task_changed = Signal(Task)

    def __init__(
        self, arrangements: Mapping[Task, Arrangement], message: MessageBar, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._arrangements = arrangements
        self.task = Task.INSTRUMENT
        self.bar = TaskBar()
        self.bar.chosen.connect(self.show_task)
        self._column, self._stage, self._side = Column("column"), Column("stage"), Column("side")
        scroll = QScrollArea()
        scroll.setWidget(self._column)
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        scroll.setMinimumWidth(300)
        scroll.setMaximumWidth(480)
        self._stage.setMinimumWidth(LEAST_STAGE_PX)
        self._side.setMinimumWidth(220)
        self._side.setMaximumWidth(560)
        self.splitter = QSplitter(Qt.Orientation.Horizontal)
        self.splitter.setObjectName("columns")
        self.splitter.setChildrenCollapsible(False)
        self.splitter.setHandleWidth(8)
        for place, part in enumerate((scroll, self._stage, self._side)):
            self.splitter.addWidget(part)
            self.splitter.setStretchFactor(place, 1 if part is self._stage else 0)
        self.splitter.setSizes([COLUMN_PX, 10_000, SIDE_PX])
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 2, 8, 6)
        layout.setSpacing(8)
        layout.addWidget(self.bar)
        layout.addWidget(message)
        layout.addWidget(self.splitter, 1)
        for arrangement in arrangements.values():
            for widget in (*arrangement.column, arrangement.stage, *arrangement.side):
                widget.setParent(self)
                widget.hide()
        self._arrange()

    def show_task(self, task: Task) -> None:
        """Go to a task."""
        if task is not self.task:
            self.task = task
            self._arrange()
            self.task_changed.emit(task)

    def _arrange(self) -> None:
        arrangement = self._arrangements[self.task]
        self.bar.mark(self.task)
        self._column.show_only(arrangement.column, fill=False)
        self._stage.show_only((arrangement.stage,))
        self._side.show_only(arrangement.side)
        self._side.setVisible(bool(arrangement.side))
