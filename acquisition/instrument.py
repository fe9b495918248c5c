"""The instrument: LED board and camera of one profile, opened together, checked, and closed with the LEDs off.

Nothing here belongs to a GUI thread: opening takes seconds and is meant for a thread of its own. Scan and live view
(`acquisition.live_view`) have theirs, and hand the devices to each other through `Instrument.turns`.
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from acquisition.camera import Camera
from acquisition.errors import OperatorError
from acquisition.header import make_header, optics_of
from acquisition.led_array.protocol import BoardInfo, LedArray, LedArrayError
from acquisition.led_array.registry import open_board
from acquisition.leds import led_na, led_positions_mm
from acquisition.micromanager import CALL_TIMEOUT_S, MicroManager
from acquisition.profile_board import BoardGeometry
from acquisition.stage import Stages, place_in_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    import numpy as np
    from numpy.typing import NDArray

    from acquisition.capture import CaptureHeader, Truth
    from acquisition.plan import ExposurePlan
    from acquisition.profile import Profile
    from acquisition.simulated.microscope import SimulatedMicroscope

_log = logging.getLogger(__name__)

_SIMULATION_PATIENCE_S = 120.0  # the first image of an angle is computed while it is read
_GREET_EVERY_S = 10.0
_TURN_S = 5.0
_PIXEL_TOLERANCE = 0.01
_LEAST_BUFFER_FRAMES = 8  # fewer, and a disk that hesitates once ends a triggered scan


class InstrumentBusyError(OperatorError):
    """A scan has the devices."""


class Turns:
    """Whose turn it is: the live view takes the devices frame by frame, a scan keeps them until it is done.

    A waiting scan comes before the next live frame. `scans` counts the scans that have begun, so the live view knows
    that LEDs and exposure are no longer what it had set.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._frame_in_hand = False
        self._asking: list[object] = []
        self._scanning = False
        self.scans = 0

    def between_scans(self) -> AbstractContextManager[bool]:
        """The same as `frame`, without waiting for a scan to end."""
        return self.frame(0.0 if self._scanning else _TURN_S)

    @contextmanager
    def frame(self, timeout_s: float) -> Iterator[bool]:
        """Have the devices for one frame, in the order of asking; False when they did not come free in time."""
        me = object()
        with self._changed:
            self._asking.append(me)
            try:
                mine = self._changed.wait_for(
                    lambda: not (self._scanning or self._frame_in_hand) and self._asking[0] is me, timeout_s
                )
                self._frame_in_hand = self._frame_in_hand or mine
            finally:
                self._asking.remove(me)
                self._changed.notify_all()
        try:
            yield mine
        finally:
            if mine:
                with self._changed:
                    self._frame_in_hand = False
                    self._changed.notify_all()

    @contextmanager
    def scan(self) -> Iterator[None]:
        """Have the devices for a scan; waits for the live frame in hand.

        Raises
        ------
        InstrumentBusyError
            Another scan has them.
        """
        with self._changed:
            if self._scanning:
                raise InstrumentBusyError("A scan is running already.", "Wait for its end, or cancel it.")
            self._scanning = True
            self.scans += 1
            self._changed.wait_for(lambda: not self._frame_in_hand)
        try:
            yield
        finally:
            with self._changed:
                self._scanning = False
                self._changed.notify_all()


class Instrument:
    """An open instrument; make one with `open_instrument`.

    Attributes
    ----------
    profile
        As opened.
    leds, camera, stages
        The devices. Use them inside `turns.frame` or `turns.scan`. `stages` is falsy where there is none.
    board_info
        How the LED board introduced itself.
    led_position_mm_l3, led_na_l2
        (L, 3) and (L, 2): where the LEDs are by the profile (or the board), and the directions that follow.
    turns
        Hand-over between scan and live view.
    simulated
        What is behind the cables of a simulated profile (faults are injected there), else None.
    """

    def __init__(
        self,
        profile: Profile,
        leds: LedArray,
        micromanager: MicroManager,
        camera: Camera,
        stages: Stages,
        board_info: BoardInfo,
        led_position_mm_l3: NDArray[np.float64],
        simulated: SimulatedMicroscope | None,
    ) -> None:
        self.profile = profile
        self.leds = leds
        self.camera = camera
        self.stages = stages
        self._micromanager = micromanager
        self.board_info = board_info
        self.led_position_mm_l3 = led_position_mm_l3
        self.led_na_l2 = led_na(led_position_mm_l3, profile.led_board.orientation)
        self.turns = Turns()
        self.simulated = simulated
        self._board_closed = False
        self._greet_at_s = time.monotonic() + _GREET_EVERY_S
        self._left_on: LedArrayError | None = None

    def truth(self) -> Truth | None:
        """Simulated sample and board as they really are now; None on real hardware. Takes a second the first time."""
        if self.simulated is None:
            return None
        return self.simulated.truth(*self._micromanager.call(self.simulated.place))

    def capture_header(
        self, plan: ExposurePlan, title: str = "", sample: str = "", operator: str = ""
    ) -> CaptureHeader:
        """Describe a capture of `plan` with this instrument as it is now."""
        return make_header(
            self.profile, plan, self.led_position_mm_l3, self.camera.image_shape, title, sample, operator
        )

    def darken(self) -> LedArrayError | None:
        """Switch the LEDs off, from any thread and at any time; never raises.

        Returns
        -------
        What to tell the operator when they may still be on; None when they are off.
        """
        return self._left_on if self._board_closed else _switch_off(self.leds)

    def check_board(self) -> LedArrayError | None:
        """Look whether the LED board is still there, from any thread and at any time; never raises.

        Takes no time but for every tenth second, when the board is asked something, after the live frame in hand and
        never during a scan: one that has lost its power may still have its line.

        Returns
        -------
        What to tell the operator when it is gone; None when it is there, or was closed.
        """
        try:
            self.leds.check()
            if time.monotonic() >= self._greet_at_s:
                self._greet()
        except LedArrayError as error:
            return None if self._board_closed else error
        return None

    def _greet(self) -> None:
        with self.turns.between_scans() as mine:
            if mine:
                self._greet_at_s = time.monotonic() + _GREET_EVERY_S
                self.leds.greet()

    def close(self) -> LedArrayError | None:
        """LEDs off, then let go of board and camera; never raises. End scan and live view before.

        Returns
        -------
        What to tell the operator when the LEDs may still be on; None when all is well.
        """
        self._left_on = self.darken()
        self._board_closed = True
        self.leds.close()
        self.camera.close()
        self._micromanager.close()
        if self.simulated is not None:
            self.simulated.close()
        return self._left_on


def _switch_off(leds: LedArray) -> LedArrayError | None:
    """Switch the LEDs off; what to tell the operator when they may still be on."""
    try:
        leds.off()
    except LedArrayError as error:
        _log.error("The LEDs may still be on: %s", error)
        return LedArrayError(f"The LEDs may still be on: {error.message}", error.remedy)
    return None


def load_drivers() -> None:
    """Import what `open_instrument` needs: a second in which the interpreter is held, at a time of one's own choice."""
    from pycromanager import Core  # noqa: F401

    from acquisition.simulated.microscope import SimulatedMicroscope  # noqa: F401


def open_instrument(
    profile: Profile, on_check: Callable[[str, bool, str], None] = lambda name, ok, text: None
) -> Instrument:
    """Open and check the devices of a profile; a few seconds.

    Parameters
    ----------
    profile
        With a table [simulation]: emulated devices behind the same drivers.
    on_check
        Called on this thread after each check with its name, whether all is well, and the result in words. A check may
        be bad without being fatal (a pixel size that Micro-Manager sees otherwise).

    Raises
    ------
    OperatorError
        `LedArrayError`, `MicroManagerError` or `acquisition.leds.GeometryError`: the first check that is fatal. What
        was open is closed again, LEDs off.
    """
    simulated = None
    leds: LedArray | None = None
    micromanager: MicroManager | None = None
    camera: Camera | None = None
    check = "Simulation"
    try:
        if profile.simulation is not None:
            from acquisition.simulated.microscope import SimulatedMicroscope

            simulated = SimulatedMicroscope(profile, profile.simulation, optics_of(profile))
        settings = profile.led_board
        check = "LED board"
        leds = open_board(settings, simulated.port if simulated else settings.port)
        info = leds.identify()
        leds.off()
        on_check(check, True, f"{info.name}, {f'{settings.protocol} {info.firmware}'.strip()}, on {leds.port}")
        check = "LEDs"
        asked = leds.positions_mm() if isinstance(settings.geometry, BoardGeometry) else None
        position_mm_l3 = led_positions_mm(settings.geometry, asked)
        on_check(check, *_led_count_check(len(position_mm_l3), info))
        check = "Micro-Manager"
        micromanager = MicroManager.open(profile.micromanager, _SIMULATION_PATIENCE_S if simulated else CALL_TIMEOUT_S)
        on_check(check, *_obeyed(micromanager.version(), micromanager.warnings))
        check = "Camera"
        camera = Camera(micromanager, profile.camera, simulated.install if simulated else None)
        height, width = camera.image_shape
        text = f"{camera.label}, {width} x {height} pixels, {camera.exposure_ms:g} ms"
        on_check(check, *_obeyed(text, camera.warnings))
        check = "Trigger"
        on_check(check, *_trigger_check(camera))
        check = "Stages"
        stages = Stages(micromanager, profile.stage)
        on_check(check, *_stage_check(stages))
        check = "Pixel size"
        on_check(check, *_pixel_check(profile.pixel_um, camera.pixel_size_um()))
    except BaseException as error:
        if isinstance(error, OperatorError):
            on_check(check, False, str(error))
        if leds is not None:
            if problem := _switch_off(leds):
                on_check("LEDs off", False, str(problem))
            leds.close()
        if camera is not None:
            camera.close()
        if micromanager is not None:
            micromanager.close()
        if simulated is not None:
            simulated.close()
        raise
    return Instrument(profile, leds, micromanager, camera, stages, info, position_mm_l3, simulated)


def _led_count_check(described: int, info: BoardInfo) -> tuple[bool, str]:
    if described > info.led_count:
        raise LedArrayError(
            f"The profile describes {described} LEDs, the board {info.name} has {info.led_count}.",
            "Correct led_board.geometry in the hardware profile, or connect the board that it describes.",
        )
    if described < info.led_count:
        return False, f"The profile describes {described} LEDs of the board's {info.led_count}: the rest stay dark"
    return True, f"{described} LEDs"


def _obeyed(text: str, warnings: tuple[str, ...]) -> tuple[bool, str]:
    return not warnings, "; ".join((text, *warnings))


def _trigger_check(camera: Camera) -> tuple[bool, str]:
    ways = [
        *(["exposure output to the LED board"] if camera.exposure_out else []),
        *(["waits for the LED board's pulses"] if camera.has_external_trigger else []),
    ]
    frames = camera.buffer_frames()
    text = f"{', '.join(ways)}; the buffer holds {frames} frames" if ways else "by software"
    return not ways or frames >= _LEAST_BUFFER_FRAMES, text


def _stage_check(stages: Stages) -> tuple[bool, str]:
    told = []
    if stages.z_device:
        told.append(f"{stages.z_device} at {place_in_words((stages.z_um(),))}")
    if stages.xy_device:
        told.append(f"{stages.xy_device} at {place_in_words(stages.xy_um())}")
    return True, "; ".join(told) or "none in Micro-Manager's configuration"


def _pixel_check(profile_um: float, micromanager_um: float) -> tuple[bool, str]:
    text = f"{profile_um:.4f} um in the object"
    if micromanager_um <= 0:
        return True, f"{text} (not calibrated in Micro-Manager)"
    if abs(micromanager_um / profile_um - 1) > _PIXEL_TOLERANCE:
        return (
            False,
            f"{text} by the profile, {micromanager_um:.4f} um by Micro-Manager: check magnification and binning",
        )
    return True, text
