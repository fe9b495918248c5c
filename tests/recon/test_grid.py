"""The volume that is chosen for a capture."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from acquisition.errors import OperatorError
from recon.grid import (
    MAX_PLANES,
    VolumeGrid,
    axial_period_um,
    choose_grid,
    default_depths_um,
    inner_bounds_um,
    lateral_period_um,
    linear_grid,
    pad_pixels,
    plane_distance_um,
)
from tests.recon.simulate import LONG_WAVES, SHORT_WAVES


def test_samples_lie_where_the_file_format_says():
    """Pixel (row, column) lies at x = (column - W // 2) * pixel, y = (row - H // 2) * pixel, also for odd sizes."""
    x_um, y_um, z_um = VolumeGrid((3, 5, 8), 0.5, 0.2, -1.0).axes_um
    assert x_um[4] == 0 and x_um[0] == pytest.approx(-0.8)
    assert y_um[2] == 0 and y_um[-1] == pytest.approx(0.4)
    assert z_um.tolist() == [-1.0, -0.5, 0.0]


@given(st.integers(5, 40), st.integers(4, 50), st.integers(4, 50))
def test_bounds_enclose_the_voxels_evenly(planes, rows, columns):
    grid = VolumeGrid((planes, rows, columns), 0.7, 0.3, -2.0)
    lower, upper = grid.bounds_um
    for axis, samples, step in zip(range(3), grid.axes_um, (0.3, 0.3, 0.7), strict=True):
        centres = lower[axis] + (np.arange(len(samples)) + 0.5) * (upper[axis] - lower[axis]) / len(samples)
        assert np.allclose(centres, samples)
        assert upper[axis] - lower[axis] == pytest.approx(len(samples) * step)


@pytest.mark.parametrize("optics", [SHORT_WAVES, LONG_WAVES])
def test_planes_are_finer_than_the_optics_resolves_and_span_the_depths(optics):
    grid = choose_grid((32, 40), optics, (-20.0, 35.0))
    assert grid.shape_zyx[1:] == (32, 40)
    assert grid.z_um[0] == -20.0 and grid.z_um[-1] == pytest.approx(35.0)
    assert grid.dz_um <= axial_period_um(optics) / 4


def test_periods_are_those_of_the_ewald_sphere():
    assert axial_period_um(LONG_WAVES) == pytest.approx(0.63 / (1.33 - np.sqrt(1.33**2 - 0.25**2)))
    assert lateral_period_um(LONG_WAVES) == pytest.approx(1.26)


@pytest.mark.parametrize("depths", [(3.0, -3.0), (1.0, 1.0), (float("nan"), 1.0), (0.0, float("inf"))])
def test_empty_depths_are_refused(depths):
    with pytest.raises(OperatorError, match="empty") as error:
        choose_grid((32, 32), SHORT_WAVES, depths)
    assert "--z" in error.value.remedy


def test_too_many_planes_are_refused_with_the_range_that_fits():
    with pytest.raises(OperatorError, match=str(MAX_PLANES)) as error:
        choose_grid((32, 32), SHORT_WAVES, (-500.0, 500.0))
    widest = float(error.value.remedy.split("at most ")[1].split()[0])
    assert choose_grid((32, 32), SHORT_WAVES, (0.0, widest - 1)).shape_zyx[0] <= MAX_PLANES


def test_default_depths_are_about_the_focal_plane():
    top, bottom = default_depths_um((512, 512), SHORT_WAVES)
    assert -top == bottom == pytest.approx(3 * axial_period_um(SHORT_WAVES))
    assert default_depths_um((64, 64), LONG_WAVES)[1] == pytest.approx(0.5 * 64 * 0.65)


# --- the linear model's planes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("optics", [SHORT_WAVES, LONG_WAVES])
@pytest.mark.parametrize("depths", [(-6.0, 6.0), (-20.0, 35.0), (-1.0, 1.5)])
def test_the_linear_model_samples_the_same_box(optics, depths):
    fine = choose_grid((32, 40), optics, depths, resonant=True)
    grid = linear_grid(fine, optics)
    assert grid.bounds_um == pytest.approx(fine.bounds_um)
    assert grid.shape_zyx[0] <= fine.shape_zyx[0] and grid.shape_zyx[1:] == fine.shape_zyx[1:]
    assert grid.dz_um <= max(plane_distance_um(optics, resonant=False), fine.dz_um)


def test_the_linear_model_takes_far_fewer_planes_where_waves_need_many():
    many = VolumeGrid((100, 32, 40), 0.1, 0.1625, -5.0)
    assert linear_grid(many, SHORT_WAVES).shape_zyx[0] < 20
    own = choose_grid((32, 40), SHORT_WAVES, (-6.0, 6.0))
    assert linear_grid(own, SHORT_WAVES) == own


# --- beyond the images ------------------------------------------------------------------------------------------------

SIDES = st.integers(2, 600)
DEPTHS = st.tuples(st.floats(-60, -0.5), st.floats(0.5, 60))


@given(st.tuples(SIDES, SIDES), DEPTHS)
@example((12, 31), (-6.0, 6.0))
@example((66, 66), (-60.0, 60.0))
def test_the_margin_holds_the_steepest_light_or_a_quarter_of_the_images(shape, depths):
    pad = pad_pixels(shape, SHORT_WAVES, depths)
    sine = SHORT_WAVES.objective_na / SHORT_WAVES.medium_index
    reach = max(-depths[0], depths[1]) * np.tan(np.arcsin(sine)) / SHORT_WAVES.pixel_um
    wanted = min(reach, min(shape) / 4)
    assert pad % 4 == 0
    assert pad < max(1, min(shape) - 1)  # images can be mirrored no farther, nor can those of half the size
    if min(shape) >= 6:
        assert wanted - 1e-6 <= pad <= 1.25 * wanted + 9
    torch.nn.functional.pad(torch.ones(1, *shape), (pad,) * 4, mode="reflect")


@given(st.integers(2, 64), DEPTHS)
def test_sides_with_a_margin_transform_quickly_if_a_quarter_more_suffices(eighths, depths):
    side = 8 * eighths
    pad = pad_pixels((side, side), SHORT_WAVES, depths)
    assert quick(side + 2 * pad) or not any(quick(side + 2 * more) for more in range(pad, int(1.2 * pad), 4))


def quick(side):
    for factor in (2, 3, 5):
        while side % factor == 0:
            side //= factor
    return side in (1, 7, 11)


@pytest.mark.parametrize("shape", [(101, 103), (94, 250), (17, 64)])
def test_sides_that_never_transform_quickly_get_their_margin_all_the_same(shape):
    assert pad_pixels(shape, SHORT_WAVES, (-2.0, 1.0)) == 8


@given(st.tuples(st.integers(8, 60), st.integers(8, 60)), st.integers(0, 6))
def test_the_inner_box_is_that_of_the_images(shape, quarter_pad):
    pad = 4 * quarter_pad
    plain, wide = (choose_grid(shape, SHORT_WAVES, (-3.0, 4.0), pad=p) for p in (0, pad))
    assert wide.shape_zyx[1:] == (shape[0] + 2 * pad, shape[1] + 2 * pad)
    assert inner_bounds_um(wide, pad) == pytest.approx(plain.bounds_um)
    for axis, inner in zip(wide.axes_um[:2], plain.axes_um[:2], strict=True):
        assert axis[pad : len(axis) - pad] == pytest.approx(inner)
