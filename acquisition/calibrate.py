"""Where the LED board really is, and whether that can be trusted: from the rims of the discs in the images' spectra.

In the light of one LED a thin sample scatters into two discs of radius NA / wavelength around the frequencies +u and -u
of the image, u = na / wavelength. The rims of all images together tell one global correction of the board: its shift,
its rotation, its distance, and the objective's NA (`BoardPose`). How the most likely one is found: `acquisition.rims`.

The two discs are the same for +u and -u: a board turned by 180 degrees looks exactly alike here. The fit stays with the
branch of the nominal board.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from acquisition.aperture import inside_aperture
from acquisition.board_pose import BoardPose
from acquisition.rims import Rims

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from acquisition.capture_records import Optics

    Floats = NDArray[np.float64]

PARAMETERS = ("shift_x_mm", "shift_y_mm", "rotation_deg", "distance_scale", "objective_na")
"""Components of a pose, in this order wherever there are five numbers."""
LEAST_LEDS = 6
"""Images of single bright-field LEDs: five numbers are to be found."""
LEAST_EVIDENCE = 5.0
"""Log likelihood ratio of rim to no rim, for each image, below which the rims are too weak."""
LARGEST_RESIDUAL = 0.85
"""Share of the predicted step at the rims that may be missing."""
HALVES_APART = 0.3
"""By how much two halves of the LEDs may disagree at least, in units of a parameter's usual error."""
FARTHEST = 2.5
"""How far from nominal a parameter may be, in units of its usual error; beyond nothing was searched."""


@dataclass(frozen=True, eq=False)
class PoseFit:
    """What the rims tell of the board.

    Attributes
    ----------
    pose
        The correction; a parameter that the rims do not determine keeps its nominal value.
    uncertainty
        Standard deviation of each parameter, in the units of `PARAMETERS`: how much the LEDs disagree among each other.
        Infinite for a parameter kept at its nominal value.
    residual
        Share of the power's step at the rims that is missing: 0 where each image has at the fitted rim the step that
        the mean of all predicts, 1 where there is none.
    score_p
        (P,) the same step for each image, over the predicted one: about 1 where the rim fits; NaN for images not used.
    dark_p
        (P,) bool: images lit by one LED that lies outside the fitted pupil or whose image is dark.
    trusted
        Whether the correction may be used without looking at it.
    reasons
        In words, why it is not trusted, and what was kept at its nominal value.
    """

    pose: BoardPose
    uncertainty: dict[str, float]
    residual: float
    score_p: Floats
    dark_p: NDArray[np.bool_]
    trusted: bool
    reasons: tuple[str, ...] = ()


def fit_pose(
    images_pyx: NDArray[np.floating],
    patterns_pl: NDArray[np.floating],
    led_position_mm_l3: Floats,
    led_na_l2: Floats,
    optics: Optics,
) -> PoseFit:
    """Fit one global correction of the board to the rims in the spectra of all images.

    Parameters
    ----------
    images_pyx
        (P, H, W) counts without dark, or divided by the empty field. Images of equal mean tell nothing of dark field.
    patterns_pl
        (P, L) which LEDs were lit in each of these images. Only images of a single LED count.
    led_position_mm_l3, led_na_l2, optics
        Nominal, as in the head of the capture.

    Returns
    -------
    The pose and how far to trust it; with fewer than `LEAST_LEDS` images of a single LED the nominal one, not trusted.
    """
    single_p = np.flatnonzero((patterns_pl > 0).sum(axis=1) == 1)
    led = patterns_pl[single_p].argmax(axis=1)
    nominal = BoardPose((0.0, 0.0), 0.0, 1.0, optics.objective_na)
    bright_field = inside_aperture(led_na_l2[led], optics.objective_na)
    if bright_field.sum() < LEAST_LEDS:
        reason = f"{bright_field.sum()} images of a single bright-field LED, at least {LEAST_LEDS} are needed"
        nothing = np.full(len(images_pyx), np.nan)
        return PoseFit(
            nominal, dict.fromkeys(PARAMETERS, np.inf), 1.0, nothing, np.zeros(len(nothing), bool), False, (reason,)
        )
    rims = Rims(images_pyx, single_p, patterns_pl[single_p, led], led_position_mm_l3[led], led_na_l2[led], optics)
    q, free = rims.fit()
    pose = rims.pose(q)
    na_p2 = pose.led_na(rims.position_mm_p3, rims.led_na_p2)
    dark_p = np.zeros(len(images_pyx), bool)
    dark_p[single_p] = ~(rims.lit_p & inside_aperture(na_p2, pose.objective_na))
    score_p = np.full(len(images_pyx), np.nan)
    used = rims.used_p
    score_p[single_p[used]] = rims.found_p[used] / np.maximum(rims.expected_p[used], 1e-9)
    evidence = float(rims.found_p.sum())
    residual = float(np.clip(1 - evidence / max(rims.expected_p.sum(), 1e-9), 0, 1))

    doubts = []
    if used.sum() < LEAST_LEDS:
        doubts.append(f"only {used.sum()} images of LEDs inside the pupil, at least {LEAST_LEDS} are needed")
    if evidence < LEAST_EVIDENCE * max(used.sum(), 1) or residual > LARGEST_RESIDUAL:
        doubts.append("the rims of the discs are too weak in the images' spectra")
    deviation = rims.deviation(q)
    apart = rims.halves(q, free)
    for name, value, limit in zip(PARAMETERS, apart, np.maximum(HALVES_APART, 3 * deviation), strict=True):
        if value > limit:
            doubts.append(f"two halves of the LEDs disagree about {name}, by {value / limit:.1f} times what is allowed")
    for name, value, far in zip(PARAMETERS, q * rims.spread, np.abs(q) > FARTHEST, strict=True):
        if far:
            doubts.append(f"{name} is off by {value:+.3g}, beyond what was searched; the profile is probably wrong")
    if not free[:2].all():
        doubts.append("the rims do not determine the shift")
    kept = [f"{name} cannot be told from these LEDs and stays nominal" for name in np.array(PARAMETERS)[~free]]
    # The edge of a disc is blurred by the finite image: a fifth of a bin is what simulated boards show.
    blur_na = 0.2 * max(rims.bin_yx) * optics.wavelength_um
    reach_na = max(float(np.hypot(*na_p2[used].T).mean()) if used.any() else 0.0, blur_na)
    systematic = np.array([0, 0, 0, blur_na / reach_na, blur_na])
    sure = np.where(free, np.hypot(deviation * rims.spread, systematic), np.inf)
    uncertainty = dict(zip(PARAMETERS, map(float, sure), strict=True))
    return PoseFit(pose, uncertainty, residual, score_p, dark_p, not doubts, (*doubts, *kept))
