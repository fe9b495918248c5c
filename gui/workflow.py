"""What follows what: connecting, acquiring, reconstructing. Wires services to panels; holds no picture and no device.

profile chosen -> connect -> live image -> start -> frames to file and to the reconstruction -> field -> slices
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from acquisition.capture import part_path
from acquisition.errors import OperatorError
from acquisition.estimate import estimate
from acquisition.pacing import check_pace, possible_paces
from acquisition.plan import ExposurePlan, plan_for
from acquisition.plan_reference import reference_for
from acquisition.profile import Profile, ProfileError, load_profile
from acquisition.profile_plan import changed_plan
from acquisition.scan import FinishReason, ScanState, ScanStatus
from gui.field_names import capture_name
from gui.fit_news import FitNews
from gui.live_image import LiveImage
from gui.scan_news import ScanNews
from gui.scan_time import ScanTime
from gui.time_series import TimeSeries

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from acquisition.capture import CaptureHeader, Frame, MatchedReference
    from acquisition.experiment import Experiment
    from acquisition.exposure import ExposureResult
    from acquisition.instrument import Instrument
    from gui.field_names import Visit
    from gui.instrument_service import InstrumentService
    from gui.panels import Panels
    from gui.recon_bridge import ReconBridge
    from recon.left import LeftFit

log = logging.getLogger(__name__)


class Workflow(QObject):
    """Emits `changed` whenever what can be done next may have changed."""

    changed = Signal()

    def __init__(self, panels: Panels, service: InstrumentService, bridge: ReconBridge, folder: Path) -> None:
        super().__init__()
        self.panels, self.service, self.bridge = panels, service, bridge
        self.folder = folder
        self.profile: Profile | None = None
        self.profile_name = ""
        self.instrument: Instrument | None = None
        self.connecting = self.measuring = False
        self.plan: ExposurePlan | None = None
        self.experiment: Experiment | None = None
        self.capture_path: Path | None = None
        self.shown_path: Path | None = None  # the capture or field whose volume is shown
        self._live_run: int | None = None
        self._reference: MatchedReference | None = None
        self._scan_time: ScanTime | None = None
        self.series = TimeSeries(bridge, panels.time, panels.fit.settings, self)
        self.live_image = LiveImage(panels.live, panels.spectrum, service, self)
        self._scan_news = ScanNews(panels)
        self._fit_news = FitNews(panels, bridge, self.series, self.restart_process, self)
        self._fit_news.changed.connect(self.changed)
        self.series.run_began.connect(self._visit_began)
        # Whoever compares time points wants one scale for them all.
        panels.time.chosen.connect(lambda _: panels.slices.contrast.auto.setChecked(False))
        panels.acquire.plan_edited.connect(self.make_plan)
        panels.acquire.experiment.place_wanted.connect(service.read_place)
        panels.acquire.experiment.go_wanted.connect(service.go_to)
        service.place_read.connect(panels.acquire.experiment.add_place)
        service.check_made.connect(panels.instrument.add_check)
        service.problem.connect(panels.message.tell)
        service.opened.connect(self._opened)
        service.open_failed.connect(self._open_failed)
        service.released.connect(self._released)
        service.board_lost.connect(self._board_lost)
        service.exposed.connect(self._exposed)
        service.frame_stored.connect(self._frame_stored)
        service.scan_changed.connect(self._scan_changed)

    # --- instrument ---------------------------------------------------------------------------------------------------

    def choose_profile(self, name: str) -> None:
        """Load a profile by name or path; a wrong one is told with all its faults, and the last one stays.

        Nothing is changed from connecting on: the profile describes the instrument that is open.
        """
        if self.connecting or self.instrument is not None:
            return
        try:
            profile = load_profile(name)
        except ProfileError as error:
            log.error("%s", error)
            self.panels.instrument.show_fault(error.message, error.remedy)
            return
        self.profile, self.profile_name = profile, name
        objective = profile.objective
        self.panels.instrument.show_profile(
            name,
            profile.title,
            f"{objective.magnification:g}×, NA {objective.na:g}, {1000 * profile.illumination.wavelength_um:.0f} nm,"
            f" pixel {profile.pixel_um:.3g} µm",
        )
        try:
            self.panels.acquire.set_profile(profile)
        except OperatorError as error:  # of its positions: all else is there
            self.panels.message.tell(error.message, error.remedy)
        self.changed.emit()

    def connect_instrument(self) -> None:
        """Open the devices of the chosen profile."""
        if self.profile is None:
            return
        self.connecting = True
        self.panels.instrument.lock_profile(True)
        self.panels.instrument.clear_checks()
        self.panels.instrument.say("connecting…", "busy")
        self.service.open(self.profile)
        self.changed.emit()

    def disconnect_instrument(self) -> None:
        """Darken the LEDs and release the devices."""
        self.panels.instrument.say("disconnecting…", "busy")
        self.service.release()

    def _opened(self, instrument: Instrument) -> None:
        self.connecting, self.instrument = False, instrument
        self._scan_time = ScanTime(instrument)
        self.panels.instrument.set_connected(True)
        self.panels.instrument.say("connected", "good")
        self.live_image.connect_to(instrument)
        self.panels.acquire.set_paces(possible_paces(instrument))
        self.panels.acquire.set_connected(True)
        self.panels.acquire.experiment.set_stage(bool(instrument.stages))
        self.make_plan()
        self.changed.emit()

    def _open_failed(self, error: OperatorError) -> None:
        self.connecting = False
        self.panels.instrument.lock_profile(False)
        self.panels.instrument.say("connection failed", "bad")
        self.panels.instrument.show_fault(error.message, error.remedy)
        self.changed.emit()

    def _released(self) -> None:
        self.instrument, self.plan = None, None
        self.panels.instrument.set_connected(False)
        self.panels.instrument.lock_profile(self.connecting)
        self.panels.instrument.clear_checks()
        if not self.connecting:
            self.panels.instrument.say("not connected")
        self.live_image.let_go()
        self.panels.acquire.set_connected(False)
        self.changed.emit()

    def _board_lost(self, message: str, remedy: str) -> None:
        self.panels.instrument.say("LED board lost", "bad")
        self.panels.message.tell(message, remedy, "Connect again", self.connect_instrument)

    # --- acquisition --------------------------------------------------------------------------------------------------

    def make_plan(self) -> None:
        """Plan what the operator chose and tell what it means."""
        if self.instrument is None or self._scan_time is None:
            return
        acquire, profile, led_na_l2 = self.panels.acquire, self.instrument.profile, self.instrument.led_na_l2
        try:
            plan = plan_for(profile, led_na_l2, changed_plan(profile, acquire.chosen()))
            check_pace(self.instrument, plan)
            experiment = acquire.experiment.of_plan(plan)
        except OperatorError as error:
            self.plan = self.experiment = None
            acquire.show_fault(error.message, error.remedy)
        else:
            self.plan, self.experiment = plan, experiment
            shape, readout_ms = self.instrument.camera.image_shape, self._scan_time.readout_ms
            figures = estimate(experiment, profile, led_na_l2, shape, readout_ms, link_ms=0.0)
            acquire.show_plan(plan, self._scan_time.estimate_s(plan), figures)
            self.panels.live.pupil.set_planned(plan.patterns_pl.max(axis=0) > 0)
        self.changed.emit()

    def start_scan(self) -> None:
        """Expose the plan into a new capture, and reconstruct it while it grows; exposures are measured before."""
        if self.instrument is None or self.plan is None or self.service.scanning or self.measuring:
            return
        way = self.panels.acquire.expose.currentData()
        if not way:
            self._scan()
            return
        self.measuring = True
        self.panels.acquire.set_scanning(True)
        self.panels.acquire.say("measuring the exposure…", "busy")
        self.service.measure_exposure(self.plan, way)
        self.changed.emit()

    def _exposed(self, result: ExposureResult | None) -> None:
        """Scan with the exposures that were measured."""
        self.measuring = False
        self.panels.acquire.set_scanning(False)
        if result is None or self.experiment is None:
            self.panels.acquire.say("exposure not found", "bad")
            self.changed.emit()
            return
        if result.notices:
            self.panels.message.tell(" ".join(result.notices), error=False)
        self.plan, self.experiment = result.plan, replace(self.experiment, plan=result.plan)
        self._scan()

    def _scan(self) -> None:
        plan, experiment = self.plan, self.experiment
        if self.instrument is None or plan is None or experiment is None:
            return
        sample = self.panels.acquire.sample.text().strip()
        path = self.folder / capture_name(sample, datetime.now())
        header = self.instrument.capture_header(plan, title=sample or path.stem, sample=sample, operator="")
        header = replace(header, positions_um=experiment.positions_um)
        try:
            reference = reference_for(self.instrument.profile.plan, plan, header)
        except OperatorError as error:
            self.panels.message.tell(error.message, error.remedy)
            return
        if reference is not None and reference.notices:
            self.panels.message.tell(" ".join(reference.notices), error=False)
        self._fit_news.clear_views("The first slices appear after some of the frames, and improve with each batch.")
        self.panels.fit.begin("waiting for the first frames")
        self._reference = reference
        hand_over = self._one_run if experiment.scan_count == 1 else self._run_of_each_visit
        try:
            self.service.start_scan(experiment, header, path, hand_over(header, path, reference), reference)
        except OSError as error:
            self.bridge.cancel()
            self.panels.message.tell(f"{path} cannot be written: {error}", "Choose another folder for the captures.")
            return
        self.capture_path = self.shown_path = path
        self._scan_news.begin(plan, path)
        self.live_image.scan_begins()
        self.changed.emit()

    def _one_run(
        self, header: CaptureHeader, path: Path, reference: MatchedReference | None
    ) -> Callable[[Frame], None]:
        """Begin the run of a single scan; returns what takes its frames, on the scan's thread."""
        self.series.clear()
        run = self.bridge.start_live(header, self.panels.fit.settings(), path.name, reference)
        self._live_run = self._fit_news.scan_run = run

        def hand_over(frame: Frame) -> None:
            if (run := self._live_run) is not None:  # another one, once a lost process was replaced
                self.bridge.add_frame(run, frame.pattern, frame.image_yx, frame.exposure_ms)

        return hand_over

    def _run_of_each_visit(
        self, header: CaptureHeader, path: Path, reference: MatchedReference | None
    ) -> Callable[[Frame], None]:
        """The same for an experiment of several scans, each of which gets a run of its own."""
        assert self.experiment is not None
        visits = [(visit.time_point, visit.position) for visit in self.experiment.visits()]
        self._live_run = None
        self.bridge.cancel()
        runs = self.series.begin_scan(path, visits)
        runs.begin_live(header, path.name, reference)
        return runs.take

    def _visit_began(self, visit: Visit) -> None:
        self.panels.fit.begin(f"time point {visit[0]}, position {visit[1]}")
        self.panels.fit.say("starting…", "busy")
        self.changed.emit()

    def pause_or_resume_scan(self) -> None:
        """Hold the scan after the frame in hand, LEDs off; or let it go on."""
        self.panels.acquire.set_paused(self.service.pause_or_resume_scan())

    def cancel_scan(self) -> None:
        """Stop the scan; the frames taken stay in the file."""
        self.panels.acquire.say("cancelling…", "warn")
        self.service.cancel_scan()

    def _frame_stored(self, pattern: int) -> None:
        if self.plan is not None and self.service.scanning:
            self._scan_news.show_frame(self.plan, pattern)

    def _scan_changed(self, status: ScanStatus) -> None:
        if not self.service.scanning:
            return
        self._tell_visit_complete(status)
        self._scan_news.show(status, self.capture_path)
        if status.state is ScanState.FINISHED:
            if status.reason is FinishReason.COMPLETE and status.visits == 1 and self._scan_time and self.plan:
                self._scan_time.learn(self.plan, status.elapsed_s)  # in that of several scans are waits
                self.make_plan()
            self._end_runs(status)
            self.service.forget_scan()
            self.live_image.scan_ended()
            self.changed.emit()

    def _end_runs(self, status: ScanStatus) -> None:
        """Let the reconstruction know that no frame will follow."""
        failed, runs = status.reason is FinishReason.FAILED, self.series.runs
        live, self._live_run = self._live_run, None
        if runs is not None and live is None:
            runs.scan_ended(status.path, keep=not failed)
        elif live is None or live != self.bridge.run:
            return
        elif failed:
            self.discard_fit("Discarded: the acquisition failed, and its frames may not belong to their LEDs.")
        elif status.reason is not FinishReason.COMPLETE and not self.bridge.has_field:
            self.discard_fit()
        else:
            self.bridge.frames_done(self.capture_path)
            if status.reason is not FinishReason.COMPLETE:
                self.bridge.finish_now()

    def _tell_visit_complete(self, status: ScanStatus) -> None:
        """Let the run of a visit know when all of its frames have come."""
        runs, plan = self.series.runs, self.plan
        if runs is not None and plan is not None and status.visit:
            per_visit = plan.frame_count - plan.dark_count
            if status.frames_done >= plan.dark_count + status.visit * per_visit:
                runs.visit_complete((status.time_point, status.position))

    # --- reconstruction -----------------------------------------------------------------------------------------------

    def reconstruct(self, path: Path) -> None:
        """Reconstruct a stored capture: each of its time points and positions, if there are several."""
        self.capture_path = self.shown_path = path
        self.series.look_for_visits(path)
        self._show_new_run(f"reading {path.name}")
        self.bridge.start_stored(path, self.panels.fit.settings())
        self.changed.emit()

    def reconstruct_again(self) -> None:
        """Reconstruct the last capture with the settings as they are now."""
        if self.capture_path is not None:
            self.reconstruct(self.capture_path)

    def open_field(self, path: Path) -> None:
        """Show a saved field, and with it those of the same time-lapse."""
        self.shown_path = path
        self.series.look_for_siblings(path)
        self._show_new_run(f"opening {path.name}")
        self.bridge.open_field(path)
        self.changed.emit()

    def go_on(self, left: LeftFit) -> None:
        """Go on with a reconstruction whose program was interrupted; its checkpoint is this window's by now."""
        self.capture_path = self.shown_path = left.capture_path
        self.series.clear()
        self._show_new_run("", "The volume comes back as soon as it is read.")
        self.bridge.go_on(left.capture_path, left.settings)
        self.changed.emit()

    def _show_new_run(
        self, detail: str, expecting: str = "The first slices appear as soon as there is a first volume."
    ) -> None:
        self._fit_news.clear_views(expecting)
        self.panels.fit.begin(detail)
        self.panels.fit.say("starting…", "busy")

    def finish_fit(self) -> None:
        """Stop fitting and keep the field."""
        self.panels.fit.say("finishing…", "busy")
        self.bridge.finish_now()

    def discard_fit(self, why: str = "Discarded. The capture is kept: F8 reconstructs it again.") -> None:
        """Stop fitting and discard the field; of a stored time-lapse those that were to follow as well."""
        runs = self.series.runs
        if runs is not None and self.service.scanning:
            runs.discard_current()
            self.panels.fit.say("discarded")
            return
        if runs is not None:
            runs.stop()
        self.bridge.cancel()
        self._fit_news.clear_views()
        self.panels.fit.begin(why)
        self.panels.fit.say("discarded")
        self.changed.emit()

    def restart_process(self) -> None:
        """Put a fresh process in place of the one that failed; it goes on where that one had come to.

        A scan that runs is not disturbed: what it has stored is read from its file, and the rest follows.
        """
        live = self.service.scanning and self._live_run is not None and self._live_run == self.bridge.run
        self.panels.message.hide()
        self._show_new_run("", "The volume comes back as soon as the new process has started.")
        if self.series.at_work and self.series.runs is not None:
            self.bridge.start()
            self.series.runs.process_replaced()
            return
        capture = part_path(self.capture_path) if live and self.capture_path is not None else self.capture_path
        run = self.bridge.restart(capture, live, self._reference)
        if live:
            self._live_run = self._fit_news.scan_run = run
        self.changed.emit()
