"""What all that write, read, check, copy or recover a capture file have in common: its schema, names and errors.

Only the `capture_*` modules know what is where in the file. Beyond the contract of version 1 they write, where it is
known, and read, where it is there:

* /entry, attribute `frames_planned`: how many frames the scan was to store (int);
* /entry, attribute `frames_unchecked` (int): of how many frames it was never checked that LEDs and frames had stayed in
  step, as the scan was paused, cancelled or failed before;
* /entry/data/image_offset (N,) int64: byte of the file at which the counts of a frame begin, uncompressed, rows of
  uint16. With it frames are read from a file that is cut off, although HDF5's own index of them lies behind the cut.
  Its attribute `images_address` says where `images` has its head: another program that rewrites the file copies the
  numbers but moves the head, so that they are known to be out of date;
* /entry/dark, attributes `exposure_ms` (float), `frames` (int: how many were averaged) and `time` (ISO 8601, UTC);
* /entry/darks (D, H, W) float32: means of the dark frames of other exposures than that of /entry/dark; attributes
  `exposure_ms` (D,) float, `frames` (D,) int, and `time` of the latest;
* /entry, attribute `is_reference` (bool): a capture of the empty field, see `acquisition.capture_reference`;
* /entry/positions_um (K, 3) float64: where the stage is sent for each position of the experiment, x y z;
* /entry/background, attributes `reference` (name of the file it comes from), `time` (when that was taken) and `frames`
  (how many were averaged for each pattern).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from acquisition.errors import OperatorError

if TYPE_CHECKING:
    from pathlib import Path

    import h5py

SCHEMA = "fieldscope-capture"
SCHEMA_VERSION = 1
PART_SUFFIX = ".part"

PER_FRAME = {
    "pattern": np.int32, "time_point": np.int32, "position": np.int32,
    "exposure_ms": np.float64, "host_time_s": np.float64, "saturated_fraction": np.float64,
}  # fmt: skip
"""Datasets of /entry/data that hold one number for each frame, beside `images`."""
FRAME_DATA = ("images", *PER_FRAME)


def images_address(data: h5py.Group) -> int:
    """Where the head of `images` lies in the file; `data` is /entry/data."""
    return int(data.id.links.get_info(b"images").u)


class CaptureError(OperatorError):
    """A capture file cannot be written or read."""


def part_path(path: Path) -> Path:
    """Where a capture lies while its scan runs: `NAME.h5.part`."""
    return path.with_name(path.name + PART_SUFFIX)


def is_schema(found: tuple[Any, Any], schema: str, schema_version: int) -> bool:
    """Whether the attributes `schema` and `schema_version` name this one; damage may have made anything of them."""
    return (str(found[0]), str(found[1])) == (schema, str(schema_version))
