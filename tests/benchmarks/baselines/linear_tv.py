"""Linear model with total variation and positivity: the strongest linear baseline, solved as well as we know how.

    minimise  1/2 ||A x - y||^2 + lambda sum |grad x|        over dn >= 0 (and kappa >= 0)

by alternating directions (ADMM) with u = grad x and v = x split off. The data term enters through its exact normal
equations: each x-update solves (A^H A + rho D^H D + rho I) x = ..., which is one small system per frequency, inverted
once. That converges in tens of iterations where gradient steps take hundreds.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from recon.forward.born import BornModel
from tests.benchmarks.baselines.normal import NormalEquations, build_normal_equations, index_of
from tests.benchmarks.trajectory import snapshot_of_volume

if TYPE_CHECKING:
    from torch import Tensor

    from recon.grid import VolumeGrid
    from tests.benchmarks.problem import Problem
    from tests.benchmarks.trajectory import Method


def gradient(x: Tensor, z_weight: float) -> Tensor:
    """Forward differences along z (zero at the last plane), y and x (periodic): (C, Z, H, W) -> (3, C, Z, H, W)."""
    along_z = torch.zeros_like(x)
    along_z[:, :-1] = (x[:, 1:] - x[:, :-1]) * z_weight
    return torch.stack([along_z, x.roll(-1, 2) - x, x.roll(-1, 3) - x])


def gradient_adjoint(u: Tensor, z_weight: float) -> Tensor:
    """Adjoint of `gradient`."""
    out = u[1].roll(1, 2) - u[1] + u[2].roll(1, 3) - u[2]
    out[:, 1:] += z_weight * u[0][:, :-1]
    out[:, :-1] -= z_weight * u[0][:, :-1]
    return out


def smoothing_matrices(grid: VolumeGrid, z_weight: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """D^H D: its part along z (Z, Z), and its value for each frequency of the half spectrum, (F,)."""
    planes, rows, columns = grid.shape_zyx
    steps = torch.zeros(planes - 1, planes, device=device)
    steps.diagonal(0).fill_(-z_weight)
    steps.diagonal(1).fill_(z_weight)
    fy = 2.0 - 2.0 * torch.cos(2.0 * math.pi * torch.fft.fftfreq(rows, device=device))
    fx = 2.0 - 2.0 * torch.cos(2.0 * math.pi * torch.fft.rfftfreq(columns, device=device))
    return steps.T @ steps, (fy[:, None] + fx).flatten()


def invert(equations: NormalEquations, rho: float, z_weight: float) -> Tensor:
    """Inverses of A^H A + rho (D^H D + I) for every frequency of the half spectrum, (F, Q, Q) complex64."""
    planes = equations.grid.shape_zyx[0]
    size = equations.parts * planes
    device = equations.normal_fqq.device
    along_z, across_f = smoothing_matrices(equations.grid, z_weight, device)
    prior = rho * (torch.kron(torch.eye(equations.parts, device=device), along_z) + torch.eye(size, device=device))
    inverse = torch.empty(len(across_f), size, size, dtype=torch.complex64, device=device)
    place = torch.full((len(across_f),), -1, device=device)
    place[equations.bins_f] = torch.arange(len(equations.bins_f), device=device)
    batch = max(1, 2**25 // size**2)
    for start in range(0, len(across_f), batch):
        part = slice(start, start + batch)
        matrix = (prior + rho * across_f[part, None, None] * torch.eye(size, device=device)).to(torch.complex64)
        seen = torch.nonzero(place[part] >= 0)[:, 0]
        matrix[seen] += equations.normal_fqq[place[part][seen]]
        inverse[part] = torch.cholesky_inverse(torch.linalg.cholesky(matrix))
    return inverse


def linear_tv(
    problem: Problem, weight: float = 0.01, iterations: int = 150, parts: int = 2, rho: float = 0.03
) -> Method:
    """Iterate from zero.

    Parameters
    ----------
    problem
        Images and geometry.
    weight
        lambda in units of the largest value of A^H y.
    iterations
        Most iterations.
    parts
        1: the method is told that the sample does not absorb; 2: kappa is found as well.
    rho
        Of the splitting, relative to the strongest transfer; it changes how fast this converges, not where to.
    """
    equations = build_normal_equations(problem, parts)
    grid = equations.grid
    planes, rows, columns = grid.shape_zyx
    z_weight = grid.pixel_um / grid.dz_um
    inverse = invert(equations, rho, z_weight)
    data = equations.volume(equations.data_fq)
    threshold = weight * float(data.abs().max()) / rho
    model = BornModel(grid, problem.header.optics, problem.led_na_l2, problem.device)
    v, p_v = torch.zeros_like(data), torch.zeros_like(data)
    u = torch.zeros(3, *data.shape, device=data.device)
    p_u = torch.zeros_like(u)
    for _ in range(iterations):
        right = data + rho * (gradient_adjoint(u - p_u, z_weight) + v - p_v)
        spectrum = torch.fft.rfft2(right).flatten(2).flatten(0, 1).T[..., None]
        solved = (inverse @ spectrum)[..., 0].T.reshape(parts, planes, rows, columns // 2 + 1)
        x = torch.fft.irfft2(solved, s=(rows, columns))
        slope = gradient(x, z_weight)
        moved = slope + p_u
        length = moved.square().sum(0, keepdim=True).sqrt()
        u = moved * (1.0 - threshold / length.clamp(min=threshold))
        v = (x + p_v).clamp(min=0)
        p_u = moved - u
        p_v = p_v + x - v
        yield lambda v=v: snapshot_of_volume(problem, index_of(v), grid, model)  # type: ignore[misc]
