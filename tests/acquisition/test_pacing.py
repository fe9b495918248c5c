"""Who leads LEDs and camera: which ways there are, runs of equal exposure, ends and beginnings in the middle."""

from __future__ import annotations

import threading
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from acquisition.capture import read_capture
from acquisition.capture_check import check_capture
from acquisition.instrument import Instrument, open_instrument
from acquisition.led_array.protocol import Capability
from acquisition.pacing import ScanError, _check_step, check_pace, possible_paces, take_frames
from acquisition.plan import DARK, ExposurePlan, Pace, plan_for
from acquisition.profile import Profile, parse_profile
from acquisition.profile_plan import changed_plan
from acquisition.scan import FinishReason, Scan

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from acquisition.capture import Frame

WIRED = """
[camera.trigger]
exposure_out = true
external = { TriggerDevice = "LED board" }
internal = { TriggerDevice = "" }
[micromanager]"""
TRIGGERED = [Pace.CAMERA, Pace.BOARD, Pace.HANDSHAKE]


@pytest.fixture(scope="module")
def wired_profile(small_profile: Profile) -> Profile:
    return parse_profile(small_profile.toml_text.replace("[micromanager]", WIRED), "wired.toml")


@pytest.fixture
def wired(wired_profile: Profile) -> Iterator[Instrument]:
    opened = open_instrument(wired_profile)
    yield opened
    opened.close()


def plan_of(instrument: Instrument, **changes: Any) -> ExposurePlan:
    return plan_for(instrument.profile, instrument.led_na_l2, changed_plan(instrument.profile, changes))


def lit(instrument: Instrument) -> bool:
    assert instrument.simulated is not None
    return bool(instrument.simulated.board.brightness().any())


def test_without_cables_the_computer_leads(instrument: Instrument, plan: ExposurePlan, tmp_path: Path) -> None:
    assert plan.pace is Pace.SOFTWARE
    paces = possible_paces(instrument)
    assert [pace for pace, reason in paces.items() if not reason] == [Pace.SOFTWARE]
    assert "camera.trigger.exposure_out" in paces[Pace.CAMERA]
    assert "camera.trigger.external" in paces[Pace.BOARD]
    scan_plan = replace(plan, pace=Pace.BOARD)
    with pytest.raises(ScanError, match="trigger = 'board' is not possible: the profile does not say") as caught:
        check_pace(instrument, scan_plan)
    assert "'software'" in caught.value.remedy
    run = Scan(instrument, scan_plan, tmp_path / "a.h5", instrument.capture_header(scan_plan))
    run.start()
    assert "not possible" in run.wait(60).message
    assert not list(tmp_path.iterdir()), "told before a file is made"


def test_what_the_board_cannot_do_is_told(wired: Instrument) -> None:
    plan = plan_of(wired)
    assert set(possible_paces(wired, plan).values()) == {""}
    levels_pl = plan.patterns_pl * np.linspace(0.3, 1, plan.pattern_count, dtype=np.float32)[:, None]
    assert "one brightness" in possible_paces(wired, replace(plan, patterns_pl=levels_pl))[Pace.CAMERA]
    slow = wired.board_info
    wired.board_info = replace(slow, min_trigger_interval_ms=5.0)
    assert "for 5 ms at least, and the plan exposes 2 ms" in possible_paces(wired, plan)[Pace.CAMERA]
    assert not possible_paces(wired, plan)[Pace.HANDSHAKE], "the board's pulse comes when it is ready"
    assert not possible_paces(wired, plan.with_exposures(5.0))[Pace.CAMERA]
    can = wired.board_info.capabilities
    for without, pace, text in (
        (Capability.SEQUENCE, Pace.BOARD, "stores no sequence"),
        (Capability.TRIGGER_IN, Pace.HANDSHAKE, "no trigger input"),
        (Capability.TRIGGER_OUT, Pace.HANDSHAKE, "no trigger output"),
    ):
        wired.board_info = replace(wired.board_info, capabilities=can & ~without)
        assert text in possible_paces(wired, plan)[pace]


@pytest.mark.parametrize("pace", TRIGGERED)
def test_several_exposures_and_repeats(wired: Instrument, pace: Pace, tmp_path: Path) -> None:
    plan = plan_of(wired, trigger=pace.value, repeats=2)
    exposure_ms_p = np.where(np.arange(plan.pattern_count) % 3, 2.0, 4.0)
    plan = plan.with_exposures(exposure_ms_p)
    run = Scan(wired, plan, tmp_path / "a.h5", wired.capture_header(plan))
    run.start()
    status = run.wait(60)
    assert (status.reason, status.message) == (FinishReason.COMPLETE, "")
    assert not lit(wired)
    capture = read_capture(tmp_path / "a.h5")
    np.testing.assert_array_equal(capture.pattern_n, plan.order_n[plan.order_n != DARK])
    np.testing.assert_array_equal(capture.exposure_ms_n, plan.exposure_ms_p[capture.pattern_n])
    assert (np.diff(capture.host_time_s_n) > 0).all()
    assert capture.dark_yx is not None
    assert capture.dark_yx.mean() == pytest.approx(100, abs=0.5)


@pytest.mark.parametrize("pace", list(Pace))
def test_ends_in_the_middle_and_goes_on(wired: Instrument, pace: Pace) -> None:
    plan = plan_of(wired, trigger=pace.value)
    with closing(take_frames(wired, plan)) as frames:
        begun = [next(frames) for _ in range(5)]
    assert not wired.camera.in_sequence
    wired.leds.off()
    with closing(take_frames(wired, plan, first=5)) as frames:
        rest = list(frames)
    assert [frame.index for frame in begun + rest] == list(range(plan.frame_count))
    assert [frame.pattern for frame in begun + rest] == plan.order_n.tolist()
    assert not list(take_frames(wired, plan, first=plan.frame_count))


@pytest.mark.parametrize("pace", TRIGGERED)
def test_cancel_in_mid_sequence(wired: Instrument, pace: Pace, tmp_path: Path) -> None:
    plan = plan_of(wired, trigger=pace.value, repeats=50)
    there = threading.Event()

    def note(frame: Frame) -> None:
        if frame.pattern != DARK:
            there.set()

    run = Scan(wired, plan, tmp_path / "a.h5", wired.capture_header(plan), on_frame=note)
    run.start()
    assert there.wait(30)
    run.cancel()
    status = run.wait(60)
    assert (status.reason, status.message) == (FinishReason.CANCELLED, "")
    assert 0 < status.frames_done < status.frames_total
    assert not lit(wired)
    assert any("was not checked" in found.text for found in check_capture(tmp_path / "a.h5"))
    again = Scan(wired, plan_of(wired), tmp_path / "b.h5", wired.capture_header(plan))
    again.start()
    assert again.wait(60).reason is FinishReason.COMPLETE
    assert not any("was not checked" in found.text for found in check_capture(tmp_path / "b.h5"))


def test_long_runs_are_cut(wired: Instrument, monkeypatch: pytest.MonkeyPatch) -> None:
    stored: list[int] = []
    load = wired.leds.load_sequence
    monkeypatch.setattr(wired.leds, "load_sequence", lambda p, order_n: (stored.append(len(order_n)), load(p, order_n)))
    monkeypatch.setattr("acquisition.pacing._LONGEST_RUN", 8)
    plan = plan_of(wired, trigger="camera")
    assert len(list(take_frames(wired, plan))) == 14
    assert stored == [8 + 3, 6 + 3]


@pytest.mark.parametrize("pace", list(Pace))
@pytest.mark.parametrize(
    ("lights", "in_step"),
    [
        ((100, 500, 100), True),
        ((101, 500, 99), True),
        ((100, 100, 500), False),  # one behind
        ((500, 100, 100), False),  # one ahead
        ((500, 500, 100), False),
        ((100, 500, 500), False),
        ((100, 101, 100.5), True),  # too little light to tell
    ],
)
def test_check_frames(pace: Pace, lights: tuple[float, float, float], in_step: bool) -> None:
    if in_step:
        _check_step(pace, *lights)
        return
    with pytest.raises(ScanError, match="switches late" if pace is Pace.SOFTWARE else "out of step"):
        _check_step(pace, *lights)
