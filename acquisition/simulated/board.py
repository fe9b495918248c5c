"""An LED board's firmware without the board: illuminate 2.32, bytes in, bytes out.

It knows nothing of ports, so the same class answers behind a pseudo-terminal, a socket or in a test. What it lights can
be asked for any span of time, which is how the simulated camera sees it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

VERSION = "2.32"
_TERMINATOR = "-==-\n"
_MAX_LINE_BYTES = 16 * 1024
_MAX_ARGUMENTS = 300
_FULL = 255

NOT_IMPLEMENTED, ARGUMENT_COUNT, SOURCE_DISCONNECTED = 1, 2, 3
INVALID_ARGUMENT, NOT_SUPPORTED, ARGUMENT_RANGE, INVALID_COMMAND, TOO_LONG = 8, 9, 10, 16, 18
_ERROR_TEXT = {
    NOT_IMPLEMENTED: "Command not implemented.",
    ARGUMENT_COUNT: "Wrong number of arguments.",
    SOURCE_DISCONNECTED: "Source disconnected.",
    INVALID_ARGUMENT: "Invalid argument.",
    NOT_SUPPORTED: "Device does not support this feature.",
    ARGUMENT_RANGE: "Invalid argument range.",
    INVALID_COMMAND: "Invalid command.",
    TOO_LONG: "Command too long.",
}
# Of the real firmware, but of no use to a scan triggered by software.
_NOT_EMULATED = frozenset(
    "dpc cdpc ha hr dq cdf ndpc wd disco demo water reset ssl ssv pseq pseql rseq sseq xseq scf sbf sdf "
    "trinputmode troutputmode trinputtimeout troutputpulsewidth troutputdelay trinputpol troutputpol tr trt pvals "
    "smc smce dbg mac ch ? reboot".split()
)


class BoardFault(Enum):
    """What can be wrong with a board."""

    ERROR = "answers ERROR[3]: its power source is disconnected"
    SILENCE = "does nothing and answers nothing"
    GARBAGE = "answers with bytes that mean nothing"
    UNPLUG = "is pulled from its port"
    ONE_BEHIND = "lights the pattern before the one asked for"


class UnpluggedError(Exception):
    """Raised by `IlluminateEmulator.feed`: the transport has to drop the line."""


class _Refused(Exception):
    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class IlluminateEmulator:
    """A one-colour LED board.

    Parameters
    ----------
    position_mm_l3
        (L, 3) x, y and distance below the sample; kept in 1/100 mm, as the firmware does.
    wavelength_um
        Told in the board's properties.
    clock
        Seconds; the camera's exposures are asked for by the same clock.
    """

    def __init__(
        self,
        position_mm_l3: ArrayLike,
        wavelength_um: float = 0.53,
        device_name: str = "fieldscope.simulated",
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._xyz_l3 = np.round(np.asarray(position_mm_l3, np.float64), 2)
        self._wavelength_nm = wavelength_um * 1000
        self._name = device_name
        self._clock = clock
        self._lock = threading.Lock()
        self._line = bytearray()
        self._human = True
        self._auto_clear = True
        self._objective_na, self._inner_na = 0.25, 0.0
        self._distance_mm = float(self._xyz_l3[0, 2])
        self._color = self._level = self._value = _FULL
        self._shutter_open = True
        self._drawn_l = np.zeros(self.led_count, np.uint8)
        self._late_l = self._drawn_l
        self._history: deque[tuple[float, NDArray[np.float32]]] = deque(maxlen=256)
        self._history.append((-np.inf, np.zeros(self.led_count, np.float32)))
        self._fault: BoardFault | None = None
        self._fault_after = 0
        self._commands = {
            name.removeprefix("_do_"): getattr(self, name) for name in dir(type(self)) if name.startswith("_do_")
        }

    @property
    def led_count(self) -> int:
        """Number of LEDs."""
        return len(self._xyz_l3)

    def inject(self, fault: BoardFault | None, after_commands: int = 0) -> None:
        """Break the board after so many further commands; None mends it."""
        with self._lock:
            self._fault, self._fault_after = fault, after_commands

    def brightness(self) -> NDArray[np.float32]:
        """Light of each LED now, (L,), 0 to 1."""
        with self._lock:
            return self._history[-1][1]

    def mean_brightness(self, start_s: float, end_s: float) -> NDArray[np.float32]:
        """Mean light of each LED, (L,), from `start_s` to `end_s` of the board's clock: what an exposure gathers."""
        with self._lock:
            history = list(self._history)
        total_l = np.zeros(self.led_count, np.float64)
        until = max(end_s, start_s + 1e-9)
        for since, brightness_l in reversed(history):
            begin = max(since, start_s)
            if begin < until:
                total_l += brightness_l * (until - begin)
                until = begin
        return (total_l / (max(end_s, start_s + 1e-9) - start_s)).astype(np.float32)

    def feed(self, data: bytes) -> bytes:
        """Take bytes from the line, return the board's answer to the commands that are complete.

        Raises
        ------
        UnpluggedError
            The injected fault has pulled the plug.
        """
        answer = b""
        with self._lock:
            for byte in data:
                if byte not in b"\r\n":
                    self._line.append(byte)
                elif self._line:
                    line, self._line = bytes(self._line), bytearray()
                    answer += self._answer(line)
        return answer

    def _answer(self, line: bytes) -> bytes:
        if self._fault is not None and self._fault_after > 0:
            self._fault_after -= 1
        elif self._fault is BoardFault.UNPLUG:
            raise UnpluggedError
        elif self._fault is BoardFault.SILENCE:
            return b""
        elif self._fault is BoardFault.GARBAGE:
            return b"\x00\xff\x13}{-=-=\xfe\n" * 2
        elif self._fault is BoardFault.ERROR:
            return self._error(SOURCE_DISCONNECTED)
        if len(line) > _MAX_LINE_BYTES:
            return self._error(TOO_LONG)
        words = [word for word in line.decode("latin-1").split(".") if word]
        if len(words) > _MAX_ARGUMENTS:
            return self._error(TOO_LONG)
        name = words[0] if words else ""
        try:
            if name not in self._commands:
                raise _Refused(NOT_IMPLEMENTED if name in _NOT_EMULATED else INVALID_COMMAND)
            return (str(self._commands[name](words[1:])) + _TERMINATOR).encode("ascii")
        except _Refused as refused:
            return self._error(refused.number)

    @staticmethod
    def _error(number: int) -> bytes:
        return f"ERROR[{number}]: {_ERROR_TEXT[number]}\n".encode("ascii")

    # --- who it is ------------------------------------------------------------------------------------------------

    def _do_about(self, words: list[str]) -> str:
        rule = "=" * 100 + "\n"
        return (
            f"{rule}  {self._name} LED Array Controller \n  Illuminate r{VERSION} | Serial Number: 0001 | "
            f"Part Number: 0001 | Teensy MAC address: 04:e9:e5:00:00:01\n  For help, type ? \n{rule}"
        )

    def _do_version(self, words: list[str]) -> str:
        return f"{VERSION}\n"

    def _do_sn(self, words: list[str]) -> str:
        return self._say("SN.00001", "Serial number is: 00001")

    def _do_pn(self, words: list[str]) -> str:
        return self._say("PN.00001", "Part number is: 00001")

    def _do_pprops(self, words: list[str]) -> str:
        return (
            f'{{\n    "device_name" : "{self._name}",\n    "led_count" : {self.led_count},\n'
            f'    "color_channels" : ["mono"],\n'
            f'    "color_channel_center_wavelengths_nm" : {{"mono" : {self._wavelength_nm:.3f}}},\n'
            f'    "color_channel_fwhm_wavelengths_nm" : {{"mono" : 20.000}},\n'
            f'    "trigger_input_count" : 0,\n    "trigger_output_count" : 0,\n    "bit_depth" : 8,\n'
            f'    "serial_number" : 1,\n    "color_channel_count" : 1,\n    "part_number" : 1,\n'
            f'    "mac_address" : "04:e9:e5:00:00:01",\n    "interface_version" : {VERSION}\n}}'
        )  # no line end before the terminator, as in the firmware

    def _do_machine(self, words: list[str]) -> str:
        self._human = False
        return ""

    def _do_human(self, words: list[str]) -> str:
        self._human = True
        return ""

    # --- where its LEDs are -----------------------------------------------------------------------------------------

    def _do_pledpos(self, words: list[str]) -> str:
        return self._table("led_position_list_cartesian", self._placed_l3(), "{:02.2f}", words)

    def _do_pledposna(self, words: list[str]) -> str:
        return self._table("led_position_list_na", self._na_l2(), "{:01.3f}", words)

    def _do_sad(self, words: list[str]) -> str:
        if words:
            self._distance_mm = float(_integer(words, 1, 10_000))
        return self._say(
            f"DZ.{round(self._distance_mm):02d}", f"Current array distance from sample is {self._distance_mm}mm"
        )

    def _do_na(self, words: list[str]) -> str:
        if words:
            self._objective_na = _hundredths(words, 1.0)
        return self._say(f"NA.{round(self._objective_na * 100):02d}", f"Current NA is {self._objective_na:.2f}")

    def _do_nai(self, words: list[str]) -> str:
        if words:
            self._inner_na = _hundredths(words, 0.99)
        return self._say(f"NAI.{round(self._inner_na * 100):02d}", f"Current inner NA is {self._inner_na:.2f}")

    def _placed_l3(self) -> NDArray[np.float64]:
        relief = self._xyz_l3[:, 2:] - self._xyz_l3[0, 2] + self._distance_mm
        return np.concatenate([self._xyz_l3[:, :2], relief], axis=1)

    def _na_l2(self) -> NDArray[np.float64]:
        placed = self._placed_l3()
        na: NDArray[np.float64] = placed[:, :2] / np.linalg.norm(placed, axis=1, keepdims=True)
        return na

    def _table(self, key: str, rows: NDArray[np.float64], number: str, words: list[str]) -> str:
        if len(words) > 2:
            raise _Refused(ARGUMENT_COUNT)
        first, end = [_number(word) for word in words] + [0, self.led_count][len(words) :]
        if not 0 <= first <= end <= self.led_count:
            raise _Refused(ARGUMENT_RANGE)
        lines = [
            f'        "{led}" : [' + ", ".join(number.format(value) for value in rows[led]) + "]"
            for led in range(first, end)
        ]
        return f'{{\n    "{key}" : {{\n' + ",\n".join(lines) + "\n    }\n}\n"

    # --- light ------------------------------------------------------------------------------------------------------

    def _do_ac(self, words: list[str]) -> str:
        if words:
            self._auto_clear = bool(_integer(words, 0, 1))
        return self._say(f"AC.{int(self._auto_clear)}", f"Auto clear is {'on' if self._auto_clear else 'off'}.")

    def _do_sb(self, words: list[str]) -> str:
        if words:
            named = {"max": _FULL, "min": 1, "half": 127, "quarter": 63}
            self._level = named[words[0]] if words[0] in named else _integer(words, 0, _FULL)
            self._value = -(-self._color * self._level // _FULL)
        return self._say(f"SB.{self._level}", f"Current brightness value is {self._level}.")

    def _do_sc(self, words: list[str]) -> str:
        if words:
            raise _Refused(NOT_SUPPORTED)  # one colour only
        return self._say(f"CO.{self._value}", f"Current color balance values are {self._value}.")

    def _do_ssc(self, words: list[str]) -> str:
        if words:
            if len(words) != 2:
                raise _Refused(ARGUMENT_COUNT)
            _integer(words[:1], 0, 0)
            self._value = _integer(words[1:], 0, _FULL)
        return self._say(f"CO.{self._value}", f"Current color balance values are {self._value}.")

    def _do_gs(self, words: list[str]) -> str:
        if words:
            self._shutter_open = bool(_integer(words, 0, 1))
            self._update()
        return self._say(
            f"GS.{int(self._shutter_open)}", f"Global shutter is {'open' if self._shutter_open else 'closed'}."
        )

    def _do_x(self, words: list[str]) -> str:
        self._draw([], clear=True)
        return ""

    def _do_l(self, words: list[str]) -> str:
        leds = [_number(word) for word in words] or [0]
        if not all(0 <= led < self.led_count for led in leds):
            raise _Refused(ARGUMENT_RANGE)
        self._draw(leds)
        return ""

    def _do_ff(self, words: list[str]) -> str:
        self._draw(range(self.led_count))
        return ""

    def _do_bf(self, words: list[str]) -> str:
        return self._annulus(self._inner_na, self._objective_na)

    def _do_df(self, words: list[str]) -> str:
        return self._annulus(self._objective_na, 1.0)

    def _do_an(self, words: list[str]) -> str:
        if len(words) not in (0, 2):
            raise _Refused(ARGUMENT_COUNT)
        if not words:
            return self._annulus(self._objective_na, min(self._objective_na + 0.2, 1.0))
        low, high = (_hundredths([word], 1.0) for word in words)
        if low > high:
            raise _Refused(ARGUMENT_RANGE)
        return self._annulus(low, high)

    def _annulus(self, low: float, high: float) -> str:
        na_l = np.linalg.norm(self._na_l2(), axis=1)
        self._draw(np.flatnonzero((na_l >= low) & (na_l <= high)).tolist())
        return ""

    def _draw(self, leds: list[int] | range, clear: bool = False) -> None:
        drawn_l = np.zeros_like(self._drawn_l) if clear or self._auto_clear else self._drawn_l.copy()
        drawn_l[list(leds)] = self._value
        self._late_l, self._drawn_l = self._drawn_l, drawn_l
        self._update()

    def _update(self) -> None:
        late = self._fault is BoardFault.ONE_BEHIND and self._fault_after == 0
        lit_l = (self._late_l if late else self._drawn_l) * np.float32(self._shutter_open / _FULL)
        self._history.append((self._clock(), lit_l.astype(np.float32)))

    def _say(self, short: str, long: str) -> str:
        return f"{long if self._human else short}\n"


def _number(word: str) -> int:
    if not word.isdecimal():
        raise _Refused(INVALID_ARGUMENT)
    return int(word)


def _integer(words: list[str], low: int, high: int) -> int:
    """Only argument of a command, within limits."""
    if len(words) != 1:
        raise _Refused(ARGUMENT_COUNT)
    value = _number(words[0])
    if not low <= value <= high:
        raise _Refused(ARGUMENT_RANGE)
    return value


def _hundredths(words: list[str], limit: float) -> float:
    """Only argument of a command, an NA: '25' is 0.25, '5' is 0.50."""
    value = _integer(words, 0, 10_000) / (10 if len(words[0]) == 1 else 100)
    if not 0 < value <= limit:
        raise _Refused(ARGUMENT_RANGE)
    return value
