"""A scan: take a frame, write it, tell it, next. On threads of its own, from an experiment to the finished file.

    idle --start--> preparing --> [moving] --> [waiting] --> [focusing] --> running --> finishing --> finished
                                     ^                                         |    (complete | cancelled | failed)
                                     +--------------- next visit --------------+
    waiting, focusing, running --pause--> paused --resume--> where it was
    any of them --cancel, error--> finishing

* preparing: wait for the live view to hand over, see that the stages can do it, create the file.
* moving: the stages go to the visit's position, if it has one.
* waiting: LEDs off, until the visit's time point is due. It may be so already; then there is no such state.
* focusing: the search for the focus, if the visit asks for it; late, so that it has not drifted away again. A search
  that finds nothing is told and leaves z where it was: one bad image must not end a night's time-lapse.
* running: frame by frame. A frame is on disk before anybody is told of it, so killing the program loses nothing that
  was told. The disk is a few frames behind the camera at most (`acquisition.frame_store`); every other state begins
  when it has caught up.
* paused: after the frame in hand, LEDs off; the clock of the time-lapse stands still.
* finishing: LEDs off, whatever has happened; the file gets its status.
  Frames before a pause or an early end have none after them that show whether LEDs and frames had stayed in step
  (`acquisition.pacing`): the file tells how many.
* finished: `complete` only when every frame of every visit is in the file. Cancelled or failed, at whichever visit, the
  file keeps all that was stored.

`acquisition.pacing` takes the frames and sees to it that they belong to their LEDs; here they are stored and told.

Dark frames belong to an exposure: the file gets their mean for each one. They are taken once, in the first visit.
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from acquisition.autofocus import AutofocusError, search
from acquisition.capture import CaptureHeader, CaptureWriter, Frame
from acquisition.capture_saturation import saturated_share
from acquisition.dark_means import DarkMeans
from acquisition.errors import Noting
from acquisition.experiment import Experiment
from acquisition.frame_store import FrameStore
from acquisition.pacing import ScanError, check_pace, take_frames
from acquisition.plan import DARK
from acquisition.saturation import SaturationWatch
from acquisition.scan_control import ScanControl
from acquisition.scan_status import FinishReason, ScanState, ScanStatus
from acquisition.travel import Travel

if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from acquisition.capture import CaptureStatus, MatchedReference
    from acquisition.experiment import Visit
    from acquisition.instrument import Instrument
    from acquisition.pacing import TakenFrame
    from acquisition.plan import ExposurePlan

__all__ = ["FinishReason", "Scan", "ScanError", "ScanState", "ScanStatus"]

_log = logging.getLogger(__name__)

_FILE_STATUS: dict[FinishReason, CaptureStatus] = {
    FinishReason.COMPLETE: "complete",
    FinishReason.CANCELLED: "aborted",
    FinishReason.FAILED: "failed",
}


class _CancelledError(Exception):
    """The scan was cancelled in the middle of a search for the focus."""


class Scan:
    """One run of an experiment into one file.

    Parameters
    ----------
    instrument
        Open; the scan has it alone from `preparing` to `finished`.
    experiment, path, header
        What to expose and when and where (a bare plan: once, here), the file, and what to write about it
        (`Instrument.capture_header`).
    on_frame
        Called on the thread that stores with each frame once it is stored; dark frames, of which the file gets the
        mean, come with pattern -1. What it raises is logged, and the scan goes on.
    on_status
        Called on a thread of the scan, one call after the other, whenever the status has changed, and every second of a
        wait; what it raises is logged.
    reference
        The empty field; it gets into the file at the end, when the LEDs are off.
    control
        Pause, cancel and clock; another one than usual is for tests.
    """

    def __init__(
        self,
        instrument: Instrument,
        experiment: Experiment | ExposurePlan,
        path: str | os.PathLike[str],
        header: CaptureHeader,
        on_frame: Callable[[Frame], None] = lambda frame: None,
        on_status: Callable[[ScanStatus], None] = lambda status: None,
        reference: MatchedReference | None = None,
        control: ScanControl | None = None,
    ) -> None:
        self._instrument = instrument
        self._experiment = experiment if isinstance(experiment, Experiment) else Experiment(experiment)
        self._path = path
        self._header = header
        self._on_frame = on_frame
        self._on_status = on_status
        self._reference = reference
        self._saturation = SaturationWatch()
        self._control = control or ScanControl()
        # Not a daemon: a program that ends in mid scan ends the scan properly, LEDs off.
        self._thread = threading.Thread(target=self._run, name="scan")
        plan, visits = self._experiment.plan, self._experiment.scan_count
        self._lit_per_visit = plan.frame_count - plan.dark_count
        frames = plan.dark_count + visits * self._lit_per_visit
        self._status = ScanStatus(ScanState.IDLE, None, 0, frames, visits=visits)
        self._exposing_s = 0.0  # of the frames done, for the estimate of those left
        self._unchecked = 0  # frames stored of sequences that did not come to their end, where it is checked
        self._full_count = 2**header.optics.bit_depth - 1

    @property
    def status(self) -> ScanStatus:
        """The latest snapshot."""
        return self._status

    @property
    def paused(self) -> bool:
        """Whether it holds, or will after the frame in hand."""
        return self._control.paused

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def cancel(self) -> None:
        """Stop after the frame in hand; the file keeps what it has. Returns at once."""
        self._control.cancel()

    def abandon(self) -> None:
        """Stop without the frame in hand, because the LEDs are about to be switched off. Returns at once."""
        self._control.abandon()

    def pause(self) -> None:
        """Hold after the frame in hand, LEDs off, until `resume`; the time-lapse's clock stops now. Returns at once."""
        self._control.pause()

    def resume(self) -> None:
        """Go on where `pause` held; nothing happens without a pause. Returns at once."""
        self._control.resume()

    def wait(self, timeout_s: float | None = None) -> ScanStatus:
        """Wait for the end, at most `timeout_s`, and return the status."""
        self._thread.join(timeout_s)
        return self._status

    def _run(self) -> None:
        self._control.begin()
        reason, path, problems = FinishReason.FAILED, None, list[str]()
        with Noting(problems), self._instrument.turns.scan():
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
        with Noting(problems):
            travel = self._prepare()
            expected = self._lit_per_visit * self._experiment.scan_count
            writer = CaptureWriter(self._path, self._header, frames_planned=expected)
            reason = self._visit_all(travel, writer)
        self._report(state=ScanState.FINISHING)
        with Noting(problems, "The LEDs could not be switched off and may still be on: "):
            self._instrument.leds.off()
        if writer is not None:
            if self._reference is not None:
                with Noting(problems, "The capture has no background: "):
                    writer.write_reference(self._reference)
            with Noting(problems):
                path = writer.finish(_FILE_STATUS[reason], self._unchecked)
            if path is None:
                reason = FinishReason.FAILED
        return reason, path

    def _prepare(self) -> Travel:
        check_pace(self._instrument, self._experiment.plan)
        camera = self._instrument.camera
        if camera.image_shape != self._header.image_shape:
            raise ScanError(
                f"The camera gives {camera.image_shape} pixels, the capture expects {self._header.image_shape}.",
                "Start the scan again.",
            )

        return Travel(self._instrument.stages, self._experiment)

    def _visit_all(self, travel: Travel, writer: CaptureWriter) -> FinishReason:
        """Make every scan of the experiment, until done or cancelled."""
        for number, visit in enumerate(self._experiment.visits(), 1):
            self._report(visit=number, time_point=visit.time_point, position=visit.position)
            if not self._may_go_on():
                return FinishReason.CANCELLED
            if visit.place is not None:
                self._report(state=ScanState.MOVING)
                self._instrument.leds.off()
                travel.go_to(visit)
            if not self._wait_until_due(visit):
                return FinishReason.CANCELLED
            if visit.focus:
                try:
                    self._focus(visit, travel)
                except _CancelledError:
                    return FinishReason.CANCELLED
            self._report(state=ScanState.RUNNING)
            if number == 1 and self._experiment.stays and (truth := self._instrument.truth()) is not None:
                writer.write_truth(truth)
            if self._expose_all(visit, writer) is FinishReason.CANCELLED:
                return FinishReason.CANCELLED
        expected = self._lit_per_visit * self._experiment.scan_count
        if writer.frames_written != expected:
            raise ScanError(f"{writer.frames_written} of {expected} frames were stored.", "Scan again.")
        return FinishReason.COMPLETE

    def _may_go_on(self) -> bool:
        """Hold while paused, LEDs off; False once cancelled. To be asked between frames, LEDs as they may be."""
        if self._control.paused:
            before = self._status.state
            self._instrument.leds.off()
            self._report(state=ScanState.PAUSED)
            self._control.wait_while_paused()
            self._report(state=before)
        return not self._control.cancelled

    def _wait_until_due(self, visit: Visit) -> bool:
        """Wait in the dark for the visit's time point; False when cancelled before it has come."""

        def tell(left_s: float) -> None:
            if self._status.state is not ScanState.WAITING:
                self._instrument.leds.off()
            self._report(state=ScanState.WAITING, waiting_s=left_s, eta_s=self._eta_s())

        while not self._control.wait_until(visit.due_s, tell):
            if not self._may_go_on():
                return False
        return True

    def _focus(self, visit: Visit, travel: Travel) -> None:
        """Search the focus; where there is none to be found, say so and stay."""
        settings = self._experiment.autofocus
        assert settings is not None, "only an experiment with autofocus asks for it"

        def expose(pattern_l: NDArray[np.float32], exposure_ms: float) -> NDArray[np.uint16]:
            if not self._may_go_on():
                raise _CancelledError
            return self._snap(pattern_l, exposure_ms)

        self._report(state=ScanState.FOCUSING)
        try:
            found = search(self._instrument, settings, self._experiment.plan.main_exposure_ms, expose)
        except AutofocusError as error:
            focus = f"focus not found, z is left as it was: {error}"
            _log.warning("time point %d, position %d: %s", visit.time_point, visit.position, focus)
        else:
            focus = str(found)
            _log.info("time point %d, position %d: %s", visit.time_point, visit.position, focus)
            if found.z_um is not None:
                travel.note_focus(visit, found.z_um)
        self._report(focus=focus)

    def _expose_all(self, visit: Visit, writer: CaptureWriter) -> FinishReason:
        """Take and store every frame of one visit, until done or cancelled."""
        plan, first, taken_count = self._experiment.plan_of(visit), self._status.frames_done, 0
        darks = DarkMeans(plan, writer)

        def keep(taken: TakenFrame) -> None:
            frame = self._frame(visit, first, taken)
            if frame.pattern == DARK:
                darks.add(frame)
            else:
                writer.write_frame(frame)
                self._saturation.see(frame)
            self._pass_on(frame)
            self._tell_progress(frame.index + 1)

        finished = False
        while not finished:  # once, and again after each pause
            if not self._may_go_on():
                return FinishReason.CANCELLED
            stored_before = writer.frames_written
            try:
                with FrameStore(keep) as store, closing(take_frames(self._instrument, plan, taken_count)) as frames:
                    # After the last frame the source has still to see that all have been in step.
                    while taken_count == plan.frame_count or not (self._control.paused or self._control.cancelled):
                        began_s = time.perf_counter()
                        taken = next(frames, None)
                        if self._control.abandoned:
                            return FinishReason.CANCELLED
                        if taken is None:
                            finished = True
                            break
                        store.put(taken)
                        taken_count += 1
                        self._exposing_s += time.perf_counter() - began_s
            finally:
                if not finished:
                    self._unchecked += writer.frames_written - stored_before
        return FinishReason.COMPLETE

    def _frame(self, visit: Visit, first: int, taken: TakenFrame) -> Frame:
        image_yx = taken.image_yx
        return Frame(
            index=first + taken.index,
            pattern=taken.pattern,
            image_yx=image_yx,
            exposure_ms=taken.exposure_ms,
            host_time_s=self._control.elapsed_s() - (time.perf_counter() - taken.time_s),
            saturated_fraction=saturated_share(image_yx, self._full_count, self._header.optics.camera_offset),
            time_point=visit.time_point,
            position=visit.position,
        )

    def _snap(self, pattern_l: NDArray[np.float32], exposure_ms: float) -> NDArray[np.uint16]:
        """Light a pattern, settle and expose."""
        instrument = self._instrument
        instrument.camera.set_exposure_ms(exposure_ms)
        instrument.leds.show(pattern_l)
        time.sleep(self._experiment.plan.settle_ms / 1000)
        return instrument.camera.snap()

    def _pass_on(self, frame: Frame) -> None:
        try:
            self._on_frame(frame)
        except Exception:
            _log.exception("frame %d is stored, but was not passed on", frame.index)

    def _tell_progress(self, done: int) -> None:
        self._report(frames_done=done, eta_s=self._eta_s(done))

    def _eta_s(self, done: int | None = None) -> float | None:
        """Estimate the time left: frames as fast as those done, but no time point before it is due."""
        done = self._status.frames_done if done is None else done
        if done == 0:
            return None
        frame_s, lapse, number = self._exposing_s / done, self._experiment.time_lapse, self._status.time_point
        round_s = frame_s * self._lit_per_visit * max(1, len(self._experiment.positions))
        now_s, later = self._control.time_s(), lapse.count - 1 - number
        left_s = max(0.0, number * lapse.interval_s - now_s) + (self._status.frames_total - done) * frame_s
        # Rounds are as long as each other: what holds up the end is the wait for the next time point, or for the last.
        next_s = (number + 1) * lapse.interval_s - now_s + later * round_s
        last_s = (lapse.count - 1) * lapse.interval_s - now_s + round_s
        return max(left_s, next_s, last_s) if later else left_s

    def _report(
        self,
        *,
        state: ScanState | None = None,
        reason: FinishReason | None = None,
        frames_done: int | None = None,
        eta_s: float | None = None,
        message: str = "",
        path: Path | None = None,
        waiting_s: float = 0.0,
        **visit: Any,
    ) -> None:
        before = self._status
        self._status = replace(
            before,
            state=state or before.state,
            reason=reason,
            frames_done=before.frames_done if frames_done is None else frames_done,
            elapsed_s=self._control.time_s(),
            eta_s=eta_s,
            message=message,
            path=path,
            notice=self._saturation.text,
            waiting_s=waiting_s,
            **visit,
        )
        try:
            self._on_status(self._status)
        except Exception:
            _log.exception("status not passed on")
