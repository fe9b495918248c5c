"""Exposure plan: which LEDs, in which order, for how long.

A plan describes an experiment, not how to run it: rows of `patterns_pl` are lit in the order `order_n`, dark frames
(-1) first, each for `exposure_ms` after `settle_ms`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from acquisition.errors import OperatorError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from acquisition.profile import PlanSettings

DARK = -1
"""Stands in `ExposurePlan.order_n` for a frame without light."""


class PlanError(OperatorError):
    """A plan that cannot be run."""


@dataclass(frozen=True, eq=False)
class ExposurePlan:
    """What is exposed, frame by frame.

    Attributes
    ----------
    name
        For the operator.
    patterns_pl
        (P, L) float32, brightness 0 to 1 of every LED of the board in each pattern.
    order_n
        (N,) int32, row of `patterns_pl` for each frame, `DARK` for one without light.
    exposure_ms, settle_ms
        Of each frame; the camera waits `settle_ms` after the light has changed.
    """

    name: str
    patterns_pl: NDArray[np.float32]
    order_n: NDArray[np.int32]
    exposure_ms: float
    settle_ms: float

    @property
    def frame_count(self) -> int:
        """Number of exposures, dark frames included."""
        return len(self.order_n)

    @property
    def pattern_count(self) -> int:
        """Number of different patterns."""
        return len(self.patterns_pl)

    def duration_s(self, readout_ms: float) -> float:
        """Estimate the time of the scan; `readout_ms` is what a frame takes beyond settling and exposing."""
        return self.frame_count * (self.exposure_ms + self.settle_ms + readout_ms) / 1000


def make_plan(
    settings: PlanSettings, led_na_l2: NDArray[np.float64], objective_na: float, settle_ms: float
) -> ExposurePlan:
    """Plan one LED a frame.

    Parameters
    ----------
    settings
        Of the profile, or what the operator chose.
    led_na_l2
        (L, 2) direction of every LED of the board.
    objective_na
        Limit of bright field.
    settle_ms
        Wait between lighting and exposing.

    Raises
    ------
    PlanError
        No LED is selected, or one that the board has not.
    """
    leds = _selected(settings, led_na_l2, objective_na)[:: settings.every]
    patterns_pl = np.zeros((len(leds), len(led_na_l2)), np.float32)
    patterns_pl[np.arange(len(leds)), leds] = 1
    one_pass = spread_order(led_na_l2[leds]) if settings.order == "spread" else np.arange(len(leds), dtype=np.int32)
    dark = np.full(settings.dark_frames, DARK, np.int32)
    return ExposurePlan(
        name=f"{settings.kind}, {len(leds)} LEDs",
        patterns_pl=patterns_pl,
        order_n=np.concatenate([dark, np.tile(one_pass, settings.repeats)]),
        exposure_ms=settings.exposure_ms,
        settle_ms=settle_ms,
    )


def spread_order(na_p2: NDArray[np.float64]) -> NDArray[np.int32]:
    """Order directions so that every first few of them cover the whole range evenly.

    Each next one is the farthest from all before it (Gonzalez 1985): after k of them no direction is farther from a
    lit one than twice what the best choice of k could do. Starts nearest the axis.
    """
    order = np.zeros(len(na_p2), np.int32)
    order[0] = np.argmin((na_p2**2).sum(axis=1))
    distance = np.full(len(na_p2), np.inf)
    for number in range(1, len(na_p2)):
        distance = np.minimum(distance, ((na_p2 - na_p2[order[number - 1]]) ** 2).sum(axis=1))
        distance[order[number - 1]] = -1  # taken, even where two LEDs share a direction
        order[number] = np.argmax(distance)
    return order


def _selected(settings: PlanSettings, led_na_l2: NDArray[np.float64], objective_na: float) -> NDArray[np.intp]:
    na = np.hypot(led_na_l2[:, 0], led_na_l2[:, 1])
    if settings.kind == "subset":
        unknown = [led for led in settings.leds if led >= len(na)]
        if unknown:
            raise PlanError(
                f"The plan lists LED {unknown[0]}, the board has {len(na)} LEDs (0 to {len(na) - 1}).",
                "Correct plan.leds.",
            )
        return np.array(settings.leds, np.intp)
    low, high = (0.0, objective_na) if settings.kind == "brightfield" else (settings.na_min, settings.na_max or 0.0)
    leds = np.flatnonzero((na >= low) & (na <= high))
    if not len(leds):
        raise PlanError(
            f"No LED of {len(na)} has an illumination NA of {low:g} to {high:g}; the board spans {na.min():.3f} to"
            f" {na.max():.3f}.",
            "Widen the plan's range, or correct distance, shift and orientation of the LED board in the profile.",
        )
    return leds
