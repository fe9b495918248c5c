"""Killed at any moment of writing to the disk, a capture keeps every frame that was stored: all such moments.

They lie between two writes, and within one between two pages, where the system may end it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from acquisition.capture import CaptureWriter, read_capture
from acquisition.disk_file import DiskFile
from tests.acquisition.captures import make_frame, make_header

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

LOOKED_AT, LAST = {*range(60, 67), *range(118, 125)}, 125
"""Frames whose writes are all looked at: HDF5's index is split when it has 64, and again when it has 121."""
PAGE = 4096


def test_no_moment_between_two_writes_loses_a_frame(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, header = tmp_path / "a.h5", make_header()
    frames = [make_frame(number, header) for number in range(LAST)]
    snapshots: list[tuple[int, bytes]] = []
    write = DiskFile.write

    def write_and_look(disk: DiskFile, data: Any) -> int:
        begin = disk.tell()
        size = write(disk, data)
        if writer_ready and writer.frames_written in LOOKED_AT and disk._held is None:
            left = path.with_name("a.h5.part").read_bytes()
            snapshots.append((writer.frames_written, left))
            torn = snapshots[-2][1].ljust(len(left), b"\0") if len(snapshots) > 1 else left
            for end in range((begin // PAGE + 1) * PAGE, begin + size, PAGE):
                snapshots.insert(-1, (writer.frames_written, torn[:begin] + left[begin:end] + torn[end:]))
        return size

    writer_ready = False
    monkeypatch.setattr(DiskFile, "write", write_and_look)
    writer = CaptureWriter(path, header)
    writer_ready = True
    for frame in frames:
        writer.write_frame(frame)
    writer.finish("complete")
    assert len(snapshots) > 10 * len(LOOKED_AT)
    for stored, left in snapshots:
        part = tmp_path / "killed.h5.part"
        part.write_bytes(left)
        capture = read_capture(part)
        assert len(capture.images_nyx) >= stored
        np.testing.assert_array_equal(capture.images_nyx[:stored], [frame.image_yx for frame in frames[:stored]])
        assert capture.pattern_n[:stored].tolist() == [frame.pattern for frame in frames[:stored]]
