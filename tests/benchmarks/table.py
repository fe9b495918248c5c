"""Rows as a table of plain text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence


def cell(value: Any) -> str:
    """Write one value: three significant digits, nothing for what is not known."""
    if value is None:
        return ""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def table(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> str:
    """Lay rows out in columns as wide as their content; columns that no row fills are left out."""
    shown = [name for name in columns if any(row.get(name) is not None for row in rows)]
    lines = [list(shown), *([cell(row.get(name)) for name in shown] for row in rows)]
    widths = [max(len(line[k]) for line in lines) for k in range(len(shown))]
    return "\n".join(
        "  ".join(part.ljust(width) for part, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )
