"""LED boards of openUC2 (ESP32, github.com/youseetoo/uc2-esp32): JSON, one object a line.

An answer is framed by a line `++` and a line `--` and carries the number (`qid`) of the question; in between the
firmware prints what it likes. Two generations: the present one lights one LED or all of them (`action`), the one before
takes a list of LEDs (`LEDArrMode`, `led_array`). Facts from its LedController and SerialProcess.
"""

from __future__ import annotations

import itertools
import json
import re
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from acquisition.led_array.dialogue import Dialogue, shortened
from acquisition.led_array.patterns import NAMED_COLORS, RGB, levels_of
from acquisition.led_array.protocol import BoardInfo, Capability, LedArrayError, WithoutSequences
from acquisition.led_array.serial_line import SerialLine

if TYPE_CHECKING:
    from numpy.typing import NDArray


_FRAME = re.compile(rb"\+\+[ \t\r]*\n(.*?)\n--[ \t\r]*\n", re.DOTALL)
_START = re.compile(rb"\+\+[ \t\r]*\n")
_ASK_STATE_TIMES = 4  # opening the port may restart the ESP32
_OLD_ARRAY, _OLD_FULL = 0, 1  # LEDArrMode
_MAX_LEDS_PER_LINE = 100  # 8 KiB a line


class Uc2Board(WithoutSequences):
    """An LED board that speaks the JSON of openUC2 (see `LedArray`).

    Parameters
    ----------
    port, baud
        Device name or pyserial URL, and speed.
    brightness
        Level, 1 to 255, that a pattern value of 1 stands for.
    color
        Red, green and blue, 0 to 255; None: white.
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
        self._line = SerialLine(port, baud)
        self._talk: Dialogue[dict[str, Any]] = Dialogue(
            self._line, cut_frames, reply_timeout_s, "the openUC2 firmware (uc2-esp32)"
        )
        self._brightness = brightness
        self._color = color or NAMED_COLORS["white"]
        self._numbers = itertools.count(1)
        self._lock = threading.RLock()  # `off` may come from another thread
        self._old = False
        self._led_count: int | None = None
        self._lit_l: NDArray[np.int_] | None = None  # of the generation with lists; None: nobody knows

    @property
    def port(self) -> str:
        """Name of the open port."""
        return self._line.port

    def identify(self) -> BoardInfo:
        """Ask who it is and how many LEDs it has."""
        with self._lock:
            self._talk.in_doubt = True
            self._lit_l = None
            answer = self._ask_state(_ASK_STATE_TIMES)
            state = answer.get("state", answer)
            answer = self._ask({"task": "/ledarr_get"}, "led", "ledArrNum")
            self._old = "ledArrNum" in answer
            try:
                count = answer["ledArrNum"] if self._old else answer["led"]["count"]
                self._led_count = int(count)
                name, version = str(state["identifier_name"]), str(state.get("identifier_id", ""))
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise LedArrayError(
                    f"The device on {self.port} tells of no LED array: {shortened(json.dumps(answer))!r}.",
                    "Check that led_board.port is the board with the LEDs; flash a current openUC2 firmware.",
                ) from error
        can = Capability.COLOR | (Capability.LEVELS if self._old else Capability(0))
        return BoardInfo(name, version, self._led_count, color_channels=("red", "green", "blue"), capabilities=can)

    def positions_mm(self) -> None:
        """None: the firmware does not know."""

    def show(self, brightness_l: NDArray[np.float32]) -> None:
        """Light a pattern.

        Raises
        ------
        LedArrayError
            The firmware lights one LED or all equally, and the pattern is neither.
        """
        levels_l = levels_of(brightness_l, self._brightness, self._led_count, self.port)
        with self._lock:
            if self._old:
                self._show_list(levels_l)
            else:
                self._act(self._action(levels_l))

    def _action(self, levels_l: NDArray[np.int_]) -> dict[str, Any]:
        leds = np.flatnonzero(levels_l)
        if not len(leds):
            return {"action": "off"}
        level = int(levels_l[leds[0]])
        if len(leds) == 1:
            return {"action": "single", "ledIndex": int(leds[0]), **self._rgb(level)}
        if len(leds) == self._led_count and (levels_l == level).all():
            return {"action": "fill", **self._rgb(level)}
        raise LedArrayError(
            f"The pattern lights {len(leds)} LEDs; the firmware of the LED board on {self.port} lights one, or all "
            f"{self._led_count} equally.",
            "Scan with one LED a frame.",
        )

    def _show_list(self, levels_l: NDArray[np.int_]) -> None:
        before_l, self._lit_l = self._lit_l, None
        wanted_l = np.zeros(self._led_count or len(levels_l), int)
        wanted_l[: len(levels_l)] = levels_l
        changed = np.arange(len(wanted_l)) if before_l is None else np.flatnonzero(wanted_l != before_l)
        for start in range(0, len(changed), _MAX_LEDS_PER_LINE):
            leds = changed[start : start + _MAX_LEDS_PER_LINE]
            listed = [{"id": int(led), **self._rgb(int(wanted_l[led]))} for led in leds]
            self._act({"LEDArrMode": _OLD_ARRAY, "led_array": listed})
        self._lit_l = wanted_l

    def _rgb(self, level: int) -> dict[str, int]:
        return {name: round(level * part / 255) for name, part in zip("rgb", self._color, strict=True)}

    def off(self) -> None:
        """Every LED off."""
        with self._lock:
            if self._old:
                self._lit_l = None
                self._act({"LEDArrMode": _OLD_FULL, "led_array": [{"id": 0, "r": 0, "g": 0, "b": 0}]})
                self._lit_l = np.zeros(self._led_count or 0, int)
            else:
                self._act({"action": "off"})

    def _act(self, led: dict[str, Any]) -> None:
        answer = self._ask({"task": "/ledarr_act", "led": led}, "success", "return")
        if int(answer.get("success", answer.get("return", 1))) < 1:
            raise LedArrayError(
                f"The LED board on {self.port} refused '{shortened(json.dumps(led))}'.",
                "Flash a current openUC2 firmware, or report the version.",
            )

    def _ask(self, question: dict[str, Any], *keys: str, times: int = 1) -> dict[str, Any]:
        """Ask and wait for the answer with one of these keys, or with word of an error."""
        number = next(self._numbers)
        text = json.dumps({**question, "qid": number}, separators=(",", ":"))

        def is_mine(answer: dict[str, Any]) -> bool:
            # A refusal has the number -1, answers of older firmware have none.
            return answer.get("qid", number) in (number, -1) and (
                "error" in answer or any(key in answer for key in keys)
            )

        answer = self._talk.ask(text.encode("ascii") + b"\n", is_mine, times)
        if "error" in answer:
            raise LedArrayError(
                f"The LED board on {self.port} refused '{shortened(text)}': {answer['error']}.",
                "Check cable and power of the board; flash a current openUC2 firmware.",
            )
        return answer

    def check(self) -> None:
        """Raise where the line is lost; see `LedArray.check`."""
        self._line.check()

    def greet(self) -> None:
        """Ask for its state; see `LedArray.greet`."""
        with self._lock:
            self._ask_state()

    def _ask_state(self, times: int = 1) -> dict[str, Any]:
        return self._ask({"task": "/state_get"}, "state", "identifier_name", times=times)

    def close(self) -> None:
        """Close the port."""
        self._line.close()


def cut_frames(stream: bytes) -> tuple[list[dict[str, Any]], bytes]:
    """Take the complete answers out of a stream; they, and the rest. Frames that hold no JSON object are dropped."""
    answers = []
    end = 0
    for frame in _FRAME.finditer(stream):
        end = frame.end()
        body = _START.split(frame[1])[-1]  # a frame that broke off before this one
        try:
            answer = json.loads(body)
        except ValueError:
            continue
        if isinstance(answer, dict):
            answers.append(answer)
    return answers, stream[end:]
