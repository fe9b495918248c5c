"""Experiments and estimates: the order of scans, the uneven end, time, light and bytes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acquisition.estimate import MOVE_S, bytes_text, estimate
from acquisition.experiment import Experiment, ExperimentError, Position, TimeLapse, make_experiment
from acquisition.plan import ExposurePlan, Pace, make_plan, plan_for
from acquisition.profile import Profile, parse_profile
from acquisition.profile_plan import AutofocusSettings, ExperimentSettings, PlanSettings
from acquisition.scan import FinishReason, Scan

if TYPE_CHECKING:
    from pathlib import Path

    from acquisition.instrument import Instrument

PLACES = (Position("A", 0, 0, 0), Position("B", 100, 0, 0), Position("C", 200, 0, 5))
LED_NA = np.array([[0.0, 0.0], [0.2, 0.0], [0.0, 0.3], [0.5, 0.0]])


@pytest.fixture
def plan() -> ExposurePlan:
    """Return three bright-field LEDs of 10 ms, one dark-field LED of 50 ms, two dark frames for each exposure."""
    chosen = PlanSettings(
        kind="annular", na_max=0.9, exposure_ms=10.0, darkfield_exposure_ms=50.0, dark_frames=2, order="board"
    )
    return make_plan(chosen, LED_NA, 0.4, settle_ms=5.0)


def test_all_positions_of_a_time_point_then_the_next(plan: ExposurePlan) -> None:
    focus = AutofocusSettings(range_um=10.0, step_um=1.0, every=2)
    experiment = Experiment(plan, TimeLapse(60, 3), PLACES, focus)
    visits = list(experiment.visits())
    assert [(visit.time_point, visit.position) for visit in visits] == [(t, p) for t in range(3) for p in range(3)]
    assert [visit.due_s for visit in visits] == [0] * 3 + [60] * 3 + [120] * 3
    assert [visit.place for visit in visits[:3]] == list(PLACES)
    assert [visit.focus for visit in visits] == [True] * 3 + [False] * 3 + [True] * 3
    assert [visit.dark for visit in visits] == [True] + [False] * 8
    assert len(visits) == experiment.scan_count
    assert experiment.plan_of(visits[0]) is plan
    assert (experiment.plan_of(visits[1]).order_n >= 0).all()
    assert focus.frames == 15


def test_one_scan_where_the_stage_stands(plan: ExposurePlan) -> None:
    (visit,) = Experiment(plan).visits()
    assert (visit.place, visit.focus, visit.due_s) == (None, False, 0)


def test_an_experiment_of_settings(plan: ExposurePlan, tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("name,x_um,y_um,z_um\nA,1,2,3\n")
    settings = ExperimentSettings(interval_s=5.0, count=4, positions=str(tmp_path / "p.csv"))
    experiment = make_experiment(plan, settings)
    assert (experiment.time_lapse, experiment.positions) == (TimeLapse(5, 4), (Position("A", 1, 2, 3),))
    assert make_experiment(plan, ExperimentSettings()).scan_count == 1


@pytest.mark.parametrize(("interval_s", "count"), [(-1, 2), (np.inf, 2), (np.nan, 2), (1, 0)])
def test_no_time_lapse(interval_s: float, count: int) -> None:
    with pytest.raises(ExperimentError):
        TimeLapse(interval_s, count)


# --- estimates ------------------------------------------------------------------------------------------------------


def test_figures_of_one_scan(plan: ExposurePlan, small_profile: Profile) -> None:
    figures = estimate(Experiment(plan), small_profile, LED_NA, readout_ms=20, link_ms=1)
    assert (figures.scans, figures.frames, figures.dark_frames, figures.patterns, figures.leds) == (1, 4, 4, 4, 4)
    beyond_ms = 5 + 20 + 1
    # and three more to see that LEDs and frames are in step
    assert figures.total_s == figures.scan_s == pytest.approx((11 * beyond_ms + 8 * 10 + 3 * 50) / 1000)
    assert figures.light_s == pytest.approx((3 * 10 + 50) / 1000)
    assert figures.led_exposure_s == pytest.approx(0.05)
    assert figures.brightfield_s == pytest.approx(0.08 / 3)
    assert figures.brightfield_share == pytest.approx(1 / 3)
    assert figures.lit_share == pytest.approx((80 + 4 * beyond_ms) / 80)
    assert figures.late_s == 0
    assert figures.dose_j_per_cm2 is None
    assert figures.mixed == 0
    camera_leads = Experiment(replace(plan, pace=Pace.CAMERA))
    triggered = estimate(camera_leads, small_profile, LED_NA, readout_ms=20, link_ms=1)
    assert triggered.scan_s == pytest.approx((8 * 20 + 3 * 55) / 1000)  # 15 ms are shorter than the read-out


def test_dose_counts_the_time_in_which_the_leds_shine(plan: ExposurePlan, small_profile: Profile) -> None:
    bright = small_profile.illumination.model_copy(update={"irradiance_mw_per_cm2": 40.0})
    profile = small_profile.model_copy(update={"illumination": bright})
    figures = estimate(Experiment(plan, TimeLapse(1, 5)), profile, LED_NA, readout_ms=20, link_ms=1)
    assert figures.dose_j_per_cm2 == pytest.approx(5 * 0.040 * (80 + 4 * 26) / 1000)
    assert "J/cm2" in "\n".join(figures.lines())


def test_an_interval_that_suffices_and_one_that_does_not(plan: ExposurePlan, small_profile: Profile) -> None:
    slow = estimate(Experiment(plan, TimeLapse(100, 4), PLACES), small_profile, LED_NA)
    assert slow.late_s == 0
    assert slow.total_s == pytest.approx(300 + 3 * MOVE_S, abs=2)
    assert "late" not in "\n".join(slow.lines())
    fast = estimate(Experiment(plan, TimeLapse(1, 4), PLACES), small_profile, LED_NA)
    assert fast.frames == 4 * 3 * 4
    assert fast.late_s == pytest.approx(3 * fast.round_s - 3, abs=1)
    assert any("the interval is 1.0 s" in line and "late" in line for line in fast.lines())
    back_to_back = estimate(Experiment(plan, TimeLapse(0, 4), PLACES), small_profile, LED_NA)
    assert back_to_back.total_s == pytest.approx(fast.total_s)


def test_autofocus_takes_its_time(plan: ExposurePlan, small_profile: Profile) -> None:
    focus = AutofocusSettings(range_um=10.0, step_um=1.0, every=2)
    with_it, without = (
        estimate(Experiment(plan, TimeLapse(0, 4), autofocus=how), small_profile, LED_NA, readout_ms=20, link_ms=1)
        for how in (focus, None)
    )
    assert with_it.total_s - without.total_s == pytest.approx(2 * 15 * (10 + 26) / 1000)


def test_what_the_plan_leaves_undone_is_told(small_profile: Profile) -> None:
    dark = make_plan(PlanSettings(kind="darkfield", rings=1, exposure_ms=1.0), LED_NA, 0.4, 2.0)
    lines = estimate(Experiment(dark), small_profile, LED_NA).lines()
    assert any("no field can be reconstructed" in line for line in lines)
    assert not any("settle_ms" in line for line in lines)
    led = estimate(Experiment(replace(dark, pace=Pace.BOARD)), small_profile, LED_NA).lines()
    assert any("settle_ms (2 ms) is not waited for" in line for line in led)


def test_mixed_patterns_are_told(small_profile: Profile) -> None:
    plan = make_plan(PlanSettings(kind="dpc", na_max=0.9, exposure_ms=1.0), np.vstack([LED_NA, -LED_NA]), 0.4, 0)
    figures = estimate(Experiment(plan), small_profile, np.vstack([LED_NA, -LED_NA]))
    assert figures.mixed == 2
    assert "2 patterns mix bright and dark field" in "\n".join(figures.lines())


@given(
    interval_s=st.floats(0, 5), count=st.integers(1, 8), places=st.integers(0, 3), readout_ms=st.floats(0, 100),
    trigger=st.sampled_from(["software", "camera", "board", "handshake"]),
)  # fmt: skip
def test_no_time_point_starts_early(
    interval_s: float, count: int, places: int, readout_ms: float, trigger: Any
) -> None:
    chosen = PlanSettings(kind="brightfield", exposure_ms=10.0, dark_frames=1, trigger=trigger)
    experiment = Experiment(make_plan(chosen, LED_NA, 0.4, 5.0), TimeLapse(interval_s, count), PLACES[:places])
    profile = _profile()
    figures = estimate(experiment, profile, LED_NA, readout_ms=readout_ms)
    assert figures.total_s >= (count - 1) * interval_s + figures.late_s
    assert figures.total_s <= count * max(interval_s, figures.round_s) + 1e-9
    assert figures.frames == count * max(1, places) * 3


def _profile() -> Profile:
    from tests.acquisition.conftest import SMALL

    return parse_profile(SMALL, "small.toml")


@pytest.mark.parametrize(("repeats", "exposures", "places"), [(1, 1, 0), (30, 1, 0), (1, 3, 0), (1, 1, 2)])
def test_estimated_frames_and_bytes_are_those_of_the_file(
    instrument: Instrument, repeats: int, exposures: int, places: int, tmp_path: Path
) -> None:
    profile = instrument.profile
    settings = profile.plan.model_copy(update={"repeats": repeats, "exposure_ms": 0.5})
    plan = plan_for(profile, instrument.led_na_l2, settings)
    plan = plan.with_exposures(0.5 * (1 + np.arange(plan.pattern_count) % exposures))
    experiment = Experiment(plan, positions=PLACES[:places])  # a sample that is moved has no truth in the file
    figures = estimate(experiment, profile, instrument.led_na_l2, instrument.camera.image_shape)
    stored: list[Any] = []
    scan = Scan(instrument, experiment, tmp_path / "a.h5", instrument.capture_header(plan), on_frame=stored.append)
    scan.start()
    assert scan.wait(120).reason is FinishReason.COMPLETE
    assert len([frame for frame in stored if frame.pattern >= 0]) == figures.frames
    assert len(stored) - figures.frames == figures.dark_frames
    assert figures.file_bytes == pytest.approx((tmp_path / "a.h5").stat().st_size, rel=0.05)


def test_sizes_in_words() -> None:
    assert (bytes_text(1234), bytes_text(4_340_000), bytes_text(int(2.5e12))) == ("1 kB", "4.34 MB", "2.5 TB")
