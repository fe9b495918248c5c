"""Which image belongs to which pattern of a plan: by the order, by the name, or by a table."""

from __future__ import annotations

import csv
import math
import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from acquisition.image_sources import ImageImportError, ImageSource

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from acquisition.plan import ExposurePlan

LED_FIELD = "{led}"
"""Stands in a name pattern for the LED's number on the board."""
_KNOWN_COLUMNS = ("led", "file", "page", "exposure_ms", "time_point", "position", "host_time_s")


@dataclass(frozen=True)
class Placed:
    """An image in its place: its number in the source, the pattern that was lit, and what else is known of it."""

    image: int
    pattern: int
    exposure_ms: float | None = None
    host_time_s: float = math.nan  # nobody knows
    time_point: int | None = None
    position: int = 0


def by_order(source: ImageSource, patterns: int, repeats: int, plan_name: str) -> list[Placed]:
    """Take the images as the plan's patterns, in the order of LED numbers or as listed, again for each repeat."""
    needed = patterns * repeats
    if len(source.names) != needed:
        raise ImageImportError(
            f"{source.origin} holds {len(source.names)} images, the plan ({plan_name}) needs {needed}.",
            "Correct [plan] in the profile (kind, leds, repeats), take other images out, or say which is which: names"
            f" with {LED_FIELD} (--names) or a table (--order).",
        )
    return [Placed(number, number % patterns) for number in range(needed)]


def by_name(source: ImageSource, leds: Sequence[int], repeats: int, plan_name: str, pattern: str) -> list[Placed]:
    """Take the images whose names fit, in the plan's order; those of one LED in the order of their names."""
    if pattern.count(LED_FIELD) != 1:
        raise ImageImportError(f"The name pattern {pattern!r} needs {LED_FIELD} once.", "Write img_{led}.tif, say.")
    before, after = (".*?".join(map(re.escape, part.split("*"))) for part in pattern.split(LED_FIELD))
    regex = re.compile(f"{before}(\\d+){after}", re.IGNORECASE)
    led_of = {number: int(found[1]) for number, name in enumerate(source.names) if (found := regex.fullmatch(name))}
    count = Counter(led_of.values())
    wrong = {led: count[led] for led in leds if count[led] != repeats}
    wrong |= {led: number for led, number in count.items() if led not in leds}
    if wrong:
        led, number = next(iter(wrong.items()))
        raise ImageImportError(
            f"{number} images fit {pattern!r} for LED {led}, the plan ({plan_name}) needs"
            f" {repeats if led in leds else 0}; {len(wrong)} LEDs are wrong in this way.",
            "Correct the name pattern, or [plan] in the profile (kind, leds, repeats).",
        )
    placed = [Placed(number, leds.index(led)) for number, led in led_of.items()]
    return sorted(placed, key=lambda row: row.pattern)


def by_table(source: ImageSource, table: Path, led_count: int) -> tuple[list[Placed], tuple[int, ...]]:
    """Take the images as the rows of a CSV file say, in the order of its rows; and the LED of each pattern.

    The column `led` is needed. `file` names the image, or `page` (from 1); without them row by row. `exposure_ms`,
    `time_point`, `position` and `host_time_s` are taken over where they are. Other columns are left alone.
    """
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise ImageImportError(f"{table} cannot be read: {error}.", "Choose a CSV file with a column led.") from error
    # Spreadsheets write semicolons where the comma is the decimal point.
    rows = list(csv.DictReader(text.splitlines(), delimiter=";" if ";" in text.partition("\n")[0] else ","))
    columns = [name for name in _KNOWN_COLUMNS if rows and name in rows[0]]
    if "led" not in columns:
        raise ImageImportError(
            f"{table} has no rows with a column led.", "Write led in the first line, then a number a line."
        )
    number_of = {name.lower(): number for number, name in enumerate(source.names)}
    if not {"file", "page"} & set(columns) and len(rows) != len(number_of):
        message = f"{table} has {len(rows)} rows, {source.origin} holds {len(number_of)} images."
        raise ImageImportError(message, "Write a row for each image, or add a column file or page.")
    placed = []
    pattern_of: dict[int, int] = {}
    for number, row in enumerate(rows):
        led, image = _placed(row, columns, number, number_of, table, led_count)
        placed.append(replace(image, pattern=pattern_of.setdefault(led, len(pattern_of))))
    twice = [image for image, count in Counter(row.image for row in placed).items() if count > 1]
    if twice:
        raise ImageImportError(f"{table} names {source.names[twice[0]]} more than once.", "Correct the table.")
    return placed, tuple(pattern_of)


def _placed(
    row: dict[str, str], columns: list[str], number: int, number_of: dict[str, int], table: Path, led_count: int
) -> tuple[int, Placed]:
    """LED of a row, and the image in its place but for its pattern."""
    place = f"Line {number + 2} of {table}"
    values = {name: (row[name] or "").strip() for name in columns}
    name = values.get("file") or values.get("page") or ""
    image = number_of.get(name.lower()) if name or {"file", "page"} & set(columns) else number
    if image is None:
        raise ImageImportError(f"{place} names the image {name!r}, which is not there.", "Correct the table.")
    try:
        led = int(values["led"])
        exposure_ms = float(values["exposure_ms"]) if values.get("exposure_ms") else None
        host_time_s = float(values["host_time_s"]) if values.get("host_time_s") else math.nan
        time_point = int(values["time_point"]) if values.get("time_point") else None
        position = int(values.get("position") or 0)
    except ValueError as error:
        raise ImageImportError(f"{place}: {error}.", "Write numbers, with a point for decimals.") from error
    if not 0 <= led < led_count:
        message = f"{place} names LED {led}; the board has LEDs 0 to {led_count - 1}."
        raise ImageImportError(message, "Correct the table, or the geometry of the board in the profile.")
    if exposure_ms is not None and not exposure_ms > 0:
        raise ImageImportError(f"{place} has an exposure of {exposure_ms:g} ms.", "Give a number above 0.")
    return led, Placed(image, 0, exposure_ms, host_time_s, time_point, position)


def plan_leds(plan: ExposurePlan) -> list[int]:
    """LED of each pattern of a plan that lights one at a time.

    Raises
    ------
    ImageImportError
        It lights several at once.
    """
    if (np.count_nonzero(plan.patterns_pl, axis=1) != 1).any():
        raise ImageImportError(
            f"The plan ({plan.name}) lights several LEDs at once, a name with {LED_FIELD} tells one.",
            "Leave the name pattern out: the images are then taken in the order of the plan's patterns.",
        )
    leds: list[int] = plan.patterns_pl.argmax(axis=1).tolist()
    return leds
