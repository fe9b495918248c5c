"""The file under an HDF5 file that is being written, and what a failing disk does to it."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

from acquisition.in_use import hold

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer


_END_OF_FILE_AT = 40
"""Byte of the end-of-file address in a superblock of version 0, which ``libver="earliest"`` writes."""

PAGE_BYTES = 4096
"""Least size of the system's pages, on every system."""


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

    def hold_back(self) -> None:
        """Keep what is written from now on, until `release`; to be called before HDF5 flushes."""
        self._held = []

    def release(self) -> None:
        """Write what was kept, from the end of the file to its beginning.

        HDF5's index grows towards the end, and what lies there is reached only from what lies before it. Written in
        this order a part of it is never referred to before it is there, whenever the program is killed. The system
        may end a killed program's write between two pages, so that the pages go one by one in this order as well. What
        HDF5 changes in place, as it does the nodes of its index, has to lie in one page.
        """
        held, self._held = self._held or [], None
        for place, data in sorted(held, key=lambda write: write[0], reverse=True):
            last = (place + len(data) - 1) // PAGE_BYTES
            for page in range(last, place // PAGE_BYTES - 1, -1):
                start = max(place, page * PAGE_BYTES)
                self.seek(start)
                self.write(data[start - place : (page + 1) * PAGE_BYTES - place])

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
