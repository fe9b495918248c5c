"""Write a capture, frame by frame.

A scan writes to `NAME.h5.part` with ``libver="earliest"``, flushes after each frame and calls fsync at least once a
second, so that a killed program loses no frame it has reported as stored; the file gets its name when the scan ends.
"""

from __future__ import annotations

import logging
import time
from dataclasses import fields
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

import h5py
import numpy as np

from acquisition.capture_dark import append_dark
from acquisition.capture_layout import PER_FRAME, SCHEMA, SCHEMA_VERSION, CaptureError, images_address, part_path
from acquisition.capture_records import Calibration, CaptureHeader, CaptureStatus, Frame, Optics, Truth
from acquisition.disk_file import PAGE_BYTES, DiskFile
from acquisition.disk_space import capture_bytes, check_space
from acquisition.file_name import give_name

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from types import TracebackType

    from numpy.typing import NDArray

    from acquisition.capture_reference import MatchedReference

log = logging.getLogger(__name__)

FSYNC_INTERVAL_S = 0.5
_ALIGNED_BYTES = 2048
"""Parts of the file from this size on, such as the nodes of HDF5's index, begin with a page, see `DiskFile.release`."""


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


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class CaptureWriter:
    """Write one capture, frame by frame; to be used by one thread at a time.

    As a context manager it always leaves a readable file under its final name: status ``failed`` when an exception
    passes, ``aborted`` when the block ends without `finish`.

    Parameters
    ----------
    path
        Final name. The folder is made if missing; until the end the file is `NAME.h5.part`.
    header
        What is known before the first frame.
    frames_planned
        How many frames are to come, where that is known: their room on the disk is asked for before the first one, and
        `fieldscope check` tells how many are missing.

    Raises
    ------
    CaptureError
        Either name exists already (nothing is ever overwritten), the folder cannot be written, or the disk is full.
    """

    def __init__(self, path: str | os.PathLike[str], header: CaptureHeader, frames_planned: int | None = None) -> None:
        self.path = Path(path)
        self.header = header
        self.frames_written = 0
        self._part = part_path(self.path)
        self._last_sync_s = time.monotonic()
        check_free_name(self.path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            check_space(self.path.parent, capture_bytes(frames_planned or 1, header.image_shape))
            self._disk = DiskFile(self._part)
            self._file = h5py.File(
                self._disk, "w", libver="earliest", alignment_threshold=_ALIGNED_BYTES, alignment_interval=PAGE_BYTES
            )
            self._create(header)
            if frames_planned is not None:
                self._file["entry"].attrs["frames_planned"] = frames_planned
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
        check_space(self.path.parent, image.nbytes, "the next frame")
        data = self._file["entry/data"]
        number = self.frames_written
        try:
            images = data["images"]
            images.resize(number + 1, axis=0)
            images.id.write_direct_chunk((number, 0, 0), np.ascontiguousarray(image).data)
            values = {name: getattr(frame, name) for name in PER_FRAME}
            values["image_offset"] = images.id.get_chunk_info_by_coord((number, 0, 0)).byte_offset
            for name, value in values.items():
                data[name].resize(number + 1, axis=0)
                data[name][number] = value
            self._store()
        except OSError as error:
            raise self._disk_error("write frame to", error) from error
        self.frames_written = number + 1

    def write_dark(
        self, dark_yx: NDArray[np.float32], exposure_ms: float | None = None, frames: int | None = None
    ) -> None:
        """Store the mean of the dark frames of the main exposure, (H, W) float32 counts.

        Parameters
        ----------
        dark_yx
            Their mean; a later one replaces it.
        exposure_ms, frames
            For how long each was exposed and how many they were, where that is known; then the time of now is stored
            as well.
        """
        known: dict[str, Any] = {"exposure_ms": exposure_ms, "frames": frames}
        known = {name: value for name, value in known.items() if value is not None}
        if known:
            known["time"] = _now()
        self._write_group("entry", {"dark": np.asarray(dark_yx, np.float32)}, {"dark": known})

    def write_other_dark(self, dark_yx: NDArray[np.float32], exposure_ms: float, frames: int) -> None:
        """Store the mean of dark frames of one more exposure, beside that of the main one.

        Raises
        ------
        CaptureError
            The disk is full or gone.
        """
        check_space(self.path.parent, dark_yx.nbytes, "a dark frame")
        try:
            append_dark(self._file["entry"], dark_yx, exposure_ms, frames, _now())
            self._store()
        except OSError as error:
            raise self._disk_error("write to", error) from error

    def write_background(self, background_pyx: NDArray[np.float32]) -> None:
        """Store empty-field counts per pattern, (P, H, W) float32, dark not subtracted."""
        self._write_group("entry", {"background": np.asarray(background_pyx, np.float32)})

    def write_reference(self, reference: MatchedReference) -> None:
        """Store background, and dark frame where none was stored before, of an empty field that was scanned before.

        Raises
        ------
        CaptureError
            The disk is full, or the reference cannot be read; the frames are not touched.
        """
        check_space(self.path.parent, reference.background_bytes, "the background")
        try:
            reference.store(self._file["entry"])
            self._store()
        except OSError as error:
            raise self._disk_error("write to", error) from error

    def write_calibration(self, calibration: Calibration) -> None:
        """Store fitted LED directions and gains."""
        self._write_group("entry/calibration", calibration_parts(calibration))

    def write_truth(self, truth: Truth) -> None:
        """Store what the simulated sample and board really were."""
        parts = {"dn": truth.dn_zyx, "z_um": truth.z_um, "led_na": truth.led_na_l2}
        self._write_group("truth", parts if truth.kappa_zyx is None else {**parts, "kappa": truth.kappa_zyx})

    def finish(self, status: CaptureStatus, frames_unchecked: int = 0) -> Path:
        """Set the status, close the file and give it its name; a second call does nothing.

        Parameters
        ----------
        status
            How the scan has ended.
        frames_unchecked
            Of so many frames nobody has seen whether LEDs and frames had stayed in step; the file tells.

        Raises
        ------
        CaptureError
            The disk failed at the end, or the name was taken meanwhile; the frames are in the `.part` file.
        """
        if not self._file:
            return self.path
        try:
            if frames_unchecked:
                self._file["entry"].attrs["frames_unchecked"] = frames_unchecked
            self._file["entry/status"][0] = status.encode()
            self._flush()
            self._file.close()
            self._disk.raise_error()
            self._disk.sync()
        except OSError as error:
            raise self._disk_error("finish", error) from error
        finally:
            self._disk.close()
        try:
            give_name(self._part, self.path)
        except FileExistsError as error:
            message = f"{self.path} appeared during the scan; the frames are in {self._part}."
            raise CaptureError(message, f"Save them under another name: fieldscope recover {self._part}") from error
        except OSError as error:
            raise self._disk_error("rename", error) from error
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
            start_time=header.start_time or _now(),
            title=header.title,
            sample=header.sample,
            operator=header.operator,
            software=header.software or software_version(),
        )
        if header.sample_z_um is not None:
            entry.attrs["sample_z_um"] = np.asarray(header.sample_z_um, np.float64)
        if header.is_reference:
            entry.attrs["is_reference"] = True
        if header.positions_um:
            entry.create_dataset("positions_um", data=np.asarray(header.positions_um, np.float64))
        entry.create_dataset("status", data=np.array([b"running"], "S16"))
        entry.create_dataset("profile", data=header.profile_toml, dtype=h5py.string_dtype())
        data = entry.create_group("data")
        data.attrs.update(NX_class="NXdata", signal="images")
        shape = header.image_shape
        data.create_dataset("images", (0, *shape), np.uint16, maxshape=(None, *shape), chunks=(1, *shape))
        for name, dtype in {**PER_FRAME, "image_offset": np.int64}.items():
            data.create_dataset(name, (0,), dtype, maxshape=(None,), chunks=(256,))
        data["image_offset"].attrs["images_address"] = images_address(data)
        illumination = entry.create_group("illumination")
        illumination.create_dataset("led_position_mm", data=np.asarray(header.led_position_mm_l3, np.float64))
        illumination.create_dataset("led_na", data=np.asarray(header.led_na_l2, np.float64))
        illumination.create_dataset("patterns", data=np.asarray(header.patterns_pl, np.float32))
        known = {f.name: getattr(header.optics, f.name) for f in fields(Optics)}
        entry.create_group("optics").attrs.update({name: value for name, value in known.items() if value is not None})

    def _write_group(
        self, group: str, parts: dict[str, Any], attributes: Mapping[str, Mapping[str, Any]] = MappingProxyType({})
    ) -> None:
        check_space(self.path.parent, sum(np.asarray(value).nbytes for value in parts.values()), f"/{group}")
        try:
            place = self._file.require_group(group)
            for name, value in parts.items():
                if name in place:
                    del place[name]
                place.create_dataset(name, data=value).attrs.update(attributes.get(name, {}))
            self._store()
        except OSError as error:
            raise self._disk_error("write to", error) from error

    def _store(self) -> None:
        """Hand all to the system, which outlives this program; now and then to the disk, which outlives the system."""
        self._flush()
        self._disk.raise_error()
        if time.monotonic() - self._last_sync_s >= FSYNC_INTERVAL_S:
            self._disk.sync()
            self._last_sync_s = time.monotonic()

    def _flush(self) -> None:
        self._disk.announce(self._file.id.get_filesize())
        self._disk.hold_back()
        try:
            self._file.flush()
        finally:
            self._disk.release()

    def _disk_error(self, action: str, error: OSError) -> CaptureError:
        reason = error.strerror or str(error)
        return CaptureError(
            f"Cannot {action} {self._part}: {reason}. {getattr(self, 'frames_written', 0)} frames are stored.",
            "Check that the folder exists, may be written and has space left, then scan again.",
        )


def calibration_parts(calibration: Calibration) -> dict[str, Any]:
    """Names and values of /entry/calibration."""
    return {
        "led_na": calibration.led_na_l2,
        "led_gain": calibration.led_gain_l,
        "objective_na": calibration.objective_na,
        "residual": calibration.residual,
        "method": calibration.method,
    }
