"""`fieldscope recover`: finish what an interrupted scan has left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from acquisition.capture import find_parts, recover
from acquisition.errors import OperatorError
from gui.commands.progress import ProgressReport

if TYPE_CHECKING:
    from pathlib import Path

    from acquisition.capture import Recovery


def recover_all(place: Path, output: Path | None) -> dict[str, Any]:
    """Recover a file, or every `.part` of a folder; what came of it, for the operator and for --json.

    Raises
    ------
    OperatorError
        A file that was named cannot be recovered; or none of those in the folder.
    """
    if not place.is_dir():
        with ProgressReport() as report:
            return {"recovered": [_recover(place, output, report)], "not_recovered": []}
    if output is not None:
        raise OperatorError("-o names one file, but a folder is to be recovered.", "Leave it out, or name one .part.")
    parts = find_parts(place)
    if not parts:
        raise OperatorError(f"{place} holds no NAME.h5.part.", "Nothing was interrupted here; look in another folder.")
    done: list[dict[str, Any]] = []
    refused: list[dict[str, str]] = []
    with ProgressReport() as report:
        for part in parts:
            try:
                done.append(_recover(part.path, None, report))
            except OperatorError as error:
                report.note(str(error))
                refused.append({"file": str(part.path), "reason": error.message, "remedy": error.remedy})
    if not done:
        raise OperatorError(f"Nothing was recovered: {refused[0]['reason']}", refused[0]["remedy"])
    return {"recovered": done, "not_recovered": refused}


def readable(result: dict[str, Any]) -> dict[str, Any]:
    """One line for each file."""
    lines: dict[str, Any] = {}
    for one in result["recovered"]:
        text = f"{one['frames_saved']} frames saved, status {one['status']}"
        if one["frames_lost"]:
            text += f", {one['frames_lost']} lost"
        if one["parts_lost"]:
            text += f", without {', '.join(one['parts_lost'])}"
        if one["kept"]:
            text += f"; the original is kept: {one['kept']}"
        lines[one["capture"]] = text
    for one in result["not_recovered"]:
        lines[one["file"]] = f"left as it is: {one['reason']}"
    return lines


def _recover(path: Path, output: Path | None, report: ProgressReport) -> dict[str, Any]:
    def tell(done: int, total: int) -> None:
        report.update(path.name, done, total, f"{done} of {total} frames")

    return _figures(recover(path, output, on_progress=tell))


def _figures(recovery: Recovery) -> dict[str, Any]:
    return {
        "capture": str(recovery.path),
        "source": str(recovery.source),
        "status": recovery.status,
        "frames_saved": recovery.frames_saved,
        "frames_lost": recovery.frames_lost,
        "parts_lost": list(recovery.parts_lost),
        "kept": None if recovery.kept is None else str(recovery.kept),
    }
