"""How LEDs and camera are led through a plan, frame by frame, and how it is seen that they have stayed in step.

    by software     for each frame: light, wait for the reply, settle (while the last one is stored), expose, read
    camera leads    board armed -> camera starts; the end of each exposure brings the next pattern
    board leads     camera waits -> board starts; a pulse with each pattern makes the camera expose
    handshake       camera waits -> board starts; both of the above

All but the first are sequences: the board has the list of patterns, the camera takes frames by itself, and LEDs and
frames are matched by count alone. A trigger that is lost or comes twice would shift every later angle, so each sequence
must deliver as many frames as it has patterns, no more and no less, and the board must have come to its end.

One exposure belongs to a sequence: a plan with several is taken in as many sequences as it has runs of frames of equal
exposure, in the plan's order. A run is also cut where it is long: the next part is sent then, and the scan can end.

What counting cannot see (a pulse lost here and one too many there, a board that confirms before it switches) the images
tell: each sequence, and a scan by software as a whole, ends with three frames more: without light, in the light of its
brightest pattern, and without light again. They are judged and not handed out.

Where the board leads, the camera begins to expose as the LED is lit, and `settle_ms` has no place: boards that store
sequences switch within microseconds. The pattern stays for exposure and read-out, as rolling shutters need it.
"""

from __future__ import annotations

import itertools
import math
import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from acquisition.aperture import inside_aperture
from acquisition.errors import OperatorError
from acquisition.led_array.protocol import Capability, LedArrayError, SequenceRun
from acquisition.micromanager import MicroManagerError
from acquisition.plan import DARK, Pace

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from numpy.typing import NDArray

    from acquisition.camera import Camera
    from acquisition.instrument import Instrument
    from acquisition.led_array.protocol import LedArray
    from acquisition.plan import ExposurePlan

CHECK_FRAMES = 3
"""Frames that are taken beyond those of the plan, at the end of each sequence or scan by software."""

PATIENCE_S = 2.0
"""What camera and board may take beyond their own time before they count as hung."""

_LONGEST_RUN = 500  # patterns sent at once: a second or so in which nothing else happens
_TRIGGER_TIMEOUT_S = 10.0
_SPARE_MS = 0.2  # between the camera's being ready again and the board's next pulse
_OUT_OF_STEP = 0.1  # light of a frame that is to be dark, over that of the lit one
_LEAST_LIGHT = 2.0  # counts; below, nothing can be said


class ScanError(OperatorError):
    """The frames are not what the plan says."""


@dataclass(frozen=True, eq=False)
class TakenFrame:
    """A frame as it came.

    Attributes
    ----------
    index
        Of the frame in the plan.
    pattern
        Row of the plan's `patterns_pl`; `acquisition.plan.DARK` without light.
    exposure_ms
        As the camera made it.
    time_s
        `time.perf_counter` when its exposure began; in a sequence, when it came less its exposure.
    image_yx
        (H, W) uint16 counts.
    """

    index: int
    pattern: int
    exposure_ms: float
    time_s: float
    image_yx: NDArray[np.uint16]


def possible_paces(instrument: Instrument, plan: ExposurePlan | None = None) -> dict[Pace, str]:
    """Tell for each way why this instrument, or this plan on it, cannot go it; an empty text where it can."""
    info, camera = instrument.board_info, instrument.camera
    stores = Capability.SEQUENCE in info.capabilities
    no_store = "" if stores else f"the LED board {info.name} stores no sequence of patterns"
    if stores and plan is not None and Capability.SEQUENCE_LEVELS not in info.capabilities and _has_levels(plan):
        no_store = f"the LED board {info.name} stores patterns of one brightness only, and the plan has several"
    no_camera_lead = no_board_lead = no_store
    too_fast = ""
    if not no_store:
        if Capability.TRIGGER_IN not in info.capabilities:
            no_camera_lead = f"the LED board {info.name} has no trigger input"
        elif not camera.exposure_out:
            no_camera_lead = "the camera's exposure output is not wired to the board (camera.trigger.exposure_out)"
        if plan is not None and plan.exposures_ms[0] + plan.settle_ms < info.min_trigger_interval_ms:
            too_fast = (
                f"the LED board {info.name} shows each pattern for {info.min_trigger_interval_ms:g} ms at least, and"
                f" the plan exposes {plan.exposures_ms[0]:g} ms"
            )
        if Capability.TRIGGER_OUT not in info.capabilities:
            no_board_lead = f"the LED board {info.name} has no trigger output"
        elif not camera.has_external_trigger:
            no_board_lead = "the profile does not say how the camera waits for pulses (camera.trigger.external)"
    return {
        Pace.SOFTWARE: "",
        Pace.CAMERA: no_camera_lead or too_fast,
        Pace.BOARD: no_board_lead,
        Pace.HANDSHAKE: no_camera_lead or no_board_lead,
    }


def check_pace(instrument: Instrument, plan: ExposurePlan) -> None:
    """Refuse a plan whose way this instrument cannot go.

    Raises
    ------
    ScanError
        With the reason, and the ways that are possible.
    """
    paces = possible_paces(instrument, plan)
    if reason := paces[plan.pace]:
        others = ", ".join(f"'{pace.value}'" for pace, other in paces.items() if not other)
        raise ScanError(
            f"A scan with trigger = '{plan.pace.value}' is not possible: {reason}.",
            f"Set plan.trigger to one of {others}; or correct the hardware profile.",
        )


def take_frames(instrument: Instrument, plan: ExposurePlan, first: int = 0) -> Generator[TakenFrame, None, None]:
    """Take the frames of a plan, in its order.

    Consume it quickly: what a sequence brings waits in Micro-Manager's buffer, which overflows. Close it when you end
    before it does (`contextlib.closing`), and switch the LEDs off after it in any case: that is left to the caller, as
    after an error. A scan that pauses closes it, and goes on with another one.

    Parameters
    ----------
    first
        Index of the frame to begin with; the dark frames before it are left out.

    Raises
    ------
    ScanError
        The way is not possible; a sequence did not bring as many frames as patterns; or LEDs and frames have been out
        of step, in which case frames already handed out do not show what they should.
    LedArrayError, MicroManagerError
        Board or camera do not do what they are told.
    """
    check_pace(instrument, plan)
    exposure_ms_n = plan.exposure_ms_n
    longest = min(_LONGEST_RUN, (instrument.board_info.max_sequence or _LONGEST_RUN) - CHECK_FRAMES)
    by_software = plan.pace is Pace.SOFTWARE
    runs = [(first, plan.frame_count)] if by_software else _runs(exposure_ms_n, first, longest)
    read_out_ms = 0.0 if plan.pace is Pace.CAMERA else None  # a camera that leads begins when it is ready
    for begin, end in runs if first < plan.frame_count else ():
        order_n, run_ms_n = plan.order_n[begin:end], exposure_ms_n[begin:end]
        brightest = _brightest(instrument, plan, order_n)
        if brightest != DARK:
            order_n = np.concatenate([order_n, np.array([DARK, brightest, DARK], np.int32)])
            run_ms_n = np.concatenate([run_ms_n, np.full(CHECK_FRAMES, plan.exposure_ms_p[brightest])])
        if by_software:
            frames = _by_software(instrument, plan, order_n, run_ms_n)
        else:
            instrument.camera.set_exposure_ms(float(run_ms_n[0]))
            if read_out_ms is None:
                instrument.leds.off()
                read_out_ms = _read_out_ms(instrument.camera)
            frames = _in_sequence(instrument, plan, order_n, read_out_ms)
        lights = []
        with closing(frames):
            for index, (pattern, (exposure_ms, time_s, image_yx)) in enumerate(
                zip(order_n.tolist(), frames, strict=True), begin
            ):
                if index < end:
                    yield TakenFrame(index, pattern, exposure_ms, time_s, image_yx)
                else:
                    lights.append(float(image_yx[::4, ::4].mean()))
        if lights:
            _check_step(plan.pace, *lights)


_Shot = tuple[float, float, "NDArray[np.uint16]"]
"""Exposure in milliseconds, time, image."""


def _by_software(
    instrument: Instrument, plan: ExposurePlan, order_n: NDArray[np.int32], exposure_ms_n: NDArray[np.float64]
) -> Generator[_Shot, None, None]:
    """Switch, settle, expose; the next pattern settles while the caller has the frame."""
    leds, camera = instrument.leds, instrument.camera
    asked_ms: float | None = None

    def switch(pattern: int) -> float:
        if pattern == DARK:
            leds.off()
        else:
            leds.show(plan.patterns_pl[pattern])
        return time.perf_counter() + plan.settle_ms / 1000

    settled_s = switch(int(order_n[0]))
    for exposure_ms, following in zip(exposure_ms_n.tolist(), [*order_n[1:].tolist(), None], strict=True):
        if exposure_ms != asked_ms:  # asking the camera for what it has costs time as well
            camera.set_exposure_ms(exposure_ms)
            asked_ms = exposure_ms
        time.sleep(max(0.0, settled_s - time.perf_counter()))
        time_s = time.perf_counter()
        shot = camera.exposure_ms, time_s, camera.snap()
        if following is None:
            yield shot
            return
        try:
            settled_s = switch(following)
        except LedArrayError:
            yield shot  # is good
            raise
        yield shot


def _in_sequence(
    instrument: Instrument, plan: ExposurePlan, order_n: NDArray[np.int32], read_out_ms: float
) -> Generator[_Shot, None, None]:
    """Have board and camera take one run of equal exposure, which the camera has been set to."""
    leds, camera = instrument.leds, instrument.camera
    count, exposure_ms = len(order_n), camera.exposure_ms
    camera_leads = plan.pace is Pace.CAMERA
    lit_ms = 0.0 if camera_leads else math.ceil(exposure_ms + read_out_ms + _SPARE_MS)
    run = SequenceRun(
        advance="timer" if plan.pace is Pace.BOARD else "trigger",
        interval_ms=0.0 if camera_leads else max(lit_ms, instrument.board_info.min_interval_ms),
        send_trigger=not camera_leads,
        trigger_timeout_s=_TRIGGER_TIMEOUT_S + exposure_ms / 1000,
    )
    frame_s = (plan.settle_ms + exposure_ms + read_out_ms + run.interval_ms) / 1000 + PATIENCE_S
    leds.load_sequence(plan.patterns_pl, order_n)
    came = 0
    try:
        if camera_leads:  # each starts after the one that it leads is ready
            leds.start_sequence(run)
            camera.start_sequence(count, interval_ms=exposure_ms + plan.settle_ms)
        else:
            camera.start_sequence(count + 1, external_trigger=True)  # one more: to see whether pulses were too many
            leds.start_sequence(run)
        while came < count:
            image_yx = camera.next_frame(frame_s)
            came += 1
            yield exposure_ms, time.perf_counter() - exposure_ms / 1000, image_yx
        leds.wait_sequence(frame_s)
        if surplus := camera.stop_sequence():
            raise ScanError(f"The camera took {count + surplus} frames for {count} patterns.", _CABLES)
    except MicroManagerError as error:
        raise ScanError(f"{error.message} {_board_says(leds)}", error.remedy) from error
    except LedArrayError as error:
        raise ScanError(f"{came} frames came for {count} patterns, but: {error.message}", error.remedy) from error
    finally:
        camera.stop_sequence()


def _board_says(leds: LedArray) -> str:
    """What the board makes of a sequence whose frames do not come."""
    try:
        leds.wait_sequence(0.0)
    except LedArrayError as error:
        return error.message
    return "The LED board has shown all its patterns: it was triggered more often than frames came."


_CABLES = (
    "Do not use this capture. Check the trigger cables and camera.trigger in the hardware profile, expose longer, or"
    " scan with trigger = 'software'."
)


def _read_out_ms(camera: Camera) -> float:
    """What the camera takes beyond its exposure before it is ready for the next one, found by trying."""
    taken_s = []
    for _ in range(2):  # the first one after a change may take longer
        began_s = time.perf_counter()
        camera.snap()
        taken_s.append(time.perf_counter() - began_s)
    return max(0.0, 1000 * min(taken_s) - camera.exposure_ms)


def _runs(exposure_ms_n: NDArray[np.float64], first: int, longest: int) -> Iterator[tuple[int, int]]:
    """First frame, and that after the last, of each run of equal exposure from frame `first` on."""
    begin = first
    for _, run in itertools.groupby(exposure_ms_n[first:].tolist()):
        end = begin + len(list(run))
        for start in range(begin, end, longest):
            yield start, min(start + longest, end)
        begin = end


def _has_levels(plan: ExposurePlan) -> bool:
    """Whether a sequence of the plan would light LEDs with different brightness."""
    runs = _runs(plan.exposure_ms_n, 0, plan.frame_count)
    used = (plan.patterns_pl[row_n[row_n != DARK]] for row_n in (plan.order_n[begin:end] for begin, end in runs))
    return any(len(np.unique(rows_pl[rows_pl > 0])) > 1 for rows_pl in used)


def _brightest(instrument: Instrument, plan: ExposurePlan, order_n: NDArray[np.int32]) -> int:
    """Pattern that gives the most light of those in a run, one in bright field if possible; `DARK`: none is lit.

    The last one would not do for the check: in dark field it is hardly lighter than none.
    """
    used = np.unique(order_n[order_n != DARK])
    if not len(used):
        return DARK
    inside_l = inside_aperture(instrument.led_na_l2, instrument.profile.objective.na)
    rows_pl = plan.patterns_pl[used] * plan.exposure_ms_p[used, None]
    return int(used[np.lexsort((rows_pl.sum(axis=1), rows_pl @ inside_l))[-1]])


def _check_step(pace: Pace, before: float, lit: float, after: float) -> None:
    """Judge the mean counts of the frames at the end: dark, lit, dark."""
    low = min(before, lit, after)
    if max(before, lit, after) - low < _LEAST_LIGHT or max(before, after) - low <= _OUT_OF_STEP * (lit - low):
        return
    seen = f"the frames at the end, to be dark, lit and dark, have {before:.0f}, {lit:.0f} and {after:.0f} counts"
    if pace is Pace.SOFTWARE:
        raise ScanError(
            f"The LED board switches late ({seen}), so the frames do not belong to the LEDs noted with them.",
            "Increase led_board.settle_ms in the hardware profile and scan again; do not use this capture.",
        )
    raise ScanError(f"LEDs and frames are out of step ({seen}): a trigger was lost or came twice.", _CABLES)
