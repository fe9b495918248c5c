"""Do camera and LED board, wired to each other, keep step? A short scan of lit and dark frames tells."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np

from acquisition.errors import OperatorError
from acquisition.finding import error, ok
from acquisition.pacing import possible_paces, take_frames
from acquisition.plan import DARK, ExposurePlan, Pace

if TYPE_CHECKING:
    from acquisition.finding import Finding
    from acquisition.instrument import Instrument

LIT_N = (True, False, False, True, False, True, True, False)
"""Not the same when shifted by one frame, in either direction."""
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
    light_n: list[float] = []
    try:
        with closing(take_frames(instrument, _plan(instrument, way, led, exposure_ms))) as frames:
            light_n.extend(float(frame.image_yx.mean()) for frame in frames)
    except OperatorError as failure:
        return error(name, failure.message, failure.remedy)
    finally:
        instrument.leds.off()
    middle = 0.5 * (max(light_n) + min(light_n))
    seen_n = tuple(light > middle for light in light_n)
    if seen_n != LIT_N:
        text = f"frames and LEDs are out of step: {_drawn(LIT_N)} was lit, {_drawn(seen_n)} was seen"
        return error(name, text, "Check the cables and the polarity of the pulses; scan by software until this passes.")
    return ok(name, f"{len(LIT_N)} frames in step with the LEDs")


def _plan(instrument: Instrument, way: Pace, led: int, exposure_ms: float) -> ExposurePlan:
    """One LED, lit as in `LIT_N`."""
    return ExposurePlan(
        name=WAYS[way],
        patterns_pl=np.eye(len(instrument.led_na_l2), dtype=np.float32)[[led]],
        order_n=np.where(LIT_N, 0, DARK).astype(np.int32),
        exposure_ms_p=np.array([exposure_ms]),
        settle_ms=instrument.profile.led_board.settle_ms,
        pace=way,
    )


def _drawn(lit_n: tuple[bool, ...]) -> str:
    return "".join("|" if lit else "." for lit in lit_n)
