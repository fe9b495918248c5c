"""The commands with which the illuminate firmware stores and shows a sequence, in its two generations.

Generation 2 stores which LEDs a pattern lights, and lights all of them with the brightness set when it runs; triggers
are set by commands of their own. Generation 1 stores a value for each LED; triggers are arguments of the run.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import numpy as np

from acquisition.led_array.illuminate_reply import BUSY, INTERRUPTED, TRIGGER_CABLE, TRIGGER_TIMEOUT, refusal_of
from acquisition.led_array.protocol import Capability, LedArrayError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from acquisition.led_array.illuminate_reply import Reply
    from acquisition.led_array.protocol import BoardInfo, SequenceRun

MAX_SEQUENCE = 65535
"""Patterns: the firmware counts them with 16 bits."""
MIN_INTERVAL_MS, MAX_INTERVAL_MS = 5, 60_000
MAX_ARGUMENTS = 290
"""The firmware takes 300 a line."""

_FULL = 255


class NewSequences:
    """Sequences of generation 2."""

    levels = False
    """Whether LEDs of different brightness can be stored."""
    setup: tuple[str, ...] = ()
    """Commands before the one that sets the length."""
    min_trigger_interval_ms = 0.0
    """For how long a pattern is lit at least, also where a trigger comes sooner."""

    def lines(self, levels_pl: NDArray[np.int_], port: str) -> tuple[int, list[str]]:
        """Brightness with which it is to run, and the command that stores each of patterns (P, L) of levels 0 to 255.

        Raises
        ------
        LedArrayError
            What the firmware cannot store.
        """
        used = np.unique(levels_pl[levels_pl > 0])
        if len(used) > 1:
            raise LedArrayError(
                f"The sequence lights LEDs with {len(used)} different brightnesses ({used[0]} to {used[-1]} of 255); "
                f"the firmware of the LED board on {port} stores which LEDs are lit, not how brightly.",
                "Use patterns of one brightness, or scan with the board switched by the computer (software).",
            )
        return int(used.max(initial=1)), [f"ssv.{_which(np.flatnonzero(row), port)}" for row in levels_pl]

    def run(self, run: SequenceRun) -> list[str]:
        """Commands that arm; the last one starts."""
        trigger = run.advance == "trigger"
        wait = [f"trinputtimeout.{math.ceil(run.trigger_timeout_s)}"] if trigger else []
        return [
            f"trinputmode.0.{trigger:d}",
            f"troutputmode.0.{run.send_trigger:d}",
            *wait,
            f"rseq.{math.ceil(run.interval_ms)}.1",
        ]

    def problem(self, reply: Reply) -> tuple[str, str] | None:
        """Why a run was not shown to its end, in words with a remedy, by the answer that ends it; None: it was."""
        if reply.error == INTERRUPTED or "serial interrupt" in reply.text:
            return _INTERRUPTED
        return _too_late(reply) if reply.error == TRIGGER_TIMEOUT else refusal_of(reply)


class OldSequences:
    """Sequences of generation 1."""

    levels = True
    setup = ("ssbd.8",)  # bits of each value
    min_trigger_interval_ms = float(MIN_INTERVAL_MS)

    def lines(self, levels_pl: NDArray[np.int_], port: str) -> tuple[int, list[str]]:
        """As `NewSequences.lines`; the values are parts of the highest level of all."""
        top = max(int(levels_pl.max(initial=0)), 1)
        values_pl = np.rint(levels_pl * (_FULL / top)).astype(int)
        after = []
        for row in values_pl:
            leds = np.flatnonzero(row).tolist()
            if 2 * len(leds) > MAX_ARGUMENTS:
                raise _too_many(len(leds), MAX_ARGUMENTS // 2, port)
            pairs = _dotted(part for led in leds for part in (led, int(row[led])))
            after.append(f"ssv.{pairs}" if leds else "ssz.1")
        return top, after

    def run(self, run: SequenceRun) -> list[str]:
        """As `NewSequences.run`; the arguments are interval, runs, two outputs, two inputs."""
        interval_ms = max(math.ceil(run.interval_ms), MIN_INTERVAL_MS)
        return [f"rseq.{interval_ms}.1.{run.send_trigger:d}.0.{int(run.advance == 'trigger')}.0"]

    def problem(self, reply: Reply) -> tuple[str, str] | None:
        """As `NewSequences.problem`; the answer to an interrupted run says nothing at all."""
        if "Finished" in reply.text:
            return None
        if reply.warnings and "serial interrupt" not in reply.text:
            return _too_late(reply)
        return refusal_of(reply) or _INTERRUPTED


def stored_length(text: str) -> int | None:
    """How many patterns the board says it has room for: ``SEQ_LEN.5``, ``New sequence length is: 5``."""
    numbers = re.findall(r"\d+", text)
    return int(numbers[-1]) if numbers else None


def check_run(run: SequenceRun, info: BoardInfo, port: str) -> None:
    """Refuse what the board cannot do.

    Raises
    ------
    LedArrayError
        With the value and the limits.
    """
    least = MIN_INTERVAL_MS if run.advance == "timer" else 0
    interval_ms = math.ceil(run.interval_ms)
    if not (interval_ms == least == 0 or MIN_INTERVAL_MS <= interval_ms <= MAX_INTERVAL_MS):
        raise LedArrayError(
            f"Each pattern of the sequence is to be lit for {run.interval_ms:g} ms; the LED board on {port} can do "
            f"{'0, or ' if least == 0 else ''}{MIN_INTERVAL_MS} to {MAX_INTERVAL_MS} ms.",
            "Choose another exposure, or scan with the board switched by the computer (software).",
        )
    for wanted, capability, name in (
        (run.advance == "trigger", Capability.TRIGGER_IN, "input"),
        (run.send_trigger, Capability.TRIGGER_OUT, "output"),
    ):
        if wanted and capability not in info.capabilities:
            raise LedArrayError(
                f"The LED board {info.name} on {port} has no trigger {name}.",
                "Scan with the board switched by the computer (software), which needs no trigger cable.",
            )


_INTERRUPTED = "it was interrupted by another command", BUSY


def _too_late(reply: Reply) -> tuple[str, str]:
    return f"no trigger came in time ({'; '.join(reply.text.splitlines()) or 'no text'})", TRIGGER_CABLE


def _which(leds: NDArray[np.intp], port: str) -> str:
    if not len(leds):
        return "none"
    if len(leds) <= MAX_ARGUMENTS:
        return _dotted(leds)
    if leds[-1] - leds[0] + 1 == len(leds):
        return f"range.{leds[0]}.{leds[-1] + 1}"
    raise _too_many(len(leds), MAX_ARGUMENTS, port)


def _dotted(numbers: Iterable[int]) -> str:
    return ".".join(map(str, numbers))


def _too_many(count: int, limit: int, port: str) -> LedArrayError:
    return LedArrayError(
        f"A pattern of the sequence lights {count} LEDs; the LED board on {port} stores patterns of {limit} at most.",
        "Use patterns of fewer LEDs, or scan with the board switched by the computer (software).",
    )
