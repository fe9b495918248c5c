"""A scan: take a frame, write it, tell it, next. On a thread of its own, from the plan to the finished file.

    idle --start--> preparing --> running --> finishing --> finished (complete | cancelled | failed)
                        |            |            ^
                        +-- error ---+-- cancel --+

* preparing: wait for the live view to hand over, create the file.
* running: frame by frame. A frame is on disk before anybody is told of it, so killing the program loses nothing.
* finishing: LEDs off, whatever has happened; the file gets its status.
* finished: `complete` only when every frame of the plan is in the file.

`acquisition.pacing` takes the frames and sees to it that they belong to their LEDs; here they are stored and told.

Dark frames belong to an exposure. The file has room for the mean of one kind: that of the plan's main exposure.
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import closing
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np

from acquisition.capture import CaptureHeader, CaptureWriter, Frame
from acquisition.errors import OperatorError
from acquisition.pacing import ScanError, check_pace, take_frames
from acquisition.plan import DARK

if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

    from acquisition.capture import CaptureStatus
    from acquisition.instrument import Instrument
    from acquisition.pacing import TakenFrame
    from acquisition.plan import ExposurePlan

_log = logging.getLogger(__name__)


class ScanState(Enum):
    """Where a scan stands."""

    IDLE = "idle"
    PREPARING = "preparing"
    RUNNING = "running"
    FINISHING = "finishing"
    FINISHED = "finished"


class FinishReason(Enum):
    """How a scan ended."""

    COMPLETE = "complete"
    CANCELLED = "cancelled"
    FAILED = "failed"


_FILE_STATUS: dict[FinishReason, CaptureStatus] = {
    FinishReason.COMPLETE: "complete",
    FinishReason.CANCELLED: "aborted",
    FinishReason.FAILED: "failed",
}


@dataclass(frozen=True)
class ScanStatus:
    """A scan at one moment.

    Attributes
    ----------
    state, reason
        `reason` is None until the scan is finished.
    frames_done, frames_total
        Exposures, dark frames included.
    elapsed_s, eta_s
        Since the start; `eta_s` is None before the first frame and after the last.
    message
        For the operator: what went wrong and what to do; empty when all is well.
    path
        The finished capture file; None while there is none.
    """

    state: ScanState
    reason: FinishReason | None
    frames_done: int
    frames_total: int
    elapsed_s: float = 0.0
    eta_s: float | None = None
    message: str = ""
    path: Path | None = None


class _Noting:
    """Lets no error through: what is raised inside becomes a line for the operator."""

    def __init__(self, problems: list[str], what: str = "") -> None:
        self._problems = problems
        self._what = what

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        if isinstance(error, OperatorError):
            self._problems.append(f"{self._what}{error}")
        elif isinstance(error, Exception):
            _log.error("unexpected error in a scan", exc_info=error)
            self._problems.append(f"{self._what}Unexpected error: {error!r}")
        return isinstance(error, Exception)


class Scan:
    """One run of a plan into one file.

    Parameters
    ----------
    instrument
        Open; the scan has it alone from `preparing` to `finished`.
    plan, path, header
        What to expose, where to, and what to write about it (`Instrument.capture_header`).
    on_frame
        Called on the scan's thread with each frame once it is stored; the dark frames that the file gets the mean of
        come with pattern -1. What it raises is logged, and the scan goes on.
    on_status
        Called on the scan's thread whenever the status has changed; what it raises is logged.
    """

    def __init__(
        self,
        instrument: Instrument,
        plan: ExposurePlan,
        path: str | os.PathLike[str],
        header: CaptureHeader,
        on_frame: Callable[[Frame], None] = lambda frame: None,
        on_status: Callable[[ScanStatus], None] = lambda status: None,
    ) -> None:
        self._instrument = instrument
        self._plan = plan
        self._path = path
        self._header = header
        self._on_frame = on_frame
        self._on_status = on_status
        self._cancel = threading.Event()
        # Not a daemon: a program that ends in mid scan ends the scan properly, LEDs off.
        self._thread = threading.Thread(target=self._run, name="scan")
        self._status = ScanStatus(ScanState.IDLE, None, 0, plan.frame_count)
        self._started = 0.0
        self._full_count = 2**header.optics.bit_depth - 1

    @property
    def status(self) -> ScanStatus:
        """The latest snapshot."""
        return self._status

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def cancel(self) -> None:
        """Stop after the frame in hand; the file keeps what it has. Returns at once."""
        self._cancel.set()

    def wait(self, timeout_s: float | None = None) -> ScanStatus:
        """Wait for the end, at most `timeout_s`, and return the status."""
        self._thread.join(timeout_s)
        return self._status

    def _run(self) -> None:
        self._started = time.perf_counter()
        reason, path, problems = FinishReason.FAILED, None, list[str]()
        with _Noting(problems), self._instrument.turns.scan():
            reason, path = self._scan(problems)
        message = "\n".join(problems)
        if message:
            _log.error("scan %s: %s", reason.value, message)
        self._report(state=ScanState.FINISHED, reason=reason, message=message, path=path)

    def _scan(self, problems: list[str]) -> tuple[FinishReason, Path | None]:
        writer: CaptureWriter | None = None
        path: Path | None = None
        reason = FinishReason.FAILED
        self._report(state=ScanState.PREPARING)
        with _Noting(problems):
            self._prepare()
            lit = int((self._plan.order_n != DARK).sum())
            writer = CaptureWriter(self._path, self._header, frames_planned=lit)
            reason = self._expose_all(writer)
        self._report(state=ScanState.FINISHING)
        with _Noting(problems, "The LEDs could not be switched off and may still be on: "):
            self._instrument.leds.off()
        if writer is not None:
            with _Noting(problems):
                path = writer.finish(_FILE_STATUS[reason])
            if path is None:
                reason = FinishReason.FAILED
        return reason, path

    def _prepare(self) -> None:
        check_pace(self._instrument, self._plan)
        camera = self._instrument.camera
        if camera.image_shape != self._header.image_shape:
            raise ScanError(
                f"The camera gives {camera.image_shape} pixels, the capture expects {self._header.image_shape}.",
                "Start the scan again.",
            )

    def _expose_all(self, writer: CaptureWriter) -> FinishReason:
        """Take and store every frame, until done or cancelled."""
        truth = self._instrument.truth
        if truth is not None:
            writer.write_truth(truth)
        self._report(state=ScanState.RUNNING)
        plan, exposure_ms_n = self._plan, self._plan.exposure_ms_n
        dark_total = np.zeros(self._header.image_shape, np.float32)
        darks_left = per_exposure = plan.dark_count // len(plan.exposures_ms)
        with closing(take_frames(self._instrument, plan)) as frames:
            while True:
                if self._cancel.is_set():
                    return FinishReason.CANCELLED
                taken = next(frames, None)
                if taken is None:
                    break
                frame = self._frame(taken)
                if frame.pattern != DARK:
                    writer.write_frame(frame)
                    self._pass_on(frame)
                elif exposure_ms_n[frame.index] == plan.main_exposure_ms:
                    dark_total += frame.image_yx
                    darks_left -= 1
                    if darks_left == 0:
                        writer.write_dark(dark_total / np.float32(per_exposure), frame.exposure_ms, per_exposure)
                    self._pass_on(frame)
                self._tell_progress(frame.index + 1)
        expected = plan.frame_count - plan.dark_count
        if writer.frames_written != expected:
            raise ScanError(f"{writer.frames_written} of {expected} frames were stored.", "Scan again.")
        return FinishReason.COMPLETE

    def _frame(self, taken: TakenFrame) -> Frame:
        image_yx = taken.image_yx
        return Frame(
            index=taken.index,
            pattern=taken.pattern,
            image_yx=image_yx,
            exposure_ms=taken.exposure_ms,
            host_time_s=taken.time_s - self._started,
            saturated_fraction=float(np.count_nonzero(image_yx >= self._full_count) / image_yx.size),
        )

    def _pass_on(self, frame: Frame) -> None:
        try:
            self._on_frame(frame)
        except Exception:
            _log.exception("frame %d is stored, but was not passed on", frame.index)

    def _tell_progress(self, done: int) -> None:
        elapsed_s = time.perf_counter() - self._started
        left = self._plan.frame_count - done
        self._report(frames_done=done, eta_s=elapsed_s / done * left)

    def _report(
        self,
        *,
        state: ScanState | None = None,
        reason: FinishReason | None = None,
        frames_done: int | None = None,
        eta_s: float | None = None,
        message: str = "",
        path: Path | None = None,
    ) -> None:
        before = self._status
        self._status = replace(
            before,
            state=state or before.state,
            reason=reason,
            frames_done=before.frames_done if frames_done is None else frames_done,
            elapsed_s=time.perf_counter() - self._started,
            eta_s=eta_s,
            message=message,
            path=path,
        )
        try:
            self._on_status(self._status)
        except Exception:
            _log.exception("status not passed on")
