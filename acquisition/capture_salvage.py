"""Open a capture whose end is missing, and tell which of its frames lie whole in what is there.

HDF5 refuses a file that is shorter than its own head says. Here the missing end is read as bytes of 255, and whatever
lies before the cut reads as it was written. In this way an address that is cut off in the middle points far behind the
end, and no text in UTF-8 has such bytes; of data, their place in the file tells whether all of it is there.
"""

from __future__ import annotations

import io
import itertools
import math
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from acquisition.capture_layout import (
    FRAME_DATA,
    PER_FRAME,
    SCHEMA,
    SCHEMA_VERSION,
    CaptureError,
    images_address,
    is_schema,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from _typeshed import WriteableBuffer
    from numpy.typing import NDArray

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
        try:
            return super().seek(self._length + offset) if whence == io.SEEK_END else super().seek(offset, whence)
        except OverflowError as error:  # an address that was made of padding
            raise OSError(f"address {offset} lies beyond any file") from error

    def readinto(self, buffer: WriteableBuffer) -> int:
        view = memoryview(buffer).cast("B")
        done = 0
        while done < len(view) and (count := super().readinto(view[done:])):
            done += count
        view[done:] = b"\xff" * (len(view) - done)
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


class OpenCapture:
    """A capture opened for reading, whole or not; what is asked of `file` may raise any of `DAMAGE`.

    Attributes
    ----------
    path
        Where it lies.
    file
        As HDF5 sees it, the missing end included.
    size
        Bytes that are there.
    is_cut
        Fewer than there should be.
    """

    def __init__(self, path: Path, file: h5py.File, size: int, told_size: int) -> None:
        self.path = path
        self.file = file
        self.size = size
        self.is_cut = size < told_size

    def frame_count(self) -> int:
        """How many frames have all their parts by the file's own word; 0 where that cannot be read."""
        try:
            return min(len(self.file[f"entry/data/{name}"]) for name in FRAME_DATA)
        except DAMAGE:
            return 0

    def whole_frames(self) -> list[int]:
        """Numbers of the frames of which every part was written and is there."""
        try:
            images = self.file["entry/data/images"]
            others = [self.file[f"entry/data/{name}"] for name in PER_FRAME]
            frame_bytes = images.nbytes // max(1, len(images))
            offsets = self._offsets()
        except DAMAGE:
            return []
        return [
            frame
            for frame in range(self.frame_count())
            if (self._has(images, frame) or (frame in offsets and offsets[frame] + frame_bytes <= self.size))
            and all(self._has(dataset, frame) for dataset in others)
        ]

    def is_whole(self, dataset: h5py.Dataset) -> bool:
        """Whether all values of a dataset are there."""
        if not self.is_cut:
            return True
        if dataset.dtype.kind == "O":
            try:
                return b"\xff" not in b"".join(np.ravel(dataset[()]).tolist())
            except DAMAGE:
                return False
        return all(self._has(dataset, place) for place in range(len(dataset) if dataset.ndim else 1))

    def has_text(self, text: object) -> bool:
        """Whether nothing of an attribute's text is missing."""
        return not (self.is_cut and isinstance(text, str) and "\udcff" in text)

    def image(self, frame: int) -> NDArray[Any]:
        """Return the counts of a whole frame."""
        images = self.file["entry/data/images"]
        if not self.is_cut or self._has(images, frame):
            counts: NDArray[Any] = images[frame]
            return counts
        shape = images.shape[1:]
        raw = np.fromfile(self.path, images.dtype, math.prod(shape), offset=self._offsets()[frame])
        return raw.reshape(shape)

    @cache  # noqa: B019 - one file at a time, for as long as it is open
    def _offsets(self) -> dict[int, int]:
        """Where frames begin by the file's own list; empty where there is none that can be trusted."""
        images = self.file["entry/data/images"]
        listed = self.file["entry/data"].get("image_offset")
        if (
            listed is None
            or images.chunks != (1, *images.shape[1:])
            or images.id.get_create_plist().get_nfilters()
            or listed.attrs.get("images_address") != images_address(self.file["entry/data"])
        ):
            return {}
        return {n: int(listed[n]) for n in range(len(listed)) if self._has(listed, n)}

    def _has(self, dataset: h5py.Dataset, place: int) -> bool:
        """Whether what stands at a place of the first axis is written and lies before the cut."""
        if dataset.chunks is None:
            start, bytes_each = dataset.id.get_offset(), dataset.nbytes // (len(dataset) if dataset.ndim else 1)
            if start is None:  # in the head of the dataset, or never written
                return bool(dataset.id.get_storage_size())
            return bool(start + (place + 1) * bytes_each <= self.size)
        first = place // dataset.chunks[0] * dataset.chunks[0]
        rest = [range(0, side, step) for side, step in zip(dataset.shape[1:], dataset.chunks[1:], strict=True)]
        return all(self._chunk_is_there(dataset.name, place) for place in itertools.product([first], *rest))

    @cache  # noqa: B019
    def _chunk_is_there(self, name: str, place: tuple[int, ...]) -> bool:
        try:
            stored = self.file[name].id.get_chunk_info_by_coord(place)
        except DAMAGE:
            return False  # the index of this chunk lies behind the cut
        return stored.byte_offset is not None and stored.byte_offset + stored.size <= self.size


@contextmanager
def opened(path: Path) -> Iterator[OpenCapture]:
    """Open a capture for reading, whole or not.

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
    size = path.stat().st_size
    with _PaddedFile(path, max(length, size)) as padded:
        try:
            file = h5py.File(padded, "r")
            found = file.attrs.get("schema"), file.attrs.get("schema_version")
        except DAMAGE as error:
            raise nothing from error
        with file:
            if not is_schema(found, SCHEMA, SCHEMA_VERSION):
                raise CaptureError(
                    f"{path} is not a capture this program reads: schema {found[0]} version {found[1]}.",
                    f"Choose a file of {SCHEMA} version {SCHEMA_VERSION}.",
                )
            yield OpenCapture(path, file, size, length)
