"""Store in a finished capture what is found out after its scan: a calibration. Counts are never changed."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

import h5py

from acquisition.capture_layout import PART_SUFFIX, CaptureError
from acquisition.capture_reader import Reader
from acquisition.capture_writer import calibration_parts
from acquisition.disk_space import check_space

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from acquisition.capture_records import Calibration


def check_changeable(path: Path) -> None:
    """Refuse a capture in which nothing can be stored.

    Raises
    ------
    CaptureError
        As `read_capture`; or the scan still runs, the file is write-protected, or its folder cannot be written.
    """
    with Reader(path) as reader:
        status = reader.get("entry/status")[0].decode()
    if status == "running" or path.suffix == PART_SUFFIX:
        raise CaptureError(
            f"The scan of {path} still runs or was interrupted.",
            f"Wait for its end, or finish what it left: fieldscope recover {path}. `fieldscope reconstruct` takes an"
            " interrupted scan as it is and finds the board by itself.",
        )
    if (
        not path.stat().st_mode & 0o222
        or not os.access(path, os.W_OK)
        or not os.access(path.absolute().parent, os.W_OK)
    ):
        raise CaptureError(
            f"{path} or its folder is write-protected.", "Copy the capture to a folder of your own and use the copy."
        )


@contextmanager
def changed_copy(path: Path, what: str, more_bytes: int = 0) -> Iterator[h5py.File]:
    """Change a finished capture: open a copy of it, which takes its place when all has gone well.

    Whenever this is interrupted, what lies there is whole, with or without the change.

    Parameters
    ----------
    path
        The capture.
    what
        What is stored, for messages.
    more_bytes
        By how much it grows.

    Raises
    ------
    CaptureError
        As `check_changeable`; or the disk is full. Whatever is raised inside, the capture is unchanged.
    """
    check_changeable(path)
    path = path.resolve()
    check_space(path.parent, path.stat().st_size + more_bytes, f"a copy of {path.name} while it is changed")
    changed = path.with_name(f"{path.name}.changing")
    try:
        shutil.copy2(path, changed)
        with h5py.File(changed, "r+", libver="earliest", locking=False) as file:
            yield file
        with changed.open("rb+") as written:
            os.fsync(written.fileno())
        changed.replace(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise CaptureError(
            f"Cannot store {what} in {path}: {reason}. The capture is unchanged.",
            "Free as much space on the disk as the capture takes, or use a copy of the capture on another disk.",
        ) from error
    finally:
        changed.unlink(missing_ok=True)


def replace_calibration(path: Path, calibration: Calibration) -> None:
    """Store fitted LED directions and gains in a finished capture, in place of earlier ones.

    Raises
    ------
    CaptureError
        As `changed_copy`.
    """
    with changed_copy(path, "the calibration") as file:
        entry = file["entry"]
        if "calibration" in entry:
            del entry["calibration"]
        group = entry.create_group("calibration")
        for name, value in calibration_parts(calibration).items():
            group.create_dataset(name, data=value)
