"""What all that write, read, check, copy or recover a capture file have in common: its schema, names and errors.

Only the `capture_*` modules know what is where in the file. Beyond the contract of version 1 they write, where it is
known, and read, where it is there:

* /entry, attribute `frames_planned`: how many frames the scan was to store (int);
* /entry/dark, attributes `exposure_ms` (float), `frames` (int: how many were averaged) and `time` (ISO 8601, UTC).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from acquisition.errors import OperatorError

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = "fieldscope-capture"
SCHEMA_VERSION = 1
PART_SUFFIX = ".part"

PER_FRAME = {
    "pattern": np.int32, "time_point": np.int32, "position": np.int32,
    "exposure_ms": np.float64, "host_time_s": np.float64, "saturated_fraction": np.float64,
}  # fmt: skip
"""Datasets of /entry/data that hold one number for each frame, beside `images`."""
FRAME_DATA = ("images", *PER_FRAME)


class CaptureError(OperatorError):
    """A capture file cannot be written or read."""


def part_path(path: Path) -> Path:
    """Where a capture lies while its scan runs: `NAME.h5.part`."""
    return path.with_name(path.name + PART_SUFFIX)
