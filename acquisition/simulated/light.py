"""What an emulated board has lit, and when: the camera asks for the light of its own exposure."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

_KEPT = 4096  # changes; a camera may read images of a fast sequence long after they were exposed


class Light:
    """The LEDs of a board over time; safe to ask from other threads.

    Attributes
    ----------
    behind
        Lights each pattern only when the next one is asked for: a board that confirms before it switches.
    """

    def __init__(self, led_count: int) -> None:
        self.behind = False
        self._lock = threading.Lock()
        self._line_l = np.arange(led_count)
        self._works_l = np.ones(led_count, bool)
        self._drawn_l = np.zeros(led_count, np.float32)
        self._history: deque[tuple[float, NDArray[np.float32]]] = deque([(-np.inf, self._drawn_l)], maxlen=_KEPT)

    @property
    def led_count(self) -> int:
        """Number of LEDs."""
        return len(self._drawn_l)

    def miswire(self, dead: Iterable[int], swapped: Iterable[tuple[int, int]]) -> None:
        """From the next pattern on some LEDs never light, and those of each pair light in place of each other."""
        line_l, works_l = np.arange(self.led_count), np.ones(self.led_count, bool)
        for one, other in swapped:
            line_l[[one, other]] = line_l[[other, one]]
        works_l[list(dead)] = False
        with self._lock:
            self._line_l, self._works_l = line_l, works_l

    def show(self, lit_l: NDArray[np.float32], at_s: float) -> None:
        """Light this from a time on, (L,) 0 to 1; times never run backwards."""
        with self._lock:
            shown_l, self._drawn_l = (self._drawn_l if self.behind else lit_l), lit_l
            self._history.append((at_s, shown_l[self._line_l] * self._works_l))

    def now(self) -> NDArray[np.float32]:
        """Light of each LED since the last change, (L,), 0 to 1."""
        with self._lock:
            return self._history[-1][1]

    def mean(self, start_s: float, end_s: float) -> NDArray[np.float32]:
        """Mean light of each LED, (L,), between two times: what an exposure gathers."""
        with self._lock:
            history = list(self._history)
        total_l = np.zeros(self.led_count, np.float64)
        until = max(end_s, start_s + 1e-9)
        for since, lit_l in reversed(history):
            begin = max(since, start_s)
            if begin < until:
                total_l += lit_l * (until - begin)
                until = begin
            if since <= start_s:
                break
        return (total_l / (max(end_s, start_s + 1e-9) - start_s)).astype(np.float32)
