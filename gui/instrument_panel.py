"""Choose a hardware profile, connect, and see each check with its result."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QComboBox, QFrame, QGridLayout, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from gui.actions import button_for
from gui.section import Section, hint

if TYPE_CHECKING:
    from PySide6.QtGui import QAction

    from gui.instrument_service import Check

OTHER = "Other profile…"


class InstrumentPanel(Section):
    """Emits `profile_chosen(name or path)`, and `browse_wanted` to choose a file."""

    profile_chosen = Signal(str)
    browse_wanted = Signal()

    def __init__(
        self, profiles: dict[str, Path], connect: QAction, disconnect: QAction, parent: QWidget | None = None
    ) -> None:
        super().__init__("Instrument", "instrument", parent)
        self._last_found = ""
        self.profile = QComboBox()
        self.profile.setObjectName("profile")
        self.profile.setAccessibleName("Hardware profile")
        self.profile.setToolTip("One profile describes one microscope")
        for name in profiles:
            self.profile.addItem(name, name)
        self.profile.addItem(OTHER, None)
        self.profile.activated.connect(self._choose)
        self.connect_button: QPushButton = button_for(connect, primary=True)
        self.disconnect_button: QPushButton = button_for(disconnect)
        self.disconnect_button.hide()
        row = QHBoxLayout()
        row.addWidget(self.profile, 1)
        row.addWidget(self.connect_button)
        row.addWidget(self.disconnect_button)
        self.description, self.optics = QLabel(), hint()
        self.description.setWordWrap(True)
        self.description.setObjectName("profile_description")
        self.checks = QWidget()
        self.checks.setObjectName("checks")
        self.checks.setAccessibleName("Checks made while connecting")
        self._check_rows = QGridLayout(self.checks)
        self._check_rows.setContentsMargins(0, 0, 0, 0)
        self._check_rows.setHorizontalSpacing(8)
        self._check_rows.setVerticalSpacing(3)
        self._check_rows.setColumnStretch(2, 1)
        self.fault = QFrame()
        self.fault.setObjectName("message")
        self.fault_text = QLabel()
        self.fault_text.setObjectName("connect_fault")
        self.fault_text.setWordWrap(True)
        self.fault_text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        inner = QVBoxLayout(self.fault)
        inner.setContentsMargins(9, 7, 9, 7)
        inner.addWidget(self.fault_text)
        self.fault.hide()
        self.body.addLayout(row)
        self.body.addWidget(self.description)
        self.body.addWidget(self.optics)
        self.body.addWidget(self.checks)
        self.body.addWidget(self.fault)
        self.checks.hide()
        self.say("not connected")

    def _choose(self, index: int) -> None:
        name = self.profile.itemData(index)
        if name is None:
            self.browse_wanted.emit()
        else:
            self.profile_chosen.emit(str(name))

    def show_profile(self, name: str, title: str, summary: str) -> None:
        """Show the profile in use; one from a file gets an entry of its own."""
        index = self.profile.findData(name)
        if index < 0:
            index = self.profile.count() - 1
            self.profile.insertItem(index, Path(name).stem, name)
        self.profile.setCurrentIndex(index)
        self.description.setText(title)
        self.optics.setText(summary)
        self.clear_checks()

    def clear_checks(self) -> None:
        """Forget the checks of the last attempt."""
        while (item := self._check_rows.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.hide()
                widget.deleteLater()
        self._last_found = ""
        self.checks.hide()
        self.fault.hide()

    def add_check(self, check: Check) -> None:
        """Add a line: mark, name, what was found."""
        row = self._check_rows.rowCount()
        found = check.text.splitlines()[0] if check.text else ""  # the remedy of a fatal one has a box of its own
        self._last_found = found
        mark = QLabel("✓" if check.ok else "✕")
        mark.setProperty("role", "mark")
        mark.setProperty("tone", "good" if check.ok else "bad")
        name = QLabel(check.name)
        name.setProperty("role", "hint")
        text = QLabel(found)
        text.setWordWrap(True)
        text.setAccessibleName(f"{check.name}: {'passed' if check.ok else 'failed'}, {found}")
        for column, label in enumerate((mark, name, text)):
            self._check_rows.addWidget(label, row, column, Qt.AlignmentFlag.AlignTop)
        self.checks.show()

    def show_fault(self, message: str, remedy: str) -> None:
        """Say why connecting failed and what to do."""
        if self._last_found and message.startswith(self._last_found):
            message = ""  # the line of the failed check says it
        escaped = message.replace("&", "&amp;").replace("<", "&lt;").replace("\n", "<br>")
        remedy = remedy.replace("&", "&amp;").replace("<", "&lt;").replace("\n", "<br>")
        parts = [f"<b>{escaped}</b>" if escaped else "", remedy]
        self.fault_text.setText("<br>".join(part for part in parts if part))
        self.fault.show()

    def lock_profile(self, locked: bool) -> None:
        """Keep the profile from being changed from connecting on, until the instrument is released."""
        self.profile.setEnabled(not locked)

    def set_connected(self, connected: bool) -> None:
        """Offer to connect or to disconnect."""
        self.connect_button.setVisible(not connected)
        self.disconnect_button.setVisible(connected)
