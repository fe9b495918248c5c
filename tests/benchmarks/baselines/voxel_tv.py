"""Voxel grid with total variation and positivity, through the same forward model as the field, by Adam.

    minimise   mean over p of log( mean over pixels (g_p I_p(x) - I_p)^2 ) + weight * mean |grad x|        over x >= 0

The same likelihood as the field's, so that what differs is the representation alone. The start is the closed form; dn
and kappa are in units of its contrast, and stay at zero or above by projection after each step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from recon.forward.model import build_model, kind_of_model, pattern_images
from recon.grid import choose_grid
from recon.quality import value_range
from recon.tikhonov import solve_tikhonov
from tests.benchmarks.baselines.linear_tv import gradient
from tests.benchmarks.trajectory import snapshot_of_volume

if TYPE_CHECKING:
    from torch import Tensor

    from tests.benchmarks.problem import Problem
    from tests.benchmarks.trajectory import Method

LEARNING_RATE = 0.02
ROUNDING = 1e-3


def voxel_tv(problem: Problem, model: str = "born", weight: float = 20.0, seed: int = 0) -> Method:
    """Iterate for ever; whoever asks decides when it is enough.

    Parameters
    ----------
    problem
        Images and geometry.
    model
        Forward model by name.
    weight
        Of total variation.
    seed
        Of the order of patterns.
    """
    header = problem.header
    grid = choose_grid(header.image_shape, header.optics, problem.depths_um, kind_of_model(model).resonant)
    forward = build_model(model, grid, header.optics, problem.led_na_l2, problem.device)
    brightness_pl = problem.brightness(problem.rows_p)
    contrast_pyx = problem.contrast_pyx
    start = solve_tikhonov(contrast_pyx, brightness_pl, problem.led_na_l2, grid, header.optics)
    scale = max(value_range(start.real.cpu().numpy())[1], 1e-6)
    x = (torch.stack([start.real, start.imag]) / scale).clamp(min=0).requires_grad_()
    optimiser = torch.optim.Adam([x], lr=LEARNING_RATE, betas=(0.9, 0.99))
    z_weight = grid.pixel_um / grid.dz_um
    random = np.random.default_rng(seed)
    count = len(brightness_pl)
    while True:
        rows = np.sort(random.choice(count, min(forward.patterns_per_step, count), replace=False))
        batch = torch.from_numpy(rows).to(problem.device)
        optimiser.zero_grad(set_to_none=True)
        predicted = pattern_images(forward, scale * torch.complex(x[0], x[1]), brightness_pl[batch])
        loss = log_error(predicted, contrast_pyx[batch] + 1.0)
        variation = (gradient(x, z_weight).square().sum(0) + ROUNDING**2).sqrt().mean((1, 2, 3)).sum()
        torch.autograd.backward(loss + weight * (variation + x[1].mean()))
        optimiser.step()
        with torch.no_grad():
            x.clamp_(min=0)
        yield lambda: snapshot_of_volume(problem, scale * torch.complex(x.detach()[0], x.detach()[1]), grid, forward)


def log_error(predicted_pyx: Tensor, measured_pyx: Tensor) -> Tensor:
    """Mean logarithm of each image's mean square error, with the brightness of each LED fitted in closed form."""
    known = predicted_pyx.detach()
    gain_p = (known * measured_pyx).sum((1, 2)) / known.square().sum((1, 2))
    return (gain_p[:, None, None] * predicted_pyx - measured_pyx).square().mean((1, 2)).log().mean()
