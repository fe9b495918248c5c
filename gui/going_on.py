"""At the start: reconstructions that were under way when the program crashed, and a button that goes on with them.

Each window keeps the state of its reconstruction in a file, for the case that its process is lost (`recon.checkpoint`).
Where the window itself is lost, that file stays. It is looked for on a thread of its own; a disk may be slow.
"""

from __future__ import annotations

import logging
import threading
from datetime import datetime
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from acquisition.errors import OperatorError
from gui.field_names import FIELD_SUFFIX, capture_stem
from gui.recon_process import adopt_checkpoint, discard_checkpoint, left_checkpoints
from recon.left import read_left

if TYPE_CHECKING:
    from gui.messages import MessageBar
    from gui.workflow import Workflow
    from recon.left import LeftFit

log = logging.getLogger(__name__)


class GoingOnOffer(QObject):
    """Looks once, and offers what it finds one by one, as soon as the message bar is free.

    The offer stands until something else is reconstructed or opened; the next start makes it again. `went_on` is
    emitted when the operator has accepted it.

    Parameters
    ----------
    bar
        Where to tell.
    workflow
        Goes on.
    """

    found = Signal(object)
    went_on = Signal()

    def __init__(self, bar: MessageBar, workflow: Workflow) -> None:
        super().__init__(workflow)
        self._bar, self._flow = bar, workflow
        self._left: list[LeftFit] = []
        self._told = ""
        self.found.connect(self._begin)
        bar.dismiss.clicked.connect(self._offer)
        workflow.changed.connect(self._give_way)

    def look(self, after: threading.Thread | None = None) -> threading.Thread:
        """Look for reconstructions to go on with; what is told by the thread `after` is told first."""

        def search() -> None:
            if after is not None:
                after.join()
            left = []
            for path in left_checkpoints():
                try:
                    one = read_left(path)
                    if _is_worth_it(one):
                        left.append(one)
                except (OperatorError, OSError) as error:  # torn as the computer went down, of another version, gone
                    log.info("%s", error)
            if left:
                self.found.emit(left)

        thread = threading.Thread(target=search, name="going on", daemon=True)
        thread.start()
        return thread

    def _begin(self, left: list[LeftFit]) -> None:
        self._left = left
        self._give_way()
        self._offer()

    def _offer(self) -> None:
        """Offer the newest; one that is dismissed is not offered again before the next start."""
        if not self._left or self._bar.isVisible():  # what stands there is more urgent
            return
        left = self._left.pop(0)
        self._told = _what_was(left)
        self._bar.tell(
            self._told,
            "Save it if you need it." if left.finished else "It goes on where it was. The capture is kept in any case.",
            "Show" if left.finished else "Go on",
            lambda: self._go_on(left),
            error=False,
            other="Discard",
            do_other=lambda: self._discard(left),
        )

    def _go_on(self, left: LeftFit) -> None:
        try:
            adopt_checkpoint(left.checkpoint_path)
        except OSError as error:
            log.warning("%s", error)
            self._bar.tell("This reconstruction is no longer there.", "Another window may have gone on with it.")
            return
        self._flow.go_on(left)
        self.went_on.emit()

    def _discard(self, left: LeftFit) -> None:
        discard_checkpoint(left.checkpoint_path)
        self._offer()

    def _give_way(self) -> None:
        """Once the reconstruction process is at work on something else, its own checkpoint would be in the way."""
        if self._flow.bridge.run is None:
            return
        self._left.clear()
        if self._told and self._bar.message.text() == self._told:
            self._bar.hide()


def _is_worth_it(left: LeftFit) -> bool:
    """Whether there is something to go on with, or a field that nobody has saved."""
    capture = left.capture_path
    if capture is None or not capture.is_file():  # the scan was interrupted as well: its frames come first
        return False
    if not left.finished:
        return True
    stem = capture_stem(capture)
    saved = (path for path in capture.parent.iterdir() if path.name.endswith(FIELD_SUFFIX))
    return not any(path.name.startswith(stem) and path.stat().st_mtime >= left.written_s for path in saved)


def _what_was(left: LeftFit) -> str:
    name = "" if left.capture_path is None else left.capture_path.name
    if left.settings.time_point or left.settings.position:
        name += f", time point {left.settings.time_point or 0}, position {left.settings.position or 0},"
    at = f"{datetime.fromtimestamp(left.written_s):%Y-%m-%d %H:%M}"
    if left.finished:
        return f"The reconstruction of {name} was finished ({at}), but not saved: Fieldscope ended unexpectedly."
    return f"The reconstruction of {name} was interrupted at step {left.steps} ({at})."
