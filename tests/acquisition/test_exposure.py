from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acquisition.errors import OperatorError
from acquisition.exposure import auto_exposure, balanced_exposures, grouped
from acquisition.instrument import Turns
from acquisition.plan import ExposurePlan, make_plan
from acquisition.profile import Profile, parse_profile
from tests.acquisition.conftest import SMALL

if TYPE_CHECKING:
    from acquisition.instrument import Instrument

PROFILE = parse_profile(SMALL, "small.toml")
LIMITS, FULL = PROFILE.camera.exposure_ms, 2**PROFILE.camera.bit_depth - 1 - PROFILE.camera.offset_counts


@dataclass
class Bench:
    """Camera and board that count light exactly: counts per ms of each LED, full at `full_counts` above the offset."""

    rate_l: np.ndarray
    full_counts: float = FULL
    hot: float = 0.0
    profile: Profile = PROFILE
    turns: Turns = field(default_factory=Turns)
    exposure_ms: float = 1.0
    lit_l: Any = None
    frames: list[tuple[float, float]] = field(default_factory=list)

    @property
    def camera(self) -> Any:
        return self

    leds = camera

    @property
    def led_na_l2(self) -> np.ndarray:
        return np.stack([np.linspace(0, 0.3, len(self.rate_l)), np.zeros(len(self.rate_l))], axis=1)

    def set_exposure_ms(self, exposure_ms: float) -> None:
        assert LIMITS.min <= exposure_ms <= LIMITS.max
        self.exposure_ms = exposure_ms

    def show(self, lit_l: np.ndarray) -> None:
        self.lit_l = lit_l

    def off(self) -> None:
        self.lit_l = None

    def snap(self) -> np.ndarray:
        light = float(self.rate_l @ self.lit_l) * self.exposure_ms
        image = np.full((40, 50), light)
        image[:, 25:] *= 0.5
        image[0, 0] += self.hot  # one pixel of two thousand
        image = np.minimum(image, self.full_counts) + PROFILE.camera.offset_counts
        self.frames.append((self.exposure_ms, light))
        return image.astype(np.uint16)


def plan_of(leds: int, exposure_ms: float) -> ExposurePlan:
    order = np.concatenate([[-1, -1], np.arange(leds)]).astype(np.int32)
    return ExposurePlan("test", np.eye(leds, dtype=np.float32), order, np.full(leds, exposure_ms), 0.0)


@settings(deadline=None, max_examples=100)
@given(
    rate=st.floats(1e-3, 1e5),
    start_ms=st.floats(LIMITS.min, LIMITS.max),
    full=st.sampled_from([FULL, 0.8 * FULL, 0.4 * FULL]),
    target=st.floats(0.3, 0.85),
)
def test_the_search_ends_at_its_goal_or_at_a_limit(rate: float, start_ms: float, full: float, target: float) -> None:
    bench = Bench(np.full(5, rate), full)
    found = auto_exposure(bench, plan_of(5, start_ms), target)  # type: ignore[arg-type]
    ms = found.plan.main_exposure_ms
    assert LIMITS.min <= ms <= LIMITS.max
    assert found.frames == len(bench.frames) <= 5 + 10
    assert bench.lit_l is None
    light = rate * ms
    # A sensor that is full within a tenth of the goal cannot be told from one that is not.
    assert light <= max(full, target * FULL) / 0.88 or ms <= 1.26 * LIMITS.min
    if full == FULL:
        assert light <= target * FULL * 1.11 or ms <= 1.26 * LIMITS.min
        assert not any("saturated at" in notice for notice in found.notices)
    if light < min(full, target * full) * 0.85:
        assert ms >= LIMITS.max / 1.11
        assert any("the camera's longest exposure" in notice for notice in found.notices) or light > 0.6 * target * full


@settings(deadline=None)
@given(wanted=st.lists(st.floats(0.5, 500), min_size=1, max_size=40).map(np.array), steps=st.integers(1, 6))
def test_grouped_exposures_are_few_and_never_longer(wanted: np.ndarray, steps: int) -> None:
    got = grouped(wanted, steps)
    assert len(np.unique(got)) <= steps
    assert (got <= wanted).all()
    assert set(got) <= set(wanted)
    # Patterns keep their order.
    assert (np.diff(got[np.argsort(wanted)]) >= 0).all()
    # No cheaper way: of the values, any `steps` + 1 that stand apart by more than the ratio found would need more.
    ratio, start, count = (wanted / got).max() * (1 + 1e-9), -math.inf, 0
    for value in np.unique(wanted):
        if value > start * ratio:
            start, count = value, count + 1
    assert count <= steps
    np.testing.assert_array_equal(grouped(got, steps), got)


def test_hot_pixels_do_not_count() -> None:
    plan = plan_of(5, 2.0)
    cold, hot = (auto_exposure(Bench(np.full(5, 50.0), hot=heat), plan) for heat in (0.0, 5000.0))  # type: ignore[arg-type]
    assert hot.plan.main_exposure_ms == cold.plan.main_exposure_ms == pytest.approx(0.7 * FULL / 50, rel=0.02)


def test_limits_of_the_camera_are_told() -> None:
    weak = auto_exposure(Bench(np.full(5, 0.5)), plan_of(5, 2.0))  # type: ignore[arg-type]
    assert weak.plan.main_exposure_ms == LIMITS.max
    assert "reach 6.3% of the full count at 500 ms, the camera's longest" in weak.notices[0]
    strong = auto_exposure(Bench(np.full(5, 1e5)), plan_of(5, 2.0))  # type: ignore[arg-type]
    assert strong.plan.main_exposure_ms == LIMITS.min
    assert "dim the LEDs" in strong.notices[0]


def test_a_sensor_that_is_full_before_its_counts_is_noticed() -> None:
    found = auto_exposure(Bench(np.full(5, 200.0), full_counts=1500.0), plan_of(5, 2.0))  # type: ignore[arg-type]
    assert found.plan.main_exposure_ms * 200 == pytest.approx(0.7 * 1500, rel=0.12)
    assert "saturated at 1500 counts" in found.notices[0]


def test_balanced_patterns_are_equally_bright_in_few_steps() -> None:
    rate_l = np.geomspace(240, 8, 30)
    bench = Bench(rate_l)
    found = balanced_exposures(bench, plan_of(30, 2.0), steps=3)  # type: ignore[arg-type]
    level_p = rate_l * found.plan.exposure_ms_p
    assert level_p.max() <= 0.7 * FULL * 1.01
    assert len(found.plan.exposures_ms) == 3
    assert found.plan.dark_count == 3 * 2
    assert level_p.max() / level_p.min() < 30 ** (1 / 3) * 1.02
    finer = balanced_exposures(bench, plan_of(30, 2.0), steps=30)  # type: ignore[arg-type]
    assert np.ptp(rate_l * finer.plan.exposure_ms_p) < 0.12 * level_p.max()


def test_a_busy_instrument_is_left_alone() -> None:
    bench = Bench(np.full(5, 50.0))
    with bench.turns.scan(), pytest.raises(OperatorError, match="A scan is running"):
        auto_exposure(bench, plan_of(5, 2.0))  # type: ignore[arg-type]
    assert not bench.frames


def test_on_the_simulated_microscope_dark_field_gets_more(instrument: Instrument) -> None:
    profile = instrument.profile
    na = float(np.sort(np.hypot(*instrument.led_na_l2.T))[6])
    changed = profile.plan.model_copy(update={"kind": "annular", "na_max": 0.9})
    plan = make_plan(changed, instrument.led_na_l2, na, 1.0)
    found = balanced_exposures(instrument, plan)
    assert found.plan.pattern_count == 12
    assert len(found.plan.exposures_ms) <= 4
    instrument.camera.set_exposure_ms(float(found.plan.exposure_ms_p[0]))
    instrument.leds.show(found.plan.patterns_pl[0])
    assert np.percentile(instrument.camera.snap(), 99) < 3750  # where the sensor is full
