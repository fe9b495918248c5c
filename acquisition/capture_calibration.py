"""Store a calibration in a finished capture: the one change that is made to measured data after their scan."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import h5py

from acquisition.capture_layout import PART_SUFFIX, CaptureError
from acquisition.capture_reader import Reader
from acquisition.capture_writer import calibration_parts

if TYPE_CHECKING:
    from pathlib import Path

    from acquisition.capture_records import Calibration


def check_changeable(path: Path) -> None:
    """Refuse a capture into which no calibration can be stored.

    Raises
    ------
    CaptureError
        As `read_capture`; or the scan still runs, the file is write-protected, or its folder cannot be written.
    """
    copy_it = "Copy the capture to a folder of your own and calibrate the copy."
    with Reader(path) as reader:
        status = reader.get("entry/status")[0].decode()
    if status == "running" or path.suffix == PART_SUFFIX:
        raise CaptureError(
            f"The scan of {path} still runs or was interrupted.",
            "Wait for its end. `fieldscope reconstruct` takes an interrupted scan as it is and finds the board by"
            " itself.",
        )
    if (
        not path.stat().st_mode & 0o222
        or not os.access(path, os.W_OK)
        or not os.access(path.absolute().parent, os.W_OK)
    ):
        raise CaptureError(f"{path} or its folder is write-protected.", copy_it)


def replace_calibration(path: Path, calibration: Calibration) -> None:
    """Store fitted LED directions and gains in a finished capture, in place of earlier ones.

    The capture is copied, the copy changed and put in its place: whenever this is interrupted, what lies there is
    whole, with or without the new calibration.

    Raises
    ------
    CaptureError
        As `check_changeable`; or the disk is full.
    """
    check_changeable(path)
    path = path.resolve()
    changed = path.with_name(f"{path.name}.calibrating")
    try:
        shutil.copy2(path, changed)
        with h5py.File(changed, "r+", libver="earliest", locking=False) as file:
            entry = file["entry"]
            if "calibration" in entry:
                del entry["calibration"]
            group = entry.create_group("calibration")
            for name, value in calibration_parts(calibration).items():
                group.create_dataset(name, data=value)
        with changed.open("rb+") as file:
            os.fsync(file.fileno())
        changed.replace(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise CaptureError(
            f"Cannot store the calibration in {path}: {reason}. The capture is unchanged.",
            "Free as much space on the disk as the capture takes, or calibrate a copy on another disk.",
        ) from error
    finally:
        changed.unlink(missing_ok=True)
