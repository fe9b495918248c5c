"""Read a capture, also one that is still being written or was left by a killed program."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, get_args

import h5py
import numpy as np

from acquisition.capture_dark import read_darks
from acquisition.capture_layout import FRAME_DATA, PER_FRAME, SCHEMA, SCHEMA_VERSION, CaptureError, is_schema, part_path
from acquisition.capture_records import (
    Calibration,
    Capture,
    CaptureHeader,
    CaptureStatus,
    Optics,
    Truth,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Collection
    from types import TracebackType

    from numpy.typing import NDArray

Window = tuple[slice, slice]
"""Rows and columns of a part of the images."""


def read_capture(
    path: str | os.PathLike[str],
    window: Window | None = None,
    patterns: Collection[int] | None = None,
    visit: tuple[int, int] | None = None,
) -> Capture:
    """Read a capture into memory, also one that is running, was aborted, or is a `.part` left by a killed program.

    Parameters
    ----------
    path
        The file.
    window
        Read this part of all images alone, as if the camera had seen no more; the rest never comes into memory.
    patterns
        Read frames of these rows of the patterns alone; of the empty field, too, the others are 0.
    visit
        Read frames of this time point and position alone.

    Raises
    ------
    CaptureError
        The file is missing, damaged, or not a capture of a version this program knows.
    """
    with Reader(path) as reader:
        header = reader.header()
        rows, columns = window or (slice(None), slice(None))
        height, width = header.image_shape
        header = replace(header, image_shape=(len(range(*rows.indices(height))), len(range(*columns.indices(width)))))
        data = {name: reader.get(f"entry/data/{name}") for name in FRAME_DATA}
        frames = min(len(dataset) for dataset in data.values())  # a frame is whole when all its parts are there
        per_frame = {f"{name}_n": data[name][:frames].astype(dtype) for name, dtype in PER_FRAME.items()}
        pattern_n = per_frame["pattern_n"]
        if frames and not (0 <= pattern_n.min() and pattern_n.max() < len(header.patterns_pl)):
            raise reader.error(
                f"entry/data/pattern runs from {pattern_n.min()} to {pattern_n.max()}, but there are"
                f" {len(header.patterns_pl)} patterns"
            )
        if data["images"].dtype != np.uint16:
            raise reader.error(f"entry/data/images is {data['images'].dtype}, not uint16")
        chosen: slice | NDArray[np.intp] = slice(frames)
        if patterns is not None or visit is not None:
            wanted_n = np.ones(frames, np.bool_) if patterns is None else np.isin(pattern_n, list(patterns))
            if visit is not None:
                wanted_n &= (per_frame["time_point_n"] == visit[0]) & (per_frame["position_n"] == visit[1])
            chosen = np.flatnonzero(wanted_n)
            if len(chosen) and chosen[-1] - chosen[0] + 1 == len(chosen):  # far quicker to read than one by one
                chosen = slice(int(chosen[0]), int(chosen[-1]) + 1)
            per_frame = {name: values[chosen] for name, values in per_frame.items()}
        status = reader.get("entry/status")[0].decode()
        if status not in get_args(CaptureStatus):
            raise reader.error(f"status {status!r}; known are {', '.join(get_args(CaptureStatus))}")
        calibration = None
        if "entry/calibration" in reader.file:
            part = {name: reader.get(f"entry/calibration/{name}")[()] for name in _CALIBRATION}
            calibration = Calibration(
                part["led_na"], part["led_gain"], float(part["objective_na"]), float(part["residual"]),
                part["method"].decode(),
            )  # fmt: skip
        return Capture(
            header=header,
            status=status,
            images_nyx=data["images"][chosen, rows, columns],
            darks=read_darks(reader.get("entry"), (rows, columns)),
            background_pyx=_background(reader, header.image_shape, (rows, columns), patterns),
            calibration=calibration,
            path=Path(path),
            frames_planned=_known(reader, "entry", "frames_planned"),
            **per_frame,
        )


def read_visits(path: str | os.PathLike[str]) -> dict[tuple[int, int], int]:
    """Count the frames of each time point and position, in the order in which they were visited.

    Raises
    ------
    CaptureError
        As `read_capture`.
    """
    with Reader(path) as reader:
        time_point, position = (reader.get(f"entry/data/{name}") for name in ("time_point", "position"))
        frames = min(len(reader.get(f"entry/data/{name}")) for name in FRAME_DATA)
        visits = zip(time_point[:frames].tolist(), position[:frames].tolist(), strict=True)
        return dict(Counter(visits))


def read_header(path: str | os.PathLike[str]) -> CaptureHeader:
    """Read what is known of a capture before its frames.

    Raises
    ------
    CaptureError
        As `read_capture`.
    """
    with Reader(path) as reader:
        return reader.header()


def read_truth(path: str | os.PathLike[str]) -> Truth | None:
    """Read what a simulated capture was made of; None for a measured one.

    Raises
    ------
    CaptureError
        As `read_capture`.
    """
    with Reader(path) as reader:
        if "truth" not in reader.file:
            return None
        return Truth(
            dn_zyx=reader.get("truth/dn")[()].astype(np.float32),
            kappa_zyx=reader.optional("truth/kappa", np.float32),
            z_um=reader.get("truth/z_um")[()].astype(np.float64),
            led_na_l2=reader.get("truth/led_na")[()].astype(np.float64),
        )


def sha256_of(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's bytes, in hexadecimal: how a field names the capture it was made from."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _known(reader: Reader, key: str, attribute: str) -> Any:
    """Return an optional attribute as a plain number; None where it or its place is absent."""
    value = reader.file[key].attrs.get(attribute) if key in reader.file else None
    return None if value is None else value.item()


def _background(
    reader: Reader, image_shape: tuple[int, int], window: Window, patterns: Collection[int] | None
) -> NDArray[np.float32] | None:
    """Read a part of the empty field; of many large images only what is wanted."""
    if patterns is None or "entry/background" not in reader.file:
        whole: NDArray[np.float32] | None = reader.optional("entry/background", np.float32, (slice(None), *window))
        return whole
    stored = reader.get("entry/background")
    background_pyx = np.zeros((len(stored), *image_shape), np.float32)  # takes no memory where nothing is written
    for row in patterns:
        if row < len(stored):
            background_pyx[row] = stored[row, *window]
    return background_pyx


_CALIBRATION = ("led_na", "led_gain", "objective_na", "residual", "method")


class Reader:
    """An open capture, with every failure told as a CaptureError that names the file."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    def __enter__(self) -> Self:
        if not self.path.is_file():
            left = part_path(self.path)
            remedy = f"Open {left}: an interrupted scan left it." if left.is_file() else "Check name and folder."
            raise CaptureError(f"There is no capture {self.path}.", remedy)
        try:
            self.file = h5py.File(self.path, "r", locking=False)
        except OSError as error:
            raise CaptureError(
                f"{self.path} is damaged or not a capture: not readable as HDF5 ({error}).",
                f"Take the copy from the acquisition computer, or save what is in it: fieldscope recover {self.path}",
            ) from error
        found = self.file.attrs.get("schema"), self.file.attrs.get("schema_version")
        if not is_schema(found, SCHEMA, SCHEMA_VERSION):
            self.file.close()
            raise CaptureError(
                f"{self.path} is not a capture this program reads: schema {found[0]} version {found[1]}, expected"
                f" {SCHEMA} version {SCHEMA_VERSION}.",
                "Choose a capture file, or update Fieldscope if the file was written by a newer one.",
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.file.close()
        if isinstance(error, OSError | KeyError | ValueError | TypeError | AttributeError):
            raise self.error(str(error)) from error

    def error(self, reason: str) -> CaptureError:
        """Name the file and what is wrong with it."""
        return CaptureError(
            f"{self.path} is damaged or not a capture: {reason}.",
            "Take the copy from the acquisition computer, or acquire again.",
        )

    def get(self, key: str) -> Any:
        """Return what has to be there."""
        if key not in self.file:
            raise self.error(f"{key} is missing")
        return self.file[key]

    def optional(self, key: str, dtype: type, part: tuple[slice, ...] = ()) -> Any:
        """Return a dataset, or a part of it, that may be absent."""
        return self.file[key][part].astype(dtype) if key in self.file else None

    def header(self) -> CaptureHeader:
        """Return what is known before the frames."""
        entry = self.get("entry")
        attributes = self.get("entry/optics").attrs
        optics = {f.name: attributes[f.name].item() for f in fields(Optics) if f.name in attributes}
        missing = [f.name for f in fields(Optics) if f.name not in optics and f.name != "camera_gain_e"]
        if missing:
            raise self.error(f"entry/optics lacks {', '.join(missing)}")
        z_um = entry.attrs.get("sample_z_um")
        names = ("title", "sample", "operator", "start_time", "software")
        texts = {name: str(entry.attrs.get(name, "")) for name in names}
        return CaptureHeader(
            optics=Optics(**optics),
            led_position_mm_l3=self.get("entry/illumination/led_position_mm")[()].astype(np.float64),
            led_na_l2=self.get("entry/illumination/led_na")[()].astype(np.float64),
            patterns_pl=self.get("entry/illumination/patterns")[()].astype(np.float32),
            image_shape=self.get("entry/data/images").shape[1:],
            profile_toml=self.get("entry/profile")[()].decode(),
            sample_z_um=None if z_um is None else (float(z_um[0]), float(z_um[1])),
            is_reference=bool(entry.attrs.get("is_reference", False)),
            positions_um=tuple(map(tuple, entry["positions_um"][()].tolist())) if "positions_um" in entry else (),
            **texts,
        )
