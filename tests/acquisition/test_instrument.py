from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from acquisition.camera import CameraError
from acquisition.instrument import Instrument, InstrumentBusyError, Turns, open_instrument
from acquisition.led_array.protocol import LedArrayError
from acquisition.live_view import LiveView
from acquisition.profile import Profile, load_profile, parse_profile
from acquisition.scan import FinishReason, Scan
from acquisition.simulated.board import BoardFault

if TYPE_CHECKING:
    from pathlib import Path

    from acquisition.errors import OperatorError
    from acquisition.plan import ExposurePlan


def wait_until(condition: Any, timeout_s: float = 20.0) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def test_opening_tells_each_check(small_profile: Profile) -> None:
    checks: list[tuple[str, bool, str]] = []
    instrument = open_instrument(small_profile, lambda *check: checks.append(check))
    instrument.close()
    names = [name for name, _, _ in checks]
    assert names == ["LED board", "LEDs", "Micro-Manager", "Camera", "Trigger", "Stages", "Pixel size"]
    assert all(ok for _, ok, _ in checks)
    text = {name: text for name, _, text in checks}
    assert "illuminate 2.32" in text["LED board"]
    assert "64 x 64" in text["Camera"]
    assert text["Trigger"] == "by software"
    assert text["Stages"] == "Z at 0.00 um; XY at 0.00, 0.00 um"


def test_opens_quickly() -> None:
    started = time.perf_counter()
    instrument = open_instrument(load_profile("simulated"))
    opened_s = time.perf_counter() - started
    instrument.close()
    assert opened_s < 15  # 2 s on two free cores


def test_closed_instrument_leaves_nothing_behind(small_profile: Profile) -> None:
    before = set(threading.enumerate())
    instrument = open_instrument(small_profile)
    assert instrument.simulated is not None
    instrument.leds.show(np.ones(12, np.float32))
    instrument.close()
    assert not instrument.simulated.board.brightness().any()
    wait_until(lambda: set(threading.enumerate()) <= before)


def test_header_describes_profile_and_plan(instrument: Instrument, plan: ExposurePlan) -> None:
    header = instrument.capture_header(plan, title="t", sample="s", operator="o")
    assert (header.title, header.sample, header.operator) == ("t", "s", "o")
    assert header.image_shape == (64, 64)
    assert header.profile_toml == instrument.profile.toml_text != ""
    assert header.optics.pixel_um == pytest.approx(0.325)
    assert header.sample_z_um == (-3.0, 3.0)
    assert header.led_na_l2.shape == (12, 2)


def with_roi(profile: Profile, roi: str) -> Profile:
    return parse_profile(profile.toml_text.replace("[camera]", f"[camera]\nroi = {roi}"), "small.toml")


def test_camera_failure_closes_the_board_again(small_profile: Profile) -> None:
    profile = with_roi(small_profile, "[10, 10, 640, 640]")
    checks: list[tuple[str, bool, str]] = []
    with pytest.raises(CameraError, match="roi"):
        open_instrument(profile, lambda *result: checks.append(result))
    assert [ok for _, ok, _ in checks] == [True, True, True, False]
    assert checks[-1][0] == "Camera"
    open_instrument(small_profile).close()


def test_region_of_interest_cuts_image_and_truth(small_profile: Profile) -> None:
    instrument = open_instrument(with_roi(small_profile, "[10, 20, 32, 24]"))
    try:
        assert instrument.camera.snap().shape == (24, 32)
        truth = instrument.truth()
        assert truth is not None
        assert truth.dn_zyx.shape == (12, 24, 32)
    finally:
        instrument.close()


def test_turns_give_a_waiting_scan_the_next_turn() -> None:
    turns = Turns()
    order: list[str] = []

    def scan() -> None:
        with turns.scan():
            order.append("scan")

    with turns.frame(1.0) as mine:
        assert mine
        thread = threading.Thread(target=scan)
        thread.start()
        wait_until(lambda: turns.scans == 1)
        order.append("frame")
    thread.join()
    assert order == ["frame", "scan"]
    with turns.scan():
        with turns.frame(0.01) as mine:
            assert not mine
        with pytest.raises(InstrumentBusyError), turns.scan():
            pass
    with turns.frame(0.0) as mine:
        assert mine


def test_live_view_shows_the_pattern_and_leaves_the_light_off(instrument: Instrument) -> None:
    images: list[Any] = []
    live = LiveView(instrument, images.append)
    live.start()
    wait_until(lambda: len(images) > 2)
    assert images[-1].mean() == pytest.approx(100, abs=2)
    live.set_pattern(np.eye(12, dtype=np.float32)[5])
    wait_until(lambda: images[-1].mean() > 1000)
    brighter = images[-1].mean()
    live.set_exposure_ms(1.0)
    wait_until(lambda: images[-1].mean() < 0.7 * brighter)
    assert live.stop()
    assert instrument.simulated is not None
    assert not instrument.simulated.board.brightness().any()


def test_a_view_that_leaves_the_light_on_says_so(instrument: Instrument) -> None:
    assert instrument.simulated is not None
    told: list[OperatorError] = []
    live = LiveView(instrument, lambda image: None, told.append)
    live.set_pattern(np.eye(12, dtype=np.float32)[5])
    live.start()
    wait_until(lambda: instrument.simulated is not None and instrument.simulated.board.brightness().any())
    instrument.simulated.board.inject(BoardFault.ERROR)
    live.stop()
    (error,) = told
    assert "may still be on" in error.message
    assert error.remedy
    instrument.simulated.board.inject(None)


def test_once_closed_the_light_stays_what_it_was(small_profile: Profile) -> None:
    instrument = open_instrument(small_profile)
    assert instrument.simulated is not None
    assert instrument.darken() is None
    instrument.simulated.board.inject(BoardFault.ERROR)
    problem = instrument.close()
    assert problem is not None
    assert instrument.darken() is problem


def test_live_view_pauses_for_a_scan_and_takes_up_its_light_again(
    instrument: Instrument, plan: ExposurePlan, tmp_path: Path
) -> None:
    images: list[Any] = []

    def show(image: Any) -> None:
        images.append(image)
        raise RuntimeError("a broken window does not end the view")

    live = LiveView(instrument, show)
    live.set_pattern(np.full(12, 0.5, np.float32))
    live.start()
    wait_until(lambda: len(images) > 2)
    patterns: list[int] = []
    scan = Scan(
        instrument, plan, tmp_path / "a.h5", instrument.capture_header(plan),
        on_frame=lambda frame: patterns.append(len(images)),
    )  # fmt: skip
    scan.start()
    assert scan.wait(60).reason is FinishReason.COMPLETE
    assert len(set(patterns)) == 1  # no live image while scanning
    count = len(images)
    wait_until(lambda: len(images) > count + 2)
    assert images[-1].mean() > 1000
    live.stop()


def test_live_view_tells_an_unexpected_end(instrument: Instrument, monkeypatch: pytest.MonkeyPatch) -> None:
    errors: list[OperatorError] = []
    live = LiveView(instrument, lambda image: None, errors.append)
    monkeypatch.setattr(instrument.camera, "snap", lambda: 1 / 0)
    live.start()
    wait_until(lambda: bool(errors))
    assert "ZeroDivisionError" in errors[0].message
    assert errors[0].remedy
    assert live.stop(5)


def test_close_tells_when_the_leds_may_be_on(small_profile: Profile) -> None:
    instrument = open_instrument(small_profile)
    assert instrument.simulated is not None
    instrument.simulated.board.inject(BoardFault.UNPLUG)
    problem = instrument.close()
    assert problem is not None
    assert "may still be on" in problem.message


def test_live_view_tells_why_it_ended(instrument: Instrument) -> None:
    errors: list[OperatorError] = []
    live = LiveView(instrument, lambda image: None, errors.append)
    live.start()
    assert instrument.simulated is not None
    instrument.simulated.board.inject(BoardFault.UNPLUG)
    live.set_pattern(np.ones(12, np.float32))
    wait_until(lambda: bool(errors))
    assert isinstance(errors[0], LedArrayError)
    assert "is gone" in errors[0].message
    assert live.stop(5)


def test_a_pulled_plug_is_noticed_without_a_word(instrument: Instrument) -> None:
    assert instrument.check_board() is None
    assert instrument.simulated is not None
    instrument.simulated.board.inject(BoardFault.UNPLUG)
    wait_until(lambda: instrument.check_board() is not None)
    gone = instrument.check_board()
    assert gone is not None
    assert "is gone" in gone.message and gone.remedy
    instrument.close()
    assert instrument.check_board() is None, "closed by the operator, not lost"


def test_a_board_without_power_is_noticed_but_not_asked_during_a_scan(instrument: Instrument) -> None:
    assert instrument.simulated is not None
    instrument.leds.show(np.ones(12, np.float32))
    instrument._greet_at_s = 0.0
    assert instrument.check_board() is None
    assert instrument.simulated.board.brightness().all(), "the light stays as it is"
    instrument.simulated.board.inject(BoardFault.SILENCE)
    assert instrument.check_board() is None, "not asked all the time"
    instrument._greet_at_s = 0.0
    with instrument.turns.scan():
        assert instrument.check_board() is None
    lost = instrument.check_board()
    assert lost is not None
    assert "did not answer" in lost.message and lost.remedy


def test_the_live_view_leaves_no_light_on_while_the_board_is_greeted(instrument: Instrument) -> None:
    assert instrument.simulated is not None
    board = instrument.simulated.board
    images: list[object] = []
    live = LiveView(instrument, images.append)
    live.set_pattern(np.ones(12, np.float32))
    live.start()
    wait_until(lambda: bool(images))
    with instrument.turns.frame(timeout_s=10) as mine:
        assert mine, "whoever asks comes after the frame in hand, however fast the next one is asked for"
        assert not live.stop(0.3), "it waits for its turn"
        assert board.brightness().any()
    assert live.stop(10)
    assert not board.brightness().any()
