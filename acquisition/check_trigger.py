"""Do camera and LED board, wired to each other, keep step? A short sequence of lit and dark frames tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from acquisition.errors import OperatorError
from acquisition.finding import error, ok
from acquisition.led_array.protocol import SequenceRun
from acquisition.pacing import possible_paces
from acquisition.plan import Pace

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from acquisition.finding import Finding
    from acquisition.instrument import Instrument

LIT_N = (True, False, False, True, False, True, True, False)
"""Not the same when shifted by one frame, in either direction."""
PATIENCE_S = 5.0
"""Longest wait for one frame or one pulse, beyond the exposure."""
SPARE_MS = 30.0
"""Beyond the exposure, for the camera's read-out, where the board leads by its timer."""

WAYS = {Pace.CAMERA: "camera leads", Pace.BOARD: "board leads", Pace.HANDSHAKE: "handshake"}
"""The ways that need cables, in words."""


def possible_ways(instrument: Instrument) -> list[Pace]:
    """How camera and board can pace each other over their cables, by the profile's wiring and the board's abilities."""
    paces = possible_paces(instrument)
    return [way for way in WAYS if not paces[way]]


def check_triggers(instrument: Instrument, led: int, exposure_ms: float) -> list[Finding]:
    """Run a short sequence each way that is wired; the LEDs are off afterwards.

    Parameters
    ----------
    instrument
        Open; nobody else uses it meanwhile.
    led, exposure_ms
        An LED that is seen well at this exposure.

    Raises
    ------
    OperatorError
        The LEDs cannot be switched off afterwards.
    """
    ways = possible_ways(instrument)
    wired = instrument.camera.exposure_out or instrument.camera.has_external_trigger
    if wired and not ways:
        text = f"wired by the profile, but the board {instrument.board_info.name} cannot be triggered"
        return [error("Trigger", text, "Take camera.trigger out of the profile, or use a board with trigger sockets.")]
    if not ways:
        return [ok("Trigger", "by software: the profile tells of no cable between camera and board")]
    return [_check_way(instrument, way, led, exposure_ms) for way in ways]


def _check_way(instrument: Instrument, way: Pace, led: int, exposure_ms: float) -> Finding:
    name = f"Trigger: {WAYS[way]}"
    try:
        light_n, extra = _run(instrument, way, led, exposure_ms)
    except OperatorError as failure:
        return error(name, failure.message, failure.remedy)
    finally:
        try:
            instrument.camera.stop_sequence()
        finally:
            instrument.leds.off()
    seen_n = light_n > 0.5 * (light_n.max() + light_n.min())
    if extra:
        text = f"the camera took {len(LIT_N) + extra} frames for {len(LIT_N)} pulses"
        return error(name, text, "Check the cable for noise, and camera.trigger.external in the profile.")
    if tuple(seen_n.tolist()) != LIT_N:
        text = f"frames and LEDs are out of step: {_drawn(LIT_N)} was lit, {_drawn(seen_n)} was seen"
        return error(name, text, "Check the cables and the polarity of the pulses; scan by software until this passes.")
    return ok(name, f"{len(LIT_N)} frames in step with the LEDs")


def _run(instrument: Instrument, way: Pace, led: int, exposure_ms: float) -> tuple[NDArray[np.float64], int]:
    """Mean counts of each frame (N,), and how many frames came beyond those."""
    leds, camera, count = instrument.leds, instrument.camera, len(LIT_N)
    camera.set_exposure_ms(exposure_ms)
    pattern_pl = np.eye(len(instrument.led_na_l2), dtype=np.float32)[[led]]
    leds.load_sequence(pattern_pl, np.where(LIT_N, 0, -1).astype(np.int32))
    settle_ms = instrument.profile.led_board.settle_ms
    timed_ms = max(exposure_ms + settle_ms + SPARE_MS, instrument.board_info.min_interval_ms)
    match way:
        case Pace.CAMERA:
            leds.start_sequence(SequenceRun("trigger", trigger_timeout_s=PATIENCE_S))
            camera.start_sequence(count)
        case Pace.BOARD:
            camera.start_sequence(count + 1, external_trigger=True)
            leds.start_sequence(SequenceRun("timer", interval_ms=timed_ms, send_trigger=True))
        case _:
            camera.start_sequence(count + 1, external_trigger=True)
            leds.start_sequence(SequenceRun("trigger", send_trigger=True, trigger_timeout_s=PATIENCE_S))
    wait_s = exposure_ms / 1000 + PATIENCE_S
    light_n = np.array([camera.next_frame(wait_s).mean() for _ in range(count)])
    leds.wait_sequence(timed_ms / 1000 + PATIENCE_S)
    return light_n, camera.stop_sequence()


def _drawn(lit_n: tuple[bool, ...] | NDArray[np.bool_]) -> str:
    return "".join("|" if lit else "." for lit in lit_n)
