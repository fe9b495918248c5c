"""`fieldscope calibrate --orientation`: is the board mirrored or turned? Decided by predicting images never fitted.

The images' spectra show the same two discs for a board that is turned by 180 degrees, and those of a symmetric board
that is mirrored as well. The reconstruction tells them apart: with the wrong board no sample with dn >= 0 explains the
images. Each candidate is reconstructed shortly on the middle of the images through the linear model and judged by the
same held-out LEDs.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from acquisition.calibrate import fit_pose
from acquisition.capture import Calibration, read_capture, read_visits
from acquisition.errors import OperatorError
from gui.commands.calibrate import mean_images
from gui.commands.progress import ProgressReport

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from acquisition.capture import Capture, CaptureHeader

CANDIDATES = {"as is": (1, 1), "turned by 180 degrees": (-1, -1), "mirrored in x": (-1, 1), "mirrored in y": (1, -1)}
LARGEST_CROP = 160
"""Pixels; the middle of larger images is enough to decide."""
CLEAR_MARGIN = 1.2
"""The second best candidate must predict worse by this factor."""


def check_orientation(path: Path, seconds: float, device: str) -> dict[str, Any]:
    """Compare the orientations; the figures, for the operator and for --json.

    Parameters
    ----------
    path
        The capture; it is left as it is.
    seconds
        Time for each candidate.
    device
        As for a reconstruction.

    Raises
    ------
    OperatorError
        The capture cannot be read or does not allow a reconstruction.
    """
    errors: dict[str, float] = {}
    with ProgressReport() as report:
        report.note(f"reading {path}")
        capture = read_capture(path, visit=next(iter(read_visits(path)), None))
        images_pyx, rows = mean_images(capture)
        patterns_pl = capture.header.patterns_pl[rows]
        headers = {
            name: _turned(capture.header, images_pyx, patterns_pl, np.array(f)) for name, f in CANDIDATES.items()
        }
        held_out = _held_out(list(headers.values()), capture.pattern_n)
        for name, header in headers.items():
            report.note(f"predicting with the board {name}")
            errors[name] = _held_out_error(capture, header, held_out, seconds, device)
            report.note(f"held-out error {errors[name]:.3f}")
    best, second = sorted(errors, key=errors.__getitem__)[:2]
    margin = errors[second] / errors[best]
    clear = margin >= CLEAR_MARGIN
    if not clear:
        verdict = f"undecided: {best} and {second} predict nearly alike; take a thicker sample with more detail"
    elif best == "as is":
        verdict = "the board is as the profile says"
    else:
        verdict = f"the board is {best}; correct led_board.orientation in the profile"
    return {
        "capture": str(path),
        "held_out_error": {name: round(error, 4) for name, error in errors.items()},
        "best": best,
        "margin": round(margin, 3),
        "clear": clear,
        "verdict": verdict,
        "profile": HOW_TO_CHANGE[best] if clear else "",
    }


HOW_TO_CHANGE = {
    "as is": "",
    "turned by 180 degrees": "add 180 to orientation.rotation_deg, and give orientation.shift_mm the other signs",
    "mirrored in x": "change orientation.mirror between none and x (y: to none, and add 180 to rotation_deg), and give"
    " rotation_deg and the x of shift_mm the other sign",
    "mirrored in y": "change orientation.mirror between none and y (x: to none, and add 180 to rotation_deg), and give"
    " rotation_deg and the y of shift_mm the other sign",
}


def _turned(
    header: CaptureHeader, images_pyx: NDArray[np.float32], patterns_pl: NDArray[np.float32], factors: NDArray[np.int64]
) -> CaptureHeader:
    """Return the header with the board mirrored, and moved to where the images' spectra then want it."""
    nominal_l2 = header.led_na_l2 * factors
    found = fit_pose(images_pyx, patterns_pl, header.led_position_mm_l3, nominal_l2, header.optics)
    if not found.trusted:
        return replace(header, led_na_l2=nominal_l2)
    return replace(
        header,
        led_na_l2=found.pose.led_na(header.led_position_mm_l3, nominal_l2),
        optics=replace(header.optics, objective_na=found.pose.objective_na),
    )


def _held_out(headers: list[CaptureHeader], pattern_n: NDArray[np.int32]) -> tuple[int, ...]:
    """Choose patterns that all candidates leave out of the fit: bright field in each of them."""
    from recon.illumination import nominal
    from recon.measurement import choose_held_out

    shown = np.unique(pattern_n).astype(np.int64)
    for header in headers:
        shown = np.intersect1d(shown, nominal(header).bright_field(header.patterns_pl))
    held_out = choose_held_out(shown, (), len(headers[0].patterns_pl))
    if len(held_out) == 0:
        raise OperatorError(
            "The capture has too few bright-field LEDs to hold any out.", "Capture at least nine of them."
        )
    return tuple(held_out.tolist())


def _held_out_error(
    capture: Capture, header: CaptureHeader, held_out: tuple[int, ...], seconds: float, device: str
) -> float:
    """Error of the prediction of held-out images after a short fit on the middle of the images."""
    from recon.messages import Event, Finished, FitSettings
    from recon.reconstruct import Reconstruction

    rows, columns = (min(size, LARGEST_CROP) for size in header.image_shape)
    top, left = (header.image_shape[0] - rows) // 2, (header.image_shape[1] - columns) // 2
    middle = np.s_[..., top : top + rows, left : left + columns]
    darks = [replace(dark, image_yx=dark.image_yx[middle]) for dark in capture.darks]
    background = None if capture.background_pyx is None else capture.background_pyx[middle]
    # The light is given: the reconstruction fits no rims again, by which candidates would differ.
    no_gain_l = np.full(len(header.led_na_l2), np.nan)
    directions = Calibration(header.led_na_l2, no_gain_l, header.optics.objective_na, math.nan, "orientation")
    ends: list[Finished] = []

    def keep_end(event: Event) -> None:
        if isinstance(event, Finished):
            ends.append(event)

    run = Reconstruction(
        0,
        replace(header, image_shape=(rows, columns)),
        FitSettings(model="born", max_seconds=seconds, device=device, hold_out=held_out),
        keep_end,
        darks,
        background,
        available=capture.pattern_n,
        calibration=directions,
    )
    frames = zip(capture.pattern_n.tolist(), capture.images_nyx[middle], capture.exposure_ms_n.tolist(), strict=True)
    for pattern, image_yx, exposure_ms in frames:
        run.add_frame(pattern, image_yx, exposure_ms)
    run.frames_done()
    while run.advance():
        pass
    assert ends[0].held_out_error is not None  # some are held out
    return ends[0].held_out_error
