"""Watches how long the window's thread is busy, or kept waiting, between two turns of its event loop, and with what.

A timer beats on that thread; another thread looks at it from outside, and when a beat is late, at what that thread is
doing. Three things are told apart: what the thread computes itself; what it waits for a processor, because the computer
has more to do than processors (Linux tells); and the rest, which it waits for the disk, or for the interpreter that
another thread has hold of. The second says nothing of this program.
"""

from __future__ import annotations

import faulthandler
import logging
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from PySide6.QtCore import QObject, Qt, QTimer

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Gap:
    """One turn of the event loop that took long.

    Attributes
    ----------
    during
        What was going on, as `Watchdog.during` said.
    wall_ms, cpu_ms, queued_ms
        How long it took, how much of that the thread has computed, and waited for a processor.
    stack
        Where it was when the limit had passed; empty where nobody could look, for the interpreter was held.
    """

    during: str
    wall_ms: float
    cpu_ms: float
    queued_ms: float
    stack: str


class Watchdog(QObject):
    """Made and stopped on the window's thread.

    Parameters
    ----------
    limit_ms
        Turns that take longer are logged, and kept in `gaps`.
    beat_ms
        Distance of the beats: what a gap may be too short by.

    Attributes
    ----------
    during
        Set by whoever wants to find it in the gaps.
    gaps
        Those above the limit, the last hundred.
    longest_wall_ms, longest_own_ms, longest_cpu_ms
        Of all turns since the last `reset`: by the clock, without what was waited for a processor, and computing.
    """

    def __init__(self, limit_ms: float = 50.0, beat_ms: int = 5, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.limit_ms = limit_ms
        self.during = ""
        self.gaps: list[Gap] = []
        self._stack = ""
        self._main = threading.get_ident()
        self._schedule = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat")
        self.reset()
        self._timer = QTimer(self)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(beat_ms)
        self._timer.timeout.connect(self._beat)
        self._timer.start()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._look, args=(beat_ms / 1000,), name="watchdog", daemon=True)
        self._thread.start()

    def reset(self) -> None:
        """Forget the longest turns; the one under way counts from now on."""
        self.longest_wall_ms = self.longest_own_ms = self.longest_cpu_ms = 0.0
        self._start_turn()

    def _start_turn(self) -> None:
        self._queued_s, self._cpu_s, self._beaten_s = self._waited_s(), time.thread_time(), time.perf_counter()

    def _waited_s(self) -> float:
        """How long the thread has waited for a processor so far; 0 where the system does not tell."""
        try:
            return int(self._schedule.read_bytes().split()[1]) / 1e9
        except (OSError, IndexError, ValueError):
            return 0.0

    def stop(self) -> None:
        """End."""
        self._timer.stop()
        self._stopped.set()
        self._thread.join()

    def _beat(self) -> None:
        wall_ms = 1000 * (time.perf_counter() - self._beaten_s) - self._timer.interval()
        cpu_ms = 1000 * (time.thread_time() - self._cpu_s)
        queued_ms = 1000 * (self._waited_s() - self._queued_s)
        self.longest_wall_ms = max(self.longest_wall_ms, wall_ms)
        self.longest_own_ms = max(self.longest_own_ms, wall_ms - queued_ms)
        self.longest_cpu_ms = max(self.longest_cpu_ms, cpu_ms)
        if wall_ms > self.limit_ms:
            gap = Gap(self.during, wall_ms, cpu_ms, queued_ms, self._stack)
            self.gaps = [*self.gaps[-99:], gap]
            log.warning(
                "The window stood still for %.0f ms: %.0f computing, %.0f waiting for a processor.\n%s",
                wall_ms, cpu_ms, queued_ms, gap.stack,
            )  # fmt: skip
        self._stack = ""
        self._start_turn()

    def _look(self, beat_s: float) -> None:
        while not self._stopped.wait(beat_s):
            late_ms = 1000 * (time.perf_counter() - self._beaten_s)
            if late_ms > self.limit_ms and not self._stack:
                self._stack = self._where()

    def _where(self) -> str:
        """Where the window's thread is.

        Whoever takes hold of a frame keeps what its function has made: a painter would end after its paint event, in
        this thread, and take the window's surface from under the next one. So the interpreter writes it down instead.
        """
        with tempfile.TemporaryFile("w+", encoding="utf-8") as file:
            faulthandler.dump_traceback(file)
            file.seek(0)
            threads = file.read().split("\n\n")
        return next((text for text in threads if f"0x{self._main:016x}" in text.partition("\n")[0]), "")
