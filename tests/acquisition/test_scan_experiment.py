"""Experiments through the real drivers: positions, time points, waits, pauses, and what is kept when one ends."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from acquisition.capture import read_capture, read_truth
from acquisition.experiment import Experiment, Position, TimeLapse
from acquisition.scan import FinishReason, Scan, ScanState, ScanStatus
from acquisition.scan_control import ScanControl
from acquisition.stage import StageError
from tests.acquisition.fake_clock import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from acquisition.capture import Frame
    from acquisition.instrument import Instrument
    from acquisition.plan import ExposurePlan

PLACES = (Position("A", 0.0, 0.0, 0.0), Position("B", 6.5, -3.25, 2.0))


def lit(instrument: Instrument) -> bool:
    assert instrument.simulated is not None
    return bool(instrument.simulated.board.brightness().any())


def run(
    instrument: Instrument, experiment: Experiment, path: Path, clock: FakeClock | None = None, **callbacks: Any
) -> ScanStatus:
    header = instrument.capture_header(experiment.plan)
    scan = Scan(instrument, experiment, path, header, control=ScanControl(clock), **callbacks)
    scan.start()
    return scan.wait(60)


def steered(
    instrument: Instrument,
    experiment: Experiment,
    path: Path,
    steer: Callable[[Scan, ScanStatus], None],
    on_hold: Callable[[Scan], None] = lambda scan: None,
) -> tuple[ScanStatus, list[ScanStatus]]:
    """Run on a clock that only goes when it is waited for; `on_hold` is called when the scan is paused."""
    seen: list[ScanStatus] = []

    def tell(status: ScanStatus) -> None:
        seen.append(status)
        steer(scan, status)

    control = ScanControl(FakeClock(lambda: on_hold(scan)))
    header = instrument.capture_header(experiment.plan)
    scan = Scan(instrument, experiment, path, header, on_status=tell, control=control)
    scan.start()
    return scan.wait(60), seen


def states(seen: list[ScanStatus]) -> list[ScanState]:
    return [state for state, _ in itertools.groupby(status.state for status in seen)]


def test_the_truth_is_where_the_stages_stand_or_left_out(
    instrument: Instrument, plan: ExposurePlan, tmp_path: Path
) -> None:
    pixel_um = instrument.profile.pixel_um
    away = Position("B", 4 * pixel_um, -7 * pixel_um, 2.0)
    truths = []
    for name, places in (("home", PLACES[:1]), ("away", (away,)), ("both", (PLACES[0], away))):
        assert run(instrument, Experiment(plan, positions=places), tmp_path / name).reason is FinishReason.COMPLETE
        truths.append(read_truth(tmp_path / name))
    home, moved, none = truths
    assert home is not None
    assert moved is not None
    np.testing.assert_array_equal(moved.dn_zyx, np.roll(home.dn_zyx, (-7, 4), (1, 2)))
    assert moved.z_um == pytest.approx(home.z_um + 2.0, abs=0.1)
    assert none is None, "there is no one place"


def test_every_frame_knows_its_visit(instrument: Instrument, plan: ExposurePlan, tmp_path: Path) -> None:
    seen: list[ScanStatus] = []
    places: dict[tuple[int, int], tuple[float, ...]] = {}

    def tell(status: ScanStatus) -> None:
        seen.append(status)
        if status.state is ScanState.WAITING:
            assert not lit(instrument)

    def note(frame: Frame) -> None:
        visit = (frame.time_point, frame.position)
        if visit not in places:
            places[visit] = (*instrument.stages.xy_um(), instrument.stages.z_um())

    experiment = Experiment(plan, TimeLapse(600.0, 3), PLACES)
    status = run(instrument, experiment, tmp_path / "a.h5", FakeClock(), on_status=tell, on_frame=note)
    assert (status.reason, status.message, status.visits) == (FinishReason.COMPLETE, "", 6)
    assert status.frames_done == status.frames_total == 2 + 6 * 12
    assert not lit(instrument)

    capture = read_capture(tmp_path / "a.h5")
    assert (capture.status, capture.frames_planned) == ("complete", 72)
    np.testing.assert_array_equal(capture.time_point_n, np.repeat([0, 1, 2], 24))
    np.testing.assert_array_equal(capture.position_n, np.tile(np.repeat([0, 1], 12), 3))
    np.testing.assert_array_equal(capture.pattern_n, np.tile(plan.order_n[2:], 6))
    assert (np.diff(capture.host_time_s_n.reshape(6, 12), axis=0)[1::2] > 590).all(), "the second time point waits"
    for (_, position), place in places.items():
        wanted = PLACES[position]
        assert place == pytest.approx((wanted.x_um, wanted.y_um, wanted.z_um), abs=0.1)
    one_visit = [ScanState.MOVING, ScanState.RUNNING]
    later = [ScanState.MOVING, ScanState.WAITING, ScanState.RUNNING]
    assert states(seen) == [
        ScanState.PREPARING, *one_visit, *one_visit, *later, *one_visit, *later, *one_visit,
        ScanState.FINISHING, ScanState.FINISHED,
    ]  # fmt: skip
    assert [(status.visit, status.time_point, status.position) for status in seen if status.visit][-1] == (6, 2, 1)
    waits = [status for status in seen if status.state is ScanState.WAITING]
    assert 590 < waits[0].waiting_s <= 600
    assert waits[0].eta_s is not None
    assert 1190 < waits[0].eta_s < 1300


def test_the_xy_stage_and_the_z_drive_move_the_image(
    instrument: Instrument, plan: ExposurePlan, tmp_path: Path
) -> None:
    run(instrument, Experiment(plan, positions=(*PLACES, Position("C", 6.5, -3.25, 0.0))), tmp_path / "a.h5")
    images = read_capture(tmp_path / "a.h5").images_nyx.astype(float).reshape(3, 12, 64, 64)[:, 0]
    at_home, raised, aside = images
    noise = np.abs(at_home - np.roll(aside, (10, -20), (0, 1))).mean()
    assert np.abs(at_home - aside).mean() > 1.2 * noise, "0.325 um a pixel: 20 columns, 10 rows up"
    assert np.abs(raised - aside).mean() > 1.2 * noise


def test_pause_holds_in_the_dark_and_loses_nothing(instrument: Instrument, plan: ExposurePlan, tmp_path: Path) -> None:
    held: list[tuple[ScanState, bool, int]] = []

    def steer(scan: Scan, status: ScanStatus) -> None:
        if status.frames_done == 6 and not held:
            scan.pause()

    def on_hold(scan: Scan) -> None:
        held.append((scan.status.state, lit(instrument), scan.status.frames_done))
        scan.resume()

    status, seen = steered(instrument, Experiment(plan), tmp_path / "a.h5", steer, on_hold)
    (state, light, done), *others = held
    assert (state, light, others) == (ScanState.PAUSED, False, [])
    assert 6 <= done < 14, "what was taken when the sixth was told is stored as well"
    assert status.reason is FinishReason.COMPLETE
    assert states(seen)[1:5] == [ScanState.RUNNING, ScanState.PAUSED, ScanState.RUNNING, ScanState.FINISHING]
    capture = read_capture(tmp_path / "a.h5")
    np.testing.assert_array_equal(capture.pattern_n, plan.order_n[2:])
    levels = np.median(capture.images_nyx, axis=(1, 2))
    assert levels.min() > 0.6 * levels.max(), "the frame after the pause is lit as well"


def test_a_pause_while_waiting_puts_off_what_is_due(instrument: Instrument, plan: ExposurePlan, tmp_path: Path) -> None:
    clock = FakeClock()
    control = ScanControl(clock)

    def steer(status: ScanStatus) -> None:
        if status.state is ScanState.WAITING and status.waiting_s < 31 and clock.now_s() < 1100:
            control.pause()
        elif status.state is ScanState.PAUSED:
            clock.pass_s(5000)
            control.resume()

    experiment = Experiment(plan, TimeLapse(60, 2))
    header = instrument.capture_header(plan)
    scan = Scan(instrument, experiment, tmp_path / "a.h5", header, on_status=steer, control=control)
    scan.start()
    assert scan.wait(60).reason is FinishReason.COMPLETE
    times_s = read_capture(tmp_path / "a.h5").host_time_s_n
    assert times_s[12] - times_s[0] == pytest.approx(5060, abs=2)


@pytest.mark.parametrize("moment", [ScanState.WAITING, ScanState.PAUSED, ScanState.MOVING])
def test_cancel_works_at_once_and_keeps_what_is_stored(
    moment: ScanState, instrument: Instrument, plan: ExposurePlan, tmp_path: Path
) -> None:
    def steer(scan: Scan, status: ScanStatus) -> None:
        if status.time_point == 1 and status.state is moment:
            scan.cancel()
        elif moment is ScanState.PAUSED and status.state is ScanState.WAITING:
            scan.pause()

    experiment = Experiment(plan, TimeLapse(1e6, 2), PLACES[:1])
    status, _ = steered(instrument, experiment, tmp_path / "a.h5", steer)
    assert (status.reason, status.message) == (FinishReason.CANCELLED, "")
    capture = read_capture(tmp_path / "a.h5")
    assert (capture.status, len(capture.images_nyx)) == ("aborted", 12)
    assert not lit(instrument)


def test_a_stage_that_fails_ends_the_scan_and_keeps_what_is_stored(
    instrument: Instrument, plan: ExposurePlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    move = instrument.stages.move_xy_um

    def stuck(x_um: float, y_um: float) -> tuple[float, float]:
        if x_um == PLACES[1].x_um:
            raise StageError("The stage XY is still moving after 60 s.", "Check the stage.")
        return move(x_um, y_um)

    monkeypatch.setattr(instrument.stages, "move_xy_um", stuck)
    status = run(instrument, Experiment(plan, positions=PLACES), tmp_path / "a.h5")
    assert status.reason is FinishReason.FAILED
    assert "still moving" in status.message
    assert "Check the stage." in status.message
    capture = read_capture(tmp_path / "a.h5")
    assert (capture.status, len(capture.images_nyx)) == ("failed", 12)
    assert not lit(instrument)


def test_what_the_stages_cannot_do_is_told_before_the_first_frame(
    instrument: Instrument, plan: ExposurePlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages = instrument.stages
    limited = instrument.profile.stage.model_copy(update={"z_limits_um": (-1.0, 1.0)})
    monkeypatch.setattr(stages, "_settings", limited)
    assert "outside -1 to 1 um" in run(instrument, Experiment(plan, positions=PLACES), tmp_path / "a.h5").message
    monkeypatch.setattr(stages, "z_device", "")
    assert "has no z drive" in run(instrument, Experiment(plan, positions=PLACES), tmp_path / "a.h5").message
    monkeypatch.setattr(stages, "xy_device", "")
    level = tuple(Position(place.name, place.x_um, 0, 0) for place in PLACES)
    assert "has no xy stage" in run(instrument, Experiment(plan, positions=level), tmp_path / "a.h5").message
    assert "no stage to move" in run(instrument, Experiment(plan, positions=level[:1]), tmp_path / "a.h5").message
    assert list(tmp_path.iterdir()) == []
