"""The closed form against a dense solve, an independent simulation, and wrong beliefs about the board."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from acquisition.capture import read_capture
from recon.forward.born import BornModel
from recon.forward.model import pattern_images
from recon.grid import VolumeGrid, choose_grid
from recon.measurement import Measurement
from recon.quality import contrast_error, psnr_db
from recon.tikhonov import solve_tikhonov
from tests.recon.dense import dense_model, without_mean
from tests.recon.simulate import DEPTH_UM, RING_NA, SHORT_WAVES, bead, photograph

TINY = VolumeGrid((3, 6, 8), 0.5, 0.1625, -0.7)
TINY_NA = np.array([[0.1, 0.05], [0.4, -0.3], [-0.5, 0.2], [0.0, 0.55], [-0.2, -0.4]])


@pytest.mark.parametrize(
    "brightness",
    [np.eye(5), [[1, 0, 0, 0, 0], [0, 1, 0.5, 0, 0], [0, 0, 1, 1, 1]]],
    ids=["one LED each", "multiplexed"],
)
@pytest.mark.parametrize(("regularisation", "kappa_variance"), [(0.01, 0.05), (0.1, 1.0)])
def test_equals_a_dense_solve(brightness, regularisation, kappa_variance):
    brightness_pl = torch.as_tensor(np.asarray(brightness), dtype=torch.float32)
    contrast = without_mean(0.01 * torch.randn(len(brightness_pl), *TINY.shape_zyx[1:]))
    found = solve_tikhonov(
        contrast, brightness_pl, torch.as_tensor(TINY_NA), TINY, SHORT_WAVES, regularisation, kappa_variance
    )
    a = dense_model(TINY, torch.as_tensor(TINY_NA), brightness_pl)
    k0 = 2 * np.pi / SHORT_WAVES.wavelength_um
    # One LED sees a point that is the same in all planes as strongly as k0 dz times the number of planes.
    alpha = regularisation * (k0 * TINY.dz_um) ** 2 * TINY.shape_zyx[0]
    variance = torch.ones(a.shape[1], dtype=torch.float64)
    variance[a.shape[1] // 2 :] = kappa_variance
    weights = torch.linalg.solve((a * variance) @ a.T + alpha * torch.eye(len(a)), contrast.double().flatten())
    dense = (variance * (a.T @ weights)).reshape(2, *TINY.shape_zyx)
    assert (found.real - dense[0]).norm() < 1e-3 * dense[0].norm()
    assert (found.imag - dense[1]).norm() < 1e-3 * dense[1].norm()


def solve(shot, led_na=None, held_out=()):
    """Closed form of a simulated capture: dn + i kappa, and its grid."""
    header = shot.header
    measurement = Measurement(header)
    for pattern, counts in enumerate(shot.counts_pyx):
        measurement.add(pattern, counts)
    rows = np.setdiff1d(np.arange(len(shot.counts_pyx)), held_out)
    grid = choose_grid(header.image_shape, header.optics, DEPTH_UM)
    images = measurement.images().intensity_pyx
    index = solve_tikhonov(
        torch.from_numpy(images[rows]) - 1,
        torch.from_numpy(header.patterns_pl[rows]),
        torch.as_tensor(header.led_na_l2 if led_na is None else led_na),
        grid,
        header.optics,
    )
    return index, grid, images


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("centre_um", [(1.3, -2.0, 1.4), (-1.8, 0.6, -1.2)])
def test_a_bead_is_found_where_it_is_with_its_sign(centre_um, sign):
    shot = photograph(bead(0.7, sign * 0.006, centre_um), shape=(64, 72))
    index, grid, _ = solve(shot)
    dn = sign * index.real.numpy()
    # The axial resolution is 3 um: the centre of mass of the upper half of the blob is a good guess at the centre.
    weight = np.clip(dn - 0.5 * dn.max(), 0, None)
    x_um, y_um, z_um = grid.axes_um
    found = [
        (weight.sum(axes) * coordinate).sum() / weight.sum()
        for axes, coordinate in (((0, 1), x_um), ((0, 2), y_um), ((1, 2), z_um))
    ]
    assert found[:2] == pytest.approx(centre_um[:2], abs=0.1)
    assert found[2] == pytest.approx(centre_um[2], abs=0.4)
    assert 0.0015 < dn.max() < 0.009


def test_an_absorbing_bead_absorbs():
    """Phase and absorption are told apart by oblique light; the prior prefers phase."""
    index, grid, _ = solve(photograph(bead(0.7, 0.004j, (1.3, -2.0, 0.0)), shape=(64, 64)))
    at = tuple(int(np.argmin(abs(axis - c))) for axis, c in zip(grid.axes_um[::-1], (0.0, -2.0, 1.3), strict=True))
    assert index.imag[at] > 0.0004
    assert index.imag[at] > 2 * abs(index.real[at])


def test_multiplexed_patterns_are_solved_as_well():
    rng = np.random.default_rng(1)
    patterns = np.zeros((14, len(RING_NA)), np.float32)
    for row in patterns:
        row[rng.choice(len(RING_NA), 2, replace=False)] = [1.0, 0.6]
    index, grid, images = solve(photograph("cells", dn_max=0.012, patterns_pl=patterns))
    model = BornModel(grid, SHORT_WAVES, torch.as_tensor(RING_NA))
    predicted = pattern_images(model, index, torch.from_numpy(patterns)).numpy()
    assert contrast_error(predicted, images) < 0.3


def test_cells_are_found(cells):
    index, grid, _ = solve(cells)
    truth = cells.truth(grid.z_um).real
    clipped = np.clip(index.real.numpy(), 0, None)
    print(f"clipped at 0: {psnr_db(clipped, truth):.2f} dB")
    assert psnr_db(clipped, truth) > psnr_db(np.zeros_like(truth), truth) + 4


@pytest.mark.parametrize("belief", [(-1, 1), (1, -1)], ids=["mirrored x", "mirrored y"])
def test_a_mirrored_board_predicts_unseen_leds_worse(cells, belief):
    held_out = np.array([3, 8, 14])
    errors = []
    for factors in ((1, 1), belief):
        led_na = RING_NA * np.array(factors)
        index, grid, images = solve(cells, led_na, held_out)
        model = BornModel(grid, SHORT_WAVES, torch.as_tensor(led_na))
        errors.append(contrast_error(model.images(index, torch.from_numpy(held_out)).numpy(), images[held_out]))
    print(errors)
    assert errors[1] > 1.5 * errors[0]


def test_a_board_turned_by_180_degrees_is_blind_to_the_sign_of_dn_without_positivity(cells):
    """Turned light gives the volume upside down with dn of the other sign, and predicts as well: dn > 0 decides."""
    index, grid, _ = solve(cells)
    turned, _, _ = solve(cells, -RING_NA)
    assert grid.z_um[0] == -grid.z_um[-1]
    assert (turned.real + index.real.flip(0)).norm() < 0.01 * index.real.norm()
    assert (turned.imag - index.imag.flip(0)).norm() < 0.05 * index.imag.norm()
    truth = cells.truth(grid.z_um).real
    assert psnr_db(index.real.clamp(min=0).numpy(), truth) > psnr_db(turned.real.clamp(min=0).numpy(), truth)


def test_the_orientation_of_the_board_shows_in_unseen_leds_of_the_algae(shared_data):
    """With a depth range that is not symmetric about the focus even the linear solution sees a turned board."""
    capture = read_capture(shared_data / "algae" / "algae_left.h5")
    middle = slice(256 - 96, 256 + 96)
    header = replace(capture.header, image_shape=(192, 192))
    measurement = Measurement(header)
    for pattern, image in zip(capture.pattern_n.tolist(), capture.images_nyx, strict=True):
        measurement.add(pattern, image[middle, middle])
    images = torch.from_numpy(measurement.images().intensity_pyx)
    held_out = torch.tensor([4, 13, 22, 31, 40, 49, 58, 67, 76])
    fitted = torch.tensor([row for row in range(0, 89, 3) if row not in held_out])
    grid = choose_grid((192, 192), header.optics, header.sample_z_um)
    brightness = torch.from_numpy(header.patterns_pl)
    errors = {}
    for name, factors in {"right": (1, 1), "turned": (-1, -1), "mirrored": (-1, 1)}.items():
        led_na = torch.as_tensor(header.led_na_l2 * np.array(factors))
        index = solve_tikhonov(images[fitted] - 1, brightness[fitted], led_na, grid, header.optics)
        predicted = BornModel(grid, header.optics, led_na).images(index, held_out)
        errors[name] = contrast_error(predicted.numpy(), images[held_out].numpy())
    print(errors)
    assert errors["right"] < 0.6
    assert errors["turned"] > 1.2 * errors["right"]
    assert errors["mirrored"] > 1.5 * errors["right"]
