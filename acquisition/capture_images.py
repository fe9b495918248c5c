"""Frames of a capture as TIFFs for other programs: one a frame, with names, metadata and a table.

FOLDER/frame_0007_led_0012.tif   the counts of a frame; pattern_0003 where several LEDs were lit at once
FOLDER/frames.csv                a row for each frame; `fieldscope import --order` reads it
FOLDER/profile.toml              the hardware profile as used, where it is known
FOLDER/dark/dark.tif             mean of the dark frames, float32
FOLDER/background/led_0012.tif   empty field, float32
"""

from __future__ import annotations

import csv
import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np

from acquisition.capture import CaptureError, check_space, read_capture, read_header

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from acquisition.capture import CaptureHeader

TABLE_NAME = "frames.csv"
_COLUMNS = (
    "file", "led", "na_x", "na_y", "exposure_ms", "pattern", "time_point", "position", "host_time_s",
    "saturated_fraction",
)  # fmt: skip


def export_images(path: Path, folder: Path, on_progress: Callable[[int, int], None] | None = None) -> int:
    """Write the frames of a capture into a new folder; how many they are.

    The folder gets its name when all is in it. LED directions are the calibrated ones where there are any.

    Raises
    ------
    CaptureError
        As `read_capture`; or the folder exists and is not empty, or cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CaptureError(f"{folder} exists already and is not overwritten.", "Choose another name with -o.")
    header = read_header(path)
    check_space(folder.parent, path.stat().st_size, f"the images of {path.name}")
    part = folder.with_name(f"{folder.name}.part")
    try:
        part.mkdir(parents=True)
    except FileExistsError as error:
        message = f"{part} exists: another export runs, or was interrupted."
        raise CaptureError(message, "Remove that folder, or choose another name with -o.") from error
    except OSError as error:
        raise _unwritable(folder, error) from error
    try:
        count = _write(path, header, part, on_progress)
        if folder.exists():
            folder.rmdir()  # an empty one; Windows does not rename over it
        part.rename(folder)
    except OSError as error:
        shutil.rmtree(part, ignore_errors=True)
        raise _unwritable(folder, error) from error
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return count


def _write(path: Path, header: CaptureHeader, folder: Path, on_progress: Callable[[int, int], None] | None) -> int:
    import tifffile

    # A pattern at a time: a capture may be larger than the memory.
    patterns = len(header.patterns_pl)
    slim = read_capture(path, window=(slice(0), slice(0)))
    na_l2 = header.led_na_l2 if slim.calibration is None else slim.calibration.led_na_l2
    rows: list[dict[str, Any]] = [{} for _ in slim.pattern_n]
    done = 0
    for pattern in range(patterns):
        frames = np.flatnonzero(slim.pattern_n == pattern)
        if not len(frames):
            continue
        images_nyx = read_capture(path, patterns=[pattern]).images_nyx
        lit = np.flatnonzero(header.patterns_pl[pattern])
        single = int(lit[0]) if len(lit) == 1 else None
        for frame, image in zip(frames.tolist(), images_nyx, strict=True):
            name = f"frame_{frame:04d}_{_pattern_name(header, pattern)}.tif"
            rows[frame] = row = {
                "file": name,
                "led": single,
                "na_x": None if single is None else float(na_l2[single, 0]),
                "na_y": None if single is None else float(na_l2[single, 1]),
                "exposure_ms": float(slim.exposure_ms_n[frame]),
                "pattern": pattern,
                "time_point": int(slim.time_point_n[frame]),
                "position": int(slim.position_n[frame]),
                "host_time_s": float(slim.host_time_s_n[frame]),
                "saturated_fraction": float(slim.saturated_fraction_n[frame]),
            }
            about: dict[str, Any] = {key: value for key, value in row.items() if value is not None and value == value}
            if single is None:
                about["leds"] = {str(led): float(header.patterns_pl[pattern, led]) for led in lit}
            about |= {"pixel_um": header.optics.pixel_um, "wavelength_um": header.optics.wavelength_um}
            tifffile.imwrite(
                folder / name, image, photometric="minisblack", description=json.dumps(about), metadata=None
            )
            done += 1
            if on_progress is not None:
                on_progress(done, len(rows))
    with (folder / TABLE_NAME).open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, _COLUMNS)
        table.writeheader()
        for row in rows:
            table.writerow({key: "" if value != value else value for key, value in row.items()})
    _write_references(path, header, folder)
    return len(rows)


def _write_references(path: Path, header: CaptureHeader, folder: Path) -> None:
    import tifffile

    capture = read_capture(path, patterns=[])
    if header.profile_toml:
        (folder / "profile.toml").write_text(header.profile_toml, encoding="utf-8")
    images: dict[str, NDArray[np.float32]] = {}
    for number, dark in enumerate(capture.darks):  # the first is that of the main exposure
        images[f"dark/dark{f'_{dark.exposure_ms:g}ms' if number else ''}.tif"] = dark.image_yx
    if capture.background_pyx is not None:
        for pattern in range(len(capture.background_pyx)):
            background_pyx = read_capture(path, patterns=[pattern]).background_pyx  # the others are not read
            assert background_pyx is not None
            images[f"background/{_pattern_name(header, pattern)}.tif"] = background_pyx[pattern]
    for name, image in images.items():
        (folder / name).parent.mkdir(exist_ok=True)
        tifffile.imwrite(folder / name, image, photometric="minisblack", metadata=None)


def _pattern_name(header: CaptureHeader, pattern: int) -> str:
    lit = np.flatnonzero(header.patterns_pl[pattern])
    return f"led_{lit[0]:04d}" if len(lit) == 1 else f"pattern_{pattern:04d}"


def _unwritable(folder: Path, error: OSError) -> CaptureError:
    return CaptureError(
        f"{folder} cannot be written: {error.strerror or error}.", "Check the disk, or choose another folder with -o."
    )
