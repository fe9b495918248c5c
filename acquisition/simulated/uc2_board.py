"""The LED array of the openUC2 firmware, emulated: JSON lines, answers between `++` and `--`.

The present generation lights one LED or all (`action`); the one before takes lists (`led_array`). After the firmware's
LedController and SerialProcess (github.com/youseetoo/uc2-esp32).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from acquisition.simulated.light import Light
    from acquisition.simulated.sequencer import Sequencer

_MAX_LINE_BYTES = 8192
_ARRAY, _FULL, _MULTI = 0, 1, 8


class Uc2Firmware:
    """An openUC2 board (see `acquisition.simulated.board.Firmware`); `old` is the generation that takes lists."""

    page = b"rst:0x1 (POWERON_RESET)\r\n[I] setup done\r\nDEBUG: SerialProcess ready\r\n"

    def __init__(self, led_count: int, old: bool = False) -> None:
        self.led_count = led_count
        self._old = old

    def power_on(self, light: Light, sequencer: Sequencer, clock: Callable[[], float]) -> None:
        """As after switching on."""
        self._light = light
        self._clock = clock
        self._pixels_l = np.zeros(self.led_count, np.float32)

    def answer(self, line: bytes) -> bytes:
        """Do what a line says."""
        try:
            question = json.loads(line[:_MAX_LINE_BYTES])
            if not isinstance(question, dict):
                raise ValueError(question)
        except (ValueError, RecursionError):
            return _framed({"error": "Failed to parse JSON"})
        number = question.get("qid", 0)
        match question.get("task"):
            case "/state_get":
                return _framed({"qid": number, "state": {"identifier_name": "UC2_Feather", "identifier_id": "V2.0"}})
            case "/ledarr_get" if self._old:
                return _framed({"ledArrNum": self.led_count, "ledArrPin": 27})
            case "/ledarr_get":
                return _framed({"led": {"isOn": bool(self._pixels_l.any()), "count": self.led_count}})
            case "/ledarr_act":
                return self._act(question.get("led"), number)
        return b""  # as the firmware: tasks of modules that it has not are passed over

    def refusal(self) -> bytes:
        """Its power source is disconnected."""
        return _framed({"qid": -1, "success": -1})

    def _act(self, led: Any, number: Any) -> bytes:
        try:
            pixels_l = self._listed(led) if self._old else self._action(led)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError):
            return self.refusal()
        self._pixels_l = pixels_l
        self._light.show(pixels_l, self._clock())
        return _framed({"return": 1} if self._old else {"qid": number, "success": 1})

    def _action(self, led: dict[str, Any]) -> np.ndarray[Any, np.dtype[np.float32]]:
        pixels_l = np.zeros(self.led_count, np.float32)
        match led["action"]:
            case "fill":
                pixels_l[:] = _light(led)
            case "single" if 0 <= led["ledIndex"] < self.led_count:
                pixels_l[led["ledIndex"]] = _light(led)
            case "single" | "array":
                return self._pixels_l  # nothing happens, and it is confirmed
            case "off":
                pass
            case action:
                raise ValueError(action)
        return pixels_l

    def _listed(self, led: dict[str, Any]) -> np.ndarray[Any, np.dtype[np.float32]]:
        pixels_l = self._pixels_l.copy()
        if led["LEDArrMode"] == _FULL:
            pixels_l[:] = _light(led["led_array"][0])
        elif led["LEDArrMode"] in (_ARRAY, _MULTI):
            for one in led["led_array"]:
                pixels_l[one["id"]] = _light(one)
        return pixels_l


def _light(color: dict[str, Any]) -> float:
    return min(max(int(color.get(name, 0)) for name in "rgb") / 255, 1.0)


def _framed(answer: dict[str, Any]) -> bytes:
    return b"++\n" + json.dumps(answer, separators=(",", ":")).encode("ascii") + b"\n--\n\0"
