"""The live view: images one after the other on a thread of its own, while no scan has the instrument."""

from __future__ import annotations

import atexit
import logging
import threading
from typing import TYPE_CHECKING

import numpy as np

from acquisition.errors import OperatorError
from acquisition.led_array.protocol import LedArrayError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from acquisition.instrument import Instrument

_log = logging.getLogger(__name__)


class LiveView:
    """Snaps continuously on a thread of its own and pauses by itself while a scan has the instrument.

    Parameters
    ----------
    instrument
        Open.
    on_image
        Called on the live thread with each image (H, W) uint16. The next one is taken when it has returned, so nothing
        queues up. What it raises is logged and the view goes on.
    on_error
        Called at most once, on the live thread, with what ended the view, or that the LEDs may still be on after it;
        None: it is logged.
    """

    def __init__(
        self,
        instrument: Instrument,
        on_image: Callable[[NDArray[np.uint16]], None],
        on_error: Callable[[OperatorError], None] | None = None,
    ) -> None:
        self._instrument = instrument
        self._on_image = on_image
        self._on_error = on_error
        self._lock = threading.Lock()
        self._pattern_l = np.zeros(len(instrument.led_na_l2), np.float32)
        self._exposure_ms = instrument.camera.exposure_ms
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="live-view", daemon=True)
        self._dirty = True

    def start(self) -> None:
        """Begin."""
        atexit.register(self.stop, 2.0)  # a program that ends without a word does not leave the light on
        self._thread.start()

    def set_pattern(self, brightness_l: NDArray[np.float32]) -> None:
        """Light this from the next frame on, (L,) 0 to 1; returns at once."""
        with self._lock:
            self._pattern_l, self._dirty = np.array(brightness_l, np.float32), True

    def set_exposure_ms(self, exposure_ms: float) -> None:
        """Expose so long from the next frame on; returns at once."""
        with self._lock:
            self._exposure_ms, self._dirty = exposure_ms, True

    def stop(self, timeout_s: float | None = None) -> bool:
        """End the view with the LEDs off; False when its thread has not ended within `timeout_s` (0: do not wait)."""
        self._stop.set()
        atexit.unregister(self.stop)
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        instrument = self._instrument
        scans_seen = instrument.turns.scans
        ended_by: OperatorError | None = None
        try:
            while not self._stop.is_set():
                with instrument.turns.frame(timeout_s=0.1) as mine:
                    if not mine:
                        continue
                    with self._lock:
                        dirty = self._dirty or scans_seen != instrument.turns.scans
                        pattern_l, exposure_ms, self._dirty = self._pattern_l, self._exposure_ms, False
                    if dirty:
                        scans_seen = instrument.turns.scans
                        instrument.camera.set_exposure_ms(exposure_ms)
                        instrument.leds.show(pattern_l)
                        self._stop.wait(instrument.profile.led_board.settle_ms / 1000)
                    image_yx = instrument.camera.snap()
                self._hand_over(image_yx)
        except OperatorError as error:
            ended_by = error
        except Exception as error:
            _log.exception("unexpected error in the live view")
            ended_by = OperatorError(
                f"The live view ended by an unexpected error: {error!r}.",
                "Close the instrument and connect it again; please report it with the log.",
            )
        finally:
            problem = None
            # A scan that has the LEDs switches them off itself; a greeting of the board is over soon.
            with instrument.turns.between_scans() as mine:
                if mine:
                    problem = instrument.darken()
            if ended_by is not None and problem is not None:
                problem = LedArrayError(f"{ended_by.message} {problem.message}", problem.remedy)
            if end := problem or ended_by:
                self._tell_end(end)

    def _tell_end(self, error: OperatorError) -> None:
        _log.error("Live view ended: %s", error)
        if self._on_error is not None:
            self._on_error(error)

    def _hand_over(self, image_yx: NDArray[np.uint16]) -> None:
        try:
            self._on_image(image_yx)
        except Exception:
            _log.exception("live image not shown")
