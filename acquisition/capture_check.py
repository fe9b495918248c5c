"""Check a capture file against its contract, and against what a microscope can do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, get_args

from acquisition.capture_check_frames import (
    check_counts,
    check_numbers,
    check_patterns,
    check_references,
    check_times,
)
from acquisition.capture_check_light import check_leds, check_optics, check_profile
from acquisition.capture_contract import ANOTHER_COPY, check_contract
from acquisition.capture_layout import CaptureError
from acquisition.capture_records import CaptureStatus
from acquisition.capture_salvage import DAMAGE, OpenCapture, opened
from acquisition.finding import Finding, error, ok, warning
from acquisition.in_use import is_in_use

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator


def check_capture(path: str | os.PathLike[str]) -> list[Finding]:
    """Look at everything in a capture that can be wrong; the file is only read.

    Parameters
    ----------
    path
        Of a scan that has ended, still runs, or was interrupted.

    Returns
    -------
    What was found, good and bad; a file without an error can be reconstructed.

    Raises
    ------
    CaptureError
        There is no such file, or it cannot be read at all for want of permission.
    """
    path = Path(path)
    if not path.is_file():
        raise CaptureError(f"There is no capture {path}.", "Check name and folder.")
    try:
        with opened(path) as capture:
            return list(_checked(capture))
    except CaptureError as fault:
        return [error("file", fault.message, fault.remedy)]


def _checked(capture: OpenCapture) -> Iterator[Finding]:
    file = capture.file
    if capture.is_cut:
        whole = len(capture.whole_frames())
        text = f"cut off after {capture.size} bytes: {whole} of {capture.frame_count()} frames are whole"
        save = f", or save what is there: fieldscope recover {capture.path}" if whole else ""
        yield error("file", text, f"Copy it again from where it was written{save}")
        return  # of the rest nobody knows what was meant
    yield ok("file", f"{capture.size / 2**20:.1f} MiB, all there")
    checks: dict[str, Callable[[], Iterator[Finding]]] = {
        "contract": lambda: check_contract(file),
        "status": lambda: _status(capture),
        "frames": lambda: check_numbers(capture),
        "patterns of frames": lambda: check_patterns(capture),
        "counts": lambda: check_counts(capture),
        "times": lambda: check_times(capture),
        "dark frame": lambda: check_references(capture),
        "optics": lambda: check_optics(file),
        "LEDs": lambda: check_leds(file),
        "profile": lambda: check_profile(file),
    }
    for name, check in checks.items():
        try:
            yield from check()
        except (*DAMAGE, ArithmeticError, LookupError) as fault:
            yield error(name, f"cannot be checked: {type(fault).__name__}: {fault}", ANOTHER_COPY)


def _status(capture: OpenCapture) -> Iterator[Finding]:
    status = capture.file["entry/status"][0].decode(errors="replace")
    if status not in get_args(CaptureStatus):
        yield error("status", f"{status!r}; known are {', '.join(get_args(CaptureStatus))}", ANOTHER_COPY)
    elif status == "complete":
        yield ok("status", status)
    elif status != "running":
        yield warning("status", status, "Reconstruct what is there, or scan again.")
    elif is_in_use(capture.path):
        yield warning("status", "the scan still runs", "Wait for its end.")
    else:
        text = "running, but nobody writes any more: the scan was interrupted"
        yield error("status", text, f"Finish the file: fieldscope recover {capture.path}")
