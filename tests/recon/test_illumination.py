"""Where the light of each LED comes from, and which patterns that makes usable."""

from __future__ import annotations

import numpy as np
import pytest

from acquisition.board_pose import BoardPose
from acquisition.capture import Calibration
from recon.illumination import RIM_NA, Illumination, from_pose, from_rims, nominal, stored
from recon.measurement import Measurement
from tests.recon.simulate import RING_NA, SHORT_WAVES, make_header, photograph, rings

BOARD_NA = rings((1, 0.0), (7, 0.3), (16, 0.56))
MOVED = BoardPose((1.2, -1.5), -1.1, 1.0, SHORT_WAVES.objective_na)


@pytest.fixture(scope="module")
def misdirected():
    """Images of a board that is not where the head says, and the directions that its light really has."""
    positions = make_header(SHORT_WAVES, BOARD_NA, (96, 96)).led_position_mm_l3
    true_na = MOVED.led_na(positions, BOARD_NA)
    return photograph("cells", 0.02, led_na_l2=true_na, shape=(96, 96), seed=3).led_na_replaced(BOARD_NA), true_na


def images_of(shot, patterns=None):
    measurement = Measurement(shot.header)
    for pattern in range(len(shot.counts_pyx)) if patterns is None else patterns:
        measurement.add(pattern, shot.counts_pyx[pattern])
    return measurement.images()


# --- which patterns ---------------------------------------------------------------------------------------------------


def test_patterns_are_of_bright_field_or_dark_field_when_all_their_leds_are():
    led_na = rings((1, 0.0), (2, 0.4), (2, 0.7))
    patterns = np.array(
        [[1, 0, 0, 0, 0], [0, 1, 0.5, 0, 0], [0, 0, 0, 1, 0], [1, 0, 0, 0, 0.1], [0, 0, 0, 0, 0], [0, 0, 0, 1, 1]],
        np.float32,
    )
    light = nominal(make_header(SHORT_WAVES, led_na, (6, 8), patterns))
    assert light.bright_field(patterns).tolist() == [0, 1]
    assert light.dark_field(patterns).tolist() == [2, 5]


@pytest.mark.parametrize(
    ("na", "bright", "dark"),
    [(0.649, True, False), (0.651, False, False), (0.65 * (1 + 0.9 * RIM_NA), False, False), (0.66, False, True)],
)
def test_light_at_the_very_edge_of_the_aperture_is_neither_bright_nor_dark_field(na, bright, dark):
    light = Illumination(np.array([[0.6 * na, 0.8 * na]]), SHORT_WAVES, "told", None)
    one = np.ones((1, 1), np.float32)
    assert (len(light.bright_field(one)) == 1, len(light.dark_field(one)) == 1) == (bright, dark)


def test_the_aperture_is_that_of_the_calibration():
    header = make_header(SHORT_WAVES, RING_NA, (6, 8))
    light = stored(header, Calibration(1.05 * RING_NA, np.ones(19), 0.61, 0.2, "rims"))
    assert light.optics.objective_na == 0.61
    assert np.array_equal(light.led_na_l2, 1.05 * RING_NA)
    assert "rims" in light.origin and light.pose is None
    assert light.bright_field(header.patterns_pl).tolist() == list(range(7))
    assert nominal(header).bright_field(header.patterns_pl).tolist() == list(range(19))
    assert np.array_equal(nominal(header).led_na_l2, RING_NA)


# --- the board by its images ------------------------------------------------------------------------------------------


def test_a_moved_board_is_found_in_the_images(misdirected):
    shot, true_na = misdirected
    told = []
    light = from_rims(shot.header, images_of(shot), told.append)
    wrong, left = (np.hypot(*(na - true_na).T).max() for na in (BOARD_NA, light.led_na_l2))
    print(f"directions wrong by {wrong:.4f}, found to {left:.4f}; {told}")
    assert left < 0.3 * wrong
    assert light.optics.objective_na == pytest.approx(0.65, abs=0.01)
    assert len(told) == 1 and f"{light.pose.shift_mm[0]:+.2f}" in told[0]
    assert light.optics.wavelength_um == SHORT_WAVES.wavelength_um


def test_images_that_show_no_rims_leave_the_board_where_it_was_and_say_why():
    shot = photograph("cells", 1e-6, led_na_l2=BOARD_NA)
    told = []
    light = from_rims(shot.header, images_of(shot), told.append)
    assert np.array_equal(light.led_na_l2, BOARD_NA)
    assert light.optics == SHORT_WAVES
    assert "profile has them" in told[0] and "rims" in told[0]


def test_too_few_images_leave_the_board_where_it_was_and_say_why(misdirected):
    told = []
    light = from_rims(misdirected[0].header, images_of(misdirected[0], [0, 3, 6]), told.append)
    assert np.array_equal(light.led_na_l2, BOARD_NA)
    assert "3 images" in told[0]


def test_only_the_patterns_that_were_measured_count(misdirected):
    """Rows of the images are not rows of the patterns while some are missing."""
    shot, true_na = misdirected
    rows = [row for row in range(24) if row not in (2, 9, 17)]
    light = from_rims(shot.header, images_of(shot, rows), lambda text: None)
    assert light.pose.shift_mm == pytest.approx(MOVED.shift_mm, abs=0.4)
    assert np.hypot(*(light.led_na_l2 - true_na).T).max() < 0.012


def test_a_pose_moves_all_leds():
    header = make_header(SHORT_WAVES, RING_NA, (6, 8))
    light = from_pose(header, BoardPose((2.0, 0.0), 0.0, 1.0, 0.63), "guessed")
    assert light.led_na_l2.shape == RING_NA.shape and light.optics.objective_na == 0.63
    assert light.led_na_l2[0] == pytest.approx([-np.sin(np.arctan(2 / 60)), 0.0])
