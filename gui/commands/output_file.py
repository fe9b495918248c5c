"""Where a command may write: refused before minutes of work go into it, and never at the cost of a capture."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING

import h5py

from acquisition.capture import SCHEMA
from acquisition.errors import OperatorError

if TYPE_CHECKING:
    from pathlib import Path


def check_output(path: Path, overwrite: bool, source: Path) -> None:
    """Refuse a name that cannot be written, or whose loss nobody can make good.

    Parameters
    ----------
    path
        Where the result is to go.
    overwrite
        Whether an existing file may be replaced.
    source
        What the result is made from.

    Raises
    ------
    OperatorError
        The file is the source or a capture, or exists and may not be replaced; its folder is missing or read-only.
    """
    other_name = "Choose another name with -o."
    if path.is_dir():
        raise OperatorError(f"{path} is a folder.", "Choose the name of a file with -o.")
    if path.exists():
        if source.exists() and path.samefile(source):
            raise OperatorError(f"{path} is what the result is made from.", other_name)
        if _is_capture(path):
            raise OperatorError(f"{path} is a capture; measured data are never overwritten.", other_name)
        if not overwrite:
            raise OperatorError(f"{path} exists already.", "Choose another name with -o, or add --overwrite.")
    folder = path.absolute().parent
    if not folder.is_dir():
        raise OperatorError(f"There is no folder {folder}.", "Make it, or choose another name with -o.")
    try:
        # Only writing tells: permissions say nothing of a disk that is mounted read-only or full.
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"fieldscope")
    except OSError as error:
        message = f"The folder {folder} cannot be written: {error.strerror}."
        raise OperatorError(message, other_name) from error


def _is_capture(path: Path) -> bool:
    """Whether this is a capture, or an HDF5 file too damaged to tell."""
    if not path.is_file() or not h5py.is_hdf5(path):
        return False
    try:
        with h5py.File(path, "r", locking=False) as file:
            return str(file.attrs.get("schema")) == SCHEMA
    except OSError:
        return True
