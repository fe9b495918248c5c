"""When the last stage of a fit is done, how smooth its field becomes, and which of its states is kept.

    fit --no longer better--> twice as smooth --no longer better--> ... --worse--> back, slower steps --> converged

How much smoothing is right differs from sample to sample, and nobody at the bench can tell. The patterns held out can:
among fields that predict them about equally well the smoothest is nearest to the truth (the rule of one standard error
of Breiman et al. 1984), for what it has less than the others is noise, and artefacts of the directions that no LED
shows. So each time the held-out error no longer falls, the weight of smoothing doubles, as long as that error stays
within a few per cent of the least seen; else the fit goes back to the smoothest field that did, and ends with ever
smaller steps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

PATIENCE = 2
"""Evaluations without improvement before the fit is made smoother, or its steps smaller."""
FIRST_PATIENCE_TAKEN_UP = 4
"""The same at first where the fit goes on from another one: its first steps throw it back before they improve it."""
RATE_DROP = 0.4
MIN_IMPROVEMENT = 0.003
"""Relative fall of the held-out error that counts as improvement."""
SMALLEST_RATE_FACTOR = 0.1
"""The fit has converged when the learning rate would fall below this factor."""
ANNEAL_FROM = 0.7
"""Share of the time limit after which nothing is tried any more and the learning rate falls to its smallest."""
MOST_DOUBLINGS = 3
TOLERANCE = 0.02
"""A smoother field may predict the held-out patterns worse than the best one by this fraction."""


LEAST_STEPS = 10
"""Of each stage, however short the time: before, nothing can be told from it."""
STEPS_WITHOUT_JUDGE = 25
"""Steps of each stage but the last, where nothing is held out."""
STAGE_TIME = {"coarse": 0.15, "linear": 0.4}
"""Share of the time limit at which a stage gives way to the next."""
STAGE_IMPROVEMENT = 0.01
"""It also does when an evaluation improves the held-out error by less than this fraction."""


def stage_suffices(stage: str, steps: int, held_out: float | None, before: float | None, time_used: float) -> bool:
    """Whether a stage that is not the last has told the field what it can.

    Parameters
    ----------
    stage, steps
        Its name, and its steps so far.
    held_out, before
        Held-out error at this evaluation and at the one before; None: not known.
    time_used
        Share of the time limit that has passed.
    """
    if steps < LEAST_STEPS:
        return False
    if time_used > STAGE_TIME[stage]:
        return True
    if held_out is None or before is None:
        return steps >= STEPS_WITHOUT_JUDGE
    return held_out > before * (1.0 - STAGE_IMPROVEMENT)


@dataclass(frozen=True, eq=False)
class Kept:
    """A state of a fit.

    Attributes
    ----------
    error, loss
        Of the held-out patterns (without such: of the fitted ones), and of the fit.
    doublings
        Of the smoothing.
    parameters, gain_p, led_na_l2
        What the fit had found.
    """

    error: float
    loss: float
    doublings: int
    parameters: list[Tensor]
    gain_p: NDArray[np.float64]
    led_na_l2: Tensor


class Judge:
    """Follows the evaluations of one stage.

    Parameters
    ----------
    smooths
        Whether the smoothing is to be chosen: only patterns that were held out can do that.
    doublings
        Of the smoothing, to begin with.
    taken_up
        Whether the fit goes on from where another one has ended.

    Attributes
    ----------
    doublings
        Of the smoothing, at present.
    kept
        The state to keep so far.
    goes_back
        Whether the fit should go on from `kept`; true for one evaluation.
    """

    def __init__(self, smooths: bool, doublings: int = 0, taken_up: bool = False) -> None:
        self.doublings = doublings
        self.kept: Kept | None = None
        self.goes_back = False
        self._rising = smooths
        self._least = math.inf
        self._reference = math.inf
        self._since_best = 0
        self._patience = FIRST_PATIENCE_TAKEN_UP if taken_up else PATIENCE
        self._rate_factor = 1.0

    def rate_factor(self, time_used: float) -> float:
        """Learning rate relative to the first, at a share of the time limit."""
        annealing = (1.0 - time_used) / (1.0 - ANNEAL_FROM)
        return max(min(self._rate_factor, annealing), SMALLEST_RATE_FACTOR)

    def evaluate(self, error: float, time_used: float, state: Callable[[], Kept]) -> bool:
        """Take an evaluation and decide how to go on; whether the fit has converged.

        Parameters
        ----------
        error
            Of the held-out patterns.
        time_used
            Share of the time limit that has passed.
        state
            Makes a copy of the fit's state, called where it is to be kept.
        """
        self._least = min(self._least, error)
        if self._is_better(error):
            self.kept = state()
        if error < self._reference * (1.0 - MIN_IMPROVEMENT):
            self._reference, self._since_best = error, 0
        else:
            self._since_best += 1
        self.goes_back = False
        out_of_time = self._rising and time_used > ANNEAL_FROM
        if self._since_best >= self._patience or out_of_time:
            self._since_best, self._patience = 0, PATIENCE
            if self._rising:
                self._rise_or_settle(out_of_time)
            else:
                self._rate_factor *= RATE_DROP
        return self._rate_factor < SMALLEST_RATE_FACTOR

    def _is_better(self, error: float) -> bool:
        kept = self.kept
        if kept is None or self._too_bad(kept.error):
            return kept is None or error < kept.error
        if self.doublings == kept.doublings:
            return error < kept.error
        return self.doublings > kept.doublings and not self._too_bad(error)

    def _too_bad(self, error: float) -> bool:
        return error > self._least * (1.0 + TOLERANCE)

    def _rise_or_settle(self, out_of_time: bool) -> None:
        assert self.kept is not None
        good = self.kept.doublings == self.doublings
        if good and self.doublings < MOST_DOUBLINGS and not out_of_time:
            self.doublings += 1
            self._reference = math.inf
            return
        self._rising = False
        self.goes_back = not good
        self.doublings = self.kept.doublings
        self._reference = self.kept.error
