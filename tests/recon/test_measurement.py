"""Normalisation of counts, and which patterns are usable and held out."""

from __future__ import annotations

import numpy as np
import pytest

from acquisition.capture import DarkFrame
from acquisition.errors import OperatorError
from recon.measurement import Measurement, choose_held_out
from tests.recon.simulate import RING_NA, SHORT_WAVES, make_header

HEADER = make_header(SHORT_WAVES, RING_NA, (6, 8))
PICTURE = 1 + 0.2 * np.random.default_rng(0).standard_normal((6, 8))
PICTURE /= PICTURE.mean()


def counts(light, dark=100.0):
    return np.rint(light * PICTURE + dark).astype(np.uint16)


def test_counts_become_intensity_whatever_the_brightness():
    measurement = Measurement(HEADER)
    measurement.add(3, counts(20000))
    measurement.add(7, counts(9000))
    images = measurement.images()
    assert images.pattern_p.tolist() == [3, 7]
    assert images.intensity_pyx.dtype == np.float32
    assert images.intensity_pyx == pytest.approx(np.stack([PICTURE, PICTURE]), abs=1e-3)


def test_dark_frames_replace_the_offset_and_are_averaged():
    measurement = Measurement(HEADER)
    pattern_of_darkness = np.arange(48).reshape(6, 8) * 10
    for change in (-4, 4):
        measurement.add_dark((pattern_of_darkness + 50 + change).astype(np.uint16))
    measurement.add(0, counts(20000, pattern_of_darkness + 50))
    assert measurement.images().intensity_pyx[0] == pytest.approx(PICTURE, abs=1e-3)


def test_each_exposure_has_its_dark_frame():
    """A sensor that gathers counts without light: 5 a millisecond in one corner."""
    warm = np.zeros((6, 8))
    warm[:2, :2] = 5.0
    stored = [DarkFrame((100 + warm * ms).astype(np.float32), ms) for ms in (10.0, 100.0)]
    live = Measurement(HEADER)
    for dark in stored:
        for change in (-2, 2):
            live.add_dark((dark.image_yx + change).astype(np.uint16), dark.exposure_ms)
    for measurement in (Measurement(HEADER, stored), live):
        measurement.add(0, counts(20000, 100 + warm * 10), 10.0)
        measurement.add(1, counts(20000, 100 + warm * 100), 100.0)
        measurement.add(2, counts(20000, 100 + warm * 100), 120.0)  # the nearest one is taken
        assert measurement.images().intensity_pyx == pytest.approx(np.stack(3 * [PICTURE]), abs=1e-3)


def test_background_takes_away_what_the_illumination_does():
    shading = np.linspace(0.5, 1.5, 8) * np.ones((6, 1))
    background = np.broadcast_to((20000 * shading + 100).astype(np.float32), (len(RING_NA), 6, 8))
    measurement = Measurement(HEADER, background_pyx=background)
    measurement.add(2, counts(20000 * shading))
    assert measurement.images().intensity_pyx[0] == pytest.approx(PICTURE, abs=1e-3)


def test_repeated_frames_are_averaged():
    measurement = Measurement(HEADER)
    measurement.add(1, counts(10000))
    measurement.add(1, np.full((6, 8), 5000, np.uint16))
    assert len(measurement) == 1
    images = measurement.images()
    assert images.frames == 2
    assert images.intensity_pyx[0] == pytest.approx((PICTURE + 1) / 2, abs=1e-3)


def test_a_frame_without_light_is_left_out_and_noted():
    measurement = Measurement(HEADER)
    measurement.add(5, np.full((6, 8), 90, np.uint16))
    assert len(measurement) == 0
    assert measurement.skipped == [5]


@pytest.mark.parametrize(("pattern", "shape"), [(19, (6, 8)), (-2, (6, 8)), (0, (8, 6))])
def test_a_frame_of_another_capture_is_refused(pattern, shape):
    with pytest.raises(OperatorError, match="does not belong"):
        Measurement(HEADER).add(pattern, np.ones(shape, np.uint16))


def test_dark_and_background_of_another_size_are_refused():
    with pytest.raises(OperatorError, match="dark frame has shape"):
        Measurement(HEADER, darks=[DarkFrame(np.zeros((8, 6), np.float32))])
    with pytest.raises(OperatorError, match="background has shape"):
        Measurement(HEADER, background_pyx=np.zeros((3, 6, 8), np.float32))


def test_every_ninth_pattern_is_held_out_unless_chosen():
    rows = np.arange(30)
    assert choose_held_out(rows, (), 30).tolist() == [4, 13, 22]
    assert choose_held_out(rows, (1, 29), 30).tolist() == [1, 29]
    # A wanted row that lights outside the aperture cannot be judged.
    assert choose_held_out(rows[:20], (1, 29), 30).tolist() == [1]


def test_impossible_choices_are_refused():
    with pytest.raises(OperatorError, match="30, -1 cannot be held out: the capture has 30"):
        choose_held_out(np.arange(30), (3, 30, -1), 30)
    with pytest.raises(OperatorError, match="2 is the least"):
        choose_held_out(np.arange(3), (0, 1), 30)
    with pytest.raises(OperatorError, match="0 usable patterns"):
        choose_held_out(np.arange(0), (), 30)


def flat_field(level, stray=0.0):
    """Counts of an empty field, uneven by a factor of three, above a dark level of 100."""
    return (level * np.linspace(0.5, 1.5, 8) * np.ones((6, 1)) + stray + 100).astype(np.float32)


def test_several_leds_at_once_are_divided_by_their_own_empty_field():
    pairs_pl = np.eye(19, dtype=np.float32)[:9] + np.eye(19, dtype=np.float32)[9:18]
    header = make_header(SHORT_WAVES, RING_NA, (6, 8), pairs_pl)
    background = np.stack([flat_field(1000 * (pattern + 1)) for pattern in range(9)])
    measurement = Measurement(header, background_pyx=background)
    for pattern in (0, 8):  # exposed otherwise: their levels differ by nine
        measurement.add(pattern, np.rint((background[pattern] - 100) * PICTURE + 100).astype(np.uint16))
    assert measurement.images().intensity_pyx == pytest.approx(np.stack([PICTURE, PICTURE]), abs=2e-3)


def test_stray_light_is_subtracted_in_dark_field():
    na_l2 = RING_NA.copy()
    na_l2[3] *= 0.9 / np.hypot(*na_l2[3])
    header = make_header(SHORT_WAVES, na_l2, (6, 8))
    background = np.stack([flat_field(0 if row == 3 else 20000, stray=300 if row == 3 else 0) for row in range(19)])
    measurement = Measurement(header, background_pyx=background)
    measurement.add(3, counts(1000, 100 + 300.0))
    images = measurement.images()
    assert images.intensity_pyx[0] == pytest.approx(PICTURE, abs=2e-3)
    assert images.level_p == pytest.approx([1000], abs=1)


def test_an_led_that_shines_in_although_it_should_not_loses_no_light():
    """The board is not where the profile has it: the empty field is as bright as the image, and no stray light."""
    na_l2 = RING_NA.copy()
    na_l2[3] *= 0.66 / np.hypot(*na_l2[3])
    header = make_header(SHORT_WAVES, na_l2, (6, 8))
    measurement = Measurement(header, background_pyx=np.full((19, 6, 8), 20100, np.float32))
    measurement.add(3, counts(20000))
    assert measurement.images().intensity_pyx[0] == pytest.approx(PICTURE, abs=2e-3)


def test_a_few_saturated_pixels_are_told_and_many_leave_the_frame_out():
    measurement = Measurement(make_header(SHORT_WAVES, RING_NA, (20, 20)))
    image = np.full((20, 20), 3000, np.uint16)
    image[0, 0] = 65535
    measurement.add(1, image)
    image[0] = 65535
    measurement.add(2, image)
    assert measurement.images().pattern_p.tolist() == [1]
    assert measurement.saturated == {1: 1 / 400, 2: 20 / 400}
    assert measurement.overexposed == [2]
    assert measurement.skipped == []
