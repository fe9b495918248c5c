"""A run of frames that the camera takes by itself, fetched from Micro-Manager's circular buffer.

Everything here runs on the core's thread. A frame costs one copy of its pixels and three calls; nothing waits in
Python that could wait in the buffer, so a consumer that is too slow is told so by the overflow, and not by the memory
of the computer.
"""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING, Any

from acquisition.micromanager import MicroManagerError, set_property, tell, warned

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from acquisition.profile_camera import TriggerSettings

_log = logging.getLogger(__name__)

_LEAST_CAPACITY = 2  # frames: one is written while the other is read
_GOOD_CAPACITY = 16  # frames, for a disk that hesitates
_BATCH = 8
_BATCH_S = 0.02  # the consumer gets what there is after so long
_GRACE_S = 0.1  # some cameras say that they have ended just before they hand over their last frame
_POLLS_PER_EXPOSURE = 10
_POLL_S = (0.0002, 0.005)


class CameraError(MicroManagerError):
    """The camera does not do what it was told."""


class FrameSequence:
    """One sequence from start to stop.

    Parameters
    ----------
    core, label
        Micro-Manager's core and the camera.
    count
        Frames to take.
    trigger
        With external trigger: the properties to set before, and back after.
    to_counts
        Makes (H, W) counts of what the core hands over.
    """

    def __init__(
        self,
        core: Any,
        label: str,
        count: int,
        trigger: TriggerSettings | None,
        to_counts: Callable[[Any], NDArray[np.uint16]],
    ) -> None:
        self._core = core
        self._label = label
        self._trigger = trigger
        self._to_counts = to_counts
        self._poll_s = min(max(core.get_exposure() / 1000 / _POLLS_PER_EXPOSURE, _POLL_S[0]), _POLL_S[1])
        self._stopped = False
        self._quiet_since: float | None = None
        self.count = count
        self.fetched = 0

    def start(self, interval_ms: float) -> None:
        """Check the buffer, set the trigger, and let the camera begin."""
        core = self._core
        capacity, frame_mb = buffer_capacity(core)
        if capacity < _LEAST_CAPACITY:
            raise CameraError(
                f"Micro-Manager's frame buffer of {core.get_circular_buffer_memory_footprint()} MB is too small for "
                f"frames of {frame_mb:.3g} MB.",
                f"Set micromanager.buffer_mb (with the java backend: Micro-Manager's sequence buffer) to "
                f"{math.ceil(_GOOD_CAPACITY * frame_mb)} or more, or choose a smaller camera.roi.",
            )
        if self.count > capacity:
            _log.info("%s: the buffer holds %d of %d frames", self._label, capacity, self.count)
        try:
            if self._trigger is not None:
                for name, value in self._trigger.external.items():
                    if fault := set_property(core, self._label, name, value):
                        raise CameraError(
                            f"{fault} Without it the camera would not wait for the LED board.",
                            "Correct camera.trigger.external in the profile.",
                        )
            tell(
                CameraError,
                f"The camera {self._label} could not start a sequence",
                lambda: core.start_sequence_acquisition(self.count, float(interval_ms), True),
            )
        except BaseException:
            self._trigger_back()
            raise

    def fetch(self, wait_s: float) -> list[NDArray[np.uint16]]:
        """Take what the camera has, up to some frames; waits for the first one, and returns none after `wait_s`."""
        core = self._core
        until = time.perf_counter() + wait_s
        while True:
            if self._stopped:
                raise CameraError("The sequence was stopped.", "Scan again.")
            running = core.is_sequence_running()  # asked first: what is there afterwards is all that will come
            if waiting := core.get_remaining_image_count():
                break
            now = time.perf_counter()
            if running:
                self._quiet_since = None
            else:
                self._quiet_since = self._quiet_since or now
                if now - self._quiet_since > _GRACE_S:
                    raise self._why_no_more()
            if now >= until:
                return []
            time.sleep(self._poll_s)
        frames = []
        until = time.perf_counter() + _BATCH_S
        for _ in range(min(waiting, _BATCH)):
            pixels = tell(CameraError, f"A frame of {self._label} could not be read", core.pop_next_image)
            frames.append(self._to_counts(pixels))
            self.fetched += 1
            if time.perf_counter() > until:
                break
        return frames

    def _why_no_more(self) -> CameraError:
        came = f"{self.fetched} of {self.count} frames"
        if self.fetched >= self.count:
            return CameraError(f"All {came} of the sequence were fetched; there are no more.", "Scan again.")
        if self._core.is_buffer_overflowed():
            capacity, _ = buffer_capacity(self._core)
            return CameraError(
                f"Micro-Manager's frame buffer overflowed: {came} came. It holds {capacity} frames, and they were "
                f"taken faster than they were stored.",
                "Increase micromanager.buffer_mb, choose a smaller camera.roi, or expose longer; then scan again.",
            )
        return CameraError(
            f"The camera {self._label} ended its sequence early: {came} came.",
            "Check cable and power of the camera, and Micro-Manager's log; then scan again.",
        )

    def late(self, timeout_s: float) -> CameraError:
        """Make the error for a frame that has not come in time."""
        return CameraError(
            f"The camera {self._label} gave no frame within {timeout_s:g} s: {self.fetched} of {self.count} came.",
            "Check the cable from the LED board's trigger output to the camera's trigger input, and camera.trigger in "
            "the profile; then scan again."
            if self._trigger is not None
            else "Check cable and power of the camera; then scan again.",
        )

    def stop(self) -> int:
        """End the sequence, whatever state it is in; returns the frames that lay in the buffer."""
        self._stopped = True
        core = self._core
        try:
            tell(CameraError, f"The camera {self._label} could not stop its sequence", core.stop_sequence_acquisition)
            left = int(core.get_remaining_image_count())
            core.clear_circular_buffer()
            return left
        finally:
            self._trigger_back()

    def _trigger_back(self) -> None:
        if self._trigger is not None:
            internal = self._trigger.internal
            warned([set_property(self._core, self._label, name, value) for name, value in internal.items()])


def buffer_capacity(core: Any) -> tuple[int, float]:
    """How many frames the circular buffer holds, and the size of one in MB."""
    frame_mb = core.get_image_width() * core.get_image_height() * core.get_bytes_per_pixel() / 2**20
    return int(core.get_circular_buffer_memory_footprint() / frame_mb), frame_mb
