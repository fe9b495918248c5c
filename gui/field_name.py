"""What the field of a capture is called."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

FIELD_SUFFIX = ".field.h5"


def free_field_name(capture: Path, folder: Path) -> Path:
    """NAME.field.h5 in a folder, with a number where that is taken already."""
    stem = capture.name.removesuffix(".part").removesuffix(".h5")
    path = folder / f"{stem}{FIELD_SUFFIX}"
    number = 2
    while path.exists():
        path = folder / f"{stem}-{number}{FIELD_SUFFIX}"
        number += 1
    return path
