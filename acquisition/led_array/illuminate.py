"""LED boards with the illuminate firmware (github.com/sci-microscopy/illuminate), generations 2.x and 1.x.

A command is one line, `name.argument.argument`. A reply is lines of text ended by `-==-`; but an error of generation 2
is the bare line `ERROR[n]: text` with no terminator after it: who waits for the terminator waits for ever.
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

from acquisition.led_array.protocol import BoardInfo, LedArrayError
from acquisition.led_array.serial_line import SerialLine, find_port

if TYPE_CHECKING:
    from numpy.typing import NDArray

_log = logging.getLogger(__name__)

USB_IDS = ((0x16C0, 0x0483),)
"""Teensy boards, serial mode."""

_FRAME_END = re.compile(rb"-==-[ \t\r]*\n|ERROR\[(\d+)\]: ?([^\n]*)\n")
_OLD_ERROR = re.compile(r"^(ERROR \(.*|.*is not implemented yet.*)$", re.MULTILINE)
_VERSION = re.compile(r"\d+(\.\d+)*")
_MAX_REPLY_BYTES = 1_000_000
_MAX_LEDS_PER_COMMAND = 290  # the firmware takes 300 arguments a line
_ASK_VERSION_TIMES = 4  # opening the port may restart the board, which takes a second or two

_RETRY = "Try again; if it comes back, switch the board off and on."
_REPORT = "This firmware lacks what Fieldscope needs: flash version 2.32 or later, or report the version."
ERRORS: dict[int, tuple[str, str]] = {
    1: ("the command is not implemented in this firmware", _REPORT),
    2: ("wrong number of arguments", _REPORT),
    3: ("the LEDs' power source is disconnected", "Plug in and switch on the power supply of the LED board."),
    4: ("wrong trigger time-out arguments", _REPORT),
    5: ("wrong cosine factor", _REPORT),
    6: (
        "the board has no hardware address",
        "Switch the board off and on; if it comes back, flash the firmware again.",
    ),
    7: ("the board cannot sense its power supply", _REPORT),
    8: ("invalid argument", _REPORT),
    9: ("the board does not support this", "Choose a pattern or colour that the board has, in the hardware profile."),
    10: ("a value is out of range", "Check led_board in the hardware profile: number of LEDs, brightness 0 to 255."),
    11: ("the trigger is not configured", "Check the trigger cables and the trigger settings of the board."),
    12: ("the end of the stored sequence was reached", _RETRY),
    13: ("the sequence is faster than the LEDs can be switched", "Choose a longer exposure or delay."),
    14: ("no trigger came in time", "Check the trigger cable between camera and board."),
    15: ("the command was interrupted by another one", "Close other programs that talk to the board, then try again."),
    16: ("the command is unknown to this firmware", _REPORT),
    17: ("the board has not enough memory for this", "Use fewer patterns or fewer LEDs in a pattern."),
    18: ("the command line is too long", "Use fewer LEDs in a pattern."),
    19: ("the stored sequence is full", "Use fewer patterns."),
}
"""Error number of the firmware: what it means, what to do."""


@dataclass(frozen=True)
class Reply:
    """One complete answer. `error` is the firmware's number, None when all is well."""

    text: str
    error: int | None = None


class ReplyReader:
    """Cuts the byte stream into replies, wherever the chunks end."""

    def __init__(self) -> None:
        self._pending = b""

    @property
    def pending(self) -> bytes:
        """Bytes of a reply that has not ended."""
        return self._pending

    def feed(self, data: bytes) -> list[Reply]:
        """Add bytes and take out the replies that are complete."""
        self._pending += data
        replies = []
        start = 0
        for end in _FRAME_END.finditer(self._pending):
            text = self._pending[start : end.start()].decode("ascii", "replace").strip()
            start = end.end()
            if end[1] is None:
                replies.append(Reply(text))
            else:
                replies.append(Reply(end[2].decode("ascii", "replace").strip(), int(end[1])))
        self._pending = self._pending[start:]
        return replies


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
    reply_timeout_s
        Silence longer than this is an error.
    """

    def __init__(self, port: str, baud: int = 115200, brightness: int = 255, reply_timeout_s: float = 2.0) -> None:
        self._line = SerialLine(find_port(USB_IDS) if port == "auto" else port, baud)
        self._brightness = brightness
        self._timeout_s = reply_timeout_s
        self._lock = threading.Lock()
        self._in_doubt = True  # a board that starts prints a page that ends like no reply
        self._sent_level: int | None = None
        self._clears: bool | None = None  # whether a pattern replaces the one before (the firmware's autoclear)
        self._info: BoardInfo | None = None

    @property
    def port(self) -> str:
        """Name of the open port."""
        return self._line.port

    def command(self, line: str) -> str:
        """Send one command and wait for its answer.

        Returns
        -------
        str
            The text before the terminator.

        Raises
        ------
        LedArrayError
            Refused by the board (in words, with remedy), no answer in time, or the line is lost.
        """
        with self._lock:
            if self._in_doubt:
                self._sent_level = self._clears = None  # nor is it known what the board has kept
            self._line.drain(quiet_s=0.1 if self._in_doubt else 0.0)
            self._in_doubt = True  # until a whole answer has come: a late one must not pass for the next one's
            self._line.write(line.encode("ascii") + b"\n")
            reply = self._read_reply(line)
            self._in_doubt = False
        if reply.error is not None:
            meaning, remedy = ERRORS.get(reply.error, ("unknown error", _RETRY))
            raise LedArrayError(
                f"The LED board on {self.port} refused '{_shortened(line)}': {meaning} "
                f"(error {reply.error}: {reply.text or 'no text'}).",
                remedy,
            )
        old_error = _OLD_ERROR.search(reply.text)
        if old_error:
            raise LedArrayError(
                f"The LED board on {self.port} refused '{_shortened(line)}': {old_error[0].strip()}", _REPORT
            )
        for warning in re.findall(r"^WARNING.*$", reply.text, re.MULTILINE):
            _log.warning("LED board on %s: %s", self.port, warning)
        return reply.text

    def _read_reply(self, line: str) -> Reply:
        reader = ReplyReader()
        heard = time.monotonic()
        received = 0
        while time.monotonic() - heard < self._timeout_s:
            data = self._line.read()
            if not data:
                continue
            heard = time.monotonic()
            received += len(data)
            replies = reader.feed(data)
            if replies:
                return replies[-1]
            if received > _MAX_REPLY_BYTES:
                break
        heard_text = f"only {_shortened(reader.pending.decode('ascii', 'replace'))!r}" if reader.pending else "nothing"
        raise LedArrayError(
            f"The LED board on {self.port} did not answer '{_shortened(line)}' "
            f"within {self._timeout_s:g} s: {heard_text}.",
            "Check that this port is the LED board and runs the illuminate firmware; switch the board off and on.",
        )

    def identify(self) -> BoardInfo:
        """Ask version and properties, and switch to short answers."""
        version = self._ask_version()
        old = version.startswith("1.")
        if not old:
            self.command("machine")
        properties = self._ask_json("pp" if old else "pprops")
        self._set_clears(True)
        try:
            self._info = BoardInfo(
                name=str(properties["device_name"]),
                firmware=version,
                led_count=int(properties["led_count"]),
                serial_number=str(properties.get("serial_number", "")),
                color_channels=tuple(str(name) for name in properties.get("color_channels", ())),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise self._garbled("its properties", json.dumps(properties)) from error
        return self._info

    def _ask_version(self) -> str:
        for attempt in range(_ASK_VERSION_TIMES):
            try:
                text = self.command("version")
            except LedArrayError:
                if attempt + 1 == _ASK_VERSION_TIMES or not self._in_doubt:
                    raise
            else:
                lines = text.splitlines()
                if not lines or not _VERSION.fullmatch(lines[-1].strip()):
                    raise self._garbled("its version", text)
                return lines[-1].strip()
        raise AssertionError("unreachable")

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
            f"The device on {self.port} answers {what} with {_shortened(text)!r}: not the illuminate protocol.",
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

    def show(self, brightness_l: NDArray[np.float32]) -> None:
        """Light a pattern: one command where all its LEDs are equally bright, one for each level where they are not."""
        if self._info is not None and len(brightness_l) > self._info.led_count:
            raise LedArrayError(
                f"The pattern has {len(brightness_l)} LEDs, the board on {self.port} has {self._info.led_count}.",
                "Correct led_board.geometry in the hardware profile.",
            )
        levels_l = np.rint(np.clip(brightness_l, 0.0, 1.0) * self._brightness).astype(int)
        groups = [
            (level, chunk)
            for level in np.unique(levels_l[levels_l > 0]).tolist()
            for chunk in _chunks(np.flatnonzero(levels_l == level).tolist())
        ]
        if not groups:
            self.off()
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

    def _set_clears(self, clears: bool) -> None:
        if self._in_doubt or clears != self._clears:
            self._clears = None
            self.command(f"ac.{clears:d}")
            self._clears = clears

    def _light(self, level: int, leds: list[int]) -> None:
        if level != self._sent_level:
            self._sent_level = None
            self.command(f"sb.{level}")
            self._sent_level = level
        self.command("l." + ".".join(map(str, leds)))

    def off(self) -> None:
        """Clear the board."""
        self.command("x")

    def close(self) -> None:
        """Close the port."""
        self._line.close()


def _chunks(leds: list[int]) -> list[list[int]]:
    return [leds[start : start + _MAX_LEDS_PER_COMMAND] for start in range(0, len(leds), _MAX_LEDS_PER_COMMAND)]


def _shortened(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."
