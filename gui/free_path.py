"""Names of files that are free: what the window writes without asking never overwrites."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def free_path(folder: Path, stem: str, ending: str) -> Path:
    """``stem`` with ``ending`` (``.h5``, ``.field.h5``) in a folder, numbered where it is there, or being written."""
    path, number = folder / f"{stem}{ending}", 1
    while path.exists() or path.with_name(f"{path.name}.part").exists():
        number += 1
        path = folder / f"{stem}-{number}{ending}"
    return path
