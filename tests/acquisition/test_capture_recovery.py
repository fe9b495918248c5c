"""What an interrupted scan or a cut-off copy left: every whole frame comes back, and the original is never at risk."""

from __future__ import annotations

import os
import shutil
from collections import namedtuple
from typing import TYPE_CHECKING

import h5py
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from acquisition import capture_rebuild
from acquisition.capture import (
    CaptureError,
    CaptureWriter,
    Truth,
    find_parts,
    part_path,
    read_capture,
    read_truth,
    recover,
)
from acquisition.capture_layout import FRAME_DATA
from tests.acquisition.captures import make_frame, make_header

if TYPE_CHECKING:
    from pathlib import Path

FRAMES = 80
SHAPE = (16, 24)


def leave_part(folder: Path, frames: int = FRAMES, status: bytes = b"running") -> Path:
    """Return what a killed scan leaves: with dark frame and truth, and an addition of somebody else."""
    header = make_header(shape=SHAPE)
    writer = CaptureWriter(folder / "a.h5", header, frames_planned=100)
    writer.write_truth(Truth(np.ones((3, *SHAPE), np.float32), None, np.arange(3.0), header.led_na_l2))
    writer.write_dark(np.full(SHAPE, 99.5, np.float32), 10.5, 4)
    for number in range(frames):
        writer.write_frame(make_frame(number, header))
    part = part_path(writer.path)
    part.rename(folder / "left")
    writer.discard()
    (folder / "left").rename(part)
    with h5py.File(part, "r+") as file:
        file["entry/status"][0] = status
        file["notes"] = ["temperature 23 °C"]
        file["notes"].attrs["by"] = "somebody else"
    return part


def check_frames(path: Path, numbers: list[int]) -> None:
    capture = read_capture(path)
    assert len(capture.images_nyx) == len(numbers)
    for place, number in enumerate(numbers):
        frame = make_frame(number, capture.header)
        assert np.array_equal(capture.images_nyx[place], frame.image_yx)
        assert capture.pattern_n[place] == frame.pattern
        assert capture.host_time_s_n[place] == frame.host_time_s


def test_all_of_an_interrupted_scan_comes_back(tmp_path: Path) -> None:
    part = leave_part(tmp_path)
    seen: list[tuple[int, int]] = []
    recovery = recover(part, on_progress=lambda done, total: seen.append((done, total)))
    assert (recovery.path, recovery.status, recovery.frames_saved) == (tmp_path / "a.h5", "aborted", FRAMES)
    assert (recovery.frames_lost, recovery.parts_lost, recovery.kept) == (0, (), None)
    assert seen[-1] == (FRAMES, FRAMES)
    assert [path.name for path in tmp_path.iterdir()] == ["a.h5"]
    check_frames(recovery.path, list(range(FRAMES)))
    capture = read_capture(recovery.path)
    assert capture.status == "aborted"
    assert (capture.frames_planned, capture.darks[0].exposure_ms) == (100, 10.5)
    assert np.all(capture.dark_yx == np.float32(99.5))
    assert read_truth(recovery.path) is not None
    with h5py.File(recovery.path) as file:
        assert list(file["notes"].asstr()) == ["temperature 23 °C"]
        assert file["notes"].attrs["by"] == "somebody else"
        assert file["entry/data/images"].maxshape == (None, *SHAPE)


def test_names_that_are_taken_stay(tmp_path: Path) -> None:
    for name in ("a.h5", "a-recovered.h5"):
        (tmp_path / name).write_bytes(b"precious")
    part = leave_part(tmp_path / "other")
    part.rename(tmp_path / "a.h5.part")
    assert recover(tmp_path / "a.h5.part").path.name == "a-recovered-2.h5"
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "a-recovered.h5").read_bytes() == b"precious"


def test_output_of_ones_own(tmp_path: Path) -> None:
    part = leave_part(tmp_path)
    before = part.read_bytes()
    taken = tmp_path / "taken.h5"
    taken.write_bytes(b"precious")
    with pytest.raises(CaptureError, match="not overwritten"):
        recover(part, taken)
    assert (part.read_bytes(), taken.read_bytes()) == (before, b"precious")
    assert recover(part, tmp_path / "disk 2" / "b.h5").path == tmp_path / "disk 2" / "b.h5"
    check_frames(tmp_path / "disk 2" / "b.h5", list(range(FRAMES)))


def test_a_complete_capture_that_only_lacked_its_name_stays_complete(tmp_path: Path) -> None:
    assert recover(leave_part(tmp_path, status=b"complete")).status == "complete"
    assert read_capture(tmp_path / "a.h5").status == "complete"


def test_killed_between_its_two_names(tmp_path: Path) -> None:
    part = leave_part(tmp_path, status=b"complete")
    os.link(part, tmp_path / "a.h5")
    recovery = recover(part)
    assert (recovery.path, recovery.frames_saved) == (tmp_path / "a.h5", FRAMES)
    assert [path.name for path in tmp_path.iterdir()] == ["a.h5"]
    check_frames(tmp_path / "a.h5", list(range(FRAMES)))


def test_a_frame_in_the_making_is_left_out(tmp_path: Path) -> None:
    part = leave_part(tmp_path, frames=5)
    with h5py.File(part, "r+") as file:
        file["entry/data/images"].resize(7, axis=0)
        file["entry/data/pattern"].resize(6, axis=0)
    recovery = recover(part)
    assert (recovery.frames_saved, recovery.frames_lost, recovery.kept) == (5, 0, None)
    check_frames(recovery.path, list(range(5)))


def test_half_a_recovery_of_before_is_in_nobodys_way(tmp_path: Path) -> None:
    part = leave_part(tmp_path)
    (tmp_path / "a.h5.recovering").write_bytes(b"half")
    assert recover(part).frames_saved == FRAMES
    assert [path.name for path in tmp_path.iterdir()] == ["a.h5"]


# --- files that are cut off -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return leave_part(tmp_path_factory.mktemp("left"))


def whole_within(part: Path, size: int) -> list[int]:
    """Frames of which all parts lie within the first bytes, by HDF5's own word on the uncut file."""
    with h5py.File(part) as file:
        data = file["entry/data"]
        whole = set(range(FRAMES))
        for name in (*FRAME_DATA, "image_offset"):
            for place in (data[name].id.get_chunk_info(index) for index in range(data[name].id.get_num_chunks())):
                first, count = place.chunk_offset[0], data[name].chunks[0]
                if place.byte_offset + place.size > size:
                    whole -= set(range(first, first + count))
    return sorted(whole)


@settings(max_examples=60)
@example(share=0.953125)
@given(share=st.floats(0.0, 1.0))
def test_a_cut_loses_no_whole_frame(left: Path, tmp_path_factory: pytest.TempPathFactory, share: float) -> None:
    folder = tmp_path_factory.mktemp("cut")
    part = folder / "a.h5.part"
    size = int(share * left.stat().st_size)
    part.write_bytes(left.read_bytes()[:size])
    expected = whole_within(left, size)
    try:
        recovery = recover(part)
    except CaptureError as error:
        assert error.remedy
        assert not expected
        assert part.stat().st_size == size
        assert [path.name for path in folder.iterdir()] == ["a.h5.part"]
        return
    capture = read_capture(recovery.path)
    saved = recovery.frames_saved
    assert saved == len(expected)
    check_frames(recovery.path, expected)
    if saved == FRAMES and not recovery.parts_lost:
        assert recovery.kept is None
    else:
        assert recovery.kept == folder / "a.h5.damaged"
        assert recovery.kept.read_bytes() == left.read_bytes()[:size]
        assert capture.status == "aborted"
    assert saved + recovery.frames_lost == FRAMES
    assert not find_parts(folder)


def test_a_finished_capture_that_is_cut_off_stays_where_it_is(left: Path, tmp_path: Path) -> None:
    whole = tmp_path / "a.h5"
    shutil.copy(left, whole)
    with h5py.File(whole, "r+") as file:
        file["entry/status"][0] = b"complete"
    with pytest.raises(CaptureError, match="is whole"):
        recover(whole)
    cut = whole.read_bytes()[: whole.stat().st_size * 3 // 4]
    whole.write_bytes(cut)
    recovery = recover(whole)
    assert (recovery.path.name, recovery.status, recovery.kept) == ("a-recovered.h5", "aborted", whole)
    assert 10 < recovery.frames_saved < FRAMES
    assert whole.read_bytes() == cut
    check_frames(recovery.path, list(range(recovery.frames_saved)))


@pytest.mark.parametrize("content", [b"", b"no", b"\x89HDF\r\n\x1a\n", b"\x89HDF\r\n\x1a\n" + bytes(1000)])
def test_nothing_to_save(tmp_path: Path, content: bytes) -> None:
    part = tmp_path / "a.h5.part"
    part.write_bytes(content)
    with pytest.raises(CaptureError, match="cannot be opened, not even in parts") as error:
        recover(part)
    assert error.value.remedy
    assert part.read_bytes() == content
    assert [(found.readable, found.frames) for found in find_parts(tmp_path)] == [(False, 0)]


def test_no_frames(tmp_path: Path) -> None:
    part = leave_part(tmp_path, frames=0)
    with pytest.raises(CaptureError, match="no whole frame"):
        recover(part)
    assert part.exists()


def test_a_copy_that_differs_leaves_the_original(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = leave_part(tmp_path)
    before = part.read_bytes()
    write = capture_rebuild.Rebuild.write

    def write_badly(self: capture_rebuild.Rebuild, target: Path, *arguments: object) -> None:
        write(self, target, *arguments)
        with h5py.File(target, "r+") as file:
            file["entry/data/images"][7, 3, 3] ^= 1

    monkeypatch.setattr(capture_rebuild.Rebuild, "write", write_badly)
    with pytest.raises(CaptureError, match="differs from the original in /entry/data/images"):
        recover(part)
    assert [path.name for path in tmp_path.iterdir()] == ["a.h5.part"]
    assert part.read_bytes() == before


def test_a_full_disk_leaves_the_original(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = leave_part(tmp_path)
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(1 << 20))
    with pytest.raises(CaptureError, match="full") as error:
        recover(part)
    assert "another disk" in error.value.remedy
    assert [path.name for path in tmp_path.iterdir()] == ["a.h5.part"]


# --- looking for them -------------------------------------------------------------------------------------------------


def test_parts_of_a_folder(tmp_path: Path) -> None:
    part = leave_part(tmp_path)
    os.utime(part, (1e9, 1e9))
    (tmp_path / "other.part").touch()
    (tmp_path / "sub").mkdir()
    with CaptureWriter(tmp_path / "b.h5", make_header()):
        running, interrupted = find_parts(tmp_path)
    assert (running.path.name, running.in_use, running.frames) == ("b.h5.part", True, 0)
    assert (interrupted.path, interrupted.in_use, interrupted.readable) == (part, False, True)
    assert (interrupted.frames, interrupted.changed_s) == (FRAMES, 1e9)
    with pytest.raises(CaptureError, match="cannot be read"):
        find_parts(tmp_path / "none")
    with pytest.raises(CaptureError, match="no file"):
        recover(tmp_path / "none")
