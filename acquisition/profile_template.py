"""The table [led_board.template] of a hardware profile: the language of a home-made LED board."""

from __future__ import annotations

import re
import string
from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from acquisition.profile_faults import broken_rule
from acquisition.profile_table import Table

_PLACES = {"on": ("index", "level", "r", "g", "b"), "off": ("index",)}
"""Placeholders that a line may have; the other lines have none."""


class TemplateSettings(Table):
    """The lines that the board's sketch understands, and those it answers."""

    on: str = Field(min_length=1, description="line that lights an LED, such as '{index},{r},{g},{b}'")
    off: str | None = Field(default=None, min_length=1, description="line that darkens an LED, such as '{index},0,0,0'")
    clear: str | None = Field(default=None, min_length=1, description="line that darkens all LEDs")
    begin: str | None = Field(default=None, min_length=1, description="line sent before each pattern")
    show: str | None = Field(default=None, min_length=1, description="line sent after each pattern, to make it visible")
    identify: str | None = Field(default=None, min_length=1, description="line that asks the board's name")
    acknowledge: str = Field(
        default="^ok", min_length=1, description="regular expression found in the answer that confirms a line"
    )
    error: str | None = Field(
        default=None, min_length=1, description="regular expression found in the answer that refuses a line"
    )
    line_end: Literal["\n", "\r\n", "\r"] = Field(default="\n", description="what ends each line sent")
    first_index: int = Field(default=0, ge=0, description="the board's number of the first LED")
    max_level: int = Field(default=255, ge=1, le=65535, description="the board's highest brightness")
    opening_delay_s: float = Field(
        default=2.0, ge=0, le=60, description="wait after opening the port, which restarts an Arduino Uno, s"
    )
    reply_timeout_s: float = Field(default=2.0, gt=0, le=60, description="longest wait for the answer to a line, s")

    @field_validator("on", "off", "clear", "begin", "show", "identify")
    @classmethod
    def _is_line(cls, line: str | None, info: ValidationInfo) -> str | None:
        if line is None:
            return None
        places = _PLACES.get(info.field_name or "", ())
        allowed = f"one line of plain characters with {_listed(places)}" if places else "one line of plain characters"
        remedy = "write {{ and }} for braces that are meant as such"
        if not line.isascii() or not line.isprintable():
            raise broken_rule(allowed, "line ends are added by line_end; leave them out")
        try:
            found = [(name, form) for _, name, form, _ in string.Formatter().parse(line) if name is not None]
            line.format(**dict.fromkeys(places, 0))
        except (ValueError, KeyError, IndexError, AttributeError) as error:
            raise broken_rule(allowed, remedy) from error
        if any(name not in places for name, _ in found):
            raise broken_rule(allowed, remedy)
        if places and "index" not in (name for name, _ in found):
            raise broken_rule(f"{allowed}; {{index}} is needed", "say where in the line the LED's number stands")
        return line

    @field_validator("acknowledge", "error")
    @classmethod
    def _is_pattern(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            try:
                re.compile(pattern)
            except re.error as error:
                raise broken_rule(
                    f"a regular expression ({error})", r"write \( \[ \+ \. for characters that are meant as such"
                ) from error
        return pattern

    def model_post_init(self, context: Any) -> None:
        """Refuse a board that cannot be darkened."""
        if self.clear is None and self.off is None:
            raise broken_rule("a table with clear or off", "add the line that darkens all LEDs, or one LED")

    @property
    def has_colors(self) -> bool:
        """Whether the board is told red, green and blue."""
        return bool(self._named() & {"r", "g", "b"})

    @property
    def has_levels(self) -> bool:
        """Whether the board is told how bright."""
        return self.has_colors or "level" in self._named()

    def _named(self) -> set[str | None]:
        return {name for _, name, _, _ in string.Formatter().parse(self.on)}


def _listed(places: tuple[str, ...]) -> str:
    return ", ".join(f"{{{place}}}" for place in places)
