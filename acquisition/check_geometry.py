"""Are the LEDs where the profile says: by the board's own list, and by the rims in the images' spectra."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from acquisition.calibrate import fit_pose
from acquisition.finding import error, ok, warning

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from acquisition.calibrate import PoseFit
    from acquisition.capture_records import Optics
    from acquisition.check_leds import LedImages
    from acquisition.finding import Finding

    Floats = NDArray[np.float64]

NAME_OF_LIST, NAME_OF_RIMS, NAME_OF_ORDER = "Positions", "Geometry", "LED numbers"
SAME_PLACE = 0.2
"""LEDs are in the same place that differ by less than this part of the distance to the nearest other one."""
LARGE_TURN_DEG, LARGE_SHIFT, LARGE_SCALE, LARGE_NA = 5.0, 0.05, 0.05, 0.03
"""Corrections that belong into the profile: degrees, shift over distance, and relative errors of distance and NA."""
NO_RIM = 0.25
"""Step at the rim over the expected one; an LED below it shines from elsewhere, where most others fit."""


def compare_positions(profile_mm_l3: Floats, board_mm_l3: Floats) -> Finding:
    """Compare the LEDs of the profile (L, 3) with those of the board's own list, LED by LED.

    The two may use other axes: a common shift, turn, mirror image and size are taken out, and told.
    """
    if len(profile_mm_l3) > len(board_mm_l3):
        text = f"the board lists {len(board_mm_l3)} LEDs, the profile {len(profile_mm_l3)}"
        return error(NAME_OF_LIST, text, "Correct led_board.geometry in the profile.")
    ours_l2, theirs_l2 = profile_mm_l3[:, :2], board_mm_l3[: len(profile_mm_l3), :2]
    ours_l2 = ours_l2 - ours_l2.mean(axis=0)
    theirs_l2 = theirs_l2 - theirs_l2.mean(axis=0)
    size, their_size = (float(np.linalg.norm(part_l2)) for part_l2 in (ours_l2, theirs_l2))
    if not (size > 0 and their_size > 0):
        return ok(NAME_OF_LIST, "one place, nothing to compare")
    u, _, vt = np.linalg.svd(theirs_l2.T @ ours_l2)  # the rotation, perhaps with a mirror, that fits best
    turn = u @ vt
    scale = size / their_size
    apart_l = np.linalg.norm(theirs_l2 @ turn * scale - ours_l2, axis=1)
    between_ll = np.linalg.norm(ours_l2[:, None] - ours_l2[None], axis=2)
    np.fill_diagonal(between_ll, np.inf)
    wrong = np.flatnonzero(apart_l > SAME_PLACE * between_ll.min())
    if len(wrong):
        worst = int(np.argmax(apart_l))
        place = ", ".join(f"{value:.1f}" for value in profile_mm_l3[worst, :2])
        listed = ", ".join(f"{value:.1f}" for value in board_mm_l3[worst, :2])
        text = (
            f"{len(wrong)} of {len(apart_l)} LEDs are elsewhere by the board's own list: LED {worst} at ({listed}) mm, "
            f"by the profile at ({place}) mm"
        )
        remedy = "Check numbering and pitch in led_board.geometry, or use kind = 'board': the board then tells itself."
        return error(NAME_OF_LIST, text, remedy)
    mirrored = float(np.linalg.det(turn)) < 0
    angle_deg = float(np.degrees(np.arctan2(turn[1, 0], turn[0, 0])))
    differs = [
        *(["mirrored"] if mirrored else []),
        *([f"turned by {angle_deg:.0f} degrees"] if not mirrored and abs(angle_deg) > LARGE_TURN_DEG else []),
        *([f"{scale:.3f} times as large"] if abs(scale - 1) > LARGE_SCALE else []),
    ]
    if differs:
        text = f"all {len(apart_l)} LEDs agree with the board's own list once that is {' and '.join(differs)}"
        remedy = "Right if the profile uses other axes than the board; `--orientation` tells if it fits the sample."
        return warning(NAME_OF_LIST, text, remedy)
    return ok(NAME_OF_LIST, f"all {len(apart_l)} LEDs as in the board's own list, within {apart_l.max():.2f} mm")


def check_pose(seen: LedImages, led_position_mm_l3: Floats, led_na_l2: Floats, optics: Optics) -> list[Finding]:
    """Where the board is by the spectra of the images of single LEDs, and which LEDs do not fit."""
    patterns_pl = np.eye(len(led_na_l2), dtype=np.float32)[seen.leds]
    by_exposure_k = (1 / seen.exposure_ms_k).astype(np.float32)  # so that dark field is dark
    images_pyx = seen.image_kyx * by_exposure_k[:, None, None]
    fit = fit_pose(images_pyx, patterns_pl, led_position_mm_l3, led_na_l2, optics)
    return [*_stray_leds(seen, fit), _pose(fit, led_position_mm_l3, optics)]


def _stray_leds(seen: LedImages, fit: PoseFit) -> list[Finding]:
    """LEDs whose light comes from elsewhere, found by the others."""
    judged = np.flatnonzero(np.isfinite(fit.score_p))
    stray = judged[fit.score_p[judged] < NO_RIM * np.median(fit.score_p[judged])] if len(judged) else judged
    if not fit.trusted:
        return []  # and the pose tells why
    if not len(stray):
        return [ok(NAME_OF_ORDER, f"the light of {len(judged)} LEDs comes from where the profile has them")]
    named = ", ".join(str(led) for led in seen.leds[stray])
    text = f"the light of {'LEDs' if len(stray) > 1 else 'LED'} {named} does not come from where the profile has it"
    remedy = "Are they swapped, or miscounted in led_board.geometry? Leave them out until that is cured."
    return [error(NAME_OF_ORDER, text, remedy)]


def _pose(fit: PoseFit, led_position_mm_l3: Floats, optics: Optics) -> Finding:
    pose, sure = fit.pose, fit.uncertainty
    parts = {
        "shift_x_mm": f"shift ({pose.shift_mm[0]:+.2f}, {pose.shift_mm[1]:+.2f}) mm",
        "rotation_deg": f"turn {pose.rotation_deg:+.2f} degrees",
        "distance_scale": f"distance x {pose.distance_scale:.3f}",
        "objective_na": f"NA {pose.objective_na:.3f}",
    }
    text = ", ".join(part for name, part in parts.items() if np.isfinite(sure[name])) or "nothing could be told"
    if not fit.trusted:
        remedy = (
            "Put a sample with fine detail in focus and check again; if that is so, check wavelength, magnification,"
            " led_board.geometry and led_board.orientation in the profile."
        )
        return warning(NAME_OF_RIMS, f"{text}; not to be trusted: {'; '.join(fit.reasons[:2])}", remedy)
    distance_mm = float(np.median(led_position_mm_l3[:, 2]))
    large = [
        *(["shift_mm"] if np.hypot(*pose.shift_mm) > LARGE_SHIFT * distance_mm else []),
        *(["rotation_deg"] if abs(pose.rotation_deg) > LARGE_TURN_DEG else []),
        *(["distance_mm"] if abs(pose.distance_scale - 1) > LARGE_SCALE else []),
        *(["objective.na"] if abs(pose.objective_na / optics.objective_na - 1) > LARGE_NA else []),
    ]
    kept = f" ({'; '.join(fit.reasons)})" if fit.reasons else ""
    if large:
        remedy = f"The reconstruction corrects this; better put it into the profile: {', '.join(large)}."
        return warning(NAME_OF_RIMS, f"{text}, against the profile{kept}", remedy)
    return ok(NAME_OF_RIMS, f"{text}, against the profile{kept}")
