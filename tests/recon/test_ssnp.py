"""The split-step non-paraxial model against exact scattering, energy, and finite differences."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from acquisition.simulated.bodies import volume_zyx
from recon.forward.born import BornModel
from recon.forward.ssnp import SsnpModel
from recon.grid import VolumeGrid, choose_grid, plane_distance_um
from tests.mie import mie_intensity, relative_error
from tests.recon.simulate import LONG_WAVES, SHORT_WAVES, bead

SMALL = VolumeGrid((6, 24, 28), 0.31, 0.1625, -0.8)
NA = torch.tensor([[0.0, 0.0], [0.36, 0.48], [-0.5, 0.2], [0.8, -0.3]], dtype=torch.float64)


def random_index(scale=0.02, absorbing=0.0, seed=0):
    rng = np.random.default_rng(seed)
    dn, kappa = rng.uniform(0, 1, (2, *SMALL.shape_zyx))
    return torch.from_numpy((scale * dn + 1j * absorbing * kappa).astype(np.complex64))


def image_of_a_bead(optics, na, radius_um, dn, centre, dz_um, size_um, pixel_um):
    count = 2 * round(size_um / pixel_um / 2)
    planes = round(2.6 * radius_um / dz_um)
    grid = VolumeGrid((planes, count, count), dz_um, pixel_um, centre[2] - 0.5 * (planes - 1) * dz_um)
    fine_optics = replace(optics, pixel_um=pixel_um)
    index = torch.from_numpy(volume_zyx(bead(radius_um, dn, centre), grid.z_um, (count, count), pixel_um))
    image = SsnpModel(grid, fine_optics, torch.tensor([na])).images(index, torch.tensor([0]))[0].numpy()
    return image, mie_intensity(fine_optics, na, radius_um, dn, centre, (count, count), soft_edge=True)


@pytest.mark.parametrize(
    ("optics", "na", "radius_um", "dn", "limit"),
    [
        (LONG_WAVES, (0.12, -0.16), 2.5, 0.01, 0.02),
        (LONG_WAVES, (0.12, -0.16), 2.5, 0.05, 0.03),
        (SHORT_WAVES, (0.36, 0.48), 1.5, 0.01, 0.03),
        (SHORT_WAVES, (0.36, 0.48), 1.5, 0.05, 0.04),
        (SHORT_WAVES, (-0.48, 0.36), 3.0, 0.02, 0.03),
    ],
)
def test_a_strong_bead_looks_as_mie_says(optics, na, radius_um, dn, limit):
    pixel_um = optics.pixel_um / 2
    size_um = 26.0 if optics is SHORT_WAVES else 64.0
    centre = (3.3 * pixel_um, -5.6 * pixel_um, 0.4)
    image, exact = image_of_a_bead(optics, na, radius_um, dn, centre, 0.08, size_um, pixel_um)
    error = relative_error(image, exact)
    print(f"NA {optics.objective_na} radius {radius_um} dn {dn}: {error:.4f}")
    assert error < limit


def test_planes_between_resonances_serve_as_well_as_many_more():
    na, centre, pixel_um = (0.36, 0.48), (0.0, 0.0, 0.0), SHORT_WAVES.pixel_um
    dz_um = plane_distance_um(SHORT_WAVES, resonant=True)
    few, exact = image_of_a_bead(SHORT_WAVES, na, 2.5, 0.03, centre, dz_um, 26.0, pixel_um)
    resonant, _ = image_of_a_bead(SHORT_WAVES, na, 2.5, 0.03, centre, 2.0 * dz_um, 26.0, pixel_um)
    assert relative_error(few, exact) < 0.08
    assert relative_error(resonant, exact) > 3 * relative_error(few, exact)


@pytest.mark.parametrize("optics", [SHORT_WAVES, LONG_WAVES])
def test_the_grid_keeps_its_distance_from_resonances(optics):
    grid = choose_grid((32, 32), optics, (-6.0, 6.0), resonant=True)
    edge = np.sqrt(1 - (optics.objective_na / optics.medium_index) ** 2)
    half_waves = grid.dz_um * 2 * optics.medium_index / optics.wavelength_um * np.array([edge, 1.0])
    assert np.all(np.abs(half_waves - np.round(half_waves)) > 0.3)
    assert grid.z_um[0] <= -6.0 and grid.z_um[-1] >= 6.0


def test_nothing_gives_the_empty_field_and_dark_field_stays_dark():
    nothing = torch.zeros(SMALL.shape_zyx, dtype=torch.complex64)
    images = SsnpModel(SMALL, SHORT_WAVES, NA).images(nothing, torch.arange(4))
    assert torch.allclose(images[:3], torch.ones_like(images[:3]), atol=1e-5)
    assert images[3].abs().max() < 1e-6


def test_a_faint_sample_looks_as_in_the_born_model():
    index = 1e-3 * random_index()
    born, ssnp = (model(SMALL, SHORT_WAVES, NA).images(index, torch.arange(3)) - 1 for model in (BornModel, SsnpModel))
    assert (ssnp - born).norm() < 0.02 * born.norm()


def test_absorption_darkens_and_a_wide_pupil_keeps_the_light():
    wide = replace(SHORT_WAVES, objective_na=1.32)
    model = SsnpModel(SMALL, wide, NA[:3])
    clear, absorbing = random_index(0.02), random_index(0.02, absorbing=0.01)
    leds = torch.arange(3)
    assert torch.allclose(model.images(clear, leds).mean((1, 2)), torch.ones(3), atol=0.02)
    assert bool((model.images(absorbing, leds).mean((1, 2)) < model.images(clear, leds).mean((1, 2)) - 0.05).all())


def test_the_gradient_is_that_of_finite_differences():
    model, leds = SsnpModel(SMALL, SHORT_WAVES, NA), torch.arange(4)
    rng = np.random.default_rng(3)
    weights = torch.from_numpy(rng.standard_normal((4, *SMALL.shape_zyx[1:])).astype(np.float32))
    index = random_index(0.03, absorbing=0.004).requires_grad_()
    direction = random_index(1.0, absorbing=1.0, seed=4)

    def value(at):
        return (model.images(at, leds) * weights).double().sum()

    value(index).backward()
    predicted = (index.grad.conj() * direction).real.double().sum().item()
    step = 2e-3
    with torch.no_grad():
        measured = ((value(index + step * direction) - value(index - step * direction)) / (2 * step)).item()
    assert predicted == pytest.approx(measured, rel=5e-3)


def field_and_slope(grid, optics, na, index_zyx):
    """The same model with field and slope both carried along, in double precision."""
    _, rows, columns = grid.shape_zyx
    fx = np.fft.fftfreq(columns, grid.pixel_um)[None, :] + na[0] / optics.wavelength_um
    fy = np.fft.fftfreq(rows, grid.pixel_um)[:, None] + na[1] / optics.wavelength_um
    n0, wavelength = optics.medium_index, optics.wavelength_um
    squared = (n0 / wavelength) ** 2 - fx**2 - fy**2
    travels = squared > 1e-4 * squared.max()
    kz = 2 * np.pi * np.sqrt(np.where(travels, squared, 1.0))
    u = np.zeros((rows, columns), complex)
    u[0, 0] = rows * columns * np.exp(1j * kz[0, 0] * grid.z_um[0])
    w = 1j * kz * u
    for plane, index in enumerate(index_zyx):
        if plane:
            cosine, sine = travels * np.cos(kz * grid.dz_um), travels * np.sin(kz * grid.dz_um)
            u, w = cosine * u + sine / kz * w, cosine * w - kz * sine * u
        potential = grid.dz_um * (2 * np.pi / wavelength) ** 2 * ((n0 + index) ** 2 - n0**2)
        w = w - travels * np.fft.fft2(potential * np.fft.ifft2(u))
    inside = (optics.objective_na / wavelength - np.hypot(fx, fy)) * grid.pixel_um * np.sqrt(rows * columns)
    pupil = np.clip(inside + 0.5, 0, 1)
    pupil[0, 0] = inside[0, 0] > 0
    return np.abs(np.fft.ifft2(0.5 * (u + w / (1j * kz)) * pupil * np.exp(-1j * kz * grid.z_um[-1]))) ** 2


@pytest.mark.parametrize("planes", [5, 6])
def test_leaving_the_slope_out_changes_nothing(planes):
    grid = replace(SMALL, shape_zyx=(planes, 24, 28))
    index = random_index(0.02, absorbing=0.003)[:planes]
    images = SsnpModel(grid, SHORT_WAVES, NA).images(index, torch.arange(4))
    for image, na in zip(images.numpy(), NA.numpy(), strict=True):
        exact = field_and_slope(grid, SHORT_WAVES, na, index.numpy().astype(complex))
        assert np.linalg.norm(image - exact) < 2e-3 * np.linalg.norm(exact)


@pytest.mark.parametrize("half_waves", [1, 2])
def test_planes_at_a_resonance_still_show_an_empty_field(half_waves):
    dz_um = half_waves * SHORT_WAVES.wavelength_um / (2 * SHORT_WAVES.medium_index)
    grid = VolumeGrid((40, 24, 28), dz_um, 0.1625, -4.0)
    nothing = torch.zeros(grid.shape_zyx, dtype=torch.complex64)
    images = SsnpModel(grid, SHORT_WAVES, NA).images(nothing, torch.arange(3))
    assert torch.allclose(images, torch.ones_like(images), atol=2e-3)
