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
        self._act: Callable[[], None] | None = None
        self.message = QLabel()
        self.message.setObjectName("message_text")
        self.message.setProperty("role", "strong")
        self.remedy = QLabel()
        self.remedy.setObjectName("message_remedy")
        for label in (self.message, self.remedy):
            label.setWordWrap(True)
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.action = QPushButton()
        self.action.setObjectName("message_action")
        self.action.clicked.connect(self._do)
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
        layout.addWidget(self.dismiss, 0, Qt.AlignmentFlag.AlignTop)
        self.hide()

    def tell(
        self,
        message: str,
        remedy: str = "",
        action: str = "",
        act: Callable[[], None] | None = None,
        error: bool = True,
    ) -> None:
        """Show a message, its remedy, and a button for the remedy where the window can do it itself."""
        self.message.setText(message)
        self.remedy.setText(remedy)
        self.remedy.setVisible(bool(remedy))
        self._act = act
        self.action.setText(action)
        self.action.setAccessibleName(action)
        self.action.setVisible(act is not None)
        self.setProperty("tone", "error" if error else "info")
        self.style().polish(self)
        self.setAccessibleDescription(f"{message} {remedy}")
        self.show()

    def _do(self) -> None:
        act, self._act = self._act, None
        self.hide()
        if act is not None:
            act()
