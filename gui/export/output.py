"""Where an export goes: it appears whole under its name, or not at all."""

from __future__ import annotations

import errno
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from acquisition.errors import OperatorError
from gui.commands.output_file import check_output

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOM_BYTES = 50 * 10**6
"""Stays free on the disk."""
ZARR_MARKS = (".zgroup", "zarr.json")


def check_place(output: Path, overwrite: bool, source: Path) -> None:
    """Refuse a name that cannot be written; a folder may be replaced only where it is an OME-Zarr.

    Raises
    ------
    OperatorError
        As `gui.commands.output_file.check_output`.
    """
    if output.suffix.lower() == ".zarr" and output.is_dir():
        if not any((output / mark).is_file() for mark in ZARR_MARKS):
            raise OperatorError(f"{output} is a folder with something else in it.", "Choose another name with -o.")
        if not overwrite:
            raise OperatorError(f"{output} exists already.", "Choose another name with -o, or add --overwrite.")
        return
    check_output(output, overwrite, source)


@contextmanager
def new_output(output: Path, overwrite: bool, size_bytes: int = 0) -> Iterator[Path]:
    """Write here; on leaving it gets its name, and after an error or Ctrl-C nothing is left.

    Parameters
    ----------
    output, overwrite
        The name it gets, and whether what has it then may be replaced.
    size_bytes
        Size that it will have, as far as that is known.

    Raises
    ------
    OperatorError
        The disk has no room or cannot be written, or something of that name has come up meanwhile.
    """
    folder = output.absolute().parent
    free = shutil.disk_usage(folder).free
    if free < size_bytes + ROOM_BYTES:
        raise OperatorError(
            f"{output} will have {size_bytes / 1e6:.0f} MB, and {free / 1e6:.0f} MB are free on its disk.",
            "Make room, choose another disk, or larger voxels.",
        )
    try:
        with tempfile.TemporaryDirectory(prefix=f"{output.name}.", suffix=".part", dir=folder) as place:
            part = Path(place) / output.name
            yield part
            if output.exists():
                if not overwrite:
                    raise OperatorError(f"{output} exists by now.", "Choose another name with -o, or add --overwrite.")
                if output.is_dir():  # goes with the temporary folder, once the new one stands in its place
                    output.rename(Path(place) / "replaced")
            part.rename(output) if part.is_dir() else part.replace(output)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT) if hasattr(errno, "EDQUOT") else error.errno == errno.ENOSPC
        raise OperatorError(
            f"{output} cannot be written: {error.strerror or error}.",
            "Make room, or choose another disk." if full else "Check the disk, or choose another name.",
        ) from error


def size_of(path: Path) -> int:
    """Bytes of a file, or of all in a folder."""
    if path.is_file():
        return path.stat().st_size
    return sum(part.stat().st_size for part in path.rglob("*") if part.is_file())
