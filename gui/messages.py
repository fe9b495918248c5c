"""What the window tells the operator without stopping him: a bar with message and remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

if TYPE_CHECKING:
    from collections.abc import Callable


class MessageBar(QFrame):
    """Shows the latest message until it is dismissed; never modal, so a scan can be cancelled while it stands."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("message")
        self.setAccessibleName("Message")
        self._acts: dict[QPushButton, Callable[[], None] | None] = {}
        self.message = QLabel()
        self.message.setObjectName("message_text")
        self.message.setProperty("role", "strong")
        self.remedy = QLabel()
        self.remedy.setObjectName("message_remedy")
        for label in (self.message, self.remedy):
            label.setWordWrap(True)
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.action, self.other = QPushButton(), QPushButton()
        for button, name in ((self.action, "message_action"), (self.other, "message_other")):
            button.setObjectName(name)
            button.setAccessibleName("What to do")
            button.clicked.connect(lambda _=False, button=button: self._do(button))
        self.dismiss = QPushButton("✕")
        self.dismiss.setObjectName("message_dismiss")
        self.dismiss.setAccessibleName("Dismiss the message")
        self.dismiss.setToolTip("Dismiss")
        self.dismiss.setProperty("flat", "true")
        self.dismiss.clicked.connect(self.hide)
        texts = QVBoxLayout()
        texts.setSpacing(2)
        texts.addWidget(self.message)
        texts.addWidget(self.remedy)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(12, 8, 8, 8)
        layout.addLayout(texts, 1)
        layout.addWidget(self.action)
        layout.addWidget(self.other)
        layout.addWidget(self.dismiss, 0, Qt.AlignmentFlag.AlignTop)
        self.hide()

    def tell(
        self,
        message: str,
        remedy: str = "",
        action: str = "",
        act: Callable[[], None] | None = None,
        error: bool = True,
        other: str = "",
        do_other: Callable[[], None] | None = None,
    ) -> None:
        """Show a message, its remedy, a button for it where the window can do it itself, and one for another."""
        self.message.setText(message)
        self.remedy.setText(remedy)
        self.remedy.setVisible(bool(remedy))
        for button, text, do in ((self.action, action, act), (self.other, other, do_other)):
            self._acts[button] = do
            button.setText(text)
            button.setAccessibleName(text)
            button.setVisible(do is not None)
        self.setProperty("tone", "error" if error else "info")
        self.style().polish(self)
        self.setAccessibleDescription(f"{message} {remedy}")
        self.show()

    def _do(self, button: QPushButton) -> None:
        act = self._acts.get(button)
        self._acts.clear()
        self.hide()
        if act is not None:
            act()
