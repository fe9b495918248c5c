"""From brightness 0 to 1 to what boards understand: whole numbers, LED by LED."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from acquisition.led_array.protocol import LedArrayError

if TYPE_CHECKING:
    from numpy.typing import NDArray

RGB = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""

NAMED_COLORS: dict[str, RGB] = {"white": (255, 255, 255), "red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
"""What led_board.color may say in a word."""


def levels_of(brightness: NDArray[np.float32], full: int, led_count: int | None, port: str) -> NDArray[np.int_]:
    """Whole-number levels, 0 to `full`, of patterns (..., L) with brightness 0 to 1.

    Raises
    ------
    LedArrayError
        The patterns have more LEDs than the board; `led_count` None: it has not been asked.
    """
    if led_count is not None and brightness.shape[-1] > led_count:
        raise LedArrayError(
            f"The pattern has {brightness.shape[-1]} LEDs, the board on {port} has {led_count}.",
            "Correct led_board.geometry in the hardware profile.",
        )
    levels: NDArray[np.int_] = np.rint(np.clip(brightness, 0.0, 1.0) * full).astype(int)
    return levels
