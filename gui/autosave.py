"""A finished field is written beside its capture without being asked for, under a name that is free."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject

from gui.field_names import free_field_name

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gui.recon_bridge import ReconBridge
    from recon.messages import Finished, FitProgress


class Autosave(QObject):
    """Has each run saved once, when its fit has finished; a field that was only opened is there already.

    Parameters
    ----------
    bridge
        The reconstruction process.
    capture
        Tells the capture of the current run.
    """

    def __init__(self, bridge: ReconBridge, capture: Callable[[], Path | None], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.on = True
        self._bridge, self._capture = bridge, capture
        self._unsaved_run: int | None = None
        bridge.progress.connect(self._note)
        bridge.finished.connect(self._save)

    def _note(self, progress: FitProgress) -> None:
        self._unsaved_run = progress.run

    def _save(self, finished: Finished) -> None:
        capture = self._capture()
        if self.on and capture is not None and finished.run == self._unsaved_run:
            self._unsaved_run = None
            self._bridge.save(free_field_name(capture, capture.parent))
