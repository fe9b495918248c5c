"""Runs of the reconstruction process, and the pictures it paints of them."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from recon import load_field
from recon.messages import (
    Failed,
    FieldReady,
    Finished,
    FitProgress,
    Heartbeat,
    Lights,
    LookAt,
    Looking,
    Phase,
    Picture,
    Saved,
)
from recon.view_requests import RequestLight, RequestSlice
from tests.recon.process import LONG, SHORT, feed, plane

pytestmark = pytest.mark.usefixtures("every_frame_is_taken")

# --- a scan -----------------------------------------------------------------------------------------------------------


def test_a_live_run_shows_its_volume_before_the_last_frame(process, heard, cells, cells_capture, tmp_path):
    order = np.random.default_rng(0).permutation(19).tolist()
    run = process.start_live(cells.header, replace(LONG, max_seconds=1.5), "cells.h5")
    process.add_frame(run, -1, np.full((64, 64), 100, np.uint16))
    feed(process, run, cells, order[:9])
    ready = heard.wait(FieldReady, run)
    assert ready.bounds_um.shape == (2, 3)
    process.send(plane(run))
    heard.wait(Picture, run)
    feed(process, run, cells, order[9:])
    heard.wait(FitProgress, run, until=lambda event: event.frames_used >= 18)
    assert not heard.of(Finished, run)
    process.frames_done(run, str(cells_capture))
    finished = heard.wait(Finished, run)
    assert finished.reason in ("time limit", "converged")
    assert finished.held_out_error < 0.6
    assert len(heard.of(FieldReady, run)) >= 2
    assert heard.of(FitProgress, run)[-1].frames_used == 19
    assert [phase.name for phase in heard.of(Phase, run)][-1] == "finished"

    process.save(run, str(tmp_path / "live.field.h5"))
    saved = heard.wait(Saved, run)
    assert saved.file_bytes == (tmp_path / "live.field.h5").stat().st_size
    field = load_field(tmp_path / "live.field.h5")
    assert field.history.capture_name == "cells.h5" and len(field.history.capture_sha256) == 64
    process.send(plane(run, "again", 7))
    heard.wait(Picture, run, until=lambda event: event.request == 7)
    _, picture = heard.pictures[run, "again", 7][-1]
    expected = field.slice((-3.0, -2.0, 0.2), (6.0, 0.0, 0.0), (0.0, 4.0, 0.0), (20, 30)).real - 1.33
    assert np.abs(picture - expected).max() < 0.01 * expected.max()


def test_a_stored_run(process, heard, cells_capture):
    run = process.start_stored(str(cells_capture), SHORT)
    assert heard.wait(Finished, run).held_out_error < 0.4
    phases = [phase.name for phase in heard.of(Phase, run)]
    assert phases == ["collecting", "first volume", "fitting", "assessing", "finished"]


def test_finish_now_keeps_the_field(process, heard, cells_capture):
    run = process.start_stored(str(cells_capture), LONG)
    heard.wait(FitProgress, run, until=lambda event: event.step >= 3)
    process.finish_now(run)
    finished = heard.wait(Finished, run)
    assert finished.reason == "finished by the operator" and finished.steps < 1000
    process.send(plane(run))
    heard.wait(Picture, run)


def test_cancel_discards_the_run(process, heard, cells_capture, tmp_path):
    run = process.start_stored(str(cells_capture), LONG)
    heard.wait(FitProgress, run)
    process.cancel(run)
    process.save(run, str(tmp_path / "none.h5"))
    process.send(plane(run))
    since = len(heard.events)
    heard.wait(Heartbeat, since=since)
    quiet_from = len(heard.events)
    time.sleep(1.0)
    assert not heard.of(FitProgress, run, since=quiet_from)
    assert not heard.of(Picture, run) and not heard.of(Finished, run)
    assert not (tmp_path / "none.h5").exists()


def test_a_new_run_replaces_the_old_one_whose_messages_are_dropped(process, heard, cells, cells_capture):
    old = process.start_live(cells.header, LONG)
    feed(process, old, cells, range(10))
    heard.wait(FitProgress, old)
    new = process.start_stored(str(cells_capture), LONG)
    heard.wait(FitProgress, new)
    since = len(heard.events)
    process.send(plane(new, "xy", 1))
    heard.wait(Picture, new)
    feed(process, old, cells, range(10, 19))
    process.frames_done(old)
    process.finish_now(old)
    process.cancel(old)
    process.send(plane(old, "xy", 99))
    # The view of the new run is still painted, again and again; nothing of the old run is heard.
    step = heard.of(FitProgress, new)[-1].step
    heard.wait(Picture, new, until=lambda event: event.step > step + 5)
    assert not [e for e in heard.events[since:] if getattr(e, "run", new) != new]


# --- pictures ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def opened(process, heard, field_path):
    run = process.open_field(str(field_path))
    heard.wait(FieldReady, run)
    return run


def test_an_opened_field_is_served(process, heard, opened, field_path):
    finished = heard.wait(Finished, opened)
    assert finished.reason == "opened from file" and finished.held_out_error == 0.2
    assert heard.of(FieldReady, opened)[0].bounds_um == pytest.approx(load_field(field_path).bounds)
    field = load_field(field_path)
    for number, (part, origin, u, v) in enumerate(
        [
            ("dn", (-2.0, -1.5, 0.3), (4.0, 0.0, 0.0), (0.0, 3.0, 0.0)),
            ("kappa", (0.1, -1.5, -1.5), (0.0, 3.0, 0.0), (0.0, 0.0, 3.0)),
            ("dn", (-1.0, -1.0, -1.0), (2.0, 0.5, 0.3), (0.2, 1.5, 1.0)),
        ]
    ):
        process.send(RequestSlice(opened, "a", number, origin, u, v, (30, 40), part))
        event = heard.wait(Picture, opened, until=lambda e, number=number: e.request == number)
        assert (event.asked.origin_um, event.asked.u_um, event.asked.v_um) == (origin, u, v)
        _, picture = heard.pictures[opened, "a", number][-1]
        index = field.slice(origin, u, v, (30, 40))
        assert picture.dtype == np.float32
        assert np.allclose(picture, index.imag if part == "kappa" else index.real - np.float32(1.33), atol=1e-6)


def test_pictures_come_from_another_field_while_one_is_asked_for(process, heard, cells_capture, field_path, tmp_path):
    run = process.start_stored(str(cells_capture), LONG)
    heard.wait(FieldReady, run)
    process.send(plane(run, z_um=0.3))
    heard.wait(Picture, run)
    process.send(LookAt(run, str(field_path), str(tmp_path / "next.field.h5")))
    looking = heard.wait(Looking, run)
    assert (looking.field_path, looking.held_out_error) == (str(field_path), 0.2)
    heard.wait(Picture, run, until=lambda event: event.step < 0)  # unasked: the view stays what it is
    _, picture = heard.pictures[run, "xy", 1][-1]
    asked = plane(run, z_um=0.3)
    expected = load_field(field_path).slice(asked.origin_um, asked.u_um, asked.v_um, asked.shape)
    assert np.allclose(picture, expected.real - np.float32(1.33), atol=1e-6)
    step = heard.of(FitProgress, run)[-1].step if heard.of(FitProgress, run) else 0
    heard.wait(FitProgress, run, until=lambda event: event.step > step)  # the fit goes on meanwhile
    process.save(run, str(tmp_path / "own.field.h5"))
    heard.wait(Saved, run)
    assert load_field(tmp_path / "own.field.h5").history.capture_name == cells_capture.name
    process.send(LookAt(run, str(tmp_path / "none.field.h5")))
    assert not heard.wait(Failed, run).ends_run
    since = len(heard.events)
    process.send(LookAt(run, ""))
    heard.wait(Picture, run, since, until=lambda event: event.step >= 0, failure_ends=False)


@pytest.mark.parametrize("kind", ["opened", "fitted"])
def test_each_request_is_answered_once_when_nothing_changes(process, heard, cells_capture, field_path, kind):
    if kind == "opened":
        run = process.open_field(str(field_path))
    else:
        run = process.start_stored(str(cells_capture), SHORT)
    heard.wait(Finished, run)
    process.send(plane(run, "large", 1, shape=(300, 300)))
    heard.wait(Picture, run)
    heard.wait(Heartbeat, since=len(heard.events))
    heard.wait(Heartbeat, since=len(heard.events))
    assert len(heard.pictures[run, "large", 1]) == 1


def test_the_newest_request_of_a_view_wins(process, heard, opened):
    for request in range(1, 60):
        process.send(plane(opened, "fast", request, shape=(150, 150), z_um=0.01 * request))
    heard.wait(Picture, opened, until=lambda event: event.request == 59)
    requests = [event.request for event in heard.of(Picture, opened)]
    assert requests == sorted(requests)
    assert len(requests) < 59
    process.send(plane(opened, "fast", 5))
    process.send(plane(opened, "other", 1))
    heard.wait(Picture, opened, until=lambda event: event.view == "other")
    assert [event.request for event in heard.of(Picture, opened) if event.view == "fast"][-1] == 59


def test_views_are_painted_again_while_the_field_is_fitted(process, heard, cells_capture):
    run = process.start_stored(str(cells_capture), LONG)
    heard.wait(FieldReady, run)
    for view in ("xy", "xz", "yz"):
        process.send(plane(run, view))
    for view in ("xy", "xz", "yz"):
        heard.wait(Picture, run, until=lambda event, view=view: event.view == view and event.step > 15)
        steps, pictures = zip(*heard.pictures[run, view, 1], strict=True)
        assert len(steps) >= 3 and list(steps) == sorted(set(steps))
        assert np.abs(pictures[-1] - pictures[0]).max() > 0
    before = heard.of(FitProgress, run)[-1].step
    heard.wait(FitProgress, run, until=lambda event: event.step > before + 10)


def test_a_request_is_answered_within_a_step_of_a_slow_fit(process, heard, cells):
    header, counts = tiled(cells, 5)
    run = process.start_live(header, LONG)
    for pattern, image in enumerate(counts):
        process.add_frame(run, pattern, image)
    heard.wait(FitProgress, run, until=lambda event: event.step >= 1)
    delays = []
    for request in range(1, 6):
        start = time.monotonic()
        process.send(plane(run, "xy", request, shape=(60, 60)))
        heard.wait(Picture, run, until=lambda event, request=request: event.request == request)
        delays.append(time.monotonic() - start)
    progress = heard.of(FitProgress, run)
    print(f"answers after {np.round(delays, 2)} s")
    assert len(progress) < 20
    assert np.median(delays) < 1.0


def test_lights_are_answered_while_the_field_is_fitted_and_after(process, heard, cells, cells_capture):
    run = process.start_stored(str(cells_capture), LONG)
    heard.wait(FitProgress, run)
    told = heard.wait(Lights, run)
    assert told.lit_k2.tolist() == [[k, k] for k in range(19)] and told.held_out == (4, 13)
    for request, pattern in ((1, 4), (2, 7)):
        process.send(RequestLight(run, "light", request, pattern))
        heard.wait(Picture, run, until=lambda event, request=request: event.request == request)
        step, (predicted, measured, residual) = heard.pictures[run, "light", request][-1]
        assert predicted.shape == (64, 64) and np.allclose(residual, predicted - measured)
        signal = cells.counts_pyx[pattern] - np.float32(cells.header.optics.camera_offset)
        assert np.allclose(measured, signal / signal.mean(), atol=1e-5)
        assert predicted.mean() == pytest.approx(1.0, abs=1e-4)
    heard.wait(Picture, run, until=lambda event: event.request == 2 and event.step > step)
    before = heard.of(FitProgress, run)[-1].step
    heard.wait(FitProgress, run, until=lambda event: event.step > before + 10)
    process.finish_now(run)
    heard.wait(Finished, run)
    heard.wait(Lights, run, until=lambda event: bool(np.isfinite(event.error_p).all()))


def tiled(shot, times):
    """The same cells many times over: a large capture without a long simulation."""
    shape = tuple(times * side for side in shot.header.image_shape)
    return replace(shot.header, image_shape=shape), np.tile(shot.counts_pyx, (1, times, times))


def test_the_heart_beats_also_during_the_first_volume(process, heard, cells):
    header, counts = tiled(cells, 6)
    run = process.start_live(header, LONG)
    since = len(heard.events)
    for pattern, image in enumerate(counts):
        process.add_frame(run, pattern, image)
    process.frames_done(run)
    heard.wait(FitProgress, run, until=lambda event: event.step >= 2)
    times = [event.time_s for event in heard.of(Heartbeat, since=since)]
    longest = np.diff(times).max()
    print(f"first volume and two steps took {times[-1] - times[0]:.1f} s, longest silence {longest:.2f} s")
    assert longest < 3.0
