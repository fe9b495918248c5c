"""The neural field as a function of position: continuous, the same on every way to it, differentiable."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from acquisition.errors import OperatorError
from recon.field import FieldConfig, NeuralField, design_field
from recon.forward.born import BornModel
from recon.grid import VolumeGrid
from recon.spline_axes import spline_weights
from tests.recon.fields import GRID, random_points, rough_field, rough_network
from tests.recon.simulate import SHORT_WAVES

# --- splines ----------------------------------------------------------------------------------------------------------


@given(st.integers(1, 50), st.lists(st.floats(-0.1, 1.1), min_size=1, max_size=30))
def test_spline_weights_add_to_one_and_refer_to_cells(cells, places):
    indices, weights = spline_weights(torch.tensor(places, dtype=torch.float64) * cells, cells)
    assert torch.allclose(weights.sum(1), torch.ones(len(places)), atol=1e-6)
    assert weights.min() >= 0
    assert indices.min() >= 0 and indices.max() < cells


@given(st.floats(1.5, 8.5))
def test_splines_reproduce_straight_lines(position):
    """Within the grid a linear function of the cell centres is read back exactly."""
    indices, weights = spline_weights(torch.tensor([position], dtype=torch.float64), 10)
    assert float(((indices + 0.5) * weights).sum()) == pytest.approx(position, abs=1e-5)


# --- the function -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("positive", [True, False])
def test_both_ways_of_evaluation_agree(positive):
    network = rough_network(positive=positive)
    rng = np.random.default_rng(1)
    lower, upper = GRID.bounds_um
    x, y, z = (np.sort(rng.uniform(lo, hi, n)) for lo, hi, n in zip(lower, upper, (11, 7, 5), strict=True))
    on_axes = network.on_axes(*(torch.from_numpy(axis) for axis in (x, y, z)))
    points = np.stack(np.meshgrid(z, y, x, indexing="ij")[::-1], -1).reshape(-1, 3)
    at_points = network.at_points(torch.from_numpy(points)).reshape(2, 5, 7, 11)
    assert on_axes.std() > 1e-4
    assert torch.allclose(on_axes, at_points, atol=2e-7)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_value_and_slope_are_continuous_across_cell_borders(axis):
    network = rough_network().double()
    cells = network.config.levels_zyx[-1][2 - axis]
    lower, upper = (np.array(corner) for corner in network.config.bounds_um)
    width = (upper[axis] - lower[axis]) / cells
    # Quadratic splines join half way between cell centres: at the borders of the cells.
    borders = np.repeat(random_points(1, seed=axis), cells - 1, axis=0)
    borders[:, axis] = lower[axis] + width * np.arange(1, cells)
    borders.setflags(write=False)
    tiny, values = 1e-3 * width, []
    for offset in (-2, -1, 1, 2):
        points = borders.copy()
        points[:, axis] += offset * tiny
        values.append(network.at_points(torch.from_numpy(points)).detach().numpy())
    slope_before, slope_after = (values[1] - values[0]) / tiny, (values[3] - values[2]) / tiny
    largest = np.abs(slope_before).max()
    assert np.abs(values[2] - values[1]).max() < 4 * tiny * largest
    assert np.abs(slope_after - slope_before).max() < 0.05 * largest


def test_dn_and_kappa_are_positive_unless_dn_may_be_negative():
    points = torch.from_numpy(random_points(3000))
    dn, kappa = rough_network(positive=True).at_points(points)
    assert dn.min() >= 0 and kappa.min() >= 0
    dn, kappa = rough_network(positive=False).at_points(points)
    assert dn.min() < 0 and kappa.min() >= 0


def smooth_volume(grid=GRID):
    x, y, z = grid.axes_um
    blob = np.exp(-0.5 * (((x - 0.5) / 0.9) ** 2 + ((y[:, None] + 0.3) / 0.7) ** 2 + (z[:, None, None] / 1.0) ** 2))
    return torch.from_numpy((0.02 * blob + 0.001j * blob).astype(np.complex64))


@pytest.mark.parametrize("positive", [True, False])
def test_a_field_begins_as_the_volume_it_is_given(positive):
    volume = smooth_volume()
    network = NeuralField(design_field(GRID, 1.33, 0.02, positive))
    network.start_from(volume)
    dn, kappa = network.on_axes(*(torch.from_numpy(axis) for axis in GRID.axes_um)).detach()
    # The ramp rounds zero off, the untrained network adds a little, splines smooth a little.
    assert (dn - volume.real).abs().max() < 0.15 * 0.02
    assert (dn - volume.real).square().mean().sqrt() < 0.05 * 0.02
    assert (kappa - volume.imag).abs().max() < 0.0005


def test_negative_parts_of_the_start_become_small_and_positive():
    network = NeuralField(design_field(GRID, 1.33, 0.02, positive=True))
    network.start_from(-smooth_volume())
    dn, _ = network.on_axes(*(torch.from_numpy(axis) for axis in GRID.axes_um)).detach()
    assert 0 <= dn.min() and dn.max() < 0.15 * 0.02


def test_the_start_may_have_another_sampling():
    network = NeuralField(design_field(GRID, 1.33, 0.02))
    fine = VolumeGrid((18, 48, 60), 0.2, 0.08125, -1.7)
    network.start_from(smooth_volume(fine))
    dn, _ = network.on_axes(*(torch.from_numpy(axis) for axis in GRID.axes_um)).detach()
    assert (dn - smooth_volume().real).abs().max() < 0.2 * 0.02


def test_same_seed_same_field():
    config = design_field(GRID, 1.33, 0.02)
    first, again, other = (NeuralField(config, seed) for seed in (3, 3, 4))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert not torch.equal(first.grids[0], other.grids[0])


def test_thin_volumes_still_make_a_field():
    config = design_field(VolumeGrid((5, 6, 6), 0.4, 0.1625, 0.0), 1.33, 0.01)
    assert all(min(cells) >= 4 for cells in config.levels_zyx)
    points = torch.from_numpy(np.array(config.bounds_um))
    assert torch.isfinite(NeuralField(config).at_points(points)).all()


# --- batches ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 7, 8, 9, 20])
def test_points_in_batches_are_those_all_at_once(count, monkeypatch):
    network, points = rough_network(), torch.from_numpy(random_points(count))
    with torch.no_grad():
        whole = network.at_points(points)
        monkeypatch.setattr("recon.field.POINTS_PER_BATCH", {"cpu": 8})
        assert torch.allclose(network.at_points(points), whole, atol=1e-8)
    assert torch.allclose(network.at_points(points).detach(), whole, atol=1e-8)


def test_gradient_in_every_parameter_agrees_with_differences():
    network = rough_network(grid=VolumeGrid((5, 6, 6), 0.4, 0.1625, 0.0)).double()
    points = torch.from_numpy(random_points(40, grid=VolumeGrid((5, 6, 6), 0.4, 0.1625, 0.0)))
    weights = torch.randn(2, 40, dtype=torch.float64)

    def loss():
        return (network.at_points(points).double() * weights).sum()

    gradients = torch.autograd.grad(loss(), list(network.parameters()))
    for parameter, gradient in zip(network.parameters(), gradients, strict=True):
        direction = torch.randn_like(parameter)
        with torch.no_grad():
            parameter += 1e-4 * direction
            above = loss()
            parameter -= 2e-4 * direction
            below = loss()
            parameter += 1e-4 * direction
        difference = float(above - below) / 2e-4
        assert float((gradient * direction).sum()) == pytest.approx(difference, rel=2e-3, abs=1e-7)


def test_a_pulse_that_raises_ends_the_evaluation():
    class Enough(Exception):
        pass

    def raising():
        raise Enough

    network = rough_network()
    network.pulse = raising
    with pytest.raises(Enough):
        network.on_axes(*(torch.from_numpy(axis) for axis in GRID.axes_um))


# --- Field ------------------------------------------------------------------------------------------------------------


def test_medium_outside_the_box_and_sample_inside():
    field = rough_field()
    lower, upper = field.bounds
    assert field.bounds == pytest.approx(GRID.bounds_um)
    for axis in range(3):
        for corner, away in ((lower, -1e-3), (upper, 1e-3)):
            point = (lower + upper) / 2
            point[axis] = corner[axis] + away
            assert field.refractive_index(point) == np.complex64(1.33)
            point[axis] = corner[axis] - away
            assert field.refractive_index(point) != np.complex64(1.33)
    assert field.refractive_index([np.nan, 0, 0]) == np.complex64(1.33)


@pytest.mark.parametrize("shape", [(3,), (0, 3), (5, 3), (2, 4, 3)])
def test_points_keep_their_shape(shape):
    index = rough_field().refractive_index(np.zeros(shape))
    assert index.shape == shape[:-1]
    assert index.dtype == np.complex64


def test_points_without_three_coordinates_are_refused():
    with pytest.raises(ValueError, match=r"\(4, 2\)"):
        rough_field().refractive_index(np.zeros((4, 2)))


def test_volume_samples_cell_centres():
    field = rough_field()
    volume = field.volume((4, 5, 6))
    assert volume.shape == (4, 5, 6) and volume.dtype == np.complex64
    lower, upper = field.bounds
    z, y, x = (
        lo + (np.arange(n) + 0.5) / n * (hi - lo) for lo, hi, n in zip(lower[::-1], upper[::-1], (4, 5, 6), strict=True)
    )
    points = np.stack(np.meshgrid(z, y, x, indexing="ij")[::-1], -1)
    assert np.abs(volume - field.refractive_index(points)).max() < 5e-7
    # On the grid of the forward model the volume is what the model saw.
    assert np.abs(field.volume(GRID.shape_zyx) - 1.33 - field.on_grid().numpy()).max() < 5e-7


def plane_points(origin, u, v, shape):
    i, j = np.meshgrid(*((np.arange(n) + 0.5) / n for n in shape), indexing="ij")
    return np.array(origin) + j[..., None] * np.array(u) + i[..., None] * np.array(v)


@pytest.mark.parametrize(
    ("origin", "u", "v"),
    [
        ((-2, -1.5, 0.3), (4, 0, 0), (0, 3, 0)),
        ((-2, 0.2, -1.5), (4, 0, 0), (0, 0, 3)),
        ((0.1, -1.5, -1.5), (0, 0, 3), (0, 3, 0)),
        ((2, 1.5, 0.3), (-4, 0, 0), (0, -3, 0)),
        ((-1, -1, -1), (2, 0.5, 0.3), (0.2, 1.5, 1.0)),
        ((0.301, 0.1, 0.0), (1e-3, 0, 0), (0, 1e-3, 0)),
        ((-9, -9, 0.0), (18, 0, 0), (0, 18, 0)),
        ((8, 8, 0.0), (1, 0, 0), (0, 1, 0)),
        ((0, 0, 0), (1, 0, 0), (2, 0, 0)),
    ],
    ids=["xy", "xz", "yz turned", "backwards", "oblique", "zoomed in", "beyond the box", "outside", "degenerate"],
)
def test_slices_are_the_same_as_points_at_any_zoom(origin, u, v):
    field = rough_field()
    picture = field.slice(origin, u, v, (13, 9))
    assert picture.shape == (13, 9) and picture.dtype == np.complex64
    points = field.refractive_index(plane_points(origin, u, v, (13, 9)))
    assert np.abs(picture - points).max() < 5e-7


def test_zooming_shows_no_pixels():
    """Twenty times finer than the grid, neighbours differ by a small part of the contrast."""
    field = rough_field()
    picture = field.slice((-0.5, -0.5, 0.1), (1, 0, 0), (0, 1, 0), (120, 120)).real
    steps = max(np.abs(np.diff(picture, axis=axis)).max() for axis in (0, 1))
    assert steps < 0.12 * (picture.max() - picture.min())


def test_a_view_never_captured_is_what_the_model_predicts():
    field = rough_field()
    image = field.intensity((0.2, -0.3))
    model = BornModel(GRID, SHORT_WAVES, torch.tensor([[0.2, -0.3]]))
    assert image.shape == (24, 30) and image.dtype == np.float32
    assert np.allclose(image, model.images(field.on_grid(), torch.tensor([0]))[0].numpy(), atol=1e-6)
    with pytest.raises(OperatorError, match=r"0\.700"):
        field.intensity((0.7, 0.0))


def test_config_states_the_whole_architecture():
    config = rough_field().network.config
    assert isinstance(config, FieldConfig)
    wider = NeuralField(replace(config, widths=(8, 8, 8)))
    assert [tuple(p.shape) for p in wider.layers][::2] == [(8, 14), (8, 8), (8, 8), (2, 8)]
    assert wider.parameter_bytes == 4 * sum(p.numel() for p in wider.parameters())
