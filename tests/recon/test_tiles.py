"""Tiles of a field of view: how they lie, how they blend, in which light each stands, and their one file."""

from __future__ import annotations

from dataclasses import replace

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acquisition.board_pose import BoardPose
from acquisition.capture import read_capture
from acquisition.errors import OperatorError
from recon import load_field
from recon.field_file import ARCHITECTURE, write_field
from recon.grid import VolumeGrid
from recon.result import Field
from recon.tiles import TiledField, Tiling, central_window, lay_axis, led_na_from
from tests.recon.fields import HISTORY, rough_network
from tests.recon.simulate import RING_NA, SHORT_WAVES

PIXEL_UM = SHORT_WAVES.pixel_um
HEIGHT_MM = 60.0


def tiled(image_shape=(44, 57), largest=32, overlap=10, pad=4, missing=()):
    """A field of tiles that have nothing in common but their planes."""
    tiling = Tiling(*(lay_axis(side, largest, overlap) for side in image_shape))
    rows, columns = tiling.tile_shape
    grid = VolumeGrid((7, rows + 2 * pad, columns + 2 * pad), 0.5, PIXEL_UM, -1.5)
    tiles = tuple(
        None if number in missing else Field(rough_network(number, grid=grid), grid, SHORT_WAVES, HISTORY, pad)
        for number in range(len(tiling))
    )
    return TiledField(tiles, tiling, SHORT_WAVES, HISTORY, HEIGHT_MM)


@pytest.fixture(scope="module")
def field():
    return tiled()


# --- how they lie -----------------------------------------------------------------------------------------------------

lengths = st.integers(1, 3000)
sides = st.integers(16, 900)
overlaps = st.integers(1, 600)


@given(lengths, sides, overlaps)
def test_tiles_cover_the_images_and_are_no_larger_than_allowed(length, largest, overlap):
    axis = lay_axis(length, largest, overlap)
    assert axis.size <= max(1, min(largest, length))
    assert axis.starts[0] == 0 and axis.starts[-1] + axis.size == length
    common = np.array(axis.starts[:-1]) + axis.size - np.array(axis.starts[1:])
    assert (common >= min(overlap, largest // 3) - 1).all()


@given(lengths, sides, overlaps, st.integers(0, 2**32 - 1))
def test_weights_add_to_one_and_stay_in_their_tiles(length, largest, overlap, seed):
    axis = lay_axis(length, largest, overlap)
    position = np.random.default_rng(seed).uniform(-0.5, length - 0.5, 500)
    weights = axis.weights(position)
    assert weights.sum(axis=0) == pytest.approx(np.ones(500), abs=1e-12)
    assert weights.min() >= 0
    for start, weight in zip(axis.starts, weights, strict=True):
        outside = (position < start - 0.5) | (position > start + axis.size - 0.5)
        assert (weight[outside] == 0).all()


def test_one_tile_where_the_images_are_small():
    assert lay_axis(100, 128, 30).starts == (0,)
    assert lay_axis(100, 128, 30).weights(np.array([-0.5, 50.0, 99.5])).tolist() == [[1.0, 1.0, 1.0]]


def test_two_tiles_by_hand():
    axis = lay_axis(104, 64, 20)
    assert (axis.size, axis.starts) == (64, (0, 40))
    # In common: pixels 40 to 63, with their middle at 51.5; one gives way to the next over half of 20 pixels.
    weights = axis.weights(np.array([46.5, 49.0, 51.5, 54.0, 56.5]))
    assert weights[0] == pytest.approx([1.0, 0.84375, 0.5, 0.15625, 0.0])


@given(st.integers(1, 200), st.integers(1, 200))
def test_the_middle_of_the_images_keeps_its_origin(length, largest):
    part = central_window((length, length), largest)[0]
    assert 0 <= part.start < part.stop <= length
    assert part.start + (part.stop - part.start) // 2 == length // 2


def test_a_pixel_has_one_place_in_all_its_tiles(field):
    """Row and column of a window, in the tile's own coordinates and in those of the whole."""
    tiling = field.tiling
    for number in range(len(tiling)):
        window, centre_um = tiling.window(number), tiling.centre_um(number, PIXEL_UM)
        for axis, part in ((1, window[0]), (0, window[1])):
            count = tiling.tile_shape[1 - axis]
            in_tile = (np.arange(count) - count // 2) * PIXEL_UM
            in_whole = (np.arange(part.start, part.stop) - tiling.image_shape[1 - axis] // 2) * PIXEL_UM
            assert in_tile + centre_um[axis] == pytest.approx(in_whole)


# --- the light --------------------------------------------------------------------------------------------------------


def test_an_led_straight_below_a_tile_lights_it_straight():
    at_mm = np.array([3.0, -4.0])
    na = -at_mm / np.sqrt(at_mm @ at_mm + HEIGHT_MM**2)
    assert led_na_from(1e3 * at_mm, [na], HEIGHT_MM) == pytest.approx(np.zeros((1, 2)), abs=1e-12)
    # From farther right, the LED stands farther left, and its light travels more to the right.
    assert led_na_from([1e3 * 5.0, -4e3], [na], HEIGHT_MM)[0, 0] > 0


def test_at_the_origin_directions_stay():
    assert led_na_from([0.0, 0.0], RING_NA, HEIGHT_MM) == pytest.approx(RING_NA)


def test_moving_the_sample_is_moving_the_board_the_other_way():
    """Against the formula that a displaced board is described by."""
    heights = HEIGHT_MM + np.linspace(-10, 10, len(RING_NA))
    position_mm = np.column_stack([np.zeros((len(RING_NA), 2)), heights])
    pose = BoardPose((-0.7, 1.1), 0.0, 1.0, 0.65)
    assert led_na_from([700.0, -1100.0], RING_NA, heights) == pytest.approx(pose.led_na(position_mm, RING_NA))


# --- the field --------------------------------------------------------------------------------------------------------


def own_part(field, number):
    """A box of the whole in which one tile alone counts, (2, 3)."""
    row, column = field.tiling.place(number)
    corners = []
    for axis, place in ((field.tiling.columns, column), (field.tiling.rows, row)):
        pixels = np.arange(axis.length)
        own = pixels[axis.weights(pixels.astype(float))[place] == 1.0]
        corners.append((np.array([own[0], own[-1]]) - axis.length // 2) * PIXEL_UM)
    return np.stack([*corners, field.bounds[:, 2]], axis=1)


def test_within_its_own_part_a_tile_stands_alone(field):
    rng = np.random.default_rng(0)
    for number, tile in enumerate(field.tiles):
        points = rng.uniform(*own_part(field, number), (20, 3))
        alone = tile.refractive_index(points - [*field.tiling.centre_um(number, PIXEL_UM), 0.0])
        assert field.refractive_index(points) == pytest.approx(alone, abs=1e-6)
        assert np.ptp(alone.real) > 1e-4


def test_across_borders_value_and_slope_are_continuous(field):
    """A step would not fall with the distance of the samples, a kink as that distance, what is smooth as its square."""
    lower, upper = field.bounds
    spread = np.linspace(0.13, 0.87, 3)[:, None] * (upper - lower) + lower
    for axis in (0, 1):
        largest = []
        for step_um in (0.02, 0.01):
            axes = list(spread.T)
            axes[axis] = np.arange(lower[axis] + 0.1, upper[axis] - 0.1, step_um)
            dn = field.on_axes(axes).real.astype(np.float64)
            largest.append(np.abs(np.diff(dn, 2, axis=2 - axis)).max())
        assert largest[1] < 0.35 * largest[0]


def test_points_axes_planes_and_volume_agree(field):
    planes, rows, columns = field.shape_zyx
    assert (planes, rows, columns) == (7, 44, 57)
    volume = field.volume((planes, rows, columns))
    x, y, z = field.grid.axes_um
    points = np.stack(np.meshgrid(z, y, x, indexing="ij")[::-1], axis=-1)
    assert field.refractive_index(points) == pytest.approx(volume, abs=2e-6)
    lower, upper = field.bounds
    across = field.slice([lower[0], lower[1], z[2]], [upper[0] - lower[0], 0, 0], [0, upper[1] - lower[1], 0], (44, 57))
    assert across == pytest.approx(volume[2], abs=2e-6)


def test_outside_is_the_medium_and_the_corners_are_inside(field):
    lower, upper = field.bounds
    beyond = np.array([[upper[0] + 0.01, 0, 0], [0, lower[1] - 0.01, 0], [0, 0, upper[2] + 0.01]])
    assert (field.refractive_index(beyond) == np.complex64(1.33)).all()
    corners = np.stack([lower, upper, [lower[0], upper[1], lower[2]]])
    assert (field.refractive_index(corners).real > 1.33).all()


def test_where_there_is_no_tile_yet_there_is_the_medium():
    field = tiled(missing=(0,))
    points = np.random.default_rng(0).uniform(*own_part(tiled(), 0), (20, 3))
    assert (field.refractive_index(points) == np.complex64(1.33)).all()
    na = RING_NA[3]
    assert (field.intensity(na)[:12, :12] == 1.0).all()
    assert field.parameter_bytes == sum(tile.parameter_bytes for tile in field.tiles[1:])


def test_an_image_is_that_of_each_tile_in_its_own_light(field):
    na = RING_NA[3]
    image = field.intensity(na)
    assert image.shape == (44, 57)
    for number, tile in enumerate(field.tiles):
        seen = led_na_from(field.tiling.centre_um(number, PIXEL_UM), [na], HEIGHT_MM)[0]
        box = own_part(field, number)
        (left, top), (right, bottom) = np.round(box[:, :2] / PIXEL_UM).astype(int) + np.array([57 // 2, 44 // 2])
        rows, columns = field.tiling.window(number)
        alone = tile.intensity(seen)[
            top - rows.start : bottom - rows.start, left - columns.start : right - columns.start
        ]
        assert image[top:bottom, left:right] == pytest.approx(alone, abs=1e-5)


def test_light_that_no_tile_can_use_is_refused(field):
    with pytest.raises(OperatorError, match="cannot predict light"):
        field.intensity((0.9, 0.0))


# --- the file ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", [(), (0, 4)])
def test_what_is_written_is_read(tmp_path, missing):
    field = tiled(missing=missing)
    path = tmp_path / "a.field.h5"
    assert write_field(path, field) == path.stat().st_size
    read = load_field(path)
    assert read.tiling == field.tiling
    assert read.led_height_mm == HEIGHT_MM
    assert read.optics == field.optics
    assert read.history.held_out == HISTORY.held_out and read.history.seconds == HISTORY.seconds
    assert [tile is None for tile in read.tiles] == [tile is None for tile in field.tiles]
    assert read.bounds == pytest.approx(field.bounds)
    shape = (4, 20, 25)
    assert np.abs(read.volume(shape) - field.volume(shape)).max() < 2e-4
    assert read.intensity((0.3, 0.1)) == pytest.approx(field.intensity((0.3, 0.1)), abs=0.02)


def test_programs_that_know_no_tiles_refuse_the_file_by_its_kind(field, tmp_path):
    """They look at the schema's version first, then at the name of the architecture, and say it."""
    path = tmp_path / "a.field.h5"
    write_field(path, field)
    with h5py.File(path, "r") as file:
        assert (file.attrs["schema"], file.attrs["schema_version"]) == ("fieldscope-field", 1)
        assert file["architecture"].attrs["name"] == "tiles-1" != ARCHITECTURE
        assert file["bounds_um"][()] == pytest.approx(field.bounds)
        assert sorted(file["tiles"]) == ["0", "1", "2", "3", "4", "5"]
        assert file["tiles/2/architecture"].attrs["name"] == ARCHITECTURE
        assert file["fit"].attrs["forward_model"] == "born"


@pytest.mark.parametrize("name", ["tiles", "architecture/rows", "tiles/1/weights", "fit", "optics"])
def test_a_file_that_lacks_something_is_told_to_be_damaged(field, tmp_path, name):
    path = tmp_path / "a.field.h5"
    write_field(path, field)
    with h5py.File(path, "r+") as file:
        del file[name]
    with pytest.raises(OperatorError, match="is damaged or not a field"):
        load_field(path)


# --- reading a part of a capture --------------------------------------------------------------------------------------


def test_a_window_of_a_capture_is_a_capture_of_a_smaller_camera(cells, tmp_path):
    path = cells.write(tmp_path / "a.h5")
    whole = read_capture(path)
    window = slice(5, 41), slice(20, 64)
    part = read_capture(path, window, [11, 3, 7])
    assert part.header.image_shape == (36, 44)
    assert part.pattern_n.tolist() == [3, 7, 11]
    assert (part.images_nyx == whole.images_nyx[[3, 7, 11]][:, 5:41, 20:64]).all()
    assert replace(part.header, image_shape=whole.header.image_shape).optics == whole.header.optics
    assert read_capture(path, window, []).images_nyx.shape == (0, 36, 44)
