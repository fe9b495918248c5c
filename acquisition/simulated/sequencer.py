"""A board that shows stored patterns by itself, by its timer or led by a camera's exposure signal.

For each pattern: light it, send a trigger pulse if asked, wait until the input is high (the camera exposes), wait out
the interval, wait until the input is low again. All times follow from those of the start and of the signal, not from
when somebody looks: `advance` works off what has become due.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from acquisition.simulated.light import Light

_SHORTEST_PULSE_S = 1e-6


class SequenceEnd(Enum):
    """How a sequence has ended."""

    SHOWN = "every pattern was shown"
    INTERRUPTED = "a byte came in"
    NO_TRIGGER = "the trigger input did not change in time"


@dataclass(frozen=True)
class StoredSequence:
    """What is to run.

    Attributes
    ----------
    patterns_nl
        (L,) light 0 to 1 of each pattern.
    interval_s
        Time of each pattern, with triggers the least one.
    waits
        For the trigger input, at most `timeout_s`.
    sends
        A trigger pulse with each pattern.
    on_end
        Called once with how it has ended; returns what the board says then.
    """

    patterns_nl: Sequence[NDArray[np.float32]]
    interval_s: float
    waits: bool
    sends: bool
    timeout_s: float
    on_end: Callable[[SequenceEnd], bytes]


class Sequencer:
    """The timing of one board's sequences; its owner keeps threads apart.

    Attributes
    ----------
    pulses_s
        Times of the trigger pulses sent since its owner last took them out.
    """

    def __init__(self, light: Light) -> None:
        self._light = light
        self._sequence: StoredSequence | None = None
        self._index = 0
        self._since_s = 0.0
        self._interrupted = False
        self._high_s: list[tuple[float, float]] = []  # rise and fall of the input, in order
        self.pulses_s: list[float] = []

    @property
    def running(self) -> bool:
        """Whether a sequence is under way."""
        return self._sequence is not None

    @property
    def waits(self) -> bool:
        """Whether it is led by triggers."""
        return self._sequence is not None and self._sequence.waits

    def start(self, sequence: StoredSequence, now_s: float) -> bytes:
        """Light the first pattern; what the board says if there is none."""
        self._sequence, self._index, self._interrupted = sequence, -1, False
        return self._next(now_s)

    def stop(self) -> None:
        """Forget the sequence: the board has restarted."""
        self._sequence = None

    def trigger(self, rise_s: float, duration_s: float) -> None:
        """The input is high from a time on, for a while."""
        self._high_s.append((rise_s, rise_s + max(duration_s, _SHORTEST_PULSE_S)))

    def interrupt(self, now_s: float) -> bytes:
        """A byte has come: noticed at once while waiting for a trigger, else at the next pattern."""
        if self.waits:
            return self._end(SequenceEnd.INTERRUPTED, now_s)
        self._interrupted = True
        return b""

    @property
    def due_s(self) -> float | None:
        """When something happens next, as far as is known."""
        return None if self._sequence is None else self._step_end(self._sequence)[0]

    def advance(self, now_s: float) -> bytes:
        """Work off what has become due; what the board says."""
        said = b""
        while self._sequence is not None:
            when_s, in_time = self._step_end(self._sequence)
            if when_s > now_s:
                break
            said += self._next(when_s) if in_time else self._end(SequenceEnd.NO_TRIGGER, when_s)
        return said

    def _step_end(self, sequence: StoredSequence) -> tuple[float, bool]:
        """When the pattern's time is over, and whether the trigger has come in time."""
        earliest_s = self._since_s + sequence.interval_s
        if not sequence.waits:
            return earliest_s, True
        self._high_s = [pulse for pulse in self._high_s if pulse[1] > self._since_s]
        latest_s = self._since_s + sequence.timeout_s
        high_s = max(self._high_s[0][0], self._since_s) if self._high_s else np.inf
        if high_s > latest_s:
            return latest_s, False
        end_s = low_from_s = max(high_s, earliest_s)
        for rise_s, fall_s in self._high_s:
            if rise_s <= end_s < fall_s:
                end_s = fall_s
        latest_s = low_from_s + sequence.timeout_s
        return (end_s, True) if end_s <= latest_s else (latest_s, False)

    def _next(self, now_s: float) -> bytes:
        assert self._sequence is not None
        self._index += 1
        self._since_s = now_s
        if self._index >= len(self._sequence.patterns_nl):
            return self._end(SequenceEnd.SHOWN, now_s)
        if self._interrupted:
            return self._end(SequenceEnd.INTERRUPTED, now_s)
        self._light.show(self._sequence.patterns_nl[self._index], now_s)
        if self._sequence.sends:
            self.pulses_s.append(now_s)
        return b""

    def _end(self, how: SequenceEnd, now_s: float) -> bytes:
        sequence, self._sequence = self._sequence, None
        assert sequence is not None
        self._light.show(np.zeros(self._light.led_count, np.float32), now_s)
        return sequence.on_end(how)
