"""The reconstruction process as the window sees it: calls in, Qt signals out, one current run, death and hangs noticed.

Messages arrive on a reader thread, which only emits queued signals. Whatever belongs to an old run, or to a process
that was replaced, is dropped here, so nobody behind this point sees it.

    run begins --process lost--> `lost` --operator: `restart`--> new process shows the checkpoint, and goes on from it
"""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING, TypeVar

from PySide6.QtCore import QObject, QTimer, Signal

from gui.recon_process import checkpoint_path, forget_checkpoints, spawned
from recon.messages import (
    Failed,
    FieldReady,
    Finished,
    FitProgress,
    FitSettings,
    Heartbeat,
    Lights,
    LogLine,
    LookAt,
    Looking,
    Notice,
    Phase,
    Picture,
    Ready,
    Resume,
    Saved,
    SetViewBudget,
)
from recon.shared import discard, take
from recon.view_requests import NO_RUN

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from acquisition.capture import CaptureHeader, MatchedReference
    from gui.recon_process import Process
    from recon.messages import Event
    from recon.view_requests import CloseView, PictureRequest

log = logging.getLogger(__name__)
Result = TypeVar("Result")

SILENCE_S = 5.0
"""Without a sign of life for this long while it steps, the process hangs."""
LONG_STEP_S = 60.0
"""The same while it starts, or after it has announced a new phase: first steps and closed forms take long."""
SILENT_STEPS = 4
"""On a slow computer steps take seconds: so many of them may pass in silence."""
STOP_S = 0.7
"""A process in the middle of a step is killed after this time: it holds nothing that is not on disk."""
SPAWN_S = 3.0
"""A process may take so long to come into being."""
PROCESS_RUN = -1
"""Run number of events that concern the process, not a run."""


class ReconBridge(QObject):
    """Owns the reconstruction process and its current run.

    `lost(reason, remedy)` is emitted once when the process died or hangs; `recovered` when a silent one speaks again.

    Parameters
    ----------
    make_process
        Makes a process that reports to the given callable.

    Attributes
    ----------
    run
        Number of the current run; None: there is none.
    fitting, has_field
        Whether it still fits, and whether there is something to look at.
    unsaved
        Whether the field would be lost with this program: it was fitted, and has changed since it was last saved, by
        whomever.
    is_lost
        Whether the process died or hangs.
    """

    ready = Signal(object)
    phase = Signal(object)
    progress = Signal(object)
    field_ready = Signal(object)
    lights = Signal(object)
    finished = Signal(object)
    saved = Signal(object)
    copied = Signal(object)
    notice = Signal(object)
    failed = Signal(object)
    looking = Signal(object)
    picture = Signal(object, object)
    lost = Signal(str, str)
    recovered = Signal()
    _arrived = Signal(int, object, object)

    def __init__(
        self, parent: QObject | None = None, make_process: Callable[[Callable[[Event], None]], Process] = spawned
    ) -> None:
        super().__init__(parent)
        self._make_process = make_process
        self._process: Process | None = None
        self._generation = 0
        self._heard_at_s = 0.0
        self._stepped_at_s = 0.0
        self._tolerance_s = LONG_STEP_S
        self.is_lost = False
        self._closing = False
        self._stopping: list[Thread] = []
        self._copies: set[str] = set()
        self.run: int | None = None
        self.fitting = False
        self.has_field = False
        self.unsaved = False
        self._fitted = False
        self._begun: tuple[Path | None, FitSettings] | None = None
        self._memory_mb = 0.0
        self._view_budget: float | None = None
        self.looks_elsewhere = False
        self._arrived.connect(self._handle)
        self._watch = QTimer(self)
        self._watch.setInterval(500)
        self._watch.timeout.connect(self._look)

    # --- life of the process ------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start a process, in place of the one there may be; its run is gone."""
        if self._process is not None:
            self._stop_later(self._process)
        self._generation += 1
        self.run, self.fitting, self.has_field, self.unsaved = None, False, False, False
        self._heard_at_s, self._tolerance_s, self.is_lost = time.monotonic(), LONG_STEP_S, False
        self._process = self._make_process(partial(self._receive, self._generation))
        self._process.start()
        if self._view_budget is not None:
            self.set_view_budget(self._view_budget)
        self._watch.start()

    def restart(
        self, capture: Path | None, live: bool = False, reference: MatchedReference | None = None
    ) -> int | None:
        """Start a process in place of the one that was lost, and have it go on where that one had come to.

        Parameters
        ----------
        capture
            The frames on disk; None: there are none.
        live
            Whether a scan still writes them; it hands over its further frames, under the new run.
        reference
            As `start_live`.

        Returns
        -------
        Number of the new run; None where there was none to go on with.
        """
        begun, interrupted = self._begun, self.run is not None
        self.start()
        if begun is None or not interrupted:
            return None
        field_path, settings = begun
        if field_path is not None:
            return self.open_field(field_path)
        return self.go_on(capture, settings, live, reference)

    def go_on(
        self,
        capture: Path | None,
        settings: FitSettings,
        live: bool = False,
        reference: MatchedReference | None = None,
    ) -> int | None:
        """Begin a run that goes on from this window's checkpoint; parameters as `restart`, `settings`: how it fits."""
        asked = Resume(NO_RUN, str(checkpoint_path()), str(capture or ""), settings, live, reference)
        return self._begin(lambda process: process.resume(asked), settings)

    def shut_down(self) -> None:
        """Ask the process to end; `is_stopped` tells when it has."""
        self._closing = True
        self._watch.stop()
        self.run = None
        if self._process is not None:
            self._stop_later(self._process, last=True)

    def _stop_later(self, process: Process, last: bool = False) -> None:
        def stop() -> None:
            process.stop(STOP_S)
            if last:
                forget_checkpoints()

        thread = Thread(target=stop, name="stop reconstruction")
        thread.start()
        self._stopping.append(thread)

    @property
    def is_stopped(self) -> bool:
        """Whether no process of ours is left."""
        return not any(thread.is_alive() for thread in self._stopping)

    def _receive(self, generation: int, event: Event) -> None:
        """Take an event on the reader thread: copy a picture out of shared memory, and hand over."""
        self._heard_at_s = time.monotonic()
        picture = None
        if isinstance(event, Picture):
            if self._closing or generation != self._generation or event.run != self.run:
                discard(event.image)
                return
            try:
                picture = take(event.image)
            except FileNotFoundError:
                return  # its process has ended and cleaned up
        if not self._closing:
            self._arrived.emit(generation, event, picture)

    def _handle(self, generation: int, event: Event, picture: NDArray[np.float32] | None) -> None:
        if generation != self._generation or self._closing:
            return
        if isinstance(event, Heartbeat):
            self._memory_mb = event.memory_mb
            return
        if isinstance(event, LogLine):
            logging.getLogger(f"reconstruction.{event.source}").log(event.level, "%s", event.text)
            return
        if isinstance(event, Ready):
            self._tolerance_s = SILENCE_S
            self.ready.emit(event)
            return
        if isinstance(event, Failed) and event.run == PROCESS_RUN:
            self._lose(event.message, event.remedy or "Restart the reconstruction.", event.detail)
            return
        if event.run != self.run:
            log.debug("dropped an event of run %s: %s", event.run, type(event).__name__)
            return
        if isinstance(event, Picture):
            self.picture.emit(event, picture)
        elif isinstance(event, Phase):
            self._tolerance_s, self._stepped_at_s = LONG_STEP_S, time.monotonic()
            self.phase.emit(event)
        elif isinstance(event, FitProgress):
            self.unsaved = True
            now_s = time.monotonic()
            step_s, self._stepped_at_s = now_s - self._stepped_at_s, now_s
            self._tolerance_s = min(max(SILENCE_S, SILENT_STEPS * step_s), LONG_STEP_S)
            self.progress.emit(event)
        elif isinstance(event, FieldReady):
            self.has_field = True
            self.unsaved = self._fitted
            self.field_ready.emit(event)
        elif isinstance(event, Lights):
            self.lights.emit(event)
        elif isinstance(event, Finished):
            self.fitting = False
            self.unsaved = self._fitted
            self._tolerance_s = SILENCE_S
            self.finished.emit(event)
        elif isinstance(event, Saved):
            is_copy = event.field_path in self._copies
            self._copies.discard(event.field_path)
            self.unsaved = self.unsaved and is_copy
            (self.copied if is_copy else self.saved).emit(event)
        elif isinstance(event, Looking):
            self.looks_elsewhere = bool(event.field_path)
            self.looking.emit(event)
        elif isinstance(event, Notice):
            self.notice.emit(event)
        elif isinstance(event, Failed):
            self.failed.emit(event)

    def _look(self) -> None:
        """Notice a process that ended without a word, or says nothing any more."""
        if self._process is None or self._closing:
            return
        silent_s = time.monotonic() - self._heard_at_s
        if not self._process.is_alive and silent_s > SPAWN_S:
            self._lose("The reconstruction process has ended unexpectedly.", "Restart the reconstruction.", "")
        elif silent_s > self._tolerance_s:
            self._lose(
                f"The reconstruction process has given no sign of life for {silent_s:.0f} s.",
                "Wait if the computer is busy, or restart the reconstruction: it goes on where it was.",
                "",
            )
        elif self.is_lost and self._process.is_alive:
            self.is_lost = False
            self.recovered.emit()

    def _lose(self, reason: str, remedy: str, detail: str) -> None:
        if self.is_lost:
            return
        self.is_lost = True
        memory = f" It used {self._memory_mb / 1000:.1f} GB of memory." if self._memory_mb else ""
        log.error("%s%s%s", reason, memory, f" Its last words:\n{detail}" if detail else "")
        self.lost.emit(reason + memory, remedy)

    # --- runs ---------------------------------------------------------------------------------------------------------

    def start_live(
        self, header: CaptureHeader, settings: FitSettings, capture_name: str, reference: MatchedReference | None = None
    ) -> int | None:
        """Begin a run that gets frames while they are captured; None where the process is gone."""
        return self._begin(lambda process: process.start_live(header, settings, capture_name, reference), settings)

    def start_stored(self, path: Path, settings: FitSettings) -> int | None:
        """Begin a run on a capture file."""
        return self._begin(lambda process: process.start_stored(str(path), settings), settings)

    def open_field(self, path: Path) -> int | None:
        """Serve a saved field."""
        return self._begin(lambda process: process.open_field(str(path)), None, path)

    def _begin(
        self, begin: Callable[[Process], int], settings: FitSettings | None, field_path: Path | None = None
    ) -> int | None:
        """Begin a run; `settings`: how it fits, None: it does not."""
        if self.is_lost:
            self.start()
        if self.run is not None and self.fitting:
            self.cancel()
        self.run, self.has_field, self.unsaved, self.looks_elsewhere = None, False, False, False
        run = self._call(begin)
        self._fitted = settings is not None
        self._begun = field_path, settings or FitSettings()
        self.run, self.fitting = run, self._fitted and run is not None
        self._tolerance_s = LONG_STEP_S
        return run

    def add_frame(self, run: int, pattern: int, image: NDArray[np.uint16], exposure_ms: float) -> None:
        """Hand over a frame; called on the scan's thread, which must not suffer from a lost reconstruction."""
        if run == self.run and not self._closing:
            self._call(lambda process: process.add_frame(run, pattern, image, exposure_ms))

    def frames_done(self, path: Path | None) -> None:
        """Tell that the scan has ended."""
        if self.run is not None:
            run = self.run
            self._call(lambda process: process.frames_done(run, str(path) if path else ""))

    def finish_now(self) -> None:
        """Stop fitting and keep the field."""
        if self.run is not None:
            run = self.run
            self._call(lambda process: process.finish_now(run))

    def cancel(self) -> None:
        """Stop fitting and discard the run."""
        if self.run is not None:
            run, self.run = self.run, None
            self.fitting, self.has_field, self.unsaved = False, False, False
            self._call(lambda process: process.cancel(run))

    def save(self, path: Path) -> None:
        """Write the field."""
        if self.run is not None:
            run = self.run
            self._call(lambda process: process.save(run, str(path)))

    def look_at(self, path: Path | None, next_path: Path | None = None) -> None:
        """Have the pictures made from a saved field, None: from the run's own; the next one is read ahead."""
        if self.run is not None:
            command = LookAt(self.run, str(path or ""), str(next_path or ""))
            self._call(lambda process: process.send(command))

    def save_copy(self, path: Path) -> None:
        """Write the field for a use of the window's own: answered by `copied` in place of `saved`."""
        self._copies.add(str(path))
        self.save(path)

    def set_view_budget(self, fraction: float) -> None:
        """Let pictures take up to this share of the fitting time; also in processes that come after this one."""
        self._view_budget = fraction
        self._call(lambda process: process.send(SetViewBudget(fraction)))

    def request_picture(self, asked: PictureRequest | CloseView) -> None:
        """Ask for a picture of the current field, or for no more; the number of the run is filled in here."""
        if self.run is not None and (self.has_field or self.looks_elsewhere):
            of_run = replace(asked, run=self.run)
            self._call(lambda process: process.send(of_run))

    def _call(self, call: Callable[[Process], Result]) -> Result | None:
        if self._process is None:
            return None
        try:
            return call(self._process)
        except (OSError, EOFError, ValueError) as error:  # a broken pipe; the watch tells the operator
            log.warning("The reconstruction process cannot be reached: %s", error)
            return None
