"""Where the board is, by images of the simulator's own optics; and everything that must not be trusted."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acquisition.aperture import inside_aperture
from acquisition.board_pose import BoardPose
from acquisition.calibrate import PARAMETERS, fit_pose
from acquisition.capture import read_capture, read_truth
from tests.recon.simulate import LONG_WAVES, SHORT_WAVES, photograph, rings

HEIGHT_MM = 35.0
BOARD_NA = rings((1, 0.0), (7, 0.3), (16, 0.56))
MOVED = BoardPose((0.7, -0.9), -1.1, 0.98, SHORT_WAVES.objective_na)


def positions_mm(led_na_l2):
    cosine = np.sqrt(1 - (led_na_l2**2).sum(axis=1, keepdims=True))
    return np.column_stack([-led_na_l2 * HEIGHT_MM / cosine, np.full(len(led_na_l2), HEIGHT_MM)])


def photographed(
    pose, led_na_l2=BOARD_NA, optics=SHORT_WAVES, patterns_pl=None, side=96, dn=0.02, seed=3, depth_um=3.0
):
    """Counts without offset of a board in this pose."""
    true_l2 = pose.led_na(positions_mm(led_na_l2), led_na_l2)
    optics = replace(optics, objective_na=pose.objective_na)
    shot = photograph(
        "cells", dn, optics, true_l2, (side, side), patterns_pl, (-depth_um, depth_um), electrons=10000, seed=seed
    )
    return shot.counts_pyx - np.float32(optics.camera_offset)


def fitted(images_pyx, led_na_l2=BOARD_NA, optics=SHORT_WAVES, patterns_pl=None):
    patterns_pl = np.eye(len(led_na_l2)) if patterns_pl is None else patterns_pl
    return fit_pose(images_pyx, patterns_pl, positions_mm(led_na_l2), led_na_l2, optics)


@pytest.fixture(scope="module")
def moved_images():
    return photographed(MOVED)


# --- the pose itself --------------------------------------------------------------------------------------------------


def test_the_nominal_pose_changes_nothing():
    pose = BoardPose((0.0, 0.0), 0.0, 1.0, 0.65)
    np.testing.assert_allclose(pose.led_na(positions_mm(BOARD_NA), BOARD_NA), BOARD_NA, atol=1e-12)


def test_a_shifted_board_lights_from_the_other_side():
    """An LED above the axis that moves to +x sends its light towards -x."""
    na = BoardPose((3.5, 0.0), 0.0, 1.0, 0.65).led_na(np.array([[0.0, 0.0, 35.0]]), np.zeros((1, 2)))
    np.testing.assert_allclose(na, [[-np.sin(np.arctan(0.1)), 0.0]])


@given(st.floats(-180, 180), st.floats(0.5, 2.0))
def test_rotation_and_distance(angle_deg, scale):
    found = BoardPose((0.0, 0.0), angle_deg, scale, 0.65).led_na(positions_mm(BOARD_NA), BOARD_NA)
    tangent, before = (np.hypot(*na.T) / np.sqrt(1 - (na**2).sum(axis=1)) for na in (found, BOARD_NA))
    np.testing.assert_allclose(tangent * scale, before, atol=1e-9)
    turn = np.exp(1j * np.deg2rad(angle_deg))
    was, now = (na @ np.array([1, 1j]) for na in (BOARD_NA[1:], found[1:]))
    np.testing.assert_allclose(now / np.abs(now), turn * was / np.abs(was), atol=1e-9)


def test_the_rim_is_not_bright_field():
    na_l2 = np.array([[0.3, 0.3], [0.4, 0.4], [0.0, 0.0], [0.5, 0.0]])
    np.testing.assert_array_equal(inside_aperture(na_l2, 0.5), [True, False, True, False])


# --- finding it -------------------------------------------------------------------------------------------------------


def test_finds_a_moved_board(moved_images):
    start = time.process_time()
    found = fitted(moved_images)
    seconds = time.process_time() - start
    print(found.pose, found.uncertainty, found.residual, f"{seconds:.1f} s")
    assert found.trusted, found.reasons
    np.testing.assert_allclose(found.pose.shift_mm, MOVED.shift_mm, atol=0.12)
    assert found.pose.rotation_deg == pytest.approx(MOVED.rotation_deg, abs=0.3)
    assert found.pose.distance_scale == pytest.approx(MOVED.distance_scale, abs=0.015)
    assert found.pose.objective_na == pytest.approx(MOVED.objective_na, abs=0.008)
    assert found.residual < 0.5 and not found.dark_p.any()
    assert all(0 < found.uncertainty[name] < np.inf for name in PARAMETERS)


def test_an_objective_of_another_aperture():
    found = fitted(photographed(BoardPose((0.0, 0.0), 0.0, 1.0, 0.63)))
    assert found.pose.objective_na == pytest.approx(0.63, abs=0.008)


def test_brightness_of_the_images_does_not_matter(moved_images):
    """Divided by the empty field, or in counts: the same pose."""
    counts = fitted(moved_images)
    relative = fitted(moved_images / moved_images.mean(axis=(1, 2), keepdims=True))
    np.testing.assert_allclose(relative.pose.shift_mm, counts.pose.shift_mm, atol=0.01)


def test_dark_field_leds_do_not_mislead():
    """A ring of LEDs outside the pupil, which the nominal board has inside."""
    leds = np.concatenate([BOARD_NA, rings((8, 0.64))])
    pose = replace(MOVED, distance_scale=0.95)
    dark = ~inside_aperture(pose.led_na(positions_mm(leds), leds), pose.objective_na)
    assert dark.sum() >= 4
    found = fitted(photographed(pose, leds), leds)
    assert found.trusted, found.reasons
    np.testing.assert_allclose(found.pose.shift_mm, pose.shift_mm, atol=0.12)
    assert (found.dark_p == dark).mean() > 0.9


def test_only_patterns_of_a_single_led_count(moved_images):
    """Two patterns of many LEDs in front change nothing."""
    many = np.ones((2, len(BOARD_NA)))
    images = np.concatenate([moved_images[:2] + moved_images[3:5], moved_images])
    alone, mixed = fitted(moved_images), fitted(images, patterns_pl=np.concatenate([many, np.eye(len(BOARD_NA))]))
    assert mixed.pose == alone.pose
    assert np.isnan(mixed.score_p[:2]).all() and np.isfinite(mixed.score_p[2:]).all()


def test_the_same_twice(moved_images):
    assert fitted(moved_images).pose == fitted(moved_images).pose


def test_a_single_ring():
    ring = rings((20, 0.56))
    pose = BoardPose((0.6, -0.5), 0.8, 1.02, 0.65)
    found = fitted(photographed(pose, ring), ring)
    print(found.pose, found.uncertainty, found.reasons)
    np.testing.assert_allclose(found.pose.shift_mm, pose.shift_mm, atol=0.15)
    for name, value, true in (
        ("distance_scale", found.pose.distance_scale, 1.02),
        ("objective_na", found.pose.objective_na, 0.65),
    ):
        assert abs(value - true) < 5 * found.uncertainty[name] or any(name in reason for reason in found.reasons)


# --- what is not to be trusted ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_noise_is_not_trusted(seed):
    noise = np.random.default_rng(seed).normal(1000, 30, (len(BOARD_NA), 96, 96)).astype(np.float32)
    found = fitted(noise)
    assert not found.trusted
    assert any("weak" in reason for reason in found.reasons)


def test_too_few_images(moved_images):
    found = fitted(moved_images[:4], patterns_pl=np.eye(len(BOARD_NA))[:4])
    assert not found.trusted and "4 images" in found.reasons[0]
    assert found.pose == BoardPose((0.0, 0.0), 0.0, 1.0, SHORT_WAVES.objective_na)


def test_images_of_other_leds_are_not_trusted(moved_images):
    """The images of each LED under the number of another one."""
    found = fitted(moved_images[np.random.default_rng(0).permutation(len(BOARD_NA))])
    assert not found.trusted, found.pose


def test_leds_near_the_axis_tell_no_rotation():
    near = rings((1, 0.0), (8, 0.01))
    found = fitted(photographed(BoardPose((0.5, 0.0), 0.0, 1.0, 0.65), near), near)
    assert any("rotation_deg cannot be told" in reason for reason in found.reasons)
    assert found.pose.rotation_deg == 0.0 and found.uncertainty["rotation_deg"] == np.inf


def test_long_waves():
    leds = rings((1, 0.0), (4, 0.1), (10, 0.2))
    pose = BoardPose((-0.6, 0.5), 1.0, 1.025, 0.245)
    found = fitted(photographed(pose, leds, LONG_WAVES, side=96, dn=0.01, depth_um=6.0), leds, LONG_WAVES)
    print(found.pose, found.uncertainty, found.reasons)
    assert found.trusted, found.reasons
    np.testing.assert_allclose(found.pose.shift_mm, pose.shift_mm, atol=0.15)
    assert found.pose.rotation_deg == pytest.approx(1.0, abs=0.5)
    assert found.pose.distance_scale == pytest.approx(1.025, abs=0.02)


# --- shared captures --------------------------------------------------------------------------------------------------


def of_capture(path):
    capture = read_capture(path)
    header = capture.header
    images = capture.images_nyx - np.float32(header.optics.camera_offset)
    patterns = header.patterns_pl[capture.pattern_n]
    return header, fit_pose(images, patterns, header.led_position_mm_l3, header.led_na_l2, header.optics)


def test_misaligned_cells(shared_data):
    path = shared_data / "cases" / "cells_misaligned.h5"
    header, found = of_capture(path)
    true_l2 = read_truth(path).led_na_l2
    assert found.trusted, found.reasons
    error_l2 = found.pose.led_na(header.led_position_mm_l3, header.led_na_l2) - true_l2
    # The true directions lie on the frequency grid: a spacing of 0.0165 makes 0.0048 rms that no pose can follow.
    assert np.sqrt((error_l2**2).mean()) < 0.0052
    assert np.abs(error_l2.mean(axis=0)).max() < 0.001


@pytest.mark.parametrize("name", ["cells", "cells_weak", "cells_strong", "spheres"])
def test_an_aligned_board_stays(name, shared_data):
    header, found = of_capture(shared_data / "cases" / f"{name}.h5")
    assert found.trusted, found.reasons
    error_l2 = found.pose.led_na(header.led_position_mm_l3, header.led_na_l2) - header.led_na_l2
    print(found.pose, np.sqrt((error_l2**2).mean()))
    assert np.sqrt((error_l2**2).mean()) < 0.003


def test_algae(shared_data):
    _, found = of_capture(shared_data / "algae" / "algae_left.h5")
    print(found.pose, found.uncertainty)
    assert found.trusted, found.reasons
    assert found.pose.distance_scale == pytest.approx(81.5 / 79, abs=0.01)
    assert found.pose.objective_na == pytest.approx(0.2432, abs=0.002)
    assert np.hypot(*found.pose.shift_mm) == pytest.approx(1.3, abs=0.15)
    assert 7 <= found.dark_p.sum() <= 12
