"""Exposure plan: which patterns of LEDs, in which order, for how long.

Rows of `patterns_pl` are lit in the order `order_n`, dark frames (-1) first, each for the exposure of its pattern. Who
tells LEDs and camera when is the plan's `pace`; `acquisition.pacing` does it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np

from acquisition.plan_patterns import PlanError, is_dark_field, patterns_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from acquisition.profile import Profile
    from acquisition.profile_plan import PlanSettings

__all__ = ["DARK", "ExposurePlan", "Pace", "PlanError", "make_plan", "plan_for", "spread_order"]

DARK = -1
"""Stands in `ExposurePlan.order_n` for a frame without light."""


class Pace(Enum):
    """Who leads LEDs and camera through a scan; values as in a profile (plan.trigger)."""

    SOFTWARE = "software"
    """The computer: command, reply, settle, expose, read, one frame after the other. Needs no cable."""
    CAMERA = "camera"
    """The camera, which exposes as fast as it can; the end of each exposure brings the LED board's next pattern."""
    BOARD = "board"
    """The LED board's timer; a pulse with each pattern makes the camera expose."""
    HANDSHAKE = "handshake"
    """Both: the board's pulse makes the camera expose, the end of the exposure brings the next pattern."""


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
        (N,) int32, row of `patterns_pl` for each frame, `DARK` for one without light. Dark frames belong to an
        exposure: there are equally many for each exposure in use, those of the shortest one first.
    exposure_ms_p
        (P,) float64, exposure of each pattern.
    settle_ms
        The camera waits so long after the light has changed (the board leading: it does not, see `acquisition.pacing`).
    pace
        Who leads LEDs and camera.
    """

    name: str
    patterns_pl: NDArray[np.float32]
    order_n: NDArray[np.int32]
    exposure_ms_p: NDArray[np.float64]
    settle_ms: float
    pace: Pace = Pace.SOFTWARE

    def __post_init__(self) -> None:
        """Refuse what does not belong together.

        Raises
        ------
        ValueError
            With what was found.
        """
        if self.exposure_ms_p.shape != (len(self.patterns_pl),):
            raise ValueError(f"{len(self.patterns_pl)} patterns with exposures of shape {self.exposure_ms_p.shape}")
        if not (np.isfinite(self.exposure_ms_p) & (self.exposure_ms_p > 0)).all():
            raise ValueError(f"exposures {self.exposure_ms_p} ms are not all above 0")
        if self.dark_count % len(self.exposures_ms):
            raise ValueError(f"{self.dark_count} dark frames for {len(self.exposures_ms)} exposures")

    @property
    def frame_count(self) -> int:
        """Number of exposures, dark frames included."""
        return len(self.order_n)

    @property
    def dark_count(self) -> int:
        """Number of frames without light."""
        return int((self.order_n == DARK).sum())

    @property
    def pattern_count(self) -> int:
        """Number of different patterns."""
        return len(self.patterns_pl)

    @property
    def exposures_ms(self) -> NDArray[np.float64]:
        """The different exposures in use, ascending."""
        return np.unique(self.exposure_ms_p)

    @property
    def main_exposure_ms(self) -> float:
        """Exposure of most frames with light; the shortest of several such."""
        exposures_ms, counts = np.unique(self.exposure_ms_p[self.order_n[self.order_n != DARK]], return_counts=True)
        return float(exposures_ms[np.argmax(counts)]) if len(counts) else float(self.exposure_ms_p[0])

    @property
    def exposure_ms_n(self) -> NDArray[np.float64]:
        """(N,) exposure of each frame."""
        exposure_ms_n = self.exposure_ms_p[self.order_n]
        exposure_ms_n[self.order_n == DARK] = np.repeat(self.exposures_ms, self.dark_count // len(self.exposures_ms))
        return exposure_ms_n

    def with_exposures(self, exposure_ms_p: ArrayLike) -> ExposurePlan:
        """Return this plan with other exposures, (P,) or one for all; as many dark frames for each as before.

        Each different exposure takes dark frames of its own and a change of the camera: round them to a few.

        Raises
        ------
        ValueError
            Not one exposure above 0 for each pattern.
        """
        new_p = np.array(np.broadcast_to(np.asarray(exposure_ms_p, np.float64), (self.pattern_count,)))
        dark = np.full(self.dark_count // len(self.exposures_ms) * len(np.unique(new_p)), DARK, np.int32)
        return replace(self, exposure_ms_p=new_p, order_n=np.concatenate([dark, self.order_n[self.order_n != DARK]]))

    def without_dark(self) -> ExposurePlan:
        """Return this plan without its dark frames."""
        return replace(self, order_n=self.order_n[self.order_n != DARK])

    def frame_ms_n(self, readout_ms: float, link_ms: float = 0.0) -> NDArray[np.float64]:
        """Estimate what each frame takes, (N,) ms.

        By software one thing comes after the other. The others need no command for each frame; where the camera leads,
        the next LED settles while the frame before is read out.

        Parameters
        ----------
        readout_ms
            What the camera takes to read a frame out and hand it over, storing included.
        link_ms
            What a command to the LED board takes, reply included.
        """
        lit_ms_n = self.settle_ms + self.exposure_ms_n
        match self.pace:
            case Pace.SOFTWARE:
                return link_ms + lit_ms_n + readout_ms
            case Pace.CAMERA:
                return np.maximum(lit_ms_n, readout_ms)
        return self.exposure_ms_n + readout_ms

    def duration_s(self, readout_ms: float, link_ms: float = 0.0) -> float:
        """Estimate the time of the scan; parameters as `frame_ms_n`."""
        return float(self.frame_ms_n(readout_ms, link_ms).sum()) / 1000


def make_plan(
    settings: PlanSettings, led_na_l2: NDArray[np.float64], objective_na: float, settle_ms: float
) -> ExposurePlan:
    """Plan what the settings ask for on a board.

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
    PlanError, CsvError
        No LED is selected, or one that the board has not; or the patterns cannot be made as asked for.
    """
    patterns_pl, listed_ms_p = patterns_of(settings, led_na_l2, objective_na)
    dark_p = is_dark_field(patterns_pl, led_na_l2, objective_na)
    exposure_ms_p = np.where(dark_p, settings.darkfield_exposure_ms or settings.exposure_ms, settings.exposure_ms)
    if listed_ms_p is not None:
        exposure_ms_p = np.where(np.isnan(listed_ms_p), exposure_ms_p, listed_ms_p)
    if settings.order == "spread":
        # Dark field last: it waits for a first volume, and takes one change of the exposure instead of many.
        bright, dark = np.flatnonzero(~dark_p), np.flatnonzero(dark_p)
        one_pass = np.concatenate([part[spread_order(patterns_pl[part], led_na_l2)] for part in (bright, dark)])
    else:
        one_pass = np.arange(len(patterns_pl))
    leds = int(patterns_pl.any(axis=0).sum())
    single = (np.count_nonzero(patterns_pl, axis=1) == 1).all()
    before_dark = np.full(settings.dark_frames * len(np.unique(exposure_ms_p)), DARK, np.int32)
    return ExposurePlan(
        name=f"{settings.kind}, {leds} LEDs" + ("" if single else f" in {len(patterns_pl)} patterns"),
        patterns_pl=patterns_pl,
        order_n=np.concatenate([before_dark, np.tile(one_pass.astype(np.int32), settings.repeats)]),
        exposure_ms_p=exposure_ms_p,
        settle_ms=settle_ms,
        pace=Pace(settings.trigger),
    )


def plan_for(profile: Profile, led_na_l2: NDArray[np.float64], settings: PlanSettings | None = None) -> ExposurePlan:
    """Plan what the profile asks for, or other settings, on its board; `led_na_l2` (L, 2) are the LEDs' directions.

    Raises
    ------
    PlanError, CsvError
        As `make_plan`; or the camera cannot expose so long or so short.
    """
    plan = make_plan(settings or profile.plan, led_na_l2, profile.objective.na, profile.led_board.settle_ms)
    limits = profile.camera.exposure_ms
    wrong = [ms for ms in plan.exposures_ms if not limits.min <= ms <= limits.max]
    if wrong:
        raise PlanError(
            f"The plan exposes {wrong[0]:g} ms, the camera {limits.min:g} to {limits.max:g} ms.",
            "Correct exposure_ms in the list of patterns, or camera.exposure_ms in the profile.",
        )
    return plan


def spread_order(patterns_pl: NDArray[np.float32], led_na_l2: NDArray[np.float64]) -> NDArray[np.intp]:
    """Order patterns so that every first few of them cover the whole range of directions evenly.

    Starts with the pattern that covers best alone; each next one is that with the direction farthest from all before
    it, and of several such the one whose directions are farthest together. Where every direction is covered, this
    begins anew. With one LED a pattern this is the farthest-point traversal (Gonzalez 1985): after k of them no
    direction is farther from a lit one than twice what the best choice of k could do.
    """
    count = len(patterns_pl)
    if not count:
        return np.zeros(0, np.intp)
    lit_p, lit = np.nonzero(patterns_pl)
    starts = np.searchsorted(lit_p, np.arange(count))
    na_i2 = led_na_l2[lit]  # directions of all LEDs of all patterns, pattern after pattern
    order = np.zeros(count, np.intp)
    order[0] = np.argmin([_squared_distance(na_i2, led_na_l2[row_l > 0]).max() for row_l in patterns_pl])
    left_p = np.ones(count, bool)
    distance_i = np.full(len(lit), np.inf)
    for number in range(1, count):
        last = order[number - 1]
        left_p[last] = False
        to_last_i = _squared_distance(na_i2, led_na_l2[patterns_pl[last] > 0])
        distance_i = np.minimum(distance_i, to_last_i)
        if not distance_i[left_p[lit_p]].any():
            distance_i = to_last_i
        farthest_p = np.where(left_p, np.maximum.reduceat(distance_i, starts), -1.0)
        together_p = np.add.reduceat(distance_i, starts)
        order[number] = np.lexsort((-together_p, -farthest_p))[0]
    return order


def _squared_distance(na_i2: NDArray[np.float64], lit_na_m2: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared distance of each direction to the nearest lit one, (I,)."""
    nearest_i = np.full(len(na_i2), np.inf)
    for na in lit_na_m2:  # one at a time: a half of a large board has hundreds
        np.minimum(nearest_i, ((na_i2 - na) ** 2).sum(axis=1), out=nearest_i)
    return nearest_i
