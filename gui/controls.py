"""Buttons, choices and numbers with their name, their accessible name and what they explain, in one line each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QComboBox, QDoubleSpinBox, QLabel, QPushButton, QSizePolicy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from PySide6.QtGui import QResizeEvent
    from PySide6.QtWidgets import QGridLayout


class PathButton(QPushButton):
    """Button that shows a path, as wide as there is room: the middle of a longer one gives way to dots."""

    def __init__(self) -> None:
        super().__init__()
        self._path = ""
        self.setProperty("flat", "true")
        self.setProperty("align", "left")
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)

    def show_path(self, path: str) -> None:
        """Show another one."""
        self._path = path
        self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Show as much as there is room for now."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        shown = self.fontMetrics().elidedText(self._path, Qt.TextElideMode.ElideMiddle, max(0, self.width() - 4))
        self.setText(shown.replace("&", "&&"))


def push_button(text: str, name: str, tip: str) -> QPushButton:
    """Button; its text is its accessible name."""
    button = QPushButton(text)
    button.setObjectName(name)
    button.setAccessibleName(text)
    button.setToolTip(tip)
    return button


def choice(items: Iterable[str], accessible_name: str, name: str, tip: str) -> QComboBox:
    """Drop-down list that may be narrower than its longest item."""
    box = QComboBox()
    box.addItems(list(items))
    box.setObjectName(name)
    box.setAccessibleName(accessible_name)
    box.setToolTip(tip)
    box.setMinimumContentsLength(6)
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    return box


def number(
    value: float, limits: tuple[float, float], step: float, decimals: int, accessible_name: str, tip: str
) -> QDoubleSpinBox:
    """Number that is typed or stepped; told only when it was typed in full."""
    spin = QDoubleSpinBox()
    spin.setRange(*limits)
    spin.setDecimals(decimals)
    spin.setSingleStep(step)
    spin.setValue(value)
    spin.setKeyboardTracking(False)
    spin.setMinimumWidth(70)  # its hint is as wide as its limits
    spin.setObjectName(accessible_name.lower().replace(" ", "_"))
    spin.setAccessibleName(accessible_name)
    spin.setToolTip(tip)
    return spin


def figure_rows(table: QGridLayout, first_row: int, meanings: dict[str, str], of_what: str) -> dict[str, QLabel]:
    """Rows of a name and its value; returns the labels of the values by name."""
    values: dict[str, QLabel] = {}
    for row, (name, meaning) in enumerate(meanings.items(), first_row):
        label, value = QLabel(name), QLabel("–")
        label.setProperty("role", "hint")
        value.setAccessibleName(f"{name} {of_what}")
        for widget in (label, value):
            widget.setToolTip(meaning)
        table.addWidget(label, row, 0)
        table.addWidget(value, row, 1)
        values[name] = value
    table.setHorizontalSpacing(10)
    table.setVerticalSpacing(4)
    table.setColumnStretch(1, 1)
    return values
