"""The camera behind Micro-Manager: settings, single frames, and sequences of frames.

Every setting is made, read back, and told where the camera did not obey (`Camera.warnings`). It is an error only where
the images would be wrong without anybody noticing: another binning, another region, too few bits, no trigger.
"""

from __future__ import annotations

import logging
import re
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from acquisition.camera_sequence import CameraError, FrameSequence, buffer_capacity
from acquisition.micromanager import OPEN_TIMEOUT_S, set_property, strings, tell, warned

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from acquisition.micromanager import MicroManager
    from acquisition.profile_camera import CameraSettings

__all__ = ["Camera", "CameraError"]

_log = logging.getLogger(__name__)

_EXPOSURE_TOLERANCE = 0.01
_TURN_S = 0.05  # so long a waiting `next_frame` keeps the core's thread from others


class Camera:
    """A camera that is ready. Callable from any thread: calls are queued one after the other.

    Every method raises `MicroManagerError` when Micro-Manager does not answer; `CameraError`, which is one, when it is
    the camera.

    Parameters
    ----------
    micromanager
        Open; it stays so when the camera is closed.
    settings
        Of the hardware profile.
    prepare
        Called with core and camera label, on the core's thread, before any setting is made.

    Attributes
    ----------
    label
        In Micro-Manager.
    image_shape
        (H, W) of every frame.
    warnings
        What the camera did not obey, in words.
    has_external_trigger
        The profile says how the camera is told to wait for a pulse before each exposure.
    exposure_out
        The profile says that the camera's exposure output is wired to the LED board.

    Raises
    ------
    MicroManagerError
        No camera, or a setting without which the images would be wrong.
    """

    def __init__(
        self,
        micromanager: MicroManager,
        settings: CameraSettings,
        prepare: Callable[[Any, str], None] | None = None,
    ) -> None:
        self._micromanager = micromanager
        self._core = micromanager.core
        self._settings = settings
        self._exposure_ms = 0.0
        self._sequence: FrameSequence | None = None
        self._fetched: deque[NDArray[np.uint16]] = deque()
        self.label = ""
        self.image_shape: tuple[int, int] = (0, 0)
        self.warnings: tuple[str, ...] = ()
        self.has_external_trigger = bool(settings.trigger.external)
        self.exposure_out = settings.trigger.exposure_out
        micromanager.call(lambda: self._make_ready(prepare), OPEN_TIMEOUT_S)

    def _make_ready(self, prepare: Callable[[Any, str], None] | None) -> None:
        core, settings, told = self._core, self._settings, list[str]()
        self.label = settings.device or str(core.get_camera_device())
        devices = self._micromanager.devices()
        if self.label not in devices:
            raise CameraError(
                f"Micro-Manager has no camera {self.label!r}."
                if self.label
                else "Micro-Manager's configuration names no camera.",
                f"Devices: {', '.join(devices)}. Set camera.device in the profile, or the camera in the configuration.",
            )
        if settings.device is not None:
            core.set_camera_device(self.label)
        if core.is_sequence_running():
            core.stop_sequence_acquisition()
            told.append(f"{self.label} was running, perhaps live in Micro-Manager; it was stopped.")
        if prepare is not None:
            prepare(core, self.label)
        properties = {**settings.trigger.internal, **settings.properties}
        if settings.pixel_type is not None:
            properties["PixelType"] = settings.pixel_type
        for name, value in properties.items():
            told.append(set_property(core, self.label, name, value))
        for name in settings.trigger.external:
            if not core.has_property(self.label, name):
                raise CameraError(
                    f"The camera {self.label} has no property {name!r} of camera.trigger.external.",
                    f"It has: {', '.join(strings(core.get_device_property_names(self.label)))}.",
                )
        told.append(self._set_gain())
        self._set_binning()
        self._set_roi()
        told.append(self._check_bits())
        told.append(self._set_exposure(settings.exposure_ms.default))
        self.warnings = warned(told)

    def _set_gain(self) -> str:
        if (gain := self._settings.gain) is None:
            return ""
        if not self._core.has_property(self.label, "Gain"):
            return f"{self.label} has no property Gain: camera.gain = {gain:g} is not used."
        return set_property(self._core, self.label, "Gain", f"{gain:g}")

    def _set_binning(self) -> None:
        core, binning = self._core, self._settings.binning
        if not core.has_property(self.label, "Binning"):
            found = "1"
        else:
            allowed = strings(core.get_allowed_property_values(self.label, "Binning"))
            # Some cameras write 2x2 for 2.
            value = next((text for text in allowed if _leading_number(text) == binning), str(binning))
            set_property(core, self.label, "Binning", value)
            found = str(core.get_property(self.label, "Binning"))
        if _leading_number(found) != binning:
            raise CameraError(
                f"The camera {self.label} bins by {found} instead of camera.binning = {binning}.",
                "Choose a binning that the camera has: the size of a pixel follows from it.",
            )

    def _set_roi(self) -> None:
        core, roi = self._core, self._settings.roi
        core.clear_roi()
        width, height = int(core.get_image_width()), int(core.get_image_height())
        if roi is not None:
            if roi[0] + roi[2] > width or roi[1] + roi[3] > height:  # not every adapter notices
                raise CameraError(
                    f"camera.roi = {list(roi)} reaches beyond the {width} x {height} pixels of {self.label}.",
                    "Choose x, y, width and height inside the sensor (binned pixels).",
                )
            what = f"The camera {self.label} does not take roi = {list(roi)}"
            tell(CameraError, what, lambda: core.set_roi(*roi))
        self.image_shape = (int(core.get_image_height()), int(core.get_image_width()))
        if roi is not None and self.image_shape != (roi[3], roi[2]):
            raise CameraError(
                f"The camera {self.label} reads {self.image_shape[1]} x {self.image_shape[0]} pixels instead of "
                f"the {roi[2]} x {roi[3]} of camera.roi.",
                "Choose a region inside the sensor, with sizes that the camera can do (often multiples of 4 or 8).",
            )

    def _check_bits(self) -> str:
        bytes_per_pixel, bits = int(self._core.get_bytes_per_pixel()), int(self._core.get_image_bit_depth())
        depth = self._settings.bit_depth
        if bytes_per_pixel > 2:
            raise CameraError(
                f"The camera {self.label} gives {bytes_per_pixel} bytes a pixel: colour or 32 bit.",
                "Set camera.pixel_type in the profile to a grey type of 8 to 16 bit.",
            )
        if 8 * bytes_per_pixel < depth:
            raise CameraError(
                f"The camera {self.label} gives 8 bits a pixel, the profile says camera.bit_depth = {depth}.",
                "Set camera.pixel_type in the profile (often 16bit), or correct camera.bit_depth.",
            )
        if bits != depth:
            return (
                f"{self.label} says that it has {bits} bits, the profile camera.bit_depth = {depth}: by the latter "
                "saturated pixels are found."
            )
        return ""

    @property
    def exposure_ms(self) -> float:
        """Exposure as the camera has it."""
        return self._exposure_ms

    def set_exposure_ms(self, exposure_ms: float) -> float:
        """Set the exposure and return what the camera made of it; logs a warning where that is something else.

        Raises
        ------
        CameraError
            Outside the limits of the profile, refused by the camera, or a sequence is running.
        """
        limits = self._settings.exposure_ms
        if not limits.min <= exposure_ms <= limits.max:  # the core silently ignores what it does not like
            raise CameraError(
                f"An exposure of {exposure_ms:g} ms is outside {limits.min:g} to {limits.max:g} ms.",
                "Choose one within the limits, or change camera.exposure_ms in the hardware profile.",
            )
        self._refuse_in_sequence()
        warned([self._micromanager.call(lambda: self._set_exposure(exposure_ms))])
        return self._exposure_ms

    def _set_exposure(self, exposure_ms: float) -> str:
        core = self._core
        what = f"The camera {self.label} does not take {exposure_ms:g} ms"
        tell(CameraError, what, lambda: core.set_exposure(float(exposure_ms)))
        self._exposure_ms = float(core.get_exposure())
        if abs(self._exposure_ms - exposure_ms) <= _EXPOSURE_TOLERANCE * exposure_ms:
            return ""
        return f"{self.label} was asked for {exposure_ms:g} ms and exposes {self._exposure_ms:g} ms."

    def snap(self) -> NDArray[np.uint16]:
        """Expose one frame and read it, (H, W) counts.

        Raises
        ------
        CameraError
            The camera reports an error, gives an image of another size, or a sequence is running.
        """
        self._refuse_in_sequence()
        return self._micromanager.call(self._snap, self._frame_timeout_s())

    def _snap(self) -> NDArray[np.uint16]:
        def expose() -> Any:
            self._core.snap_image()
            return self._core.get_image()

        return self._to_counts(tell(CameraError, f"The camera {self.label} could not take a frame", expose))

    def _to_counts(self, handed_over: Any) -> NDArray[np.uint16]:
        """Put into shape what the core gives: a copy already; over Java one row after the other, and signed."""
        pixels = np.asarray(handed_over)
        if pixels.size != self.image_shape[0] * self.image_shape[1]:
            raise CameraError(
                f"The camera {self.label} gave {pixels.size} pixels instead of {self.image_shape}.",
                "Was the region of interest or the binning changed in Micro-Manager? Connect the instrument again.",
            )
        counts = pixels.view(np.uint16) if pixels.dtype.itemsize == 2 else pixels.view(np.uint8).astype(np.uint16)
        return counts.reshape(self.image_shape)

    def start_sequence(self, count: int, interval_ms: float = 0.0, external_trigger: bool = False) -> None:
        """Let the camera take frames by itself; returns as soon as it has begun, or waits for its first pulse.

        Until `stop_sequence`, `snap` and `set_exposure_ms` are refused. The exposure is the one set last.

        Parameters
        ----------
        count
            After so many frames the camera ends by itself. To see whether pulses were too many, ask for more than are
            expected, and look at what `stop_sequence` returns.
        interval_ms
            Handed to the camera, which most of them ignore: 0, one exposure follows the other as fast as it can.
        external_trigger
            Each exposure waits for a pulse of the LED board: the properties of camera.trigger.external are set before,
            those of camera.trigger.internal by `stop_sequence`. Start the board after this method has returned.

        Raises
        ------
        CameraError
            Micro-Manager's buffer does not hold two frames; the camera cannot wait for pulses, or does not start; a
            sequence is running. The camera is then as before.
        """
        self._refuse_in_sequence()
        if count < 1:
            raise CameraError(f"A sequence of {count} frames was asked for.", "Ask for one frame or more.")
        if external_trigger and not self.has_external_trigger:
            raise CameraError(
                "The profile does not say how the camera is told to wait for the LED board.",
                "Fill in camera.trigger.external and internal in the hardware profile, or scan with another trigger.",
            )
        trigger = self._settings.trigger if external_trigger else None

        def start() -> FrameSequence:
            sequence = FrameSequence(self._core, self.label, count, trigger, self._to_counts)
            sequence.start(interval_ms)
            return sequence

        self._fetched.clear()  # a fetch that `stop_sequence` has overtaken may have left some
        self._sequence = self._micromanager.call(start)

    def next_frame(self, timeout_s: float) -> NDArray[np.uint16]:
        """Wait for the next frame of the sequence, (H, W) counts, in the order in which they were taken.

        Call it again and again: frames that are not fetched stay in Micro-Manager's buffer, which overflows after
        `buffer_frames`. Returns at once when a frame is there; sleeps meanwhile, and lets other threads' calls pass.

        Parameters
        ----------
        timeout_s
            How long to wait: exposure, interval and read-out of the camera, plus what the board may take.

        Raises
        ------
        CameraError
            No frame came in time (it may be called again); the buffer overflowed, the camera ended early, or all were
            fetched (all frames before have been handed out, none comes any more); the sequence was stopped. The
            message tells how many came. The sequence stays to be ended by `stop_sequence` in any case.
        """
        sequence = self._sequence
        if sequence is None:
            raise CameraError("The camera takes no sequence.", "Start the scan again.")
        until = time.monotonic() + timeout_s
        while not self._fetched:
            left_s = until - time.monotonic()
            turn_s = min(max(left_s, 0.0), _TURN_S)
            # Before its turn may come that of `stop_sequence`, for which cameras end their exposure.
            frames = self._micromanager.call(partial(sequence.fetch, turn_s), turn_s + self._frame_timeout_s())
            self._fetched.extend(frames)
            if not frames and left_s <= 0:
                raise sequence.late(timeout_s)
        return self._fetched.popleft()

    def stop_sequence(self) -> int:
        """End the sequence, from any thread; nothing happens when there is none.

        Returns
        -------
        How many frames the camera gave that were not fetched; 0 when there was no sequence.

        Raises
        ------
        CameraError
            The camera could not be stopped. It counts as stopped nevertheless.
        """
        sequence, self._sequence = self._sequence, None
        if sequence is None:
            return 0
        left = self._micromanager.call(sequence.stop, self._frame_timeout_s()) + len(self._fetched)
        self._fetched.clear()
        return left

    @property
    def in_sequence(self) -> bool:
        """A sequence was started and not yet stopped."""
        return self._sequence is not None

    def buffer_frames(self) -> int:
        """How many frames Micro-Manager's buffer holds, which is how far the consumer may lag behind."""
        return self._micromanager.call(lambda: buffer_capacity(self._core)[0])

    def _frame_timeout_s(self) -> float:
        return self._exposure_ms / 1000 + self._micromanager.patience_s

    def _refuse_in_sequence(self) -> None:
        if self._sequence is not None:
            raise CameraError(f"The camera {self.label} is taking a sequence.", "Wait for its end, or cancel the scan.")

    def pixel_size_um(self) -> float:
        """Object-side pixel as Micro-Manager has it calibrated; 0 where it is not."""
        return self._micromanager.call(lambda: float(self._core.get_pixel_size_um()))

    def close(self) -> None:
        """End a running sequence; safe to call twice, never raises."""
        try:
            self.stop_sequence()
        except Exception as error:
            _log.warning("closing the camera: %s", error)


def _leading_number(text: str) -> int:
    """Return the 2 of "2", "2.0" and "2x2"; 0 where there is none."""
    found = re.match(r"\s*(\d+)", text)
    return int(found[1]) if found else 0
