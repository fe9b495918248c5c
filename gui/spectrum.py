"""The spectrum of a camera frame, computed on a thread of its own: the newest frame wins."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import QObject, Signal

if TYPE_CHECKING:
    from numpy.typing import NDArray

LARGEST_SIDE = 512
"""Of the middle of the frame that is transformed: what counts are the rims of the discs, not fine bins."""
PERCENTILES = (20.0, 99.8)
"""Of the logarithm, shown as dark and bright."""


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Logarithm of the magnitude at each frequency, the middle of the array being 0.

    Attributes
    ----------
    log_yx
        (H, W) float32.
    levels
        What to show as dark and bright.
    brightness_l
        Which LEDs shone, (L,).
    """

    log_yx: NDArray[np.float32]
    levels: tuple[float, float]
    brightness_l: NDArray[np.float32]


def spectrum_of(image_yx: NDArray[np.uint16], brightness_l: NDArray[np.float32]) -> Spectrum:
    """Transform the middle of a frame of camera counts, (H, W), its edges faded out."""
    rows, columns = image_yx.shape
    height, width = min(rows, LARGEST_SIDE), min(columns, LARGEST_SIDE)
    top, left = (rows - height) // 2, (columns - width) // 2
    part_yx = image_yx[top : top + height, left : left + width].astype(np.float32)
    part_yx -= part_yx.mean()
    part_yx *= (np.hanning(height + 2)[1:-1, None] * np.hanning(width + 2)[1:-1]).astype(np.float32)
    magnitude_yx = np.abs(np.fft.fftshift(np.fft.fft2(part_yx)))
    log_yx = np.log10(magnitude_yx + max(1e-6 * float(magnitude_yx.max()), 1e-6)).astype(np.float32)
    low, high = (float(level) for level in np.percentile(log_yx, PERCENTILES))
    return Spectrum(log_yx, (low, max(high, low + 1e-3)), brightness_l)


class SpectrumService(QObject):
    """Takes frames, emits `ready(spectrum)` for the newest of them; those that come too fast are left out."""

    ready = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._changed = threading.Condition()
        self._waiting: tuple[NDArray[np.uint16], NDArray[np.float32]] | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, name="spectra", daemon=True)
        self._thread.start()

    def offer(self, image_yx: NDArray[np.uint16], brightness_l: NDArray[np.float32]) -> None:
        """Take a frame (H, W) and the LEDs that shone, (L,); in place of one that still waits."""
        with self._changed:
            self._waiting = image_yx, brightness_l
            self._changed.notify()

    def end(self) -> None:
        """Nothing will follow."""
        with self._changed:
            self._ended.set()
            self._changed.notify()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting is not None or self._ended.is_set())
                if self._ended.is_set() or self._waiting is None:
                    return
                (image_yx, brightness_l), self._waiting = self._waiting, None
            spectrum = spectrum_of(image_yx, brightness_l)
            with self._changed:
                if self._ended.is_set():
                    return
                self.ready.emit(spectrum)
