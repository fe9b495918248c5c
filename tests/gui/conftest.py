"""Window tests run offscreen with settings, log and documents in a folder of their own."""

from __future__ import annotations

import os

os.environ.pop("DISPLAY", None)  # offscreen with a display set, GL aborts
os.environ["QT_QPA_PLATFORM"] = "offscreen"

import logging
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gui.main_window import MainWindow
    from gui.watchdog import Watchdog


@pytest.fixture
def user_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Settings, log and documents of a user that exists for this test only."""
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_DOCUMENTS_DIR", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    return tmp_path


@pytest.fixture
def window(qtbot: Any, user_folders: Path) -> Iterator[MainWindow]:
    """The window on a fake reconstruction process; no instrument is opened before a test asks for it."""
    from gui.instrument_service import InstrumentService
    from gui.log_panel import WindowLogHandler
    from gui.main_window import MainWindow
    from gui.recon_bridge import ReconBridge
    from gui.settings import WindowSettings, settings_path
    from tests.gui.fakes import FakeProcess

    handler = WindowLogHandler()
    logging.getLogger().addHandler(handler)
    bridge = ReconBridge(make_process=FakeProcess)
    window = MainWindow(WindowSettings(), settings_path(), InstrumentService(), bridge, handler)
    window.resize(1400, 900)
    window.show()
    bridge.start()
    ended: list[bool] = []
    window.ended.connect(lambda: ended.append(True))
    yield window
    if not ended:
        with qtbot.waitSignal(window.ended, timeout=10_000):
            window.end()
    logging.getLogger().removeHandler(handler)
    window.deleteLater()
    bridge.deleteLater()


@pytest.fixture
def watchdog(qtbot: Any) -> Iterator[Watchdog]:
    """Watches how long the window's thread is busy between two turns of its event loop."""
    from gui.watchdog import Watchdog

    watchdog = Watchdog()
    yield watchdog
    watchdog.stop()
