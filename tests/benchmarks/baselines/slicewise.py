"""Slice-wise Tikhonov, the literature's linear reconstruction: each slice deconvolved as if it alone made the data.

    x_z(f) = (A_z^H A_z + alpha I)^-1 A_z^H y(f)        for each plane z by itself, dn and kappa: 2 x 2

Every slice claims the whole of the contrast, so that the volume as published is several times too strong; `rescaled`
multiplies it with the factor that fits best: to the truth where there is one (optimistic for the method), else to the
images that were fitted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from recon.forward.born import BornModel
from recon.forward.model import pattern_images
from tests.benchmarks.baselines.normal import build_normal_equations, index_of
from tests.benchmarks.trajectory import snapshot_of_volume

if TYPE_CHECKING:
    from torch import Tensor

    from tests.benchmarks.problem import Problem
    from tests.benchmarks.trajectory import Method


def slicewise(problem: Problem, alpha: float = 0.1, rescaled: bool = False) -> Method:
    """Deconvolve; alpha relative to the strongest transfer of a plane."""
    equations = build_normal_equations(problem, 2)
    planes = equations.grid.shape_zyx[0]
    blocks = equations.normal_fqq.reshape(-1, 2, planes, 2, planes)
    normal = blocks.diagonal(dim1=2, dim2=4).permute(0, 3, 1, 2)  # (F, Z, 2, 2)
    ridge = alpha * torch.eye(2, device=normal.device)
    data = equations.data_fq.reshape(-1, 2, planes).mT[..., None]
    solution = torch.linalg.solve(normal + ridge, data)[..., 0].mT.flatten(1)
    index_zyx = index_of(equations.volume(solution))
    model = BornModel(equations.grid, problem.header.optics, problem.led_na_l2, problem.device)
    factor = best_factor(problem, index_zyx, model) if rescaled else 1.0
    yield lambda: snapshot_of_volume(problem, factor * index_zyx, equations.grid, model, {"factor": factor})


def best_factor(problem: Problem, index_zyx: Tensor, model: BornModel) -> float:
    """Return the factor that brings a volume nearest to the truth, or its images nearest to the fitted ones."""
    if problem.truth is not None:  # the grid's planes are the truth's
        found, wanted = index_zyx.real, torch.as_tensor(problem.truth.dn_zyx, device=index_zyx.device)
    else:
        found = pattern_images(model, index_zyx, problem.brightness(problem.rows_p)) - 1.0
        wanted = problem.contrast_pyx
    return float((found * wanted).sum() / found.square().sum())
