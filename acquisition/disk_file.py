"""The file under an HDF5 file that is being written, and what a failing disk does to it."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

from acquisition.in_use import hold

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _typeshed import ReadableBuffer, WriteableBuffer


_END_OF_FILE_AT = 40
"""Byte of the end-of-file address in a superblock of version 0, which ``libver="earliest"`` writes."""

PAGE_BYTES = 4096
"""Of the system, which has none that are smaller. A node of HDF5's index has to begin with one and fits in."""
_NODE, _LEVEL_AT = b"TREE", 5
"""How a node begins, and the byte that tells its level: 0 for a leaf ("Version 1 B-trees", HDF5 format 2.0)."""


class DiskFile(io.FileIO):
    """A new file, unbuffered, for `h5py.File`, that never tells HDF5 of a full or failing disk.

    HDF5 cannot go on after a failed write: closing fails too, and the program dies at its end (segmentation fault, seen
    with HDF5 1.14). Here the first failure is kept in `error` for the writer to raise, and from then on nothing is
    written any more: on the disk remains what the last flush left, readable. While it is open it is in use
    (`acquisition.in_use`).

    Raises
    ------
    OSError
        On construction: the file exists already or cannot be made.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(path, "x+")
        hold(self)
        self.error: OSError | None = None
        self._held: list[tuple[int, bytes]] | None = None
        self._nodes: set[int] = set()  # places of those that are on the disk

    def hold_back(self) -> None:
        """Keep what is written from now on, until `release`; to be called before HDF5 flushes."""
        self._held = []

    def release(self) -> None:
        """Write what was kept, page by page, in an order in which a program may be killed at any moment.

        The system may end a killed program's write between two pages, but not within one. Nothing may be referred to
        before it is there, nor leave a place while it is not yet referred to at its new one:

        * first the new nodes of HDF5's index, to which nothing leads so far;
        * then the nodes known before, from the root to the leaves: where one was split, its parent leads to the new
          node before the old one drops what has moved there;
        * then the rest from the end to the beginning, where the heads of the datasets tell how many frames there are.
        """
        held, self._held = self._held or [], None
        for place, page in sorted((one for write in held for one in _pages(*write)), key=self._turn):
            self.seek(place)
            self.write(page)
            if page.startswith(_NODE):
                self._nodes.add(place)

    def _turn(self, write: tuple[int, bytes]) -> tuple[int, int]:
        place, page = write
        if page.startswith(_NODE):
            return (1, -page[_LEVEL_AT]) if place in self._nodes else (0, 0)
        return 2, -place

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        """Read; what was kept is written first."""
        if self._held:
            place = self.tell()
            self.release()
            self.seek(place)
        return super().readinto(buffer)

    def write(self, data: ReadableBuffer) -> int:
        """Write all of `data`, or keep the error and let HDF5 think so."""
        if self._held is not None:
            kept = bytes(data)
            self._held.append((self.tell(), kept))
            self.seek(len(kept), os.SEEK_CUR)
            return len(kept)
        rest = memoryview(data).cast("B")
        size = len(rest)
        try:
            while rest and self.error is None:
                rest = rest[super().write(rest) :]
        except OSError as error:
            self.error = error
        return size

    def truncate(self, size: int | None = None) -> int:
        """Set the size, or keep the error."""
        try:
            if self.error is None:
                super().truncate(size)
        except OSError as error:
            self.error = error
        return self.tell() if size is None else size

    def announce(self, size: int) -> None:
        """Make the file at least so long, and say so in its superblock; to be called before HDF5 flushes.

        HDF5 writes the superblock last. A program killed just before it would leave metadata behind the end that the
        superblock tells, and such a file does not open: all its frames would be lost. Telling the end first harms
        nothing, as what lies there is reached only through what the flush writes.
        """
        if self.seek(0, os.SEEK_END) < size:
            self.truncate(size)
        self.seek(_END_OF_FILE_AT)
        self.write(size.to_bytes(8, "little"))

    def raise_error(self) -> None:
        """Raise the first failure, if there was one."""
        if self.error is not None:
            raise self.error

    def sync(self) -> None:
        """Wait until the disk has everything."""
        os.fsync(self.fileno())


def _pages(place: int, data: bytes) -> Iterator[tuple[int, bytes]]:
    """Cut what is to be written at a place where the pages end."""
    start = 0
    while start < len(data):
        end = PAGE_BYTES - (place + start) % PAGE_BYTES + start
        yield place + start, data[start:end]
        start = end
