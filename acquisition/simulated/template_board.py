"""The sketch of a home-made LED board, emulated: it understands the lines of [led_board.template] in the profile."""

from __future__ import annotations

import re
import string
from typing import TYPE_CHECKING

import numpy as np

from acquisition.errors import OperatorError

if TYPE_CHECKING:
    from collections.abc import Callable

    from acquisition.profile_template import TemplateSettings
    from acquisition.simulated.light import Light
    from acquisition.simulated.sequencer import Sequencer

_CONFIRMATIONS = ("ok", "OK", "done", "ack", "1")
_REFUSALS = ("error: no power", "ERROR: no power", "err", "fail", "nok", "?")


class TemplateFirmware:
    """A home-made board (see `acquisition.simulated.board.Firmware`).

    Without a refusal in the template it says something that neither confirms nor refuses.

    Raises
    ------
    OperatorError
        No answer is known that the template's expressions would accept.
    """

    page = b"LED board ready\r\n"

    def __init__(self, template: TemplateSettings, led_count: int) -> None:
        self.led_count = led_count
        self._template = template
        self._on = _expression(template.on)
        self._off = None if template.off is None else _expression(template.off)
        self._confirmation = _accepted(template.acknowledge, "acknowledge", _CONFIRMATIONS)
        self._refusal = b"" if re.search(template.acknowledge, _REFUSALS[0]) else _REFUSALS[0].encode() + b"\r\n"
        if template.error is not None:
            self._refusal = _accepted(template.error, "error", _REFUSALS)

    def power_on(self, light: Light, sequencer: Sequencer, clock: Callable[[], float]) -> None:
        """As after switching on."""
        self._light = light
        self._clock = clock
        self._pixels_l = np.zeros(self.led_count, np.float32)

    def answer(self, line: bytes) -> bytes:
        """Do what a line says."""
        text = line.decode("latin-1")
        template = self._template
        if text == template.identify:
            return b"simulated LED board\r\n" + self._confirmation
        if text == template.clear:
            self._pixels_l = np.zeros_like(self._pixels_l)
        elif text not in (template.begin, template.show):
            match = self._on.fullmatch(text)
            darkened = None if self._off is None else self._off.fullmatch(text)
            if not self._set(darkened, 0.0) and not self._set(match, _light(match, template.max_level)):
                return self._refusal
        if template.show is None or text == template.show:
            self._light.show(self._pixels_l, self._clock())
        return self._confirmation

    def refusal(self) -> bytes:
        """Its power source is disconnected."""
        return self._refusal

    def _set(self, match: re.Match[str] | None, light: float) -> bool:
        led = -1 if match is None else int(match["index"]) - self._template.first_index
        if not 0 <= led < self.led_count:
            return False
        self._pixels_l = self._pixels_l.copy()
        self._pixels_l[led] = light
        return True


def _light(match: re.Match[str] | None, full: int) -> float:
    levels = [int(value) for name, value in match.groupdict().items() if name != "index"] if match else []
    return min(max(levels, default=full) / full, 1.0)


def _expression(line: str) -> re.Pattern[str]:
    """What a line with placeholders looks like when they are filled in."""
    parts, seen = "", set[str]()
    for literal, name, _, _ in string.Formatter().parse(line):
        parts += re.escape(literal)
        if name is not None:
            parts += f"(?P={name})" if name in seen else rf" *(?P<{name}>\d+) *"
            seen.add(name)
    return re.compile(parts)


def _accepted(pattern: str, key: str, candidates: tuple[str, ...]) -> bytes:
    for text in (*candidates, pattern.strip("^$")):
        if re.search(pattern, text):
            return text.encode("latin-1", "replace") + b"\r\n"
    raise OperatorError(
        f"The simulated board finds no answer that led_board.template.{key} = {pattern!r} accepts.",
        f"Simulate with a simpler expression, such as {candidates[0]!r}.",
    )
