"""Exposure plans: which LEDs, together or alone, in which order, and for how long."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st

from acquisition.leds import led_na, led_positions_mm
from acquisition.plan import DARK, ExposurePlan, Pace, PlanError, make_plan, plan_for, spread_order
from acquisition.profile import PlanSettings, load_profile

if TYPE_CHECKING:
    from numpy.typing import NDArray

LED_NA = np.array([[0.0, 0.0], [0.1, 0.0], [0.0, 0.2], [-0.29, 0.0], [0.0, -0.4], [0.5, 0.0]])
NA = 0.4

directions = st.lists(st.tuples(st.floats(-0.9, 0.9), st.floats(-0.9, 0.9)), min_size=1, max_size=40).map(np.array)


def grid(side: int, reach: float) -> NDArray[np.float64]:
    axis = np.linspace(-reach, reach, side)
    return np.array([(x, y) for y in axis for x in axis])


def settings(kind: str = "brightfield", **changes: Any) -> PlanSettings:
    common = {"kind": kind, "exposure_ms": 10.0, "dark_frames": 0, "order": "board"}
    return PlanSettings.model_validate(common | changes)


def lit(patterns_pl: NDArray[np.float32]) -> list[int]:
    return [int(led) for led in patterns_pl.argmax(axis=1)]


def test_an_led_at_the_very_limit_is_dark_field_for_all() -> None:
    at_limit = np.array([[0.0, 0.0], [0.3, 0.0], [0.2, 0.0]])
    assert lit(make_plan(settings(), at_limit, 0.3, 2.0).patterns_pl) == [0, 2]
    assert lit(make_plan(settings("darkfield", rings=0), at_limit, 0.3, 2.0).patterns_pl) == [1]


# --- LED after LED --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chosen", "leds"),
    [
        (settings(), [0, 1, 2, 3]),
        (settings("annular", na_min=0.15, na_max=0.45), [2, 3, 4]),
        (settings("ring", na_max=0.1), [0, 1]),
        (settings("darkfield", rings=0), [4, 5]),
        (settings("darkfield", rings=0, na_max=0.45), [4]),
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
    assert plan.exposure_ms_p.tolist() == [10.0] * len(leds)


def test_dark_frames_first_then_every_repeat() -> None:
    plan = make_plan(settings(dark_frames=2, repeats=3), LED_NA, 0.3, settle_ms=2.0)
    assert list(plan.order_n) == [DARK, DARK] + [0, 1, 2, 3] * 3
    assert plan.order_n.dtype == np.int32
    assert plan.frame_count == 14
    assert plan.duration_s(readout_ms=8.0) == pytest.approx(14 * (10 + 2 + 8) / 1000)
    assert plan.duration_s(readout_ms=8.0, link_ms=1.0) == pytest.approx(14 * 21 / 1000)
    camera_leads = replace(plan, pace=Pace.CAMERA)
    assert camera_leads.duration_s(readout_ms=8.0, link_ms=1.0) == pytest.approx(14 * 12 / 1000)
    assert camera_leads.duration_s(readout_ms=40.0) == pytest.approx(14 * 40 / 1000)
    for pace in (Pace.BOARD, Pace.HANDSHAKE):
        assert replace(plan, pace=pace).duration_s(readout_ms=8.0, link_ms=1.0) == pytest.approx(14 * 18 / 1000)


@pytest.mark.parametrize(
    ("chosen", "message", "remedy"),
    [
        (settings("ring", na_min=0.6, na_max=0.9), "NA of 0.6 to 0.9; the board spans 0.000 to 0.500", "Widen"),
        (settings("subset", leds=[2, 6]), "LED 6, the board has 6 LEDs", "plan.leds"),
        (settings("darkfield", na_max=0.31), "NA of 0.3 to 0.31", "Widen"),
        (settings("darkfield", rings=5), "Of 5 dark-field rings between NA 0.3 and 0.5, ring 1 has no LED", "fewer"),
        (settings("dpc", na_max=0.35, na_min=0.15), "The top half of the plan's 2 LEDs is empty", "shift"),
        (settings("dpc", na_min=0.35), "NA of 0.35 to 0.3", "Widen"),
        (settings("multiplexed", patterns=1, leds_per_pattern=3),
         r"1 patterns of at most 3 LEDs do not light all 4 LEDs \(.*apart\); it takes 2", "2 or more"),
        (settings("multiplexed", na_max=0.5, patterns=2, leds_per_pattern=3),
         r"all 6 LEDs \(bright field, dark field and the edge between them apart\); it takes 3", "3 or more"),
        (settings("multiplexed", patterns=5, leds_per_pattern=1), "equally often; 4 or 8 can", "plan.patterns"),
        (settings("multiplexed", na_max=0.25, patterns=3), "3 different patterns of 4 out of 3 LEDs", "fewer"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_plans_that_cannot_be(chosen: PlanSettings, message: str, remedy: str) -> None:
    with pytest.raises(PlanError, match=message) as error:
        make_plan(chosen, LED_NA, 0.3, 2.0)
    assert remedy in error.value.remedy


@given(directions, st.integers(0, 3), st.integers(1, 3), st.sampled_from(["spread", "board"]))
def test_every_repeat_is_a_permutation(na: NDArray[np.float64], dark: int, repeats: int, order: str) -> None:
    plan = make_plan(settings(dark_frames=dark, repeats=repeats, order=order), na, 2.0, 0.0)
    passes = plan.order_n[dark:].reshape(repeats, -1)
    assert np.all(plan.order_n[:dark] == DARK)
    for one_pass in passes:
        assert sorted(one_pass) == list(range(len(na)))


# --- several LEDs at once -------------------------------------------------------------------------------------------


@given(
    directions,
    st.sampled_from(["brightfield", "annular", "darkfield", "dpc", "multiplexed"]),
    st.fixed_dictionaries(
        {
            "na_min": st.floats(0, 0.3),
            "na_max": st.none() | st.floats(0.31, 1.0),
            "every": st.integers(1, 3),
            "order": st.sampled_from(["spread", "board"]),
            "dark_frames": st.integers(0, 2),
            "repeats": st.integers(1, 2),
            "darkfield_exposure_ms": st.none() | st.floats(1, 100),
            "rings": st.integers(0, 3),
            "leds_per_pattern": st.integers(1, 6),
            "patterns": st.none() | st.integers(1, 40),
        }
    ),
)
def test_any_plan_on_any_board(na_l2: NDArray[np.float64], kind: str, keys: dict[str, Any]) -> None:
    """A plan is what its settings say or a PlanError: nothing outside the range, each LED as often as described."""
    if kind == "annular" and keys["na_max"] is None:
        keys["na_max"] = 0.5
    chosen = settings(kind, **keys)
    try:
        plan = make_plan(chosen, na_l2, NA, 0.0)
    except PlanError as error:
        assert error.remedy
        return
    na_l, lit_pl = np.hypot(*na_l2.T), plan.patterns_pl > 0
    assert set(np.unique(plan.patterns_pl)) <= {0.0, 1.0}
    assert lit_pl.any(axis=1).all()
    used = lit_pl.any(axis=0)
    low, high = {"brightfield": (0.0, NA), "darkfield": (NA, chosen.na_max or 9)}.get(
        kind, (chosen.na_min, chosen.na_max or NA)
    )
    assert ((na_l[used] >= low) & (na_l[used] <= high)).all()
    times_l = lit_pl.sum(axis=0)[used]
    if kind == "dpc":
        assert plan.pattern_count == 4
        assert not (lit_pl[0] & lit_pl[1]).any()
        assert not (lit_pl[2] & lit_pl[3]).any()
        assert times_l.max() <= 2
    else:
        assert len(set(times_l)) == 1
        assert kind == "multiplexed" or times_l[0] == 1
    inside_l = na_l <= NA
    mixed = (lit_pl & inside_l).any(axis=1) & (lit_pl & ~inside_l).any(axis=1)
    if kind != "dpc":
        assert not mixed.any()
    if kind == "multiplexed":
        assert lit_pl.sum(axis=1).max() <= chosen.leds_per_pattern
        assert chosen.patterns in (None, plan.pattern_count)
        assert len(np.unique(lit_pl, axis=0)) == plan.pattern_count
    order = plan.order_n[plan.order_n >= 0].reshape(chosen.repeats, -1)
    assert all(sorted(one_pass) == list(range(plan.pattern_count)) for one_pass in order.tolist())
    dark_p = ~(lit_pl & inside_l).any(axis=1)
    if chosen.order == "spread":
        assert sorted(dark_p[order[0]]) == dark_p[order[0]].tolist(), "dark field comes last"
    expected = np.where(dark_p, chosen.darkfield_exposure_ms or 10.0, 10.0)
    np.testing.assert_array_equal(plan.exposure_ms_p, expected)
    assert plan.dark_count == chosen.dark_frames * len(set(expected))
    assert sorted(plan.exposure_ms_n[plan.order_n < 0]) == sorted(np.repeat(np.unique(expected), chosen.dark_frames))


def test_halves_are_those_of_the_pupil_as_pictures_show_it() -> None:
    na = np.array([(0, 0), (0.2, -0.1), (-0.2, 0.1), (0.2, 0), (0, 0.2), (0, -0.2), (-0.2, 0), (0.5, 0.5)], float)
    top, bottom, left, right = make_plan(settings("dpc"), na, NA, 0).patterns_pl
    assert [np.flatnonzero(half).tolist() for half in (top, bottom)] == [[1, 5], [2, 4]]
    assert [np.flatnonzero(half).tolist() for half in (left, right)] == [[2, 6], [1, 3]]


def test_halves_with_an_inner_na() -> None:
    patterns_pl = make_plan(settings("dpc", na_min=0.25), grid(9, NA), NA, 0).patterns_pl
    used = patterns_pl.any(axis=0)
    na = np.hypot(*grid(9, NA).T)
    assert na[used].min() >= 0.25
    assert len(set(patterns_pl.sum(axis=1))) == 1, "halves of an even board balance"


def test_rings_are_nested() -> None:
    na_l2 = grid(21, 0.8)
    plan = make_plan(settings("darkfield", rings=3, na_max=0.7), na_l2, NA, 0)
    na = np.hypot(*na_l2.T)
    reach = [(na[row > 0].min(), na[row > 0].max()) for row in plan.patterns_pl]
    for (low, high), inner, outer in zip(reach, (0.4, 0.5, 0.6), (0.5, 0.6, 0.7), strict=True):
        assert inner <= low <= high <= outer + 1e-9
    assert (plan.patterns_pl.sum() == ((na >= NA) & (na <= 0.7)).sum()).all()


@settings_of_hypothesis(max_examples=25)
@given(st.integers(2, 24), st.integers(1, 6), st.integers(1, 30), st.integers(0, 5))
def test_multiplexed_shares_light_evenly(leds: int, most: int, patterns: int, seed: int) -> None:
    angle = np.arange(leds) * 2 * np.pi / leds
    na_l2 = 0.3 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    chosen = settings("multiplexed", leds_per_pattern=most, patterns=patterns, seed=seed)
    try:
        plan = make_plan(chosen, na_l2, NA, 0)
    except PlanError:
        assume(False)
    sizes = plan.patterns_pl.sum(axis=1)
    assert np.ptp(plan.patterns_pl.sum(axis=0)) == 0
    assert np.ptp(sizes) <= 1
    assert sizes.max() <= min(most, leds)
    assert np.array_equal(make_plan(chosen, na_l2, NA, 0).patterns_pl, plan.patterns_pl), "the seed decides"


def test_leds_at_the_edge_of_the_aperture_spoil_no_other_patterns() -> None:
    """On whichever side of the edge they turn out to be, patterns without them are all bright or all dark field."""
    na_l2 = grid(17, 0.7)
    patterns_pl = make_plan(settings("multiplexed", na_max=0.7), na_l2, NA, 0).patterns_pl
    na_l = np.hypot(*na_l2.T)
    edge_pl = patterns_pl[:, np.abs(na_l / NA - 1) < 0.049]
    with_edge_p = edge_pl.any(axis=1)
    assert with_edge_p.any()
    np.testing.assert_array_equal(edge_pl[with_edge_p].sum(axis=1), patterns_pl[with_edge_p].sum(axis=1))


def test_multiplexed_patterns_are_well_conditioned() -> None:
    """Independent where there are as many as LEDs, and no opposite LEDs together: their phase contrast cancels."""
    angle = np.arange(24) * 2 * np.pi / 24
    ring = 0.35 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    patterns_pl = make_plan(settings("multiplexed", patterns=24, leds_per_pattern=3), ring, NA, 0).patterns_pl
    assert np.linalg.cond(patterns_pl) < 60
    few_pl = make_plan(settings("multiplexed", leds_per_pattern=4), ring, NA, 0).patterns_pl
    together = (few_pl[:, :12] * few_pl[:, 12:]).sum()
    rng = np.random.default_rng(0)
    random_pl = rng.permuted(np.tile(np.arange(24), (200, 1)), axis=1).reshape(200, 6, 4) % 12
    by_chance = [sum(len(set(row)) < 4 for row in rows) for rows in random_pl.tolist()]
    assert together <= 0.3 * np.mean(by_chance)


# --- order ----------------------------------------------------------------------------------------------------------


def radius_after(order: NDArray[np.intp], patterns_pl: NDArray[np.float32], na_l2: NDArray[np.float64]) -> list[float]:
    """Covering radius: how far the farthest used direction is from the nearest lit one, after 1, 2, ... patterns."""
    used = na_l2[patterns_pl.any(axis=0)]
    nearest, radii = np.full(len(used), np.inf), []
    for row in order:
        lit_na = na_l2[patterns_pl[row] > 0]
        nearest = np.minimum(nearest, np.linalg.norm(used[:, None] - lit_na[None], axis=2).min(axis=1))
        radii.append(float(nearest.max()))
    return radii


@given(directions)
def test_spread_covers_with_every_prefix(na: NDArray[np.float64]) -> None:
    """No direction is farther from the first k than those k are apart: none can be placed better by more than 2."""
    order = spread_order(np.eye(len(na), dtype=np.float32), na)
    distance = np.linalg.norm(na[:, None] - na[None], axis=2)
    for count in range(2, len(na) + 1):
        prefix = order[:count]
        covered_within = distance[:, prefix].min(axis=1).max()
        apart = distance[np.ix_(prefix, prefix)][~np.eye(count, dtype=bool)].min()
        assert covered_within <= apart + 1e-12


@given(directions, st.integers(1, 12), st.integers(0, 9))
def test_spread_is_a_permutation_of_any_patterns(na: NDArray[np.float64], count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    patterns_pl = (rng.random((count, len(na))) < 0.3).astype(np.float32)
    patterns_pl[np.arange(count), rng.integers(len(na), size=count)] = 1
    assert sorted(spread_order(patterns_pl, na)) == list(range(count))


@given(directions, st.randoms())
def test_spread_covers_at_worst_twice_as_far_as_any_order(na: NDArray[np.float64], random: Any) -> None:
    any_order = list(range(len(na)))
    random.shuffle(any_order)
    patterns_pl = np.eye(len(na), dtype=np.float32)
    other = radius_after(np.array(any_order), patterns_pl, na)
    for mine, best in zip(radius_after(spread_order(patterns_pl, na), patterns_pl, na), other, strict=True):
        assert mine <= 2 * best + 1e-9


@pytest.mark.parametrize("together", [1, 2, 4, 8])
@pytest.mark.parametrize("side", [8, 16])
def test_spread_covers_much_sooner_than_the_board_order(side: int, together: int) -> None:
    """Neighbours shine together, one group after the other along the board: the order of a naive scan."""
    na_l2 = grid(side, 0.35)
    patterns_pl = np.kron(np.eye(side * side // together), np.ones(together)).astype(np.float32)
    board = radius_after(np.arange(len(patterns_pl)), patterns_pl, na_l2)
    spread = radius_after(spread_order(patterns_pl, na_l2), patterns_pl, na_l2)
    assert sum(spread) < 0.6 * sum(board)


@pytest.mark.parametrize("name", ["simulated", "ht_idt_grid32", "aidt_ring24"])
def test_spread_halves_the_covering_radius_of_shipped_boards(name: str) -> None:
    profile = load_profile(name)
    na = led_na(led_positions_mm(profile.led_board.geometry), profile.led_board.orientation)
    plan = plan_for(profile, na)
    quarter = plan.pattern_count // 4
    board = radius_after(np.arange(plan.pattern_count), plan.patterns_pl, na)
    spread = radius_after(plan.order_n[plan.dark_count :].astype(np.intp), plan.patterns_pl, na)
    assert spread[quarter] < 0.5 * board[quarter]


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


# --- exposures ------------------------------------------------------------------------------------------------------


def test_exposures_and_their_dark_frames() -> None:
    plan = make_plan(settings("annular", na_max=0.9, dark_frames=2, darkfield_exposure_ms=50.0), LED_NA, 0.3, 2.0)
    assert plan.exposure_ms_p.tolist() == [10, 10, 10, 10, 50, 50]
    assert plan.order_n.tolist() == [DARK] * 4 + [0, 1, 2, 3, 4, 5]
    assert plan.exposure_ms_n.tolist() == [10, 10, 50, 50, 10, 10, 10, 10, 50, 50]
    assert plan.main_exposure_ms == 10
    balanced = plan.with_exposures([5, 5, 20, 20, 80, 80])
    assert balanced.dark_count == 6
    assert balanced.exposure_ms_n[:6].tolist() == [5, 5, 20, 20, 80, 80]
    np.testing.assert_array_equal(balanced.order_n[6:], plan.order_n[4:])
    even = balanced.with_exposures(7.0)
    assert (even.dark_count, even.exposures_ms.tolist()) == (2, [7.0])
    assert even.without_dark().order_n.tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("wrong", [[1.0, 2.0], [1.0] * 5 + [0.0], [1.0] * 5 + [np.nan], -1.0])
def test_exposures_that_cannot_be(wrong: Any) -> None:
    with pytest.raises(ValueError, match=r"exposures|broadcast"):
        make_plan(settings("annular", na_max=0.9), LED_NA, 0.3, 2.0).with_exposures(wrong)


def test_dark_frames_belong_to_an_exposure() -> None:
    plan = ExposurePlan("p", np.eye(2, dtype=np.float32), np.array([-1, 0, 1], np.int32), np.array([1.0, 1.0]), 0.0)
    with pytest.raises(ValueError, match="1 dark frames for 2 exposures"):
        replace(plan, exposure_ms_p=np.array([1.0, 2.0]))
