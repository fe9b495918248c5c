"""Joint Tikhonov: the exact regularised least-squares solution over all planes and LEDs at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from recon.forward.born import BornModel
from recon.tikhonov import solve_tikhonov
from tests.benchmarks.trajectory import snapshot_of_volume

if TYPE_CHECKING:
    from tests.benchmarks.problem import Problem
    from tests.benchmarks.trajectory import Method


def joint(problem: Problem, regularisation: float = 0.01, kappa_variance: float = 0.05, clip: bool = True) -> Method:
    """Solve; parameters as `solve_tikhonov`, and whether negative dn is set to 0."""
    grid, optics = problem.grid, problem.header.optics
    index_zyx = solve_tikhonov(
        problem.contrast_pyx,
        problem.brightness(problem.rows_p),
        problem.led_na_l2,
        grid,
        optics,
        regularisation,
        kappa_variance,
    )
    if clip:
        index_zyx = torch.complex(index_zyx.real.clamp(min=0), index_zyx.imag)
    model = BornModel(grid, optics, problem.led_na_l2, problem.device)
    yield lambda: snapshot_of_volume(problem, index_zyx, grid, model)
