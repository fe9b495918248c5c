"""What may happen to a reconstruction process, and the memory it shares with the window."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recon import messages, shared, view_requests
from recon.client import cause_of_end
from recon.messages import Failed, FieldReady, Finished, FitProgress, Ready, Saved
from tests.recon.process import LONG, SHORT, block_exists, feed, running_process
from tests.recon.simulate import RING_NA, SHORT_WAVES, make_header

pytestmark = pytest.mark.usefixtures("every_frame_is_taken")


@pytest.fixture
def own():
    """A process of one's own to be killed."""
    with running_process() as pair:
        yield pair


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


@pytest.mark.parametrize("content", [None, b"rubbish"])
def test_a_run_that_cannot_be_gone_on_with_begins_anew(process, heard, tmp_path, cells_capture, content):
    left = tmp_path / "left.field.h5"
    if content is not None:
        left.write_bytes(content)
    run = process.resume(messages.Resume(view_requests.NO_RUN, str(left), str(cells_capture), SHORT))
    assert "begins anew" in heard.wait(messages.Notice, run).text
    assert heard.wait(FitProgress, run).step == 1
    run = process.resume(messages.Resume(view_requests.NO_RUN, str(left), "", SHORT))
    assert heard.wait(Failed, run).remedy


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
    os.kill(process._session.process.pid, signal.SIGABRT)
    failed = heard.wait(Failed, -1, since)
    assert "aborted by a library" in failed.message
    assert "Fatal Python error: Aborted" in failed.detail, "its last words"


@pytest.mark.parametrize(
    ("code", "words"),
    [(-9, "memory ran out: signal 9"), (-11, "crashed inside a library"), (-64, "signal 64"), (3, "exit code 3")],
)
def test_an_end_is_told_in_words(code, words):
    assert words in cause_of_end(code)


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
    process.stop(30.0)
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
