"""The simulated camera: Micro-Manager's DemoCamera with a trigger input, an exposure output, and eyes.

DemoCamera knows sizes, exposure, region and buffer memory, but it can neither wait for a pulse nor give one, and it
paints its own pictures. So the core's calls for frames are taken over here: single frames are exposed by DemoCamera
itself, those of a sequence by a thread of this file, which waits for the LED board's pulses where the profile says so
(property TriggerDevice, of which DemoCamera makes nothing in a sequence of ours), tells the board when it exposes, and
notes the light of each exposure as it ends. What is noted becomes an image when it is fetched. The buffer holds as many
frames as Micro-Manager's would, and overflows as that does.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from acquisition.camera_sequence import buffer_capacity

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

TRIGGER_PROPERTY = "TriggerDevice"  # text: empty, or what gives the pulses
_CHECK_S = 0.05


class SimulatedCamera:
    """Takes over the frames of a core's camera.

    Parameters
    ----------
    core, label
        Micro-Manager's core (python) and its DemoCamera; used on the core's thread.
    gather
        Called at the end of each exposure with its start and end; returns the light (L,) that it gathered.
    develop
        Called when a frame is fetched, with its light and its exposure in seconds; returns the whole sensor's counts.
    exposure_out
        The camera's exposure output: called when an exposure begins, with its seconds.
    """

    def __init__(
        self,
        core: Any,
        label: str,
        gather: Callable[[float, float], NDArray[np.float32]],
        develop: Callable[[NDArray[np.float32], float], NDArray[np.uint16]],
        exposure_out: Callable[[float], None],
    ) -> None:
        self._core = core
        self._label = label
        self._gather = gather
        self._develop = develop
        self._exposure_out = exposure_out
        self._expose_demo, self._read_demo = core.snap_image, core.get_image
        self._single: tuple[NDArray[np.float32], float] | None = None
        self._buffer: deque[tuple[NDArray[np.float32], float]] = deque()
        self._overflowed = False
        self._pulses_s: queue.SimpleQueue[float] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        core.snap_image, core.get_image = self._snap, self._image
        core.start_sequence_acquisition = self._start
        core.stop_sequence_acquisition = self.stop
        core.is_sequence_running = self._running
        core.get_remaining_image_count = lambda: len(self._buffer)
        core.is_buffer_overflowed = lambda: self._overflowed
        core.clear_circular_buffer = self._buffer.clear
        core.pop_next_image = self._pop
        core.pop_next_image_md = lambda *arguments: self._pop()  # what pop_next_tagged_image asks

    def trigger(self, time_s: float) -> None:
        """Give a pulse to the trigger input: an exposure begins at that time; it is lost while one is on."""
        self._pulses_s.put(time_s)

    def _snap(self) -> None:
        exposure_s = self._core.get_exposure() / 1000
        start = time.perf_counter()
        self._exposure_out(exposure_s)
        self._expose_demo()
        self._single = self._gather(start, start + exposure_s), exposure_s

    def _image(self) -> NDArray[np.uint16]:
        blank = self._read_demo()
        return blank if self._single is None else self._cut(*self._single)

    def _pop(self) -> NDArray[np.uint16]:
        return self._cut(*self._buffer.popleft())

    def _cut(self, light_l: NDArray[np.float32], exposure_s: float) -> NDArray[np.uint16]:
        x, y, width, height = self._core.get_roi()
        return self._develop(light_l, exposure_s)[y : y + height, x : x + width]

    def _running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _start(self, count: int, interval_ms: float, stop_on_overflow: bool) -> None:
        if not stop_on_overflow:
            raise ValueError("a simulated sequence ends when its buffer is full")
        core = self._core
        self._buffer.clear()
        self._overflowed = False
        self._stop.clear()
        self._thread = threading.Thread(
            target=self._take,
            name="simulated-camera",
            daemon=True,
            args=(
                count,
                core.get_exposure() / 1000,
                float(core.get_property(self._label, "ReadoutTime")) / 1000,
                bool(core.get_property(self._label, TRIGGER_PROPERTY)),
                buffer_capacity(core)[0],
            ),
        )
        self._thread.start()

    def stop(self) -> None:
        """End the sequence, if one is running."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _take(self, count: int, exposure_s: float, read_out_s: float, external: bool, capacity: int) -> None:
        free_s = time.perf_counter()
        for _ in range(count):
            start = self._pulse_after(free_s) if external else time.perf_counter()
            if start is None:
                return
            self._exposure_out(exposure_s)
            told_s = time.perf_counter()
            end = start + exposure_s  # a camera's clock does not wait for a busy computer
            self._sleep_until(end)
            if self._stop.is_set():
                return
            if len(self._buffer) >= capacity:
                self._overflowed = True
                return
            self._buffer.append((self._gather(start, end), exposure_s))
            free_s = end + read_out_s
            if not external:
                self._sleep_until(max(free_s, told_s + exposure_s))  # the board counts from when it was told

    def _pulse_after(self, free_s: float) -> float | None:
        """Wait for a pulse that finds the camera free; None when the sequence is stopped first."""
        while not self._stop.is_set():
            with contextlib.suppress(queue.Empty):
                if (pulse_s := self._pulses_s.get(timeout=_CHECK_S)) >= free_s:
                    return pulse_s
        return None

    def _sleep_until(self, time_s: float) -> None:
        while not self._stop.is_set() and (left_s := time_s - time.perf_counter()) > 0:
            time.sleep(min(left_s, _CHECK_S))
