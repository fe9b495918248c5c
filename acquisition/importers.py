"""Captures from images that another program acquired.

A folder of single-page TIFFs, one per LED, becomes the same file a scan would have written. Which image belongs to
which LED is told by the order of the names, compared as people do (img_2 before img_10), or by the LED's number in the
name.
"""

from __future__ import annotations

import logging
import math
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from acquisition.capture import CaptureWriter, Frame
from acquisition.errors import OperatorError
from acquisition.header import make_header
from acquisition.leds import led_na, led_positions_mm
from acquisition.plan import ExposurePlan, plan_for

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from acquisition.profile import Profile

log = logging.getLogger(__name__)

LED_FIELD = "{led}"
"""Stands in a name pattern for the LED's number on the board."""


class TiffImportError(OperatorError):
    """The images do not make a capture."""


def import_tiffs(
    folder: str | Path,
    profile: Profile,
    output: str | Path,
    name_pattern: str | None = None,
    title: str = "",
    sample: str = "",
    operator: str = "",
    on_progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Make a capture file of a folder of TIFFs and a hardware profile.

    Parameters
    ----------
    folder
        Holds the images (``.tif``, ``.tiff``) and no other TIFF; sub-folders are not looked into.
    profile
        Of the microscope; its plan says which LEDs were lit.
    output
        The capture file; never overwritten.
    name_pattern
        None: the names in their natural order are the plan's LEDs in the order of their numbers (or as listed in a
        subset), again from the start for each repeat. Else a file name with ``{led}`` where the LED's number stands and
        ``*`` for anything, such as ``img_{led}_*.tif``; other files are left alone.
    title, sample, operator
        For the file.
    on_progress
        Called after each image with the number written and their total.

    Returns
    -------
    Path of the capture.

    Raises
    ------
    TiffImportError
        Number, names, shapes or types of the images are not what the plan needs; nothing is written.
    CaptureError
        The output cannot be written.
    """
    folder = Path(folder)
    positions_mm = led_positions_mm(profile.led_board.geometry)
    directions = led_na(positions_mm, profile.led_board.orientation)
    in_board_order = profile.plan.model_copy(update={"order": "board", "dark_frames": 0})
    plan = plan_for(profile, directions, in_board_order)

    files = sorted(_tiffs_in(folder), key=natural_key)
    if name_pattern is None:
        patterns = _by_order(files, plan, folder)
    else:
        files, patterns = _by_name(files, plan, name_pattern)
    first = read_tiff(files[0])
    header = make_header(profile, plan, positions_mm, first.shape, title or folder.name, sample, operator)
    largest_count = 2**profile.camera.bit_depth - 1

    writer = CaptureWriter(output, header)
    try:
        passes = Counter[int]()
        for number, (path, pattern) in enumerate(zip(files, patterns, strict=True)):
            image = read_tiff(path)
            _check(image, path, first, files[0], largest_count)
            writer.write_frame(
                Frame(
                    index=number,
                    pattern=pattern,
                    image_yx=image.astype(np.uint16),
                    exposure_ms=float(plan.exposure_ms_p[pattern]),
                    host_time_s=math.nan,  # nobody knows
                    saturated_fraction=float(np.mean(image >= largest_count)),
                    time_point=passes[pattern],
                )
            )
            passes[pattern] += 1
            if on_progress is not None:
                on_progress(number + 1, len(files))
    except BaseException:
        # Half an import is of no use: the images are still in their folder.
        writer.discard()
        raise
    return writer.finish("complete")


def natural_key(path: Path) -> list[tuple[int, int, str]]:
    """Sort key by which numbers in names count as numbers: img_2 comes before img_10."""
    parts = re.findall(r"(\d+)|(\D+)", path.name.lower())
    return [(0, int(digits), "") if digits else (1, 0, text) for digits, text in parts]


def read_tiff(path: Path) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Read one image of camera counts.

    Raises
    ------
    TiffImportError
        Not a TIFF, more than one page, colour, or counts that are not 8 or 16 bit.
    """
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            pages = len(tiff.pages)
            image = np.asarray(tiff.pages[0].asarray())
    except (OSError, ValueError, KeyError, IndexError, tifffile.TiffFileError) as error:
        raise TiffImportError(f"{path} cannot be read: {error}.", "Save it again as an uncompressed TIFF.") from error
    if pages != 1:
        raise TiffImportError(f"{path} has {pages} pages, 1 is allowed.", "Save the stack as one file per LED.")
    if image.ndim != 2:
        raise TiffImportError(
            f"{path} has shape {image.shape}; rows and columns of one colour are allowed.",
            "Save the camera's counts as greyscale, without conversion to colour.",
        )
    if image.dtype not in (np.uint8, np.uint16):
        raise TiffImportError(
            f"{path} holds {image.dtype}; uint8 and uint16 are allowed.",
            "Save the camera's counts as they came, 8 or 16 bit unsigned, without scaling.",
        )
    return image


def _tiffs_in(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise TiffImportError(f"There is no folder {folder}.", "Choose the folder that holds the images.")
    files = [path for path in folder.iterdir() if path.suffix.lower() in (".tif", ".tiff") and path.is_file()]
    if not files:
        raise TiffImportError(f"{folder} holds no .tif or .tiff.", "Choose the folder that holds the images.")
    return files


def _by_order(files: Sequence[Path], plan: ExposurePlan, folder: Path) -> list[int]:
    if len(files) != plan.frame_count:
        raise TiffImportError(
            f"{folder} holds {len(files)} TIFFs, the plan ({plan.name}) needs {plan.frame_count}.",
            "Correct [plan] in the profile (kind, leds, repeats), take other TIFFs out of the folder, or give a name"
            f" pattern with {LED_FIELD}.",
        )
    return [int(pattern) for pattern in plan.order_n]


def _by_name(files: Sequence[Path], plan: ExposurePlan, name_pattern: str) -> tuple[list[Path], list[int]]:
    """Choose the files that fit the pattern, in the plan's order; those of one LED in the order of their names."""
    if name_pattern.count(LED_FIELD) != 1:
        raise TiffImportError(f"The name pattern {name_pattern!r} needs {LED_FIELD} once.", "Write img_{led}.tif, say.")
    if (np.count_nonzero(plan.patterns_pl, axis=1) != 1).any():
        raise TiffImportError(
            f"The plan ({plan.name}) lights several LEDs at once, a name with {LED_FIELD} tells one.",
            "Leave the name pattern out: the files are then taken in the order of the plan's patterns.",
        )
    before, after = (".*?".join(map(re.escape, part.split("*"))) for part in name_pattern.split(LED_FIELD))
    regex = re.compile(f"{before}(\\d+){after}", re.IGNORECASE)
    led_of = {path: int(found[1]) for path in files if (found := regex.fullmatch(path.name))}
    leds = plan.patterns_pl.argmax(axis=1).tolist()
    repeats = plan.frame_count // len(leds)
    count = Counter(led_of.values())
    wrong = {led: count[led] for led in leds if count[led] != repeats}
    wrong |= {led: number for led, number in count.items() if led not in leds}
    if wrong:
        led, number = next(iter(wrong.items()))
        raise TiffImportError(
            f"{number} TIFFs fit {name_pattern!r} for LED {led}, the plan ({plan.name}) needs"
            f" {repeats if led in leds else 0}; {len(wrong)} LEDs are wrong in this way.",
            "Correct the name pattern, or [plan] in the profile (kind, leds, repeats).",
        )
    chosen = sorted(led_of, key=lambda path: leds.index(led_of[path]))
    return chosen, [leds.index(led_of[path]) for path in chosen]


def _check(
    image: NDArray[np.uint8] | NDArray[np.uint16],
    path: Path,
    first: NDArray[np.uint8] | NDArray[np.uint16],
    first_path: Path,
    largest_count: int,
) -> None:
    if image.shape != first.shape or image.dtype != first.dtype:
        raise TiffImportError(
            f"{path} is {image.shape} {image.dtype}, {first_path.name} is {first.shape} {first.dtype}.",
            "All images need one size and type: take the others out of the folder.",
        )
    if image.max() > largest_count:
        raise TiffImportError(
            f"{path} has counts up to {image.max()}, the profile's camera.bit_depth allows {largest_count}.",
            "Correct camera.bit_depth in the profile.",
        )
