"""A clock that only goes when it is waited for: a time-lapse of hours takes no time."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable


class FakeClock:
    """In place of `acquisition.scan_control.SystemClock`; `on_hold` is called when somebody waits without a limit."""

    def __init__(self, on_hold: Callable[[], None] = lambda: None) -> None:
        self._now_s = 1000.0
        self._on_hold = on_hold

    def now_s(self) -> float:
        return self._now_s

    def pass_s(self, seconds: float) -> None:
        self._now_s += seconds

    def wait(self, changed: threading.Condition, timeout_s: float | None) -> None:
        if timeout_s is None:
            self._on_hold()
        else:
            self._now_s += timeout_s
