"""What all forward models must obey: exact scattering, symmetries, derivatives, patterns, and little memory."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch

from acquisition.simulated.bodies import volume_zyx
from recon.forward import multi_slice
from recon.forward.model import build_model, kind_of_model, pattern_images
from recon.grid import VolumeGrid
from tests.mie import mie_intensity, relative_error
from tests.recon.simulate import LONG_WAVES, SHORT_WAVES, bead

SMALL = VolumeGrid((6, 24, 28), 0.31, 0.1625, -0.8)
NA = torch.tensor([[0.0, 0.0], [0.36, 0.4], [-0.5, 0.2]], dtype=torch.float64)
LEDS = torch.arange(len(NA))
MODELS = ("born", "beam", "ssnp")
MULTI_SLICE = ("beam", "ssnp")


def small_model(name, na=NA, optics=SHORT_WAVES, grid=SMALL):
    return build_model(name, grid, optics, na)


def random_index(scale=0.02, absorbing=0.003, seed=0, grid=SMALL):
    dn, kappa = np.random.default_rng(seed).uniform(0, 1, (2, *grid.shape_zyx))
    return torch.from_numpy((scale * dn + 1j * absorbing * kappa).astype(np.complex64))


def grid_around(radius_um, centre_um, size_um, dz_um, pixel_um):
    count, planes = 2 * round(size_um / pixel_um / 2), round(2.6 * radius_um / dz_um)
    return VolumeGrid((planes, count, count), dz_um, pixel_um, centre_um[2] - 0.5 * (planes - 1) * dz_um)


def bead_in(name, grid, optics, na, radius_um, dn, centre_um):
    """Image by a model, on a grid finer than the camera's."""
    rows_columns = grid.shape_zyx[1:]
    index = torch.from_numpy(volume_zyx(bead(radius_um, dn, centre_um), grid.z_um, rows_columns, grid.pixel_um))
    fine = replace(optics, pixel_um=grid.pixel_um)
    return build_model(name, grid, fine, torch.tensor([na])).images(index, torch.tensor([0]))[0].numpy(), fine


@pytest.mark.parametrize(
    ("optics", "radius_um", "dn", "limits"),
    [
        # Errors of I - 1 that are to be had with born, beam, ssnp.
        (LONG_WAVES, 2.5, 0.001, (0.017, 0.003, 0.002)),
        (LONG_WAVES, 2.5, 0.01, (0.18, 0.002, 0.003)),
        (LONG_WAVES, 2.5, 0.05, (1.01, 0.003, 0.014)),
        (LONG_WAVES, 5.0, 0.02, (0.82, 0.002, 0.006)),
        (SHORT_WAVES, 1.5, 0.01, (0.11, 0.008, 0.009)),
        (SHORT_WAVES, 1.5, 0.05, (0.65, 0.01, 0.02)),
        (SHORT_WAVES, 3.0, 0.02, (0.53, 0.008, 0.01)),
    ],
)
def test_a_bead_looks_as_mie_says(optics, radius_um, dn, limits):
    long = optics is LONG_WAVES
    na = (0.12, -0.16) if long else (0.36, 0.48)
    dz_um, size_um, pixel_um = (0.1, 32.0, 0.22) if long else (0.08, 16.0, 0.1)
    centre = (3.3 * pixel_um, -5.6 * pixel_um, 0.4)
    grid = grid_around(radius_um, centre, size_um, dz_um, pixel_um)
    exact = None
    for name, limit in zip(MODELS, limits, strict=True):
        image, fine = bead_in(name, grid, optics, na, radius_um, dn, centre)
        if exact is None:
            exact = mie_intensity(fine, na, radius_um, dn, centre, image.shape, soft_edge=True)
        error = relative_error(image, exact)
        print(f"NA {optics.objective_na} radius {radius_um} dn {dn} {name}: {error:.4f}")
        assert error < 1.5 * limit


@pytest.mark.parametrize("name", MULTI_SLICE)
def test_a_small_bead_shines_in_dark_field_as_mie_says(name):
    na, radius_um, dn, centre = (0.5, 0.6), 0.6, 0.02, (0.2, -0.3, 0.2)
    grid = grid_around(radius_um, centre, 14.0, 0.08, 0.09)
    image, fine = bead_in(name, grid, SHORT_WAVES, na, radius_um, dn, centre)
    exact = mie_intensity(fine, na, radius_um, dn, centre, image.shape, soft_edge=True)
    error = np.linalg.norm(image - exact) / np.linalg.norm(exact)
    print(f"{name}: {error:.4f}, brightest {exact.max():.2e}")
    assert error < 0.06


@pytest.mark.parametrize("name", MODELS)
def test_a_soft_edge_of_the_pupil_makes_up_for_a_small_crop(name, monkeypatch):
    """The truth is a field four times as wide, of which the crop is cut."""
    na, radius_um, dn, centre = (0.36, 0.48), 1.0, 0.002, (0.0, 0.0, 0.4)
    grid = grid_around(radius_um, centre, 16.0, 0.1, 0.1)
    count = grid.shape_zyx[1]
    soft, fine = bead_in(name, grid, SHORT_WAVES, na, radius_um, dn, centre)
    wide = mie_intensity(fine, na, radius_um, dn, centre, (4 * count, 4 * count))
    crop = slice(2 * count - count // 2, 2 * count + count // 2)
    monkeypatch.setattr("recon.forward.waves.bin_width", lambda grid: 1e-9)
    hard, _ = bead_in(name, grid, SHORT_WAVES, na, radius_um, dn, centre)
    errors = [relative_error(image, wide[crop, crop]) for image in (soft, hard)]
    print(f"{name}: soft {errors[0]:.4f}, hard {errors[1]:.4f}")
    assert errors[0] < 0.6 * errors[1]


@pytest.mark.parametrize("name", MODELS)
def test_nothing_gives_one(name):
    images = small_model(name).images(torch.zeros(SMALL.shape_zyx, dtype=torch.complex64), LEDS)
    assert images.dtype == torch.float32
    assert torch.allclose(images, torch.ones(len(NA), *SMALL.shape_zyx[1:]), atol=2e-6)


@pytest.mark.parametrize("name", MULTI_SLICE)
def test_nothing_is_dark_in_dark_field(name):
    model = small_model(name, torch.tensor([[0.8, -0.3], [0.66, 0.0]]))
    assert model.usable_leds().all()
    assert model.images(torch.zeros(SMALL.shape_zyx, dtype=torch.complex64), torch.arange(2)).max() < 1e-6
    assert model.images(random_index(), torch.arange(2)).amin() >= 0


@pytest.mark.parametrize("name", MODELS)
def test_a_moved_sample_gives_a_moved_image(name):
    model, index = small_model(name), random_index()
    moved = model.images(index.roll((3, -5), (1, 2)), LEDS)
    assert torch.allclose(moved, model.images(index, LEDS).roll((3, -5), (1, 2)), atol=2e-5)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("axis", "mirror"), [(2, [-1.0, 1.0]), (1, [1.0, -1.0])])
def test_a_mirrored_sample_in_mirrored_light_gives_a_mirrored_image(name, axis, mirror):
    # An odd number of pixels: the highest frequency of an even one has no mirror image.
    grid = VolumeGrid((6, 25, 27), 0.31, 0.1625, -0.8)
    index = random_index(grid=grid)

    def turn(a):
        # Flipping and rolling by one keeps pixel 0 where it is.
        return a.flip(axis).roll(1, axis)

    straight = small_model(name, grid=grid).images(index, LEDS)
    mirrored = small_model(name, NA * torch.tensor(mirror), grid=grid).images(turn(index), LEDS)
    assert torch.allclose(turn(mirrored), straight, atol=2e-5)
    assert (small_model(name, grid=grid).images(turn(index), LEDS) - straight).abs().max() > 1e-2


def slopes(model, leds, step=2e-3):
    """Derivative of a weighted sum of images along a direction: by the gradient, and by differences."""
    weights = torch.from_numpy(np.random.default_rng(3).standard_normal((len(leds), *SMALL.shape_zyx[1:])))
    index, direction = random_index(0.03, 0.004).requires_grad_(), random_index(1.0, 1.0, seed=4)

    def value(at):
        return (model.images(at, leds).double() * weights).sum()

    value(index).backward()
    with torch.no_grad():
        difference = (value(index + step * direction) - value(index - step * direction)) / (2 * step)
    return (index.grad.conj() * direction).real.double().sum().item(), difference.item(), index.grad


@pytest.mark.parametrize("name", MODELS)
def test_the_gradient_is_that_of_finite_differences(name):
    predicted, measured, _ = slopes(small_model(name), LEDS)
    assert predicted == pytest.approx(measured, rel=3e-3)


@pytest.mark.parametrize("name", MULTI_SLICE)
def test_little_memory_and_many_leds_at_once_change_no_gradient(name, monkeypatch):
    _, _, expected = slopes(small_model(name), LEDS)
    model = small_model(name)
    model._most_at_once = 2
    _, _, batched = slopes(model, LEDS)
    assert torch.allclose(batched, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
    monkeypatch.setattr(multi_slice, "CPU_FIELD_BYTES", 0)
    assert model.memory_plan(3, gradient=True) == (2, 4)
    _, _, again = slopes(model, LEDS)
    assert torch.allclose(again, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize("name", MULTI_SLICE)
@pytest.mark.parametrize("failing", ["_propagate", "_propagate_back"])
def test_a_full_memory_is_met_by_smaller_batches(name, failing, monkeypatch, caplog):
    _, _, expected = slopes(small_model(name), LEDS)
    true, calls = getattr(multi_slice, failing), []

    def full_once(*args):
        calls.append(args)
        # On the second batch of the first attempt: what the first one did must not count twice.
        if len(calls) == 2:
            raise torch.OutOfMemoryError("full")
        return true(*args)

    monkeypatch.setattr(multi_slice, failing, full_once)
    model = small_model(name)
    model._most_at_once = 2
    with caplog.at_level(logging.WARNING):
        _, _, gradient = slopes(model, LEDS)
    assert [record.getMessage() for record in caplog.records] == [
        "The GPU's memory is full: going on with 1 LEDs at a time."
    ]
    assert torch.allclose(gradient, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def test_a_memory_too_small_for_one_led_is_told(monkeypatch):
    def full(*args):
        raise torch.OutOfMemoryError("full")

    monkeypatch.setattr(multi_slice, "_propagate", full)
    with pytest.raises(torch.OutOfMemoryError):
        small_model("ssnp").images(random_index(), LEDS)


@pytest.mark.parametrize("name", MODELS)
def test_images_change_smoothly_with_aperture_and_direction(name):
    """So that geometry can be fitted by differences: a hard edge would change by whole bins, or not at all."""
    phantom = bead(0.7, 0.01, (0.1, -0.2, 0.0))
    index = torch.from_numpy(volume_zyx(phantom, SMALL.z_um, SMALL.shape_zyx[1:], SMALL.pixel_um))

    def image(na_x, objective_na):
        optics = replace(SHORT_WAVES, objective_na=objective_na)
        return small_model(name, torch.tensor([[na_x, 0.1]]), optics).images(index, torch.tensor([0])).double()

    for change in (lambda step: image(0.3 + step, 0.65), lambda step: image(0.3, 0.65 + step)):
        steps = [(change(step) - change(-step)) / (2 * step) for step in (1e-3, 2e-3)]
        assert steps[0].norm() > 1e-2
        assert (steps[1] - steps[0]).norm() < 0.2 * steps[0].norm()


@pytest.mark.parametrize(("name", "limit"), [("born", 0.15), ("beam", 0.02), ("ssnp", 0.02)])
def test_a_pattern_is_the_sum_of_its_leds_alone(name, limit):
    radius_um, dn, centre = 1.2, 0.008, (0.3, -0.2, 0.3)
    grid = grid_around(radius_um, centre, 12.0, 0.08, 0.1)
    optics, shape = replace(SHORT_WAVES, pixel_um=grid.pixel_um), grid.shape_zyx[1:]
    brightness = torch.tensor([[1.0, 0.5, 0.0], [0.0, 0.3, 1.2]])
    single = np.stack([mie_intensity(optics, na, radius_um, dn, centre, shape, soft_edge=True) for na in NA.numpy()])
    expected = np.tensordot(brightness.numpy(), single, 1) / brightness.sum(1).numpy()[:, None, None]
    index = torch.from_numpy(volume_zyx(bead(radius_um, dn, centre), grid.z_um, shape, grid.pixel_um))
    images = pattern_images(build_model(name, grid, optics, NA), index, brightness).numpy()
    errors = [relative_error(image, exact) for image, exact in zip(images, expected, strict=True)]
    print(name, *(f"{error:.4f}" for error in errors))
    assert max(errors) < limit


def test_planes_of_ssnp_alone_must_keep_between_resonances():
    assert {name: kind_of_model(name).resonant for name in MODELS} == {"born": False, "beam": False, "ssnp": True}
