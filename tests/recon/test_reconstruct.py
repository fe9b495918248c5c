"""A whole reconstruction of images that other optics made, and everything that can be wrong with a capture."""

from __future__ import annotations

import math
import shutil
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from acquisition.capture import CaptureWriter, Frame, part_path, read_capture, read_truth, sha256_of
from acquisition.errors import OperatorError
from recon.device import choose_device
from recon.fit import Fit
from recon.grid import choose_grid
from recon.illumination import nominal
from recon.measurement import Measurement
from recon.messages import FieldReady, Finished, FitProgress, FitSettings, Notice, Phase
from recon.prepare import prepare
from recon.quality import correlation, psnr_db
from recon.reconstruct import Reconstruction, State
from recon.start import reconstruct, start_stored
from tests.recon.simulate import RING_NA, SHORT_WAVES, bead, make_header, photograph, rings

QUICK = FitSettings(model="born", max_seconds=600.0, device="cpu")


def ignore(event):
    pass


def after_steps(path, steps, settings=QUICK, emit=ignore):
    """A reconstruction that has taken so many steps, or has ended before."""
    run = start_stored(1, str(path), settings, emit)
    while run.advance() and run.changes <= steps and run.state is not State.FINISHED:
        pass
    return run


def kind(events, wanted):
    return [event for event in events if isinstance(event, wanted)]


# --- how good it is ---------------------------------------------------------------------------------------------------


def closed_form(header, counts_pyx):
    """Closed form without the held-out patterns, and its grid."""
    measurement = Measurement(header)
    for pattern, counts in enumerate(counts_pyx):
        measurement.add(pattern, counts)
    images = measurement.images()
    setup = prepare(header, nominal(header), images, QUICK, ignore)
    fit = Fit(setup, torch.device("cpu"))
    fit.set_images(images)
    dn_zyx = fit.first_volume().real.clamp(min=0).numpy()
    return dn_zyx, choose_grid(header.image_shape, header.optics, header.sample_z_um)


def test_the_field_beats_the_closed_form_on_cells(cells, cells_capture):
    linear, grid = closed_form(cells.header, cells.counts_pyx)
    truth = cells.truth(grid.z_um).real
    run = after_steps(cells_capture, 60)
    run.finish("enough")
    found = run.field().volume(grid.shape_zyx).real - 1.33
    print(f"closed form {psnr_db(linear, truth):.2f} dB, field {psnr_db(found, truth):.2f} dB")
    assert psnr_db(found, truth) > psnr_db(linear, truth) + 1
    assert correlation(found, truth) > max(0.85, correlation(linear, truth))


def test_the_field_beats_the_closed_form_on_weak_cells(shared_data):
    path = shared_data / "cases" / "cells_weak.h5"
    capture, truth = read_capture(path), read_truth(path)
    linear, grid = closed_form(capture.header, capture.images_nyx[np.argsort(capture.pattern_n)])
    planes = np.interp(grid.z_um, truth.z_um, np.arange(len(truth.z_um)))
    below = np.minimum(planes.astype(int), len(truth.z_um) - 2)
    share = (planes - below)[:, None, None]
    dn = (1 - share) * truth.dn_zyx[below] + share * truth.dn_zyx[below + 1]
    run = after_steps(path, 12)
    run.finish("enough")
    found = run.field().volume(grid.shape_zyx).real - 1.33
    print(f"closed form {psnr_db(linear, dn):.2f} dB, field after 12 steps {psnr_db(found, dn):.2f} dB")
    assert psnr_db(found, dn) > psnr_db(linear, dn) + 1.5


@pytest.mark.parametrize("centre_um", [(1.0, -1.5, 1.2), (-1.2, 0.8, -1.0)])
def test_a_bead_is_where_it_is(centre_um, tmp_path):
    shot = photograph(bead(0.9, 0.012, centre_um))
    run = after_steps(shot.write(tmp_path / "bead.h5", calibrated=True), 40)
    field = run.field()
    assert field.refractive_index(centre_um).real - 1.33 > 0.006
    x, y, z = centre_um
    for elsewhere in ((x, y, -2 * z), (-x, -y, z), (y, x, z)):
        assert field.refractive_index(elsewhere).real - 1.33 < 0.003


def test_a_wrong_board_predicts_unseen_leds_worse(cells, tmp_path):
    errors = {}
    for name, factors in {"right": (1, 1), "turned": (-1, -1), "mirrored": (-1, 1)}.items():
        shot = cells.led_na_replaced(RING_NA * np.array(factors))
        events = []
        run = after_steps(shot.write(tmp_path / f"{name}.h5", calibrated=True), 30, emit=events.append)
        run.finish("enough")
        errors[name] = kind(events, Finished)[0].held_out_error
    print(errors)
    assert errors["right"] < 0.35
    assert errors["turned"] > 1.5 * errors["right"]
    assert errors["mirrored"] > 1.5 * errors["right"]


def test_multiplexed_patterns(tmp_path):
    rng = np.random.default_rng(1)
    patterns = np.zeros((24, len(RING_NA)), np.float32)
    for row in patterns:
        row[rng.choice(len(RING_NA), 2, replace=False)] = [1.0, 0.6]
    shot = photograph("cells", dn_max=0.012, patterns_pl=patterns)
    run = after_steps(shot.write(tmp_path / "pairs.h5"), 30)
    grid = choose_grid((64, 64), SHORT_WAVES, shot.header.sample_z_um)
    found = run.field().volume(grid.shape_zyx).real - 1.33
    assert correlation(found, shot.truth(grid.z_um).real) > 0.75


# --- how it goes ------------------------------------------------------------------------------------------------------


def test_events_of_a_stored_capture(cells, tmp_path):
    events = []
    path = cells.write(tmp_path / "cells.h5")
    field = reconstruct(str(path), replace(QUICK, max_seconds=4.0), events.append)
    phases = [phase.name for phase in kind(events, Phase)]
    assert phases == ["calibrating", "first volume", "fitting", "assessing", "finished"]
    (ready,) = kind(events, FieldReady)
    assert ready.bounds_um == pytest.approx(field.bounds)
    assert ready.medium_index == 1.33
    assert ready.dn_range[0] <= 0 < ready.dn_range[1] < 0.03
    assert ready.resolution_um == pytest.approx((0.396, 3.03), abs=0.01)
    progress = kind(events, FitProgress)
    assert [event.step for event in progress] == list(range(1, len(progress) + 1))
    assert all(event.frames_used == 19 and event.eta_s is not None for event in progress)
    assert progress[-1].loss < progress[0].loss
    (finished,) = kind(events, Finished)
    assert finished.reason in ("time limit", "converged")
    assert finished.held_out_error == field.history.held_out_error < progress[0].held_out_error
    assert finished.steps == field.history.steps == len(progress)
    assert finished.parameter_bytes == field.network.parameter_bytes


def test_history_of_a_field(cells_capture):
    history = reconstruct(str(cells_capture), replace(QUICK, max_seconds=0.3, seed=5), ignore).history
    assert history.forward_model == "born"
    assert history.held_out == (4, 13)
    assert history.seed == 5
    assert history.capture_name == "cells.h5"
    assert history.capture_sha256 == sha256_of(cells_capture)
    assert np.array_equal(history.led_na_l2, RING_NA)
    assert history.pattern_gain_p.shape == history.led_gain_l.shape == (19,)
    # The held-out ones were never fitted; the others differ from one by what the sample scatters away.
    assert np.isnan(history.led_gain_l[[4, 13]]).all()
    assert np.abs(np.nanmedian(history.led_gain_l) - 1.0) < 0.1
    assert "torch" in history.versions
    assert math.isfinite(history.training_loss) and history.seconds > 0


@pytest.mark.parametrize("limit_s", [0.2, 2.0])
def test_the_time_limit_is_kept_within_a_step(cells_capture, limit_s, monkeypatch):
    monkeypatch.setattr("recon.judge.SMALLEST_RATE_FACTOR", 0.0)  # a quick machine must not have converged before
    events, times = [], []
    run = start_stored(1, str(cells_capture), replace(QUICK, max_seconds=limit_s), events.append)
    start = time.monotonic()
    while run.advance():
        times.append(time.monotonic() - start)
    longest = np.diff([0.0, *times]).max()
    assert kind(events, Finished)[0].reason == "time limit"
    assert times[-1] <= max(limit_s, times[0]) + 2 * longest


def test_same_seed_same_field(cells_capture):
    first, again = (after_steps(cells_capture, 6).field().network for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    other = after_steps(cells_capture, 6, replace(QUICK, seed=1)).field().network
    assert not torch.equal(first.grids[0], other.grids[0])


def test_held_out_patterns_never_touch_the_fit(cells, tmp_path):
    """Rubbish in their place changes the figure of merit alone."""
    held_out = (3, 8)
    rubbish = cells.counts_pyx.copy()
    rubbish[list(held_out)] = np.random.default_rng(9).integers(0, 60000, (2, 64, 64), np.uint16)
    settings = replace(QUICK, hold_out=held_out)
    found = []
    for name, counts in {"good": cells.counts_pyx, "rubbish": rubbish}.items():
        events = []
        path = replace(cells, counts_pyx=counts).write(tmp_path / f"{name}.h5", calibrated=True)
        network = after_steps(path, 8, settings, events.append).field().network
        found.append((list(network.parameters()), kind(events, FitProgress)[-1]))
    (good, good_progress), (bad, bad_progress) = found
    assert all(torch.equal(a, b) for a, b in zip(good, bad, strict=True))
    assert good_progress.loss == bad_progress.loss
    assert good_progress.held_out_error < 0.4 < 0.9 < bad_progress.held_out_error


def test_the_first_volume_comes_before_the_last_frame_and_follows_the_scan(cells):
    events = []
    run = Reconstruction(1, cells.header, QUICK, events.append)
    assert not run.advance()
    ready_after = []
    order = np.random.default_rng(0).permutation(len(cells.counts_pyx))
    for number, pattern in enumerate(order.tolist(), 1):
        run.add_frame(pattern, cells.counts_pyx[pattern])
        before = len(kind(events, FieldReady))
        run.advance()
        if len(kind(events, FieldReady)) > before:
            ready_after.append(number)
    assert ready_after == [8, 12, 18]
    assert run.state is State.FITTING
    assert all(event.eta_s is None for event in kind(events, FitProgress))
    run.frames_done()
    run.advance()
    assert len(kind(events, FieldReady)) == 4
    run.advance()
    assert kind(events, FitProgress)[-1].frames_used == 19
    run.finish("finished by the operator")
    assert not run.advance()
    assert kind(events, Finished)[0].reason == "finished by the operator"


def test_a_fit_without_held_out_patterns_keeps_its_last_state_not_its_first(cells):
    """With few LEDs none is held out; then the loss decides."""
    few = [0, 1, 3, 5]
    header = make_header(SHORT_WAVES, RING_NA[few], (64, 64))
    events = []
    run = Reconstruction(1, header, QUICK, events.append)
    for pattern, row in enumerate(few):
        run.add_frame(pattern, cells.counts_pyx[row])
    run.frames_done()
    for _ in range(40):
        run.advance()
    before = run.field().volume((5, 16, 16))
    run.finish("enough")
    losses = [event.loss for event in kind(events, FitProgress)]
    assert losses[-1] < 0.9 * losses[0]
    assert kind(events, Finished)[0].held_out_error is None
    assert np.abs(run.field().volume((5, 16, 16)) - before).max() < 0.3 * np.abs(before - 1.33).max()


# --- what can be wrong ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["aborted", "failed", "running"])
def test_a_capture_that_was_cut_short(cells, tmp_path, status):
    path = cells.write(tmp_path / "cut.h5", status, patterns=[0, 7, 3, 12, 9, 16, 1, 5])
    events = []
    field = reconstruct(str(path), replace(QUICK, max_seconds=0.2), events.append)
    assert kind(events, FitProgress)[-1].frames_used == 8
    # Every ninth of the patterns that were captured, from the fifth on: there must be something to judge by.
    assert field.history.held_out == (7,)
    assert 0.0 < field.history.held_out_error < 2.0
    assert np.isfinite(field.volume((3, 8, 8))).all()


def test_a_capture_whose_program_was_killed(cells, tmp_path):
    writer = CaptureWriter(tmp_path / "a.h5", cells.header)
    for index in range(10):
        writer.write_frame(Frame(index, index, cells.counts_pyx[index], 10.0))
    left = tmp_path / "left.h5.part"
    shutil.copy(part_path(writer.path), left)
    writer.finish("aborted")
    events = []
    reconstruct(str(left), replace(QUICK, max_seconds=0.1), events.append)
    assert kind(events, FitProgress)[-1].frames_used == 10


def test_a_capture_without_frames(cells, tmp_path):
    path = cells.write(tmp_path / "empty.h5", "aborted", patterns=[])
    with pytest.raises(OperatorError, match="0 usable patterns") as error:
        reconstruct(str(path), QUICK, ignore)
    assert error.value.remedy


def test_a_capture_with_one_frame(cells, tmp_path):
    path = cells.write(tmp_path / "one.h5", "aborted", patterns=[2])
    with pytest.raises(OperatorError, match=r"1 usable patterns.*too few to fit; 2 is the least"):
        reconstruct(str(path), QUICK, ignore)


def test_frames_without_light_are_left_out_and_told(cells, tmp_path, caplog):
    counts = cells.counts_pyx.copy()
    counts[[2, 6]] = 99
    events = []
    path = replace(cells, counts_pyx=counts).write(tmp_path / "a.h5", calibrated=True)
    reconstruct(str(path), replace(QUICK, max_seconds=0.1), events.append)
    notices = [notice.text for notice in kind(events, Notice)]
    assert len(notices) == 2
    assert "pattern 2" in notices[0] and "pattern 6" in notices[1]
    assert kind(events, FitProgress)[-1].frames_used == 17


def test_a_capture_without_any_light(cells, tmp_path):
    dark = replace(cells, counts_pyx=np.full_like(cells.counts_pyx, 100))
    with pytest.raises(OperatorError, match="no frame with light") as error:
        reconstruct(str(dark.write(tmp_path / "dark.h5")), QUICK, ignore)
    assert error.value.remedy


def test_dark_field_alone_is_refused():
    header = make_header(SHORT_WAVES, rings((12, 0.8)), (64, 64))
    with pytest.raises(OperatorError, match="0 usable patterns") as error:
        Reconstruction(1, header, QUICK, ignore)
    assert "bright-field" in error.value.remedy


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "mie"}, "no forward model 'mie'"),
        ({"hold_out": (99,)}, "99 cannot be held out"),
        ({"hold_out": tuple(range(18))}, "2 is the least"),
        ({"z_um": (3.0, -3.0)}, "depth range 3 to -3"),
        ({"z_um": (-500.0, 500.0)}, "limit is 512"),
        ({"device": "abacus"}, "no device 'abacus'"),
        ({"max_seconds": 0.0}, "time limit of 0"),
        ({"max_seconds": float("nan")}, "time limit of nan"),
    ],
)
def test_settings_that_cannot_be(cells_capture, change, message):
    with pytest.raises(OperatorError, match=message) as error:
        reconstruct(str(cells_capture), replace(QUICK, **change), ignore)
    assert error.value.remedy


def test_a_missing_capture(tmp_path):
    with pytest.raises(OperatorError, match="no capture"):
        reconstruct(str(tmp_path / "none.h5"), QUICK, ignore)


def test_a_graphics_card_that_is_not_there(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == torch.device("cpu")
    with pytest.raises(OperatorError, match="no CUDA device"):
        choose_device("cuda")


def test_depths_of_the_settings_go_before_those_of_the_capture(cells_capture):
    field = after_steps(cells_capture, 1, replace(QUICK, z_um=(-1.0, 4.0))).field()
    assert field.bounds[0, 2] < -1 and field.bounds[1, 2] > 4
    assert field.grid.z_um[0] == -1 and field.grid.z_um[-1] == pytest.approx(4)


def test_the_capture_is_read_for_its_digest_once(cells_capture, monkeypatch):
    """Every picture asks for the field: it must not read gigabytes each time."""
    reads = []
    monkeypatch.setattr("recon.reconstruct.sha256_of", lambda path: reads.append(path) or "digest")
    run = after_steps(cells_capture, 2)
    run.finish("enough")
    fields = [run.field() for _ in range(5)]
    assert fields[-1].history.capture_sha256 == "digest"
    assert len(reads) == 1


def test_the_time_of_a_fit_stops_with_it(cells_capture):
    run = start_stored(1, str(cells_capture), FitSettings(max_seconds=0.3), ignore)
    while run.advance():
        pass
    before = run.field().history.seconds
    time.sleep(0.2)
    assert run.field().history.seconds == before
