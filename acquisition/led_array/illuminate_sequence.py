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

    def lines(self, levels_pl: NDArray[np.int_], port: str) -> tuple[list[str], list[str]]:
        """Commands that come first, and the one that stores each pattern, for patterns (P, L) of levels 0 to 255.

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
        before = [f"sb.{used[0]}"] if len(used) else []
        return before, [f"ssv.{_which(np.flatnonzero(row), len(row), port)}" for row in levels_pl]

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


class OldSequences:
    """Sequences of generation 1."""

    levels = True

    def lines(self, levels_pl: NDArray[np.int_], port: str) -> tuple[list[str], list[str]]:
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
        return [f"sb.{top}", "ssbd.8"], after

    def run(self, run: SequenceRun) -> list[str]:
        """As `NewSequences.run`; the arguments are interval, runs, two outputs, two inputs."""
        interval_ms = max(math.ceil(run.interval_ms), MIN_INTERVAL_MS)
        return [f"rseq.{interval_ms}.1.{run.send_trigger:d}.0.{int(run.advance == 'trigger')}.0"]


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


def problem_of_run(reply: Reply, old: bool) -> tuple[str, str] | None:
    """Why a sequence was not shown to its end, in words with a remedy, by the answer that ends it; None: it was."""
    interrupted = "it was interrupted by another command", BUSY
    if reply.error in (TRIGGER_TIMEOUT, INTERRUPTED) or (old and reply.warnings):
        if reply.error == INTERRUPTED or "serial interrupt" in reply.text:
            return interrupted
        return f"no trigger came in time ({'; '.join(reply.text.splitlines()) or 'no text'})", TRIGGER_CABLE
    refusal = refusal_of(reply)
    if refusal is None and old and "Finished" not in reply.text:  # generation 1 says no more than that
        return interrupted
    return refusal


def _which(leds: NDArray[np.intp], led_count: int, port: str) -> str:
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
