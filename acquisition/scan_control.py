"""What the operator tells a running scan, and the clock by which it goes: pause, resume, cancel, wait until due.

The clock of a scan stands still while the scan is paused: a time point that was due in 20 s when the operator paused is
due 20 s after he resumes. Everything here answers at once, also in the middle of a wait.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

_TELL_EVERY_S = 1.0


class Clock(Protocol):
    """Time, and waiting for it; another one lets a time-lapse of hours be tested in no time."""

    def now_s(self) -> float:
        """Seconds since any moment. Called at any time, from any thread."""
        ...

    def wait(self, changed: threading.Condition, timeout_s: float | None) -> None:
        """Wait until `changed` is notified, at most so long. Called with the condition held."""
        ...


class SystemClock:
    """The time of this computer."""

    def now_s(self) -> float:
        """Seconds since any moment."""
        return time.perf_counter()

    def wait(self, changed: threading.Condition, timeout_s: float | None) -> None:
        """Wait until `changed` is notified, at most so long."""
        changed.wait(timeout_s)


class ScanControl:
    """Shared by the thread that scans and those that steer it."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._changed = threading.Condition()
        self._cancelled = False
        self._abandoned = False
        self._paused_at_s: float | None = None
        self._paused_s = 0.0
        self._started_s = self._clock.now_s()

    # --- for who steers -----------------------------------------------------------------------------------------------

    def cancel(self) -> None:
        """End the scan; ends a pause as well."""
        with self._changed:
            self._cancelled = True
            self._changed.notify_all()

    def abandon(self) -> None:
        """End the scan, whose light goes out from now on: the frame in hand may be dark in part."""
        self._abandoned = True
        self.cancel()

    def pause(self) -> None:
        """Hold the scan, and its clock from now on; a second one changes nothing."""
        with self._changed:
            if self._paused_at_s is None:
                self._paused_at_s = self._clock.now_s()
            self._changed.notify_all()

    def resume(self) -> None:
        """Go on; without a pause nothing happens."""
        with self._changed:
            if self._paused_at_s is not None:
                self._paused_s += self._clock.now_s() - self._paused_at_s
                self._paused_at_s = None
            self._changed.notify_all()

    # --- for who scans ------------------------------------------------------------------------------------------------

    @property
    def cancelled(self) -> bool:
        """Whether the scan is to end."""
        return self._cancelled

    @property
    def abandoned(self) -> bool:
        """Whether a frame that comes now may have been exposed without its light."""
        return self._abandoned

    @property
    def paused(self) -> bool:
        """Whether the scan is to hold; never once it is cancelled."""
        return self._paused_at_s is not None and not self._cancelled

    def begin(self) -> None:
        """Start the clock; a pause from before holds."""
        with self._changed:
            self._started_s, self._paused_s = self._clock.now_s(), 0.0
            if self._paused_at_s is not None:
                self._paused_at_s = self._started_s

    def elapsed_s(self) -> float:
        """Seconds since the start, pauses included."""
        return self._clock.now_s() - self._started_s

    def time_s(self) -> float:
        """Seconds on the scan's own clock: since the start, without the pauses."""
        with self._changed:
            return self._time_s()

    def _time_s(self) -> float:
        now_s = self._clock.now_s() if self._paused_at_s is None else self._paused_at_s
        return now_s - self._started_s - self._paused_s

    def wait_while_paused(self) -> None:
        """Return when the scan may go on, or is cancelled."""
        with self._changed:
            while self.paused:
                self._clock.wait(self._changed, None)

    def wait_until(self, due_s: float, tell: Callable[[float], None]) -> bool:
        """Wait for a time of the scan's clock.

        Parameters
        ----------
        due_s
            Time to wait for.
        tell
            Called about once a second with the seconds left.

        Returns
        -------
        Whether it has come; False: the scan was paused or cancelled before.
        """
        while True:
            with self._changed:
                if self.paused or self._cancelled:
                    return False
                left_s = due_s - self._time_s()
                if left_s <= 0:
                    return True
            tell(left_s)
            with self._changed:
                if not (self.paused or self._cancelled):
                    self._clock.wait(self._changed, min(left_s, _TELL_EVERY_S))
