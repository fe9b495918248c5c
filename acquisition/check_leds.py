"""Does each LED light, as brightly as its neighbours, and where it should? From an image of each.

The images are compared with dark ones of the same exposure. Brightness is judged among LEDs at a similar angle, since
boards are dimmer at their edge; whether an LED lies in bright or in dark field is judged by the profile's geometry, but
not close to the edge of the pupil, where a board that is a little out of place decides.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from acquisition.aperture import inside_aperture
from acquisition.finding import error, ok, warning

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from acquisition.capture_records import Optics
    from acquisition.finding import Finding
    from acquisition.instrument import Instrument

    Floats = NDArray[np.float64]

CENTRE_PX = 512
"""Of larger images the middle is kept: enough for the rims in their spectra."""
DARK_FRAMES = 4
DARK_SPREADS, LEAST_COUNTS = 6.0, 0.3
"""Light is what exceeds the dark frames' mean by so many of their standard deviations, and by so many counts."""
EDGE = 0.05
"""So close to the pupil's edge, as a part of the NA, an LED may lie on either side of it."""
LEAST_APART = 0.1
"""Pairs of LEDs tell how light falls off that are apart by at least this part of the largest difference in angle."""
WEAK = 0.6
"""Of the light of others at the same angle: less is weak."""
DARK_FIELD = 0.1
"""Of the light in bright field: less is dark field."""
BRIGHT_FIELD = 0.4
"""Of the light in bright field: more is bright field."""
LATE = 0.1
"""Light left after switching off, in that of the LED before."""
SATURATED_SHARE, SPOILED_SHARE = 1e-3, 0.02
"""Saturated pixels that are worth a warning, and those that spoil the image."""
FAINT_E, FAINT, FILLED = 1000.0, 0.02, 0.7
"""Too little: electrons in a pixel, or parts of the range where nobody knows them; what an exposure may well fill."""
QUIET = 0.5
"""Of the variance that the electrons' number alone gives: less is no light but a limit of the camera."""
LONGER = 8.0
"""Nobody is told to expose so many times as long at once: the pixels may be full before the counts are."""


@dataclass(frozen=True, eq=False)
class LedImages:
    """An image of each of some LEDs alone.

    Attributes
    ----------
    leds
        (K,) their numbers.
    exposure_ms_k
        (K,) how long each was exposed.
    image_kyx
        (K, h, w) float32 counts without dark, the middle of the image.
    light_k
        (K,) mean counts above dark, of the whole image.
    least_k
        (K,) what counts as light at that exposure.
    peak_k
        (K,) counts that one pixel in a thousand exceeds, dark included.
    saturated_k
        (K,) share of saturated pixels.
    left_over
        Light after the brightest LED was switched off, as a part of its light.
    """

    leds: NDArray[np.intp]
    exposure_ms_k: Floats
    image_kyx: NDArray[np.float32]
    light_k: Floats
    least_k: Floats
    peak_k: Floats
    saturated_k: Floats
    left_over: float


def take_images(
    instrument: Instrument,
    leds: NDArray[np.intp],
    exposure_ms_k: Floats,
    on_led: Callable[[int], None] = lambda done: None,
) -> LedImages:
    """Light one LED after the other and take its image; the LEDs are off afterwards, whatever happens.

    Parameters
    ----------
    instrument
        Open; nobody else uses it meanwhile.
    leds, exposure_ms_k
        Which, and how long to expose each of them.
    on_led
        Called with the number of images taken.

    Raises
    ------
    OperatorError
        Board or camera does not do what it was told.
    """
    camera = instrument.camera
    top = 2**instrument.profile.camera.bit_depth - 1
    height, width = camera.image_shape
    rows, columns = min(height, CENTRE_PX), min(width, CENTRE_PX)
    above, left = (height - rows) // 2, (width - columns) // 2
    middle = np.s_[above : above + rows, left : left + columns]
    count = len(leds)
    image_kyx = np.zeros((count, rows, columns), np.float32)
    light_k, least_k, peak_k, saturated_k = np.zeros((4, count))

    def snap(pattern_l: NDArray[np.float32] | None) -> NDArray[np.uint16]:
        if pattern_l is None:
            instrument.leds.off()
        else:
            instrument.leds.show(pattern_l)
        time.sleep(instrument.profile.led_board.settle_ms / 1000)
        return camera.snap()

    single_ll = np.eye(len(instrument.led_na_l2), dtype=np.float32)
    done = 0
    dark_counts: dict[float, float] = {}
    try:
        for exposure_ms in np.unique(exposure_ms_k):
            camera.set_exposure_ms(float(exposure_ms))
            dark_nyx = np.stack([snap(None) for _ in range(DARK_FRAMES)])
            dark_yx = dark_nyx.mean(axis=0, dtype=np.float32)
            dark_counts[float(exposure_ms)] = float(dark_nyx.mean())
            spread = max(dark_nyx.mean(axis=(1, 2)).std(ddof=1), dark_nyx.std() / np.sqrt(dark_yx.size))
            for k in np.flatnonzero(exposure_ms_k == exposure_ms):
                image_yx = snap(single_ll[leds[k]])
                image_kyx[k] = image_yx[middle] - dark_yx[middle]
                light_k[k] = image_yx.mean(dtype=np.float64) - dark_yx.mean(dtype=np.float64)
                least_k[k] = max(DARK_SPREADS * spread, LEAST_COUNTS)
                peak_k[k] = np.quantile(image_yx, 0.999)
                saturated_k[k] = np.count_nonzero(image_yx >= top) / image_yx.size
                done += 1
                on_led(done)
        brightest = int(np.argmax(light_k))
        exposure_ms = float(exposure_ms_k[brightest])
        camera.set_exposure_ms(exposure_ms)
        instrument.leds.show(single_ll[leds[brightest]])
        after = float(snap(None).mean()) - dark_counts[exposure_ms]
    finally:
        instrument.leds.off()
    left_over = max(0.0, after) / max(float(light_k.max()), after, LEAST_COUNTS)
    return LedImages(
        leds, exposure_ms_k, image_kyx, light_k, least_k, peak_k, saturated_k, left_over
    )


def judge_lighting(seen: LedImages, led_na_l2: Floats, objective_na: float) -> list[Finding]:
    """Which LEDs do not light, which are weak, which are bright or dark where they should not be."""
    rho_k = np.hypot(*led_na_l2[seen.leds].T) / objective_na
    bright_k, dark_k = rho_k < 1 - EDGE, rho_k > 1 + EDGE
    lights_k = seen.light_k > seen.least_k
    rate_k = seen.light_k / seen.exposure_ms_k
    found: list[Finding] = []
    if not lights_k.any():
        remedy = "Check the power of the board, the light's way to the camera, shutters and filters, and the exposure."
        return [error("LEDs that light", f"none of {len(lights_k)} LEDs is seen by the camera", remedy)]

    no_light_k = ~lights_k & bright_k
    seen_in_dark_field = lights_k[dark_k].sum()
    unseen = bool(dark_k.any()) and 2 * seen_in_dark_field < dark_k.sum()
    if not unseen:
        no_light_k = ~lights_k
    judged = f"{len(lights_k)} LEDs" if not unseen else f"{bright_k.sum()} LEDs in bright field"
    if no_light_k.any():
        text = f"{_leds(seen.leds[no_light_k])} {'does' if no_light_k.sum() == 1 else 'do'} not light, of {judged}"
        remedy = "Check these LEDs and their solder joints; `--plan kind=subset` with the others leaves them out."
        found.append(error("LEDs that light", text, remedy))
    else:
        found.append(ok("LEDs that light", f"all of {judged}"))
    if unseen:
        text = f"only {seen_in_dark_field} of {dark_k.sum()} LEDs in dark field give light"
        remedy = "Put a sample there that scatters, or expose longer (plan.darkfield_exposure_ms)."
        found.append(warning("Dark field", text, remedy))

    compared_k = bright_k & ~no_light_k
    if not compared_k.any():
        return found
    expected_k = _expected_light(rho_k, rate_k, compared_k)
    usual = float(np.median(rate_k[compared_k]))
    misplaced_k = compared_k & (rate_k < DARK_FIELD * expected_k)
    weak_k = compared_k & ~misplaced_k & (rate_k < WEAK * expected_k)
    if weak_k.any():
        shares = rate_k[weak_k] / expected_k[weak_k]
        span = f"{100 * shares.min():.0f} to {100 * shares.max():.0f} %"
        text = f"{_leds(seen.leds[weak_k])} weak: {span} of what the others have at the same angle"
        remedy = "Clean them and what is before them; the reconstruction fits each LED's brightness."
        found.append(warning("Brightness", text, remedy))
    else:
        spread = float(np.std(rate_k[compared_k & ~misplaced_k] / expected_k[compared_k & ~misplaced_k]))
        found.append(ok("Brightness", f"within {100 * spread:.1f} % of what the others have at the same angle"))
    too_bright_k = dark_k & (rate_k > BRIGHT_FIELD * usual)
    remedy = (
        "The LEDs are not where the profile says: check led_board.geometry (numbering, distance), led_board.orientation"
        " and objective.na."
    )
    texts = [
        *([f"{_leds(seen.leds[too_bright_k])} bright, expected in dark field"] if too_bright_k.any() else []),
        *([f"{_leds(seen.leds[misplaced_k])} dark, expected in bright field"] if misplaced_k.any() else []),
    ]
    if texts:
        found.append(error("Bright and dark field", "; ".join(texts), remedy))
    else:
        text = f"{bright_k.sum()} LEDs in bright field, {dark_k.sum()} in dark field, as the profile says"
        found.append(ok("Bright and dark field", text))
    return found


def judge_exposure(seen: LedImages, led_na_l2: Floats, optics: Optics) -> Finding:
    """Whether the exposures of the plan suit the camera's range."""
    bit_depth, objective_na = optics.bit_depth, optics.objective_na
    bright_k = inside_aperture(led_na_l2[seen.leds], objective_na)
    judged = np.flatnonzero(bright_k) if bright_k.any() else np.arange(len(seen.leds))
    top = 2**bit_depth - 1
    brightest = judged[np.lexsort([seen.peak_k[judged], seen.saturated_k[judged]])[-1]]
    exposure_ms, peak = seen.exposure_ms_k[brightest], seen.peak_k[brightest]
    led, saturated = seen.leds[brightest], seen.saturated_k[brightest]
    better_ms = exposure_ms * (0.5 if peak >= top else FILLED * top / max(peak, 1.0))
    if saturated > SATURATED_SHARE:
        text = f"{100 * saturated:.2g} % of the pixels are saturated at {exposure_ms:g} ms, with LED {led}"
        remedy = f"Expose shorter (plan.exposure_ms = {better_ms:.2g}), or turn down led_board.brightness."
        return (error if saturated > SPOILED_SHARE else warning)("Exposure", text, remedy)
    text = f"the brightest image, of LED {led}, fills {100 * peak / top:.0f} % of the range at {exposure_ms:g} ms"
    if optics.camera_gain_e is None:
        faint = peak < FAINT * top
    else:
        electrons = float(seen.light_k[brightest]) * optics.camera_gain_e
        text, faint = f"{text}, {electrons:.0f} electrons in a pixel", electrons < FAINT_E
        if seen.image_kyx[brightest].var() * optics.camera_gain_e**2 < QUIET * electrons:
            told = f"the image of LED {led} is quieter than light can be: its pixels are full at {peak:.0f} counts"
            remedy = f"Expose shorter, perhaps plan.exposure_ms = {exposure_ms / 2:.2g}; check gain_e_per_count."
            return error("Exposure", told, remedy)
    if faint:
        longer_ms = min(better_ms, LONGER * exposure_ms)
        return warning("Exposure", text, f"Expose longer, perhaps plan.exposure_ms = {longer_ms:.2g}: noise prevails.")
    return ok("Exposure", text)


def judge_switching(seen: LedImages) -> Finding:
    """Whether the board switches before it confirms; if not, all other images may show the LED before."""
    if seen.left_over > LATE:
        text = f"{100 * seen.left_over:.0f} % of the light is still there in the frame after switching off"
        remedy = "The board switches late: increase led_board.settle_ms until this passes. Do not scan before."
        return error("Switching", text, remedy)
    return ok("Switching", "dark in the frame after switching off")


def _expected_light(rho_k: Floats, rate_k: Floats, compared_k: NDArray[np.bool_]) -> Floats:
    """Light (K,) that falls off with the angle as that of most LEDs compared: a line in log light over angle squared.

    Its slope is the median of those of all pairs (Theil and Sen), so that a few bad LEDs do not matter.
    """
    x, y = rho_k[compared_k] ** 2, np.log(rate_k[compared_k])
    one, other = np.triu_indices(len(x), 1)
    apart = x[other] - x[one]
    far = np.abs(apart) > LEAST_APART * np.abs(apart).max(initial=0.0)
    slope = float(np.median(((y[other] - y[one])[far]) / apart[far])) if far.any() else 0.0
    expected_k: Floats = np.exp(np.median(y - slope * x) + slope * rho_k**2)
    return expected_k


def _leds(leds: NDArray[np.intp], most: int = 12) -> str:
    """Name some LEDs."""
    shown = ", ".join(str(led) for led in leds[:most])
    more = f" and {len(leds) - most} more" if len(leds) > most else ""
    return f"LED{'s' if len(leds) > 1 else ''} {shown}{more}"
