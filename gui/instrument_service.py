"""The instrument as the window sees it: calls in, Qt signals out, nothing slow on the window's thread.

Opening and closing run one after another on a worker thread of their own; the live view and the scan have theirs.
Between scans another one looks every second whether the LED board is still there. Signals are emitted on those threads
and so arrive queued.
"""

from __future__ import annotations

import logging
import queue
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from acquisition.errors import OperatorError
from gui.camera_picture import LatestPicture, picture_of
from recon.memory import give_memory_back

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from acquisition.capture import CaptureHeader, Frame, MatchedReference
    from acquisition.experiment import Experiment, Position
    from acquisition.exposure import ExposureResult
    from acquisition.instrument import Instrument
    from acquisition.live_view import LiveView
    from acquisition.plan import ExposurePlan
    from acquisition.profile import Profile
    from acquisition.scan import Scan, ScanStatus

log = logging.getLogger(__name__)

FRAME_IN_HAND_S = 0.5
"""On closing, a scan may have its light so long to finish a frame; one that takes longer is not stored."""

BOARD_LOOK_S = 1.0
"""How often is looked whether the LED board is still there."""


@dataclass(frozen=True)
class Check:
    """One check made while connecting."""

    name: str
    ok: bool
    text: str


def _load_drivers() -> None:
    from acquisition.instrument import load_drivers

    load_drivers()


class InstrumentService(QObject):
    """Opens the instrument and runs live view and scans off the window's thread."""

    check_made = Signal(object)
    opened = Signal(object)
    open_failed = Signal(object)
    released = Signal()
    picture_ready = Signal()
    frame_stored = Signal(int)
    scan_changed = Signal(object)
    exposed = Signal(object)
    place_read = Signal(object)
    problem = Signal(str, str)
    board_lost = Signal(str, str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.pictures = LatestPicture()
        self.instrument: Instrument | None = None
        self.left_on: OperatorError | None = None
        """What to tell the operator because the LEDs may still be on; None: they are off, as far as is known."""
        self._live: LiveView | None = None
        self._live_light_l: NDArray[np.float32] | None = None
        self._scan: Scan | None = None
        self._saturation_counts, self._offset_counts = 65535, 0.0
        self._closing = False
        self._lost: Instrument | None = None
        self._shutting_down = threading.Event()
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        # A daemon: a camera driver that never answers must not keep the program from ending.
        self._worker = threading.Thread(target=self._work, name="instrument", daemon=True)
        self._worker.start()
        threading.Thread(target=self._watch_board, name="board watch", daemon=True).start()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except OperatorError as error:
                log.error("%s", error)
                self.problem.emit(error.message, error.remedy)
            except Exception as error:
                log.exception("unexpected error of the instrument")
                self.problem.emit(
                    f"Unexpected error: {type(error).__name__}: {error}.",
                    "Disconnect and connect the instrument again; if it repeats, write a problem report (menu Help).",
                )

    def _watch_board(self) -> None:
        while not self._shutting_down.wait(BOARD_LOOK_S):
            instrument = self.instrument
            if instrument is not None and self._scan is None and (error := instrument.check_board()) is not None:
                self._lose_board(instrument, error)

    def _lose_board(self, instrument: Instrument, error: OperatorError) -> None:
        """Tell once that the board of this instrument is gone."""
        if self._lost is not instrument and not self._closing:
            self._lost = instrument
            log.error("%s", error)
            self.board_lost.emit(error.message, error.remedy)

    # --- opening and closing ------------------------------------------------------------------------------------------

    def warm_up(self) -> None:
        """Load what connecting needs while the operator still looks at the window.

        Libraries hold the interpreter while they are loaded: a window that was just asked to connect would stand still.
        """
        self._jobs.put(_load_drivers)

    def open(self, profile: Profile) -> None:
        """Connect; answers with `check_made` for each check, then `opened` or `open_failed`."""
        self._jobs.put(lambda: self._open(profile))

    def _open(self, profile: Profile) -> None:
        from acquisition.instrument import open_instrument

        if self._closing:
            return
        self._release()
        try:
            instrument = open_instrument(
                profile, on_check=lambda name, ok, text: self.check_made.emit(Check(name, ok, text))
            )
        except OperatorError as error:
            log.error("%s", error)
            self.open_failed.emit(error)
            return
        except Exception as error:
            log.exception("connecting failed")
            self.open_failed.emit(
                OperatorError(
                    f"Unexpected error: {type(error).__name__}: {error}.",
                    "Connect again; if it repeats, write a problem report (menu Help).",
                )
            )
            return
        self.instrument, self.left_on = instrument, None
        self._saturation_counts = 2**profile.camera.bit_depth - 1
        self._offset_counts = profile.camera.offset_counts
        self.opened.emit(instrument)

    def release(self) -> None:
        """Disconnect, LEDs off first; answers with `released`."""
        self._jobs.put(self._release)

    def _release(self) -> None:
        try:
            self._stop_live()
        finally:
            if self.instrument is not None:
                problem = self.instrument.close()
                self.left_on = problem
                known, self._lost = self._lost is self.instrument, None
                self.instrument = None  # not before: until it is closed, `darken` must reach it
                self.released.emit()
                if problem is not None and not known:
                    self.problem.emit(problem.message, problem.remedy)
                give_memory_back()

    def shut_down(self) -> None:
        """Cancel the scan, darken and release the instrument, end the worker; `is_stopped` tells when it is done."""
        self._closing = True
        self._shutting_down.set()
        scan, live = self._scan, self._live
        if scan is not None:
            scan.cancel()
        if live is not None:
            live.stop(0)
        darkening = self.darken()

        def finish() -> None:
            if scan is not None:
                scan.wait()
            darkening.join()
            self._release()

        self._jobs.put(finish)
        self._jobs.put(None)

    def darken(self) -> threading.Thread:
        """Switch the LEDs off without waiting for the camera, which may expose for long or never answer.

        Works on a thread of its own, which is returned: the board's commands take turns by themselves. The frame in
        hand of a scan may be short enough to be finished in its own light; else it is left out.
        """
        instrument, scan = self.instrument, self._scan

        def off() -> None:
            if instrument is None:
                return
            if scan is not None:
                scan.wait(FRAME_IN_HAND_S)
                scan.abandon()
            self.left_on = instrument.darken()

        thread = threading.Thread(target=off, name="LEDs off", daemon=True)
        thread.start()
        return thread

    @property
    def longest_exposure_s(self) -> float:
        """How long the frame in hand may take, in seconds; 0 without an instrument."""
        instrument = self.instrument
        return 0.0 if instrument is None else instrument.profile.camera.exposure_ms.max / 1000

    @property
    def is_stopped(self) -> bool:
        """Whether nothing runs any more."""
        return not self._worker.is_alive()

    # --- live view ----------------------------------------------------------------------------------------------------

    def start_live(self, exposure_ms: float, brightness_l: NDArray[np.float32]) -> None:
        """Show what the camera sees, lit by a pattern (L,) of brightness 0 to 1; scans interrupt it by themselves."""

        def begin() -> None:
            from acquisition.live_view import LiveView

            if self.instrument is None or self._closing:
                return
            self._stop_live()
            self._live = LiveView(self.instrument, on_image=self._offer_live, on_error=self._live_ended)
            self._live.set_exposure_ms(exposure_ms)
            self._live.set_pattern(brightness_l)
            self._live_light_l = brightness_l
            self._live.start()

        self._jobs.put(begin)

    def stop_live(self) -> None:
        """Stop the live view, LEDs off."""
        self._jobs.put(self._stop_live)

    def _stop_live(self) -> None:
        live, self._live = self._live, None
        if live is not None:
            live.stop()

    def set_exposure(self, exposure_ms: float) -> None:
        """Set the exposure of the live view."""
        if self._live is not None:
            self._live.set_exposure_ms(exposure_ms)

    def set_light(self, brightness_l: NDArray[np.float32]) -> None:
        """Light a pattern for the live view, brightness (L,) 0 to 1."""
        self._live_light_l = brightness_l
        if self._live is not None:
            self._live.set_pattern(brightness_l)

    def _live_ended(self, error: OperatorError) -> None:
        instrument = self.instrument
        if instrument is not None and (gone := instrument.check_board()) is not None:
            self._lose_board(instrument, gone)
        else:
            self.problem.emit(error.message, error.remedy or "Disconnect and connect the instrument again.")

    def _offer_live(self, image_yx: NDArray[np.uint16]) -> None:
        self._offer(image_yx, self._live_light_l)

    def _offer(self, image_yx: NDArray[np.uint16], brightness_l: NDArray[np.float32] | None) -> None:
        """Prepare a picture on the thread that took it and tell the window, unless it has not fetched the last one."""
        picture = picture_of(image_yx, self._saturation_counts, self._offset_counts, brightness_l)
        if self.pictures.put(picture) and not self._closing:
            self.picture_ready.emit()

    # --- stage and exposure -------------------------------------------------------------------------------------------

    def read_place(self) -> None:
        """Ask where the stages are; answers with `place_read((x, y, z))`, 0 for a stage that is not there."""

        def read() -> None:
            if self.instrument is not None:
                stages = self.instrument.stages
                x_um, y_um = stages.xy_um() if stages.xy_device else (0.0, 0.0)
                self.place_read.emit((x_um, y_um, stages.z_um() if stages.z_device else 0.0))

        self._jobs.put(read)

    def go_to(self, place: Position) -> None:
        """Move the stages to a place."""

        def move() -> None:
            if self.instrument is None or self.scanning:
                return
            stages = self.instrument.stages
            if stages.xy_device:
                stages.move_xy_um(place.x_um, place.y_um)
            if stages.z_device:
                stages.move_z_um(place.z_um)

        self._jobs.put(move)

    def measure_exposure(self, plan: ExposurePlan, way: str) -> None:
        """Find the exposures of a plan by one of `gui.commands.expose.WAYS`.

        Answers with `exposed(result)`, an `ExposureResult`, or None where it failed, which is told by `problem`.
        """

        def measure() -> None:
            from gui.commands.expose import WAYS

            result: ExposureResult | None = None
            try:
                if self.instrument is not None and not self._closing:
                    result = WAYS[way](self.instrument, plan)
            finally:
                self.exposed.emit(result)

        self._jobs.put(measure)

    # --- scan ---------------------------------------------------------------------------------------------------------

    @property
    def scanning(self) -> bool:
        """Whether a scan is under way."""
        return self._scan is not None

    def start_scan(
        self,
        experiment: Experiment,
        header: CaptureHeader,
        path: Path,
        on_frame: Callable[[Frame], None],
        reference: MatchedReference | None = None,
    ) -> None:
        """Run an experiment into a file, which gets the empty field of a reference.

        `on_frame` is called on the thread that stores with each frame, dark ones included; it must be quick. Answers
        with `frame_stored(pattern)` for each frame and `scan_changed` with the scan's status.
        """
        from acquisition.scan import Scan

        assert self.instrument is not None
        path.parent.mkdir(parents=True, exist_ok=True)

        patterns_pl = experiment.plan.patterns_pl

        def take(frame: Frame) -> None:
            on_frame(frame)
            self._offer(frame.image_yx, patterns_pl[frame.pattern] if frame.pattern >= 0 else None)
            if not self._closing:
                self.frame_stored.emit(frame.pattern)

        def tell(status: ScanStatus) -> None:
            if not self._closing:
                self.scan_changed.emit(status)

        self._scan = Scan(self.instrument, experiment, path, header, on_frame=take, on_status=tell, reference=reference)
        self._scan.start()

    def pause_or_resume_scan(self) -> bool:
        """Hold the scan after the frame in hand, LEDs off, or let it go on; whether it now holds."""
        if self._scan is None:
            return False
        if self._scan.paused:
            self._scan.resume()
        else:
            self._scan.pause()
        return self._scan.paused

    def cancel_scan(self) -> None:
        """Stop the scan after the frame in hand; what was stored is kept."""
        if self._scan is not None:
            self._scan.cancel()

    def forget_scan(self) -> None:
        """The scan has ended."""
        self._scan = None
        self._jobs.put(give_memory_back)
