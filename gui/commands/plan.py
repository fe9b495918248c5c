"""`fieldscope plan`: what a scan would do and what it takes, without touching the instrument."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from acquisition.aperture import inside_aperture
from acquisition.errors import OperatorError
from acquisition.estimate import estimate
from acquisition.leds import GeometryError, led_na, led_positions_mm
from acquisition.plan_patterns import is_dark_field
from acquisition.profile import load_profile
from gui.commands.output_file import check_output
from gui.commands.plan_options import experiment_of

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from acquisition.plan import ExposurePlan
    from acquisition.profile import Profile

SHOWN = 40
"""Lines of the table for people; --json has them all."""

NAMED_LEDS = 8


def show_plan(
    profile_name: str,
    plan_changes: dict[str, Any],
    experiment_changes: dict[str, Any],
    image_shape: tuple[int, int] | None,
    picture: Path | None,
    overwrite: bool,
) -> tuple[list[str], dict[str, Any]]:
    """Describe the experiment of a profile and of what was changed; lines for people, and the same for --json.

    Raises
    ------
    OperatorError
        A setting is wrong, the board's LEDs are not known, or the picture cannot be written.
    """
    profile = load_profile(profile_name)
    if picture is not None:
        check_output(picture, overwrite, picture.with_name(picture.name + ".source"))
    led_na_l2 = _directions(profile)
    experiment = experiment_of(profile, led_na_l2, plan_changes, experiment_changes)
    plan, objective_na = experiment.plan, profile.objective.na
    figures = estimate(experiment, profile, led_na_l2, image_shape)
    if picture is not None:
        from gui.commands.plan_picture import draw

        draw(picture, plan, led_na_l2, objective_na)
    rows = _table(plan, led_na_l2, objective_na)
    as_json = {
        "profile": profile.name,
        "plan": plan.name,
        "settle_ms": plan.settle_ms,
        "patterns": rows,
        "order": plan.order_n.tolist(),
        "positions": [asdict(place) for place in experiment.positions],
        "estimate": {**asdict(figures), "lines": figures.lines()},
        "picture": None if picture is None else str(picture),
    }
    return [f"{profile.title}: {plan.name}", *_lines(rows), *figures.lines()], as_json


def _directions(profile: Profile) -> NDArray[np.float64]:
    try:
        return led_na(led_positions_mm(profile.led_board.geometry), profile.led_board.orientation)
    except GeometryError as error:
        raise OperatorError(
            f"{error.message} Nobody has asked it: this command leaves the instrument alone.",
            "`fieldscope capture` asks the board and tells plan and estimate before it starts; or describe the board"
            " in the profile (led_board.geometry of kind grid, ring or list).",
        ) from error


def _table(plan: ExposurePlan, led_na_l2: NDArray[np.float64], objective_na: float) -> list[dict[str, Any]]:
    """Return one entry for each pattern, in the order in which they are first exposed."""
    na_l = np.hypot(*led_na_l2.T)
    dark_p = is_dark_field(plan.patterns_pl, led_na_l2, objective_na)
    order = list(dict.fromkeys(plan.order_n[plan.order_n >= 0].tolist()))
    rows = []
    for pattern in order:
        row_l = plan.patterns_pl[pattern]
        lit = np.flatnonzero(row_l)
        bright = inside_aperture(led_na_l2[lit], objective_na)
        rows.append(
            {
                "pattern": pattern,
                "leds": lit.tolist(),
                "brightness": [round(float(value), 4) for value in row_l[lit]],
                "na": [round(float(na_l[lit].min()), 4), round(float(na_l[lit].max()), 4)],
                "field": "dark" if dark_p[pattern] else "bright" if bright.all() else "mixed",
                "exposure_ms": float(plan.exposure_ms_p[pattern]),
            }
        )
    return rows


def _lines(rows: list[dict[str, Any]]) -> list[str]:
    lines = [f"{'pattern':>7}  {'field':<6}  {'NA':<13}  {'ms':>7}  LEDs"]
    for row in rows[:SHOWN]:
        leds, (low, high) = row["leds"], row["na"]
        named = ", ".join(map(str, leds[:NAMED_LEDS])) + (f", ... ({len(leds)})" if len(leds) > NAMED_LEDS else "")
        na = f"{low:.3f}" if low == high else f"{low:.3f}-{high:.3f}"
        lines.append(f"{row['pattern']:>7}  {row['field']:<6}  {na:<13}  {row['exposure_ms']:>7.4g}  {named}")
    if len(rows) > SHOWN:
        lines.append(f"{'...':>7}  and {len(rows) - SHOWN} more; --json lists them all")
    return lines
