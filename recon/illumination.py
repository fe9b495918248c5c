"""Where the light of each LED really comes from: as the capture's calibration says, else as its images show.

The nominal board is never quite where it should be, and images that are explained by wrong directions give a wrong
sample. A capture that was calibrated (`fieldscope calibrate`) is taken at its word. Otherwise the rims of the discs in
the images' spectra are fitted (`acquisition.calibrate`); where that fit does not trust itself, the nominal directions
stay.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from acquisition.aperture import inside_aperture
from acquisition.board_pose import BoardPose
from acquisition.calibrate import fit_pose
from acquisition.capture import Calibration
from recon.measurement import choose_held_out

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from acquisition.capture import CaptureHeader, Optics
    from recon.measurement import Images

RIM_NA = 0.01
"""LEDs beyond the edge of the aperture by less than this share of its NA may still be bright field in part."""


@dataclass(frozen=True, eq=False)
class Illumination:
    """Directions of the LEDs and the optics they were found with.

    Attributes
    ----------
    led_na_l2
        (L, 2).
    optics
        With the objective's NA that belongs to these directions.
    origin
        Where they come from, in words.
    pose
        Correction to the nominal board; None where the capture gave the directions.
    """

    led_na_l2: NDArray[np.float64]
    optics: Optics
    origin: str
    pose: BoardPose | None

    def calibration(self) -> Calibration:
        """Tell these directions as a capture's calibration does."""
        unknown_l = np.full(len(self.led_na_l2), np.nan)
        return Calibration(self.led_na_l2, unknown_l, self.optics.objective_na, math.nan, self.origin)

    def bright_field(self, patterns_pl: NDArray[np.float32]) -> NDArray[np.int64]:
        """Rows of patterns whose LEDs all shine into the objective's aperture."""
        return self._rows(patterns_pl, inside_aperture(self.led_na_l2, self.optics.objective_na))

    def dark_field(self, patterns_pl: NDArray[np.float32]) -> NDArray[np.int64]:
        """Rows of patterns whose LEDs all shine past it."""
        return self._rows(patterns_pl, np.hypot(*self.led_na_l2.T) > (1.0 + RIM_NA) * self.optics.objective_na)

    def _rows(self, patterns_pl: NDArray[np.float32], wanted_l: NDArray[np.bool_]) -> NDArray[np.int64]:
        lit_pl = patterns_pl > 0
        return np.flatnonzero(lit_pl.any(axis=1) & ~(lit_pl & ~wanted_l).any(axis=1))


def nominal(header: CaptureHeader) -> Illumination:
    """Directions as the hardware profile has them."""
    pose = BoardPose((0.0, 0.0), 0.0, 1.0, header.optics.objective_na)
    return Illumination(header.led_na_l2, header.optics, "nominal", pose)


def stored(header: CaptureHeader, calibration: Calibration) -> Illumination:
    """Directions as the capture's calibration has them."""
    optics = replace(header.optics, objective_na=calibration.objective_na)
    return Illumination(calibration.led_na_l2, optics, f"calibration ({calibration.method})", None)


def from_pose(header: CaptureHeader, pose: BoardPose, origin: str) -> Illumination:
    """Directions of a board that is displaced."""
    led_na_l2 = pose.led_na(header.led_position_mm_l3, header.led_na_l2)
    return Illumination(led_na_l2, replace(header.optics, objective_na=pose.objective_na), origin, pose)


def held_out_by_profile(
    header: CaptureHeader, available: NDArray[np.integer], wanted: tuple[int, ...]
) -> NDArray[np.int64]:
    """Which of the patterns `available` no fit sees, that of the board included: chosen before the light is known."""
    bright_field = np.intersect1d(nominal(header).bright_field(header.patterns_pl), available)
    return choose_held_out(bright_field, wanted, len(header.patterns_pl))


def from_rims(
    header: CaptureHeader, images: Images, notify: Callable[[str], None], held_out: NDArray[np.int64] | None = None
) -> Illumination:
    """Directions as the spectra of all images but those held out show them.

    Nominal ones, with the reason told, where these cannot be trusted.
    """
    seen_p = np.isin(images.pattern_p, [] if held_out is None else held_out, invert=True)
    counts_pyx = images.intensity_pyx[seen_p] * images.level_p[seen_p, None, None]
    patterns_pl = header.patterns_pl[images.pattern_p[seen_p]]
    fit = fit_pose(counts_pyx, patterns_pl, header.led_position_mm_l3, header.led_na_l2, header.optics)
    pose = fit.pose
    if not fit.trusted:
        notify(
            f"The LEDs are taken where the profile has them: {'; '.join(fit.reasons)}. If the held-out error is large,"
            " check the board's place in the hardware profile, or capture with more bright-field LEDs."
        )
        return nominal(header)
    notify(
        f"The board was found at shift ({pose.shift_mm[0]:+.2f}, {pose.shift_mm[1]:+.2f}) mm, rotation"
        f" {pose.rotation_deg:+.2f} degrees, {pose.distance_scale:.3f} of its nominal distance; NA"
        f" {pose.objective_na:.4f}."
    )
    return from_pose(header, pose, "rims")


def led_gain_l(brightness_pl: NDArray[np.float32], gain_p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Brightness of each LED that was lit alone, (L,), from that of each pattern; NaN for the others."""
    gain_l = np.full(brightness_pl.shape[1], np.nan)
    alone = np.flatnonzero((brightness_pl > 0).sum(axis=1) == 1)
    gain_l[brightness_pl[alone].argmax(axis=1)] = gain_p[alone]
    return gain_l
