"""Open a capture whose end is missing, and tell which of its frames lie whole in what is there.

HDF5 refuses a file that is shorter than its own head says. Here the missing end is read as zeros: whatever lies before
the cut reads as it was written, and what lies behind it is found out by its place in the file.
"""

from __future__ import annotations

import io
import itertools
from contextlib import contextmanager
from typing import TYPE_CHECKING

import h5py

from acquisition.capture_layout import FRAME_DATA, SCHEMA, SCHEMA_VERSION, CaptureError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from _typeshed import WriteableBuffer

DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError, AttributeError)
"""What h5py raises on files that are not what they seem."""

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_END_PLACES = {0: 40, 1: 44, 2: 28, 3: 28}
"""Where the end of the file is told in the head, for each version of it ("End of File Address", HDF5 format 2.0)."""
_LARGEST_PADDING = 1 << 50


class _PaddedFile(io.FileIO):
    """A file opened for reading that seems to have its full length."""

    def __init__(self, path: Path, length: int) -> None:
        super().__init__(path, "r")
        self._length = length

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return super().seek(self._length + offset) if whence == io.SEEK_END else super().seek(offset, whence)

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        done = 0
        while done < len(view) and (count := super().readinto(view[done:])):
            done += count
        view[done:] = bytes(len(view) - done)
        return len(view)


def told_length(path: Path) -> int | None:
    """Length in bytes that an HDF5 file has by its own head; None where it does not begin as one.

    Raises
    ------
    OSError
        The file cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(64)
    if not head.startswith(_SIGNATURE) or len(head) < 64 or head[8] not in _END_PLACES:
        return None
    place = _END_PLACES[head[8]]
    length = int.from_bytes(head[place : place + 8], "little")
    return length if length < _LARGEST_PADDING else None


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """Open a capture for reading, whole or not; what is asked of it may raise any of `DAMAGE`.

    Raises
    ------
    CaptureError
        It cannot be opened in this way either, or is something else than a capture.
    """
    nothing = CaptureError(
        f"{path} cannot be opened, not even in parts: the head of the file is missing or damaged.",
        "Nothing can be saved from this copy. Look for another one on the acquisition computer; the file itself is left"
        " as it is.",
    )
    try:
        length = told_length(path)
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror or error}."
        raise CaptureError(message, "Check name and permissions.") from error
    if length is None:
        raise nothing
    with _PaddedFile(path, max(length, path.stat().st_size)) as padded:
        try:
            file = h5py.File(padded, "r")
            found = file.attrs.get("schema"), file.attrs.get("schema_version")
        except DAMAGE as error:
            raise nothing from error
        with file:
            if found != (SCHEMA, SCHEMA_VERSION):
                raise CaptureError(
                    f"{path} is not a capture this program reads: schema {found[0]} version {found[1]}.",
                    f"Choose a file of {SCHEMA} version {SCHEMA_VERSION}.",
                )
            yield file


def frame_counts(file: h5py.File) -> tuple[int, int]:
    """How many frames have all their parts by the file's own word, and how many have been begun; (0, 0): no idea."""
    try:
        counts = [len(file[f"entry/data/{name}"]) for name in FRAME_DATA]
    except DAMAGE:
        return 0, 0
    return min(counts), max(counts)


def whole_frames(file: h5py.File, size: int) -> list[int]:
    """Numbers of the frames of which every part was written and lies within the first `size` bytes of the file."""
    count, _ = frame_counts(file)
    known: dict[tuple[str, tuple[int, ...]], bool] = {}

    def is_whole(name: str, frame: int) -> bool:
        dataset = file[f"entry/data/{name}"]
        if dataset.chunks is None:
            bytes_each = dataset.nbytes // len(dataset)
            start = dataset.id.get_offset()
            return start is not None and start + (frame + 1) * bytes_each <= size
        steps = dataset.chunks
        first = frame // steps[0] * steps[0]
        rest = [range(0, length, step) for length, step in zip(dataset.shape[1:], steps[1:], strict=True)]
        for place in itertools.product([first], *rest):
            if (name, place) not in known:
                known[name, place] = _lies_within(dataset, place, size)
            if not known[name, place]:
                return False
        return True

    try:
        return [frame for frame in range(count) if all(is_whole(name, frame) for name in FRAME_DATA)]
    except DAMAGE:
        return []


def _lies_within(dataset: h5py.Dataset, place: tuple[int, ...], size: int) -> bool:
    try:
        stored = dataset.id.get_chunk_info_by_coord(place)
    except DAMAGE:
        return False  # the index of this chunk lies behind the cut
    return stored.byte_offset is not None and stored.byte_offset + stored.size <= size
