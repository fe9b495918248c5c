"""Saturated pixels of a frame, also where the sensor is full before its counts are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SATURATED_LIMIT = 0.001
"""Share of saturated pixels from which an image misleads a reconstruction."""
_LEAST_LIGHT = 32  # counts above the offset; below, steps of one count may be heaps
_NEIGHBOURS, _HEAP = 8, 4.0


def saturated_share(image_yx: NDArray[np.uint16], full_count: int, offset: float) -> float:
    """Share of the pixels of a frame that are full.

    They are those at the largest possible count. Where there are none, they are those at the highest count that there
    is, if they are many and far more than at any of the next lower ones: light and its noise run out towards the top,
    only a limit heaps pixels up. It may be a full well, or a camera of 12 bits that writes them into 16.

    Parameters
    ----------
    image_yx
        (H, W) counts.
    full_count
        The largest count of the camera.
    offset
        Counts without light.
    """
    top = int(image_yx.max(initial=0))
    share = float(np.count_nonzero(image_yx >= min(top, full_count)) / max(1, image_yx.size))
    if top >= full_count:
        return share
    if share <= SATURATED_LIMIT or top < offset + _LEAST_LIGHT:
        return 0.0
    pixels = np.bincount(image_yx.ravel())
    below = pixels[:-1][pixels[:-1] > 0][-_NEIGHBOURS:]
    return share if pixels[-1] > _HEAP * below.max(initial=0) else 0.0
