"""The rule that chooses smoothing, ends a stage and picks what is kept, on made-up errors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recon.judge import MOST_DOUBLINGS, TOLERANCE, Judge, Kept


def follow(judge, error_of, most=200, time_of=lambda number: 0.0):
    """Evaluate until converged: doublings at each evaluation, and the numbers of those that went back."""
    doublings, back = [], []
    for number in range(most):
        doublings.append(judge.doublings)
        error = error_of(judge.doublings, number)

        def state(error=error):
            return Kept(error, 0.0, judge.doublings, [], np.zeros(1), torch.zeros(1, 2))

        converged = judge.evaluate(error, time_of(number), state)
        if judge.goes_back:
            back.append(number)
        if converged:
            return doublings, back
    raise AssertionError("never converged")


def test_a_field_becomes_as_smooth_as_the_held_out_patterns_allow():
    judge = Judge(smooths=True)
    levels = [0.3, 0.302, 0.304, 0.305]
    doublings, back = follow(judge, lambda level, _: levels[level])
    assert doublings == sorted(doublings) and max(doublings) == MOST_DOUBLINGS
    assert judge.kept.doublings == MOST_DOUBLINGS
    assert not back


def test_a_field_that_has_become_too_smooth_goes_back_once_and_stays_there():
    judge = Judge(smooths=True)
    levels = [0.3, 0.301, 0.4, 0.9]
    doublings, back = follow(judge, lambda level, _: levels[level])
    assert max(doublings) == 2
    assert len(back) == 1
    assert doublings[back[0] + 1 :] == [1] * len(doublings[back[0] + 1 :])
    assert (judge.kept.doublings, judge.kept.error) == (1, 0.301)


def test_nothing_is_smoothed_while_the_error_still_falls():
    judge = Judge(smooths=True)
    doublings, _ = follow(judge, lambda level, number: max(0.2, 0.5 - 0.02 * number) * (1 + 0.5 * level))
    first = doublings.index(1)
    assert first >= 15


def test_without_held_out_patterns_the_smoothing_stays():
    judge = Judge(smooths=False)
    doublings, _ = follow(judge, lambda level, number: 0.3)
    assert set(doublings) == {0}


def test_late_in_the_time_nothing_is_tried_any_more():
    judge = Judge(smooths=True)
    times = [0.1, 0.2, 0.3, 0.75, *[0.8] * 100]
    doublings, back = follow(judge, lambda level, _: 0.3 + 0.2 * level, time_of=lambda number: times[number])
    assert doublings[:4] == [0, 0, 0, 1]
    assert back == [3]
    assert set(doublings[4:]) == {0}


@given(st.lists(st.floats(0.01, 10.0), min_size=1, max_size=60))
def test_what_is_kept_is_never_much_worse_than_the_best(errors):
    judge = Judge(smooths=True)
    seen = []

    for error in errors:
        seen.append(error)
        judge.evaluate(
            error, 0.0, lambda error=error: Kept(error, 0.0, judge.doublings, [], np.zeros(1), torch.zeros(1, 2))
        )
        assert 0 <= judge.doublings <= MOST_DOUBLINGS
        assert judge.kept.error <= min(seen) * (1.0 + TOLERANCE)


@pytest.mark.parametrize("used", [0.0, 0.5, 0.7, 0.9, 1.0])
def test_the_learning_rate_falls_towards_the_end_of_the_time(used):
    assert Judge(smooths=True).rate_factor(used) == pytest.approx(max(0.1, min(1.0, (1 - used) / 0.3)))
