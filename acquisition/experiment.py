"""An experiment: one plan, repeated over time and over positions of the stage. A description, not how to run it.

    for each time point:  for each position:  [search the focus]  scan the plan

Every scan of an experiment goes into one capture, whose frames carry the number of time point and position.

The uneven end: time points are due every `interval_s` from the start of the experiment. One that is due while the scans
before it still run is neither dropped nor cut short: it begins as soon as they are done, and later ones are due when
they would have been anyway, so that a single slow round is caught up with. An interval shorter than a round thus means
one round right after the other; the estimate says so before the start.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from acquisition.csv_table import read_rows
from acquisition.errors import OperatorError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from acquisition.plan import ExposurePlan
    from acquisition.profile_plan import AutofocusSettings, ExperimentSettings


class ExperimentError(OperatorError):
    """An experiment that cannot be run."""


@dataclass(frozen=True)
class TimeLapse:
    """Time points: `count` of them, one due every `interval_s` seconds (0: one right after the other)."""

    interval_s: float = 0.0
    count: int = 1

    def __post_init__(self) -> None:
        """Refuse what is no time-lapse.

        Raises
        ------
        ExperimentError
            A negative or infinite interval, or no time point.
        """
        if not (math.isfinite(self.interval_s) and self.interval_s >= 0):
            raise ExperimentError(f"An interval of {self.interval_s:g} s.", "Give seconds from 0 on.")
        if self.count < 1:
            raise ExperimentError(f"{self.count} time points.", "Give at least 1.")


@dataclass(frozen=True)
class Position:
    """A place of the stage, micrometres in the stage's own coordinates."""

    name: str
    x_um: float
    y_um: float
    z_um: float


@dataclass(frozen=True)
class Visit:
    """One scan of an experiment.

    Attributes
    ----------
    time_point, position
        Numbers from 0, as stored with each frame.
    due_s
        Not before this time, seconds since the experiment began.
    place
        Where to; None: the stage stays where it is.
    focus
        Search the focus before the scan.
    dark
        Take the plan's dark frames; only the first scan of an experiment does.
    """

    time_point: int
    position: int
    due_s: float
    place: Position | None
    focus: bool
    dark: bool


@dataclass(frozen=True, eq=False)
class Experiment:
    """One plan over time and positions.

    Attributes
    ----------
    plan
        Of every scan.
    time_lapse
        When.
    positions
        Where, in the order in which they are visited; empty: the stage is left alone.
    autofocus
        How the focus is searched; None: not at all.
    """

    plan: ExposurePlan
    time_lapse: TimeLapse = TimeLapse()
    positions: tuple[Position, ...] = ()
    autofocus: AutofocusSettings | None = None

    @property
    def scan_count(self) -> int:
        """Number of scans."""
        return self.time_lapse.count * max(1, len(self.positions))

    @property
    def stays(self) -> bool:
        """Whether the stages stand still from the first exposure to the last."""
        searches = 0 if self.autofocus is None else -(-self.time_lapse.count // self.autofocus.every)
        return len(self.positions) <= 1 and searches <= 1

    def visits(self) -> Iterator[Visit]:
        """Yield every scan in the order in which they are made: all positions of a time point, then the next one."""
        places: tuple[Position | None, ...] = self.positions or (None,)
        for time_point in range(self.time_lapse.count):
            for position, place in enumerate(places):
                yield Visit(
                    time_point=time_point,
                    position=position,
                    due_s=time_point * self.time_lapse.interval_s,
                    place=place,
                    focus=self.autofocus is not None and time_point % self.autofocus.every == 0,
                    dark=time_point == position == 0,
                )

    @property
    def positions_um(self) -> tuple[tuple[float, float, float], ...]:
        """Where the stage is sent for each position, x y z, as a capture's head has it."""
        return tuple((place.x_um, place.y_um, place.z_um) for place in self.positions)

    def plan_of(self, visit: Visit) -> ExposurePlan:
        """Return what is exposed in one scan."""
        return self.plan if visit.dark else self.plan.without_dark()


def make_experiment(plan: ExposurePlan, settings: ExperimentSettings) -> Experiment:
    """Describe what the settings ask for.

    Raises
    ------
    CsvError
        The positions cannot be read.
    """
    return Experiment(
        plan=plan,
        time_lapse=TimeLapse(settings.interval_s, settings.count),
        positions=() if settings.positions is None else read_positions(settings.positions),
        autofocus=settings.autofocus,
    )


def read_positions(path: str | Path) -> tuple[Position, ...]:
    """Read positions from a CSV file with the columns name, x_um, y_um and z_um.

    Raises
    ------
    CsvError
        With the line, the value, what is allowed and what to do.
    """
    positions: dict[str, Position] = {}
    for row in read_rows(path, ("name", "x_um", "y_um", "z_um")):
        name = row.text("name")
        if name in positions:
            raise row.error("name", "each name once", "Give every position a name of its own.")
        positions[name] = Position(name, row.number("x_um"), row.number("y_um"), row.number("z_um"))
    return tuple(positions.values())
