"""At the start: scans that an interrupted program has left in the folder of the captures, and a button that saves them.

Looking and copying run on a thread of their own; a disk may be slow, and a capture large.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from acquisition.capture import find_parts, recover
from acquisition.errors import OperatorError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from acquisition.capture import LeftPart
    from gui.messages import MessageBar

log = logging.getLogger(__name__)


class RecoveryOffer(QObject):
    """Looks once, and tells what it finds in the message bar without hurry.

    Parameters
    ----------
    bar
        Where to tell.
    """

    found = Signal(object)
    ended = Signal(str, str, bool)

    def __init__(self, bar: MessageBar, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._bar = bar
        self.found.connect(self._offer)
        self.ended.connect(self._tell_end)

    def look(self, folder: Path) -> threading.Thread:
        """Look for unfinished captures that can be finished."""

        def search() -> None:
            try:
                parts = [part for part in find_parts(folder) if part.readable and part.frames and not part.in_use]
            except OperatorError as error:  # no folder yet: nothing was ever captured
                log.debug("%s", error)
                return
            if parts:
                self.found.emit(parts)

        return self._begin(search)

    def _offer(self, parts: list[LeftPart]) -> None:
        if self._bar.isVisible():  # what stands there is more urgent
            log.info("%d unfinished captures, such as %s", len(parts), parts[0].path)
            return
        some = f"{len(parts)} scans were" if len(parts) > 1 else f"The scan {parts[0].path.name} was"
        frames = sum(part.frames for part in parts)
        self._bar.tell(
            f"{some} interrupted: {frames} frames are there.",
            f"In {parts[0].path.parent}. They become captures with their proper names; nothing else is changed.",
            "Recover",
            lambda: self._save(parts),
            error=False,
        )

    def _recover(self, parts: list[LeftPart]) -> None:
        saved: list[str] = []
        faults: list[OperatorError] = []
        for part in parts:
            try:
                saved.append(recover(part.path).path.name)
            except OperatorError as error:
                log.error("%s", error)
                faults.append(error)
        if faults:
            self.ended.emit(faults[0].message, faults[0].remedy, True)
        else:
            self.ended.emit(f"Recovered: {', '.join(saved)}.", "Open one with Ctrl+O to reconstruct it.", False)

    def _tell_end(self, message: str, remedy: str, bad: bool) -> None:
        self._bar.tell(message, remedy, error=bad)

    def _save(self, parts: list[LeftPart]) -> None:
        self._begin(lambda: self._recover(parts))

    def _begin(self, work: Callable[[], None]) -> threading.Thread:
        # A daemon: until a copy is complete and compared, the original stays as it is.
        thread = threading.Thread(target=work, name="recovery", daemon=True)
        thread.start()
        return thread
