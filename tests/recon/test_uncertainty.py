"""Uncertainty: its parts against known numbers, and its size against the true errors of a fit."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from acquisition.capture import read_capture
from recon.grid import VolumeGrid
from recon.measurement import Measurement
from recon.messages import FitSettings
from recon.start import reconstruct
from recon.uncertainty import FLOOR, LEVEL_STEP, MISFIT, MISSING_LIGHT, misfit, noise_variance, uncertainty_of
from tests.recon.simulate import SHORT_WAVES

GRID = VolumeGrid((11, 40, 48), 0.7, 0.1625, -3.0)
ROUNDING = 0.5 * LEVEL_STEP + 1e-3


def band_limited(seed, count=3, size=128, deviation=0.05):
    """Images about 1 whose frequencies all lie where light reaches."""
    spectrum = np.fft.fft2(np.random.default_rng(seed).standard_normal((count, size, size)))
    f = np.fft.fftfreq(size, SHORT_WAVES.pixel_um)
    spectrum *= np.hypot(f[:, None], f) < 0.9 * 2 * SHORT_WAVES.objective_na / SHORT_WAVES.wavelength_um
    spectrum[:, 0, 0] = 0
    images = np.fft.ifft2(spectrum).real
    return torch.from_numpy(1 + deviation * images / images.std()).float()


def white(seed, images, deviation):
    return deviation * torch.from_numpy(np.random.default_rng(seed).standard_normal(images.shape)).float()


@pytest.mark.parametrize("deviation", [0.003, 0.03])
def test_camera_noise_is_told_from_light(deviation):
    images = band_limited(0)
    found = noise_variance(images + white(1, images, deviation), SHORT_WAVES.pixel_um, SHORT_WAVES)
    assert found == pytest.approx(deviation**2, rel=0.1)


def test_a_step_at_the_images_edges_is_no_noise():
    ramp = torch.linspace(0.5, 1.5, 128).expand(3, 128, 128)
    found = noise_variance(ramp + white(1, ramp, 0.003), SHORT_WAVES.pixel_um, SHORT_WAVES)
    assert found == pytest.approx(0.003**2, rel=0.1)


def test_where_light_fills_all_frequencies_no_noise_is_claimed():
    images = torch.randn(2, 32, 32)
    assert noise_variance(images, 4 * SHORT_WAVES.pixel_um, SHORT_WAVES) == 0.0


def test_misfit_is_the_error_beyond_noise():
    images = band_limited(0)
    predicted = 1 + 0.8 * (images - 1)
    measured = images + white(1, images, 0.02)
    contrast = math.sqrt(0.05**2 + 0.02**2)
    assert misfit(predicted, measured, SHORT_WAVES.pixel_um, SHORT_WAVES) == pytest.approx(0.01 / contrast, rel=0.1)
    assert misfit(images, measured, SHORT_WAVES.pixel_um, SHORT_WAVES) < 0.06


def test_a_constant_sample_is_as_sure_everywhere():
    images = band_limited(0)
    found = uncertainty_of(torch.full(GRID.shape_zyx, 0.01), GRID, SHORT_WAVES, 1 + 0.6 * (images - 1), images)
    expected = math.sqrt((MISSING_LIGHT + MISFIT * 0.4) * (1 + FLOOR**2)) * 0.01
    x, y, z = (torch.as_tensor(axis) for axis in GRID.axes_um)
    np.testing.assert_allclose(found.on_axes(x, y, z), expected, rtol=ROUNDING)
    assert found.typical == pytest.approx(expected, rel=1e-3)


def bead(centre_um=(0.5, -0.4, 0.2)):
    z, y, x = np.meshgrid(*GRID.axes_um[::-1], indexing="ij")
    inside = (x - centre_um[0]) ** 2 + (y - centre_um[1]) ** 2 + ((z - centre_um[2]) / 2) ** 2 < 1
    return torch.from_numpy(0.02 * inside).float()


def test_doubt_is_where_the_sample_is():
    images = band_limited(0)
    dn = bead()
    found = uncertainty_of(dn, GRID, SHORT_WAVES, images, images)
    background, in_middle, at_top = found.at_points(
        torch.tensor([[-3.0, 2.5, 2.5], [0.5, -0.4, 0.2], [0.5, -0.4, 2.5]])
    )
    assert background == pytest.approx(math.sqrt(MISSING_LIGHT) * FLOOR * 0.02, rel=ROUNDING)
    assert in_middle == pytest.approx(math.sqrt(MISSING_LIGHT) * 0.02, rel=0.1)
    assert background < at_top < in_middle


def test_it_scales_with_the_sample_and_knows_its_sign_from_no_other():
    images = band_limited(0)
    x, y, z = (torch.as_tensor(axis) for axis in GRID.axes_um)
    one, ten, negative = (
        uncertainty_of(factor * bead(), GRID, SHORT_WAVES, images, images).on_axes(x, y, z) for factor in (1, 10, -1)
    )
    np.testing.assert_allclose(ten, 10 * one, rtol=2 * ROUNDING)
    np.testing.assert_array_equal(negative, one)


def test_it_is_continuous_and_ends_as_at_its_faces():
    images = band_limited(0)
    found = uncertainty_of(bead(), GRID, SHORT_WAVES, images, images)
    line = torch.zeros(4001, 3, dtype=torch.float64)
    line[:, 0] = torch.linspace(-5, 5, 4001)
    values = found.at_points(line)
    assert (values[1:] / values[:-1]).log().abs().max() < 0.1
    lower, upper = GRID.bounds_um
    assert torch.equal(values[line[:, 0] > upper[0]], values[-1].expand(int((line[:, 0] > upper[0]).sum())))
    x, y, z = (torch.tensor([a, b], dtype=torch.float64) for a, b in ((-1.0, 0.3), (0.2, 0.9), (-2.0, 1.5)))
    np.testing.assert_allclose(found.on_axes(x, y, z)[1, 0, 1], found.at_points(torch.tensor([0.3, 0.2, 1.5])))
    assert found.levels_zyx.shape == (11, 20, 24)
    assert np.allclose(found.bounds_um, (lower, upper))


def test_true_errors_of_a_fit_are_as_large_as_told(cells, cells_capture):
    """Cells of their own seed, size and light; none of them served to find the formula's numbers."""
    field = reconstruct(str(cells_capture), FitSettings(model="born", max_seconds=30.0, device="cpu"), lambda _: None)
    capture = read_capture(cells_capture)
    measurement = Measurement(capture.header)
    for pattern, counts in zip(capture.pattern_n.tolist(), capture.images_nyx, strict=True):
        measurement.add(pattern, counts)
    held_out = list(field.history.held_out)
    measured = torch.from_numpy(measurement.images().intensity_pyx[held_out])
    predicted = torch.from_numpy(np.stack([field.intensity(na) for na in capture.header.led_na_l2[held_out]]))
    predicted = predicted / predicted.mean((1, 2), keepdim=True)
    x, y, z = field.grid.axes_um
    dn = field.on_grid().real
    found = uncertainty_of(dn, field.grid, field.optics, predicted, measured)
    # The field may be wider than the images.
    rows, columns = (
        slice((n - k) // 2, (n - k) // 2 + k) for n, k in zip(dn.shape[1:], measured.shape[1:], strict=True)
    )
    truth = cells.truth(z).real
    sigma = found.on_axes(*(torch.as_tensor(axis) for axis in (x[columns], y[rows], z))).numpy()
    error = np.abs(dn[:, rows, columns].numpy() - truth)
    sample = truth > 0
    within = [float((error < factor * sigma)[sample].mean()) for factor in (1, 2)]
    rms = np.sqrt((error**2)[sample].mean()), np.sqrt((sigma**2)[sample].mean())
    rank = np.corrcoef(error.ravel().argsort().argsort(), sigma.ravel().argsort().argsort())[0, 1]
    print(f"within one and two sigma {within}, rms error and sigma {rms}, rank correlation {rank:.2f}")
    assert 0.4 < within[0] < 0.97
    assert within[1] > 0.85
    assert 0.4 < rms[0] / rms[1] < 1.6
    assert rank > 0.4
