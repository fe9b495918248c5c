"""What the command line says about plan and experiment, and what the profile adds to it."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from acquisition.errors import OperatorError
from acquisition.experiment import Experiment, make_experiment
from acquisition.plan import plan_for
from acquisition.profile_faults import nearest
from acquisition.profile_plan import PlanSettings, changed_experiment, changed_plan

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from acquisition.profile import Profile


def plan_changes(entries: Sequence[str]) -> dict[str, Any]:
    """Read entries such as ``kind=dpc``, ``na_max=0.5`` or ``leds=1,5,9``: keys and values of the table [plan].

    Raises
    ------
    OperatorError
        An entry is no KEY=VALUE, or its key does not exist or comes twice.
    """
    changes: dict[str, Any] = {}
    for entry in entries:
        key, equals, text = (part.strip() for part in entry.partition("="))
        if not equals or not text:
            raise OperatorError(f"--plan is {entry!r}, expected KEY=VALUE.", "Write it like this: --plan kind=dpc")
        if key not in PlanSettings.model_fields:
            near, known = nearest(key, PlanSettings.model_fields), ", ".join(PlanSettings.model_fields)
            remedy = f"Did you mean {near}?" if near else f"The keys are {known}."
            raise OperatorError(f"--plan {entry}: there is no {key!r}.", remedy)
        if key in changes:
            raise OperatorError(f"--plan gives {key} twice.", "Give it once.")
        changes[key] = _value(key, text)
    return changes


def experiment_changes(every_s: float | None, count: int | None, positions: Path | None) -> dict[str, Any]:
    """Name what was given by the keys of the table [experiment]."""
    given = {"interval_s": every_s, "count": count, "positions": None if positions is None else str(positions)}
    return {key: value for key, value in given.items() if value is not None}


def experiment_of(
    profile: Profile, led_na_l2: NDArray[np.float64], plan: dict[str, Any], experiment: dict[str, Any]
) -> Experiment:
    """Make the experiment of a profile and of what the command line puts in place of its settings.

    Raises
    ------
    OperatorError
        A value is not allowed, a file cannot be read, or the board cannot do it.
    """
    settings = changed_experiment(profile, experiment)
    return make_experiment(plan_for(profile, led_na_l2, changed_plan(profile, plan)), settings)


def _value(key: str, text: str) -> Any:
    """Read a value as it would stand in a profile; quotes and brackets may be left out."""
    if key in ("kind", "order", "file", "reference", "trigger"):
        return text.strip("'\"")
    for written in (f"[{text}]" if key == "leds" and not text.startswith("[") else text, repr(text)):
        try:
            return tomllib.loads(f"value = {written}")["value"]
        except tomllib.TOMLDecodeError:
            continue
    return text
