"""What a fit makes of its setup: which model, which patterns, whose directions, and what lies beyond the images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from acquisition.board_pose import BoardPose
from acquisition.capture import Calibration
from recon.grid import choose_grid
from recon.messages import Finished, FitSettings, Notice, Phase
from recon.quality import correlation, psnr_db
from recon.reconstruct import Reconstruction, State
from tests.recon.simulate import DEPTH_UM, RING_NA, SHORT_WAVES, Shot, bead, make_header, photograph, rings

BORN = FitSettings(model="born", max_seconds=600.0, device="cpu")
BEAM = replace(BORN, model="beam")
AUTO = replace(BORN, model="auto")


def fitted(shot, settings, steps, calibration=None):
    """A reconstruction that was ended after so many steps, and its events; all the while somebody looks at it."""
    events = []

    def look():
        if run.has_field:
            assert run.field().history.forward_model

    run = Reconstruction(1, shot.header, settings, events.append, calibration=calibration, pulse=look)
    for pattern, counts in enumerate(shot.counts_pyx):
        run.add_frame(pattern, counts)
    run.frames_done()
    while run.advance() and run.changes <= steps and run.state is not State.FINISHED:
        pass
    run.finish("enough")
    return run, events


def told(events):
    return " ".join(event.text for event in events if isinstance(event, Notice))


def held_out_error(events):
    (finished,) = (event for event in events if isinstance(event, Finished))
    return finished.held_out_error


def found_and_true(run, shot):
    """dn of a run and of the sample on the pixels of the images."""
    grid = choose_grid(shot.header.image_shape, shot.header.optics, DEPTH_UM)
    return run.field().volume(grid.shape_zyx).real - 1.33, shot.truth(grid.z_um).real


# --- which model ------------------------------------------------------------------------------------------------------


def test_auto_stays_linear_where_the_sample_scatters_weakly():
    shot = photograph("cells", 0.006, shape=(48, 48), electrons=100000.0)
    run, events = fitted(shot, AUTO, 60, shot.calibration)
    assert "the linear model suffices" in told(events)
    assert run.field().history.forward_model == "born"


def test_auto_goes_on_with_waves_where_scattering_is_strong():
    shot = photograph(bead(2.0, 0.05), shape=(48, 48))
    run, events = fitted(shot, AUTO, 75, shot.calibration)
    assert "going on with beam" in told(events)
    assert run.field().history.forward_model == "beam"
    details = [event.detail for event in events if isinstance(event, Phase) and event.name == "fitting"]
    assert "linear" in details[0] and "beam" in details[-1]
    _, linear_events = fitted(shot, BORN, 75, shot.calibration)
    print(f"linear {held_out_error(linear_events):.3f}, waves {held_out_error(events):.3f}")
    assert held_out_error(events) < 0.85 * held_out_error(linear_events)


# --- whose directions -------------------------------------------------------------------------------------------------

BOARD_NA = rings((1, 0.0), (7, 0.3), (16, 0.56))


@pytest.fixture(scope="module")
def misdirected():
    """Images of a board that is not where the head says, and the directions that its light really has."""
    positions = make_header(SHORT_WAVES, BOARD_NA, (80, 80)).led_position_mm_l3
    true_na = BoardPose((2.0, -2.5), -1.5, 1.0, SHORT_WAVES.objective_na).led_na(positions, BOARD_NA)
    shot = photograph("cells", 0.012, led_na_l2=true_na, shape=(80, 80), seed=3)
    return shot.led_na_replaced(BOARD_NA), Calibration(true_na, np.ones(24), 0.65, 0.0, "told")


def test_a_misdirected_board_is_put_right_before_the_fit(misdirected):
    shot, truth = misdirected
    errors, likeness = {}, {}
    for name, calibration in {"nominal": shot.calibration, "true": truth, "found": None}.items():
        run, events = fitted(shot, BORN, 25, calibration)
        errors[name], likeness[name] = held_out_error(events), correlation(*found_and_true(run, shot))
    print(errors, likeness)
    assert "The board was found at shift" in told(events)
    assert errors["found"] - errors["true"] < 0.45 * (errors["nominal"] - errors["true"])
    assert likeness["found"] > likeness["true"] - 0.01
    # The field says what it was made with, for whoever predicts images from it.
    assert np.hypot(*(run.field().history.led_na_l2 - truth.led_na_l2).T).max() < 0.012


def test_a_stored_calibration_is_taken_at_its_word(misdirected, tmp_path):
    shot, truth = misdirected
    calibration = replace(truth, objective_na=0.64)
    run, events = fitted(shot, BORN, 2, calibration)
    assert next(event.name for event in events if isinstance(event, Phase)) == "first volume"
    assert "board" not in told(events)
    field = run.field()
    assert np.array_equal(field.history.led_na_l2, truth.led_na_l2)
    assert field.optics.objective_na == 0.64


# --- which patterns ---------------------------------------------------------------------------------------------------

MIXED_NA = np.concatenate([RING_NA, [[0.653, 0.0]], rings((5, 0.75))])
BRIGHT, EDGE, DARK = slice(0, 19), 19, slice(20, 25)


@pytest.fixture(scope="module")
def mixed():
    """Bright field, one LED at the very edge of the aperture, and dark field."""
    return photograph("cells", 0.03, led_na_l2=MIXED_NA, shape=(48, 48))


@pytest.mark.parametrize(("settings", "dark_field"), [(BORN, False), (BEAM, True)], ids=["born", "beam"])
def test_dark_field_is_fitted_by_waves_alone_and_the_edge_by_none(mixed, settings, dark_field):
    run, events = fitted(mixed, settings, 40, mixed.calibration)
    gain_p = run.field().history.pattern_gain_p
    assert np.isnan(gain_p[EDGE])
    assert np.isnan(gain_p[[4, 13]]).all()
    assert np.isfinite(np.delete(gain_p[BRIGHT], [4, 13])).all()
    assert np.isfinite(gain_p[DARK]).any() == dark_field
    assert f"{1 if dark_field else 6} of 25 patterns" in told(events)


def test_dark_field_has_a_say_in_a_wave_fit(mixed):
    """Other images in its place give another field; in a linear fit they change nothing."""
    counts = mixed.counts_pyx.copy()
    counts[DARK] = counts[DARK][:, ::-1, ::-1]
    other = replace(mixed, counts_pyx=counts)
    for settings, same in ((BORN, True), (BEAM, False)):
        first, second = (
            fitted(shot, settings, 30, mixed.calibration)[0].field().volume((5, 16, 16)) for shot in (mixed, other)
        )
        assert np.array_equal(first, second) == same


def test_held_out_patterns_never_touch_a_wave_fit(mixed, monkeypatch):
    """Rubbish in their place changes the figure of merit alone; it would end stages as well, so here time does."""
    monkeypatch.setattr("recon.judge.STAGE_TIME", {"coarse": 0.0, "linear": 0.0})
    monkeypatch.setattr("recon.judge.LEAST_STEPS", 1)
    rubbish = mixed.counts_pyx.copy()
    rubbish[[3, 8]] = np.random.default_rng(9).integers(0, 60000, (2, 48, 48), np.uint16)
    found, errors = [], []
    for counts in (mixed.counts_pyx, rubbish):
        shot = replace(mixed, counts_pyx=counts)
        run, events = fitted(shot, replace(BEAM, hold_out=(3, 8)), 5, mixed.calibration)
        assert run.field().history.forward_model == "beam"
        found.append(list(run.field().network.parameters()))
        errors.append(held_out_error(events))
    print(errors)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
    assert errors[0] < 0.5 < 0.9 < errors[1]


# --- beyond the images ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [BORN, BEAM], ids=["born", "beam"])
def test_a_sample_that_goes_on_beyond_the_images_is_seen_better_with_a_margin(settings, monkeypatch):
    whole = photograph("cells", 0.015, shape=(96, 96))
    cut = Shot(replace(whole.header, image_shape=(48, 48)), whole.counts_pyx[:, 24:72, 24:72], whole.phantom)
    psnr, errors = {}, {}
    for wider in (True, False):
        monkeypatch.setattr("recon.prepare.reaches_rim", lambda images_pyx, wider=wider: wider)
        run, events = fitted(cut, settings, 40, cut.calibration)
        field = run.field()
        assert field.pad == (12 if wider else 0)
        assert field.bounds[1, 0] - field.bounds[0, 0] == pytest.approx(48 * 0.1625)
        psnr[wider], errors[wider] = psnr_db(*found_and_true(run, cut)), held_out_error(events)
    print(psnr, errors)
    assert psnr[True] > psnr[False] + 1.5
    assert errors[True] < 0.9 * errors[False]


def test_a_cut_out_sample_is_recognised_by_itself():
    whole = photograph("cells", 0.015, shape=(96, 96))
    cut = Shot(replace(whole.header, image_shape=(48, 48)), whole.counts_pyx[:, 24:72, 24:72], whole.phantom)
    run, _ = fitted(cut, BORN, 1, cut.calibration)
    assert run.field().pad == 12
    run, _ = fitted(photograph(bead(0.9, 0.012), shape=(48, 48)), BORN, 1, cut.calibration)
    assert run.field().pad == 0
