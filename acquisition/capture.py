"""Capture files: what one acquisition stores, as plain HDF5 that reads without this software.

The one door to them: the records, reading, writing and recovery. Only the `capture_*` modules behind it know what is
where in the file, see `acquisition.capture_layout`.
"""

from __future__ import annotations

from acquisition.capture_calibration import check_changeable, replace_calibration
from acquisition.capture_copy import copy_compressed
from acquisition.capture_dark import DarkFrame, counts_without_light
from acquisition.capture_layout import PART_SUFFIX, SCHEMA, SCHEMA_VERSION, CaptureError, part_path
from acquisition.capture_reader import Window, read_capture, read_header, read_truth, read_visits, sha256_of
from acquisition.capture_records import (
    Calibration,
    Capture,
    CaptureHeader,
    CaptureStatus,
    Frame,
    Optics,
    Truth,
)
from acquisition.capture_recovery import LeftPart, Recovery, find_parts, recover
from acquisition.capture_reference import (
    MatchedReference,
    Reference,
    ReferenceCaptureError,
    apply_reference,
    match_reference,
    read_reference,
)
from acquisition.capture_writer import CaptureWriter, check_free_name
from acquisition.disk_space import capture_bytes, check_space

__all__ = [
    "PART_SUFFIX", "SCHEMA", "SCHEMA_VERSION", "Calibration", "Capture", "CaptureError", "CaptureHeader",
    "CaptureStatus", "CaptureWriter", "DarkFrame", "Frame", "LeftPart", "MatchedReference", "Optics", "Recovery",
    "Reference", "ReferenceCaptureError", "Truth", "Window", "apply_reference", "capture_bytes", "check_changeable",
    "check_free_name", "check_space", "copy_compressed", "counts_without_light", "find_parts", "match_reference",
    "part_path", "read_capture", "read_header", "read_reference", "read_truth", "read_visits", "recover",
    "replace_calibration", "sha256_of",
]  # fmt: skip
