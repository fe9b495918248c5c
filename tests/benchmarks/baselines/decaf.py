"""DeCAF's own network and loss (Liu, Sun, Zhu, Tian, Kamilov 2022), re-implemented from the published description.

    input    sin, cos(2^k pi d . (x, y)) for directions d every 15 degrees, k = 0..7;  sin, cos(2^k pi z), k = 0..3
    network  6 layers of 208, leaky ReLU (0.2), the encoding joined again at layer 3; two outputs
    loss     1/2 mean (A x - y)^2  +  tau sum |difference along z|         A: linear Born model, all LEDs
    steps    Adam, one block of 160 x 160 pixels with all planes per step, 8e-4 falling to 3e-4 over 40000 steps

Coordinates run from -1 to 1. What lies outside a step's block enters the prediction as it was estimated last. Numbers
are those of their phantom seen by a ring of LEDs (settings in brackets there: algae 10 layers, directions every 9
degrees). Left out: the term of their pre-trained denoiser. Different: blocks do not overlap, and their estimates are
always taken over; the output unit and tau follow the sample's contrast as theirs do (10 units = strongest contrast).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from recon.forward.born import BornModel
from recon.forward.model import pattern_images
from recon.grid import choose_grid
from recon.quality import value_range
from recon.tikhonov import solve_tikhonov
from tests.benchmarks.trajectory import snapshot_of_volume

if TYPE_CHECKING:
    from torch import Tensor

    from tests.benchmarks.problem import Problem
    from tests.benchmarks.trajectory import Method

PUBLISHED_STEPS = 40000
START_RATE, END_RATE = 8e-4, 3e-4
PUBLISHED_TV, PUBLISHED_CONTRAST = 3e-7, 0.01
"""Weight of the variation along z in their phantom, and that phantom's range of permittivity contrast."""
UNITS_AT_CONTRAST = 10.0
POINTS = 2**17
"""Points that go through the network together where memory has to be saved: the rest is computed again."""


class DecafNetwork(nn.Module):
    """Coordinates (N, 3) of x, y, z in -1..1 -> (N, 2) phase and absorption."""

    def __init__(
        self, layers: int = 6, width: int = 208, skip: int = 3, angle_deg: float = 15.0, xy: int = 8, z: int = 4
    ) -> None:
        super().__init__()
        angles = torch.deg2rad(torch.arange(0.0, 180.0, angle_deg))
        self.directions: Tensor
        self.register_buffer("directions", torch.stack([torch.sin(angles), torch.cos(angles)]))
        self.xy, self.z, self.skip = xy, z, skip
        encoded = 2 * (xy * len(angles) + z)
        sizes = [encoded] + [width] * (layers - 1)
        self.hidden = nn.ModuleList(
            nn.Linear(size + (encoded if layer == skip else 0), width) for layer, size in enumerate(sizes)
        )
        self.out = nn.Linear(width, 2)
        for linear in (*self.hidden, self.out):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)

    def encode(self, points: Tensor) -> Tensor:
        """Expand coordinates into waves."""
        across = points[:, :2] @ self.directions
        phases = [2.0**k * math.pi * across for k in range(self.xy)]
        phases += [2.0**k * math.pi * points[:, 2:] for k in range(self.z)]
        phase = torch.cat(phases, 1)
        return torch.cat([phase.sin(), phase.cos()], 1)

    def forward(self, points: Tensor) -> Tensor:
        """Evaluate."""
        encoded = self.encode(points)
        hidden = encoded
        for layer, linear in enumerate(self.hidden):
            if layer == self.skip:
                hidden = torch.cat([hidden, encoded], 1)
            hidden = functional.leaky_relu(linear(hidden), 0.2)
        out: Tensor = self.out(hidden)
        return out


def decaf(problem: Problem, view: int = 160, layers: int = 6, steps: int = PUBLISHED_STEPS, seed: int = 0) -> Method:
    """Train.

    Parameters
    ----------
    problem
        Images and geometry.
    view
        Side of a block in pixels.
    layers
        Hidden layers.
    steps
        Over how many the learning rate falls, and after how many it ends.
    seed
        Of the weights and of the order of blocks.
    """
    torch.manual_seed(seed)
    header, device = problem.header, problem.device
    grid = choose_grid(header.image_shape, header.optics, problem.depths_um)
    planes, rows, columns = grid.shape_zyx
    model = BornModel(grid, header.optics, problem.led_na_l2, device)
    brightness_pl = problem.brightness(problem.rows_p)
    contrast_pyx = problem.contrast_pyx
    # Contrast of permittivity as the closed form sees it: theirs is chosen by hand for each sample.
    start = solve_tikhonov(contrast_pyx, brightness_pl, problem.led_na_l2, grid, header.optics)
    contrast = 2.0 * header.optics.medium_index * max(value_range(start.real.cpu().numpy())[1], 1e-6)
    per_unit = contrast / UNITS_AT_CONTRAST / (2.0 * header.optics.medium_index)
    tv_weight = PUBLISHED_TV * contrast / PUBLISHED_CONTRAST
    network = DecafNetwork(layers).to(device)
    optimiser = torch.optim.Adam(network.parameters(), lr=START_RATE)
    axes = [2.0 * torch.arange(count, device=device) / count - 1.0 for count in (planes, rows, columns)]
    blocks = [
        (slice(top, min(top + view, rows)), slice(left, min(left + view, columns)))
        for top in range(0, rows, view)
        for left in range(0, columns, view)
    ]
    index_zyx = torch.zeros(grid.shape_zyx, dtype=torch.complex64, device=device)
    random = np.random.default_rng(seed)
    order: list[int] = []
    frugal = device.type == "cpu"
    for step in range(steps):
        order = order or random.permutation(len(blocks)).tolist()
        across_y, across_x = blocks[order.pop()]
        for group in optimiser.param_groups:
            group["lr"] = START_RATE * (END_RATE / START_RATE) ** (step / steps)
        z, y, x = torch.meshgrid(axes[0], axes[1][across_y], axes[2][across_x], indexing="ij")
        points = torch.stack([x, y, z], -1).reshape(-1, 3)
        parts = torch.split(points, POINTS)
        values = torch.cat(
            [checkpoint(network, part, use_reentrant=False) for part in parts] if frugal else [network(points)]
        )
        block = per_unit * values.T.reshape(2, *x.shape)
        volume = index_zyx.clone()
        volume[:, across_y, across_x] = torch.complex(block[0], block[1])
        residual = pattern_images(model, volume, brightness_pl) - 1.0 - contrast_pyx
        permittivity = 2.0 * header.optics.medium_index * block
        loss = 0.5 * residual.square().mean() + tv_weight * permittivity.diff(dim=1).abs().sum()
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimiser.step()
        index_zyx = volume.detach()
        note = {"steps": step + 1, "published_steps": PUBLISHED_STEPS}
        yield lambda v=index_zyx, n=note: snapshot_of_volume(problem, v, grid, model, n)  # type: ignore[misc]
