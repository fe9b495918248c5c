"""`fieldscope calibrate --orientation`: is the board mirrored or turned? Told from the linear solution for each way.

The images' spectra show the same two discs for a board that is turned by 180 degrees, and those of a symmetric board
that is mirrored as well. Each candidate's volume follows in closed form from the images (`recon.tikhonov`), without
those of some LEDs, which it is to predict. A mirrored board cannot. A board turned by 180 degrees can, where the volume
reaches as far above the focus as below: it gives the volume upside down, with dn of the other sign. So of candidates
that predict alike the sample decides, which is denser than its medium: dn of the right one stands out upwards, in the
compact places where the sample is, and that of the turned one downwards. The skewness of dn tells.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from acquisition.calibrate import fit_pose
from acquisition.capture import read_capture, read_visits
from acquisition.errors import OperatorError
from gui.commands.calibrate import mean_images
from gui.commands.progress import ProgressReport

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from acquisition.capture import CaptureHeader

CANDIDATES = {"as is": (1, 1), "turned by 180 degrees": (-1, -1), "mirrored in x": (-1, 1), "mirrored in y": (1, -1)}
CLEAR_MARGIN = 1.2
"""A candidate that predicts worse than the best one by this factor is wrong."""
CLEAR_SKEWNESS = 0.3
"""By how much dn of the right candidate must be more lopsided than that of others that predict alike. Of noise and of
mirrored boards the skewness is below 0.1; of samples seen, 0.5 to 1.8."""


def check_orientation(path: Path, device: str) -> dict[str, Any]:
    """Compare the orientations; the figures, for the operator and for --json.

    Parameters
    ----------
    path
        The capture; it is left as it is.
    device
        As for a reconstruction.

    Raises
    ------
    OperatorError
        The capture cannot be read or does not allow a reconstruction.
    """
    from recon.orientation import judge_light

    errors: dict[str, float] = {}
    skewness: dict[str, float] = {}
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
            errors[name], skewness[name] = judge_light(capture, header, held_out, device)
            report.note(f"held-out error {errors[name]:.3f}, skewness of dn {skewness[name]:+.2f}")
    likely = [name for name in errors if errors[name] < CLEAR_MARGIN * min(errors.values())]
    best, *others = sorted(likely, key=skewness.__getitem__, reverse=True)
    clear = not others or skewness[best] - skewness[others[0]] >= CLEAR_SKEWNESS
    if not clear:
        verdict = f"undecided: {best} and {others[0]} explain the images alike; take a sample with more detail"
    elif best == "as is":
        verdict = "the board is as the profile says"
    else:
        verdict = f"the board is {best}; correct led_board.orientation in the profile"
    return {
        "capture": str(path),
        "held_out_error": {name: round(error, 4) for name, error in errors.items()},
        "skewness": {name: round(value, 3) for name, value in skewness.items()},
        "best": best,
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
