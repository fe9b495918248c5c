"""Reading a field block by block on three axes, against its plain formula and against single points."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recon import spline_axes
from recon.grid import VolumeGrid
from recon.spline_axes import spline_blocks, spline_weights
from tests.recon.fields import GRID, rough_network

WIDE = VolumeGrid((7, 70, 150), 0.4, 0.1625, -1.2)


def axes_of(kind, grid=WIDE):
    """Coordinates x, y, z inside a box, in micrometres."""
    rng = np.random.default_rng(5)
    lower, upper = grid.bounds_um
    counts = (149, 67, 6)
    if kind == "grid":
        return [torch.as_tensor(axis) for axis in grid.axes_um]
    if kind == "unsorted":
        return [torch.as_tensor(rng.uniform(lo, hi, n)) for lo, hi, n in zip(lower, upper, counts, strict=True)]
    if kind == "zoomed in":
        return [torch.linspace(0.11, 0.11 + 0.01 * n, n, dtype=torch.float64) for n in counts]
    if kind == "backwards":
        return [torch.as_tensor(axis[::-1].copy()) for axis in grid.axes_um]
    if kind == "to the rims":
        return [torch.linspace(lo, hi, n, dtype=torch.float64) for lo, hi, n in zip(lower, upper, counts, strict=True)]
    return [torch.as_tensor([0.5 * (lo + hi)]) for lo, hi in zip(lower, upper, strict=True)]


KINDS = ["grid", "unsorted", "zoomed in", "backwards", "to the rims", "one point"]


def points_of(axes):
    x, y, z = axes
    grids = torch.meshgrid(z, y, x, indexing="ij")
    return torch.stack(grids[::-1], -1).reshape(-1, 3)


def flat_gradient(value, network):
    found = torch.autograd.grad(value, list(network.parameters()))
    return torch.cat([part.flatten() for part in found])


@pytest.fixture(params=[(64, 2**15), (7, 300)], ids=["usual blocks", "small blocks"])
def any_blocks(request, monkeypatch):
    block, chunk = request.param
    monkeypatch.setitem(spline_axes.BLOCK, "cpu", block)
    monkeypatch.setitem(spline_axes.POINTS_PER_CHUNK, "cpu", chunk)


@pytest.mark.usefixtures("any_blocks")
@pytest.mark.parametrize("kind", KINDS)
def test_axes_give_what_single_points_give(kind):
    network = rough_network(grid=WIDE)
    axes = axes_of(kind)
    with torch.no_grad():
        on_axes = network.on_axes(*axes)
        at_points = network.at_points(points_of(axes)).reshape(on_axes.shape)
    assert on_axes.shape == (2, len(axes[2]), len(axes[1]), len(axes[0]))
    assert torch.allclose(on_axes, at_points, atol=5e-7)


def plain_values(network, axes):
    """The field on three axes by one dense matrix per axis and grid, for torch's own gradient."""
    features = []
    for grid, cells in zip(network.grids, network.config.levels_zyx, strict=True):
        for axis, count in zip((2, 1, 0), cells, strict=True):
            indices, weights = spline_weights(network._cell_positions(axes[axis], axis, count), count)
            matrix = torch.zeros(len(indices), count).scatter_add_(1, indices, weights)
            grid = torch.tensordot(grid, matrix, ([1], [1]))  # (C, y, x, z): the next axis comes first
        features.append(grid.flatten(1))
    return network._network(torch.cat(features), list(network.layers))


@pytest.mark.usefixtures("any_blocks")
@pytest.mark.parametrize("kind", ["grid", "unsorted", "zoomed in"])
def test_gradient_is_that_of_the_plain_formula(kind):
    network = rough_network(grid=WIDE)
    axes = axes_of(kind)
    values = network.on_axes(*axes)
    plain = plain_values(network, axes).reshape(values.shape)
    assert torch.allclose(values, plain, atol=5e-7)
    upstream = torch.randn_like(values)
    found, expected = (flat_gradient((part * upstream).sum(), network) for part in (values, plain))
    assert (found - expected).norm() < 1e-5 * expected.norm()


@pytest.mark.parametrize("levels", [1, 3, -1])
def test_levels_that_are_not_read_count_as_zero_and_get_no_gradient(levels):
    network, emptied = rough_network(), rough_network()
    read = range(len(network.grids))[:levels]
    with torch.no_grad():
        for level, grid in enumerate(emptied.grids):
            if level not in read:
                grid.zero_()
    axes = [torch.as_tensor(axis) for axis in GRID.axes_um]
    values = network.on_axes(*axes, levels=levels)
    assert torch.allclose(values, emptied.on_axes(*axes), atol=1e-7)
    gradients = torch.autograd.grad(values.sum(), list(network.grids))
    assert [bool(gradient.any()) for gradient in gradients] == [level in read for level in range(len(network.grids))]


def test_a_sampling_serves_again_when_the_field_has_changed():
    network = rough_network()
    sampling = network.sampling(*axes_of("unsorted", GRID))
    before = network.on_sampling(sampling).detach()
    with torch.no_grad():
        network.grids[2] += 0.5
    after = network.on_sampling(sampling).detach()
    assert (after - before).abs().max() > 1e-3
    assert torch.equal(after, network.on_axes(*axes_of("unsorted", GRID)).detach())


def test_blocks_hold_all_weights_of_their_points_and_few_cells():
    position = torch.linspace(0.0, 200.0, 500, dtype=torch.float64)
    blocks = spline_blocks(position, 200, torch.device("cpu"), 64)
    assert [(b.points.start, b.points.stop) for b in blocks] == [
        (start, min(start + 64, 500)) for start in range(0, 500, 64)
    ]
    for block in blocks:
        assert torch.allclose(block.weights.sum(1), torch.ones(len(block.weights)))
        assert block.weights.shape[1] == block.cells.stop - block.cells.start < 32


def test_the_pulse_is_felt_between_chunks_forwards_and_backwards(monkeypatch):
    monkeypatch.setitem(spline_axes.POINTS_PER_CHUNK, "cpu", 1)
    beats = []
    network = rough_network()
    network.pulse = lambda: beats.append(1)
    values = network.on_axes(*(torch.as_tensor(axis) for axis in GRID.axes_um))
    assert len(beats) == GRID.shape_zyx[0]
    values.sum().backward()
    assert len(beats) == 2 * GRID.shape_zyx[0]
