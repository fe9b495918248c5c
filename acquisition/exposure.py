"""Exposures that fit sample and light, measured with a few frames before a scan.

A camera is linear below its limit, so that a frame that is neither dark nor saturated tells how long to expose. Whether
it is saturated its counts alone do not say: many sensors are full before their counts are. So one more frame, of half
the exposure, has to be half as bright; while it is not, the exposure goes down, and from there straight to its goal.
Nothing swings: it goes up only to find light, then down only, then once to the goal.

The brightest pixels count, but not the very brightest: one in a thousand may be hot, or a speck of dirt.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from acquisition.plan_patterns import is_dark_field

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from acquisition.instrument import Instrument
    from acquisition.plan import ExposurePlan

TARGET_SHARE = 0.7
"""Of the full count, for the brightest pixels: the rest is left to LEDs brighter and samples other than those seen."""

_PEAK_PERCENTILE = 99.9
_FULL = 0.98
"""Share of the largest count from which a pixel counts as saturated."""
_TELLING, _MIDDLE = 0.05, 0.35
"""Share of the full count from which the brightest pixels are light and not noise; and that at which to look for it."""
_LARGEST_STEP = 20.0
_BENT = 0.9
"""Light of the longer of two exposures over that expected from the shorter, below which the sensor was full."""
_FAR = 1.1
"""Ratio of two exposures from which it is worth to expose anew."""
_CLOSE = 0.1
_PROBES = 4
_STEPS = 4
_SAME_EXPOSURE = 1.1


@dataclass(frozen=True, eq=False)
class ExposureResult:
    """A plan with its exposures measured.

    Attributes
    ----------
    plan
        With the new exposures.
    frames
        How many it took to find them.
    notices
        What the operator should know: limits that were met.
    """

    plan: ExposurePlan
    frames: int
    notices: tuple[str, ...]


@dataclass(frozen=True)
class _Light:
    """Counts without offset in one frame: mean, and brightest pixels; and the exposure that gave them."""

    mean: float
    peak: float
    exposure_ms: float


@dataclass(eq=False)
class _Meter:
    """Takes frames of single patterns; has the instrument for itself meanwhile."""

    instrument: Instrument
    plan: ExposurePlan
    frames: int = 0
    full: float = field(init=False)
    notices: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        camera = self.instrument.profile.camera
        self.full = 2**camera.bit_depth - 1 - camera.offset_counts

    def see(self, pattern: int, exposure_ms: float) -> _Light:
        """Expose a pattern once."""
        instrument = self.instrument
        instrument.camera.set_exposure_ms(exposure_ms)
        instrument.leds.show(self.plan.patterns_pl[pattern])
        time.sleep(self.plan.settle_ms / 1000)
        counts_yx = instrument.camera.snap() - np.float32(instrument.profile.camera.offset_counts)
        self.frames += 1
        peak = float(np.percentile(counts_yx, _PEAK_PERCENTILE))
        return _Light(float(counts_yx.mean()), peak, instrument.camera.exposure_ms)

    def within(self, exposure_ms: float) -> float:
        """The nearest exposure that the camera has."""
        limits = self.instrument.profile.camera.exposure_ms
        return min(max(exposure_ms, limits.min), limits.max)

    def search(self, patterns: list[int], exposure_ms: float, target_share: float) -> _Light:
        """Find the exposure at which the brightest of some patterns reaches its share of the full count, or a limit.

        Every pattern is seen once. Returns that exposure and the light that it gives, as the frames let expect.
        """
        start_ms = self.within(exposure_ms)
        lights = {pattern: self.see(pattern, start_ms) for pattern in patterns}
        brightest = max(lights, key=lambda pattern: lights[pattern].peak)
        light = self._find_light(brightest, lights[brightest])
        if light.peak < _TELLING * self.full:
            return light  # at the longest exposure
        shorter = self._find_slope(brightest, light)
        goal_ms = self.within(shorter.exposure_ms * target_share * self.full / shorter.peak)
        if goal_ms > _FAR * max(shorter.exposure_ms, min(light.exposure_ms, 2 * shorter.exposure_ms)):
            self._follows(shorter, self.see(brightest, goal_ms))  # may lower the full count
            goal_ms = self.within(shorter.exposure_ms * target_share * self.full / shorter.peak)
        ratio = goal_ms / shorter.exposure_ms
        return _Light(ratio * shorter.mean, ratio * shorter.peak, goal_ms)

    def _find_light(self, pattern: int, light: _Light) -> _Light:
        """Expose longer until there is light to measure, or for as long as the camera can."""
        while light.peak < _TELLING * self.full and light.exposure_ms * _FAR < self.within(math.inf):
            step = float(np.clip(_MIDDLE * self.full / max(light.peak, 1e-9), 2.0, _LARGEST_STEP))
            light = self.see(pattern, self.within(step * light.exposure_ms))
        return light

    def _find_slope(self, pattern: int, light: _Light) -> _Light:
        """Expose for a shorter time until it gets darker by as much: the light of an exposure that is not saturated.

        What does not is full, whatever the counts say.
        """
        step = 2.0
        while light.exposure_ms > _FAR * self.within(0.0):
            shorter = self.see(pattern, self.within(light.exposure_ms / step))
            if self._follows(shorter, light):
                return shorter
            light, step = shorter, 4.0
        return light

    def _follows(self, shorter: _Light, longer: _Light) -> bool:
        """Whether counts grow as the exposure does; a sensor that is full before its counts are is noted."""
        if longer.peak >= _FULL * self.full:
            return False
        if longer.peak >= _BENT * shorter.peak * longer.exposure_ms / shorter.exposure_ms:
            return True
        self.full = longer.peak
        self.notices.append(
            f"The camera is saturated at {longer.peak:.0f} counts above its offset, although"
            f" {self.instrument.profile.camera.bit_depth} bits reach further: correct camera.bit_depth in the"
            " profile, or the camera's gain."
        )
        return False

    def tell_limits(self, light: _Light, what: str, target_share: float) -> None:
        """Say where the camera or the light does not reach; `light` is what the search has ended with."""
        limits = self.instrument.profile.camera.exposure_ms
        longest, shortest = (light.peak * ms / light.exposure_ms / self.full for ms in (limits.max, limits.min))
        if longest < target_share * (1 - _CLOSE):
            self.notices.append(
                f"{what} reach {longest:.1%} of the full count at {limits.max:g} ms, the camera's longest exposure"
                f" ({target_share:.0%} was wanted): more light is needed, or more camera gain."
            )
        elif shortest > target_share * (1 + _CLOSE):
            self.notices.append(
                f"{what} reach {min(shortest, 1):.0%} of the full count at {limits.min:g} ms, the camera's shortest"
                f" exposure ({target_share:.0%} was wanted): dim the LEDs (led_board.brightness)."
            )


def auto_exposure(instrument: Instrument, plan: ExposurePlan, target_share: float = TARGET_SHARE) -> ExposureResult:
    """Make each exposure of a plan as long as head-room allows; patterns that shared one still do.

    A few patterns of each exposure are looked at, those that should be brightest and some others.

    Parameters
    ----------
    instrument
        Open; no scan may be running. The LEDs are off afterwards.
    plan
        Its exposures are where the search begins.
    target_share
        Of the full count, for the brightest pixels.

    Raises
    ------
    OperatorError
        Camera or LED board fail, or a scan is running.
    """
    meter = _Meter(instrument, plan)
    exposure_ms_p = plan.exposure_ms_p.copy()
    with instrument.turns.scan():
        try:
            for group_ms in plan.exposures_ms:
                group = np.flatnonzero(plan.exposure_ms_p == group_ms)
                light = meter.search(_probes(instrument, plan, group), float(group_ms), target_share)
                exposure_ms_p[group] = meter.within(_rounded(light.exposure_ms))
                meter.tell_limits(light, _words(len(group)), target_share)
        finally:
            instrument.leds.off()
    return ExposureResult(plan.with_exposures(exposure_ms_p), meter.frames, tuple(dict.fromkeys(meter.notices)))


def balanced_exposures(
    instrument: Instrument, plan: ExposurePlan, target_share: float = TARGET_SHARE, steps: int = _STEPS
) -> ExposureResult:
    """Give each pattern the exposure at which all have the same mean level, none too bright.

    The level is what the bright-field pattern with the strongest contrast can have; patterns in dark field reach it as
    far as their brightest pixels and the camera's limits let them. Exposures are then put into few steps, downwards:
    each takes dark frames of its own. Parameters and errors as `auto_exposure`, `steps` is their largest number.
    """
    meter = _Meter(instrument, plan)
    count = plan.pattern_count
    with instrument.turns.scan():
        try:
            lights: list[_Light] = [_Light(0.0, 0.0, 1.0)] * count
            for group_ms in plan.exposures_ms:
                group = np.flatnonzero(plan.exposure_ms_p == group_ms)
                start = meter.search(_probes(instrument, plan, group), float(group_ms), target_share)
                for pattern in group.tolist():
                    lights[pattern] = _seen(meter, pattern, start.exposure_ms, target_share)
        finally:
            instrument.leds.off()
    mean_p = np.array([max(light.mean, 1e-9) / light.exposure_ms for light in lights])
    peak_p = np.array([max(light.peak, 1e-9) / light.exposure_ms for light in lights])
    top_ms_p = target_share * meter.full / peak_p
    bright_p = ~is_dark_field(plan.patterns_pl, instrument.led_na_l2, instrument.profile.objective.na)
    level = float((top_ms_p * mean_p)[bright_p].min()) if bright_p.any() else math.inf
    wanted_p = np.minimum(level / mean_p, top_ms_p)
    limits = instrument.profile.camera.exposure_ms
    exposure_ms_p = grouped(np.clip(wanted_p, limits.min, limits.max), steps)
    exposure_ms_p = np.array([meter.within(_rounded(ms)) for ms in exposure_ms_p])
    for what, part_p in (("in bright field", bright_p), ("in dark field", ~bright_p)):
        short_p = part_p & (wanted_p > limits.max * (1 + _CLOSE))
        if short_p.any():
            weakest = int(np.flatnonzero(short_p)[mean_p[short_p].argmin()])
            meter.notices.append(
                f"{int(short_p.sum())} patterns {what} would need longer than {limits.max:g} ms, the camera's longest"
                f" exposure (pattern {weakest}: {wanted_p[weakest]:.3g} ms): they stay darker than the others."
            )
        long_p = part_p & (wanted_p < limits.min / (1 + _CLOSE))
        if long_p.any():
            meter.notices.append(
                f"{int(long_p.sum())} patterns {what} are too bright even at {limits.min:g} ms, the camera's shortest"
                " exposure: dim the LEDs (led_board.brightness)."
            )
    return ExposureResult(plan.with_exposures(exposure_ms_p), meter.frames, tuple(dict.fromkeys(meter.notices)))


def grouped(exposure_ms_p: NDArray[np.float64], steps: int) -> NDArray[np.float64]:
    """Put exposures into at most so many steps, each the shortest of its patterns: none gets brighter than wanted.

    Of all ways to do so it takes one whose longest exposure is least above its step, as a ratio; what lies within 10 %
    is never parted.
    """
    values = np.unique(exposure_ms_p)

    def starts(ratio: float) -> NDArray[np.float64]:
        """The steps, if each reaches up to `ratio` times itself."""
        found = [values[0]]
        for value in values:
            if value > found[-1] * ratio:
                found.append(value)
        return np.array(found)

    # The ratio that is needed is that of two of the values.
    ratios = np.unique(np.append(values[:, None] / values[None, :], _SAME_EXPOSURE))
    ratios = ratios[ratios >= _SAME_EXPOSURE]
    low, high = 0, len(ratios) - 1
    while low < high:
        middle = (low + high) // 2
        if len(starts(ratios[middle] * (1 + 1e-12))) <= steps:
            high = middle
        else:
            low = middle + 1
    found = starts(ratios[low] * (1 + 1e-12))
    return found[np.searchsorted(found, exposure_ms_p, side="right") - 1]


def _seen(meter: _Meter, pattern: int, exposure_ms: float, target_share: float) -> _Light:
    """Look at a pattern; once more where it was saturated, or too dark to be measured."""
    light = meter.see(pattern, exposure_ms)
    if light.peak >= _FULL * meter.full or (
        light.peak < _TELLING * meter.full and exposure_ms < meter.within(math.inf)
    ):
        light = meter.search([pattern], light.exposure_ms, target_share)
    return light


def _probes(instrument: Instrument, plan: ExposurePlan, group: NDArray[np.intp]) -> list[int]:
    """Patterns of a group to look at: the brightest ones by their LEDs' number and slant, and some from all over."""
    slant_l = np.hypot(*instrument.led_na_l2.T)
    # An LED's light on the sample falls with the fourth power of the cosine: twice distance, twice slant.
    light_p = plan.patterns_pl[group] @ (1 - np.minimum(slant_l, 0.95) ** 2) ** 2
    order = np.argsort(-light_p)
    chosen = np.append(order[:2], order[np.linspace(0, len(order) - 1, _PROBES).astype(int)])
    return [int(group[place]) for place in dict.fromkeys(chosen.tolist())]


def _rounded(exposure_ms: float) -> float:
    """Three digits, downwards."""
    digits = 10.0 ** (math.floor(math.log10(exposure_ms)) - 2)
    return float(f"{math.floor(exposure_ms / digits * (1 + 1e-9)) * digits:.6g}")


def _words(count: int) -> str:
    return f"{count} patterns" if count > 1 else "The pattern's brightest pixels"
