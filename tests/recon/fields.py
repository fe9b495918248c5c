"""Neural fields with something in every weight, for tests that need no fit."""

from __future__ import annotations

import numpy as np
import torch

from recon.field import NeuralField, design_field
from recon.grid import VolumeGrid
from recon.result import Field, History
from tests.recon.simulate import RING_NA, SHORT_WAVES

GRID = VolumeGrid((9, 24, 30), 0.4, 0.1625, -1.6)
HISTORY = History("born", "converged", 0.2, 0.01, (4,), 10, 3.0, 0, "c.h5", "ab", RING_NA, np.ones(19), np.ones(19))


def rough_network(seed=0, positive=True, grid=GRID):
    """A field whose every grid and layer matters."""
    config = design_field(grid, 1.33, 0.02, positive)
    network = NeuralField(config, seed)
    generator = torch.Generator().manual_seed(seed + 100)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
    return network


def rough_field(seed=0, positive=True):
    return Field(rough_network(seed, positive).requires_grad_(False), GRID, SHORT_WAVES, HISTORY)


def random_points(count, seed=0, grid=GRID):
    lower, upper = grid.bounds_um
    return np.random.default_rng(seed).uniform(lower, upper, (count, 3))
