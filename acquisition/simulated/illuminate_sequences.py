"""Sequence and trigger commands of the emulated illuminate firmwares, one class for each generation.

From the firmware's ledarray.cpp and ledsequence.h (github.com/sci-microscopy/illuminate).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from acquisition.simulated.illuminate_commands import (
    ARGUMENT_COUNT,
    ARGUMENT_RANGE,
    END_OF_SEQUENCE,
    ERROR_TEXT,
    INTERRUPTED,
    INVALID_ARGUMENT,
    NO_MEMORY,
    SEQUENCE_DELAY,
    SEQUENCE_FULL,
    TRIGGER_TIMEOUT,
    RefusedError,
    StartedError,
    integer,
    number,
)
from acquisition.simulated.sequencer import SequenceEnd, Sequencer, StoredSequence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from acquisition.simulated.illuminate_commands import Lamp

_MIN_DELAY_MS, _MAX_DELAY_MS = 5, 60_000
_ROOM = 4096  # patterns that the memory holds
_OLD_TIMEOUT_S = 1.0


class _Store:
    """Patterns that were sent, as parts of the brightness set when they are shown."""

    def __init__(self, led_count: int) -> None:
        self._led_count = led_count
        self.length = 0
        self.parts_nl: list[NDArray[np.float32]] = []

    def allocate(self, words: list[str]) -> None:
        """Make room, which forgets what is stored."""
        length = number(words[0]) % 65536
        if length > _ROOM:
            raise RefusedError(NO_MEMORY)
        self.length, self.parts_nl = length, []

    def append(self, leds: Iterable[int], parts: float | list[float]) -> None:
        """Store one pattern more."""
        leds = list(leds)
        if not all(0 <= led < self._led_count for led in leds):
            raise RefusedError(ARGUMENT_RANGE)
        if len(self.parts_nl) >= self.length:
            raise RefusedError(SEQUENCE_FULL)
        part_l = np.zeros(self._led_count, np.float32)
        part_l[leds] = parts
        self.parts_nl.append(part_l)

    def printed(self) -> str:
        """The patterns in words."""
        return "".join(
            f"Pattern {index} ({np.count_nonzero(part_l)} leds): {', '.join(map(str, np.flatnonzero(part_l)))}\n"
            for index, part_l in enumerate(self.parts_nl)
        )


class NewSequenceCommands:
    """Generation 2."""

    def __init__(
        self, lamp: Lamp, led_count: int, trigger_count: int, sequencer: Sequencer, clock: Callable[[], float]
    ) -> None:
        self._lamp = lamp
        self._led_count = led_count
        self._trigger_count = trigger_count
        self._sequencer = sequencer
        self._clock = clock
        self._store = _Store(led_count)
        self._input_mode = self._output_mode = 0
        self._timeout_s = 1

    def commands(self) -> dict[str, Callable[[list[str]], str]]:
        """By name."""
        return {
            "ssl": self._length, "ssv": self._value, "pseq": lambda words: self._store.printed(), "rseq": self._run,
            "xseq": lambda words: "", "trinputmode": self._set_input, "troutputmode": self._set_output,
            "trinputtimeout": self._set_timeout, "tr": self._pulse,
        }  # fmt: skip

    def _length(self, words: list[str]) -> str:
        if len(words) > 1:
            raise RefusedError(ARGUMENT_COUNT)
        if words:
            self._store.allocate(words)
        return f"SEQ_LEN.{self._store.length}\n"

    def _value(self, words: list[str]) -> str:
        match words:
            case []:
                raise RefusedError(ARGUMENT_COUNT)
            case ["none"]:
                leds: Iterable[int] = ()
            case ["all"]:
                leds = range(self._led_count)
            case ["range", first, end]:
                leds = range(number(first), number(end))
            case _:
                leds = map(number, words)
        self._store.append(leds, 1.0)
        return ""

    def _set_input(self, words: list[str]) -> str:
        self._input_mode = self._mode(words)
        return f"TRINPUTMODE.{self._input_mode}\n"

    def _set_output(self, words: list[str]) -> str:
        self._output_mode = self._mode(words)
        return f"TROUTPUTMODE.{self._output_mode}\n"

    def _mode(self, words: list[str]) -> int:
        if len(words) != 2:
            raise RefusedError(ARGUMENT_COUNT)
        if number(words[0]) >= self._trigger_count:
            if words[1] == "0":
                return 0
            raise RefusedError(ARGUMENT_RANGE)
        return integer(words[1:], 0, 1)

    def _set_timeout(self, words: list[str]) -> str:
        self._timeout_s = integer(words, 0, 3600)
        return f"TRINPUTTIMEOUT.{self._timeout_s}\n"

    def _pulse(self, words: list[str]) -> str:
        integer(words, 0, self._trigger_count - 1)
        self._sequencer.pulses_s.append(self._clock())
        return ""

    def _run(self, words: list[str]) -> str:
        if len(words) > 2:
            raise RefusedError(INVALID_ARGUMENT)
        delay_ms = number(words[0]) if words else 500
        runs = number(words[1]) if len(words) > 1 else 1
        if 0 < delay_ms < _MIN_DELAY_MS or delay_ms > _MAX_DELAY_MS:
            raise RefusedError(SEQUENCE_DELAY)
        patterns_nl = [part_l * np.float32(self._lamp.light) for part_l in self._store.parts_nl] * runs
        sequence = StoredSequence(
            patterns_nl, delay_ms / 1000, bool(self._input_mode), bool(self._output_mode), self._timeout_s, self._end
        )
        raise StartedError(self._sequencer.start(sequence, self._clock()))

    def _end(self, how: SequenceEnd) -> bytes:
        warning, error = "", TRIGGER_TIMEOUT
        match how:
            case SequenceEnd.SHOWN:
                return b"\n-==-\n"
            case SequenceEnd.NO_TRIGGER:
                warning = f"Exceeding max delay for trigger input 0 ({self._timeout_s:.2f} sec.) "
            case SequenceEnd.INTERRUPTED if self._input_mode:
                warning = "Cancelling on pin 0 due to serial interrupt "
            case SequenceEnd.INTERRUPTED:
                error = INTERRUPTED
        said = f"WARNING (LedArray::wait_for_trigger_state): {warning}\n" if warning else ""
        return f"{said}ERROR[{error}]: {ERROR_TEXT[error]}\n".encode("ascii")


class OldSequenceCommands:
    """Generation 1."""

    def __init__(
        self, lamp: Lamp, led_count: int, trigger_count: int, sequencer: Sequencer, clock: Callable[[], float]
    ) -> None:
        self._lamp = lamp
        self._trigger_count = trigger_count
        self._sequencer = sequencer
        self._clock = clock
        self._store = _Store(led_count)

    def commands(self) -> dict[str, Callable[[list[str]], str]]:
        """By name."""
        return {
            "ssl": self._length, "ssv": self._value, "ssz": self._zeros, "ssbd": self._bit_depth,
            "pseq": lambda words: self._store.printed(), "pseql": lambda words: f"SL.{self._store.length}\n",
            "rseq": self._run, "reseq": lambda words: "",
        }  # fmt: skip

    def _length(self, words: list[str]) -> str:
        if len(words) != 1:
            raise RefusedError(ARGUMENT_COUNT)
        self._store.allocate(words)
        return f"New sequence length is: {self._store.length}\n"

    def _bit_depth(self, words: list[str]) -> str:
        if integer(words, 1, 8) not in (1, 8):
            raise RefusedError(INVALID_ARGUMENT)
        return f"BD.{words[0]}\n"

    def _value(self, words: list[str]) -> str:
        if not words or len(words) % 2:
            raise RefusedError(ARGUMENT_COUNT)
        self._store.append(map(number, words[::2]), [integer([word], 0, 255) / 255 for word in words[1::2]])
        return ""

    def _zeros(self, words: list[str]) -> str:
        for _ in range(integer(words, 0, 65535)):
            if len(self._store.parts_nl) >= self._store.length:
                raise RefusedError(END_OF_SEQUENCE)
            self._store.append((), [])
        return ""

    def _run(self, words: list[str]) -> str:
        if not words:
            raise RefusedError(ARGUMENT_COUNT)
        given = [number(word) for word in words[:6]]
        delay_ms, runs, out, _, waits, _ = given + [10, 1, 0, 0, 0, 0][len(given) :]
        if delay_ms < _MIN_DELAY_MS:
            raise RefusedError(SEQUENCE_DELAY)
        patterns_nl = [part_l * np.float32(self._lamp.light) for part_l in self._store.parts_nl] * runs
        has = bool(self._trigger_count)
        sequence = StoredSequence(
            patterns_nl, delay_ms / 1000, bool(waits) and has, bool(out) and has, _OLD_TIMEOUT_S, self._end
        )
        raise StartedError(self._sequencer.start(sequence, self._clock()))

    @staticmethod
    def _end(how: SequenceEnd) -> bytes:
        match how:
            case SequenceEnd.SHOWN:
                return b"Finished sending sequence.\n-==-\n"
            case SequenceEnd.NO_TRIGGER:
                return b"WARNING (LedArray::waitForTriggerState): Exceeding max delay for trigger input 0\n-==-\n"
            case SequenceEnd.INTERRUPTED:
                return b"-==-\n"
