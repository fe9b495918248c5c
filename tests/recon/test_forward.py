"""The Born model against exact scattering, an analytic form factor, and what any linear imaging must obey."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from acquisition.errors import OperatorError
from acquisition.simulated.bodies import volume_zyx
from recon.forward.born import BornModel
from recon.forward.model import build_model, pattern_images
from recon.grid import VolumeGrid
from tests.mie import mie_intensity, relative_error
from tests.recon.simulate import LONG_WAVES, RING_NA, SHORT_WAVES, bead

SMALL = VolumeGrid((5, 24, 28), 0.4, 0.1625, -0.8)
LEDS = torch.arange(4)
NA = np.array([[0.0, 0.0], [0.36, 0.48], [-0.5, 0.2], [0.1, -0.6]])


def small_model(na=NA, grid=SMALL):
    return BornModel(grid, SHORT_WAVES, torch.as_tensor(na))


def random_index(grid=SMALL, scale=1e-3, seed=0):
    rng = np.random.default_rng(seed)
    parts = scale * rng.standard_normal((2, *grid.shape_zyx))
    return torch.complex(*torch.from_numpy(parts.astype(np.float32)))


def finely_sampled(phantom, optics, size_um, depth_um, dz_um, pixel_um):
    """The model of a fine grid, and the phantom on it."""
    count = 2 * round(size_um / pixel_um / 2)
    planes = round((depth_um[1] - depth_um[0]) / dz_um)
    grid = VolumeGrid((planes, count, count), dz_um, pixel_um, depth_um[0] + 0.5 * dz_um)
    index = torch.from_numpy(volume_zyx(phantom, grid.z_um, (count, count), pixel_um))
    return grid, replace(optics, pixel_um=pixel_um), index


def rayleigh_gans_image(grid, optics, na, radius_um, dn, centre_um):
    """First Born image of a sphere, from the closed Fourier transform of a ball.

    The light scattered from k_in to k_out has the amplitude i V(K) / (2 kz_out), K = k_out - k_in, with
    V(K) = 2 k0^2 n0 dn 4 pi (sin Ka - Ka cos Ka) / K^3 exp(-i K . centre).
    """
    _, rows, columns = grid.shape_zyx
    k = 2 * np.pi * optics.medium_index / optics.wavelength_um
    k_in = 2 * np.pi * np.asarray(na) / optics.wavelength_um
    kx = 2 * np.pi * np.fft.fftfreq(columns, grid.pixel_um)[None, :] + k_in[0] + np.zeros((rows, 1))
    ky = 2 * np.pi * np.fft.fftfreq(rows, grid.pixel_um)[:, None] + k_in[1] + np.zeros((1, columns))
    inside = optics.objective_na / optics.wavelength_um - np.hypot(kx, ky) / (2 * np.pi)
    share = np.clip(inside * grid.pixel_um * np.sqrt(rows * columns) + 0.5, 0, 1)
    passes = share > 0
    kz = np.sqrt(np.where(passes, k**2 - kx**2 - ky**2, 1))
    change = np.stack([kx - k_in[0], ky - k_in[1], kz - math.sqrt(k**2 - k_in @ k_in)], -1)
    size = np.maximum(np.linalg.norm(change, axis=-1), 1e-4)
    ball = 4 * np.pi * (np.sin(size * radius_um) - size * radius_um * np.cos(size * radius_um)) / size**3
    potential = 2 * (2 * np.pi / optics.wavelength_um) ** 2 * optics.medium_index * dn
    # Pixel (0, 0) lies at minus half the field.
    first = np.array([-(columns // 2), -(rows // 2), 0]) * grid.pixel_um
    phase = np.exp(-1j * change @ (np.asarray(centre_um) - first))
    scattered = np.where(passes, 1j * share * potential * ball / (2 * kz) * phase, 0) / grid.pixel_um**2
    return 1 + 2 * np.fft.ifft2(scattered).real


@pytest.mark.parametrize("na", [(0.0, 0.0), (0.36, 0.48), (-0.6, 0.1)])
@pytest.mark.parametrize("centre_um", [(0.0, 0.4, 0.5), (0.7, -1.1, 1.6)])
@pytest.mark.parametrize("dn", [0.004, 0.002j])
def test_a_finely_sampled_ball_has_its_form_factor(na, centre_um, dn):
    ball = bead(1.1, dn, centre_um)
    grid, optics, index = finely_sampled(ball, SHORT_WAVES, 9.0, (-1.5, 3.0), 0.06, 0.06)
    image = BornModel(grid, optics, torch.tensor([na])).images(index, torch.tensor([0]))[0].numpy()
    assert relative_error(image, rayleigh_gans_image(grid, optics, na, 1.1, dn, centre_um)) < 0.01


@pytest.mark.parametrize(
    ("optics", "na", "radius_um", "dn", "z_um", "limit"),
    [
        (LONG_WAVES, (0.12, -0.16), 2.5, 0.001, 0.0, 0.03),
        (LONG_WAVES, (0.12, -0.16), 2.5, 0.001, 8.0, 0.03),
        (SHORT_WAVES, (0.36, 0.48), 1.5, 0.001, 0.0, 0.03),
        (SHORT_WAVES, (-0.48, 0.36), 1.5, 0.001, -2.0, 0.03),
        (SHORT_WAVES, (0.36, 0.48), 1.5, 0.01, 0.0, 0.13),
    ],
)
def test_a_weak_bead_looks_as_mie_says(optics, na, radius_um, dn, z_um, limit):
    """The Born model lacks what is of second order in dn, and polarisation; never a sign or a place."""
    fine_um = optics.pixel_um / 2
    centre = (3.3 * fine_um, -5.6 * fine_um, z_um)
    depth = (z_um - 1.2 * radius_um, z_um + 1.2 * radius_um)
    size_um = 20.0 if optics is SHORT_WAVES else 64.0
    grid, fine_optics, index = finely_sampled(bead(radius_um, dn, centre), optics, size_um, depth, 0.1, fine_um)
    image = BornModel(grid, fine_optics, torch.tensor([na])).images(index, torch.tensor([0]))[0].numpy()
    exact = mie_intensity(fine_optics, na, radius_um, dn, centre, grid.shape_zyx[1:], soft_edge=True)
    error = relative_error(image, exact)
    print(f"NA {optics.objective_na} dn {dn} z {z_um}: {error:.4f}")
    assert error < limit


def test_the_wrong_depth_or_direction_is_far_from_mie():
    na, centre = (0.36, 0.48), (0.0, 0.0, 2.0)
    fine_um = SHORT_WAVES.pixel_um / 2
    grid, optics, index = finely_sampled(bead(1.5, 0.001, centre), SHORT_WAVES, 16.0, (-4, 4), 0.2, fine_um)
    exact = mie_intensity(optics, na, 1.5, 0.001, centre, grid.shape_zyx[1:], soft_edge=True)
    model = BornModel(grid, optics, torch.tensor([na, (-0.36, -0.48)]))
    right, wrong = model.images(index, torch.arange(2)).numpy()
    assert relative_error(right, exact) < 0.03
    assert relative_error(wrong, exact) > 0.5
    assert relative_error(model.images(index.flip(0), torch.tensor([0]))[0].numpy(), exact) > 0.5


def test_images_of_nothing_are_one():
    assert torch.equal(small_model().images(torch.zeros(SMALL.shape_zyx, dtype=torch.complex64), LEDS), ones())


def ones():
    return torch.ones(len(LEDS), *SMALL.shape_zyx[1:])


def test_linear_in_the_index():
    model, one, other = small_model(), random_index(seed=1), random_index(seed=2)
    contrast = [model.images(index, LEDS) - 1 for index in (one, other, 2 * one - 3 * other)]
    assert torch.allclose(contrast[2], 2 * contrast[0] - 3 * contrast[1], atol=2e-6)


def test_the_other_sign_of_dn_gives_the_other_contrast():
    model, index = small_model(), random_index()
    assert torch.allclose(model.images(-index, LEDS) - 1, 1 - model.images(index, LEDS), atol=1e-6)


def test_light_mirrored_through_the_axis_shows_the_sample_mirrored_in_depth():
    """Intensity cannot tell (z, u) from (-z, -u) for a pure phase sample, up to the sign of the contrast."""
    index = random_index()
    phase_only = torch.complex(index.real, torch.zeros_like(index.real))
    straight = small_model().images(phase_only, LEDS) - 1
    flipped = small_model(-NA).images(phase_only.flip(0), LEDS) - 1
    assert torch.allclose(flipped, -straight, atol=1e-6)
    only_depth = small_model().images(phase_only.flip(0), LEDS) - 1
    assert (only_depth + straight).norm() > 0.3 * straight.norm()


@pytest.mark.parametrize(("axis", "mirror"), [(2, [-1, 1]), (1, [1, -1])])
def test_a_mirrored_sample_in_mirrored_light_gives_a_mirrored_image(axis, mirror):
    index = random_index()
    # Flipping and rolling by one keeps pixel 0 where it is.

    def turn(a):
        return a.flip(axis).roll(1, axis)

    straight = small_model().images(index, LEDS)
    mirrored = small_model(NA * np.array(mirror)).images(turn(index), LEDS)
    assert torch.allclose(turn(mirrored), straight, atol=1e-6)


def test_absorption_darkens_and_a_wide_phase_plate_changes_nothing():
    """A wide absorber darkens by 2 k0 kappa thickness to first order; a wide phase plate is not seen."""
    thickness = SMALL.shape_zyx[0] * SMALL.dz_um
    plate = torch.ones(SMALL.shape_zyx, dtype=torch.complex64)
    images = small_model().images(1e-3j * plate, LEDS)
    path = thickness / np.sqrt(1 - (NA**2).sum(1) / SHORT_WAVES.medium_index**2)
    expected = 1 - 2 * 2 * np.pi / SHORT_WAVES.wavelength_um * 1e-3 * path
    assert images.mean((1, 2)).numpy() == pytest.approx(expected, rel=1e-4)
    assert torch.allclose(small_model().images(1e-3 * plate, LEDS), ones(), atol=1e-5)


def test_a_moved_sample_gives_a_moved_image():
    model, index = small_model(), random_index()
    moved = model.images(index.roll((3, -5), (1, 2)), LEDS)
    assert torch.allclose(moved, model.images(index, LEDS).roll((3, -5), (1, 2)), atol=1e-6)


def test_planes_may_be_cut_finer_without_effect():
    """A plane of thickness dz is two of half of it: the model is a quadrature, the contrast does not depend on it."""
    smooth = np.exp(-0.5 * (np.arange(-3, 3.01, 0.1) / 0.8) ** 2)
    index = random_index(VolumeGrid((1, 24, 28), 0.1, 0.1625, 0.0))[0]
    images = []
    for every in (1, 3):
        profile = torch.from_numpy(smooth[::every].astype(np.float32))
        grid = VolumeGrid((len(profile), 24, 28), 0.1 * every, 0.1625, -3.0)
        images.append(small_model(NA, grid).images(profile[:, None, None] * index, LEDS) - 1)
    assert (images[0] - images[1]).norm() < 0.01 * images[0].norm()


def test_gradient_is_the_adjoint():
    model = small_model()
    index = random_index().requires_grad_()
    weights = torch.randn(len(LEDS), *SMALL.shape_zyx[1:])
    forward = ((model.images(index, LEDS) - 1) * weights).sum()
    (gradient,) = torch.autograd.grad(forward, index)
    backward = (gradient.conj() * index).real.sum()
    assert backward.item() == pytest.approx(forward.item(), rel=1e-4)


def test_gradient_of_a_loss_agrees_with_differences():
    model, index, direction = small_model(), random_index(seed=3).requires_grad_(), random_index(seed=4)
    target = model.images(random_index(seed=5), LEDS)

    def loss(at):
        return ((model.images(at, LEDS) - target).double() ** 2).sum()

    (gradient,) = torch.autograd.grad(loss(index), index)
    slope = float((gradient.conj() * direction).real.sum())
    with torch.no_grad():
        difference = float(loss(index + 0.1 * direction) - loss(index - 0.1 * direction)) / 0.2
    assert slope == pytest.approx(difference, rel=1e-3)


def test_image_of_a_pattern_is_the_mean_of_its_leds():
    model, index = small_model(), random_index()
    single = model.images(index, LEDS)
    brightness = torch.tensor([[0.0, 1.0, 0.5, 0.0], [0.0, 0.0, 0.0, 0.3]])
    images = pattern_images(model, index, brightness)
    assert torch.allclose(images[0], (single[1] + 0.5 * single[2]) / 1.5, atol=1e-6)
    assert torch.allclose(images[1], single[3], atol=1e-6)


def test_only_leds_inside_the_aperture_are_usable():
    model = small_model(np.array([[0.0, 0.0], [0.64, 0.0], [0.66, 0.0], [0.5, 0.5]]))
    assert model.usable_leds().tolist() == [True, True, False, False]


def test_unknown_model_lists_the_known_ones():
    with pytest.raises(OperatorError, match="no forward model 'mie'") as error:
        build_model("mie", SMALL, SHORT_WAVES, torch.as_tensor(RING_NA))
    assert "born" in error.value.remedy
