"""`fieldscope capture`: scan into a capture file."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from acquisition.capture import check_free_name, check_space
from acquisition.errors import OperatorError
from acquisition.estimate import duration_text, estimate
from acquisition.instrument import open_instrument
from acquisition.plan import plan_for
from acquisition.plan_reference import check_reference, reference_for
from acquisition.profile import load_profile
from acquisition.profile_plan import changed_experiment, changed_plan
from acquisition.scan import FinishReason, Scan, ScanState
from gui.commands.end_signals import noted_signals
from gui.commands.expose import check_way, exposed
from gui.commands.plan_options import experiment_of
from gui.commands.progress import ProgressReport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from acquisition.capture import CaptureHeader, Frame, MatchedReference
    from acquisition.experiment import Experiment
    from acquisition.instrument import Instrument
    from acquisition.plan import ExposurePlan
    from acquisition.profile import Profile
    from acquisition.scan import ScanStatus

POLL_S = 0.1


@contextmanager
def opened_instrument(profile: Profile, report: ProgressReport) -> Iterator[Instrument]:
    """Open the devices of a profile, tell each check, and close them again with the LEDs off.

    Raises
    ------
    OperatorError
        A check is fatal; or the LEDs may still be on at the end (only noted when another error passes).
    """

    def tell(name: str, ok: bool, text: str) -> None:
        report.note(f"{'ok  ' if ok else 'BAD '} {name}: {text}")

    instrument = open_instrument(profile, on_check=tell)
    try:
        yield instrument
    except BaseException:
        with noted_signals():  # on their way out already
            if problem := instrument.close():
                report.note(str(problem))
        raise
    with noted_signals() as signals:
        problem = instrument.close()
    if problem:
        raise problem
    if signals:
        raise KeyboardInterrupt


def plan_of(instrument: Instrument) -> ExposurePlan:
    """The profile's plan for the board as it is."""
    return plan_for(instrument.profile, instrument.led_na_l2)


def run_scan(
    instrument: Instrument,
    experiment: Experiment | ExposurePlan,
    output: Path,
    header: CaptureHeader,
    report: ProgressReport,
    on_frame: Callable[[Frame], None] = lambda frame: None,
    on_wait: Callable[[], None] = lambda: None,
    reference: MatchedReference | None = None,
) -> Path:
    """Scan to the end, in words and figures; Ctrl-C ends the scan properly before it is passed on.

    Parameters
    ----------
    on_frame
        Called on the scan's thread with each stored frame.
    on_wait
        Called on this thread every 0.1 s; what it raises cancels the scan.
    reference
        The empty field that gets into the file.

    Returns
    -------
    Path of the complete capture.

    Raises
    ------
    OperatorError
        The scan failed, or the LEDs may still be on after it; the message says where the frames are that were stored.
    KeyboardInterrupt
        After the scan was cancelled and the LEDs are off.
    """
    scan = Scan(instrument, experiment, output, header, on_frame=on_frame, reference=reference)
    with noted_signals(scan.cancel) as signals:
        scan.start()
        try:
            _follow(scan, report, on_wait)
        except BaseException:
            scan.cancel()
            if message := scan.wait().message:
                report.note(message)
            raise
    status = scan.wait()
    assert status.reason is not None, "a finished scan has a reason"
    if status.reason is FinishReason.CANCELLED:
        off = "" if status.message else ", LEDs off"
        report.note(f"cancelled after {status.frames_done} of {status.frames_total} frames{off}: {status.path}")
    if status.message or status.path is None:
        ended = {FinishReason.COMPLETE: "is complete, but", FinishReason.CANCELLED: "was cancelled, but"}
        stored = f" (its frames are in {status.path})" if status.path else ""
        words = ended.get(status.reason, "failed")
        raise OperatorError(f"The scan {words}{stored}: {status.message}")  # the message ends with its remedy
    if signals:
        raise KeyboardInterrupt
    return status.path


def _follow(scan: Scan, report: ProgressReport, on_wait: Callable[[], None] = lambda: None) -> None:
    """Tell the progress until the scan has finished."""
    focus, warned = "", False
    while (status := scan.status).state is not ScanState.FINISHED:
        if status.focus != focus:
            focus = status.focus
            report.note(f"{_visit_text(status)}{focus}")
        _tell(status, report)
        if status.notice and not warned:
            warned = True  # now, while something can be done about it; how many in the end
            report.note(f"BAD  {status.notice}")
        on_wait()
        time.sleep(POLL_S)
    _tell(scan.status, report)
    if scan.status.notice:
        report.note(f"BAD  in the end {scan.status.notice}")


def _visit_text(status: ScanStatus) -> str:
    return f"scan {status.visit} of {status.visits}: " if status.visits > 1 else ""


def _tell(status: ScanStatus, report: ProgressReport) -> None:
    text = f"{_visit_text(status)}{status.frames_done} of {status.frames_total} frames stored"
    if status.state is ScanState.WAITING:
        text += f", waits {duration_text(status.waiting_s)} for the next time point"
    elif status.state in (ScanState.MOVING, ScanState.FOCUSING):
        text += f", {status.state.value}"
    if status.eta_s is not None:
        text += f", {duration_text(status.eta_s)} left"
    report.update("scan", status.frames_done, status.frames_total, text)


def capture(
    profile_name: str,
    output: Path,
    plan_changes: dict[str, Any],
    experiment_changes: dict[str, Any],
    title: str,
    sample: str,
    operator: str,
    expose: str | None = None,
) -> dict[str, Any]:
    """Scan a plan into a capture file, its estimate told before; what happened, for the operator and for --json.

    Parameters
    ----------
    plan_changes, experiment_changes
        Keys of the profile's tables [plan] and [experiment] that count in place of what stands there.
    expose
        How exposures are found, see `gui.commands.expose`; None: as the plan has them.
    """
    began_s: dict[tuple[int, int], float] = {}

    def note_begin(frame: Frame) -> None:
        began_s.setdefault((frame.time_point, frame.position), frame.host_time_s)

    profile = load_profile(profile_name)
    check_free_name(output)
    settings = changed_plan(profile, plan_changes)  # told before the devices are opened, as the next three are
    check_reference(settings)
    check_way(expose)
    changed_experiment(profile, experiment_changes)
    with ProgressReport() as report, opened_instrument(profile, report) as instrument:
        led_na_l2, image_shape = instrument.led_na_l2, instrument.camera.image_shape
        experiment = experiment_of(profile, led_na_l2, plan_changes, experiment_changes)
        plan = exposed(instrument, experiment.plan, expose, report)
        experiment = replace(experiment, plan=plan)
        expected = estimate(experiment, profile, led_na_l2, image_shape)
        for line in expected.lines():
            report.note(f"     {line}")
        header = instrument.capture_header(plan, title=title, sample=sample, operator=operator)
        header = replace(header, positions_um=experiment.positions_um)
        reference = reference_for(settings, plan, header)
        if reference is not None:
            report.note(f"ok   Background: {settings.reference}, {reference.reference.header.start_time}")
            for notice in reference.notices:
                report.note(f"     {notice}")
        if expected.file_bytes is not None:
            check_space(output.parent, expected.file_bytes + (reference.background_bytes if reference else 0))
        path = run_scan(instrument, experiment, output, header, report, note_begin, reference=reference)
    return {
        "capture": str(path),
        "profile": profile.name,
        "plan": plan.name,
        "frames": expected.frames,
        "patterns": len(plan.patterns_pl),
        "exposure_ms": plan.exposures_ms.tolist(),
        "reference": None if reference is None else str(reference.reference.path),
        "visits": [
            {
                "time_point": visit.time_point,
                "position": visit.position,
                "name": visit.place.name if visit.place else "",
                "due_s": visit.due_s,
                "began_s": began_s[visit.time_point, visit.position],
            }
            for visit in experiment.visits()
        ],
    }


def readable(result: dict[str, Any]) -> dict[str, Any]:
    """Say of the visits only how many they are: for people, not for --json."""
    count = len(result["visits"])
    return {**result, "visits": f"{count} scans, see --json" if count > 1 else ""}
