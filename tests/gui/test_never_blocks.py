"""Nothing slow happens on the window's thread, whatever the operator does: what that thread computes is measured."""

from __future__ import annotations

import threading
import time
import weakref
from typing import TYPE_CHECKING, Any

from tests.acquisition.conftest import SMALL
from tests.gui import fakes
from tests.gui.every_action import every_action

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from gui.main_window import MainWindow
    from gui.watchdog import Watchdog
    from recon import view_requests

MOST_MS = 150.0
"""Three times what is promised: processors share caches and clock with whatever else the computer does."""


class Elsewhere(fakes.FakeProcess):
    """Answers on a thread of its own, as a process does; captures are fitted and fields opened at once."""

    def _run(self, *call: Any) -> int:
        run = super()._run(*call)
        threading.Thread(target=self.show_field, args=(run,)).start()
        return run

    def answer(self, asked: view_requests.RequestSlice, scale: float = 1.0) -> None:
        threading.Thread(target=super().answer, args=(asked, scale)).start()


def test_every_action_leaves_the_window_free(
    window: MainWindow, watchdog: Watchdog, qtbot: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = tmp_path / "small.toml"
    profile.write_text(SMALL, encoding="utf-8")
    monkeypatch.setattr(window.bridge, "_make_process", Elsewhere)
    window.bridge.start()
    window.workflow.folder = tmp_path
    window.workflow.choose_profile(str(profile))
    took_ms: dict[str, float] = {}

    def note() -> None:
        took_ms[watchdog.during] = watchdog.longest_cpu_ms

    def wait(is_so: Any) -> None:
        qtbot.waitUntil(is_so, timeout=60_000)

    watchdog.during = "start"
    qtbot.wait(50)
    with qtbot.waitSignal(window.ended, timeout=60_000):
        for action in every_action(window, tmp_path / "a.field.h5", wait, qtbot.wait):
            note()
            watchdog.during = action
            watchdog.reset()
    note()
    print({name: round(ms) for name, ms in took_ms.items()})
    assert {name: ms for name, ms in took_ms.items() if ms > MOST_MS and name != "start"} == {}


def test_the_watchdog_tells_computing_from_waiting(watchdog: Watchdog, qtbot: Any) -> None:
    watchdog.during = "waiting"
    time.sleep(0.2)
    qtbot.wait(20)
    watchdog.during = "computing"
    end_s = time.thread_time() + 0.15
    while time.thread_time() < end_s:
        pass
    qtbot.wait(20)
    waiting, computing = (next(g for g in watchdog.gaps if g.during == name) for name in ("waiting", "computing"))
    assert waiting.wall_ms > 190 and waiting.cpu_ms < 100
    assert computing.cpu_ms > 149
    assert "test_the_watchdog" in computing.stack


def test_the_watchdog_keeps_nothing_alive_that_it_has_looked_at(watchdog: Watchdog, qtbot: Any) -> None:
    """A painter that outlives its paint event, and ends in another thread, takes the window down."""

    class Painter:
        """Has an end."""

    def stall() -> weakref.ref[Painter]:
        painter = Painter()
        end_s = time.monotonic() + 0.2
        while time.monotonic() < end_s:
            pass
        return weakref.ref(painter)

    ended = stall()
    assert ended() is None
    qtbot.wait(20)
    assert "in stall" in watchdog.gaps[-1].stack
