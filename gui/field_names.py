"""Names of captures and fields, and which fields belong to one time-lapse: STEM-t0003-p1.field.h5.

A second reconstruction of the same capture overwrites nothing: it is numbered, STEM-t0003-p1-2.field.h5, and its fields
belong to each other only.
"""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from pathlib import Path

Visit = tuple[int, int]
"""Time point and position, from 0 on."""

FIELD_SUFFIX = ".field.h5"
_OF_VISIT = re.compile(r"(?P<stem>.+)-t(?P<time>\d{4,})-p(?P<position>\d+)(?P<edition>-\d+)?\.field\.h5")


def capture_name(sample: str, now: datetime) -> str:
    """File name of a new capture: time first, so that names sort; then what can be kept of the sample's name."""
    kept = re.sub(r"[^\w-]+", "-", sample).strip("-")[:60]
    return f"{now:%Y%m%d-%H%M%S}{'_' + kept if kept else ''}.h5"


def capture_stem(capture: Path) -> str:
    """Name of a capture, or of a field of it, without what follows it."""
    return capture.name.removesuffix(".part").removesuffix(".h5").removesuffix(".field")


def free_field_name(capture: Path, folder: Path) -> Path:
    """NAME.field.h5 in a folder, with a number where that is taken already."""
    stem = capture_stem(capture)
    path = folder / f"{stem}{FIELD_SUFFIX}"
    number = 2
    while path.exists():
        path = folder / f"{stem}-{number}{FIELD_SUFFIX}"
        number += 1
    return path


def names_of_visits(capture: Path, folder: Path, visits: Iterable[Visit], edition: str = "") -> dict[Visit, Path]:
    """Where the fields of a capture's visits go."""
    stem = capture_stem(capture)
    return {(time, place): folder / f"{stem}-t{time:04d}-p{place}{edition}{FIELD_SUFFIX}" for time, place in visits}


def free_names_of_visits(capture: Path, folder: Path, visits: Iterable[Visit]) -> dict[Visit, Path]:
    """The same, with the first number under which there is no such file yet."""
    visits = list(visits)
    for number in itertools.count(1):
        names = names_of_visits(capture, folder, visits, "" if number == 1 else f"-{number}")
        if not any(path.exists() for path in names.values()):
            return names
    raise AssertionError("numbers do not end")


def siblings(path: Path) -> dict[Visit, Path]:
    """Fields of the same time-lapse in the same folder, by time point and position; empty where it is none.

    Raises
    ------
    OSError
        The folder cannot be read.
    """
    own = _OF_VISIT.fullmatch(path.name)
    if own is None:
        return {}
    found = {}
    for other in path.parent.iterdir():
        match = _OF_VISIT.fullmatch(other.name)
        if match and (match["stem"], match["edition"]) == (own["stem"], own["edition"]):
            found[int(match["time"]), int(match["position"])] = other
    return dict(sorted(found.items()))
