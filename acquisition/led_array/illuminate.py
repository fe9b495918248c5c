"""LED boards with the illuminate firmware (github.com/sci-microscopy/illuminate), generations 2.x and 1.x.

A command is one line, `name.argument.argument`; arguments are whole numbers. Any byte ends a sequence that runs, and
while the board waits for a trigger it swallows that byte: whoever stops a sequence repeats it until the board answers.
"""

from __future__ import annotations

import json
import logging
import re
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from acquisition.led_array.dialogue import Dialogue, shortened
from acquisition.led_array.illuminate_reply import Reply, cut_replies, refusal_of
from acquisition.led_array.illuminate_sequence import (
    MAX_ARGUMENTS,
    MAX_SEQUENCE,
    MIN_INTERVAL_MS,
    NewSequences,
    OldSequences,
    check_run,
    stored_length,
)
from acquisition.led_array.patterns import RGB, levels_of
from acquisition.led_array.protocol import BoardInfo, Capability, LedArrayError
from acquisition.led_array.serial_line import SerialLine, find_port

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from acquisition.led_array.protocol import SequenceRun

_log = logging.getLogger(__name__)

USB_IDS = ((0x16C0, 0x0483),)
"""Teensy boards, serial mode."""

_VERSION = re.compile(r"\d+(\.\d+)*")
_ASK_VERSION_TIMES = 4  # opening the port may restart the board, which takes a second or two
_REFUSES_WITHIN_S = 0.05
_STOP_AGAIN_S = 0.2


@dataclass
class _Running:
    """A sequence on the board, and the answer that has ended it."""

    settings: SequenceRun
    reply: Reply | None = None


class IlluminateBoard:
    """An LED board that speaks the illuminate protocol (see `acquisition.led_array.protocol.LedArray`).

    Parameters
    ----------
    port
        Device name, pyserial URL, or ``auto``: the only port with the USB identity of a Teensy.
    baud
        Bits per second; boards on USB ignore it.
    brightness
        Firmware brightness, 1 to 255, that a pattern value of 1 stands for.
    color
        Red, green and blue, 0 to 255; None: as the board has it.
    reply_timeout_s
        Silence longer than this is an error.
    """

    def __init__(
        self,
        port: str,
        baud: int = 115200,
        brightness: int = 255,
        color: RGB | None = None,
        reply_timeout_s: float = 2.0,
    ) -> None:
        self._line = SerialLine(find_port(USB_IDS) if port == "auto" else port, baud)
        self._talk: Dialogue[Reply] = Dialogue(self._line, cut_replies, reply_timeout_s, "the illuminate firmware")
        self._brightness = brightness
        self._color = color
        self._timeout_s = reply_timeout_s
        self._lock = threading.RLock()  # `off` may come from another thread
        self._sent_level: int | None = None
        self._clears: bool | None = None  # whether a pattern replaces the one before (the firmware's autoclear)
        self._info: BoardInfo | None = None
        self._sequences: NewSequences | OldSequences = NewSequences()
        self._stored = self._stored_level = 0
        self._running: _Running | None = None

    @property
    def port(self) -> str:
        """Name of the open port."""
        return self._line.port

    def command(self, line: str, times: int = 1) -> str:
        """Send one command and wait for its answer; ask so many `times` when nothing comes.

        Returns
        -------
        str
            The text before the terminator.

        Raises
        ------
        LedArrayError
            Refused by the board (in words, with remedy), no answer in time, the line is lost, or a sequence runs, which
            the command would end.
        """
        with self._lock:
            self._check_idle(line)
            if self._talk.in_doubt:
                self._sent_level = self._clears = None  # nor is it known what the board has kept
            reply = self._talk.ask(line.encode("ascii") + b"\n", times=times)
        refusal = refusal_of(reply)
        if refusal is not None:
            words, remedy = refusal
            raise LedArrayError(f"The LED board on {self.port} refused '{shortened(line)}': {words}.", remedy)
        for warning in reply.warnings:
            _log.warning("LED board on %s: %s", self.port, warning)
        return reply.text

    def _check_idle(self, line: str) -> None:
        if self._running is not None:
            raise LedArrayError(
                f"A sequence runs on the LED board on {self.port}: '{shortened(line)}' would end it.",
                "Wait for its end, or stop it.",
            )

    # --- who it is ------------------------------------------------------------------------------------------------

    def identify(self) -> BoardInfo:
        """Ask version and properties, switch to short answers and set the colour."""
        with self._lock:
            self._stored, self._running = 0, None
            version = self._ask_version()
            old = version.startswith("1.")
            self._sequences = OldSequences() if old else NewSequences()
            if not old:
                self.command("machine")
            properties = self._ask_json("pp" if old else "pprops")
            try:
                self._info = self._described(version, properties)
            except (KeyError, TypeError, ValueError) as error:
                raise self._garbled("its properties", json.dumps(properties)) from error
            self._set_clears(True)
            self._set_color(self._info)
            return self._info

    def _described(self, version: str, properties: dict[str, Any]) -> BoardInfo:
        colors = tuple(str(name) for name in properties.get("color_channels", ()))
        can = Capability.POSITIONS | Capability.LEVELS | Capability.SEQUENCE
        for there_is, capability in (
            (len(colors) > 1, Capability.COLOR),
            (self._sequences.levels, Capability.SEQUENCE_LEVELS),
            (properties.get("trigger_input_count"), Capability.TRIGGER_IN),
            (properties.get("trigger_output_count"), Capability.TRIGGER_OUT),
        ):
            if there_is:
                can |= capability
        return BoardInfo(
            name=str(properties["device_name"]),
            firmware=version,
            led_count=int(properties["led_count"]),
            serial_number=str(properties.get("serial_number", "")),
            color_channels=colors,
            capabilities=can,
            max_sequence=MAX_SEQUENCE,
            min_interval_ms=MIN_INTERVAL_MS,
            min_trigger_interval_ms=self._sequences.min_trigger_interval_ms,
        )

    def _set_color(self, info: BoardInfo) -> None:
        if self._color is None:
            return
        if Capability.COLOR not in info.capabilities:
            raise LedArrayError(
                f"The profile asks for a colour, the LEDs of {info.name} on {self.port} have one only"
                f"{f' ({info.color_channels[0]})' if info.color_channels else ''}.",
                "Take led_board.color out of the hardware profile.",
            )
        self._sent_level = None
        self.command("sc." + ".".join(map(str, self._color)))

    def _ask_version(self) -> str:
        self._talk.send(b"\n")  # ends a sequence that an earlier program has left
        self._talk.in_doubt = True
        text = self.command("version", times=_ASK_VERSION_TIMES)
        lines = text.splitlines()
        if not lines or not _VERSION.fullmatch(lines[-1].strip()):
            raise self._garbled("its version", text)
        return lines[-1].strip()

    def _ask_json(self, line: str) -> dict[str, Any]:
        text = self.command(line)
        try:
            answer = json.loads(text)
        except ValueError as error:
            raise self._garbled(line, text) from error
        if not isinstance(answer, dict):
            raise self._garbled(line, text)
        return answer

    def _garbled(self, what: str, text: str) -> LedArrayError:
        return LedArrayError(
            f"The device on {self.port} answers {what} with {shortened(text)!r}: not the illuminate protocol.",
            "Check that led_board.port is the LED board; a poor cable or hub also garbles answers.",
        )

    def positions_mm(self) -> NDArray[np.float64]:
        """Positions from the board, (L, 3), millimetres, in the order of the LED numbers."""
        table = self._ask_json("pledpos").get("led_position_list_cartesian")
        try:
            ordered = [table[str(number)] for number in range(len(table))]  # type: ignore[index,arg-type]
            positions = np.array(ordered, dtype=np.float64).reshape(-1, 3)
        except (KeyError, TypeError, ValueError) as error:
            raise self._garbled("its LED positions", str(table)) from error
        if not np.isfinite(positions).all() or positions.shape[0] == 0:
            raise self._garbled("its LED positions", str(table))
        return positions

    # --- light ------------------------------------------------------------------------------------------------------

    def show(self, brightness_l: NDArray[np.float32]) -> None:
        """Light a pattern: one command where all its LEDs are equally bright, one for each level where they are not."""
        levels_l = self._levels(brightness_l)
        groups = [
            (level, chunk)
            for level in np.unique(levels_l[levels_l > 0]).tolist()
            for chunk in _chunks(np.flatnonzero(levels_l == level).tolist())
        ]
        with self._lock:
            if not groups:
                self.command("x")
                return
            self._set_clears(True)  # an earlier pattern may have broken off
            self._light(*groups[0])
            if len(groups) > 1:
                self._set_clears(False)
                try:
                    for level, leds in groups[1:]:
                        self._light(level, leds)
                finally:
                    self._set_clears(True)

    def _levels(self, brightness: NDArray[np.float32]) -> NDArray[np.int_]:
        return levels_of(brightness, self._brightness, self._info.led_count if self._info else None, self.port)

    def _set_clears(self, clears: bool) -> None:
        if self._talk.in_doubt or clears != self._clears:
            self._clears = None
            self.command(f"ac.{clears:d}")
            self._clears = clears

    def _light(self, level: int, leds: list[int]) -> None:
        self._set_level(level)
        self.command("l." + ".".join(map(str, leds)))

    def _set_level(self, level: int) -> None:
        if self._talk.in_doubt or level != self._sent_level:
            self._sent_level = None
            self.command(f"sb.{level}")
            self._sent_level = level

    def off(self) -> None:
        """End what runs and clear the board."""
        with self._lock:
            self._abort()
            self.command("x")

    # --- sequences --------------------------------------------------------------------------------------------------

    def load_sequence(self, patterns_pl: NDArray[np.float32], order_n: NDArray[np.int32]) -> None:
        """Store a sequence; see `LedArray.load_sequence`."""
        count = len(order_n)
        if not 0 < count <= MAX_SEQUENCE:
            raise LedArrayError(
                f"The sequence has {count} patterns; the LED board on {self.port} stores 1 to {MAX_SEQUENCE}.",
                "Choose fewer repeats, or scan with the board switched by the computer (software).",
            )
        used, which_n = np.unique(order_n, return_inverse=True)
        levels_pl = self._levels(patterns_pl)
        dark_l = np.zeros(levels_pl.shape[1], int)
        rows = [dark_l if pattern < 0 else levels_pl[pattern] for pattern in used.tolist()]
        level, line_p = self._sequences.lines(np.stack(rows), self.port)
        with self._lock:
            self._check_idle(f"ssl.{count}")
            self._stored = 0
            for line in self._sequences.setup:
                self.command(line)
            answer = self.command(f"ssl.{count}")
            if stored_length(answer) != count:
                raise LedArrayError(
                    f"The LED board on {self.port} makes room for {stored_length(answer)} patterns instead of {count} "
                    f"({shortened(answer)!r}).",
                    "Use fewer patterns; the board's memory may be too small.",
                )
            for pattern in which_n.tolist():
                self.command(line_p[pattern])
            self._stored, self._stored_level = count, level

    def start_sequence(self, run: SequenceRun) -> None:
        """Arm the stored sequence; see `LedArray.start_sequence`."""
        with self._lock:
            if not self._stored or self._info is None:
                raise LedArrayError(f"No sequence is stored on the LED board on {self.port}.", "Start the scan again.")
            check_run(run, self._info, self.port)
            *setup, start = self._sequences.run(run)
            self._check_idle(start)
            self._set_level(self._stored_level)
            for line in setup:
                self.command(line)
            self._talk.send(start.encode("ascii") + b"\n")
            self._running = _Running(run)
            if replies := self._heard(_REFUSES_WITHIN_S):
                self._running.reply = replies[-1]
                if self._sequences.problem(replies[-1]):
                    self._ended(self._running)

    def wait_sequence(self, timeout_s: float) -> None:
        """Wait for the end of the sequence; see `LedArray.wait_sequence`."""
        end = time.monotonic() + timeout_s
        mine = self._running
        while True:
            with self._lock:
                if mine is None or self._running is not mine:
                    raise LedArrayError(
                        f"No sequence runs on the LED board on {self.port}: it was stopped.", "Start the scan again."
                    )
                if mine.reply is None and (replies := self._heard(0.0)):
                    mine.reply = replies[-1]
                if mine.reply is not None:
                    self._ended(mine)
                    return
            if time.monotonic() >= end:
                raise LedArrayError(
                    f"The LED board on {self.port} has not told the end of its sequence within {timeout_s:g} s.",
                    "Check cable and power of the board, and the trigger cable; then scan again.",
                )
            time.sleep(0.001)  # lets a thread that wants to switch off have the lock

    def _heard(self, for_s: float) -> list[Reply]:
        try:
            return self._talk.listen(for_s)
        except LedArrayError:
            self._running = None
            raise

    def _ended(self, running: _Running) -> None:
        self._running = None
        assert running.reply is not None
        problem = self._sequences.problem(running.reply)
        if problem is not None:
            words, remedy = problem
            raise LedArrayError(
                f"The sequence on the LED board on {self.port} was not shown to its end: {words}.", remedy
            )

    def stop_sequence(self) -> None:
        """Abort whatever runs, LEDs off."""
        self.off()

    def _abort(self) -> None:
        running, self._running = self._running, None
        if running is None:
            return
        self._talk.in_doubt = True  # however it ends, nothing of it may pass for the next answer
        if running.reply is not None:
            return
        # A timed sequence notices the byte at its next pattern.
        end = time.monotonic() + running.settings.interval_ms / 1000 + self._timeout_s
        while time.monotonic() < end:
            self._line.write(b"\n")
            if self._talk.listen(_STOP_AGAIN_S):
                return

    def check(self) -> None:
        """Raise where the line is lost; see `LedArray.check`."""
        self._line.check()

    def greet(self) -> None:
        """Ask for the version; see `LedArray.greet`."""
        self.command("version")

    def close(self) -> None:
        """Close the port."""
        self._line.close()


def _chunks(leds: list[int]) -> list[list[int]]:
    return [leds[start : start + MAX_ARGUMENTS] for start in range(0, len(leds), MAX_ARGUMENTS)]
