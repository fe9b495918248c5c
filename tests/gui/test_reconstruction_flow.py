"""The window as the reconstruction process tells it what happens: finishing, cancelling, dying, hanging."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from gui.recon_process import checkpoint_path, forget_checkpoints
from gui.window_memory import remember
from recon import messages
from tests.gui import fakes

if TYPE_CHECKING:
    from gui.main_window import MainWindow


def progress(run: int, step: int) -> messages.FitProgress:
    return messages.FitProgress(run, step, 0.01 / step, 0.5 / step, 33, float(step), 20.0, 800.0)


@pytest.fixture
def run(window: MainWindow, qtbot) -> int:
    """A stored capture is being fitted and its field is shown."""
    window.files.open(Path("capture.h5"))
    run = window.bridge.run
    assert run is not None
    process = fakes.process_of(window)
    process.show_field(run)
    process.tell(messages.Phase(run, "fitting"))
    process.tell(progress(run, 1))
    qtbot.waitUntil(lambda: window.panels.slices.views["xy"].shown_plane() is not None)
    return run


def test_progress_is_shown(window: MainWindow, run: int, qtbot) -> None:
    fakes.process_of(window).tell(progress(run, 2))
    qtbot.waitUntil(lambda: window.panels.fit.figures["Held-out error"].text() == "0.250")
    assert window.panels.fit.figures["Time left"].text() == "20 s"
    assert window.panels.fit.state.text() == "fitting"
    assert len(window.panels.fit.curves.held_curve.getData()[0]) == 2


def test_finish_keeps_cancel_discards(window: MainWindow, run: int, qtbot) -> None:
    act = window.actions_by_key
    assert act["finish_fit"].isEnabled()
    assert act["cancel_fit"].isEnabled()
    assert act["save_field"].isEnabled()
    window.panels.fit.finish_button.click()
    assert fakes.process_of(window).calls[-1] == ("finish_now", run)
    fakes.process_of(window).tell(messages.Finished(run, "finished by the operator", 0.3, 12.0, 40, 2_000_000))
    qtbot.waitUntil(lambda: not act["finish_fit"].isEnabled())
    assert act["save_field"].isEnabled()
    assert window.panels.slices.views["xy"].shown_plane() is not None
    assert "2.0 MB" in window.panels.fit.detail.text()

    window.workflow.reconstruct_again()
    second = window.bridge.run
    fakes.process_of(window).show_field(second or 0)
    qtbot.waitUntil(lambda: window.panels.slices.views["xy"].shown_plane() is not None)
    window.panels.fit.discard_button.click()
    assert fakes.process_of(window).calls[-1] == ("cancel", second)
    assert window.bridge.run is None
    assert window.panels.slices.views["xy"].shown_plane() is None
    assert not act["cancel_fit"].isEnabled()
    assert act["fit_again"].isEnabled()


def test_messages_of_another_run_change_nothing(window: MainWindow, run: int, qtbot) -> None:
    fakes.process_of(window).tell(messages.Finished(run + 7, "converged", 0.1, 1.0, 1, 1))
    fakes.process_of(window).tell(messages.Failed(run + 7, "old trouble", "none"))
    qtbot.wait(30)
    assert window.bridge.fitting
    assert not window.panels.message.isVisible()


def test_a_failed_run_is_told_with_its_remedy(window: MainWindow, run: int, qtbot) -> None:
    fakes.process_of(window).tell(messages.Failed(run, "The loss became nan.", "Look for stray light."))
    qtbot.waitUntil(window.panels.message.isVisible)
    assert window.panels.message.message.text() == "The loss became nan."
    assert window.panels.message.remedy.text() == "Look for stray light."
    assert not window.actions_by_key["finish_fit"].isEnabled()
    window.panels.message.dismiss.click()
    assert not window.panels.message.isVisible()


def test_a_dead_process_is_told_and_restarted_with_the_capture(window: MainWindow, run: int, qtbot) -> None:
    dead = fakes.process_of(window)
    dead.is_alive = False
    dead.tell(messages.Failed(-1, "The reconstruction process has ended unexpectedly (signal 9).", ""))
    qtbot.waitUntil(window.panels.message.isVisible)
    assert "signal 9" in window.panels.message.message.text()
    assert window.panels.message.action.text() == "Restart"
    window.panels.message.action.click()
    assert fakes.process_of(window) is not dead
    assert fakes.process_of(window).calls[0][:3] == ("resume", "capture.h5", False)
    dead.tell(messages.Failed(-1, "late news of the dead", ""))
    qtbot.wait(30)
    assert not window.panels.message.isVisible()


def test_a_hang_is_noticed_and_forgiven(window: MainWindow, run: int, qtbot, monkeypatch: pytest.MonkeyPatch) -> None:
    fakes.process_of(window).tell(progress(run, 2))
    qtbot.wait(20)
    later = time.monotonic() + 6.0
    with monkeypatch.context() as patch:
        patch.setattr("gui.recon_bridge.time.monotonic", lambda: later)
        window.bridge._look()
    assert "no sign of life" in window.panels.message.message.text()
    assert not window.actions_by_key["finish_fit"].isEnabled()
    fakes.process_of(window).tell(messages.Heartbeat(0.0, 1.0))
    qtbot.wait(20)
    window.bridge._look()
    assert not window.panels.message.isVisible()
    assert window.actions_by_key["finish_fit"].isEnabled()


def test_long_first_steps_are_no_hang(window: MainWindow, run: int, qtbot, monkeypatch: pytest.MonkeyPatch) -> None:
    fakes.process_of(window).tell(messages.Phase(run, "first volume"))
    qtbot.wait(20)
    later = time.monotonic() + 40.0
    monkeypatch.setattr("gui.recon_bridge.time.monotonic", lambda: later)
    window.bridge._look()
    assert not window.panels.message.isVisible()


def test_uncaught_exceptions_are_shown_and_the_window_goes_on(
    window: MainWindow, qtbot, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gui.app import install_exception_hooks

    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr("threading.excepthook", None)
    install_exception_hooks(window)
    try:
        raise RuntimeError("a bug")
    except RuntimeError as error:
        sys.excepthook(type(error), error, error.__traceback__)
    qtbot.waitUntil(window.panels.message.isVisible)
    assert "a bug" in window.panels.message.message.text()


def test_a_wrong_profile_is_told_and_the_last_one_stays(window: MainWindow, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text('name = "x"\ntitle = 3\n')
    before = window.workflow.profile
    window.workflow.choose_profile(str(wrong))
    assert window.workflow.profile is before
    assert window.panels.instrument.fault.isVisible()
    assert "title" in window.panels.instrument.fault_text.text()
    window.workflow.choose_profile("aidt_ring24")
    assert window.panels.instrument.profile.currentText() == "aidt_ring24"
    assert not window.panels.instrument.fault.isVisible()


def test_f8_works_after_the_process_was_lost(window: MainWindow, run: int, qtbot) -> None:
    dead = fakes.process_of(window)
    dead.is_alive = False
    dead.tell(messages.Failed(-1, "The reconstruction process has ended unexpectedly (signal 9).", ""))
    qtbot.waitUntil(window.panels.message.isVisible)
    window.actions_by_key["fit_again"].trigger()
    assert fakes.process_of(window) is not dead
    assert fakes.process_of(window).calls[0][:2] == ("start_stored", "capture.h5")


def test_a_scan_goes_on_with_a_new_process(window: MainWindow, tmp_path: Path, qtbot) -> None:
    flow = window.workflow
    flow._live_run = window.bridge.start_live(None, window.panels.fit.settings(), "a.h5")  # type: ignore[arg-type]
    flow.capture_path = tmp_path / "a.h5"
    nothing = lambda *_: None  # noqa: E731
    window.service._scan = SimpleNamespace(cancel=nothing, wait=nothing, abandon=nothing)  # type: ignore[assignment]
    dead = fakes.process_of(window)
    dead.is_alive = False
    dead.tell(messages.Failed(-1, "The reconstruction process has ended unexpectedly (signal 9).", ""))
    qtbot.waitUntil(window.panels.message.isVisible)
    window.panels.message.action.click()
    resumed = fakes.process_of(window)
    assert resumed.calls == [("resume", f"{tmp_path / 'a.h5.part'}", True, 1)]
    assert flow._live_run == window.bridge.run == 1
    assert window.service.scanning


def test_what_the_process_logs_comes_into_the_windows_log(window: MainWindow, run: int, qtbot) -> None:
    fakes.process_of(window).tell(messages.LogLine(30, "recon.fit", "odd numbers"))
    qtbot.waitUntil(lambda: "reconstruction.recon.fit: odd numbers" in window.log_panel.text.toPlainText())


def test_what_would_be_lost_is_known(window: MainWindow, run: int, qtbot) -> None:
    bridge, process = window.bridge, fakes.process_of(window)
    assert bridge.unsaved
    process.tell(messages.Saved(run, "a.field.h5", 1))
    qtbot.waitUntil(lambda: not bridge.unsaved)
    process.tell(progress(run, 2))
    qtbot.waitUntil(lambda: bridge.unsaved, timeout=1000)
    process.tell(messages.Finished(run, "converged", 0.3, 12.0, 40, 2_000_000))
    process.tell(messages.Saved(run, "a.field.h5", 1))
    qtbot.waitUntil(lambda: not bridge.unsaved)
    window.workflow.open_field(Path("b.field.h5"))
    process.show_field(bridge.run or 0)
    process.tell(messages.Finished(bridge.run or 0, "opened from file", 0.3, 12.0, 40, 2_000_000))
    qtbot.waitUntil(lambda: not bridge.fitting and bridge.has_field)
    assert not bridge.unsaved


def test_the_share_of_pictures_is_told_to_every_process_and_remembered(window: MainWindow, run: int, qtbot) -> None:
    share = window.panels.fit.view_share
    share.setValue(70)
    assert fakes.process_of(window).view_budgets == [0.7]
    assert "70 %" in window.panels.fit.view_share_text.text()
    window.bridge.start()
    assert fakes.process_of(window).view_budgets == [0.7]
    remember(window)
    assert window.settings.view_percent == 70


def test_checkpoints_of_killed_windows_are_removed_in_the_end(user_folders: Path) -> None:
    own = checkpoint_path()
    own.parent.mkdir(parents=True)
    old, recent = (own.with_name(f"reconstruction-{number}.field.h5") for number in (1, 2))
    for path in (own, old, recent):
        path.write_bytes(b"")
    os.utime(old, (0, 0))
    forget_checkpoints()
    assert list(own.parent.iterdir()) == [recent]
    forget_checkpoints()
