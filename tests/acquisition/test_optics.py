"""The simulated optics against exact solutions and conservation laws."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from acquisition.capture import Optics
from acquisition.simulated.bodies import Body, Phantom, volume_zyx
from acquisition.simulated.optics import AngledImager
from acquisition.simulated.phantoms import make_phantom
from tests.mie import mie_intensity, relative_error

HIGH_NA = Optics(wavelength_um=0.515, objective_na=0.65, magnification=40, camera_pixel_um=6.5, pixel_um=0.1625,
                 medium_index=1.33)
LOW_NA = Optics(wavelength_um=0.63, objective_na=0.25, magnification=10, camera_pixel_um=6.5, pixel_um=0.65,
                medium_index=1.33)


def bead(radius_um, index, centre_um=(0.0, 0.0, 0.0)):
    return Phantom("bead", (Body(np.array(centre_um), np.eye(3), np.full(3, radius_um), index),))


@pytest.mark.parametrize(
    ("optics", "na", "radius_um", "dn", "z_um", "limit"),
    [
        (LOW_NA, (0.12, -0.16), 2.5, 0.001, 0.0, 0.01),
        (LOW_NA, (0.12, -0.16), 5.0, 0.02, 3.0, 0.01),
        (HIGH_NA, (0.36, 0.48), 1.5, 0.01, 0.0, 0.015),
        (HIGH_NA, (0.36, 0.48), 1.5, 0.05, 0.0, 0.025),
        (HIGH_NA, (-0.6, 0.0), 3.0, 0.02, -1.5, 0.015),
        (HIGH_NA, (0.0, 0.0), 3.0, 0.02, 2.0, 0.015),
    ],
)
def test_beads_look_as_mie_says(optics, na, radius_um, dn, z_um, limit):
    centre = (optics.pixel_um * 3.3, -optics.pixel_um * 5.6, z_um)
    shape = (160, 192)
    depth = (min(-6.0, z_um - radius_um - 0.5), max(6.0, z_um + radius_um + 0.5))
    imager = AngledImager.of_phantom(bead(radius_um, dn, centre), optics, shape, depth)
    oversampling = 1 if optics is HIGH_NA else 2
    exact = mie_intensity(optics, na, radius_um, dn, centre, shape, oversampling)
    error = relative_error(imager.intensity(na), exact)
    print(f"radius {radius_um} dn {dn} na {na}: {error:.4f}")
    assert error < limit


def test_the_wrong_side_of_the_focus_is_far_from_mie():
    """The sign of z is in the images of oblique light."""
    na, shape = (0.36, 0.48), (160, 160)
    above, below = (0.0, 0.0, -2.0), (0.0, 0.0, 2.0)
    image = AngledImager.of_phantom(bead(1.5, 0.02, above), HIGH_NA, shape, (-6, 6)).intensity(na)
    assert relative_error(image, mie_intensity(HIGH_NA, na, 1.5, 0.02, above, shape)) < 0.02
    assert relative_error(image, mie_intensity(HIGH_NA, na, 1.5, 0.02, below, shape)) > 0.5


@pytest.mark.parametrize("optics", [LOW_NA, HIGH_NA])
@pytest.mark.parametrize("part", [0.0, 0.5, 0.95])
def test_empty_field_is_one(optics, part):
    imager = AngledImager.of_phantom(Phantom("nothing", ()), optics, (64, 48), (-3, 3))
    na = part * optics.objective_na * np.array([0.6, -0.8])
    assert imager.intensity(na).shape == (64, 48)
    assert np.allclose(imager.intensity(na), 1, atol=1e-5)


def test_empty_field_is_dark_beyond_the_aperture_and_cells_shine_there():
    dark = (0.8, 0.1)
    assert AngledImager.of_phantom(Phantom("nothing", ()), HIGH_NA, (64, 64), (-3, 3)).intensity(dark).max() < 1e-8
    cells = make_phantom("cells", 0, 0.02, (20.8, 20.8), (-4, 4))
    assert AngledImager.of_phantom(cells, HIGH_NA, (128, 128), (-4, 4)).intensity(dark).max() > 1e-4


def exit_flux(phantom, na):
    imager = AngledImager.of_phantom(phantom, HIGH_NA, (128, 128), (-5, 5))
    spectrum, kz = imager.exit_spectrum(na)
    empty, _ = AngledImager.of_phantom(Phantom("nothing", ()), HIGH_NA, (128, 128), (-5, 5)).exit_spectrum(na)
    return float((kz * np.abs(spectrum) ** 2).sum() / (kz * np.abs(empty) ** 2).sum())


@pytest.mark.parametrize("na", [(0.0, 0.0), (0.36, 0.48)])
def test_energy_is_kept_without_absorption_and_lost_with_it(na):
    cells, absorbing = (make_phantom(name, 3, 0.02, (20.8, 20.8), (-4, 4)) for name in ("cells", "absorbing"))
    assert exit_flux(cells, na) == pytest.approx(1, abs=2e-5)
    assert exit_flux(absorbing, na) < 1 - 5e-4  # some granules in a small part of the field


def test_absorption_is_that_of_the_path_through_it():
    """A wide flat absorber darkens by exp(-2 k0 kappa thickness)."""
    kappa, slices, step = 0.004, 20, 0.1
    volume = np.full((slices, 32, 32), 1j * kappa, np.complex64)
    z_um = (np.arange(slices) - slices / 2) * step
    imager = AngledImager(volume, z_um, HIGH_NA)
    expected = np.exp(-2 * 2 * np.pi / HIGH_NA.wavelength_um * kappa * slices * step)
    assert imager.intensity((0, 0)) == pytest.approx(expected, rel=2e-3)


def test_a_shifted_object_gives_a_shifted_image():
    cells = AngledImager.of_phantom(make_phantom("cells", 1, 0.02, (16, 16), (-4, 4)), HIGH_NA, (96, 96), (-4, 4))
    volume = np.zeros((20, 96, 96), np.complex64)
    volume[4:12, 30:50, 40:52] = 0.01
    volume[8:15, 40:60, 30:50] = 0.015
    z_um = np.arange(20) * 0.1 - 1
    straight = AngledImager(volume, z_um, HIGH_NA).intensity((0.3, 0.4))
    moved = AngledImager(np.roll(volume, (7, -11), (1, 2)), z_um, HIGH_NA).intensity((0.3, 0.4))
    assert np.allclose(moved, np.roll(straight, (7, -11), (0, 1)), atol=2e-5)
    assert cells.intensity((0.3, 0.4)).std() > 0.01


@pytest.mark.parametrize(("axis", "mirrored_na"), [(2, (-0.3, 0.4)), (1, (0.3, -0.4))])
def test_a_mirrored_object_in_mirrored_light_gives_a_mirrored_image(axis, mirrored_na):
    volume = np.zeros((20, 95, 95), np.complex64)
    volume[4:12, 30:50, 40:52] = 0.01
    volume[8:15, 40:60, 30:50] = 0.015
    z_um = np.arange(20) * 0.1 - 1
    straight = AngledImager(volume, z_um, HIGH_NA).intensity((0.3, 0.4))
    mirrored = AngledImager(np.flip(volume, axis), z_um, HIGH_NA).intensity(mirrored_na)
    assert np.allclose(np.flip(mirrored, axis - 1), straight, atol=2e-5)


def test_finer_slices_change_nothing():
    cells = make_phantom("cells", 0, 0.02, (20.8, 20.8), (-4, 4))
    images = []
    for step in (0.1, 0.04):
        z_um = np.arange(-4, 4, step)
        images.append(AngledImager(volume_zyx(cells, z_um, (128, 128), 0.1625), z_um, HIGH_NA).intensity((0.5, 0.2)))
    assert relative_error(*images) < 0.01


def test_slices_that_would_diverge_are_refused():
    with pytest.raises(ValueError, match="too thick"):
        AngledImager(np.zeros((4, 8, 8), np.complex64), np.arange(4) * 0.2, HIGH_NA)


def test_image_is_computed_once_also_when_many_ask_at_once():
    imager = AngledImager.of_phantom(make_phantom("beads", 0, 0.02, (16, 16), (-3, 3)), HIGH_NA, (96, 96), (-3, 3))
    seen = []
    threads = [threading.Thread(target=lambda: seen.append(imager.intensity((0.2, 0.1)))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(image is seen[0] for image in seen)
    assert not seen[0].flags.writeable


def test_light_that_cannot_exist_is_refused():
    imager = AngledImager.of_phantom(Phantom("nothing", ()), HIGH_NA, (16, 16), (-1, 1))
    with pytest.raises(ValueError, match="does not travel"):
        imager.intensity((1.4, 0))
