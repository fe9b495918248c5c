"""A real reconstruction process is killed, hangs, or leaves rubbish: the window notices, and one click goes on."""

from __future__ import annotations

import logging
import os
import shutil
import signal
from typing import TYPE_CHECKING, Any

import pytest

from gui.going_on import GoingOnOffer
from gui.recon_process import checkpoint_path
from tests.recon.process import checkpoints_often
from tests.recon.simulate import photograph

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gui.main_window import MainWindow

PATIENCE_MS = 90_000

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cells, 64 x 64 pixels, in the light of 19 LEDs."""
    folder = tmp_path_factory.mktemp("captures")
    return photograph("cells", dn_max=0.012).write(folder / "cells.h5", calibrated=True)


@pytest.fixture
def window(qtbot: Any, user_folders: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MainWindow]:
    """The window with a reconstruction process of its own."""
    from gui.instrument_service import InstrumentService
    from gui.log_panel import WindowLogHandler
    from gui.main_window import MainWindow
    from gui.recon_bridge import ReconBridge
    from gui.settings import WindowSettings, settings_path

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr("recon.client._run_worker", checkpoints_often)
    handler = WindowLogHandler()
    logging.getLogger().addHandler(handler)
    settings = WindowSettings(device="cpu", max_seconds=600.0, model="born")
    window = MainWindow(settings, settings_path(), InstrumentService(), ReconBridge(), handler)
    window.show()
    window.bridge.start()
    yield window
    with qtbot.waitSignal(window.ended, timeout=20_000):
        window.end()
    assert not checkpoint_path().exists(), "nothing is left after an orderly end"
    logging.getLogger().removeHandler(handler)
    window.deleteLater()
    window.bridge.deleteLater()


def pid(window: MainWindow) -> int:
    process: Any = window.bridge._process
    found: int = process._session.process.pid
    return found


def test_a_lost_process_is_replaced_and_goes_on(
    window: MainWindow, capture: Path, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gui.recon_bridge.SILENCE_S", 1.5)
    bar, act = window.panels.message, window.actions_by_key
    steps: list[int] = []
    window.bridge.progress.connect(lambda progress: steps.append(progress.step))
    shown: list[int] = []
    window.bridge.picture.connect(lambda answer, image: shown.append(len(steps)))
    window.workflow.reconstruct(capture)
    for number, told in (
        (signal.SIGKILL, "killed, perhaps because the computer's memory ran out"),
        (signal.SIGSTOP, "no sign of life"),
    ):
        first = steps[-1] + 5 if steps else 12
        qtbot.waitUntil(lambda first=first: bool(steps) and steps[-1] > first, timeout=PATIENCE_MS)
        written = checkpoint_path().stat().st_mtime_ns
        qtbot.waitUntil(
            lambda written=written: checkpoint_path().stat().st_mtime_ns > written, timeout=PATIENCE_MS
        )
        os.kill(pid(window), number)
        qtbot.waitUntil(bar.isVisible, timeout=PATIENCE_MS)
        assert told in bar.message.text()
        assert "GB of memory" in bar.message.text()
        assert not act["finish_fit"].isEnabled()
        last = steps[-1]
        steps.clear()
        shown.clear()
        bar.action.click()
        assert not bar.isVisible()
        qtbot.waitUntil(lambda: bool(steps), timeout=PATIENCE_MS)
        assert first < steps[0] <= last + 1
        assert shown and shown[0] == 0, "the field is shown before the fit goes on"
        assert window.bridge.fitting and window.bridge.unsaved
        assert act["finish_fit"].isEnabled()


def test_another_program_goes_on_with_what_one_that_crashed_has_left(
    window: MainWindow, capture: Path, qtbot: Any
) -> None:
    steps: list[int] = []
    window.bridge.progress.connect(lambda progress: steps.append(progress.step))
    window.workflow.reconstruct(capture)
    qtbot.waitUntil(lambda: checkpoint_path().exists() and bool(steps) and steps[-1] > 12, timeout=PATIENCE_MS)
    left = checkpoint_path().with_name("reconstruction-1.field.h5")
    shutil.copy(checkpoint_path(), left)
    window.workflow.discard_fit()
    qtbot.waitUntil(lambda: not checkpoint_path().exists(), timeout=PATIENCE_MS)
    steps.clear()
    offer = GoingOnOffer(window.panels.message, window.workflow)
    with qtbot.waitSignal(offer.found):
        offer.look()
    assert f"{capture.name} was interrupted at step" in window.panels.message.message.text()
    window.panels.message.action.click()
    qtbot.waitUntil(lambda: bool(steps), timeout=PATIENCE_MS)
    assert steps[0] > 5, "what was fitted is not fitted again"
    assert window.bridge.has_field and not left.exists()
