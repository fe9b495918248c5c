"""Tables that operators write by hand or in a spreadsheet: CSV with a head line, every fault told with its line.

Commas or, as some spreadsheets write, semicolons (with decimal commas then); lines that are empty or begin with # are
left out.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from acquisition.errors import OperatorError
from acquisition.profile_faults import nearest

if TYPE_CHECKING:
    from collections.abc import Sequence


class CsvError(OperatorError):
    """A table cannot be read, or a value in it is not allowed."""


@dataclass(frozen=True)
class Row:
    """One line of a table: its number in the file, and the text in each column."""

    path: Path
    line: int
    texts: dict[str, str]
    decimal_comma: bool

    def error(self, column: str, allowed: str, remedy: str = "") -> CsvError:
        """Make the error that says what is wrong with the value in a column."""
        value = self.texts.get(column, "") or "(empty)"
        return CsvError(
            f"{self.path}, line {self.line}: {column} is {value}, allowed: {allowed}.",
            remedy or f"Correct {column} in line {self.line}.",
        )

    def text(self, column: str) -> str:
        """Return what stands in a column; it may not be empty."""
        if not self.texts[column]:
            raise self.error(column, "text that is not empty")
        return self.texts[column]

    def given(self, column: str) -> bool:
        """Whether the table has the column and something stands in it."""
        return bool(self.texts.get(column))

    def number(self, column: str, allowed: str = "a finite number") -> float:
        """Return the finite number in a column; `allowed` is told where it is none."""
        text = self.texts[column]
        try:
            value = float(text.replace(",", ".") if self.decimal_comma else text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise self.error(column, allowed)
        return value

    def whole_number(self, column: str, low: int, high: int) -> int:
        """Return the whole number in a column, within limits that are both allowed."""
        allowed = f"a whole number from {low} to {high}"
        value = self.number(column, allowed)
        if value != int(value) or not low <= value <= high:
            raise self.error(column, allowed)
        return int(value)


def read_rows(path: str | Path, needed: Sequence[str], optional: Sequence[str] = ()) -> list[Row]:
    """Read a table.

    Parameters
    ----------
    path
        CSV file, UTF-8.
    needed, optional
        Names of its columns, in any order.

    Raises
    ------
    CsvError
        There is no such file, it is not text, its columns are others, a line has too few or too many values, or there
        is no line below the head.
    """
    path = Path(path)
    columns = f"the columns {', '.join(needed)}" + (f" and perhaps {', '.join(optional)}" if optional else "")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = str(error.strerror) if isinstance(error, OSError) else "not UTF-8 text"
        raise CsvError(f"{path} cannot be read: {reason}.", f"Give a CSV file with {columns}.") from error
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip(" \t,;")]
    lines = [(number, line) for number, line in lines if not line.lstrip().startswith("#")]
    if not lines:
        raise CsvError(f"{path} is empty.", f"Give a CSV file with {columns}.")
    head_line, head_text = lines[0]
    delimiter = ";" if ";" in head_text else ","
    head = _split(head_text, delimiter)
    for name in head:
        if name not in (*needed, *optional) or head.count(name) > 1:
            near = nearest(name, [*needed, *optional])
            raise CsvError(
                f"{path}, line {head_line}: the column {name!r} is not known or there twice, allowed: {columns}.",
                f"Did you mean {near}?" if near and near not in head else "Take the column out.",
            )
    missing = [name for name in needed if name not in head]
    if missing:
        raise CsvError(
            f"{path}, line {head_line}: the column {missing[0]} is missing, allowed: {columns}.",
            "Name the columns in the first line of the file.",
        )
    rows = []
    for number, line in lines[1:]:
        parts = _split(line, delimiter)
        if len(parts) != len(head):
            raise CsvError(
                f"{path}, line {number}: {len(parts)} values, allowed: {len(head)}, one for each of {', '.join(head)}.",
                f"Correct line {number}.",
            )
        rows.append(Row(path, number, dict(zip(head, parts, strict=True)), delimiter == ";"))
    if not rows:
        raise CsvError(f"{path} has a head and nothing below it.", f"Add lines with {columns}.")
    return rows


def _split(line: str, delimiter: str) -> list[str]:
    return [part.strip() for part in next(csv.reader([line], delimiter=delimiter))]
