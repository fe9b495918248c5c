"""Go through an instrument step by step, from the port to where each LED is: one finding for each thing, with remedy.

    open and its checks -> board -> positions -> each LED's light -> exposure -> trigger -> geometry from the spectra

A step that fails is told, and those after it that need its result are left out. The LEDs are off whenever nothing is
being exposed, and after it all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from acquisition.aperture import inside_aperture
from acquisition.check_geometry import check_pose, compare_positions
from acquisition.check_leds import judge_exposure, judge_lighting, judge_switching, take_images
from acquisition.check_trigger import check_triggers, possible_ways
from acquisition.errors import OperatorError
from acquisition.finding import Level, error, ok, warning
from acquisition.header import optics_of
from acquisition.instrument import open_instrument
from acquisition.led_array.protocol import Capability
from acquisition.plan import plan_for
from acquisition.profile_board import BoardGeometry

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from acquisition.check_leds import LedImages
    from acquisition.finding import Finding
    from acquisition.instrument import Instrument
    from acquisition.plan import ExposurePlan
    from acquisition.profile import Profile

CURES = {
    "LEDs": "Describe all LEDs in led_board.geometry, if you want to use them.",
    "Micro-Manager": "Correct micromanager.properties in the profile.",
    "Camera": "Correct the table [camera] in the profile, or the camera's settings in Micro-Manager.",
    "Trigger": "Increase micromanager.buffer_mb, or choose a smaller camera.roi.",
    "Pixel size": "Correct objective.magnification, camera.pixel_um or camera.binning in the profile, or the pixel size"
    " in Micro-Manager: all lengths of the result follow from it.",
}
"""What to do where a check of `open_instrument` is bad without being fatal."""

CAPABILITIES = {
    Capability.POSITIONS: "tells where its LEDs are",
    Capability.LEVELS: "levels of brightness",
    Capability.COLOR: "colours",
    Capability.SEQUENCE: "stored sequences",
    Capability.TRIGGER_IN: "trigger input",
    Capability.TRIGGER_OUT: "trigger output",
}


def open_checked(profile: Profile, tell: Callable[[Finding], None]) -> Instrument | None:
    """Open the devices of a profile, each check of that told as a finding; None where the last of them is fatal."""
    made: list[tuple[str, bool, str]] = []
    instrument: Instrument | None = None
    failure: OperatorError | None = None
    try:
        instrument = open_instrument(profile, on_check=lambda *result: made.append(result))
    except OperatorError as told:
        failure = told
    for name, passed, text in made:
        if failure is not None and text == str(failure):
            tell(error(name, failure.message, failure.remedy))
        elif passed:
            tell(ok(name, text))
        else:
            tell(warning(name, text, CURES.get(name, "")))
    return instrument


def close_checked(instrument: Instrument, tell: Callable[[Finding], None]) -> None:
    """Let go of the devices, LEDs off; told as an error where they may still be on."""
    if problem := instrument.close():
        tell(error("LEDs off", problem.message, problem.remedy))


def check_instrument(
    instrument: Instrument,
    tell: Callable[[Finding], None],
    all_leds: bool = False,
    on_progress: Callable[[str, int, int], None] = lambda step, done, total: None,
) -> None:
    """Check an open instrument.

    Parameters
    ----------
    instrument
        Of `open_checked`.
    tell
        Called with each finding as soon as it is there.
    all_leds
        Light each LED of the board, not only those of the profile's plan.
    on_progress
        Called with what is being done, how much of it is, and how much there is. What it raises ends the check.
    """
    with instrument.turns.scan():
        tell(_board(instrument))
        try:
            if position := _positions(instrument):
                tell(position)
            plan = plan_for(instrument.profile, instrument.led_na_l2)
            leds = np.arange(len(instrument.led_na_l2)) if all_leds else np.flatnonzero(plan.patterns_pl.any(axis=0))
            seen = take_images(
                instrument,
                leds,
                exposures_ms(instrument, plan, leds),
                lambda done: on_progress("LEDs", done, len(leds)),
            )
        except OperatorError as failure:
            tell(error("LEDs", failure.message, failure.remedy))
            return
        tell(switching := judge_switching(seen))
        if switching.level is Level.ERROR:
            return
        for finding in judge_lighting(seen, instrument.led_na_l2, instrument.profile.objective.na):
            tell(finding)
        if not (seen.light_k > seen.least_k).any():
            return
        tell(judge_exposure(seen, instrument.led_na_l2, optics_of(instrument.profile)))
        _triggers(instrument, seen, tell)
    on_progress("spectra", 0, 1)
    for finding in check_pose(seen, instrument.led_position_mm_l3, instrument.led_na_l2, optics_of(instrument.profile)):
        tell(finding)
    on_progress("spectra", 1, 1)


def exposures_ms(instrument: Instrument, plan: ExposurePlan, leds: NDArray[np.intp]) -> NDArray[np.float64]:
    """How long to expose each LED (K,): as the plan does, or as it would by the profile's bright and dark field."""
    settings = instrument.profile.plan
    outside_k = ~inside_aperture(instrument.led_na_l2[leds], instrument.profile.objective.na)
    exposure_ms_k = np.where(outside_k, settings.darkfield_exposure_ms or settings.exposure_ms, settings.exposure_ms)
    single_p = np.flatnonzero((plan.patterns_pl > 0).sum(axis=1) == 1)
    for k, led in enumerate(leds):
        rows = single_p[plan.patterns_pl[single_p, led] > 0]
        if len(rows):
            exposure_ms_k[k] = plan.exposure_ms_p[rows[0]]
    return exposure_ms_k.astype(np.float64)


def _board(instrument: Instrument) -> Finding:
    info = instrument.board_info
    can = [words for capability, words in CAPABILITIES.items() if capability in info.capabilities]
    serial = f", serial number {info.serial_number}" if info.serial_number else ""
    return ok("Board", f"{info.led_count} LEDs{serial}; {', '.join(can) or 'shows patterns, nothing else'}")


def _positions(instrument: Instrument) -> Finding | None:
    told = isinstance(instrument.profile.led_board.geometry, BoardGeometry)
    if told or Capability.POSITIONS not in instrument.board_info.capabilities:
        return None
    listed_mm_l3 = instrument.leds.positions_mm()
    return None if listed_mm_l3 is None else compare_positions(instrument.led_position_mm_l3, listed_mm_l3)


def _triggers(instrument: Instrument, seen: LedImages, tell: Callable[[Finding], None]) -> None:
    if not possible_ways(instrument) and not instrument.camera.exposure_out:
        return  # told when it was opened
    brightest = int(np.argmax(seen.light_k / seen.exposure_ms_k))
    try:
        findings = check_triggers(instrument, int(seen.leds[brightest]), float(seen.exposure_ms_k[brightest]))
    except OperatorError as failure:
        findings = [error("Trigger", failure.message, failure.remedy)]
    for finding in findings:
        tell(finding)
