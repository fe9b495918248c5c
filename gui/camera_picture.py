"""What the camera saw, on its way from the thread that took it to the window."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from acquisition.capture_saturation import saturated_share

if TYPE_CHECKING:
    from numpy.typing import NDArray

BINS = 128
"""Of a histogram."""


@dataclass(frozen=True, eq=False)
class CameraPicture:
    """What the camera saw, ready to be shown."""

    image_yx: NDArray[np.uint16]
    saturated_fraction: float
    counts: NDArray[np.int64]
    """Histogram of a part of the pixels over the camera's range, 128 bins."""
    taken_at_s: float
    """`time.monotonic` when it came."""
    brightness_l: NDArray[np.float32] | None = None
    """Which LEDs shone, (L,); None: none."""


def picture_of(
    image_yx: NDArray[np.uint16],
    saturation_counts: int,
    offset_counts: float,
    brightness_l: NDArray[np.float32] | None,
) -> CameraPicture:
    """Prepare an image that has just come.

    `saturation_counts` is the most that the camera can tell, `offset_counts` what it tells in the dark.
    """
    thinned = image_yx[:: max(1, image_yx.shape[0] // 256), :: max(1, image_yx.shape[1] // 256)]
    bins = (thinned.ravel().astype(np.int64) * BINS) // (saturation_counts + 1)
    saturated = saturated_share(image_yx, saturation_counts, offset_counts)
    return CameraPicture(
        image_yx, saturated, np.bincount(bins, minlength=BINS)[:BINS], time.monotonic(), brightness_l
    )


class LatestPicture:
    """A slot for one picture: a newer one replaces one that the window has not fetched yet."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._picture: CameraPicture | None = None

    def put(self, picture: CameraPicture) -> bool:
        """Return whether the slot was empty, so that the window must be told."""
        with self._lock:
            was_empty = self._picture is None
            self._picture = picture
            return was_empty

    def fetch(self) -> CameraPicture | None:
        """Take the picture out."""
        with self._lock:
            picture, self._picture = self._picture, None
            return picture
