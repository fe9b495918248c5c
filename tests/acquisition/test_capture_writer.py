"""A capture that is being written: how it ends, what a kill or a full disk leaves, and what is refused."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import threading
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from acquisition import capture_writer, file_name
from acquisition.capture import (
    CaptureError,
    CaptureWriter,
    capture_bytes,
    check_space,
    part_path,
    read_capture,
    recover,
)
from acquisition.in_use import is_in_use
from tests.acquisition.captures import REPOSITORY, make_frame, make_header

# --- a scan that ends otherwise -------------------------------------------------------------------------------------


def test_file_has_its_name_only_when_the_scan_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "a.h5"
    with CaptureWriter(path, make_header()) as writer:
        assert not path.exists()
        assert part_path(path).exists()
        writer.finish("aborted")
        assert path.exists()
        assert not part_path(path).exists()
        assert writer.finish("complete") == path  # a second one changes nothing
    assert read_capture(path).status == "aborted"


def test_leaving_by_exception_leaves_a_readable_failed_capture(tmp_path: Path) -> None:
    header = make_header()
    with pytest.raises(ZeroDivisionError), CaptureWriter(tmp_path / "a.h5", header) as writer:
        writer.write_frame(make_frame(0, header))
        raise ZeroDivisionError
    capture = read_capture(tmp_path / "a.h5")
    assert (capture.status, len(capture.images_nyx)) == ("failed", 1)


def test_leaving_without_finish_is_an_abort(tmp_path: Path) -> None:
    with CaptureWriter(tmp_path / "a.h5", make_header()):
        pass
    capture = read_capture(tmp_path / "a.h5")
    assert (capture.status, len(capture.images_nyx)) == ("aborted", 0)


def test_a_running_scan_can_be_read_by_another_process(tmp_path: Path) -> None:
    header = make_header()
    script = (
        "import sys; from acquisition.capture import read_capture\n"
        "capture = read_capture(sys.argv[1]); print(capture.status, len(capture.images_nyx))"
    )
    with CaptureWriter(tmp_path / "a.h5", header) as writer:
        for number in range(3):
            writer.write_frame(make_frame(number, header))
        seen = subprocess.run(
            [sys.executable, "-c", script, part_path(tmp_path / "a.h5")],
            cwd=REPOSITORY, capture_output=True, text=True, check=True,
        )  # fmt: skip
    assert seen.stdout.split() == ["running", "3"]


WRITE_UNTIL_KILLED = """
import sys
from pathlib import Path
from acquisition.capture import CaptureWriter
from tests.acquisition.captures import make_frame, make_header
header = make_header(shape=(256, 256))
with CaptureWriter(Path(sys.argv[1]), header) as writer:
    for number in range(10**6):
        print(number, flush=True)
        writer.write_frame(make_frame(number, header))
"""


@pytest.mark.parametrize("kill", range(10))
def test_kill_keeps_every_frame_reported_as_stored(tmp_path: Path, kill: int) -> None:
    """Killed at a random moment of a scan, and recovered."""
    rng = np.random.default_rng(kill)
    frames_before_kill, wait_s = int(rng.integers(0, 90)), float(rng.uniform(0, 0.02))
    process = subprocess.Popen(
        [sys.executable, "-c", WRITE_UNTIL_KILLED, tmp_path / "a.h5"], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    reported = 0
    for line in process.stdout:
        reported = int(line)
        if reported == frames_before_kill:
            # The pipe holds what was said before the end: killed at a moment nobody chose.
            threading.Timer(wait_s, process.kill).start()
    process.wait()
    process.stdout.close()
    assert reported >= frames_before_kill

    part = part_path(tmp_path / "a.h5")
    left = read_capture(part)
    assert left.status == "running"
    with pytest.raises(CaptureError, match="There is no capture") as error:
        read_capture(tmp_path / "a.h5")
    assert "a.h5.part" in error.value.remedy
    if not len(left.images_nyx):
        assert reported == 0
        return

    recovery = recover(part)
    assert not part.exists()
    capture = read_capture(tmp_path / "a.h5")
    assert capture.status == "aborted"
    assert reported <= len(capture.images_nyx) == recovery.frames_saved <= reported + 1
    header = make_header(shape=(256, 256))
    for number in range(reported):
        frame = make_frame(number, header)
        assert np.array_equal(capture.images_nyx[number], frame.image_yx)
        assert capture.pattern_n[number] == frame.pattern


def test_disk_has_the_frames_at_least_once_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(np.arange(0, 100, 0.3))
    monkeypatch.setattr(capture_writer.time, "monotonic", lambda: float(now))
    header = make_header()
    now = next(clock)
    with CaptureWriter(tmp_path / "a.h5", header) as writer:
        synced_at: list[float] = []
        monkeypatch.setattr(capture_writer.DiskFile, "sync", lambda disk: synced_at.append(now))
        for number in range(10):
            now = next(clock)
            writer.write_frame(make_frame(number, header))
        assert len(synced_at) >= 3
        assert np.diff(synced_at).max() <= 1.0
        writer.finish("complete")
        assert synced_at[-1] == now


# --- what can go wrong ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["", ".part"])
def test_nothing_is_overwritten(tmp_path: Path, suffix: str) -> None:
    there = tmp_path / f"a.h5{suffix}"
    there.write_bytes(b"precious")
    with pytest.raises(CaptureError, match="not overwritten") as error:
        CaptureWriter(tmp_path / "a.h5", make_header())
    assert error.value.remedy
    assert there.read_bytes() == b"precious"


def test_name_taken_during_the_scan(tmp_path: Path) -> None:
    writer = CaptureWriter(tmp_path / "a.h5", make_header())
    (tmp_path / "a.h5").write_bytes(b"precious")
    with pytest.raises(CaptureError, match="appeared during the scan"):
        writer.finish("complete")
    assert (tmp_path / "a.h5").read_bytes() == b"precious"
    assert read_capture(part_path(tmp_path / "a.h5")).status == "complete"


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CaptureError, match="Cannot create"):
        CaptureWriter(tmp_path / "file" / "a.h5", make_header())


def test_full_disk_is_told_before_it_hurts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    header = make_header()
    with CaptureWriter(tmp_path / "a.h5", header) as writer:
        writer.write_frame(make_frame(0, header))
        usage = namedtuple("usage", "free")
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(3 << 20))
        with pytest.raises(CaptureError, match="full: 3 MiB free") as error:
            writer.write_frame(make_frame(1, header))
        assert "another disk" in error.value.remedy
        writer.finish("failed")
    assert len(read_capture(tmp_path / "a.h5").images_nyx) == 1


WRITE_UNTIL_FULL = """
import resource, signal, sys
from pathlib import Path
from acquisition.capture import CaptureError, CaptureWriter
from tests.acquisition.captures import make_frame, make_header
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, 2 << 20))   # the kernel refuses to let files grow beyond
header = make_header(shape=(256, 256))
try:
    with CaptureWriter(Path(sys.argv[1]), header) as writer:
        for number in range(100):
            writer.write_frame(make_frame(number, header))
except CaptureError as error:
    print(writer.frames_written, error.message)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of file sizes are POSIX")
def test_disk_that_refuses_leaves_the_frames_before(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WRITE_UNTIL_FULL, tmp_path / "a.h5"],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    stored = int(done.stdout.split()[0])
    assert "Cannot write frame to" in done.stdout
    assert f"{stored} frames are stored" in done.stdout
    left = [path for path in (tmp_path / "a.h5", part_path(tmp_path / "a.h5")) if path.exists()]
    assert len(left) == 1
    capture = read_capture(left[0])
    assert len(capture.images_nyx) >= stored > 5
    assert np.array_equal(capture.images_nyx[stored - 1], make_frame(stored - 1, capture.header).image_yx)


def test_frame_that_does_not_fit(tmp_path: Path) -> None:
    header = make_header()
    with CaptureWriter(tmp_path / "a.h5", header) as writer:
        frame = make_frame(0, header)
        with pytest.raises(ValueError, match=r"expected \(6, 8\) uint16"):
            writer.write_frame(replace(frame, image_yx=frame.image_yx[1:]))
        with pytest.raises(ValueError, match="float64, expected"):
            writer.write_frame(replace(frame, image_yx=frame.image_yx.astype(np.float64)))
        for pattern in (-1, 4):
            with pytest.raises(ValueError, match="expected 0 to 3"):
                writer.write_frame(replace(frame, pattern=pattern))
        writer.write_frame(frame)
    assert len(read_capture(tmp_path / "a.h5").images_nyx) == 1


# --- the name, the disk and the lock -------------------------------------------------------------------------------


def no_hard_links(*_: object) -> None:
    raise PermissionError("as on a memory stick")


@pytest.mark.parametrize("links", [True, False])
def test_a_name_is_given_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    if not links:
        monkeypatch.setattr(os, "link", no_hard_links)
    file, other, name = tmp_path / "a.part", tmp_path / "b.part", tmp_path / "a"
    file.write_text("first")
    other.write_text("second")
    file_name.give_name(file, name)
    with pytest.raises(FileExistsError):
        file_name.give_name(other, name)
    assert (name.read_text(), other.read_text()) == ("first", "second")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b.part"]


def test_a_rename_that_fails_leaves_no_empty_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", no_hard_links)
    monkeypatch.setattr(Path, "replace", no_hard_links)
    header = make_header()
    writer = CaptureWriter(tmp_path / "a.h5", header)
    writer.write_frame(make_frame(0, header))
    with pytest.raises(CaptureError, match=r"Cannot rename .*1 frames are stored"):
        writer.finish("complete")
    assert [path.name for path in tmp_path.iterdir()] == ["a.h5.part"]
    monkeypatch.undo()
    assert recover(tmp_path / "a.h5.part").status == "complete"  # every frame was there


def test_free_names(tmp_path: Path) -> None:
    names = []
    for _ in range(3):
        names.append(file_name.free_name(tmp_path / "a.h5", "recovered"))
        names[-1].touch()
    assert [name.name for name in names] == ["a.h5", "a-recovered.h5", "a-recovered-2.h5"]


def test_room_for_the_whole_scan_is_asked_for_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(500 << 20))
    shape = (2048, 2048)
    check_space(tmp_path / "not" / "made" / "yet", capture_bytes(50, shape))
    with pytest.raises(CaptureError, match=r"500 MiB free, \d+ MiB needed for this scan") as error:
        check_space(tmp_path, capture_bytes(60, shape))
    assert error.value.remedy
    with pytest.raises(CaptureError, match="500 MiB free"):
        CaptureWriter(tmp_path / "a.h5", make_header(shape=shape), frames_planned=60)
    assert not list(tmp_path.iterdir())
    CaptureWriter(tmp_path / "a.h5", make_header(shape=shape), frames_planned=50).discard()


def test_told_size_is_at_least_the_real_one(tmp_path: Path) -> None:
    header = make_header(shape=(64, 64))
    with CaptureWriter(tmp_path / "a.h5", header, frames_planned=200) as writer:
        for number in range(200):
            writer.write_frame(make_frame(number, header))
        writer.write_dark(np.zeros((64, 64), np.float32), 10.5, 4)
        writer.write_background(np.zeros((4, 64, 64), np.float32))
        path = writer.finish("complete")
    assert path.stat().st_size <= capture_bytes(200, (64, 64), backgrounds=4) <= path.stat().st_size + (2 << 20)
    capture = read_capture(path)
    assert (capture.frames_planned, capture.darks[0].exposure_ms) == (200, 10.5)


def test_a_file_is_in_use_until_its_scan_ends(tmp_path: Path) -> None:
    header = make_header()
    part = part_path(tmp_path / "a.h5")
    writer = CaptureWriter(tmp_path / "a.h5", header)
    assert is_in_use(part)
    read_capture(part)  # whoever reads and closes the file lifts nothing
    with h5py.File(part) as file:  # HDF5 with its own lock
        assert file["entry/status"][0] == b"running"
    assert is_in_use(part)
    with pytest.raises(CaptureError, match="in use"):
        recover(part)
    assert not is_in_use(writer.finish("complete"))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows knows who holds a file open without locks")
def test_where_there_are_no_locks_the_age_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    header = make_header()
    with CaptureWriter(tmp_path / "a.h5", header) as writer:
        writer.write_frame(make_frame(0, header))
        part = part_path(writer.path)
        assert is_in_use(part)
        os.utime(part, (0, 0))
        assert not is_in_use(part)
