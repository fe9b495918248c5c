"""`fieldscope calibrate`: where the LED board really is, from the images of a capture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from acquisition.calibrate import PARAMETERS, fit_pose
from acquisition.capture import (
    Calibration,
    check_changeable,
    counts_without_light,
    read_capture,
    read_visits,
    replace_calibration,
)
from acquisition.errors import OperatorError
from acquisition.plan_patterns import is_dark_field
from gui.commands.output_file import check_output
from gui.commands.progress import ProgressReport

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from acquisition.calibrate import PoseFit
    from acquisition.capture import Capture

METHOD = "rims of the discs in the images' spectra, one board pose for all LEDs"


def calibrate(
    path: Path, picture: Path | None, dry_run: bool, force: bool, overwrite: bool
) -> tuple[dict[str, Any], OperatorError | None]:
    """Fit the board of a capture, and store the result in it.

    Parameters
    ----------
    path
        The capture.
    picture
        PNG to draw; None: no picture.
    dry_run
        Leave the capture as it is.
    force
        Store also what is not trusted.
    overwrite
        Replace an existing picture.

    Returns
    -------
    The figures, and what to tell the operator where nothing was stored for want of trust.

    Raises
    ------
    OperatorError
        The capture has no frames or cannot be changed; the picture cannot be written.
    """
    if picture is not None:
        check_output(picture, overwrite, path)
    if not dry_run:
        check_changeable(path)
    with ProgressReport() as report:
        report.note(f"reading {path}")
        capture = read_capture(path, visit=next(iter(read_visits(path)), None))
        images_pyx, rows = mean_images(capture)
        report.note(f"looking for the rims in {len(rows)} images")
        header = capture.header
        patterns_pl = header.patterns_pl[rows]
        found = fit_pose(images_pyx, patterns_pl, header.led_position_mm_l3, header.led_na_l2, header.optics)
        if picture is not None:
            from gui.commands.calibrate_picture import draw

            report.note(f"drawing {picture}")
            draw(picture, header, images_pyx, patterns_pl, found)
    led_na_l2 = found.pose.led_na(header.led_position_mm_l3, header.led_na_l2)
    written = not dry_run and (found.trusted or force)
    if written:
        gain_l = led_gain(images_pyx, patterns_pl, exposures_ms(capture, rows), found)
        replace_calibration(path, Calibration(led_na_l2, gain_l, found.pose.objective_na, found.residual, METHOD))
    refusal = None
    if not (dry_run or written):
        refusal = OperatorError(
            f"The calibration is not to be trusted: {'; '.join(found.reasons)}. {path} is unchanged.",
            "Look at it with --picture FILE.png; use a sample with fine detail, check the profile, or add --force.",
        )
    return _figures(path, picture, found, header.optics.objective_na, written), refusal


def mean_images(capture: Capture) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Counts without dark, mean of each pattern's frames (P, H, W), evened by the empty field; its row (P,)."""
    header = capture.header
    rows = np.unique(capture.pattern_n).astype(np.int64)
    if not len(rows):
        raise OperatorError(f"{capture.path} has no frames.", "Capture again.")
    # In dark field the empty field shows nothing to divide by.
    dark_p = is_dark_field(header.patterns_pl, header.led_na_l2, header.optics.objective_na)
    images_pyx = np.empty((len(rows), *header.image_shape), np.float32)
    for image_yx, row, exposure_ms in zip(images_pyx, rows, exposures_ms(capture, rows).tolist(), strict=True):
        dark = counts_without_light(capture.darks, exposure_ms, header.optics.camera_offset)
        image_yx[:] = capture.images_nyx[capture.pattern_n == row].mean(axis=0) - dark
        if capture.background_pyx is not None and not dark_p[row]:
            empty_yx = capture.background_pyx[row] - dark
            image_yx *= empty_yx.mean() / np.maximum(empty_yx, 1e-3 * empty_yx.max())
    return images_pyx, rows


def exposures_ms(capture: Capture, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mean exposure of the frames of each of some patterns, (P,)."""
    return np.array([capture.exposure_ms_n[capture.pattern_n == row].mean() for row in rows], np.float64)


def led_gain(
    images_pyx: NDArray[np.float32],
    patterns_pl: NDArray[np.float32],
    exposure_ms_p: NDArray[np.float64],
    found: PoseFit,
) -> NDArray[np.float64]:
    """Brightness of each LED (L,), mean 1; NaN where no image of this LED alone is in bright field."""
    gain_l = np.full(patterns_pl.shape[1], np.nan)
    for image_yx, row_l, ms, dark in zip(images_pyx, patterns_pl, exposure_ms_p, found.dark_p, strict=True):
        lit = np.flatnonzero(row_l > 0)
        if len(lit) == 1 and not dark:
            gain_l[lit] = image_yx.mean() / (row_l[lit] * ms)
    known = np.isfinite(gain_l)
    return gain_l / gain_l[known].mean() if known.any() else gain_l


def readable(figures: dict[str, Any]) -> dict[str, Any]:
    """The figures for a person: a line for each parameter, nominal and fitted."""
    lines = {key: value for key, value in figures.items() if key not in ("parameters", "led_score")}
    for name, part in figures["parameters"].items():
        sure = "not determined" if part["uncertainty"] is None else f"± {part['uncertainty']:.2g}"
        lines[name] = f"nominal {part['nominal']:<6g} fitted {part['fitted']:<8.4g} {sure}"
    return lines


def _figures(path: Path, picture: Path | None, found: PoseFit, nominal_na: float, written: bool) -> dict[str, Any]:
    pose = found.pose
    nominals = (0.0, 0.0, 0.0, 1.0, nominal_na)
    fitted = (*pose.shift_mm, pose.rotation_deg, pose.distance_scale, pose.objective_na)
    return {
        "capture": str(path),
        "trusted": found.trusted,
        "reasons": list(found.reasons),
        "parameters": {
            name: {
                "nominal": round(nominal, 6),
                "fitted": round(value, 6),
                "uncertainty": sure if np.isfinite(sure := found.uncertainty[name]) else None,
            }
            for name, nominal, value in zip(PARAMETERS, nominals, fitted, strict=True)
        },
        "residual": round(found.residual, 4),
        "images_used": int(np.isfinite(found.score_p).sum()),
        "images_dark_field": np.flatnonzero(found.dark_p).tolist(),
        "led_score": [None if not np.isfinite(score) else round(float(score), 3) for score in found.score_p],
        "written": written,
        "picture": None if picture is None else str(picture),
    }
