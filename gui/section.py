"""A framed section of the window: heading at the left, its state in a word at the right, contents below."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from PySide6.QtCore import QEvent, Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QVBoxLayout, QWidget

if TYPE_CHECKING:
    from collections.abc import Sequence

Tone = Literal["quiet", "busy", "good", "warn", "bad"]


def set_tone(label: QLabel, text: str, tone: Tone) -> None:
    """Show a state in words, coloured by what it means."""
    label.setText(text)
    if label.property("tone") != tone:
        label.setProperty("tone", tone)
        label.style().polish(label)


def hint(text: str = "") -> QLabel:
    """A quiet line of explanation."""
    label = QLabel(text)
    label.setProperty("role", "hint")
    label.setWordWrap(True)
    return label


class Section(QFrame):
    """Frame with a heading; put the contents into `body`. `said(text, tone)` is emitted with each new state."""

    said = Signal(str, str)

    def __init__(self, title: str, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("section")
        self.setAccessibleName(title)
        heading = QLabel(title)
        heading.setProperty("role", "heading")
        self.state = QLabel()
        self.state.setProperty("role", "state")
        self.state.setObjectName(f"{name}_state")
        self.state.setAccessibleName(f"{title}: state")
        self.state.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        head = QHBoxLayout()
        head.addWidget(heading)
        head.addStretch(1)
        head.addWidget(self.state)
        self.body = QVBoxLayout()
        self.body.setSpacing(7)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(12, 9, 12, 11)
        layout.setSpacing(8)
        layout.addLayout(head)
        layout.addLayout(self.body)

    def say(self, text: str, tone: Tone = "quiet") -> None:
        """Show the state."""
        set_tone(self.state, text, tone)
        self.said.emit(text, tone)


class Column(QWidget):
    """Sections above each other, never squeezed: a scroll area asks for the least height, but not at which width."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName(name)
        self._steps = QVBoxLayout(self)
        self._steps.setContentsMargins(0, 0, 0, 0)
        self._steps.setSpacing(8)

    def add(self, widget: QWidget, stretch: int = 0) -> None:
        """Put a widget below those there are."""
        self._steps.addWidget(widget, stretch)

    def show_only(self, widgets: Sequence[QWidget], fill: bool = True) -> None:
        """Show these, wherever they were; they fill the height, or stand at its top."""
        while (item := self._steps.itemAt(0)) is not None:
            if (widget := item.widget()) is None:
                self._steps.removeItem(item)
                continue
            self._steps.removeWidget(widget)  # an item that is taken out lives on, and keeps the heights of its widget
            if widget not in widgets and widget.parent() is self:
                widget.hide()
        for widget in widgets:
            self.add(widget, int(fill))
            widget.show()
        if not fill:
            self._steps.addStretch(1)

    def event(self, event: QEvent) -> bool:
        """Ask for the height that wrapped texts need at this width."""
        if event.type() in (QEvent.Type.LayoutRequest, QEvent.Type.Resize):
            wrapped = self._steps.hasHeightForWidth()
            least = self._steps.minimumSize().height()
            self.setMinimumHeight(self._steps.minimumHeightForWidth(self.width()) if wrapped else least)
        return super().event(event)
