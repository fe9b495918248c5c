"""The most likely pose of the LED board, given the rims of the two discs in the spectra of its images.

The fit is a maximum-likelihood one:

1. The logarithm of the power of each image at each frequency. Its noise has the same spread everywhere (that of the
   logarithm of an exponential variate), whatever the sample.
2. At each frequency its expectation outside of both discs, in one and in both: means over those LEDs that, by the pose
   so far, have the frequency there. So the sample's own spectrum drops out.
3. The likelihood ratio "inside" to "outside" of each sample, summed over one disc, as a function of the pose: with its
   sums along rays tabulated once, a pose costs one look-up per ray. Its maximum by Newton's method.

2 and 3 repeat with the better pose until it rests. Images of LEDs outside the pupil (dark field: no unscattered light,
no discs) are recognised by their brightness and by the pose, and left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from acquisition.board_pose import BoardPose

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from acquisition.capture_records import Optics

    Floats = NDArray[np.float64]

ROUNDS = 8
"""At most, of levels and pose by turns."""
RAYS = 192
"""From the centre of each disc, along which its rim is looked for."""
REACHES = 0.3, 0.2, 0.1
"""How far from the rims to look, in radii of the discs, in the first rounds; the last one in all others."""
RESTED = 0.01
"""Change of the pose at which it rests, in units of a parameter's usual error."""
TAPER = 0.25
"""Share of an image's width in which its edges fade out."""
GUARD_BINS = 1.5
"""Bins on both sides of a rim that count neither as inside nor as outside: the taper blurs it."""
SMOOTH_BINS = 8.0, 4.0
"""Standard deviations of the blur, in bins, of the levels outside of the discs and inside."""
KNOWN = 1.0
"""Images on either side of the rim with which a level is half known."""
KNOWN_BINS = 2.0
"""Standard deviation, in bins, of the neighbourhood over which these are averaged."""
FINE_STEP = 0.08
"""Of the differences that make the gradient, in units of a parameter's usual error."""
SCORED_BINS = 5.0
"""Bins on both sides of the rim in which an image's step is measured."""
UNDETERMINED = 0.5
"""Standard deviation, in units of a parameter's usual error, from which on it stays nominal."""
DARK_BELOW = 0.5
"""Images darker than this share of the median have lost the unscattered light."""
LOG_VARIANCE = np.pi**2 / 6
"""Of the logarithm of an exponential variate."""
CORRELATED = 2.0
"""Frequencies that share their noise, as the images are windowed."""


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
