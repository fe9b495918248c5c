"""Phantoms: the same at every call, where they should be, and averaged over voxels."""

from __future__ import annotations

import numpy as np
import pytest

from acquisition.simulated.bodies import volume_zyx
from acquisition.simulated.phantoms import PHANTOMS, make_phantom

SIZE_UM = (24.0, 24.0)
Z_UM = (-5.0, 5.0)
SLICES = np.arange(-5.4, 5.5, 0.3)
SAMPLES = [name for name in PHANTOMS if name != "none"]


def sample(name, seed=0, dn_max=0.02, pixel_um=0.3):
    count = round(SIZE_UM[0] / pixel_um)
    return volume_zyx(make_phantom(name, seed, dn_max, SIZE_UM, Z_UM), SLICES, (count, count), pixel_um)


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("seed", [0, 7])
def test_index_stays_within_its_limits_and_the_box(name, seed):
    volume = sample(name, seed)
    assert volume.real.min() >= 0
    assert 0.015 < volume.real.max() <= 0.02 * (1 + 1e-6)
    rim = 4
    inner = volume[1:-1, rim:-rim, rim:-rim].copy()
    volume[1:-1, rim:-rim, rim:-rim] = 0
    assert not volume.any(), "the object reaches the rim of the field of view or leaves its depth"
    assert (np.abs(inner) > 0).mean() > 0.005


def test_only_the_absorbing_phantom_absorbs():
    assert not sample("cells").imag.any()
    assert not sample("beads").imag.any()
    absorbing = sample("absorbing").imag
    assert absorbing.min() == 0
    assert absorbing.max() > 0.002


@pytest.mark.parametrize("name", SAMPLES)
def test_seed_decides_everything(name):
    assert np.array_equal(sample(name, 3), sample(name, 3))
    assert not np.array_equal(sample(name, 3), sample(name, 4))


def test_none_is_an_empty_field():
    assert not sample("none").any()


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"cells, beads, absorbing"):
        make_phantom("spheroid")


@pytest.mark.parametrize("pixel_um", [0.2, 0.45])
@pytest.mark.parametrize("number", range(5))
def test_bead_holds_the_volume_of_its_sphere_on_any_grid(number, pixel_um):
    """Averaging over voxels keeps the integral of dn, however coarse the grid."""
    phantom = make_phantom("beads", 1, 0.03, SIZE_UM, Z_UM)
    bead = phantom.bodies[number]
    alone = type(phantom)("one bead", (bead,))
    z_step = 0.25
    count = int(SIZE_UM[0] / pixel_um)
    total = volume_zyx(alone, np.arange(-6, 6, z_step), (count, count), pixel_um).sum().real * z_step * pixel_um**2
    exact = bead.index.real * 4 / 3 * np.pi * bead.semi_axes_um[0] ** 3
    assert total == pytest.approx(exact, rel=0.01)


def test_voxels_hold_the_mean_of_the_index_function():
    phantom = make_phantom("cells", 2, 0.02, SIZE_UM, Z_UM)
    pixel_um, fine = 0.4, 6
    volume = volume_zyx(phantom, np.array([-0.2, 0.2]), (40, 40), pixel_um)[1]
    offsets = ((np.arange(fine) + 0.5) / fine - 0.5) * pixel_um
    points = (((np.arange(40) - 20) * pixel_um)[:, None] + offsets).ravel()
    dense = phantom.index(points, points[:, None], 0.2 + offsets[:, None, None])
    mean = dense.reshape(fine, 40, fine, 40, fine).mean(axis=(0, 2, 4))
    error = np.abs(volume - mean)
    assert error.mean() < 1e-4
    assert error.max() < 2e-3


def test_index_is_continuous_in_cells():
    phantom = make_phantom("cells", 2, 0.02, SIZE_UM, Z_UM)
    x = np.arange(-10, 10, 0.002)
    for y in (-4.0, 0.0, 3.0):
        assert np.abs(np.diff(phantom.index(x, y, 0.0))).max() < 0.002


def test_point_and_row_axes_are_not_confused():
    """Bodies lie at x along columns and y along rows."""
    phantom = make_phantom("beads", 5, 0.02, SIZE_UM, Z_UM)
    bead = phantom.bodies[0]
    volume = volume_zyx(type(phantom)("one bead", (bead,)), SLICES, (80, 80), 0.3).real
    z, y, x = (np.tensordot(volume, weight, 3) / volume.sum() for weight in np.meshgrid(
        SLICES, (np.arange(80) - 40) * 0.3, (np.arange(80) - 40) * 0.3, indexing="ij"))
    assert np.allclose([x, y, z], bead.centre_um, atol=0.02)
