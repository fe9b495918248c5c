"""On the start screen: what can be opened instead of connecting an instrument."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from gui.actions import button_for
from gui.controls import PathButton
from gui.section import Section, hint

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from PySide6.QtGui import QAction

SHOWN = 6


class RecentPanel(Section):
    """Emits `chosen(path)` for one of the files that were opened or made lately."""

    chosen = Signal(object)

    def __init__(self, open_capture: QAction, open_field: QAction, parent: QWidget | None = None) -> None:
        super().__init__("Open", "open", parent)
        row = QHBoxLayout()
        for action, text in ((open_capture, "Capture…"), (open_field, "Field…")):
            button = button_for(action)
            button.setText(text)
            row.addWidget(button)
        self.body.addLayout(row)
        self._empty = hint("What you open or make is listed here. Files can also be dropped on the window.")
        self.body.addWidget(self._empty)
        self._rows = QVBoxLayout()
        self._rows.setSpacing(0)
        self.body.addLayout(self._rows)

    def show_files(self, paths: Sequence[Path]) -> None:
        """List the latest."""
        while (item := self._rows.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.hide()
                widget.deleteLater()
        for number, path in enumerate(paths[:SHOWN]):
            button = PathButton()
            button.show_path(path.name)
            button.setObjectName(f"recent_{number}")
            button.setAccessibleName(f"Open {path.name}")
            button.setToolTip(str(path))
            button.clicked.connect(lambda _checked=False, path=path: self.chosen.emit(path))
            self._rows.addWidget(button)
        self._empty.setVisible(not paths)
