"""The methods compared, and how their parameters are chosen.

Parameters of the baselines may be chosen with the truth known (`--tune`), and the best moment to stop them is always
reported beside where they ended: both make them look better than they could be made at a bench. Fieldscope's own rows
have neither.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.benchmarks.baselines.decaf import decaf
from tests.benchmarks.baselines.joint import joint
from tests.benchmarks.baselines.linear_tv import linear_tv
from tests.benchmarks.baselines.slicewise import slicewise
from tests.benchmarks.baselines.voxel_tv import voxel_tv
from tests.benchmarks.fieldscope import fieldscope
from tests.benchmarks.trajectory import best_point, record

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.benchmarks.problem import Problem
    from tests.benchmarks.trajectory import Method


@dataclass(frozen=True)
class Entry:
    """One method of the table.

    Attributes
    ----------
    run
        The generator; see `trajectory.record`.
    parameters
        Given to it always.
    candidates
        Sets of parameters to choose from when tuned; the first holds when not.
    note
        What a reader of the table must know.
    """

    run: Callable[..., Method]
    parameters: dict[str, Any] = field(default_factory=dict)
    candidates: tuple[dict[str, Any], ...] = ({},)
    note: str = ""


METHODS: dict[str, Entry] = {
    "slice-wise": Entry(
        slicewise,
        candidates=({"alpha": 0.1},),
        note="Tikhonov of each slice alone, as published, not rescaled",
    ),
    "slice-wise-rescaled": Entry(
        slicewise,
        {"rescaled": True},
        tuple({"alpha": alpha} for alpha in (0.1, 0.01, 0.03, 0.3)),
        "the same times the factor that fits the truth (without truth: the images) best",
    ),
    "joint": Entry(
        joint,
        candidates=tuple(
            {"regularisation": alpha, "kappa_variance": kappa}
            for alpha, kappa in ((0.03, 0.0), (0.01, 0.05), (0.003, 0.05), (0.03, 0.05), (0.1, 0.0))
        ),
        note="joint Tikhonov over all planes and LEDs, clipped at 0",
    ),
    "joint-unclipped": Entry(
        joint,
        {"clip": False},
        tuple(
            {"regularisation": alpha, "kappa_variance": kappa}
            for alpha, kappa in ((0.03, 0.2), (0.01, 0.2), (0.1, 0.2), (0.03, 1.0), (0.3, 1.0))
        ),
        "the same unclipped, with absorption: predicts held-out LEDs better than the clipped volume",
    ),
    "linear-tv": Entry(
        linear_tv,
        candidates=tuple({"weight": weight} for weight in (0.003, 0.001, 0.006, 0.012)),
        note="Born, total variation, positivity; exact normal equations, ADMM",
    ),
    "voxels-born": Entry(
        voxel_tv,
        {"model": "born"},
        tuple({"weight": weight} for weight in (20.0, 6.0, 60.0)),
        "voxel grid, total variation, Adam, through recon's Born model",
    ),
    "voxels-ssnp": Entry(
        voxel_tv,
        {"model": "ssnp"},
        tuple({"weight": weight} for weight in (20.0, 6.0, 60.0)),
        "the same through recon's SSNP model",
    ),
    "decaf": Entry(
        decaf,
        note="DeCAF's network and loss; its pre-trained denoiser left out; published 40000 steps, one block each",
    ),
    "field-born": Entry(fieldscope, {"model": "born"}, note="Fieldscope, Born"),
    "field-ssnp": Entry(fieldscope, {"model": "ssnp"}, note="Fieldscope, SSNP"),
    "field-auto": Entry(fieldscope, {"model": "auto"}, note="Fieldscope, model chosen by itself"),
}
DEFAULT_METHODS = tuple(METHODS)


def is_own(name: str) -> bool:
    """Whether a method is Fieldscope's: it stops by itself and is never tuned."""
    return METHODS[name].run is fieldscope


def run_method(problem: Problem, name: str, max_seconds: float, tune: bool, growth: float) -> dict[str, Any]:
    """Run one method on one problem, with each set of its candidates when tuned.

    Returns
    -------
    dict
        `points`: the trajectory of the best set (see `trajectory.record`); `final`, `best`: two of them; `parameters`;
        `tried`: how many sets.
    """
    entry = METHODS[name]
    candidates = entry.candidates if tune and not is_own(name) else entry.candidates[:1]
    runs: list[dict[str, Any]] = []
    for candidate in candidates:
        parameters = {**entry.parameters, **candidate}
        if is_own(name):
            # It knows its limit and ends in order; time to write its last result down is its own matter.
            method, limit = entry.run(problem, **parameters, max_seconds=max_seconds), 2.0 * max_seconds + 60.0
        else:
            method, limit = entry.run(problem, **parameters), max_seconds
        points = record(problem, method, limit, growth)
        runs.append({"points": points, "final": points[-1], "best": best_point(points), "parameters": parameters})
    chosen = next(run for run in runs if run["best"] is best_point([run["best"] for run in runs]))
    return {"method": name, "note": entry.note, "tried": len(candidates), **chosen}
