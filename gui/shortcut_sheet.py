"""The sheet of keys and mouse (F1), made from the actions: what is in the menus is on it."""

from __future__ import annotations

import math

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDialog, QGridLayout, QHBoxLayout, QLabel, QWidget

from gui.actions import ACTIONS, MOUSE_AND_KEYS

COLUMNS = 3


def shortcut_groups() -> dict[str, list[tuple[str, str]]]:
    """Every key and mouse gesture with what it does, by menu."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for spec in ACTIONS:
        if spec.shortcut:
            title = spec.menu.lstrip("-").replace("&", "")
            groups.setdefault(title, []).append((spec.shortcut, spec.text.rstrip("…")))
    return {**groups, **{title: list(rows) for title, rows in MOUSE_AND_KEYS.items()}}


class ShortcutSheet(QDialog):
    """All keys at one sight."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("shortcut_sheet")
        self.setWindowTitle("Keys and mouse")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        groups = shortcut_groups()
        most = sum(len(rows) + 2 for rows in groups.values()) / COLUMNS
        across = QHBoxLayout(self)
        across.setContentsMargins(24, 18, 28, 20)
        across.setSpacing(40)
        filled = math.inf
        for title, rows in groups.items():
            if filled + len(rows) / 2 > most:
                grid, filled = self._new_column(), 0
                across.addLayout(grid)
            self._add_group(grid, title, rows)
            filled += len(rows) + 2

    @staticmethod
    def _new_column() -> QGridLayout:
        grid = QGridLayout()
        grid.setHorizontalSpacing(18)
        grid.setVerticalSpacing(5)
        grid.setAlignment(Qt.AlignmentFlag.AlignTop)
        return grid

    @staticmethod
    def _add_group(grid: QGridLayout, title: str, rows: list[tuple[str, str]]) -> None:
        first = grid.rowCount() if grid.count() else 0
        heading = QLabel(title)
        heading.setProperty("role", "heading")
        grid.addWidget(heading, first, 0, 1, 2)
        for row, (keys, meaning) in enumerate(rows, first + 1):
            label = QLabel(keys)
            label.setProperty("role", "hint")
            grid.addWidget(label, row, 0)
            grid.addWidget(QLabel(meaning), row, 1)
        grid.setRowMinimumHeight(first + len(rows) + 1, 12)
