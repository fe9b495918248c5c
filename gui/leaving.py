"""The question before quitting, asked only where something would be lost.

Save and quit: the field is written beside its capture, and the program ends when it is on disk; where that fails, this
is told and the program stays. Quit: at once. Stay: nothing happens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QMessageBox

from gui.field_names import free_field_name

if TYPE_CHECKING:
    from PySide6.QtWidgets import QWidget

    from acquisition.errors import OperatorError
    from gui.instrument_service import InstrumentService
    from gui.recon_bridge import ReconBridge
    from gui.workflow import Workflow


def losses(service: InstrumentService, bridge: ReconBridge) -> list[str]:
    """What would be lost by quitting now, in the operator's words; empty: nothing."""
    texts = []
    if service.scanning:
        texts.append("An acquisition is running: it would end now. The frames taken so far stay on disk.")
    if bridge.unsaved and bridge.fitting:
        texts.append("The volume is still being fitted, and is not saved as it is now.")
    elif bridge.unsaved:
        texts.append("The volume is not saved.")
    elif bridge.fitting and not service.scanning:
        texts.append("A reconstruction has begun and has no volume yet. Its capture stays on disk.")
    if service.left_on is not None:
        texts.append(f"{service.left_on.message} {service.left_on.remedy}")
    return texts


class Leaving(QObject):
    """Asks before the window goes.

    Parameters
    ----------
    window
        Over which the question stands.
    workflow
        What is under way.

    Attributes
    ----------
    told_left_on
        What the operator has been told already of LEDs that may still be on.
    """

    agreed = Signal()

    def __init__(self, window: QWidget, workflow: Workflow) -> None:
        super().__init__(window)
        self._window, self._flow = window, workflow
        self._question: QMessageBox | None = None
        self._saving = False
        self.told_left_on: OperatorError | None = None
        workflow.bridge.saved.connect(self._saved)
        workflow.bridge.failed.connect(self._stay)
        workflow.bridge.lost.connect(self._stay)

    def ask(self) -> None:
        """Emit `agreed`, at once where nothing would be lost, later or never otherwise; returns at once."""
        if self._question is not None or self._saving:
            return
        service, bridge = self._flow.service, self._flow.bridge
        would_be_lost = losses(service, bridge)
        if not would_be_lost:
            self.agreed.emit()
            return
        self.told_left_on = service.left_on
        box = self._question = QMessageBox(self._window)
        box.setObjectName("leave")
        box.setIcon(QMessageBox.Icon.Question)
        box.setWindowTitle("Quit Fieldscope")
        box.setText("Quit Fieldscope?")
        box.setInformativeText("\n\n".join(would_be_lost))
        can_save = bridge.unsaved and not bridge.is_lost
        buttons = [
            *([("leave_save", "Save and quit", QMessageBox.ButtonRole.AcceptRole)] if can_save else []),
            ("leave_quit", "Quit", QMessageBox.ButtonRole.DestructiveRole),
            ("leave_stay", "Stay", QMessageBox.ButtonRole.RejectRole),
        ]
        made = [box.addButton(text, role) for _, text, role in buttons]
        for button, (name, text, _) in zip(made, buttons, strict=True):
            button.setObjectName(name)
            button.setAccessibleName(text)
        box.setDefaultButton(made[0] if can_save else made[-1])
        box.setEscapeButton(made[-1])
        box.finished.connect(self._answered)
        box.open()

    def _answered(self) -> None:
        box, self._question = self._question, None
        assert box is not None
        answer = box.clickedButton().objectName()
        box.deleteLater()
        if answer == "leave_quit":
            self.agreed.emit()
        elif answer == "leave_save":
            self._save()

    def _save(self) -> None:
        capture, bridge = self._flow.capture_path, self._flow.bridge
        if not bridge.unsaved or bridge.is_lost:  # meanwhile
            self.ask()
            return
        self._saving = True
        folder = self._flow.folder if capture is None else capture.parent
        self._flow.panels.message.tell("Saving the volume…", "Fieldscope ends when it is on disk.", error=False)
        bridge.save(free_field_name(capture or folder / "reconstruction", folder))

    def _saved(self) -> None:
        if self._saving:
            self._saving = False
            self.agreed.emit()

    def _stay(self) -> None:
        self._saving = False
