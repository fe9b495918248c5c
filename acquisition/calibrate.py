"""Where the LED board really is, from the rims of the two discs in the spectra of the images.

In the light of one LED a thin sample scatters into two discs of radius NA / wavelength around the frequencies +u and -u
of the image, u = na / wavelength. The rims of all images together tell one global correction of the board: its shift,
its rotation, its distance, and the objective's NA (`BoardPose`). The fit is a maximum-likelihood one:

1. The logarithm of the power of each image at each frequency. Its noise has the same spread everywhere (that of the
   logarithm of an exponential variate), whatever the sample.
2. At each frequency its expectation outside of both discs, in one and in both: means over those LEDs that, by the pose
   so far, have the frequency there. So the sample's own spectrum drops out.
3. The likelihood ratio "inside" to "outside" of each sample, summed over one disc, as a function of the pose: with its
   sums along rays tabulated once, a pose costs one look-up per ray. Its maximum by Newton's method.

2 and 3 repeat with the better pose until it rests. Images of LEDs outside the pupil (dark field: no unscattered light,
no discs) are recognised by their brightness and by the pose, and left out.

The two discs are the same for +u and -u: a board turned by 180 degrees looks exactly alike here. The fit stays with the
branch of the nominal board.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from acquisition.capture_records import Optics

    Floats = NDArray[np.float64]

log = logging.getLogger(__name__)

PARAMETERS = ("shift_x_mm", "shift_y_mm", "rotation_deg", "distance_scale", "objective_na")

LEAST_LEDS = 6
ROUNDS = 8
RAYS = 192
REACHES = 0.3, 0.2, 0.1
"""How far from the rims to look, in radii of the discs, in the first rounds; the last one in all others."""
RESTED = 0.01
TAPER = 0.25
"""Share of an image's width in which its edges fade out."""
GUARD_BINS = 1.5
SMOOTH_BINS = 8.0, 4.0
KNOWN = 1.0
KNOWN_BINS = 2.0
FINE_STEP = 0.08
"""Of the differences that make the gradient, in units of a parameter's usual error."""
SCORED_BINS = 5.0
LEAST_EVIDENCE = 5.0
"""Log likelihood ratio of rim to no rim, for each image."""
LARGEST_RESIDUAL = 0.85
HALVES_APART = 0.3
FARTHEST = 2.5
UNDETERMINED = 0.5
"""In units of a parameter's usual error: limits of trust."""
DARK_BELOW = 0.5
"""Images darker than this share of the median have lost the unscattered light."""
LOG_VARIANCE = np.pi**2 / 6
"""Of the logarithm of an exponential variate."""
CORRELATED = 2.0
"""Frequencies that share their noise, as the images are windowed."""


@dataclass(frozen=True)
class BoardPose:
    """Correction to the nominal board, in sample axes.

    Attributes
    ----------
    shift_mm
        (x, y) by which the board is displaced.
    rotation_deg
        By which it is turned about the optical axis, from +x towards +y, before the shift.
    distance_scale
        True over nominal distance to the sample.
    objective_na
        The NA that the rims show.
    """

    shift_mm: tuple[float, float]
    rotation_deg: float
    distance_scale: float
    objective_na: float

    def led_na(self, position_mm_l3: Floats, led_na_l2: Floats) -> Floats:
        """Directions of light (L, 2), from nominal positions (L, 3) and nominal directions (L, 2)."""
        height_l1 = position_mm_l3[:, 2:]
        point_l2 = -led_na_l2 * height_l1 / np.sqrt(1 - (led_na_l2**2).sum(axis=1, keepdims=True))
        angle = np.deg2rad(self.rotation_deg)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        moved_l2 = point_l2 @ turn.T + np.asarray(self.shift_mm)
        height_l1 = height_l1 * self.distance_scale
        na_l2: Floats = -moved_l2 / np.sqrt((moved_l2**2).sum(axis=1, keepdims=True) + height_l1**2)
        return na_l2


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


def dark_field(led_na_l2: Floats, objective_na: float) -> NDArray[np.bool_]:
    """Which LEDs (L,) lie outside the pupil: their images lack the unscattered light."""
    outside_l: NDArray[np.bool_] = np.hypot(*led_na_l2.T) >= objective_na
    return outside_l


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
    bright_field = np.hypot(*led_na_l2[led].T) < optics.objective_na
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
    dark_p[single_p] = ~rims.lit_p | dark_field(na_p2, pose.objective_na)
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


class Rims:
    """The spectra of the images, and the likelihood of a pose.

    A pose is a vector of five numbers, each in units of what it may reasonably be off (`spread`), 0 nominal.
    """

    def __init__(
        self,
        images_pyx: NDArray[np.floating],
        rows: NDArray[np.intp],
        strength_p: NDArray[np.floating],
        position_mm_p3: Floats,
        led_na_p2: Floats,
        optics: Optics,
    ) -> None:
        self.rows, self.position_mm_p3, self.led_na_p2, self.optics = rows, position_mm_p3, led_na_p2, optics
        height, width = images_pyx.shape[1:]
        self.bin_yx = 1 / (height * optics.pixel_um), 1 / (width * optics.pixel_um)
        self.fy = np.fft.fftfreq(height, optics.pixel_um).astype(np.float32)[:, None]
        self.fx = np.fft.fftfreq(width, optics.pixel_um).astype(np.float32)[None, :]
        window = (_taper(height)[:, None] * _taper(width)).astype(np.float32)
        self.log_power_pyx = np.empty((len(rows), height, width), np.float32)
        mean_p = np.empty(len(rows))
        for place, row in enumerate(rows):
            image = images_pyx[row].astype(np.float32)
            mean_p[place] = image.mean()
            image = window * (image / ((image * window).sum() / window.sum()) - 1)
            power = np.abs(np.fft.rfft2(image)) ** 2
            self.log_power_pyx[place] = _whole(np.log(power + np.float32(1e-12)), width)
        # Seen under an angle and from farther away, LEDs of a flat board are dimmer off the axis, those of a dome not.
        brightness_p = mean_p / strength_p
        flat_p = brightness_p / (1 - (led_na_p2**2).sum(axis=1)) ** 2
        self.lit_p = (brightness_p > DARK_BELOW * np.median(brightness_p)) | (flat_p > DARK_BELOW * np.median(flat_p))
        height_mm = float(np.median(position_mm_p3[:, 2]))
        self._nominal = np.array([0, 0, 0, 1, optics.objective_na])
        self.spread = np.array([0.03 * height_mm, 0.03 * height_mm, 2.0, 0.03, 0.03 * optics.objective_na])
        # By this much of its usual error a parameter moves the rim by half a bin: finer is only noise.
        self._resolved = 0.5 * max(self.bin_yx) * optics.wavelength_um / (0.03 * optics.objective_na)
        angle = (np.arange(RAYS) + 0.5) * 2 * np.pi / RAYS
        self._ray_a2 = np.stack([np.cos(angle), np.sin(angle)], axis=1)

    def pose(self, q: Floats) -> BoardPose:
        """The pose of a vector."""
        x, y, rotation, scale, na = (float(part) for part in self._nominal + q * self.spread)
        return BoardPose((x, y), rotation, scale, na)

    def discs(self, q: Floats) -> tuple[Floats, float]:
        """Centres (P, 2) and radius of the discs, cycles per micrometre."""
        pose = self.pose(q)
        centre_p2 = pose.led_na(self.position_mm_p3, self.led_na_p2) / self.optics.wavelength_um
        return centre_p2, pose.objective_na / self.optics.wavelength_um

    def fit(self) -> tuple[Floats, NDArray[np.bool_]]:
        """Find the most likely pose, and which of its parameters the rims determine; the others stay at 0."""
        q, free = np.zeros(5), np.ones(5, bool)
        for turn in range(ROUNDS):
            self.tabulate(q, self.discs(q)[1] * REACHES[min(turn, len(REACHES) - 1)])
            if turn == 0:
                grid = np.linspace(-1.5, 1.5, 9)
                starts = [np.array([x, y, 0, 0, 0]) for x in grid for y in grid]
                q = max(starts, key=lambda start: float(self.likelihood_p(start).sum()))
            before = q
            q = self.climb(q, free)
            if turn >= len(REACHES) and np.abs(q - before).max() < RESTED:
                break
        while True:
            self.tabulate(q, self.discs(q)[1] * REACHES[-1])
            deviation = np.where(free, self.deviation(q), 0)
            if deviation.max() < UNDETERMINED:
                return q, free
            free[deviation.argmax()] = False
            q = self.climb(np.where(free, q, 0), free)

    def deviation(self, q: Floats) -> Floats:
        """Standard deviation (5,) of a vector: how much the images disagree, but no less than their noise makes it."""
        gradient_p5, hessian_p55 = self.derivatives(q)
        curvature, axes = np.linalg.eigh(np.eye(5) - hessian_p55.sum(axis=0))
        inverse = axes @ np.diag(1 / np.maximum(curvature, 1)) @ axes.T
        found: Floats = np.sqrt(np.diag(inverse @ (gradient_p5.T @ gradient_p5) @ inverse) + np.diag(inverse))
        return found

    def halves(self, q: Floats, free: NDArray[np.bool_]) -> Floats:
        """By how much (5,) the poses of every second image and of the others differ."""
        free_55 = np.outer(free, free)
        gradient_p5, hessian_p55 = self.derivatives(q)
        used = np.flatnonzero(self.used_p)
        ends = []
        for half in (used[::2], used[1::2]):
            information = np.eye(5) - hessian_p55[half].sum(axis=0) * free_55
            ends.append(np.linalg.solve(information, np.where(free, gradient_p5[half].sum(axis=0) - q, 0)))
        apart: Floats = np.abs(ends[0] - ends[1])
        return apart

    def tabulate(self, q: Floats, reach: float) -> None:
        """Sum the likelihood ratios along rays from each disc's centre, within `reach` of its rim."""
        centre_p2, radius = self.discs(q)
        self.used_p = self.lit_p & (np.hypot(*centre_p2.T) < 0.99 * radius)
        outside_yx, inside_yx, known_yx = self._levels(centre_p2, radius)
        bin_y, bin_x = self.bin_yx
        guard = GUARD_BINS * max(self.bin_yx)
        step = 0.5 * min(self.bin_yx)
        count = int(np.ceil(2 * reach / step))
        distance = radius - reach + step * (np.arange(count) + 0.5)
        self._centre_p2, self._start, self._step = centre_p2, radius - reach, step
        self._table = np.zeros((len(centre_p2), RAYS, count + 1))
        self.found_p, self.expected_p = np.zeros((2, len(centre_p2)))
        side = np.where(distance < radius, 1.0, -1.0) * (np.abs(distance - radius) < SCORED_BINS * max(self.bin_yx))
        for place in np.flatnonzero(self.used_p):
            fx = centre_p2[place, 0] + distance * self._ray_a2[:, :1]
            fy = centre_p2[place, 1] + distance * self._ray_a2[:, 1:]
            pick = _Between(fy / bin_y, fx / bin_x, outside_yx.shape)
            low = pick(outside_yx)
            height = np.clip(pick(inside_yx) - low, 0, 6)
            half_power = np.log((1 + np.exp(height)) / 2)
            seen = pick(self.log_power_pyx[place]) - low
            usable = np.hypot(fx + centre_p2[place, 0], fy + centre_p2[place, 1]) > radius + guard
            usable &= np.hypot(fx, fy) > 0.1 * radius
            usable &= np.maximum(np.abs(fx), np.abs(fy)) < 0.5 / self.optics.pixel_um
            at_rim = centre_p2[place] + radius * self._ray_a2
            known = _Between(at_rim[:, 1:] / bin_y, at_rim[:, :1] / bin_x, outside_yx.shape)(known_yx)
            bins = distance * step * (2 * np.pi / RAYS) / (bin_x * bin_y)
            weight = usable * known * height * bins / (LOG_VARIANCE * CORRELATED)
            ratio = weight * (seen - half_power)
            np.cumsum(ratio, axis=1, out=self._table[place, :, 1:])
            self.found_p[place] = (side * ratio).sum()
            self.expected_p[place] = (side * weight * (height * (side > 0) - half_power)).sum()

    def likelihood_p(self, q: Floats) -> Floats:
        """Log likelihood ratio (P,) of each image's disc, up to a constant; 0 for images not used."""
        centre_p2, radius = self.discs(q)
        moved_p2 = centre_p2 - self._centre_p2
        along = moved_p2 @ self._ray_a2.T
        rim = along + np.sqrt(np.maximum(radius**2 - (moved_p2**2).sum(axis=1)[:, None] + along**2, 0))
        place = np.clip((rim - self._start) / self._step, 0, self._table.shape[2] - 1.001)
        low = place.astype(np.intp)
        part = place - low
        flat = np.arange(low.size).reshape(low.shape) * self._table.shape[2] + low
        table = self._table.ravel()
        found: Floats = (table[flat] * (1 - part) + table[flat + 1] * part).sum(axis=1)
        return found

    def climb(self, q: Floats, free: NDArray[np.bool_]) -> Floats:
        """Newton's method to the most likely pose; parameters that are not free stay."""
        for _ in range(12):
            gradient_p5, hessian_p55 = self.derivatives(q)
            gradient = np.where(free, gradient_p5.sum(axis=0) - q, 0)
            curvature, axes = np.linalg.eigh(np.eye(5) - hessian_p55.sum(axis=0) * np.outer(free, free))
            step = axes @ ((axes.T @ gradient) / np.maximum(np.abs(curvature), 1))
            step *= min(1.0, 0.3 / max(np.abs(step).max(), 1e-12))
            before = self.likelihood_p(q).sum() - 0.5 * q @ q
            while np.abs(step).max() > 3e-3:
                trial = q + step
                if self.likelihood_p(trial).sum() - 0.5 * trial @ trial > before:
                    break
                step = step / 2
            else:
                break
            q = q + step
        return q

    def derivatives(self, q: Floats) -> tuple[Floats, Floats]:
        """Gradient (P, 5) and second derivatives (P, 5, 5) of `likelihood_p`, by differences."""
        unit = FINE_STEP * np.eye(5)
        gradient = np.stack([self.likelihood_p(q + e) - self.likelihood_p(q - e) for e in unit], axis=1)
        gradient /= 2 * FINE_STEP
        unit = self._resolved * np.eye(5)
        here = self.likelihood_p(q)
        up = [self.likelihood_p(q + e) for e in unit]
        down = [self.likelihood_p(q - e) for e in unit]
        hessian = np.zeros((len(here), 5, 5))
        for i in range(5):
            hessian[:, i, i] = up[i] + down[i] - 2 * here
            for j in range(i):
                both = self.likelihood_p(q + unit[i] + unit[j]) + self.likelihood_p(q - unit[i] - unit[j])
                apart = self.likelihood_p(q + unit[i] - unit[j]) + self.likelihood_p(q - unit[i] + unit[j])
                hessian[:, i, j] = hessian[:, j, i] = (both - apart) / 4
        hessian /= self._resolved**2
        return gradient, hessian

    def _levels(self, centre_p2: Floats, radius: float) -> tuple[NDArray[np.float32], ...]:
        """Expected log power outside of both discs and in one of them, and how well known (0 to 1): (H, W) each."""
        guard = GUARD_BINS * max(self.bin_yx)
        width = self.fx.size
        log_power_pyx, fx = (part[..., : width // 2 + 1] for part in (self.log_power_pyx, self.fx))
        sums = np.zeros((2, *log_power_pyx.shape[1:]), np.float32)
        counts = np.zeros_like(sums)
        for place in np.flatnonzero(self.used_p):
            x, y = centre_p2[place].astype(np.float32)
            plus, minus = ((fx - s * x) ** 2 + (self.fy - s * y) ** 2 for s in (1, -1))
            near_plus, near_minus = (d < (radius + guard) ** 2 for d in (plus, minus))
            well_plus, well_minus = (d < (radius - guard) ** 2 for d in (plus, minus))
            outside = ~(near_plus | near_minus)
            in_one = (well_plus & ~near_minus) | (well_minus & ~near_plus)
            for total, count, where in zip(sums, counts, (outside, in_one), strict=True):
                np.add(total, log_power_pyx[place], out=total, where=where)
                count += where
        sums, counts = (np.stack([_whole(half, width) for half in halves]) for halves in (sums, counts))
        relative = np.hypot(self.fx, self.fy).ravel().astype(np.float64) / (2 * radius)
        powers = np.stack([relative**k for k in range(5)], axis=1)
        levels = []
        for total, count, bins in zip(sums, counts, SMOOTH_BINS, strict=True):
            # Next to the rim a level is continued from further away, so its trend with |f| goes first.
            weight = np.where(relative > 0.05, count.ravel(), 0)[:, None]
            normal = (powers * weight).T @ powers + 1e-6 * np.eye(5)
            trend = (powers @ np.linalg.solve(normal, powers.T @ np.where(relative > 0.05, total.ravel(), 0))).reshape(
                total.shape
            )
            rest = _smooth(total - count * trend, bins) / (np.maximum(_smooth(count, bins), 0) + 0.5)
            levels.append((trend + rest).astype(np.float32))
        fewer = np.maximum(np.minimum(*(_smooth(count, KNOWN_BINS) for count in counts)), 0)
        return levels[0], levels[1], (fewer / (fewer + KNOWN)).astype(np.float32)


class _Between:
    """Bilinear interpolation of periodic maps at the same points, given in pixels."""

    def __init__(self, y: Floats, x: Floats, shape: tuple[int, ...]) -> None:
        row, column = np.floor(y).astype(np.intp), np.floor(x).astype(np.intp)
        self._b, self._a = (x - column).astype(np.float32), (y - row).astype(np.float32)
        rows, columns = (row % shape[0], (row + 1) % shape[0]), (column % shape[1], (column + 1) % shape[1])
        self._flat = [[r * shape[1] + c for c in columns] for r in rows]

    def __call__(self, image_yx: NDArray[np.float32]) -> NDArray[np.float32]:
        flat = image_yx.ravel()
        upper, lower = (flat[left] * (1 - self._b) + flat[right] * self._b for left, right in self._flat)
        found: NDArray[np.float32] = upper * (1 - self._a) + lower * self._a
        return found


def _taper(size: int) -> Floats:
    """A window (Tukey) that lets the images' edges vanish."""
    edge = np.minimum(np.arange(size) + 0.5, np.arange(size)[::-1] + 0.5) / (TAPER / 2 * size)
    window: Floats = 0.5 - 0.5 * np.cos(np.pi * np.minimum(edge, 1))
    return window


def _whole(half_yx: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    """Continue the half of a real image's spectrum that `rfft2` gives to all frequencies (H, `width`)."""
    mirrored = np.roll(half_yx[::-1, (width - 1) // 2 : 0 : -1], 1, axis=0)
    return np.concatenate([half_yx, mirrored], axis=1)


def _smooth(image_yx: NDArray[np.float32], bins: float) -> NDArray[np.float32]:
    """Periodic Gaussian blur of a standard deviation in pixels."""
    rows, columns = image_yx.shape
    f2 = np.fft.fftfreq(rows)[:, None] ** 2 + np.fft.rfftfreq(columns) ** 2
    blur = np.exp(-2 * (np.pi * bins) ** 2 * f2).astype(np.float32)
    return np.fft.irfft2(np.fft.rfft2(image_yx) * blur, s=image_yx.shape).astype(np.float32)
