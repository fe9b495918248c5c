"""The normal equations of all images against the Born model of each, and the linear stage that is built on them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recon.forward.born import BornModel
from recon.forward.model import pattern_images
from recon.forward.normal import BornNormal, QuadraticError
from recon.grid import VolumeGrid, axial_period_um
from recon.stage import SMOOTHING, LinearStage, best_gain, halve_grid, halve_images
from tests.recon.dense import dense_model, without_mean
from tests.recon.fields import rough_network
from tests.recon.simulate import SHORT_WAVES

LED_NA = torch.tensor([[0.1, 0.05], [0.4, -0.3], [-0.5, 0.2], [0.0, 0.55], [-0.2, -0.4]], dtype=torch.float64)
SINGLE = torch.eye(5)
PAIRS = torch.tensor([[1.0, 0, 0, 0, 0], [0, 1.0, 0.5, 0, 0], [0, 0, 1.0, 1.0, 1.0]])
SHAPES = [(6, 24, 30), (5, 23, 27), (1, 25, 16)]
CPU = torch.device("cpu")


def volume_grid(shape):
    return VolumeGrid(shape, 0.5, 0.1625, -0.7)


def smooth_index(grid):
    """dn and kappa (2, Z, H, W) with something at every transverse frequency."""
    return 0.01 * torch.randn(2, *grid.shape_zyx)


def normal_equations(grid, brightness_pl, contrast_pyx, weight_p):
    share_pl = brightness_pl / brightness_pl.sum(1, keepdim=True)
    normal = BornNormal(grid, SHORT_WAVES, LED_NA, share_pl)
    return normal, normal.equations(contrast_pyx, weight_p)


# --- the data term ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("brightness_pl", [SINGLE, PAIRS], ids=["one LED each", "multiplexed"])
def test_error_and_gradient_are_those_of_the_sum_of_all_images(shape, brightness_pl):
    grid = volume_grid(shape)
    contrast = 0.02 * torch.randn(len(brightness_pl), *shape[1:])
    weight = torch.linspace(0.5, 2.0, len(brightness_pl))
    normal, equations = normal_equations(grid, brightness_pl, contrast, weight)
    model = BornModel(grid, SHORT_WAVES, LED_NA)
    dn_kappa = smooth_index(grid).requires_grad_()

    predicted = pattern_images(model, torch.complex(dn_kappa[0], dn_kappa[1]), brightness_pl) - 1.0
    plain = (weight * without_mean(predicted - contrast).square().mean((1, 2))).sum()
    quick = QuadraticError.apply(dn_kappa, normal, equations)
    (plain_gradient,) = torch.autograd.grad(plain, dn_kappa)
    (quick_gradient,) = torch.autograd.grad(3.0 * quick, dn_kappa)
    assert float(quick.detach()) == pytest.approx(float(plain.detach()), rel=2e-3)
    assert (quick_gradient / 3.0 - plain_gradient).norm() < 3e-3 * plain_gradient.norm()


def test_an_empty_volume_leaves_all_of_the_images():
    grid = volume_grid(SHAPES[0])
    contrast = 0.02 * torch.randn(5, *grid.shape_zyx[1:]) + 0.3
    weight = torch.linspace(0.5, 2.0, 5)
    normal, equations = normal_equations(grid, SINGLE, contrast, weight)
    error = QuadraticError.apply(torch.zeros(2, *grid.shape_zyx), normal, equations)
    expected = (weight * without_mean(contrast).square().mean((1, 2))).sum()
    assert float(error) == pytest.approx(float(expected), rel=1e-5)


def test_brightness_of_an_image_says_nothing_about_the_sample():
    grid = volume_grid(SHAPES[1])
    contrast = 0.02 * torch.randn(5, *grid.shape_zyx[1:])
    normal, plain = normal_equations(grid, SINGLE, contrast, torch.ones(5))
    brighter = normal.equations(contrast + torch.linspace(-0.2, 0.2, 5)[:, None, None], torch.ones(5))
    assert (brighter.b - plain.b).norm() < 1e-4 * plain.b.norm()


# --- Fourier space and depth functions --------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [*SHAPES, (6, 12, 14), (4, 11, 12)])
@pytest.mark.parametrize("pixel_um", [0.1625, 0.325])
def test_sums_over_the_frequencies_are_sums_over_pixels(shape, pixel_um):
    """Parseval, also where the discs reach the largest frequencies of large pixels."""
    grid = VolumeGrid(shape, 0.5, pixel_um, -0.7)
    normal = BornNormal(grid, SHORT_WAVES, LED_NA, SINGLE)
    unknowns, others = (normal.project(smooth_index(grid)) for _ in range(2))
    planes, other_planes = normal.expand(unknowns), normal.expand(others)
    pixels = shape[1] * shape[2]
    by_frequency = (normal.count_f[:, None] * (unknowns * others.conj()).real).sum() / pixels
    assert float((planes * other_planes).sum()) == pytest.approx(float(by_frequency), rel=1e-4)
    # What lies on the kept functions and frequencies comes back whole.
    again = normal.project(planes)
    assert (again - unknowns).norm() < 1e-5 * unknowns.norm()


@pytest.mark.parametrize("planes", [1, 5, 12, 40])
def test_depth_functions_span_all_that_light_can_tell_of_depth(planes):
    grid = VolumeGrid((planes, 64, 64), 12.0 / planes, 0.1625, -5.0)
    basis = BornNormal(grid, SHORT_WAVES, LED_NA, SINGLE).basis_zk.double()
    count = basis.shape[1]
    assert torch.allclose(basis.T @ basis, torch.eye(count, dtype=torch.float64), atol=1e-6)
    limit = 2.0 * np.pi / axial_period_um(SHORT_WAVES)
    rate = torch.linspace(-limit, limit, 101, dtype=torch.float64)
    waves = torch.exp(1j * torch.as_tensor(grid.z_um)[:, None] * rate)
    missing = waves - (basis @ (basis.T @ waves.real) + 1j * (basis @ (basis.T @ waves.imag)))
    share = missing.norm(dim=0) / waves.norm(dim=0)
    assert share.max() < 0.01
    assert share.square().mean().sqrt() < 0.003
    # 12 um are 4 axial periods either way of zero, 8 functions; a tail that falls off quickly belongs to them.
    assert count <= min(planes, 16)


# --- solving ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3, 6, 8), (2, 7, 9)])
@pytest.mark.parametrize("brightness_pl", [SINGLE, PAIRS], ids=["one LED each", "multiplexed"])
def test_solves_what_a_dense_solve_in_double_precision_solves(shape, brightness_pl):
    grid = volume_grid(shape)
    contrast = without_mean(0.01 * torch.randn(len(brightness_pl), *shape[1:]))
    weight = torch.linspace(0.5, 2.0, len(brightness_pl))
    ridge, kappa_variance = 0.05, 0.2
    normal, equations = normal_equations(grid, brightness_pl, contrast, weight)
    found = normal.solve(equations, ridge, kappa_variance)

    a = dense_model(grid, LED_NA, brightness_pl)
    pixels = shape[1] * shape[2]
    weighted = a * weight.double().repeat_interleave(pixels)[:, None]
    diagonal = torch.full((a.shape[1],), ridge, dtype=torch.float64)
    diagonal[a.shape[1] // 2 :] /= kappa_variance
    dense = torch.linalg.solve(a.T @ weighted + torch.diag(diagonal), weighted.T @ contrast.double().flatten())
    dense = dense.reshape(2, *shape)
    for part, expected in zip(found, dense, strict=True):
        assert (part - expected).norm() < 2e-3 * expected.norm()


# --- the linear stage -------------------------------------------------------------------------------------------------


def linear_stage(pad, brightness_pl):
    """A stage whose volume is wider than its images, its field, and images that the field does not explain."""
    grid = VolumeGrid((5, 20 + 2 * pad, 24 + 2 * pad), 0.8, 0.1625, -1.6)
    stage = LinearStage(grid, pad, SHORT_WAVES, LED_NA, brightness_pl, None, CPU, lambda: None)
    field = rough_network(grid=grid)
    rows = torch.arange(len(brightness_pl))
    images = stage.crop(stage.predict_wide(stage.volume(field).detach(), rows))
    images = images * (1.0 + 0.1 * torch.randn(len(rows), 1, 1))
    images = images + 0.05 * torch.linspace(0.3, 1.0, len(rows))[:, None, None] * torch.randn_like(images)
    stage.set_images(rows, images, mean_is_one=False)
    return stage, field


def logarithmic_error(stage, field, gain_p):
    """The objective as it is written down, with the brightness given."""
    dn_kappa = stage.volume(field)
    predicted = stage.crop(pattern_images(stage.model, torch.complex(dn_kappa[0], dn_kappa[1]), stage._brightness_pl))
    residual = predicted * gain_p[:, None, None] - stage.images_pyx
    return residual.square().mean((1, 2)).log().mean() + SMOOTHING * stage.penalty(field, dn_kappa)


@pytest.mark.parametrize("pad", [0, 4])
@pytest.mark.parametrize("brightness_pl", [SINGLE, PAIRS], ids=["one LED each", "multiplexed"])
def test_a_refreshed_stage_touches_the_logarithm_and_lies_above_it(pad, brightness_pl):
    stage, field = linear_stage(pad, brightness_pl)
    gain = stage.refresh(field)
    parameters = list(field.parameters())
    quadratic, plain = stage.loss(field, SMOOTHING), logarithmic_error(stage, field, gain)
    assert float(quadratic.detach()) == pytest.approx(float(plain.detach()), abs=0.01)
    slopes = [torch.cat([g.flatten() for g in torch.autograd.grad(value, parameters)]) for value in (quadratic, plain)]
    # An image's mean is its brightness in one and part of the residual in the other: hence the tolerance.
    assert (slopes[0] - slopes[1]).norm() < 0.02 * slopes[1].norm()
    with torch.no_grad():
        for parameter in parameters:
            parameter += 0.1 * torch.randn_like(parameter)
        elsewhere = stage.predict(field, stage.rows)
        moved = logarithmic_error(stage, field, best_gain(elsewhere, stage.images_pyx))
        assert float(stage.loss(field, SMOOTHING)) > float(moved)


def test_beyond_the_images_a_field_is_free_to_be_what_it_was():
    """Nothing was measured there: the residual of a refreshed stage is zero outside."""
    stage, field = linear_stage(8, SINGLE)
    wide = stage.predict_wide(stage.volume(field), stage.rows)
    stage.refresh(field)
    target = wide.clone()
    gain = best_gain(stage.crop(wide), stage.images_pyx)
    stage.crop(target).copy_(stage.images_pyx / gain[:, None, None])
    squared = (stage.crop(wide) * gain[:, None, None] - stage.images_pyx).square().mean((1, 2))
    wider = 36 * 40 / (20 * 24)
    expected = stage.normal.equations(target - 1.0, wider * gain**2 / (squared * len(squared)))
    assert torch.allclose(stage.equations.b, expected.b, rtol=1e-3, atol=1e-4 * float(expected.b.abs().max()))


def test_brighter_images_only_change_the_gain():
    stage, field = linear_stage(4, SINGLE)
    gain = stage.refresh(field)
    before = stage.loss(field, SMOOTHING).detach()
    factor = torch.linspace(0.5, 2.0, 5)
    stage.set_images(stage.rows, stage.images_pyx * factor[:, None, None], mean_is_one=False)
    assert torch.allclose(stage.refresh(field), gain * factor, rtol=1e-4)
    after = stage.loss(field, SMOOTHING).detach()
    # The logarithm of the squared error is that of the brighter image.
    assert float(after - before) == pytest.approx(float(factor.square().log().mean()), abs=1e-3)


@pytest.mark.parametrize("pad", [0, 4])
def test_halved_images_are_those_of_the_halved_grid(pad):
    """The model on every second pixel predicts the lower half of the frequencies of what it predicts on all."""
    grid = VolumeGrid((5, 64 + 2 * pad, 72 + 2 * pad), 0.8, 0.1625, -1.6)
    x, y, z = (torch.as_tensor(axis) for axis in grid.axes_um)
    blob = torch.exp(-((x - 0.6) ** 2 + (y[:, None] + 0.4) ** 2) / 1.5 - z[:, None, None] ** 2)
    index = (0.01 * blob).to(torch.complex64)
    fine = pattern_images(BornModel(grid, SHORT_WAVES, LED_NA), index, SINGLE)
    coarse = pattern_images(BornModel(halve_grid(grid), SHORT_WAVES, LED_NA), index[:, ::2, ::2], SINGLE)
    contrast = (fine - 1.0).square().mean().sqrt()
    assert (halve_images(fine) - coarse).square().mean().sqrt() < 0.05 * contrast
    assert torch.allclose(halve_images(fine).mean((1, 2)), fine.mean((1, 2)), atol=1e-5)
