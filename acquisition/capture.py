"""Capture files: what one acquisition stores, as plain HDF5 that reads without this software.

The only module that knows the key names; the records themselves are described in `acquisition.capture_records`.

A scan writes to `NAME.h5.part` with ``libver="earliest"``, flushes after each frame and calls fsync at least once a
second, so that a killed program loses no frame it has reported as stored; the file gets its name when the scan ends.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import time
from dataclasses import fields, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, get_args

import h5py
import numpy as np

from acquisition.capture_records import Calibration, Capture, CaptureHeader, CaptureStatus, Frame, Optics, Truth
from acquisition.disk_file import DiskFile
from acquisition.errors import OperatorError

if TYPE_CHECKING:
    from collections.abc import Collection
    from types import TracebackType

    from numpy.typing import NDArray

log = logging.getLogger(__name__)

__all__ = [
    "Calibration", "Capture", "CaptureError", "CaptureHeader", "CaptureStatus", "CaptureWriter", "Frame", "Optics",
    "Truth", "Window", "check_changeable", "check_free_name", "part_path", "read_capture", "read_header", "read_truth",
    "replace_calibration", "sha256_of",
]  # fmt: skip

Window = tuple[slice, slice]
"""Rows and columns of a part of the images."""

SCHEMA = "fieldscope-capture"
SCHEMA_VERSION = 1

FSYNC_INTERVAL_S = 0.5
FREE_SPACE_RESERVE = 64 << 20
"""Bytes that stay free on the disk: a full one leaves no room to close the file properly."""

_PER_FRAME = {
    "pattern": np.int32, "time_point": np.int32, "position": np.int32,
    "exposure_ms": np.float64, "host_time_s": np.float64, "saturated_fraction": np.float64,
}  # fmt: skip


class CaptureError(OperatorError):
    """A capture file cannot be written or read."""


# --- writing ----------------------------------------------------------------------------------------------------------


def part_path(path: Path) -> Path:
    """Where a capture lies while its scan runs: `NAME.h5.part`."""
    return path.with_name(path.name + ".part")


def check_free_name(path: Path) -> None:
    """Refuse a name that is taken: nothing is ever overwritten.

    Raises
    ------
    CaptureError
        There is a file of that name, or the part of one.
    """
    for existing, remedy in (
        (path, "Choose another name, or move that file away."),
        (part_path(path), "A scan runs there or was interrupted: move it away or choose another name."),
    ):
        if existing.exists():
            raise CaptureError(f"{existing} exists already and is not overwritten.", remedy)


def software_version() -> str:
    """Name this program and the libraries that write, with their versions."""
    try:
        own = version("fieldscope")
    except PackageNotFoundError:  # run from the source tree, not installed
        own = "(not installed)"
    return f"fieldscope {own}, h5py {h5py.__version__}, numpy {np.__version__}"


class CaptureWriter:
    """Write one capture, frame by frame; not to be shared between threads.

    As a context manager it always leaves a readable file under its final name: status ``failed`` when an exception
    passes, ``aborted`` when the block ends without `finish`.

    Parameters
    ----------
    path
        Final name. The folder is made if missing; until the end the file is `NAME.h5.part`.
    header
        What is known before the first frame.

    Raises
    ------
    CaptureError
        Either name exists already (nothing is ever overwritten), or the folder cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str], header: CaptureHeader) -> None:
        self.path = Path(path)
        self.header = header
        self.frames_written = 0
        self._part = part_path(self.path)
        self._last_sync_s = time.monotonic()
        check_free_name(self.path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._check_free_space()
            self._disk = DiskFile(self._part)
            self._file = h5py.File(self._disk, "w", libver="earliest")
            self._create(header)
            self._store()
        except OSError as error:
            raise self._disk_error("create", error) from error

    def write_frame(self, frame: Frame) -> None:
        """Append a frame; when this returns, killing the program no longer loses it.

        Raises
        ------
        CaptureError
            The disk is full or gone; the frames before this one remain readable.
        ValueError
            The image or the pattern does not fit the header.
        """
        image = frame.image_yx
        if image.shape != self.header.image_shape or image.dtype != np.uint16:
            raise ValueError(f"frame {image.shape} {image.dtype}, expected {self.header.image_shape} uint16")
        if not 0 <= frame.pattern < len(self.header.patterns_pl):
            raise ValueError(f"pattern {frame.pattern}, expected 0 to {len(self.header.patterns_pl) - 1}")
        self._check_free_space()
        data = self._file["entry/data"]
        number = self.frames_written
        try:
            for name in ("images", *_PER_FRAME):
                data[name].resize(number + 1, axis=0)
                data[name][number] = image if name == "images" else getattr(frame, name)
            self._store()
        except OSError as error:
            raise self._disk_error("write frame to", error) from error
        self.frames_written = number + 1

    def write_dark(self, dark_yx: NDArray[np.float32]) -> None:
        """Store the mean of the dark frames, (H, W) float32 counts."""
        self._write_group("entry", {"dark": np.asarray(dark_yx, np.float32)})

    def write_background(self, background_pyx: NDArray[np.float32]) -> None:
        """Store empty-field counts per pattern, (P, H, W) float32, dark not subtracted."""
        self._write_group("entry", {"background": np.asarray(background_pyx, np.float32)})

    def write_calibration(self, calibration: Calibration) -> None:
        """Store fitted LED directions and gains."""
        self._write_group("entry/calibration", _calibration_parts(calibration))

    def write_truth(self, truth: Truth) -> None:
        """Store what the simulated sample and board really were."""
        parts = {"dn": truth.dn_zyx, "z_um": truth.z_um, "led_na": truth.led_na_l2}
        self._write_group("truth", parts if truth.kappa_zyx is None else {**parts, "kappa": truth.kappa_zyx})

    def finish(self, status: CaptureStatus) -> Path:
        """Set the status, close the file and give it its name; a second call does nothing.

        Raises
        ------
        CaptureError
            The disk failed at the end, or the name was taken meanwhile; the frames are in the `.part` file.
        """
        if not self._file:
            return self.path
        try:
            self._file["entry/status"][0] = status.encode()
            self._file.close()
            self._disk.raise_error()
            self._disk.sync()
        except OSError as error:
            raise self._disk_error("finish", error) from error
        finally:
            self._disk.close()
        if self.path.exists():
            raise CaptureError(f"{self.path} appeared during the scan; the frames are in {self._part}.", "Rename it.")
        self._part.rename(self.path)
        return self.path

    def discard(self) -> None:
        """Close and delete what has been written: its own `.part`, never a file of the final name."""
        if not self._file:
            return
        try:
            self._file.close()
        finally:
            self._disk.close()
            self._part.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.finish("aborted" if error is None else "failed")
        except CaptureError:
            if error is None:
                raise
            log.exception("closing the capture failed as well")  # the first error is the one to show

    def _create(self, header: CaptureHeader) -> None:
        file = self._file
        file.attrs.update(schema=SCHEMA, schema_version=SCHEMA_VERSION, NX_class="NXroot", default="entry")
        entry = file.create_group("entry")
        entry.attrs.update(
            NX_class="NXentry",
            start_time=header.start_time or datetime.now(UTC).isoformat(timespec="milliseconds"),
            title=header.title,
            sample=header.sample,
            operator=header.operator,
            software=header.software or software_version(),
        )
        if header.sample_z_um is not None:
            entry.attrs["sample_z_um"] = np.asarray(header.sample_z_um, np.float64)
        entry.create_dataset("status", data=np.array([b"running"], "S16"))
        entry.create_dataset("profile", data=header.profile_toml, dtype=h5py.string_dtype())
        data = entry.create_group("data")
        data.attrs.update(NX_class="NXdata", signal="images")
        shape = header.image_shape
        data.create_dataset("images", (0, *shape), np.uint16, maxshape=(None, *shape), chunks=(1, *shape))
        for name, dtype in _PER_FRAME.items():
            data.create_dataset(name, (0,), dtype, maxshape=(None,), chunks=(256,))
        illumination = entry.create_group("illumination")
        illumination.create_dataset("led_position_mm", data=np.asarray(header.led_position_mm_l3, np.float64))
        illumination.create_dataset("led_na", data=np.asarray(header.led_na_l2, np.float64))
        illumination.create_dataset("patterns", data=np.asarray(header.patterns_pl, np.float32))
        known = {f.name: getattr(header.optics, f.name) for f in fields(Optics)}
        entry.create_group("optics").attrs.update({name: value for name, value in known.items() if value is not None})

    def _write_group(self, group: str, parts: dict[str, Any]) -> None:
        self._check_free_space()
        try:
            place = self._file.require_group(group)
            for name, value in parts.items():
                if name in place:
                    del place[name]
                place.create_dataset(name, data=value)
            self._store()
        except OSError as error:
            raise self._disk_error("write to", error) from error

    def _store(self) -> None:
        """Hand all to the system, which outlives this program; now and then to the disk, which outlives the system."""
        self._file.flush()
        self._disk.raise_error()
        if time.monotonic() - self._last_sync_s >= FSYNC_INTERVAL_S:
            self._disk.sync()
            self._last_sync_s = time.monotonic()

    def _check_free_space(self) -> None:
        needed = 2 * int(np.prod(self.header.image_shape)) + FREE_SPACE_RESERVE
        free = shutil.disk_usage(self.path.parent).free
        if free < needed:
            raise CaptureError(
                f"The disk of {self.path.parent} is full: {free / 2**20:.0f} MiB free, {needed / 2**20:.0f} MiB needed"
                " for the next frame.",
                "Free space on it or choose a folder on another disk, then scan again.",
            )

    def _disk_error(self, action: str, error: OSError) -> CaptureError:
        reason = error.strerror or str(error)
        return CaptureError(
            f"Cannot {action} {self._part}: {reason}. {getattr(self, 'frames_written', 0)} frames are stored.",
            "Check that the folder exists, may be written and has space left, then scan again.",
        )


def check_changeable(path: Path) -> None:
    """Refuse a capture into which no calibration can be stored.

    Raises
    ------
    CaptureError
        As `read_capture`; or the scan still runs, the file is write-protected, or its folder cannot be written.
    """
    copy_it = "Copy the capture to a folder of your own and calibrate the copy."
    with _Reader(path) as reader:
        status = reader.get("entry/status")[0].decode()
    if status == "running" or path.suffix == ".part":
        raise CaptureError(
            f"The scan of {path} still runs or was interrupted.",
            "Wait for its end. `fieldscope reconstruct` takes an interrupted scan as it is and finds the board by"
            " itself.",
        )
    if (
        not path.stat().st_mode & 0o222
        or not os.access(path, os.W_OK)
        or not os.access(path.absolute().parent, os.W_OK)
    ):
        raise CaptureError(f"{path} or its folder is write-protected.", copy_it)


def replace_calibration(path: Path, calibration: Calibration) -> None:
    """Store fitted LED directions and gains in a finished capture, in place of earlier ones.

    The capture is copied, the copy changed and put in its place: whenever this is interrupted, what lies there is
    whole, with or without the new calibration.

    Raises
    ------
    CaptureError
        As `check_changeable`; or the disk is full.
    """
    check_changeable(path)
    path = path.resolve()
    changed = path.with_name(f"{path.name}.calibrating")
    try:
        shutil.copy2(path, changed)
        with h5py.File(changed, "r+", libver="earliest", locking=False) as file:
            entry = file["entry"]
            if "calibration" in entry:
                del entry["calibration"]
            group = entry.create_group("calibration")
            for name, value in _calibration_parts(calibration).items():
                group.create_dataset(name, data=value)
        with changed.open("rb+") as file:
            os.fsync(file.fileno())
        changed.replace(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise CaptureError(
            f"Cannot store the calibration in {path}: {reason}. The capture is unchanged.",
            "Free as much space on the disk as the capture takes, or calibrate a copy on another disk.",
        ) from error
    finally:
        changed.unlink(missing_ok=True)


def _calibration_parts(calibration: Calibration) -> dict[str, Any]:
    return {
        "led_na": calibration.led_na_l2,
        "led_gain": calibration.led_gain_l,
        "objective_na": calibration.objective_na,
        "residual": calibration.residual,
        "method": calibration.method,
    }


# --- reading ----------------------------------------------------------------------------------------------------------


def read_capture(
    path: str | os.PathLike[str], window: Window | None = None, patterns: Collection[int] | None = None
) -> Capture:
    """Read a capture into memory, also one that is running, was aborted, or is a `.part` left by a killed program.

    Parameters
    ----------
    path
        The file.
    window
        Read this part of all images alone, as if the camera had seen no more; the rest never comes into memory.
    patterns
        Read frames of these rows of the patterns alone.

    Raises
    ------
    CaptureError
        The file is missing, damaged, or not a capture of a version this program knows.
    """
    with _Reader(path) as reader:
        header = reader.header()
        rows, columns = window or (slice(None), slice(None))
        height, width = header.image_shape
        header = replace(header, image_shape=(len(range(*rows.indices(height))), len(range(*columns.indices(width)))))
        data = {name: reader.get(f"entry/data/{name}") for name in ("images", *_PER_FRAME)}
        frames = min(len(dataset) for dataset in data.values())  # a frame is whole when all its parts are there
        per_frame = {f"{name}_n": data[name][:frames].astype(dtype) for name, dtype in _PER_FRAME.items()}
        pattern_n = per_frame["pattern_n"]
        if frames and not (0 <= pattern_n.min() and pattern_n.max() < len(header.patterns_pl)):
            raise reader.error(
                f"entry/data/pattern runs from {pattern_n.min()} to {pattern_n.max()}, but there are"
                f" {len(header.patterns_pl)} patterns"
            )
        if data["images"].dtype != np.uint16:
            raise reader.error(f"entry/data/images is {data['images'].dtype}, not uint16")
        chosen: slice | NDArray[np.intp] = slice(frames)
        if patterns is not None:
            chosen = np.flatnonzero(np.isin(pattern_n, list(patterns)))
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
            dark_yx=reader.optional("entry/dark", np.float32, (rows, columns)),
            background_pyx=reader.optional("entry/background", np.float32, (slice(None), rows, columns)),
            calibration=calibration,
            path=Path(path),
            **per_frame,
        )


def read_header(path: str | os.PathLike[str]) -> CaptureHeader:
    """Read what is known of a capture before its frames.

    Raises
    ------
    CaptureError
        As `read_capture`.
    """
    with _Reader(path) as reader:
        return reader.header()


def read_truth(path: str | os.PathLike[str]) -> Truth | None:
    """Read what a simulated capture was made of; None for a measured one.

    Raises
    ------
    CaptureError
        As `read_capture`.
    """
    with _Reader(path) as reader:
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


_CALIBRATION = ("led_na", "led_gain", "objective_na", "residual", "method")


class _Reader:
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
            raise self.error(f"not readable as HDF5 ({error})") from error
        found = self.file.attrs.get("schema"), self.file.attrs.get("schema_version")
        if found != (SCHEMA, SCHEMA_VERSION):
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
        return CaptureError(
            f"{self.path} is damaged or not a capture: {reason}.",
            "Take the copy from the acquisition computer, or acquire again.",
        )

    def get(self, key: str) -> Any:
        if key not in self.file:
            raise self.error(f"{key} is missing")
        return self.file[key]

    def optional(self, key: str, dtype: type, part: tuple[slice, ...] = ()) -> Any:
        return self.file[key][part].astype(dtype) if key in self.file else None

    def header(self) -> CaptureHeader:
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
            **texts,
        )
