from __future__ import annotations

import numpy as np
import pytest

from acquisition.simulated.sensor import Sensor

SENSOR = Sensor(offset_counts=100, gain_e_per_count=2.0, bit_depth=12, full_well_e=20000, read_noise_e=3.0)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def flat(electrons: float) -> np.ndarray:
    return np.full((300, 300), electrons, np.float32)


@pytest.mark.parametrize("electrons", [0.0, 100.0, 5000.0])
def test_mean_is_signal_over_gain_and_variance_is_shot_and_read_noise(
    electrons: float, rng: np.random.Generator
) -> None:
    counts = SENSOR.expose(flat(electrons), rng).astype(float)
    assert counts.mean() == pytest.approx(100 + electrons / 2, abs=0.5)
    rounding = 1 / 12
    assert counts.var() == pytest.approx((electrons + 9) / 4 + rounding, rel=0.03)


def test_saturates_at_the_largest_count_and_at_the_full_well(rng: np.random.Generator) -> None:
    assert (SENSOR.expose(flat(1e6), rng) == 4095).all()
    deep = Sensor(100, 10.0, 16, full_well_e=20000, read_noise_e=3.0)
    assert (deep.expose(flat(1e6), rng) == 2100).all()


def test_no_count_below_zero(rng: np.random.Generator) -> None:
    noisy = Sensor(0, 1.0, 8, 1000, read_noise_e=5)
    counts = noisy.expose(flat(0), rng)
    assert counts.dtype == np.uint16
    assert 0.4 < (counts == 0).mean() < 0.6
