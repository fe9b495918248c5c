"""What follows what: connecting, acquiring, reconstructing. Wires services to panels; holds no picture and no device.

profile chosen -> connect -> live image -> start -> frames to file and to the reconstruction -> field -> slices
"""

from __future__ import annotations

import logging
import re
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
from gui.scan_time import ScanTime
from gui.time_series import TimeSeries

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from acquisition.capture import CaptureHeader, Frame, MatchedReference
    from acquisition.experiment import Experiment
    from acquisition.exposure import ExposureResult
    from acquisition.instrument import Instrument
    from gui.field_names import Visit
    from gui.instrument_service import InstrumentService
    from gui.panels import Panels
    from gui.recon_bridge import ReconBridge
    from recon.messages import Failed, FieldReady, Finished, FitProgress, Lights, Notice, Phase, Ready, Saved

log = logging.getLogger(__name__)


def capture_name(sample: str, now: datetime) -> str:
    """File name of a new capture: time first, so that names sort; then what can be kept of the sample's name."""
    kept = re.sub(r"[^\w-]+", "-", sample).strip("-")[:60]
    return f"{now:%Y%m%d-%H%M%S}{'_' + kept if kept else ''}.h5"


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
        self.connecting = False
        self.measuring = False
        self.plan: ExposurePlan | None = None
        self.experiment: Experiment | None = None
        self.capture_path: Path | None = None
        self._live_run: int | None = None
        self._scan_run: int | None = None
        self._saturation_told = False
        self._reference: MatchedReference | None = None
        self._live_wanted = True
        self._scan_time: ScanTime | None = None
        self.series = TimeSeries(bridge, panels.time, panels.fit.settings, self)
        self.series.run_began.connect(self._visit_began)
        for view in panels.looking:
            self.series.shown.connect(view.refresh)
        # Whoever compares time points wants one scale for them all.
        panels.time.chosen.connect(lambda _: panels.slices.contrast.auto.setChecked(False))
        panels.acquire.plan_edited.connect(self.make_plan)
        panels.live.exposure_chosen.connect(service.set_exposure)
        panels.live.light_chosen.connect(self._light)
        for view in panels.looking:
            view.picture_wanted.connect(bridge.request_picture)
            bridge.picture.connect(view.show_picture)
        bridge.lights.connect(self._lights)
        service.check_made.connect(panels.instrument.add_check)
        service.opened.connect(self._opened)
        service.open_failed.connect(self._open_failed)
        service.released.connect(self._released)
        service.picture_ready.connect(self._show_picture)
        service.frame_stored.connect(self._frame_stored)
        service.scan_changed.connect(self._scan_changed)
        service.exposed.connect(self._exposed)
        service.place_read.connect(panels.acquire.experiment.add_place)
        panels.acquire.experiment.place_wanted.connect(service.read_place)
        panels.acquire.experiment.go_wanted.connect(service.go_to)
        service.problem.connect(panels.message.tell)
        service.board_lost.connect(self._board_lost)
        panels.fit.view_budget_chosen.connect(bridge.set_view_budget)
        bridge.ready.connect(self._recon_ready)
        bridge.phase.connect(self._phase)
        bridge.progress.connect(self._progress)
        bridge.field_ready.connect(self._field_ready)
        bridge.finished.connect(self._finished)
        bridge.saved.connect(self._saved)
        bridge.notice.connect(self._notice)
        bridge.failed.connect(self._failed)
        bridge.lost.connect(self._lost)
        bridge.recovered.connect(self._recovered)

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
        profile = instrument.profile
        limits = profile.camera.exposure_ms
        self.panels.instrument.set_connected(True)
        self.panels.instrument.say("connected", "good")
        self.panels.live.set_instrument(
            instrument.led_na_l2, profile.objective.na, (limits.min, limits.max, limits.default)
        )
        self.panels.spectrum.set_geometry(
            instrument.led_na_l2, profile.objective.na, profile.illumination.wavelength_um, profile.pixel_um
        )
        self.panels.acquire.set_paces(possible_paces(instrument))
        self.panels.acquire.set_connected(True)
        self.panels.acquire.experiment.set_stage(bool(instrument.stages))
        self.make_plan()
        if self._live_wanted:
            self._start_live()
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
        self.panels.live.set_connected(False)
        self.panels.spectrum.clear()
        self.panels.acquire.set_connected(False)
        self.changed.emit()

    def _board_lost(self, message: str, remedy: str) -> None:
        self.panels.instrument.say("LED board lost", "bad")
        self.panels.message.tell(message, remedy, "Connect again", self.connect_instrument)

    def set_live(self, wanted: bool) -> None:
        """Switch the live image on or off."""
        self._live_wanted = wanted
        if self.instrument is None or self.service.scanning:
            return
        if wanted:
            self._start_live()
        else:
            self.service.stop_live()
            self.panels.live.pupil.set_lit(None)
            self.panels.live.expect(frames=False)

    def _start_live(self) -> None:
        brightness_l = self.panels.live.chosen_light()
        self.service.start_live(self.panels.live.exposure.value(), brightness_l)
        self.panels.live.pupil.set_lit(brightness_l)
        self.panels.live.expect(frames=True)

    def _light(self, brightness_l: NDArray[np.float32]) -> None:
        self.service.set_light(brightness_l)
        if self._live_wanted and not self.service.scanning:
            self.panels.live.pupil.set_lit(brightness_l)

    def _show_picture(self) -> None:
        picture = self.service.pictures.fetch()
        if picture is not None and self.instrument is not None:
            self.panels.live.show_picture(picture)
            self.panels.spectrum.offer(picture.image_yx, picture.brightness_l)

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
        self._saturation_told = False
        try:
            reference = reference_for(self.instrument.profile.plan, plan, header)
        except OperatorError as error:
            self.panels.message.tell(error.message, error.remedy)
            return
        if reference is not None and reference.notices:
            self.panels.message.tell(" ".join(reference.notices), error=False)
        self._clear_views("The first slices appear after some of the frames, and improve with each batch.")
        self.panels.fit.begin("waiting for the first frames")
        self._reference = reference
        hand_over = self._one_run if experiment.scan_count == 1 else self._run_of_each_visit
        try:
            self.service.start_scan(experiment, header, path, hand_over(header, path, reference), reference)
        except OSError as error:
            self.bridge.cancel()
            self.panels.message.tell(f"{path} cannot be written: {error}", "Choose another folder for the captures.")
            return
        self.capture_path = path
        self.panels.acquire.set_scanning(True)
        self.panels.acquire.show_progress(0, plan.frame_count, None)
        self.panels.live.pupil.mark_seen(None)
        self.panels.live.pupil.set_lit(None)
        self.panels.live.expect(frames=True)
        log.info("acquisition started: %s", path)
        self.changed.emit()

    def _one_run(
        self, header: CaptureHeader, path: Path, reference: MatchedReference | None
    ) -> Callable[[Frame], None]:
        """Begin the run of a single scan; returns what takes its frames, on the scan's thread."""
        self.series.clear()
        run = self.bridge.start_live(header, self.panels.fit.settings(), path.name, reference)
        self._live_run = self._scan_run = run

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
        if self.plan is None or not self.service.scanning:
            return
        brightness = None if pattern < 0 else self.plan.patterns_pl[pattern]
        self.panels.live.pupil.set_lit(brightness)
        if brightness is not None:
            self.panels.live.pupil.mark_seen(brightness)

    def _scan_changed(self, status: ScanStatus) -> None:
        if not self.service.scanning:
            return
        if status.notice and (not self._saturation_told or status.state is ScanState.FINISHED):
            self._saturation_told = True  # now, while something can be done about it; how many in the end
            self.panels.message.tell(status.notice)
        self._tell_visit_complete(status)
        if status.state is not ScanState.FINISHED:
            self.panels.acquire.show_progress(status.frames_done, status.frames_total, status.eta_s)
            self.panels.acquire.experiment.show_status(status)
            self.panels.live.expect(frames=status.state is not ScanState.PAUSED)
            if status.state is ScanState.PAUSED:
                self.panels.acquire.say(f"paused, {status.frames_done} of {status.frames_total}", "warn")
                self.panels.live.pupil.set_lit(None)
            return
        acquire, path = self.panels.acquire, self.capture_path
        acquire.set_scanning(False)
        acquire.bar.setValue(status.frames_done)
        complete = status.reason is FinishReason.COMPLETE
        failed = status.reason is FinishReason.FAILED
        if complete:
            # Of several scans the waits between them are in it.
            if self._scan_time is not None and self.plan is not None and status.visits == 1:
                self._scan_time.learn(self.plan, status.elapsed_s)
                self.make_plan()
            acquire.say(f"{status.frames_done} frames stored", "warn" if status.message else "good")
        elif status.reason is FinishReason.CANCELLED:
            acquire.say(f"cancelled, {status.frames_done} frames kept", "warn")
        else:
            acquire.say("failed", "bad")
        if status.message or failed:  # LEDs that stay on are told after a complete scan as well
            self.panels.message.tell(
                status.message or "The acquisition failed.", f"{status.frames_done} frames are kept in {path}."
            )
        log.info("acquisition ended: %s", acquire.state.text())
        runs = self.series.runs
        if runs is not None and self._live_run is None:
            runs.scan_ended(status.path, keep=not failed)
        elif self._live_run is not None and self._live_run == self.bridge.run:
            if failed:
                self.discard_fit("Discarded: the acquisition failed, and its frames may not belong to their LEDs.")
            elif not complete and not self.bridge.has_field:
                self.discard_fit()
            else:
                self.bridge.frames_done(path)
                if not complete:
                    self.bridge.finish_now()
        self._live_run = None
        self.service.forget_scan()
        self.panels.live.pupil.set_lit(self.panels.live.chosen_light() if self._live_wanted else None)
        self.panels.live.expect(frames=self._live_wanted)
        self.changed.emit()

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
        self.capture_path = path
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
        self.series.look_for_siblings(path)
        self._show_new_run(f"opening {path.name}")
        self.bridge.open_field(path)
        self.changed.emit()

    def _show_new_run(self, detail: str) -> None:
        self._clear_views("The first slices appear as soon as there is a first volume.")
        self.panels.fit.begin(detail)
        self.panels.fit.say("starting…", "busy")

    def _clear_views(self, expecting: str = "") -> None:
        """Forget the field; `expecting` says what the next one waits for."""
        for view in self.panels.looking:
            view.clear(expecting)
        self.panels.errors.clear()

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
        self._clear_views()
        self.panels.fit.begin(why)
        self.panels.fit.say("discarded")
        self.changed.emit()

    def restart_process(self) -> None:
        """Put a fresh process in place of the one that failed; it goes on where that one had come to.

        A scan that runs is not disturbed: what it has stored is read from its file, and the rest follows.
        """
        live = self.service.scanning and self._live_run is not None and self._live_run == self.bridge.run
        self.panels.message.hide()
        self._clear_views("The volume comes back as soon as the new process has started.")
        self.panels.fit.begin("")
        self.panels.fit.say("starting…", "busy")
        if self.series.at_work and self.series.runs is not None:
            self.bridge.start()
            self.series.runs.process_replaced()
            return
        capture = part_path(self.capture_path) if live and self.capture_path is not None else self.capture_path
        run = self.bridge.restart(capture, live, self._reference)
        if live:
            self._live_run = self._scan_run = run
        self.changed.emit()

    def _recon_ready(self, ready: Ready) -> None:
        if self.bridge.run is None:
            self.panels.fit.say("ready", "good")
        self.panels.fit.detail.setToolTip("\n".join(f"{name} {version}" for name, version in ready.versions.items()))
        self.panels.device.setText(f"computes on {ready.device.upper()}")

    def _phase(self, phase: Phase) -> None:
        self.panels.fit.say(phase.name, "busy" if self.bridge.fitting else "good")
        if phase.detail:
            self.panels.fit.detail.setText(phase.detail)

    def _progress(self, progress: FitProgress) -> None:
        self.panels.fit.show_progress(progress)

    def _field_ready(self, ready: FieldReady) -> None:
        for view in self.panels.looking:
            if self.series.fields:  # one of a time-lapse: view and contrast stay what they are
                view.refresh()
            else:
                view.show_field(ready)
        self.changed.emit()

    def _lights(self, lights: Lights) -> None:
        self.panels.errors.show_lights(lights)
        self.panels.lights.show_lights(lights)
        if lights.run == self._scan_run:  # any other capture may be of a board that stood elsewhere
            self.panels.spectrum.set_calibrated(lights.led_na_l2, lights.objective_na)

    def _finished(self, finished: Finished) -> None:
        self.panels.fit.say("finished", "good")
        self.panels.fit.show_finished(finished)
        for view in self.panels.looking:
            view.refresh()
        self.changed.emit()

    def _saved(self, saved: Saved) -> None:
        if self.series.at_work:
            log.info("saved %s", saved.field_path)
        else:
            self.panels.fit.show_saved(saved)

    def _notice(self, notice: Notice) -> None:
        log.info("%s", notice.text)
        self.panels.fit.detail.setText(notice.text)

    def _failed(self, failed: Failed) -> None:
        log.error("%s %s\n%s", failed.message, failed.remedy, failed.detail)
        if not failed.ends_run:
            self.panels.message.tell(failed.message, failed.remedy)
            return
        was_fitting, self.bridge.fitting = self.bridge.fitting, False
        self.panels.message.tell(failed.message, failed.remedy)
        if was_fitting or not self.bridge.has_field:
            self.panels.fit.say("failed", "bad")
        self.changed.emit()

    def _lost(self, reason: str, remedy: str) -> None:
        self.panels.fit.say("lost", "bad")
        self.panels.message.tell(reason, remedy, "Restart", self.restart_process)
        self.changed.emit()

    def _recovered(self) -> None:
        self.panels.message.hide()
        self.panels.fit.say("running again", "busy")
        self.changed.emit()
