"""The reconstruction process as the window uses it: a real one, spawned, over its real connection."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recon import load_field, messages, shared
from recon.client import ReconstructionProcess
from recon.field_file import write_field
from recon.messages import (
    Failed,
    FieldReady,
    Finished,
    FitProgress,
    FitSettings,
    Heartbeat,
    Phase,
    Ready,
    RequestSlice,
    Saved,
    SliceImage,
)
from tests.recon.fields import rough_field
from tests.recon.simulate import RING_NA, SHORT_WAVES, make_header

PATIENCE_S = 90.0
LONG = FitSettings(max_seconds=600.0, device="cpu")
SHORT = FitSettings(max_seconds=0.5, device="cpu")


class Listener:
    """Keeps what a process says; pictures are taken out of shared memory at once, as the window does."""

    def __init__(self):
        self.events = []
        self.pictures = {}
        self.blocks = []
        self._changed = threading.Condition()

    def __call__(self, event):
        if isinstance(event, SliceImage):
            self.blocks.append(event.image.name)
            picture = shared.take(event.image)
        with self._changed:
            if isinstance(event, SliceImage):
                self.pictures.setdefault((event.run, event.view, event.request), []).append((event.step, picture))
            self.events.append(event)
            self._changed.notify_all()

    def of(self, kind, run=None, since=0):
        return [e for e in self.events[since:] if isinstance(e, kind) and (run is None or e.run == run)]

    def wait(self, kind, run=None, since=0, until=lambda event: True, failure_ends=True):
        """First event of a kind that fits; an unexpected `Failed` ends the waiting."""
        deadline = time.monotonic() + PATIENCE_S
        with self._changed:
            while True:
                for event in self.of(kind, run, since):
                    if until(event):
                        return event
                if failure_ends and kind is not Failed:
                    assert not self.of(Failed, run, since), self.of(Failed, run, since)
                left = deadline - time.monotonic()
                assert left > 0, f"no {kind.__name__} of run {run}: {[type(e).__name__ for e in self.events[since:]]}"
                self._changed.wait(min(left, 1.0))


@pytest.fixture(scope="module")
def started():
    """One process for all tests that do not kill theirs."""
    listener = Listener()
    process = ReconstructionProcess(listener, device="cpu")
    process.start()
    listener.wait(Ready)
    yield process, listener
    process.stop(10.0)
    assert not process.is_alive
    assert_taken(listener)


@pytest.fixture
def process(started):
    """The same with its earlier runs cancelled."""
    process, _ = started
    yield process
    process.send(messages.Cancel(process._runs))


@pytest.fixture
def heard(started):
    return started[1]


@pytest.fixture
def own():
    """A process of one's own to be killed."""
    listener = Listener()
    process = ReconstructionProcess(listener, device="cpu")
    process.start()
    listener.wait(Ready)
    yield process, listener
    process.stop(10.0)
    assert not process.is_alive


@pytest.fixture(autouse=True)
def every_frame_is_taken(monkeypatch):
    """Blocks that the window's side made are gone at the end of each test."""
    names = []
    share = shared.share

    def noting(array):
        made = share(array)
        if isinstance(made, messages.SharedArray):
            names.append(made.name)
        return made

    monkeypatch.setattr(shared, "share", noting)
    yield
    deadline = time.monotonic() + 10
    while any(block_exists(name) for name in names) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not [name for name in names if block_exists(name)]


def block_exists(name):
    return Path("/dev/shm", name.lstrip("/")).exists()


def assert_taken(listener):
    assert not [name for name in listener.blocks if block_exists(name)]


def plane(run, view="xy", request=1, shape=(20, 30), part="dn", z_um=0.2):
    return RequestSlice(run, view, request, (-3.0, -2.0, z_um), (6.0, 0.0, 0.0), (0.0, 4.0, 0.0), shape, part)


def feed(process, run, shot, patterns):
    for pattern in patterns:
        process.add_frame(run, pattern, shot.counts_pyx[pattern], 10.0)


# --- a scan -----------------------------------------------------------------------------------------------------------


def test_a_live_run_shows_its_volume_before_the_last_frame(process, heard, cells, cells_capture, tmp_path):
    order = np.random.default_rng(0).permutation(19).tolist()
    run = process.start_live(cells.header, replace(LONG, max_seconds=1.5), "cells.h5")
    process.add_frame(run, -1, np.full((64, 64), 100, np.uint16))
    feed(process, run, cells, order[:9])
    ready = heard.wait(FieldReady, run)
    assert ready.bounds_um.shape == (2, 3)
    process.send(plane(run))
    heard.wait(SliceImage, run)
    feed(process, run, cells, order[9:])
    heard.wait(FitProgress, run, until=lambda event: event.frames_used >= 18)
    assert not heard.of(Finished, run)
    process.frames_done(run, str(cells_capture))
    finished = heard.wait(Finished, run)
    assert finished.reason in ("time limit", "converged")
    assert finished.held_out_error < 0.4
    assert len(heard.of(FieldReady, run)) >= 2
    assert heard.of(FitProgress, run)[-1].frames_used == 19
    assert [phase.name for phase in heard.of(Phase, run)][-1] == "finished"

    process.save(run, str(tmp_path / "live.field.h5"))
    saved = heard.wait(Saved, run)
    assert saved.file_bytes == (tmp_path / "live.field.h5").stat().st_size
    field = load_field(tmp_path / "live.field.h5")
    assert field.history.capture_name == "cells.h5" and len(field.history.capture_sha256) == 64
    process.send(plane(run, "again", 7))
    heard.wait(SliceImage, run, until=lambda event: event.request == 7)
    _, picture = heard.pictures[run, "again", 7][-1]
    expected = field.slice((-3.0, -2.0, 0.2), (6.0, 0.0, 0.0), (0.0, 4.0, 0.0), (20, 30)).real - 1.33
    assert np.abs(picture - expected).max() < 0.01 * expected.max()


def test_a_stored_run(process, heard, cells_capture):
    run = process.start_stored(str(cells_capture), SHORT)
    assert heard.wait(Finished, run).held_out_error < 0.4
    assert [phase.name for phase in heard.of(Phase, run)] == ["collecting", "first volume", "fitting", "finished"]


def test_finish_now_keeps_the_field(process, heard, cells_capture):
    run = process.start_stored(str(cells_capture), LONG)
    heard.wait(FitProgress, run, until=lambda event: event.step >= 3)
    process.finish_now(run)
    finished = heard.wait(Finished, run)
    assert finished.reason == "finished by the operator" and finished.steps < 1000
    process.send(plane(run))
    heard.wait(SliceImage, run)


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
    assert not heard.of(SliceImage, run) and not heard.of(Finished, run)
    assert not (tmp_path / "none.h5").exists()


def test_a_new_run_replaces_the_old_one_whose_messages_are_dropped(process, heard, cells, cells_capture):
    old = process.start_live(cells.header, LONG)
    feed(process, old, cells, range(10))
    heard.wait(FitProgress, old)
    new = process.start_stored(str(cells_capture), LONG)
    heard.wait(FitProgress, new)
    since = len(heard.events)
    process.send(plane(new, "xy", 1))
    heard.wait(SliceImage, new)
    feed(process, old, cells, range(10, 19))
    process.frames_done(old)
    process.finish_now(old)
    process.cancel(old)
    process.send(plane(old, "xy", 99))
    # The view of the new run is still painted, again and again; nothing of the old run is heard.
    step = heard.of(FitProgress, new)[-1].step
    heard.wait(SliceImage, new, until=lambda event: event.step > step + 5)
    assert not [e for e in heard.events[since:] if getattr(e, "run", new) != new]


# --- pictures ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def field_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("fields") / "rough.field.h5"
    write_field(path, rough_field())
    return path


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
        event = heard.wait(SliceImage, opened, until=lambda e, number=number: e.request == number)
        assert (event.origin_um, event.u_um, event.v_um) == (origin, u, v)
        _, picture = heard.pictures[opened, "a", number][-1]
        index = field.slice(origin, u, v, (30, 40))
        assert picture.dtype == np.float32
        assert np.allclose(picture, index.imag if part == "kappa" else index.real - np.float32(1.33), atol=1e-6)


@pytest.mark.parametrize("kind", ["opened", "fitted"])
def test_each_request_is_answered_once_when_nothing_changes(process, heard, cells_capture, field_path, kind):
    if kind == "opened":
        run = process.open_field(str(field_path))
    else:
        run = process.start_stored(str(cells_capture), SHORT)
    heard.wait(Finished, run)
    process.send(plane(run, "large", 1, shape=(300, 300)))
    heard.wait(SliceImage, run)
    heard.wait(Heartbeat, since=len(heard.events))
    heard.wait(Heartbeat, since=len(heard.events))
    assert len(heard.pictures[run, "large", 1]) == 1


def test_the_newest_request_of_a_view_wins(process, heard, opened):
    for request in range(1, 60):
        process.send(plane(opened, "fast", request, shape=(150, 150), z_um=0.01 * request))
    heard.wait(SliceImage, opened, until=lambda event: event.request == 59)
    requests = [event.request for event in heard.of(SliceImage, opened)]
    assert requests == sorted(requests)
    assert len(requests) < 59
    process.send(plane(opened, "fast", 5))
    process.send(plane(opened, "other", 1))
    heard.wait(SliceImage, opened, until=lambda event: event.view == "other")
    assert [event.request for event in heard.of(SliceImage, opened) if event.view == "fast"][-1] == 59


def test_views_are_painted_again_while_the_field_is_fitted(process, heard, cells_capture):
    run = process.start_stored(str(cells_capture), LONG)
    heard.wait(FieldReady, run)
    for view in ("xy", "xz", "yz"):
        process.send(plane(run, view))
    for view in ("xy", "xz", "yz"):
        heard.wait(SliceImage, run, until=lambda event, view=view: event.view == view and event.step > 15)
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
        heard.wait(SliceImage, run, until=lambda event, request=request: event.request == request)
        delays.append(time.monotonic() - start)
    progress = heard.of(FitProgress, run)
    print(f"answers after {np.round(delays, 2)} s")
    assert len(progress) < 20
    assert np.median(delays) < 1.0


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


# --- mishaps ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [None, b"rubbish"])
@pytest.mark.parametrize("kind", ["capture", "field"])
def test_a_bad_file_is_told_and_survived(process, heard, tmp_path, field_path, content, kind):
    bad = tmp_path / "bad.h5"
    if content is not None:
        bad.write_bytes(content)
    run = process.start_stored(str(bad), SHORT) if kind == "capture" else process.open_field(str(bad))
    failed = heard.wait(Failed, run)
    assert str(bad) in failed.message and failed.remedy
    again = process.open_field(str(field_path))
    heard.wait(FieldReady, again)
    assert process.is_alive


def test_settings_that_cannot_be_are_told(process, heard, cells, cells_capture):
    run = process.start_live(cells.header, replace(SHORT, hold_out=(77,)))
    assert "77" in heard.wait(Failed, run).message
    feed(process, run, cells, range(3))
    run = process.start_stored(str(cells_capture), replace(SHORT, z_um=(5.0, 1.0)))
    assert heard.wait(Failed, run).remedy


def test_a_save_that_fails_does_not_end_the_fit(process, heard, cells_capture, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    run = process.start_stored(str(cells_capture), LONG)
    heard.wait(FitProgress, run)
    process.save(run, str(tmp_path / "file" / "a.field.h5"))
    failed = heard.wait(Failed, run)
    assert "Cannot write" in failed.message and failed.remedy
    step = heard.of(FitProgress, run)[-1].step
    heard.wait(FitProgress, run, until=lambda event: event.step > step + 3, failure_ends=False)
    process.save(run, str(tmp_path / "a.field.h5"))
    heard.wait(Saved, run, failure_ends=False)


def test_saving_too_early_is_told_and_the_run_goes_on(process, heard, cells, tmp_path):
    run = process.start_live(cells.header, LONG)
    process.save(run, str(tmp_path / "early.h5"))
    assert "no field to save" in heard.wait(Failed, run).message
    feed(process, run, cells, range(19))
    heard.wait(FieldReady, run, failure_ends=False)


def test_a_capture_without_light_fails_and_the_process_lives(process, heard, cells):
    run = process.start_live(cells.header, SHORT)
    for pattern in range(19):
        process.add_frame(run, pattern, np.full((64, 64), 100, np.uint16))
    process.frames_done(run)
    assert heard.wait(Failed, run).remedy
    assert len(heard.of(messages.Notice, run)) == 19
    assert process.is_alive


def test_a_frame_of_the_wrong_size_fails_the_run(process, heard, cells):
    run = process.start_live(cells.header, SHORT)
    process.add_frame(run, 0, np.zeros((3, 3), np.uint16))
    assert "does not belong" in heard.wait(Failed, run).message


def test_a_killed_process_is_reported_and_replaced(own, cells, cells_capture):
    process, heard = own
    run = process.start_stored(str(cells_capture), LONG)
    heard.wait(FitProgress, run)
    os.kill(process._session.process.pid, signal.SIGKILL)
    failed = heard.wait(Failed, -1)
    assert "signal 9" in failed.message and failed.remedy
    assert not process.is_alive
    process.add_frame(run, 0, cells.counts_pyx[0])
    process.finish_now(run)
    since = len(heard.events)
    process.start()
    heard.wait(Ready, since=since)
    again = process.start_stored(str(cells_capture), SHORT)
    assert again > run
    heard.wait(Finished, again, since)
    assert not heard.of(Failed, -1, since)


def test_a_hanging_process_is_stopped_by_force(own):
    process, heard = own
    os.kill(process._session.process.pid, signal.SIGSTOP)
    child = process._session.process
    start = time.monotonic()
    process.stop(1.0)
    assert time.monotonic() - start < 5.0
    assert not child.is_alive()
    assert not heard.of(Failed, -1)


def test_stopping_while_it_fits_and_before_it_is_ready(own, cells_capture):
    process, heard = own
    run = process.start_stored(str(cells_capture), LONG)
    heard.wait(FitProgress, run)
    child = process._session.process
    process.stop_later().join(10.0)
    assert not child.is_alive() and child.exitcode == 0
    assert not heard.of(Failed, -1)
    process.start()
    process.stop(20.0)
    assert not process.is_alive
    assert not heard.of(Failed, -1)


ORPHAN = """
import sys, time
import numpy as np
from recon.client import ReconstructionProcess
from recon.messages import FitProgress, FitSettings, Ready

def heard(event):
    if isinstance(event, Ready):
        print(process._session.process.pid, flush=True)
    if isinstance(event, FitProgress) and event.step == 3:
        print("fitting", flush=True)

if __name__ == "__main__":
    process = ReconstructionProcess(heard, "cpu")
    process.start()
    process.start_stored(sys.argv[1], FitSettings(max_seconds=600.0))
    time.sleep(600)
"""


def test_the_process_ends_when_its_window_is_killed(cells_capture, tmp_path):
    script = tmp_path / "window.py"
    script.write_text(ORPHAN)
    root = Path(__file__).parents[2]
    window = subprocess.Popen(
        [sys.executable, str(script), str(cells_capture)], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )  # fmt: skip
    try:
        child = int(window.stdout.readline())
        assert window.stdout.readline() == "fitting\n"
    finally:
        window.kill()
        window.wait(10)
        window.stdout.close()
    deadline = time.monotonic() + 15
    while is_running(child) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not is_running(child)


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


# --- shared memory ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("array", [np.arange(12, dtype=np.uint16).reshape(3, 4), np.zeros((0, 5), np.float32)])
def test_an_array_is_handed_over_once(array):
    handed = shared.share(array)
    assert np.array_equal(shared.take(handed), array)
    with pytest.raises(FileNotFoundError):
        shared.take(handed)
    shared.discard(handed)


def test_an_array_that_nobody_takes_is_discarded():
    handed = shared.share(np.ones((4, 4))[:, ::2])
    assert block_exists(handed.name)
    shared.discard(handed)
    assert not block_exists(handed.name)


def test_a_header_and_every_message_travel_by_pickle():
    import pickle

    header = make_header(SHORT_WAVES, RING_NA, (4, 4))
    again = pickle.loads(pickle.dumps(messages.StartLive(3, header, LONG, "a")))
    assert again.run == 3 and again.settings == LONG
    assert np.array_equal(again.header.led_na_l2, RING_NA)


def test_an_array_goes_through_the_pipe_where_shared_memory_is_full(monkeypatch):
    image = np.arange(12, dtype=np.uint16).reshape(3, 4)
    monkeypatch.setattr(shared, "RESERVE_BYTES", 2**62)
    assert np.array_equal(shared.take(shared.share(image)), image)
