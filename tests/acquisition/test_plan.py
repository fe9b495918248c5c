"""Exposure plans: which LEDs, in which order."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acquisition.leds import led_na, led_positions_mm
from acquisition.plan import DARK, PlanError, make_plan, spread_order
from acquisition.profile import PlanSettings, load_profile

LED_NA = np.array([[0.0, 0.0], [0.1, 0.0], [0.0, 0.2], [-0.3, 0.0], [0.0, -0.4], [0.5, 0.0]])

directions = st.lists(st.tuples(st.floats(-0.9, 0.9), st.floats(-0.9, 0.9)), min_size=1, max_size=40).map(np.array)


def settings(kind: str = "brightfield", **changes: Any) -> PlanSettings:
    common = {"kind": kind, "exposure_ms": 10.0, "dark_frames": 0, "order": "board"}
    return PlanSettings.model_validate(common | changes)


def lit(patterns_pl: np.ndarray) -> list[int]:
    return [int(led) for led in patterns_pl.argmax(axis=1)]


@pytest.mark.parametrize(
    ("chosen", "leds"),
    [
        (settings(), [0, 1, 2, 3]),
        (settings("ring", na_min=0.15, na_max=0.45), [2, 3, 4]),
        (settings("ring", na_max=0.1), [0, 1]),
        (settings("subset", leds=[5, 1, 3]), [5, 1, 3]),
        (settings(every=2), [0, 2]),
        (settings(every=100), [0]),
        (settings("subset", leds=[5, 1, 3], every=2), [5, 3]),
    ],
    ids=str,
)
def test_selection(chosen: PlanSettings, leds: list[int]) -> None:
    plan = make_plan(chosen, LED_NA, objective_na=0.3, settle_ms=2.0)
    assert lit(plan.patterns_pl) == leds
    assert plan.patterns_pl.dtype == np.float32
    assert plan.patterns_pl.shape == (len(leds), 6)
    assert np.array_equal(plan.patterns_pl.sum(axis=1), np.ones(len(leds)))
    assert list(plan.order_n) == list(range(len(leds)))


def test_dark_frames_first_then_every_repeat() -> None:
    plan = make_plan(settings(dark_frames=2, repeats=3), LED_NA, 0.3, settle_ms=2.0)
    assert list(plan.order_n) == [DARK, DARK] + [0, 1, 2, 3] * 3
    assert plan.order_n.dtype == np.int32
    assert plan.frame_count == 14
    assert plan.duration_s(readout_ms=8.0) == pytest.approx(14 * (10 + 2 + 8) / 1000)


@pytest.mark.parametrize(
    ("chosen", "message", "remedy"),
    [
        (settings("ring", na_min=0.6, na_max=0.9), "NA of 0.6 to 0.9; the board spans 0.000 to 0.500", "Widen"),
        (settings("subset", leds=[2, 6]), "LED 6, the board has 6 LEDs", "plan.leds"),
    ],
)
def test_plans_that_cannot_be(chosen: PlanSettings, message: str, remedy: str) -> None:
    with pytest.raises(PlanError, match=message) as error:
        make_plan(chosen, LED_NA, 0.3, 2.0)
    assert remedy in error.value.remedy


@given(directions, st.integers(0, 3), st.integers(1, 3), st.sampled_from(["spread", "board"]))
def test_every_repeat_is_a_permutation(na: np.ndarray, dark: int, repeats: int, order: str) -> None:
    plan = make_plan(settings(dark_frames=dark, repeats=repeats, order=order), na, 2.0, 0.0)
    passes = plan.order_n[dark:].reshape(repeats, -1)
    assert np.all(plan.order_n[:dark] == DARK)
    for one_pass in passes:
        assert sorted(one_pass) == list(range(len(na)))


@given(directions)
def test_spread_covers_with_every_prefix(na: np.ndarray) -> None:
    """No direction is farther from the first k than those k are apart: none can be placed better by more than 2."""
    order = spread_order(np.eye(len(na), dtype=np.float32), na)
    distance = np.linalg.norm(na[:, None] - na[None], axis=2)
    for count in range(2, len(na) + 1):
        prefix = order[:count]
        covered_within = distance[:, prefix].min(axis=1).max()
        apart = distance[np.ix_(prefix, prefix)][~np.eye(count, dtype=bool)].min()
        assert covered_within <= apart + 1e-12


@pytest.mark.parametrize("name", ["simulated", "ht_idt_grid32", "aidt_ring24"])
def test_first_frames_of_the_shipped_plans_go_round(name: str) -> None:
    """Already a few frames light the sample from all sides: what the first live volume needs."""
    profile = load_profile(name)
    na = led_na(led_positions_mm(profile.led_board.geometry), profile.led_board.orientation)
    plan = make_plan(profile.plan, na, profile.objective.na, profile.led_board.settle_ms)
    lit_na = na[plan.patterns_pl.argmax(axis=1)]
    order = plan.order_n[profile.plan.dark_frames :]
    for count in (8, 12, 16, len(lit_na)):
        prefix = lit_na[order[:count]]
        oblique = prefix[np.hypot(*prefix.T) > 0.5 * np.hypot(*lit_na.T).max()]
        azimuth = np.sort(np.arctan2(oblique[:, 1], oblique[:, 0]))
        gap = np.diff(np.append(azimuth, azimuth[0] + 2 * np.pi)).max()
        assert gap <= np.deg2rad(100), (count, np.rad2deg(gap))
        assert np.linalg.norm(prefix.mean(axis=0)) < 0.2 * np.hypot(*lit_na.T).max()
