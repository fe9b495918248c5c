"""Quitting asks only where something would be lost, and never when the system wants the end."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from PySide6.QtWidgets import QMessageBox, QPushButton

from acquisition.errors import OperatorError
from recon import messages
from tests.gui import fakes

if TYPE_CHECKING:
    from pathlib import Path

    from gui.main_window import MainWindow


def nothing(*_: object) -> None:
    pass


def fitted(window: MainWindow, qtbot: Any, capture: Path) -> int:
    window.workflow.reconstruct(capture)
    run = window.bridge.run
    assert run is not None
    fakes.process_of(window).show_field(run)
    qtbot.waitUntil(lambda: window.bridge.unsaved)
    return run


def question(window: MainWindow) -> QMessageBox | None:
    return window.findChild(QMessageBox, "leave")


def press(window: MainWindow, name: str) -> None:
    box = question(window)
    assert box is not None
    button = box.findChild(QPushButton, name)
    assert button is not None
    button.click()


def test_nothing_is_asked_where_nothing_is_lost(window: MainWindow, qtbot: Any) -> None:
    with qtbot.waitSignal(window.ended):
        window.close()
    assert question(window) is None


def test_a_saved_or_opened_field_is_no_loss(window: MainWindow, qtbot: Any, tmp_path: Path) -> None:
    run = fitted(window, qtbot, tmp_path / "a.h5")
    fakes.process_of(window).tell(messages.Finished(run, "converged", 0.3, 12.0, 40, 2_000_000))
    fakes.process_of(window).tell(messages.Saved(run, "a.field.h5", 1))
    qtbot.waitUntil(lambda: not window.bridge.fitting and not window.bridge.unsaved)
    with qtbot.waitSignal(window.ended):
        window.close()


def test_stay_stays_and_quit_quits(window: MainWindow, qtbot: Any, tmp_path: Path) -> None:
    fitted(window, qtbot, tmp_path / "a.h5")
    window.close()
    window.close()
    box = question(window)
    assert box is not None
    assert "still being fitted" in box.informativeText()
    press(window, "leave_stay")
    assert window.isVisible() and window.bridge.fitting
    qtbot.waitUntil(lambda: question(window) is None)
    window.close()
    with qtbot.waitSignal(window.ended):
        press(window, "leave_quit")
    assert not any(call[0] == "save" for call in fakes.process_of(window).calls)


def test_save_and_quit_waits_for_the_file(window: MainWindow, qtbot: Any, tmp_path: Path) -> None:
    (tmp_path / "a.field.h5").write_text("an earlier one")
    run = fitted(window, qtbot, tmp_path / "a.h5")
    window.close()
    press(window, "leave_save")
    assert fakes.process_of(window).calls[-1] == ("save", str(tmp_path / "a-2.field.h5"), run)
    assert window.isVisible()
    with qtbot.waitSignal(window.ended):
        fakes.process_of(window).tell(messages.Saved(run, str(tmp_path / "a-2.field.h5"), 1))


def test_a_field_that_cannot_be_saved_keeps_the_program(window: MainWindow, qtbot: Any, tmp_path: Path) -> None:
    run = fitted(window, qtbot, tmp_path / "a.h5")
    window.close()
    press(window, "leave_save")
    fakes.process_of(window).tell(messages.Failed(run, "Cannot write.", "Make room.", ends_run=False))
    qtbot.waitUntil(lambda: window.panels.message.message.text() == "Cannot write.")
    assert window.isVisible()
    qtbot.waitUntil(lambda: question(window) is None)
    window.close()
    assert question(window) is not None, "asks again"
    press(window, "leave_stay")


def test_a_scan_is_told(window: MainWindow, qtbot: Any) -> None:
    scan = SimpleNamespace(cancel=nothing, wait=nothing, abandon=nothing)
    window.service._scan = scan  # type: ignore[assignment]
    window.close()
    box = question(window)
    assert box is not None
    assert "stay on disk" in box.informativeText()
    assert box.findChild(QPushButton, "leave_save") is None
    press(window, "leave_stay")


def test_a_fit_without_a_volume_is_told(window: MainWindow, qtbot: Any, tmp_path: Path) -> None:
    window.workflow.reconstruct(tmp_path / "a.h5")
    window.close()
    box = question(window)
    assert box is not None
    assert "no volume yet" in box.informativeText()
    press(window, "leave_stay")


def test_leds_that_stay_on_are_told_once(window: MainWindow, qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    window.service.left_on = OperatorError("The LEDs may still be on: no answer.", "Switch the board off.")
    monkeypatch.setattr(window, "_tell_left_on", lambda problem: pytest.fail("told twice"))
    window.close()
    box = question(window)
    assert box is not None
    assert "Switch the board off." in box.informativeText()
    with qtbot.waitSignal(window.ended):
        press(window, "leave_quit")


@pytest.mark.parametrize("how", ["signal", "session"])
def test_the_system_is_never_asked_back(window: MainWindow, qtbot: Any, tmp_path: Path, how: str) -> None:
    fitted(window, qtbot, tmp_path / "a.h5")
    window.close()
    assert question(window) is not None, "also while the question stands"
    with qtbot.waitSignal(window.ended):
        if how == "signal":
            window.end()
        else:
            window.expect_end()
            window.close()
