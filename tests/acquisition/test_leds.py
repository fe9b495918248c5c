"""From board positions to directions: signs, orders and orientations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from acquisition.capture import read_header
from acquisition.leds import GeometryError, led_na, led_positions_mm, to_sample_axes
from acquisition.plan import make_plan
from acquisition.profile import load_profile
from acquisition.profile_board import BoardGeometry, GridGeometry, ListGeometry, Orientation, Ring, RingGeometry

if TYPE_CHECKING:
    from pathlib import Path

STRAIGHT = Orientation()

points = st.lists(
    st.tuples(st.floats(-60, 60), st.floats(-60, 60), st.floats(5, 200)), min_size=1, max_size=8
).map(np.array)  # fmt: skip
angles = st.floats(-360, 360)


def small_grid(**changes: Any) -> GridGeometry:
    return GridGeometry(**{"kind": "grid", "rows": 2, "columns": 3, "pitch_mm": 4.0, "distance_mm": 80.0, **changes})


# --- positions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "x", "y"),
    [
        ({}, [-4, 0, 4, -4, 0, 4], [-2, -2, -2, 2, 2, 2]),
        ({"first_led": "+x-y"}, [4, 0, -4, 4, 0, -4], [-2, -2, -2, 2, 2, 2]),
        ({"first_led": "-x+y"}, [-4, 0, 4, -4, 0, 4], [2, 2, 2, -2, -2, -2]),
        ({"first_led": "+x+y"}, [4, 0, -4, 4, 0, -4], [2, 2, 2, -2, -2, -2]),
        ({"serpentine": True}, [-4, 0, 4, 4, 0, -4], [-2, -2, -2, 2, 2, 2]),
        ({"centre_row": 0, "centre_column": 0}, [0, 4, 8, 0, 4, 8], [0, 0, 0, 4, 4, 4]),
        ({"centre_row": 0.0, "centre_column": 0.5, "first_led": "+x+y"}, [2, -2, -6, 2, -2, -6], [0, 0, 0, -4, -4, -4]),
    ],
)
def test_grid(changes: dict[str, Any], x: list[float], y: list[float]) -> None:
    assert_allclose(led_positions_mm(small_grid(**changes)), np.stack([x, y, [80.0] * 6], axis=1))


def test_rings() -> None:
    rings = (Ring(count=4, radius_mm=10.0), Ring(count=2, na=0.6, start_deg=90.0), Ring(count=1, radius_mm=0.0))
    position = led_positions_mm(RingGeometry(kind="ring", distance_mm=40.0, rings=rings))
    expected = [[10, 0], [0, 10], [-10, 0], [0, -10], [0, 30], [0, -30], [0, 0]]
    assert_allclose(position[:, :2], expected, atol=1e-12)
    assert_allclose(position[:, 2], 40.0)
    assert_allclose(np.hypot(*led_na(position, STRAIGHT).T)[4:], [0.6, 0.6, 0], atol=1e-12)


def test_list_is_taken_as_it_is() -> None:
    positions = ((1.0, 2.0, 3.0), (-4.0, 5.0, 60.0))
    assert_allclose(led_positions_mm(ListGeometry(kind="list", positions_mm=positions)), positions)


def test_board_that_tells() -> None:
    told = np.array([[0.0, 0.0, 62.0], [30.0, 0.0, 50.0]])
    assert_allclose(led_positions_mm(BoardGeometry(kind="board"), told), told)
    moved = led_positions_mm(BoardGeometry(kind="board", distance_mm=60.0), told)
    assert_allclose(moved, [[0, 0, 60], [30, 0, 48]])  # the relief of a dome stays
    assert_allclose(told[0], [0, 0, 62])  # what was handed over is not changed


def test_board_that_does_not_tell() -> None:
    with pytest.raises(GeometryError, match="did not tell") as error:
        led_positions_mm(BoardGeometry(kind="board"))
    assert "geometry" in error.value.remedy
    with pytest.raises(GeometryError, match="LED 1 lies 0 mm") as error:
        led_positions_mm(BoardGeometry(kind="board"), [[0, 0, 10], [5, 0, 0]])
    assert "distance_mm" in error.value.remedy


# --- directions -----------------------------------------------------------------------------------------------------


def test_light_goes_away_from_the_led() -> None:
    positions = [[30.0, 0.0, 40.0], [0.0, -30.0, 40.0], [0.0, 0.0, 40.0]]
    assert_allclose(led_na(positions, STRAIGHT), [[-0.6, 0], [0, 0.6], [0, 0]])


def test_order_of_mirror_rotation_and_shift() -> None:
    orientation = Orientation(mirror="x", rotation_deg=90.0, shift_mm=(1.0, 2.0))
    # (3, 0) is mirrored to (-3, 0), turned from +x towards +y to (0, -3), shifted to (1, -1)
    assert_allclose(to_sample_axes([3.0, 0.0], orientation), [1.0, -1.0], atol=1e-12)


@given(points, angles)
def test_rotation_turns_directions(position: np.ndarray, angle: float) -> None:
    turned = led_na(position, Orientation(rotation_deg=angle))
    c, s = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    assert_allclose(turned, led_na(position, STRAIGHT) @ [[c, s], [-s, c]], atol=1e-9)


@given(points, angles, st.sampled_from(["none", "x", "y"]))
def test_orientation_keeps_the_angle_to_the_axis(position: np.ndarray, angle: float, mirror: Any) -> None:
    turned = led_na(position, Orientation(mirror=mirror, rotation_deg=angle))
    assert_allclose(np.hypot(*turned.T), np.hypot(*led_na(position, STRAIGHT).T), atol=1e-12)
    assert np.all(np.hypot(*turned.T) < 1)


@given(points)
def test_half_a_turn_is_both_mirrors_and_flips_the_sign(position: np.ndarray) -> None:
    straight = led_na(position, STRAIGHT)
    assert_allclose(led_na(position, Orientation(rotation_deg=180.0)), -straight, atol=1e-12)
    assert_allclose(led_na(position, Orientation(mirror="x")), straight * [-1, 1], atol=1e-12)
    assert_allclose(led_na(position, Orientation(mirror="y")), straight * [1, -1], atol=1e-12)
    assert_allclose(
        led_na(position, Orientation(mirror="x", rotation_deg=180.0)),
        led_na(position, Orientation(mirror="y")),
        atol=1e-12,
    )


@given(points, st.floats(-5, 5), st.floats(-5, 5))
def test_shift_is_that_of_the_positions(position: np.ndarray, x: float, y: float) -> None:
    shifted = led_na(position, Orientation(shift_mm=(x, y)))
    assert_allclose(shifted, led_na(position + np.array([x, y, 0]), STRAIGHT), atol=1e-12)


# --- the shipped boards ---------------------------------------------------------------------------------------------


def test_algae_board_is_that_of_the_measurement(shared_data: Path) -> None:
    header = read_header(shared_data / "algae" / "algae_left.h5")
    profile = load_profile("ht_idt_grid32")
    position = led_positions_mm(profile.led_board.geometry)
    directions = led_na(position, profile.led_board.orientation)
    assert len(position) == 1024
    leds = make_plan(profile.plan, directions, profile.objective.na, 0.0).patterns_pl.argmax(axis=1)
    assert len(leds) == 89
    assert np.array_equal(position[leds], header.led_position_mm_l3)
    assert np.array_equal(directions[leds], header.led_na_l2)
    assert profile.pixel_um == pytest.approx(header.optics.pixel_um, rel=1e-12)
    assert profile.sample.z_um == header.sample_z_um


def test_simulated_board_is_like_that_of_the_cases(shared_data: Path) -> None:
    header = read_header(shared_data / "cases" / "cells.h5")
    profile = load_profile("simulated")
    directions = led_na(led_positions_mm(profile.led_board.geometry), profile.led_board.orientation)
    # The cases round their directions to whole periods of the image (0.0165), the profile does not.
    period = header.optics.wavelength_um / (header.image_shape[1] * header.optics.pixel_um)
    assert_allclose(directions, header.led_na_l2, atol=1.15 * period)
    assert profile.pixel_um == pytest.approx(header.optics.pixel_um)
