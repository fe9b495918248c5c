"""Home-made LED boards (NeoPixel, DotStar and others): the lines that their sketch understands are in the profile."""

from __future__ import annotations

import logging
import re
import threading
import time
from typing import TYPE_CHECKING

import numpy as np

from acquisition.led_array.dialogue import Dialogue, shortened
from acquisition.led_array.patterns import NAMED_COLORS, RGB, levels_of
from acquisition.led_array.protocol import BoardInfo, Capability, LedArrayError, WithoutSequences
from acquisition.led_array.serial_line import SerialLine

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from acquisition.profile_template import TemplateSettings

_log = logging.getLogger(__name__)

_LINE_END = re.compile(rb"[\r\n]+")


class TemplateBoard(WithoutSequences):
    """A board that is told each LED in a line of its own and confirms each line (see `LedArray`).

    Parameters
    ----------
    port, baud
        Device name or pyserial URL, and speed.
    template
        The lines.
    led_count
        By the profile: such a board does not tell.
    brightness
        Of 255: part of the template's highest level that a pattern value of 1 stands for.
    color
        Red, green and blue, 0 to 255; None: white.
    """

    def __init__(
        self,
        port: str,
        baud: int,
        template: TemplateSettings,
        led_count: int,
        brightness: int = 255,
        color: RGB | None = None,
    ) -> None:
        self._line = SerialLine(port, baud)
        self._talk: Dialogue[str] = Dialogue(
            self._line, _cut_lines, template.reply_timeout_s, "the sketch that led_board.template describes"
        )
        self._template = template
        self._led_count = led_count
        self._full = max(1, round(template.max_level * brightness / 255))
        self._color = color or NAMED_COLORS["white"]
        self._acknowledge = re.compile(template.acknowledge)
        self._error = re.compile(template.error) if template.error else None
        self._lock = threading.RLock()  # `off` may come from another thread
        self._lit: list[int] | None = None  # None: nobody knows
        self._ready = time.monotonic() + template.opening_delay_s

    @property
    def port(self) -> str:
        """Name of the open port."""
        return self._line.port

    def identify(self) -> BoardInfo:
        """Wait until the board has started; ask its name where the template says how."""
        time.sleep(max(0.0, self._ready - time.monotonic()))
        name = "home-made LED board"
        with self._lock:
            self._talk.in_doubt = True  # it may have printed a greeting
            if self._template.identify is not None:
                name = self._ask_name(self._template.identify) or name
        can = Capability.LEVELS if self._template.has_levels else Capability(0)
        return BoardInfo(
            name=name,
            firmware="",
            led_count=self._led_count,
            color_channels=("red", "green", "blue") if self._template.has_colors else (),
            capabilities=can | (Capability.COLOR if self._template.has_colors else Capability(0)),
        )

    def _ask_name(self, line: str) -> str:
        """The line before the confirmation; some sketches do not confirm this one."""
        said: list[str] = []

        def is_confirmation(answer: str) -> bool:
            said.append(answer)
            return bool(self._acknowledge.search(answer))

        try:
            self._talk.ask(self._bytes(line), is_confirmation)
        except LedArrayError:
            if not said:
                raise
            return said[0]
        return said[0] if len(said) > 1 else ""

    def positions_mm(self) -> None:
        """None: such a board does not know."""

    def show(self, brightness_l: NDArray[np.float32]) -> None:
        """Light a pattern, LED by LED."""
        levels_l = levels_of(brightness_l, self._full, self._led_count, self.port)
        leds = np.flatnonzero(levels_l).tolist()
        self._draw(leds, [self._on(led, int(levels_l[led])) for led in leds])

    def off(self) -> None:
        """Every LED off, in one line where the template has one."""
        self._draw([], [])

    def _on(self, led: int, level: int) -> str:
        red, green, blue = (round(level * part / 255) for part in self._color)
        return self._template.on.format(index=led + self._template.first_index, level=level, r=red, g=green, b=blue)

    def _draw(self, leds: list[int], lines: list[str]) -> None:
        with self._lock:
            dark = self._dark()
            self._lit = None
            for line in (self._template.begin, *dark, *lines, self._template.show):
                if line is not None:
                    self._tell(line)
            self._lit = leds

    def _dark(self) -> Iterable[str]:
        if self._template.clear is not None:
            return [self._template.clear]
        assert self._template.off is not None, "the profile's check"
        lit = range(self._led_count) if self._lit is None else self._lit
        return [self._template.off.format(index=led + self._template.first_index) for led in lit]

    def _tell(self, line: str) -> None:
        answer = self._talk.ask(self._bytes(line), self._is_answer)
        if self._error is not None and (refused := self._error.search(answer)):
            raise LedArrayError(
                f"The LED board on {self.port} refused '{shortened(line)}': {shortened(answer)!r} matches "
                f"led_board.template.error ({refused.re.pattern!r}).",
                "Check that the lines in led_board.template are those of the board's sketch.",
            )

    def _is_answer(self, line: str) -> bool:
        if self._acknowledge.search(line) or (self._error is not None and self._error.search(line)):
            return True
        _log.info("LED board on %s: %s", self.port, line)
        return False

    def _bytes(self, line: str) -> bytes:
        return (line + self._template.line_end).encode("ascii")

    def check(self) -> None:
        """Raise where the line is lost; see `LedArray.check`."""
        self._line.check()

    def greet(self) -> None:
        """As `check`: nobody knows a line that such a sketch answers and that changes nothing."""
        self.check()

    def close(self) -> None:
        """Close the port."""
        self._line.close()


def _cut_lines(stream: bytes) -> tuple[list[str], bytes]:
    *whole, rest = _LINE_END.split(stream)
    return [line.decode("ascii", "replace").strip() for line in whole if line.strip()], rest
