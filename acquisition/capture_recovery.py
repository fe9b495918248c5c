"""Recovery of captures that an interrupted scan or a cut-off copy left behind.

The original is only read. What it holds goes into a new file, the two are compared, the new one gets its name (never
one that is taken), and only then the original goes: away when all of it was saved, else to `NAME.h5.damaged`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from acquisition.capture_layout import PART_SUFFIX, CaptureError
from acquisition.capture_reader import read_header
from acquisition.capture_rebuild import Rebuild, free_for_rebuild
from acquisition.capture_records import CaptureStatus
from acquisition.capture_salvage import DAMAGE, opened
from acquisition.disk_space import check_space
from acquisition.file_name import free_name, give_name
from acquisition.in_use import is_in_use

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    import h5py

WORDS = "recovered"
"""Stands in the new name where the old one is taken: NAME-recovered.h5."""


@dataclass(frozen=True)
class LeftPart:
    """A `.part` file in a folder.

    Attributes
    ----------
    path
        The file.
    frames
        Whole frames in it.
    readable
        False: not even its head can be read, nothing can be saved.
    in_use
        Its scan still runs, or another program has it open: hands off.
    changed_s
        Time of the last change, seconds since 1970.
    """

    path: Path
    frames: int
    readable: bool
    in_use: bool
    changed_s: float


@dataclass(frozen=True)
class Recovery:
    """What came of a recovery.

    Attributes
    ----------
    source, path
        What was recovered, and the finished capture.
    status
        Of the finished capture.
    frames_saved, frames_lost
        A frame that was begun and never finished counts as neither.
    parts_lost
        Other parts of the file, such as `/entry/dark`, that could not be read.
    kept
        Where the original lies now; None: all of it was saved and it is gone.
    """

    source: Path
    path: Path
    status: CaptureStatus
    frames_saved: int
    frames_lost: int
    parts_lost: tuple[str, ...]
    kept: Path | None


def find_parts(folder: str | os.PathLike[str]) -> list[LeftPart]:
    """List the `.part` files of a folder, the youngest first; sub-folders are not looked into.

    Raises
    ------
    CaptureError
        The folder is not there or not readable.
    """
    try:
        paths = [path for path in Path(folder).iterdir() if path.name.endswith(f".h5{PART_SUFFIX}") and path.is_file()]
        return sorted((_look_at(path) for path in paths), key=lambda part: -part.changed_s)
    except OSError as error:
        message = f"{folder} cannot be read: {error.strerror or error}."
        raise CaptureError(message, "Choose the folder that holds the captures.") from error


def recover(
    path: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Recovery:
    """Make a finished capture of what an interrupted scan, or a copy that was cut off, has left.

    Parameters
    ----------
    path
        `NAME.h5.part`, or a capture that is cut off or whose status is still running.
    output
        Name of the finished capture, also on another disk; None: NAME.h5 beside it, NAME-recovered.h5 if that is taken.
    on_progress
        Called with the number of frames copied and their total.

    Raises
    ------
    CaptureError
        The scan still runs; there is nothing to recover; nothing can be saved; or the disk is full. The original is
        then as it was.
    """
    source = Path(path)
    _check_left_alone(source)
    is_part = source.name.endswith(PART_SUFFIX)
    final = source.with_name(source.name.removesuffix(PART_SUFFIX))
    with opened(source) as capture:
        frames, counted = capture.whole_frames(), capture.frame_count()
        status = _status(capture.file)
        if is_part and final.exists() and source.samefile(final):
            source.unlink()  # the program was killed between giving the file its name and taking the old one away
            return Recovery(source, final, status or "aborted", len(frames), 0, (), None)
        if not is_part and len(frames) == counted and status not in (None, "running") and not capture.is_cut:
            raise CaptureError(f"{source} is whole: {counted} frames, {status}.", "There is nothing to recover.")
        if not frames:
            raise CaptureError(
                f"{source} holds no whole frame ({capture.size} bytes, {counted} frames begun).",
                "Look for another copy on the acquisition computer; delete this one if it is of no other use.",
            )
        goal = free_name(final, WORDS) if output is None else Path(output)
        if output is not None and goal.exists():
            raise CaptureError(f"{goal} exists already and is not overwritten.", "Choose another name with -o.")
        check_space(goal.parent, capture.size, f"a recovered copy of {source.name}")
        rebuild = Rebuild(capture, frames, lossy=True)
        unfinished = status is None or status == "running" or len(frames) < counted
        try:
            goal.parent.mkdir(parents=True, exist_ok=True)
            copy = free_for_rebuild(goal.with_name(f"{goal.name}.recovering"))
            try:
                rebuild.write(copy, "aborted" if unfinished else str(status), on_progress)
                rebuild.check(copy)
                read_header(copy)  # what makes a capture is there
                give_name(copy, goal)
            finally:
                copy.unlink(missing_ok=True)
        except OSError as error:
            raise CaptureError(
                f"The recovered copy {goal} cannot be written: {error.strerror or error}. {source} is as it was.",
                "Recover to another folder or disk with -o.",
            ) from error
    lost = len(frames) < counted or bool(rebuild.lost)
    kept = _put_away(source, final, lost) if is_part else source
    return Recovery(
        source, goal, "aborted" if unfinished else status or "aborted", len(frames), counted - len(frames),
        tuple(rebuild.lost), kept,
    )  # fmt: skip


def _check_left_alone(source: Path) -> None:
    if not source.is_file():
        raise CaptureError(f"There is no file {source}.", "Check name and folder.")
    try:
        in_use = is_in_use(source)
    except OSError as error:
        raise CaptureError(f"{source} cannot be read: {error.strerror or error}.", "Check its permissions.") from error
    if in_use:
        raise CaptureError(
            f"{source} is in use: its scan still runs, or another program has it open.",
            "Wait for the end of the scan, or close the other program.",
        )


def _look_at(path: Path) -> LeftPart:
    changed_s = path.stat().st_mtime
    try:
        in_use = is_in_use(path)
        with opened(path) as capture:
            frames = len(capture.whole_frames()) if capture.is_cut else capture.frame_count()
    except (CaptureError, *DAMAGE):
        return LeftPart(path, 0, readable=False, in_use=False, changed_s=changed_s)
    return LeftPart(path, frames, True, in_use, changed_s)


def _status(file: h5py.File) -> CaptureStatus | None:
    try:
        text = file["entry/status"][0].decode()
    except DAMAGE:
        return None
    return text if text in get_args(CaptureStatus) else None


def _put_away(source: Path, final: Path, lost: bool) -> Path | None:
    if not lost:
        source.unlink()
        return None
    kept = free_name(final.with_name(f"{final.name}.damaged"), "too")
    give_name(source, kept)
    return kept
