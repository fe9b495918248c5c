"""The clock of a scan: waiting, pausing, resuming and cancelling, without any time passing."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acquisition.scan_control import ScanControl
from tests.acquisition.fake_clock import FakeClock


@given(st.lists(st.tuples(st.sampled_from(["pass", "pause", "resume"]), st.floats(0, 1e3)), max_size=20))
def test_the_clock_stands_still_while_paused(steps: list[tuple[str, float]]) -> None:
    clock = FakeClock()
    control = ScanControl(clock)
    control.begin()
    running_s, paused = 0.0, False
    for step, seconds in steps:
        if step == "pause":
            control.pause()
            paused = True
        elif step == "resume":
            control.resume()
            paused = False
        clock.pass_s(seconds)
        running_s += 0.0 if paused else seconds
        assert control.paused is paused
        assert control.time_s() == pytest.approx(running_s)
    assert control.elapsed_s() == pytest.approx(sum(seconds for _, seconds in steps))


def test_waits_until_due_and_tells_the_time_left() -> None:
    control = ScanControl(FakeClock())
    control.begin()
    told: list[float] = []
    assert control.wait_until(3.5, told.append)
    assert told == pytest.approx([3.5, 2.5, 1.5, 0.5])
    assert control.wait_until(3.0, told.append), "due already: no word, no wait"
    assert len(told) == 4


def test_a_wait_ends_at_once_when_paused_or_cancelled() -> None:
    clock = FakeClock()
    control = ScanControl(clock)
    control.begin()
    assert not control.wait_until(1e6, lambda left_s: control.pause())
    assert control.time_s() == 0
    clock.pass_s(100)
    control.resume()
    assert not control.wait_until(1e6, lambda left_s: control.cancel())
    assert control.time_s() == 0


@pytest.mark.parametrize("end", [ScanControl.resume, ScanControl.cancel])
def test_a_pause_ends_from_another_thread(end: object) -> None:
    control = ScanControl()
    control.begin()
    control.pause()
    waiting = threading.Thread(target=control.wait_while_paused)
    waiting.start()
    assert callable(end)
    end(control)
    waiting.join(10)
    assert not waiting.is_alive()
    assert not control.paused


def test_a_real_wait_is_cut_short_from_another_thread() -> None:
    control = ScanControl()
    control.begin()
    begun, came = threading.Event(), []
    waiting = threading.Thread(target=lambda: came.append(control.wait_until(3600, lambda left_s: begun.set())))
    waiting.start()
    assert begun.wait(10)
    control.cancel()
    waiting.join(10)
    assert came == [False]
