"""The emulated illuminate firmware, generation 2 (2.32) and generation 1 (1.32): who it is, geometry and light."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from acquisition.simulated.illuminate_commands import (
    ARGUMENT_COUNT,
    ARGUMENT_RANGE,
    ERROR_TEXT,
    INVALID_COMMAND,
    NOT_IMPLEMENTED,
    NOT_SUPPORTED,
    SOURCE_DISCONNECTED,
    TOO_LONG,
    Lamp,
    RefusedError,
    StartedError,
    hundredths,
    integer,
    number,
)
from acquisition.simulated.illuminate_sequences import NewSequenceCommands, OldSequenceCommands

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

    from acquisition.simulated.light import Light
    from acquisition.simulated.sequencer import Sequencer

VERSIONS = ("2.32", "1.32")
_TERMINATOR = "-==-\n"
_MAX_LINE_BYTES = 16 * 1024
_MAX_ARGUMENTS = 300
_NAMED_LEVELS = {"max": 255, "min": 1, "half": 127, "quarter": 63}
_NOT_OLD = frozenset("machine human pprops sn pn nai ssc gs".split())
# Of the real firmware, but of no use to a scan.
_NOT_EMULATED = frozenset(
    "dpc cdpc ha hr dq cdf ndpc wd disco demo water reset sseq scf sbf sdf troutputpulsewidth troutputdelay "
    "trinputpol troutputpol trt pvals smc smce dbg mac ch ? reboot".split()
)


class IlluminateFirmware:
    """An LED board's firmware (see `acquisition.simulated.board.Firmware`).

    Parameters
    ----------
    position_mm_l3
        (L, 3) x, y and distance below the sample; kept in 1/100 mm, as the firmware does.
    wavelength_um
        Told in the board's properties.
    version
        One of `VERSIONS`.
    colors
        Names of the colours of each LED.
    trigger_count
        Trigger inputs, and outputs.
    """

    page = b""  # printed only when asked

    def __init__(
        self,
        position_mm_l3: ArrayLike,
        wavelength_um: float = 0.53,
        version: str = VERSIONS[0],
        colors: tuple[str, ...] = ("mono",),
        trigger_count: int = 1,
    ) -> None:
        self._xyz_l3 = np.round(np.asarray(position_mm_l3, np.float64), 2)
        self.led_count = len(self._xyz_l3)
        self._wavelength_nm = wavelength_um * 1000
        self._version = version
        self._old = version.startswith("1.")
        self._colors = colors
        self._trigger_count = trigger_count
        self._name = "fieldscope.simulated"

    def power_on(self, light: Light, sequencer: Sequencer, clock: Callable[[], float]) -> None:
        """As after switching on."""
        self._light = light
        self._clock = clock
        self._human = True
        self._auto_clear = True
        self._objective_na, self._inner_na = 0.25, 0.0
        self._distance_mm = float(self._xyz_l3[0, 2])
        self._lamp = Lamp(self._colors)
        self._shutter_open = True
        self._drawn_l = np.zeros(self.led_count, np.float32)
        generation = OldSequenceCommands if self._old else NewSequenceCommands
        sequences = generation(self._lamp, self.led_count, self._trigger_count, sequencer, clock)
        own = {name.removeprefix("_do_"): getattr(self, name) for name in dir(type(self)) if name.startswith("_do_")}
        if self._old:
            own = {name: command for name, command in own.items() if name not in _NOT_OLD} | {"pp": self._do_pprops}
        self._commands: dict[str, Callable[[list[str]], str]] = own | sequences.commands()

    def answer(self, line: bytes) -> bytes:
        """Do what a line says."""
        words = [word for word in line.decode("latin-1").split(".") if word]
        name = words[0] if words else ""
        if len(line) > _MAX_LINE_BYTES or len(words) > _MAX_ARGUMENTS:
            return self._error(TOO_LONG, name)
        try:
            if name not in self._commands:
                raise RefusedError(NOT_IMPLEMENTED if name in _NOT_EMULATED else INVALID_COMMAND)
            return (str(self._commands[name](words[1:])) + _TERMINATOR).encode("ascii")
        except RefusedError as refused:
            return self._error(refused.number, name)
        except StartedError as started:
            return started.said

    def refusal(self) -> bytes:
        """Its power source is disconnected."""
        return self._error(SOURCE_DISCONNECTED, "")

    def _error(self, code: int, name: str) -> bytes:
        if not self._old:
            return f"ERROR[{code}]: {ERROR_TEXT[code]}\n".encode("ascii")
        if code in (NOT_IMPLEMENTED, INVALID_COMMAND):
            return f"Command [{name}] is not implemented yet.\n{_TERMINATOR}".encode("ascii", "replace")
        return f"ERROR (LedArray::{name}): {ERROR_TEXT[code]}\n{_TERMINATOR}".encode("ascii", "replace")

    # --- who it is ------------------------------------------------------------------------------------------------

    def _do_about(self, words: list[str]) -> str:
        rule = "=" * 100 + "\n"
        return (
            f"{rule}  {self._name} LED Array Controller \n  Illuminate r{self._version} | Serial Number: 0001 | "
            f"Part Number: 0001 | Teensy MAC address: 04:e9:e5:00:00:01\n  For help, type ? \n{rule}"
        )

    def _do_version(self, words: list[str]) -> str:
        return f"{self._version}\n"

    def _do_sn(self, words: list[str]) -> str:
        return self._say("SN.00001", "Serial number is: 00001")

    def _do_pn(self, words: list[str]) -> str:
        return self._say("PN.00001", "Part number is: 00001")

    def _do_pprops(self, words: list[str]) -> str:
        wavelengths = ", ".join(f'"{color}" : {self._wavelength_nm:.3f}' for color in self._colors)
        return (
            f'{{\n    "device_name" : "{self._name}",\n    "led_count" : {self.led_count},\n'
            f'    "color_channels" : {json.dumps(self._colors)},\n'
            f'    "color_channel_center_wavelengths_nm" : {{{wavelengths}}},\n'
            f'    "trigger_input_count" : {self._trigger_count},\n'
            f'    "trigger_output_count" : {self._trigger_count},\n    "bit_depth" : 8,\n    "serial_number" : 1,\n'
            f'    "color_channel_count" : {len(self._colors)},\n    "part_number" : 1,\n'
            f'    "mac_address" : "04:e9:e5:00:00:01",\n    "interface_version" : {self._version}\n}}'
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
            self._distance_mm = float(integer(words, 1, 10_000))
        return self._say(
            f"DZ.{round(self._distance_mm):02d}", f"Current array distance from sample is {self._distance_mm}mm"
        )

    def _do_na(self, words: list[str]) -> str:
        if words:
            self._objective_na = hundredths(words, 1.0)
        return self._say(f"NA.{round(self._objective_na * 100):02d}", f"Current NA is {self._objective_na:.2f}")

    def _do_nai(self, words: list[str]) -> str:
        if words:
            self._inner_na = hundredths(words, 0.99)
        return self._say(f"NAI.{round(self._inner_na * 100):02d}", f"Current inner NA is {self._inner_na:.2f}")

    def _placed_l3(self) -> NDArray[np.float64]:
        relief = self._xyz_l3[:, 2:] - self._xyz_l3[0, 2] + self._distance_mm
        return np.concatenate([self._xyz_l3[:, :2], relief], axis=1)

    def _na_l2(self) -> NDArray[np.float64]:
        placed = self._placed_l3()
        na: NDArray[np.float64] = placed[:, :2] / np.linalg.norm(placed, axis=1, keepdims=True)
        return na

    def _table(self, key: str, rows: NDArray[np.float64], form: str, words: list[str]) -> str:
        if len(words) > 2:
            raise RefusedError(ARGUMENT_COUNT)
        first, end = [number(word) for word in words] + [0, self.led_count][len(words) :]
        if not 0 <= first <= end <= self.led_count:
            raise RefusedError(ARGUMENT_RANGE)
        lines = [
            f'        "{led}" : [' + ", ".join(form.format(value) for value in rows[led]) + "]"
            for led in range(first, end)
        ]
        return f'{{\n    "{key}" : {{\n' + ",\n".join(lines) + "\n    }\n}\n"

    # --- light ------------------------------------------------------------------------------------------------------

    def _do_ac(self, words: list[str]) -> str:
        if words:
            self._auto_clear = bool(integer(words, 0, 1))
        return self._say(f"AC.{int(self._auto_clear)}", f"Auto clear is {'on' if self._auto_clear else 'off'}.")

    def _do_sb(self, words: list[str]) -> str:
        if words:
            named = _NAMED_LEVELS.get(words[0])
            self._lamp.set_level(integer(words, 0, 255) if named is None else named)
        return self._say(f"SB.{self._lamp.level}", f"Current brightness value is {self._lamp.level}.")

    def _do_sc(self, words: list[str]) -> str:
        if words:
            if len(self._colors) != 3:
                raise RefusedError(NOT_SUPPORTED)
            if len(words) != 3:
                raise RefusedError(ARGUMENT_COUNT)
            self._lamp.color = [integer([word], 0, 255) for word in words]
            self._lamp.set_level(self._lamp.level)
        return self._color()

    def _do_ssc(self, words: list[str]) -> str:
        if words:
            if len(words) != 2:
                raise RefusedError(ARGUMENT_COUNT)
            self._lamp.value[integer(words[:1], 0, len(self._colors) - 1)] = integer(words[1:], 0, 255)
        return self._color()

    def _color(self) -> str:
        values = ".".join(map(str, self._lamp.value))
        return self._say(f"CO.{values}", f"Current color balance values are {values}.")

    def _do_gs(self, words: list[str]) -> str:
        if words:
            self._shutter_open = bool(integer(words, 0, 1))
            self._update()
        return self._say(
            f"GS.{int(self._shutter_open)}", f"Global shutter is {'open' if self._shutter_open else 'closed'}."
        )

    def _do_x(self, words: list[str]) -> str:
        self._draw([], clear=True)
        return ""

    def _do_l(self, words: list[str]) -> str:
        leds = [number(word) for word in words] or [0]
        if not all(0 <= led < self.led_count for led in leds):
            raise RefusedError(ARGUMENT_RANGE)
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
            raise RefusedError(ARGUMENT_COUNT)
        if not words:
            return self._annulus(self._objective_na, min(self._objective_na + 0.2, 1.0))
        low, high = (hundredths([word], 1.0) for word in words)
        if low > high:
            raise RefusedError(ARGUMENT_RANGE)
        return self._annulus(low, high)

    def _annulus(self, low: float, high: float) -> str:
        na_l = np.linalg.norm(self._na_l2(), axis=1)
        self._draw(np.flatnonzero((na_l >= low) & (na_l <= high)).tolist())
        return ""

    def _draw(self, leds: list[int] | range, clear: bool = False) -> None:
        drawn_l = np.zeros_like(self._drawn_l) if clear or self._auto_clear else self._drawn_l.copy()
        drawn_l[list(leds)] = self._lamp.light
        self._drawn_l = drawn_l
        self._update()

    def _update(self) -> None:
        self._light.show(self._drawn_l * np.float32(self._shutter_open), self._clock())

    def _say(self, short: str, long: str) -> str:
        return f"{long if self._human else short}\n"
