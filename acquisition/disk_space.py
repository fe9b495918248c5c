"""Room on a disk, asked before work begins and while it goes on."""

from __future__ import annotations

import math
import shutil
from typing import TYPE_CHECKING

from acquisition.capture_layout import CaptureError

if TYPE_CHECKING:
    from pathlib import Path

FREE_SPACE_RESERVE = 64 << 20
"""Bytes that stay free on the disk: a full one leaves no room to close the file properly."""


def capture_bytes(frames: int, image_shape: tuple[int, int], backgrounds: int = 0) -> int:
    """Size of a capture file: frames of (rows, columns) uint16, one dark frame and `backgrounds` float32 images."""
    return math.prod(image_shape) * (2 * frames + 4 * (1 + backgrounds)) + (1 << 20)


def check_space(folder: Path, bytes_needed: int, purpose: str = "this scan") -> None:
    """Refuse work that the disk of a folder has no room for; the folder may still have to be made.

    Raises
    ------
    CaptureError
        With what is free and what is needed.
    """
    place = folder.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    needed = bytes_needed + FREE_SPACE_RESERVE
    free = shutil.disk_usage(place).free
    if free < needed:
        raise CaptureError(
            f"The disk of {folder} is full: {_amount(free)} free, {_amount(needed)} needed for {purpose}.",
            "Free space on it or choose a folder on another disk.",
        )


def _amount(size: int) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 10 << 30 else f"{size / 2**20:.0f} MiB"
