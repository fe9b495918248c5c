"""The search for the focus before a scan, in two ways.

stack: the light of one half of the bright-field aperture makes the edges of unstained cells visible where they are in
focus, and blurs them above and below: LED l shifts the image of a plane at height z by -z tan(angle_l), so that the
sum over LEDs keeps fine detail only near z = 0. The z drive goes through the range, takes a few frames more between
those around the sharpest one, and the bell curve that comes nearest to all of them gives the height. (Near the focus
frames differ by little more than their noise: a parabola through the sharpest three scatters by a third of a depth of
field.)

refocus: two images in the light of opposite LEDs near the rim of the aperture, without any move. A sample that lies at
height z shifts them against each other by 2 z tan(angle). A frequency f that reaches the camera through one of an LED's
two discs alone has in weak scattering the transfer exp(i z phi(f)), with phi = kz(u) - kz(f + u) and u = na /
wavelength; opposite light has the conjugate. So the cross spectrum of the two images turns by exp(-2 i z phi), and

    z = argmax_z | sum_f  conj(I_+) I_-  exp(2 i z phi) |

which is the cross-correlation of the two images with the exact shift of every frequency in place of one for all.
It finds the middle of a thick sample as well: there the parts above and below turn the phase to either side.
Where there is a z drive, what was found is corrected and measured again, which also shows which way the drive counts.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from acquisition.aperture import inside_aperture
from acquisition.errors import OperatorError
from acquisition.header import optics_of
from acquisition.micromanager import MicroManagerError
from acquisition.stage import place_in_words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from acquisition.capture import Optics
    from acquisition.instrument import Instrument
    from acquisition.profile_plan import AutofocusSettings

    Expose = Callable[[NDArray[np.float32], float], NDArray[np.uint16]]
    Pair = tuple[int, int]

_log = logging.getLogger(__name__)

_BAND = (0.5, 1.5)
"""Frequencies that count for the sharpness, over NA / wavelength: below are shades, above is little but noise."""
_LEAST_RISE = 0.1
"""Of the sharpest frame over the middle one, as a part of it."""
_SIGMAS = 5.0
_LARGEST_SIDE = 512
_LEAST_BRIGHTNESS = 1 / 16
_OPPOSITE = 0.1
"""How far two LEDs may be from opposite, over the objective's NA."""
_PHASE_BINS = 1 << 13
_OVERSAMPLED = 8
_LEAST_SIGNIFICANCE = 6.0
"""Of the correlation's peak over that of images that have nothing in common, which reaches 4.5."""
_MOST_CORRECTIONS = 4
_BELL_PLACES, _BELL_WIDTHS = 201, 24


class AutofocusError(OperatorError):
    """The focus was not found; the z drive is back where it was."""


@dataclass(frozen=True)
class Focus:
    """What a search has found.

    Attributes
    ----------
    z_um
        Where the z drive is now; None where there is none.
    defocus_um
        How far the sample now lies above the focal plane, along the light; None where a stack was taken, which does not
        tell.
    """

    z_um: float | None
    defocus_um: float | None

    def __str__(self) -> str:
        """Tell it to the operator."""
        if self.z_um is not None:
            return f"focus at z = {place_in_words((self.z_um,))}"
        return f"the sample is {self.defocus_um:+.1f} um from the focal plane; there is no z drive to correct it"


def search(instrument: Instrument, settings: AutofocusSettings, exposure_ms: float, expose: Expose) -> Focus:
    """Search the focus around where the z drive is, and leave it there.

    Parameters
    ----------
    instrument
        Whose devices the caller has.
    settings
        How.
    exposure_ms
        That suits a single bright-field LED.
    expose
        Lights a pattern (L,) of brightness 0 to 1, exposes for so many milliseconds and returns the image. What it
        raises ends the search.

    Raises
    ------
    AutofocusError
        There is no clear maximum in the range, no light for it, or no z drive for a stack.
    StageError
        The z drive does not obey, or may not go so far.
    """
    stages = instrument.stages
    before_um = stages.z_um() if stages.z_device else None
    way = _search_stack if settings.method == "stack" else _search_by_refocus
    try:
        return way(instrument, settings, exposure_ms, expose)
    except MicroManagerError:  # what the z drive does not do is told, also where it cannot even go back
        if before_um is not None:
            with suppress(MicroManagerError):
                stages.move_z_um(before_um)
        raise
    except BaseException:
        if before_um is not None:
            stages.move_z_um(before_um)
        raise


# --- by a stack -------------------------------------------------------------------------------------------------------


def _search_stack(instrument: Instrument, settings: AutofocusSettings, exposure_ms: float, expose: Expose) -> Focus:
    stages, seen = instrument.stages, _Images(instrument.camera.image_shape, optics_of(instrument.profile))
    middle_um = stages.z_um()
    pattern_l, exposure_ms = _half_light(instrument, exposure_ms)

    def sharpness(z_um: float) -> float:
        stages.move_z_um(z_um)
        return seen.sharpness(expose(pattern_l, exposure_ms))

    z_um_k = middle_um + settings.offsets_um
    sharpness_k = np.array([sharpness(z_um) for z_um in z_um_k.tolist()])
    _log.debug("sharpness at %s um: %s", z_um_k, sharpness_k)
    best = clear_maximum(z_um_k, sharpness_k, max(_LEAST_RISE, _SIGMAS * seen.sharpness_noise))
    near_um_k = z_um_k[best] + settings.between_um
    near_um_k = near_um_k[(z_um_k[0] < near_um_k) & (near_um_k < z_um_k[-1])]
    near_k = np.array([sharpness(z_um) for z_um in near_um_k.tolist()])
    height_um = best_height(np.concatenate([z_um_k, near_um_k]), np.concatenate([sharpness_k, near_k]))
    return Focus(stages.move_z_um(height_um), None)


def clear_maximum(z_um_k: NDArray[np.float64], sharpness_k: NDArray[np.float64], least_rise: float) -> int:
    """Number of the sharpest frame.

    Parameters
    ----------
    z_um_k, sharpness_k
        (K,) ascending heights, and the sharpness at each.
    least_rise
        By how much the largest value must exceed the median, as a part of itself.

    Raises
    ------
    AutofocusError
        There is no clear maximum within the range.
    """
    best = int(np.argmax(sharpness_k))
    peak, median = float(sharpness_k[best]), float(np.median(sharpness_k))
    span = f"{z_um_k[0]:.4g} to {z_um_k[-1]:.4g} um"
    if not peak - median > least_rise * peak:
        raise AutofocusError(
            f"Nothing on the sample is sharper anywhere from {span} (by {100 * (1 - median / peak):.0f} %).",
            "Look whether there is a sample in the field; else increase experiment.autofocus.range_um.",
        )
    if best in (0, len(z_um_k) - 1):
        raise AutofocusError(
            f"The sharpest frame is the {'first' if best == 0 else 'last'} one of {span}: the focus is beyond.",
            "Focus by hand, or increase experiment.autofocus.range_um.",
        )
    return best


def best_height(z_um_k: NDArray[np.float64], sharpness_k: NDArray[np.float64]) -> float:
    """Top of the bell curve on a floor that comes nearest to values at several heights, both (K,), in any order.

    Each place between the neighbours of the largest value is tried with each width; height and floor follow by
    regression.
    """
    order_k = np.argsort(z_um_k)
    z_um_k, sharpness_k = z_um_k[order_k], sharpness_k[order_k]
    best, last = int(np.argmax(sharpness_k)), len(z_um_k) - 1
    place_um_c = np.linspace(z_um_k[max(best - 1, 0)], z_um_k[min(best + 1, last)], _BELL_PLACES)
    width_um_w = np.geomspace(np.diff(z_um_k).min(), 2 * np.ptp(z_um_k), _BELL_WIDTHS)
    bell_wck = np.exp(-(((z_um_k - place_um_c[:, None]) / width_um_w[:, None, None]) ** 2))
    bell_wck -= bell_wck.mean(axis=2, keepdims=True)
    # How much of the variance each accounts for; one upside down for nothing.
    explained_wc = np.maximum(bell_wck @ (sharpness_k - sharpness_k.mean()), 0) ** 2 / (bell_wck**2).sum(axis=2)
    return float(place_um_c[np.unravel_index(np.argmax(explained_wc), explained_wc.shape)[1]])


def _vertex(values: NDArray[np.float64]) -> float:
    """Place of the maximum of a parabola through values at -1, 0 and 1, of which the middle one is the largest."""
    left, middle, right = (float(value) for value in values)
    bend = left - 2 * middle + right
    return 0.0 if bend >= 0 else 0.5 * (left - right) / bend


def _half_light(instrument: Instrument, exposure_ms: float) -> tuple[NDArray[np.float32], float]:
    """Half of the aperture, (L,), as bright together as one LED, and for how long to expose."""
    na_l2, limits = instrument.led_na_l2, instrument.profile.camera.exposure_ms
    half_l = inside_aperture(na_l2, instrument.profile.objective.na) & (na_l2[:, 0] > 1e-6)
    count = int(half_l.sum())
    if count == 0:
        raise AutofocusError(
            "The board has no bright-field LED off the axis to focus by.",
            "Leave out experiment.autofocus, or correct led_board.geometry in the hardware profile.",
        )
    brightness = max(1 / count, _LEAST_BRIGHTNESS)
    exposure_ms = float(np.clip(exposure_ms / (count * brightness), limits.min, limits.max))
    return (half_l * brightness).astype(np.float32), exposure_ms


# --- by refocusing ----------------------------------------------------------------------------------------------------


def _search_by_refocus(
    instrument: Instrument, settings: AutofocusSettings, exposure_ms: float, expose: Expose
) -> Focus:
    stages, optics = instrument.stages, optics_of(instrument.profile)
    pairs = opposite_pairs(instrument.led_na_l2, optics.objective_na)

    def measure() -> float:
        images = []
        for pair in pairs:
            for led in pair:
                pattern_l = np.zeros(len(instrument.led_na_l2), np.float32)
                pattern_l[led] = 1.0
                images.append(expose(pattern_l, exposure_ms))
        na_k2 = [0.5 * (instrument.led_na_l2[a] - instrument.led_na_l2[b]) for a, b in pairs]
        return defocus_um(list(zip(images[::2], images[1::2], strict=True)), na_k2, optics, settings.range_um / 2)

    defocus = measure()
    if not stages.z_device:
        return Focus(None, defocus)
    sign = -1.0  # a z drive that counts along the light lifts the sample; else the first correction makes it worse
    depth_um = optics.wavelength_um * optics.medium_index / optics.objective_na**2
    z_um = stages.z_um()
    for _ in range(_MOST_CORRECTIONS):
        if abs(defocus) <= depth_um / 4:
            return Focus(z_um, defocus)
        before, start_um = defocus, z_um
        z_um = stages.move_z_um(start_um + sign * before)
        defocus = measure()
        if abs(defocus) > abs(before):
            sign = -sign
            z_um = stages.move_z_um(start_um + sign * before)
            defocus = measure()
    if abs(defocus) <= depth_um:
        return Focus(z_um, defocus)
    raise AutofocusError(
        f"After {_MOST_CORRECTIONS} corrections the sample is still {defocus:+.1f} um from the focal plane.",
        "Check that the z drive moves sample or objective, and that its micrometres are micrometres.",
    )


def opposite_pairs(led_na_l2: NDArray[np.float64], objective_na: float) -> list[Pair]:
    """Choose two LEDs opposite to each other near the rim of the aperture: a pair along x and one along y.

    Raises
    ------
    AutofocusError
        The board has no such pair.
    """
    bright = np.flatnonzero(inside_aperture(led_na_l2, objective_na))
    pairs: list[Pair] = []
    for axis in (0, 1):
        for led in bright[np.argsort(-led_na_l2[bright, axis], kind="stable")].tolist():
            if led_na_l2[led, axis] < objective_na / 2:
                break
            away_l = np.hypot(*(led_na_l2[bright] + led_na_l2[led]).T)
            if away_l.min() <= _OPPOSITE * objective_na:
                pairs.append((led, int(bright[np.argmin(away_l)])))
                break
    if not pairs:
        raise AutofocusError(
            f"The board has no two LEDs opposite to each other between NA {objective_na / 2:.2f} and {objective_na:g}.",
            'Choose method = "stack" in experiment.autofocus, or leave it out.',
        )
    return pairs


def defocus_um(
    images: Sequence[tuple[NDArray[np.uint16], NDArray[np.uint16]]],
    na_k2: Sequence[NDArray[np.float64]],
    optics: Optics,
    largest_um: float,
) -> float:
    """Find how far a sample lies above the focal plane, by images of it in the light of opposite LEDs.

    Parameters
    ----------
    images
        K pairs of counts (H, W): in light of direction na and of direction -na.
    na_k2
        (K, 2) directions.
    optics
        Wavelength, aperture, medium, pixel and offset.
    largest_um
        Heights are searched so far to each side.

    Raises
    ------
    AutofocusError
        The images show nothing in common at any height.
    """
    seen = _Images(images[0][0].shape, optics)
    wave_number = 2 * np.pi * optics.medium_index / optics.wavelength_um
    phase_step = 2 * wave_number / _PHASE_BINS
    turned = np.zeros(_PHASE_BINS * _OVERSAMPLED, np.complex128)
    power = 0.0
    for (plus_yx, minus_yx), na in zip(images, na_k2, strict=True):
        cross = np.conj(seen.spectrum(plus_yx)) * seen.spectrum(minus_yx)
        u = na / optics.wavelength_um
        inside, outside = (np.hypot(seen.fx + s * u[0], seen.fy + s * u[1]) < seen.radius for s in (1, -1))
        alone = inside & ~outside
        squared = (seen.fx + u[0]) ** 2 + (seen.fy + u[1]) ** 2
        phase = np.sqrt(wave_number**2 - (2 * np.pi) ** 2 * (u @ u)) - np.sqrt(
            np.maximum(wave_number**2 - (2 * np.pi) ** 2 * squared[alone], 0)
        )
        bins = np.round((phase + wave_number) / phase_step).astype(np.intp)
        turned[:_PHASE_BINS] += np.bincount(bins, cross[alone].real, _PHASE_BINS)
        turned[:_PHASE_BINS] += 1j * np.bincount(bins, cross[alone].imag, _PHASE_BINS)
        power += float((np.abs(cross[alone]) ** 2).sum())
    # exp(2 i z phase) over bins of the phase is a Fourier transform, with heights in steps of
    z_step_um = np.pi / (phase_step * len(turned))
    count = min(int(largest_um / z_step_um), len(turned) // 2 - 1)
    all_k = np.abs(np.fft.ifft(turned)) * len(turned)
    match_k = np.concatenate([all_k[-count - 1 :], all_k[: count + 2]])  # one beyond each end
    best = 1 + int(np.argmax(match_k[1:-1]))
    significance = float(match_k[best]) / max(np.sqrt(power), 1e-300)
    _log.debug("refocus: significance %.1f at %.2f um", significance, (best - count - 1) * z_step_um)
    if significance < _LEAST_SIGNIFICANCE or match_k[best] < max(match_k[best - 1], match_k[best + 1]):
        raise AutofocusError(
            f"Images in opposite light agree at no height within {largest_um:g} um of the focal plane.",
            "Look whether there is a sample in the field; focus by hand, or increase experiment.autofocus.range_um.",
        )
    return (best - count - 1 + _vertex(match_k[best - 1 : best + 2])) * float(z_step_um)


# --- images -----------------------------------------------------------------------------------------------------------


class _Images:
    """The middle of images of one size, and their spectra.

    Attributes
    ----------
    fy, fx
        Frequencies of the spectra, cycles per micrometre, to be broadcast.
    radius
        Of the aperture, likewise.
    """

    def __init__(self, shape: tuple[int, ...], optics: Optics) -> None:
        rows, columns = (min(side, _LARGEST_SIDE) for side in shape)
        top, left = (shape[0] - rows) // 2, (shape[1] - columns) // 2
        self._window = slice(top, top + rows), slice(left, left + columns)
        self._fade_yx = np.hanning(rows)[:, None] * np.hanning(columns)
        self._offset = optics.camera_offset
        self.fy, self.fx = np.fft.fftfreq(rows, optics.pixel_um)[:, None], np.fft.fftfreq(columns, optics.pixel_um)
        self.radius = optics.objective_na / optics.wavelength_um
        size = np.hypot(self.fy, self.fx) / self.radius
        self._band = (_BAND[0] <= size) & (size <= _BAND[1])

    @property
    def sharpness_noise(self) -> float:
        """Standard deviation of the sharpness of pure noise, over its mean; the fade leaves half of the pixels."""
        return float(np.sqrt(2 * 2 / max(1, self._band.sum())))

    def spectrum(self, image_yx: NDArray[np.uint16]) -> NDArray[np.complex128]:
        """FFT of an image relative to its mean, faded out towards the rim."""
        signal_yx = image_yx[self._window].astype(np.float64) - self._offset
        relative_yx = signal_yx / max(float(signal_yx.mean()), 1e-9) - 1
        return np.fft.fft2(relative_yx * self._fade_yx)

    def sharpness(self, image_yx: NDArray[np.uint16]) -> float:
        """Energy of an image's fine detail, over its brightness."""
        return float((np.abs(self.spectrum(image_yx)[self._band]) ** 2).sum())
