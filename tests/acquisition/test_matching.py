"""Frames and LEDs stay together, or the scan says that they have not: a few of the benchmark's random scans."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from acquisition.plan import Pace
from acquisition.scan import FinishReason
from tests.benchmarks import matching

if TYPE_CHECKING:
    from collections.abc import Iterator

SCANS = 24


@pytest.fixture(scope="module")
def rig() -> Iterator[matching.Rig]:
    with matching.rig() as made:
        yield made


def test_pixels_tell_which_leds_were_lit() -> None:
    light_l = np.linspace(0, 1, matching.LEDS, dtype=np.float32)
    np.testing.assert_allclose(matching.seen(matching.scene(light_l, 0.003), 3.0), light_l, atol=1e-3)


@pytest.mark.parametrize("board", ["illuminate 2", "illuminate 1"])
def test_every_way_gives_every_frame_its_leds(rig: matching.Rig, board: str) -> None:
    eye_pl = np.eye(matching.LEDS, dtype=np.float32)
    order_n = np.array([-1, -1, *range(12), *range(11, -1, -1)], np.int32)
    for pace in Pace:
        plan = matching.ExposurePlan("each LED", eye_pl, order_n, np.full(12, 6.0), 1.0, pace)
        outcome = rig.run(matching.Case(board, pace, plan, "none", 0))
        assert (outcome.reason, outcome.message, outcome.wrong) == (FinishReason.COMPLETE, "", ()), pace


def test_random_scans_with_faults(rig: matching.Rig) -> None:
    cases = [matching.random_case(np.random.default_rng(seed)) for seed in range(5000, 5000 + SCANS)]
    outcomes = [rig.run(case) for case in sorted(cases, key=lambda case: case.board)]
    assert not [outcome for outcome in outcomes if outcome.violates or outcome.alarms]
    assert {outcome.reason for outcome in outcomes} == set(FinishReason)


@pytest.mark.parametrize("pace", [Pace.CAMERA, Pace.BOARD, Pace.HANDSHAKE])
@pytest.mark.parametrize(
    ("fault", "paces"),
    [
        ("lost_trigger", [Pace.CAMERA, Pace.HANDSHAKE]),
        ("lost_pulse", [Pace.BOARD, Pace.HANDSHAKE]),
        ("one_behind", [Pace.CAMERA, Pace.BOARD, Pace.HANDSHAKE]),
        ("camera_drops_a_frame", [Pace.CAMERA, Pace.BOARD, Pace.HANDSHAKE]),
    ],
)
def test_each_fault_that_shifts_is_seen(rig: matching.Rig, fault: str, paces: list[Pace], pace: Pace) -> None:
    if pace not in paces:
        return
    eye_pl = np.eye(matching.LEDS, dtype=np.float32)
    order_n = np.arange(12, dtype=np.int32)
    plan = matching.ExposurePlan("each LED", eye_pl, order_n, np.full(12, 2.0), 1.0, pace)
    outcome = rig.run(matching.Case("illuminate 2", pace, plan, fault, 5))
    assert outcome.reason is FinishReason.FAILED
    assert "Remedy" in outcome.message
