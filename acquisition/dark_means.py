"""From the dark frames of a scan to the means that its capture keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from acquisition.capture import CaptureWriter, Frame
    from acquisition.plan import ExposurePlan


class DarkMeans:
    """Means of a plan's dark frames, which come exposure after exposure, each written when it is complete.

    Parameters
    ----------
    plan, writer
        What is exposed, and the capture.
    """

    def __init__(self, plan: ExposurePlan, writer: CaptureWriter) -> None:
        self._writer = writer
        self._main_ms = plan.main_exposure_ms
        self._exposure_ms_n = plan.exposure_ms_n
        self._per_exposure = plan.dark_count // len(plan.exposures_ms)
        self._taken: list[Frame] = []

    def add(self, frame: Frame) -> None:
        """Take the next dark frame; errors as `CaptureWriter.write_dark`."""
        self._taken.append(frame)
        if len(self._taken) < self._per_exposure:
            return
        dark_yx = np.stack([taken.image_yx for taken in self._taken]).mean(axis=0, dtype=np.float32)
        is_main = self._exposure_ms_n[frame.index] == self._main_ms
        write = self._writer.write_dark if is_main else self._writer.write_other_dark
        write(dark_yx, frame.exposure_ms, self._per_exposure)
        self._taken.clear()
