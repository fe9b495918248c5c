"""Normalisation of counts, and which patterns are usable and held out."""

from __future__ import annotations

import numpy as np
import pytest

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
        Measurement(HEADER, dark_yx=np.zeros((8, 6), np.float32))
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
