"""Give a finished file its name without ever replacing another one, whoever else writes into the folder."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def give_name(file: Path, name: Path) -> None:
    """Rename a file within its folder; afterwards the name lasts even if the computer stops.

    Raises
    ------
    FileExistsError
        Something has that name; nothing is changed.
    OSError
        The folder cannot be written; the file keeps its old name.
    """
    if sys.platform == "win32":
        file.rename(name)  # refuses a name that is taken
        return
    try:
        os.link(file, name)
    except FileExistsError:
        raise
    except OSError:
        _take_name(file, name)  # no hard links here, as on the FAT of memory sticks
    else:
        file.unlink()
    with suppress(OSError):  # not every system lets folders be synchronised
        _sync_folder(name.parent)


def free_name(name: Path, words: str) -> Path:
    """`NAME.h5` if that is free, else `NAME-words.h5`, `NAME-words-2.h5` and so on."""
    candidate, number = name, 1
    while os.path.lexists(candidate):
        candidate = name.with_name(f"{name.stem}-{words}{'' if number == 1 else f'-{number}'}{name.suffix}")
        number += 1
    return candidate


def _take_name(file: Path, name: Path) -> None:
    """Rename over an empty file made for it: whoever makes a file of that name fails, or had it before."""
    os.close(os.open(name, os.O_CREAT | os.O_EXCL))
    try:
        file.replace(name)
    except OSError:
        name.unlink()
        raise


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
