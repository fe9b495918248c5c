"""How a scan, an instrument and the program end: what is told, what is discarded, and that the light goes off."""

from __future__ import annotations

import signal
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PySide6.QtWidgets import QMessageBox

from acquisition.errors import OperatorError
from acquisition.plan import ExposurePlan
from acquisition.profile import load_profile
from acquisition.scan import FinishReason, ScanState, ScanStatus
from gui.app import close_on_signals
from gui.instrument_service import InstrumentService
from gui.scan_time import FIRST_LIGHT_S, ScanTime
from gui.tasks import Task
from gui.window_memory import remember
from tests.gui import fakes

if TYPE_CHECKING:
    from pathlib import Path

    from gui.main_window import MainWindow

STILL_ON = "The LEDs could not be switched off and may still be on: no answer."


class DeafCamera:
    """An instrument whose board answers at once, and whose live view and camera never end."""

    def __init__(self) -> None:
        self.profile = load_profile("simulated")
        self.released = threading.Event()
        self.dark = 0

    def darken(self) -> None:
        self.dark += 1

    def close(self) -> None:
        self.released.wait(10)

    def stop(self, timeout_s: float | None = None) -> bool:
        return timeout_s is None and self.released.wait(10)


def test_light_goes_off_before_the_camera_answers(qtbot: Any) -> None:
    service, instrument = InstrumentService(), DeafCamera()
    service.instrument = service._live = instrument  # type: ignore[assignment]
    service.shut_down()
    qtbot.waitUntil(lambda: instrument.dark == 1, timeout=1000)
    assert not service.is_stopped
    assert service.longest_exposure_s == instrument.profile.camera.exposure_ms.max / 1000
    service.darken().join(1)
    assert instrument.dark == 2, "once more before the program leaves"
    instrument.released.set()
    qtbot.waitUntil(lambda: service.is_stopped, timeout=2000)


def live_run(window: MainWindow, path: Path) -> tuple[fakes.FakeProcess, int]:
    """A scan is under way and its frames are being fitted."""
    flow, bridge = window.workflow, window.bridge
    run = bridge.start_live(None, window.panels.fit.settings(), path.name)  # type: ignore[arg-type]
    assert run is not None
    flow._live_run, flow.capture_path = run, path
    flow.live_image.set_wanted(False)
    nothing = lambda *_: None  # noqa: E731
    window.service._scan = SimpleNamespace(cancel=nothing, wait=nothing, abandon=nothing)  # type: ignore[assignment]
    process = bridge._process
    assert isinstance(process, fakes.FakeProcess)
    return process, run


class FakeScan:
    """Is paused and resumed, and does nothing else."""

    def __init__(self) -> None:
        self.paused = False

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    def cancel(self) -> None:
        pass

    def abandon(self) -> None:
        pass

    def wait(self, *_: object) -> None:
        pass


def test_a_scan_is_held_and_goes_on(window: MainWindow, tmp_path: Path, qtbot: Any) -> None:
    live_run(window, tmp_path / "capture.h5")
    acquire, scan = window.panels.acquire, FakeScan()
    window.service._scan = scan  # type: ignore[assignment]
    window._refresh()
    for paused, text in ((True, "Resume"), (False, "Pause")):
        acquire.pause_button.click()
        assert (scan.paused, acquire.pause_button.text()) == (paused, text)
    window.workflow._scan_changed(ScanStatus(ScanState.PAUSED, None, 7, 9))
    assert acquire.state.text() == "paused, 7 of 9"
    acquire.set_paused(True)
    window.workflow._scan_changed(ScanStatus(ScanState.FINISHED, FinishReason.CANCELLED, 7, 9))
    assert acquire.pause_button.text() == "Pause", "the next scan begins without a pause"
    assert not acquire.pause_button.isEnabled()


@pytest.mark.parametrize("reason", [FinishReason.COMPLETE, FinishReason.CANCELLED])
def test_leds_that_stay_on_are_told_after_every_scan(
    window: MainWindow, tmp_path: Path, qtbot: Any, reason: FinishReason
) -> None:
    live_run(window, tmp_path / "capture.h5")
    window.workflow._scan_changed(ScanStatus(ScanState.FINISHED, reason, 7, 9, message=STILL_ON))
    assert window.panels.message.isVisible()
    assert window.panels.message.message.text() == STILL_ON


def test_a_failed_scan_discards_what_was_fitted_to_it(window: MainWindow, tmp_path: Path, qtbot: Any) -> None:
    process, run = live_run(window, tmp_path / "capture.h5")
    process.show_field(run)
    window.bench.show_task(Task.VIEW)
    qtbot.waitUntil(lambda: window.panels.slices.views["xy"].shown_plane() is not None)
    window.workflow._scan_changed(ScanStatus(ScanState.FINISHED, FinishReason.FAILED, 9, 9, message="out of step"))
    assert process.calls[-1] == ("cancel", run)
    assert window.panels.slices.views["xy"].shown_plane() is None
    assert "may not belong" in window.panels.fit.detail.text()
    assert window.panels.message.message.text() == "out of step"
    assert not window.actions_by_key["save_field"].isEnabled()


def test_the_profile_is_locked_while_connecting(window: MainWindow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window.service, "open", lambda profile: None)
    before = window.workflow.profile
    window.workflow.connect_instrument()
    assert not window.panels.instrument.profile.isEnabled()
    window.workflow.choose_profile("aidt_ring24")
    assert window.workflow.profile is before
    window.workflow._open_failed(OperatorError("no board", "Plug it in."))
    assert window.panels.instrument.profile.isEnabled()


def test_the_first_scan_of_a_simulation_computes() -> None:
    patterns_pl = np.eye(4, dtype=np.float32)[:3]
    plan = ExposurePlan("ring", patterns_pl, np.array([-1, 0, 1, 2], np.int32), np.full(3, 10.0), settle_ms=0)
    camera = SimpleNamespace(image_shape=(512, 256))
    instrument: Any = SimpleNamespace(profile=load_profile("simulated"), camera=camera, led_na_l2=np.zeros((4, 2)))
    times = ScanTime(instrument)
    first_s = times.estimate_s(plan)
    assert first_s == pytest.approx(plan.duration_s(30.0) + 3 * 2 * FIRST_LIGHT_S)
    times.learn(plan, first_s)
    assert times.estimate_s(plan) == pytest.approx(plan.duration_s(30.0))


def test_the_program_ends_when_it_was_read_that_leds_may_be_on(window: MainWindow, qtbot: Any) -> None:
    ended: list[bool] = []
    window.ended.connect(lambda: ended.append(True))
    window._tell_left_on(OperatorError("The LEDs may still be on: no answer.", "Switch the board off."))
    box = window._last_word
    assert isinstance(box, QMessageBox)
    assert (box.text(), box.informativeText()) == ("The LEDs may still be on: no answer.", "Switch the board off.")
    assert not ended
    box.accept()
    assert ended == [True]


@pytest.mark.parametrize("told", [OperatorError("The LEDs may still be on.", "Switch the board off."), None])
def test_what_darkening_could_not_do_is_remembered(told: OperatorError | None, qtbot: Any) -> None:
    service = InstrumentService()
    service.instrument = SimpleNamespace(darken=lambda: told)  # type: ignore[assignment]
    service.darken().join()
    assert service.left_on is told
    service.instrument = None
    service.shut_down()
    qtbot.waitUntil(lambda: service.is_stopped)


def test_a_closed_terminal_closes_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    handlers: dict[int, Any] = {}
    closed: list[bool] = []
    monkeypatch.setattr(signal, "signal", handlers.__setitem__)
    close_on_signals(SimpleNamespace(end=lambda: closed.append(True)))  # type: ignore[arg-type]
    handlers[signal.SIGHUP if hasattr(signal, "SIGHUP") else signal.SIGBREAK](0, None)
    assert closed == [True]


def test_the_model_is_chosen_and_remembered(window: MainWindow) -> None:
    fit = window.panels.fit
    assert fit.settings().model == "auto"
    fit.model.setCurrentIndex(fit.model.findData("ssnp"))
    assert fit.settings().model == "ssnp"
    remember(window)
    assert window.settings.model == "ssnp"
