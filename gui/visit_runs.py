"""A reconstruction for each time point and position: one run after the other, each saved before the next begins.

    waiting for frames --first frame of a visit--> running --converged, time limit--> saving --saved--> waiting ...
                                                      |                                 ^
                                                      +-- first frame of the next visit: finish now --+

Frames of a visit whose run cannot begin yet wait here. Should another visit begin before it does, they are let go: they
are in the capture, and are reconstructed from there when the scan has ended. So a fit never holds up the scan, and none
is lost to it. Each run begins from the field before it at its position (`recon.earlier`).
"""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Qt, Signal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from acquisition.capture import CaptureHeader, Frame, MatchedReference
    from gui.field_names import Visit
    from gui.recon_bridge import ReconBridge
    from recon.messages import Failed, Finished, FitSettings, Saved

log = logging.getLogger(__name__)


class RunState(Enum):
    """Where the run of a visit stands."""

    NONE = "none"
    RUNNING = "running"
    ENDING = "ending"
    SAVING = "saving"


class VisitRuns(QObject):
    """Runs of one capture. `take` is called on the scan's thread, all else on the window's.

    `began(visit)` is emitted when the run of a visit has begun, `saved(visit, path)` when its field is on disk, `done`
    when nothing is left to do.

    Parameters
    ----------
    bridge
        The reconstruction process.
    names
        Where the field of each visit goes.
    settings
        The operator's choices at the moment.
    """

    began = Signal(object)
    saved = Signal(object, object)
    done = Signal()
    _arrived = Signal()
    _fed = Signal(object)

    def __init__(
        self, bridge: ReconBridge, names: dict[Visit, Path], settings: Callable[[], FitSettings], parent: QObject
    ) -> None:
        super().__init__(parent)
        self._bridge, self._names, self._settings = bridge, names, settings
        self.current: Visit | None = None
        self.state = RunState.NONE
        self._live: tuple[CaptureHeader, str, MatchedReference | None] | None = None
        self._capture: Path | None = None
        self._to_do: list[Visit] = []
        self._last_of: dict[int, Path] = {}
        self._complete: set[Visit] = set()
        self._lock = threading.Lock()
        self._feeding: tuple[Visit, int] | None = None
        self._waiting: Visit | None = None
        self._frames: list[Frame] = []
        self._arrived.connect(self._make_way, Qt.ConnectionType.QueuedConnection)
        self._fed.connect(self._tell_complete, Qt.ConnectionType.QueuedConnection)
        bridge.finished.connect(self._finished)
        bridge.saved.connect(self._saved)
        bridge.failed.connect(self._failed)

    @property
    def busy(self) -> bool:
        """Whether a run is under way, or is still to come."""
        return self.state is not RunState.NONE or bool(self._to_do) or self._live is not None

    # --- frames of a scan ---------------------------------------------------------------------------------------------

    def begin_live(self, header: CaptureHeader, capture_name: str, reference: MatchedReference | None) -> None:
        """Expect the frames of a scan."""
        self._live = header, capture_name, reference

    def take(self, frame: Frame) -> None:
        """Take a frame, on the scan's thread: to the run of its visit, or to those that wait for it."""
        visit = frame.time_point, frame.position
        with self._lock:
            feeding = self._feeding
            waits = feeding is None or feeding[0] != visit
            new = waits and self._waiting != visit
            if new and self._waiting is not None:
                self._to_do.append(self._waiting)
                self._frames = []
            if waits:
                self._waiting = visit
                self._frames.append(frame)
        if new:
            self._arrived.emit()
        if feeding is not None and not waits:
            self._bridge.add_frame(feeding[1], frame.pattern, frame.image_yx, frame.exposure_ms)

    def visit_complete(self, visit: Visit) -> None:
        """Note that all frames of a visit are there."""
        self._complete.add(visit)
        self._tell_complete(visit)

    def _tell_complete(self, visit: Visit) -> None:
        with self._lock:
            fed = self._feeding is not None and self._feeding[0] == visit
        if fed and visit == self.current and visit in self._complete and self.state is RunState.RUNNING:
            self._bridge.frames_done(self._capture)

    def scan_ended(self, capture: Path | None, keep: bool) -> None:
        """No frame will come; `keep` says whether those there are belong to their LEDs."""
        self._live, self._capture = None, capture
        with self._lock:
            waiting, self._waiting, self._frames = self._waiting, None, []
        if waiting is not None:
            self._to_do.append(waiting)
        if not keep or capture is None:
            self._to_do.clear()
        if self.state is RunState.RUNNING and self.current not in self._complete:
            if keep and self._bridge.has_field:
                self._bridge.frames_done(capture)
                self._end_current()
            else:
                self.discard_current()
        self._next()

    # --- runs ---------------------------------------------------------------------------------------------------------

    def begin_stored(self, capture: Path) -> None:
        """Reconstruct every visit of a capture that is complete."""
        self._capture, self._to_do = capture, list(self._names)
        self._next()

    def stop(self) -> None:
        """Take up nothing more, and leave the run under way to who asks."""
        self._live, self.current, self.state, self._to_do = None, None, RunState.NONE, []
        with self._lock:
            self._waiting, self._frames, self._feeding = None, [], None

    def discard_current(self) -> None:
        """Give up the run under way; the next visit gets one again."""
        self._bridge.cancel()
        self._release()
        self._next()

    def process_replaced(self) -> None:
        """A new process knows nothing of the run: it is made again from the capture, once that is finished."""
        if self.current is not None and self.state is not RunState.NONE:
            self._to_do.append(self.current)
        self._release()
        self._next()

    def _make_way(self) -> None:
        """A visit waits: end the run before it, or begin at once."""
        if self.state is RunState.NONE:
            self._next()
        elif self.state is RunState.RUNNING:
            self._bridge.frames_done(self._capture)
            self._end_current()

    def _end_current(self) -> None:
        self.state = RunState.ENDING
        self._bridge.finish_now()

    def _release(self) -> None:
        self.state = RunState.NONE
        with self._lock:
            self._feeding = None

    def _next(self) -> None:
        """Begin the next run, if there is one to begin."""
        if self.state is not RunState.NONE:
            return
        with self._lock:
            waiting = self._waiting
        if self._live is not None and waiting is not None:
            header, name, reference = self._live
            run = self._bridge.start_live(header, self._settings_for(waiting), name, reference)
            self._begin(waiting, run)
            if run is not None:
                threading.Thread(target=self._feed, args=(waiting, run), name="waiting frames", daemon=True).start()
        elif self._live is None and self._to_do and self._capture is not None:
            self._to_do.sort()
            visit = self._to_do.pop(0)
            self._begin(visit, self._bridge.start_stored(self._capture, self._settings_for(visit)))
        elif self._live is None:
            self.done.emit()

    def _begin(self, visit: Visit, run: int | None) -> None:
        self.current = visit
        self.state = RunState.RUNNING if run is not None else RunState.NONE
        self.began.emit(visit)

    def _settings_for(self, visit: Visit) -> FitSettings:
        time_point, position = visit
        start_from = str(self._last_of.get(position, ""))
        return replace(self._settings(), time_point=time_point, position=position, start_from=start_from)

    def _feed(self, visit: Visit, run: int) -> None:
        """Hand over the frames that waited, on a thread of its own; those that come meanwhile wait behind them."""
        while True:
            with self._lock:
                if self._waiting != visit:
                    return  # let go meanwhile
                if not self._frames:
                    self._waiting, self._feeding = None, (visit, run)
                    break
                frame = self._frames.pop(0)
            self._bridge.add_frame(run, frame.pattern, frame.image_yx, frame.exposure_ms)
        self._fed.emit(visit)

    # --- what the process tells ---------------------------------------------------------------------------------------

    def _finished(self, finished: Finished) -> None:
        if self.state in (RunState.RUNNING, RunState.ENDING) and self.current is not None:
            self.state = RunState.SAVING
            self._bridge.save(self._names[self.current])

    def _saved(self, saved: Saved) -> None:
        if self.state is not RunState.SAVING or self.current is None:
            return
        path = self._names[self.current]
        if saved.field_path != str(path):
            return
        self._last_of[self.current[1]] = path
        visit = self.current
        self._release()
        self.saved.emit(visit, path)
        self._next()

    def _failed(self, failed: Failed) -> None:
        if self.state is RunState.NONE or (not failed.ends_run and self.state is not RunState.SAVING):
            return
        log.error("time point %d, position %d has no field: %s", *(self.current or (-1, -1)), failed.message)
        self._release()
        self._next()
