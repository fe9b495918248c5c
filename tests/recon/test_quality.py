"""Figures of merit on cases whose value is known."""

from __future__ import annotations

import numpy as np
import pytest

from recon.quality import contrast_error, correlation, psnr_db


def test_psnr_of_a_known_error():
    truth = np.zeros((4, 10))
    truth[0, 0] = 0.02
    assert psnr_db(truth + 0.002, truth) == pytest.approx(20.0)
    assert psnr_db(truth + 0.0002, truth) == pytest.approx(40.0)


def test_contrast_error_is_0_for_the_measurement_and_1_for_an_empty_field():
    images = 1 + 0.1 * np.random.default_rng(0).standard_normal((3, 8, 8))
    assert contrast_error(images, images) == 0
    assert contrast_error(np.ones_like(images), images) == pytest.approx(1)
    assert contrast_error(2 - images, images) == pytest.approx(2)


def test_correlation_ignores_scale_and_offset():
    truth = np.random.default_rng(0).standard_normal((3, 8, 8))
    assert correlation(3 * truth - 5, truth) == pytest.approx(1)
    assert correlation(-truth, truth) == pytest.approx(-1)
