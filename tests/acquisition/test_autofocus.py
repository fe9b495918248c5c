"""The search for the focus: its arithmetic, and both ways through the real drivers on a sample that follows z."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acquisition.autofocus import AutofocusError, best_height, clear_maximum, defocus_um, opposite_pairs
from acquisition.capture import read_capture
from acquisition.experiment import Experiment, Position, TimeLapse
from acquisition.header import optics_of
from acquisition.instrument import Instrument, open_instrument
from acquisition.leds import led_na, led_positions_mm
from acquisition.plan import plan_for
from acquisition.profile import Profile, parse_profile
from acquisition.profile_plan import AutofocusSettings, changed_plan
from acquisition.scan import FinishReason, Scan, ScanState, ScanStatus
from acquisition.simulated.microscope import SimulatedMicroscope
from tests.acquisition.conftest import SMALL

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from acquisition.capture import Optics
    from acquisition.plan import ExposurePlan

STACK = AutofocusSettings(range_um=16.0, step_um=2.0)
REFOCUS = AutofocusSettings(method="refocus", range_um=40.0)


@pytest.fixture(scope="module")
def profile() -> Profile:
    text = SMALL.replace("rows = 3\ncolumns = 4\npitch_mm = 8.0", "rows = 5\ncolumns = 5\npitch_mm = 10.0")
    text = text.replace("image_px = 64", "image_px = 128").replace('phantom = "beads"', 'phantom = "cells"')
    assert text.count("rows = 5") == text.count("image_px = 128") == text.count('"cells"') == 1
    return parse_profile(text, "focus.toml")


@pytest.fixture
def instrument(profile: Profile) -> Iterator[Instrument]:
    opened = open_instrument(profile)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def microscope(profile: Profile) -> Iterator[SimulatedMicroscope]:
    assert profile.simulation is not None
    made = SimulatedMicroscope(profile, profile.simulation, optics_of(profile))
    yield made
    made.close()


# --- arithmetic -----------------------------------------------------------------------------------------------------


@given(st.floats(-6, 6), st.floats(0.2, 2.0), st.floats(1.5, 6), st.floats(0, 5))
def test_the_bell_finds_the_maximum_between_frames(
    centre_um: float, step_um: float, width_um: float, floor: float
) -> None:
    z_um_k = np.arange(-12, 12.01, step_um)
    sharpness_k = floor + np.exp(-(((z_um_k - centre_um) / width_um) ** 2))
    assert best_height(z_um_k, sharpness_k) == pytest.approx(centre_um, abs=max(0.05 * step_um, 0.02))


def test_noise_moves_the_maximum_by_little() -> None:
    """Frames as noisy as of a faint sample: by the sharpest three alone the height would scatter by 0.27 um."""
    rng = np.random.default_rng(0)
    z_um_k = np.concatenate([np.arange(-8, 8.01, 2.0), [3.0, -3.0, 1.0, -1.0]])
    off_um = []
    for centre_um in np.linspace(-1, 1, 200):
        sharpness_k = 1.6 + np.exp(-(((z_um_k - centre_um) / 3.5) ** 2)) + rng.normal(0, 0.07, len(z_um_k))
        off_um.append(best_height(z_um_k, sharpness_k) - centre_um)
    assert np.std(off_um) < 0.18
    assert abs(np.mean(off_um)) < 0.04


def test_no_clear_maximum_is_refused() -> None:
    z_um_k = np.arange(-4.0, 5.0)
    with pytest.raises(AutofocusError, match="Nothing on the sample is sharper anywhere from -4 to 4 um"):
        clear_maximum(z_um_k, 1 + 0.01 * np.cos(z_um_k), 0.1)
    with pytest.raises(AutofocusError, match="the last one of -4 to 4 um"):
        clear_maximum(z_um_k, np.exp(z_um_k), 0.1)
    with pytest.raises(AutofocusError, match="first"):
        clear_maximum(z_um_k, np.exp(-z_um_k), 0.1)


def test_pairs_are_opposite_and_near_the_rim() -> None:
    turn = np.arange(24) * np.pi / 12 + 0.05
    ring_l2 = 0.6 * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    pairs = opposite_pairs(np.vstack([ring_l2 / 3, ring_l2]), 0.65)
    assert pairs == [(24, 36), (30, 42)]
    with pytest.raises(AutofocusError, match="no two LEDs opposite"):
        opposite_pairs(ring_l2[:6], 0.65)
    with pytest.raises(AutofocusError, match="no two LEDs opposite"):
        opposite_pairs(ring_l2 / 3, 0.65)


def noisy(image_yx: Any, seed: int) -> Any:
    return (100 + np.random.default_rng(seed).poisson(2000 * image_yx)).astype(np.uint16)


def seen(microscope: SimulatedMicroscope, pairs: Any, raised_um: float) -> list[Any]:
    imager = microscope._imager.result()
    images = [[imager.intensity(microscope.led_na_l2[led], raised_um) for led in pair] for pair in pairs]
    return [(noisy(plus, 1), noisy(minus, 2)) for plus, minus in images]


def test_opposite_light_tells_how_far_the_sample_is_raised(microscope: SimulatedMicroscope, profile: Profile) -> None:
    """The board lies otherwise than the profile says, and the sample is strong: neither is known to the method."""
    optics: Optics = optics_of(profile)
    nominal_l2 = led_na(led_positions_mm(profile.led_board.geometry), profile.led_board.orientation)
    pairs = opposite_pairs(nominal_l2, optics.objective_na)
    na_k2 = [0.5 * (nominal_l2[a] - nominal_l2[b]) for a, b in pairs]
    at_home = defocus_um(seen(microscope, pairs, 0.0), na_k2, optics, 25.0)
    assert abs(at_home) < 3, "the cells lie within 3 um"
    for raised_um in (-10.0, -3.0, 2.0, 5.0, 10.0):
        found = defocus_um(seen(microscope, pairs, raised_um), na_k2, optics, 25.0)
        assert found - at_home == pytest.approx(raised_um, abs=0.4 + 0.05 * abs(raised_um))
    empty = [(noisy(np.ones((128, 128)), 2 * k), noisy(np.ones((128, 128)), 2 * k + 1)) for k in range(2)]
    with pytest.raises(AutofocusError, match="at no height"):
        defocus_um(empty, na_k2, optics, 25.0)


# --- through the drivers --------------------------------------------------------------------------------------------


def few_leds(instrument: Instrument) -> ExposurePlan:
    """Return a plan that is computed quickly at every height."""
    profile = instrument.profile
    return plan_for(profile, instrument.led_na_l2, changed_plan(profile, {"every": 8, "dark_frames": 0}))


def found_z_um(instrument: Instrument, settings: AutofocusSettings, start_um: float, path: Path) -> float:
    instrument.stages.move_z_um(start_um)
    plan = few_leds(instrument)
    status = scan(instrument, Experiment(plan, autofocus=settings), path)
    assert status.reason is FinishReason.COMPLETE
    assert status.focus == f"focus at z = {instrument.stages.z_um() + 0.0:.2f} um"
    return instrument.stages.z_um()


def scan(instrument: Instrument, experiment: Experiment, path: Path, **callbacks: Any) -> ScanStatus:
    run = Scan(instrument, experiment, path, instrument.capture_header(experiment.plan), **callbacks)
    run.start()
    return run.wait(60)


def test_both_ways_find_the_same_plane_from_both_sides(instrument: Instrument, tmp_path: Path) -> None:
    found = [
        found_z_um(instrument, settings, start_um, tmp_path / f"{settings.method}{start_um:g}.h5")
        for settings in (STACK, REFOCUS)
        for start_um in (-5.0, 4.0)
    ]
    assert np.ptp(found[:2]) < 0.5, found
    assert np.ptp(found[2:]) < 1.2, found
    assert np.ptp(found) < 2.0, found


def test_a_drive_that_counts_the_other_way_is_understood(
    instrument: Instrument, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = found_z_um(instrument, REFOCUS, 0.0, tmp_path / "a.h5")
    microscope = instrument.simulated
    assert microscope is not None
    place = microscope.place
    monkeypatch.setattr(microscope, "place", lambda: (*place()[:2], -place()[2]))
    assert found_z_um(instrument, REFOCUS, 6.0, tmp_path / "b.h5") == pytest.approx(-straight, abs=1.2)


def test_each_position_keeps_its_focus_and_every_n_th_time_point_searches(
    instrument: Instrument, tmp_path: Path
) -> None:
    focused: list[tuple[int, int]] = []
    heights: dict[tuple[int, int], float] = {}

    def tell(status: ScanStatus) -> None:
        if status.state is ScanState.FOCUSING and (not focused or focused[-1] != (status.time_point, status.position)):
            focused.append((status.time_point, status.position))

    plan = few_leds(instrument)
    every = STACK.model_copy(update={"every": 2})
    places = (Position("A", 0, 0, -4.0), Position("B", 0, 0, 3.0))
    status = scan(
        instrument,
        Experiment(plan, TimeLapse(0, 3), places, every),
        tmp_path / "a.h5",
        on_status=tell,
        on_frame=lambda frame: heights.setdefault((frame.time_point, frame.position), instrument.stages.z_um()),
    )
    assert status.reason is FinishReason.COMPLETE
    assert focused == [(0, 0), (0, 1), (2, 0), (2, 1)]
    # The depth of field is 0.515 um / 0.65^2 = 1.2 um.
    assert max(heights.values()) - min(heights.values()) < 0.5, "all in focus, wherever the search began"
    assert heights[1, 0] == pytest.approx(heights[0, 0], abs=0.02)
    assert len(read_capture(tmp_path / "a.h5").images_nyx) == 6 * (plan.frame_count - plan.dark_count)


def test_a_search_that_finds_nothing_goes_back_and_does_not_end_the_scan(
    instrument: Instrument, tmp_path: Path
) -> None:
    instrument.stages.move_z_um(14.0)
    plan = few_leds(instrument)
    near = AutofocusSettings(range_um=2.0, step_um=0.5)
    status = scan(instrument, Experiment(plan, autofocus=near), tmp_path / "a.h5")
    assert status.reason is FinishReason.COMPLETE
    assert "focus not found" in status.focus
    assert instrument.stages.z_um() == pytest.approx(14.0)


def test_cancel_during_the_search_goes_back(instrument: Instrument, tmp_path: Path) -> None:
    plan = few_leds(instrument)
    holder: list[Scan] = []

    def tell(status: ScanStatus) -> None:
        if status.state is ScanState.FOCUSING:
            holder[0].cancel()

    experiment = Experiment(plan, autofocus=STACK)
    holder.append(Scan(instrument, experiment, tmp_path / "a.h5", instrument.capture_header(plan), on_status=tell))
    instrument.stages.move_z_um(1.5)
    holder[0].start()
    assert holder[0].wait(60).reason is FinishReason.CANCELLED
    assert instrument.stages.z_um() == pytest.approx(1.5)


def test_a_z_drive_at_its_limit_ends_the_scan_as_failed_and_goes_back(
    instrument: Instrument, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    instrument.stages.move_z_um(1.0)
    limited = instrument.profile.stage.model_copy(update={"z_limits_um": (-20.0, 4.0)})
    monkeypatch.setattr(instrument.stages, "_settings", limited)
    status = scan(instrument, Experiment(few_leds(instrument), autofocus=STACK), tmp_path / "a.h5")
    assert status.reason is FinishReason.FAILED
    assert "outside -20 to 4 um" in status.message
    assert instrument.stages.z_um() == pytest.approx(1.0)


def test_without_a_z_drive_the_defocus_is_told(
    instrument: Instrument, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    instrument.stages.move_z_um(6.0)
    monkeypatch.setattr(instrument.stages, "z_device", "")
    plan = few_leds(instrument)
    status = scan(instrument, Experiment(plan, autofocus=REFOCUS), tmp_path / "a.h5")
    assert status.reason is FinishReason.COMPLETE
    assert "um from the focal plane; there is no z drive" in status.focus
    assert 4 < float(status.focus.split()[3]) < 9
    status = scan(instrument, Experiment(plan, autofocus=STACK), tmp_path / "b.h5")
    assert (status.reason, status.path) == (FinishReason.FAILED, None)
    assert "has no z drive" in status.message
