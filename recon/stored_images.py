"""Measured images of a capture file, one at a time: beside a field that was opened, and where memory holds no more."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from acquisition.capture import read_header, sha256_of
from acquisition.errors import OperatorError
from recon.measurement import Measurement
from recon.messages import FitSettings
from recon.tiles import central_window
from recon.visit import read_visit

if TYPE_CHECKING:
    import os

    import numpy as np
    from numpy.typing import NDArray

    from recon.box import Box
    from recon.result import History

HASHED_UP_TO = 2**29
"""Bytes. Of a larger capture it is not checked whether it has changed since: that would take many seconds."""
KEPT = 2
"""Images kept: while a field is fitted the same one is wanted again and again."""


class StoredImages:
    """See `recon.lights.MeasuredImages`; for a capture that does not change.

    Parameters
    ----------
    path
        The capture.
    shown
        The field that was made of it, or is being made.

    Raises
    ------
    OperatorError
        The file cannot be read, or is not the capture of this field.
    """

    def __init__(self, path: str | os.PathLike[str], shown: Box) -> None:
        history = shown.history
        self._path = Path(path)
        self._settings = FitSettings(time_point=history.time_point, position=history.position)
        header = read_header(path)
        of_field = shown.shape_zyx[1:], len(history.led_na_l2), len(history.pattern_gain_p)
        of_file = tuple(header.image_shape), *header.patterns_pl.shape[::-1]
        if of_field != of_file:
            raise OperatorError(
                f"{self._path.name} is not the capture of this field: {_what(*of_file)}, the field has"
                f" {_what(*of_field)}.",
                "Put the capture that it was made of beside it.",
            )
        glance = read_visit(str(path), self._settings, central_window(header.image_shape, 1))
        self.mean_is_one = glance.background_pyx is None
        self._header = replace(header, led_na_l2=history.led_na_l2, optics=shown.optics)
        self._kept: dict[int, NDArray[np.float32] | None] = {}

    @property
    def patterns_pl(self) -> NDArray[np.float32]:
        """See `MeasuredImages.patterns_pl`."""
        return self._header.patterns_pl

    def image(self, pattern: int) -> NDArray[np.float32] | None:
        """See `MeasuredImages.image`; it is read from the file."""
        if pattern not in self._kept:
            capture = read_visit(str(self._path), self._settings, None, [pattern])
            measurement = Measurement(self._header, capture.darks, capture.background_pyx)
            for frame in capture.frames():
                measurement.add(*frame)
            while len(self._kept) >= KEPT:
                self._kept.pop(next(iter(self._kept)))
            self._kept[pattern] = measurement.image(pattern)
        return self._kept[pattern]


def _what(image_shape: tuple[int, ...], leds: int, patterns: int) -> str:
    return f"{image_shape[0]} x {image_shape[1]} pixels, {leds} LEDs, {patterns} patterns"


def beside(field_path: str, shown: Box) -> tuple[StoredImages | None, str]:
    """Find the capture that a field was made of: beside it, else in the folder where it was then.

    Returns
    -------
    images
        None where it cannot be found or read.
    told
        Why there are none, or that the capture has changed since; else empty.
    """
    history = shown.history
    if not history.capture_name:
        return None, "The field was not saved with the name of its capture: there are no measured images."
    tried = [Path(field_path).absolute().parent / history.capture_name]
    if history.capture_folder:
        tried.append(Path(history.capture_folder) / history.capture_name)
    found = next((path for path in tried if path.is_file()), None)
    if found is None:
        where = " or ".join(str(folder) for folder in dict.fromkeys(path.parent for path in tried))
        return None, f"No measured images: there is no {history.capture_name} in {where}."
    try:
        return StoredImages(found, shown), _changed(found, history)
    except OperatorError as error:
        return None, f"No measured images: {error.message}"


def _changed(path: Path, history: History) -> str:
    state = path.stat()
    if not history.capture_sha256 or state.st_size > HASHED_UP_TO:
        return ""
    same = _sha256(path, state.st_size, state.st_mtime_ns) == history.capture_sha256
    return "" if same else f"{path.name} has changed since this field was made of it."


@lru_cache(maxsize=4)  # the fields of a time-lapse are of one capture, and each that is looked at asks
def _sha256(path: Path, size: int, changed_ns: int) -> str:
    return sha256_of(path)
