"""The window by task: the task bar, and below it a column of controls, the stage and what stands beside it."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtWidgets import QFrame, QScrollArea, QSplitter, QVBoxLayout, QWidget

from gui.section import Column
from gui.task_bar import TaskBar
from gui.tasks import Task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gui.messages import MessageBar
    from gui.tasks import Arrangement

COLUMN_PX, SIDE_PX = 352, 300
LEAST_STAGE_PX = 320


class _ColumnScroll(QScrollArea):
    """Scrolls a column up and down only, so it is never narrower than the column with the bar beside it."""

    def minimumSizeHint(self) -> QSize:
        """Width of the contents and of the bar."""
        column = self.widget()
        column_px = 0 if column is None else column.minimumSizeHint().width()
        return QSize(column_px + self.verticalScrollBar().sizeHint().width(), 200)


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
        self._scroll = scroll = _ColumnScroll()
        scroll.setWidget(self._column)
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
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
        self._side_px = SIDE_PX
        self.set_widths([COLUMN_PX, 10_000, SIDE_PX])
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
        self._order_focus(message)
        self._arrange()

    def _order_focus(self, message: MessageBar) -> None:
        """Tab goes from the task bar through column, stage and side, in every task."""
        arrangements = self._arrangements.values()
        columns = [widget for arrangement in arrangements for widget in arrangement.column]
        sides = [widget for arrangement in arrangements for widget in arrangement.side]
        stages = [arrangement.stage for arrangement in arrangements]
        parts = dict.fromkeys((self.bar, message, *columns, *stages, *sides))
        chain = [
            child
            for part in parts
            for child in part.findChildren(QWidget)
            if child.focusPolicy() & Qt.FocusPolicy.TabFocus and child.window() is self.window()  # no list of a box
        ]
        for before, after in pairwise(chain):
            QWidget.setTabOrder(before, after)

    def show_task(self, task: Task) -> None:
        """Go to a task."""
        if task is not self.task:
            self.task = task
            focused = self.window().focusWidget()
            self._arrange()
            if focused is not None and (focused.parent() is self.bar or not focused.isVisible()):
                self.bar.buttons[task].setFocus()  # where Qt moves it from what is hidden is nowhere in particular
            self.task_changed.emit(task)

    def places(self) -> tuple[QWidget, QWidget, QWidget]:
        """Column, stage and side."""
        return self._column, self._stage, self._side

    def widths(self) -> list[int]:
        """Widths of column, stage and side in pixels; a side that is hidden keeps the one it had."""
        column, stage, side = self.splitter.sizes()
        if side:
            self._side_px = side
        return [column, stage, self._side_px]

    def set_widths(self, widths_px: list[int]) -> None:
        """Give column, stage and side these widths, as far as they may have them."""
        if len(widths_px) == 3:
            self._side_px = widths_px[2]
            self.splitter.setSizes(widths_px)

    def _arrange(self) -> None:
        arrangement = self._arrangements[self.task]
        self.bar.mark(self.task)
        self._column.show_only(arrangement.column, fill=False)
        self._scroll.verticalScrollBar().setValue(0)
        self._stage.show_only((arrangement.stage,))
        self._side.show_only(arrangement.side)
        self._side.setVisible(bool(arrangement.side))
