"""References: the empty field as it was scanned, and how it gets into a capture of a sample.

A reference is a capture like any other, of nothing. Its frames, averaged for each pattern, become the background of
a capture in whose terms they are put: exposed for as long as the capture's frames, on top of the capture's dark frame,

    background = (empty - dark of the reference) * exposure / exposure of the reference + dark of the capture

(each dark frame that of the nearest exposure), so that whoever divides by `background - dark` need not know where it
came from. Patterns are matched by what shines, never by their number.

The averages are not smoothed. What is uneven on the way to the camera (dust above all) has edges as sharp as those of
a sample, and only a divisor that has them too takes them away. The shot noise of the empty field gets into the images
instead: with N frames of it the noise grows by the factor sqrt(1 + 1/N), by 6 % with eight. So average more frames.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from acquisition.capture_calibration import changed_copy
from acquisition.capture_dark import EXPOSURE_TOLERANCE, counts_without_light, read_darks
from acquisition.capture_reader import Reader, read_header
from acquisition.capture_saturation import SATURATED_LIMIT
from acquisition.errors import OperatorError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    import h5py
    from numpy.typing import NDArray

    from acquisition.capture_dark import DarkFrame
    from acquisition.capture_records import CaptureHeader

OLDEST_H = 24.0
"""Age in hours from which a reference is warned of, where nobody says otherwise: dust and LEDs move within a day."""

_SAME_NA = 0.01
"""LEDs nearer to each other than this are the same one: a board that was put right in the profile has hardly moved."""
_LEVELS = 255
"""Steps in which brightness is compared."""
_OPTICS_TOLERANCE = 0.001
_NAMED = 5


class ReferenceCaptureError(OperatorError):
    """A reference that does not fit a capture, or is none."""


@dataclass(frozen=True, eq=False)
class Reference:
    """A reference as it lies in its file; its images stay there until they are needed.

    Attributes
    ----------
    path, header
        The file and its head.
    pattern_n, exposure_ms_n, saturated_fraction_n
        Of its frames.
    dark_exposures_ms
        Of its dark frames, that of the main exposure first; None where it does not tell.
    """

    path: Path
    header: CaptureHeader
    pattern_n: NDArray[np.int32]
    exposure_ms_n: NDArray[np.float64]
    saturated_fraction_n: NDArray[np.float64]
    dark_exposures_ms: tuple[float | None, ...]


@dataclass(frozen=True, eq=False)
class MatchedReference:
    """A reference that fits a capture.

    Attributes
    ----------
    reference
        Where the images are.
    header
        Head of the capture.
    row_p
        (P,) the reference's pattern for each one of the capture.
    exposure_ms_p, scale_p
        (P,) exposure in the capture, and that over the exposure in the reference.
    dark_fits
        Whether the reference's dark frames stand for the capture's.
    notices
        What the operator should know.
    """

    reference: Reference
    header: CaptureHeader
    row_p: NDArray[np.intp]
    exposure_ms_p: NDArray[np.float64]
    scale_p: NDArray[np.float64]
    dark_fits: bool
    notices: tuple[str, ...]

    @property
    def background_bytes(self) -> int:
        """By how much a capture grows."""
        height, width = self.header.image_shape
        return 4 * len(self.row_p) * height * width

    def backgrounds(self, darks: Sequence[DarkFrame] | None = None) -> Iterator[NDArray[np.float32]]:
        """Give the background of each pattern, (H, W) counts, one after the other.

        Parameters
        ----------
        darks
            Of the capture; None where its dark frames are still to come: those of the reference, which differ from them
            by the camera's noise.

        Raises
        ------
        CaptureError
            The reference cannot be read any more.
        """
        with Reader(self.reference.path) as reader:
            own_darks = read_darks(reader.get("entry"))
            own_offset, offset = (head.optics.camera_offset for head in (self.reference.header, self.header))
            images = reader.get("entry/data/images")
            for row, scale, exposure_ms in zip(self.row_p, self.scale_p, self.exposure_ms_p.tolist(), strict=True):
                frames = np.flatnonzero(self.reference.pattern_n == row)
                sum_yx = np.zeros(self.header.image_shape, np.float64)
                for frame in frames:
                    sum_yx += images[frame]
                own_yx = counts_without_light(own_darks, exposure_ms / scale, own_offset)
                empty_yx = (sum_yx / len(frames) - own_yx) * scale
                if darks is None:
                    below = counts_without_light(own_darks, exposure_ms, own_offset)
                else:
                    below = counts_without_light(darks, exposure_ms, offset)
                yield (empty_yx + below).astype(np.float32)

    def store(self, entry: h5py.Group) -> None:
        """Write background, and dark frames where there are none, into the group /entry of an open capture.

        Raises
        ------
        CaptureError
            The reference cannot be read any more.
        OSError
            The capture cannot be written.
            Either way what was begun is taken out again.
        """
        if self.dark_fits and "dark" not in entry:
            with Reader(self.reference.path) as reader:
                for name in ("dark", "darks"):
                    if name in reader.file["entry"]:
                        reader.file.copy(f"entry/{name}", entry, name)
        if "background" in entry:
            del entry["background"]
        shape = (len(self.row_p), *self.header.image_shape)
        try:
            background = entry.create_dataset("background", shape, np.float32, chunks=(1, *shape[1:]))
            for pattern, image_yx in enumerate(self.backgrounds(read_darks(entry))):
                background[pattern] = image_yx
            background.attrs.update(
                reference=self.reference.path.name,
                time=self.reference.header.start_time or "",
                frames=int(np.bincount(self.reference.pattern_n)[self.row_p].min()),
            )
        except (OSError, OperatorError):
            entry.pop("background", None)
            raise


def read_reference(path: str | os.PathLike[str]) -> Reference:
    """Read what a reference holds, its images apart.

    Raises
    ------
    CaptureError, ReferenceCaptureError
        As `read_header`; or the capture is no reference, or its scan still runs.
    """
    with Reader(path) as reader:
        header = reader.header()
        if not header.is_reference:
            raise ReferenceCaptureError(
                f"{path} is a capture, but not one of an empty field.",
                "Take the sample away and run: fieldscope reference -o empty.h5",
            )
        if reader.get("entry/status")[0] == b"running":
            raise ReferenceCaptureError(
                f"The scan of {path} still runs or was interrupted.",
                f"Wait for its end, or run: fieldscope recover {path}",
            )
        data = {name: reader.get(f"entry/data/{name}")[()] for name in ("pattern", "exposure_ms", "saturated_fraction")}
        return Reference(
            Path(path),
            header,
            data["pattern"],
            data["exposure_ms"],
            data["saturated_fraction"],
            tuple(dark.exposure_ms for dark in read_darks(reader.get("entry"), (slice(0), slice(0)))),
        )


def match_reference(
    reference: Reference,
    header: CaptureHeader,
    exposure_ms_p: NDArray[np.float64],
    has_dark: bool,
    main_exposure_ms: float,
    oldest_h: float = OLDEST_H,
) -> MatchedReference:
    """Find out whether a reference fits a capture, and how.

    Parameters
    ----------
    reference, header
        The two; without a start time the capture begins now.
    exposure_ms_p
        (P,) exposure of each of the capture's patterns.
    has_dark, main_exposure_ms
        Whether the capture has a dark frame of its own, or will have; and the exposure that one of the reference must
        have to stand for it.
    oldest_h
        Age from which the operator is warned.

    Raises
    ------
    ReferenceCaptureError
        Another camera, optics or light than the capture's, or patterns that the reference has not.
    """
    _check_optics(reference, header)
    row_p = _rows(reference, header)
    own_ms_p = np.array([reference.exposure_ms_n[np.flatnonzero(reference.pattern_n == row)[0]] for row in row_p])
    scale_p = np.asarray(exposure_ms_p, np.float64) / own_ms_p
    name, notices = reference.path.name, []
    scaled = np.flatnonzero(np.abs(scale_p - 1) > EXPOSURE_TOLERANCE)
    if len(scaled):
        most = scaled[np.argmax(np.abs(np.log(scale_p[scaled])))]
        notices.append(
            f"{len(scaled)} of {len(row_p)} patterns were exposed otherwise in {name} (pattern {most}:"
            f" {own_ms_p[most]:g} ms, here {exposure_ms_p[most]:g} ms): their counts are scaled."
        )
    age_h = _age_h(reference.header.start_time, header.start_time)
    if age_h is not None and age_h > oldest_h:
        notices.append(
            f"{name} was taken {age_h:.0f} h away from this capture; {oldest_h:g} h is the limit"
            " (plan.reference_max_age_h). Dust and LEDs may have moved: take a new one."
        )
    bright = reference.saturated_fraction_n[np.isin(reference.pattern_n, row_p)].max(initial=0.0)
    if bright > SATURATED_LIMIT:
        notices.append(
            f"{name} has up to {bright:.1%} saturated pixels; {SATURATED_LIMIT:.1%} is the limit. Take it again with a"
            " shorter exposure."
        )
    dark_ms = reference.dark_exposures_ms[0] if reference.dark_exposures_ms else None
    dark_fits = not has_dark and dark_ms is not None and abs(dark_ms / main_exposure_ms - 1) <= EXPOSURE_TOLERANCE
    if dark_fits:
        notices.append(f"The dark frame comes from {name}.")
    elif not has_dark:
        found = "has no dark frame" if dark_ms is None else f"has a dark frame of {dark_ms:g} ms"
        notices.append(
            f"{name} {found}, this capture exposes {main_exposure_ms:g} ms: camera.offset_counts is subtracted instead."
            " Take dark frames with the scan (plan.dark_frames), or a reference of the same exposure."
        )
    exposure_ms_p = np.asarray(exposure_ms_p, np.float64)
    return MatchedReference(reference, header, row_p, exposure_ms_p, scale_p, dark_fits, tuple(notices))


def apply_reference(path: Path, reference: Reference, oldest_h: float = OLDEST_H) -> MatchedReference:
    """Store a reference in a finished capture, in place of an earlier background; a dark frame of its own stays.

    Raises
    ------
    CaptureError, ReferenceCaptureError
        As `match_reference` and `changed_copy`; the capture is unchanged.
    """
    header = read_header(path)
    with Reader(path) as reader:
        pattern_n, exposure_ms_n = (reader.get(f"entry/data/{name}")[()] for name in ("pattern", "exposure_ms"))
        has_dark = "entry/dark" in reader.file
    if not len(pattern_n):
        raise ReferenceCaptureError(f"{path} has no frames.", "Capture again.")
    values_ms, counts = np.unique(exposure_ms_n, return_counts=True)
    main_ms = float(values_ms[counts.argmax()])
    exposure_ms_p = np.full(len(header.patterns_pl), main_ms)
    exposure_ms_p[pattern_n] = exposure_ms_n
    matched = match_reference(reference, header, exposure_ms_p, has_dark, main_ms, oldest_h)
    with changed_copy(path, "the background", matched.background_bytes) as file:
        matched.store(file["entry"])
    return matched


def _check_optics(reference: Reference, header: CaptureHeader) -> None:
    """Refuse a reference of another camera picture or other light."""
    again = "Take the empty field again with the profile of the capture."
    if tuple(reference.header.image_shape) != tuple(header.image_shape):
        (rows, columns), (height, width) = reference.header.image_shape, header.image_shape
        raise ReferenceCaptureError(
            f"The images of {reference.path} have {rows} x {columns} pixels, those of the capture {height} x {width}.",
            again,
        )
    for name in ("wavelength_um", "objective_na", "pixel_um", "bit_depth"):
        found, wanted = (float(getattr(head.optics, name)) for head in (reference.header, header))
        if abs(found / wanted - 1) > _OPTICS_TOLERANCE:
            raise ReferenceCaptureError(f"{reference.path} has {name} = {found:g}, the capture {wanted:g}.", again)
    for table, key in (("camera", "roi"), ("camera", "binning"), ("led_board", "brightness")):
        told = [_told(head.profile_toml, table, key) for head in (reference.header, header)]
        if told[0] != told[1]:
            own, asked = ("the default" if value is None else value for value in told)
            raise ReferenceCaptureError(
                f"{reference.path} was taken with {table}.{key} = {own}, the capture with {asked}.", again
            )


def _told(profile_toml: str, table: str, key: str) -> Any:
    try:
        return tomllib.loads(profile_toml).get(table, {}).get(key)
    except (tomllib.TOMLDecodeError, AttributeError):
        return None


def _rows(reference: Reference, header: CaptureHeader) -> NDArray[np.intp]:
    """Row of the reference's patterns that lights what each pattern of the capture lights, (P,)."""
    lit = np.flatnonzero(header.patterns_pl.any(axis=0))
    empty_pl, na_l2 = reference.header.patterns_pl, reference.header.led_na_l2
    twin = np.zeros(len(lit), np.intp)
    known = np.zeros(len(lit), np.bool_)
    for place, led in enumerate(lit):
        distance = np.hypot(*(na_l2 - header.led_na_l2[led]).T)
        twin[place] = distance.argmin()
        known[place] = distance.min() <= _SAME_NA
    others = np.setdiff1d(np.arange(len(na_l2)), twin)
    alone: NDArray[np.bool_] = ~np.any(empty_pl[:, others], axis=1)
    taken = set(reference.pattern_n.tolist())
    there = {key: row for row, key in enumerate(_keys(empty_pl[:, twin])) if alone[row] and row in taken}
    wanted_pl = header.patterns_pl[:, lit]
    strange: NDArray[np.bool_] = np.any(wanted_pl[:, ~known] > 0, axis=1)
    row_p = [-1 if odd else there.get(key, -1) for odd, key in zip(strange, _keys(wanted_pl), strict=True)]
    missing = [pattern for pattern, row in enumerate(row_p) if row < 0]
    if missing:
        more = " and more" if len(missing) > _NAMED else ""
        raise ReferenceCaptureError(
            f"{reference.path} lacks {len(missing)} of the capture's {len(row_p)} patterns:"
            f" {', '.join(map(str, missing[:_NAMED]))}{more}.",
            "Take the empty field again with the plan of the capture: the same LEDs, as bright.",
        )
    return np.array(row_p, np.intp)


def _keys(patterns_pl: NDArray[np.float32]) -> Iterator[bytes]:
    for row_l in np.rint(patterns_pl * _LEVELS).astype(np.int32):
        yield row_l.tobytes()


def _age_h(taken: str | None, used: str | None) -> float | None:
    """Hours between two ISO 8601 times, the second one now where it is not given; None where one is no such time."""
    try:
        when = datetime.fromisoformat(used) if used else datetime.now(UTC)
        return abs((when - datetime.fromisoformat(taken or "")).total_seconds()) / 3600
    except (ValueError, TypeError):
        return None
