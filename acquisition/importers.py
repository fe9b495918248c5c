"""Captures from images that another program acquired: the same file that a scan would have written.

Images come from a folder of TIFFs, a file with many pages or a .mat file (`acquisition.image_sources`). Which of them
belongs to which LED is told by the order, by the LED's number in the name, or by a table (`acquisition.image_order`).
All else comes from the hardware profile.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from acquisition.capture import CaptureWriter, Frame, capture_bytes, check_space
from acquisition.header import make_header
from acquisition.image_order import Placed, by_name, by_order, by_table, plan_leds
from acquisition.image_sources import ImageImportError, ImageSource, open_source
from acquisition.leds import led_na, led_positions_mm
from acquisition.plan import plan_for
from acquisition.profile_board import BoardGeometry

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from acquisition.plan import ExposurePlan
    from acquisition.profile import Profile


def import_images(
    source: str | Path,
    profile: Profile,
    output: str | Path,
    name_pattern: str | None = None,
    table: Path | None = None,
    background: Path | None = None,
    dark: Path | None = None,
    variable: str | None = None,
    title: str = "",
    sample: str = "",
    operator: str = "",
    on_progress: Callable[[int, int], None] | None = None,
) -> tuple[Path, str]:
    """Make a capture file of images and a hardware profile.

    Parameters
    ----------
    source
        A folder with an image a file (``.tif``, ``.tiff``; sub-folders are not looked into), a TIFF with an image a
        page, or a ``.mat`` file.
    profile
        Of the microscope; its plan says which LEDs were lit, unless a table does.
    output
        The capture file; never overwritten.
    name_pattern
        None: the images in their natural order are the plan's LEDs in the order of their numbers (or as listed in a
        subset), again from the start for each repeat. Else a file name with ``{led}`` where the LED's number stands and
        ``*`` for anything, such as ``img_{led}_*.tif``; other files are left alone.
    table
        CSV file that names the LED of each image, see `acquisition.image_order.by_table`.
    background
        Images of the empty field, one for each LED: a source of its own, by name like the images where a pattern is
        given, else in the order of the patterns.
    dark
        One image without light, or several, which are averaged.
    variable
        Of a .mat file; None: one of the names that are known.
    title, sample, operator
        For the file.
    on_progress
        Called after each image with the number written and their total.

    Returns
    -------
    Path of the capture, and what was done to the numbers (empty: nothing).

    Raises
    ------
    ImageImportError
        Number, names, shapes or types of the images are not what is needed; nothing is written.
    CaptureError
        The output cannot be written.
    """
    source = Path(source)
    if isinstance(profile.led_board.geometry, BoardGeometry):
        raise ImageImportError(
            f"{profile.name} asks the LED board where its LEDs are, and to an import no board is connected.",
            "Describe the board in the profile that you import with: led_board.geometry of kind grid, ring or list.",
        )
    positions_mm = led_positions_mm(profile.led_board.geometry)
    directions = led_na(positions_mm, profile.led_board.orientation)
    settings = profile.plan.model_copy(update={"order": "board", "dark_frames": 0})
    with closing(open_source(source, variable)) as images:
        if table is not None:
            if name_pattern is not None:
                raise ImageImportError("A table and a name pattern are both given.", "Give one of them.")
            placed, leds = by_table(images, table, len(directions))
            settings = settings.model_copy(update={"kind": "subset", "leds": leds, "every": 1, "repeats": 1})
        plan = plan_for(profile, directions, settings)
        if table is None:
            placed = _placed(images, plan, settings.repeats, name_pattern)
        first = images.read(placed[0].image)
        header = make_header(profile, plan, positions_mm, first.shape, title or source.stem, sample, operator)
        if images.note:
            optics = replace(header.optics, camera_offset=0.0, camera_gain_e=None, bit_depth=16)
            header = replace(header, optics=optics)
            if background is not None or dark is not None:
                message = "Neither dark frame nor background belong to images divided by their background."
                raise ImageImportError(message, "Leave out --dark and --background.")
        background_pyx = None
        if background is not None:
            background_pyx = _background(background, plan, name_pattern, first.shape)
        dark_yx = None if dark is None else _dark(dark, first.shape)
        size = capture_bytes(len(placed), first.shape, 0 if background_pyx is None else len(background_pyx))
        check_space(Path(output).parent, size, "this import")

        writer = CaptureWriter(output, header, frames_planned=len(placed))
        try:
            if dark_yx is not None:
                writer.write_dark(dark_yx)
            if background_pyx is not None:
                writer.write_background(background_pyx)
            for number, row in enumerate(placed):
                image = images.read(row.image)
                _check(image, images, row.image, first, placed[0].image, 2**header.optics.bit_depth - 1)
                pattern = row.pattern
                writer.write_frame(
                    Frame(
                        index=number,
                        pattern=pattern,
                        image_yx=image.astype(np.uint16),
                        exposure_ms=row.exposure_ms or float(plan.exposure_ms_p[pattern]),
                        host_time_s=row.host_time_s,
                        saturated_fraction=float(np.mean(image >= 2**header.optics.bit_depth - 1)),
                        time_point=row.time_point or 0,
                        position=row.position,
                    )
                )
                if on_progress is not None:
                    on_progress(number + 1, len(placed))
        except BaseException:
            # Half an import is of no use: the images are still where they were.
            writer.discard()
            raise
        return writer.finish("complete"), images.note


def _placed(images: ImageSource, plan: ExposurePlan, repeats: int, name_pattern: str | None) -> list[Placed]:
    if name_pattern is None:
        return by_order(images, plan.pattern_count, repeats, plan.name)
    return by_name(images, plan_leds(plan), repeats, plan.name, name_pattern)


def _background(
    path: Path, plan: ExposurePlan, name_pattern: str | None, shape: tuple[int, ...]
) -> NDArray[np.float32]:
    with closing(open_source(path)) as images:
        placed = _placed(images, replace(plan, name=f"background of {plan.name}"), 1, name_pattern)
        stack = np.empty((plan.pattern_count, *shape), np.float32)
        for row in placed:
            stack[row.pattern] = _reference(images, row.image, shape)
    return stack


def _dark(path: Path, shape: tuple[int, ...]) -> NDArray[np.float32]:
    with closing(open_source(path)) as images:
        total = np.zeros(shape, np.float64)
        for number in range(len(images.names)):
            total += _reference(images, number, shape)
        return (total / len(images.names)).astype(np.float32)


def _reference(images: ImageSource, number: int, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return an image that may also hold a mean."""
    image = images.read(number)
    if image.shape != shape or image.dtype not in (np.uint8, np.uint16, np.float32, np.float64):
        raise ImageImportError(
            f"{_named(images, number)} is {image.shape} {image.dtype}, the images of the sample are {shape}.",
            "Take dark frames and background with the same part of the camera, in counts or means of counts.",
        )
    if not np.isfinite(image).all() or image.min() < 0:
        message = f"{_named(images, number)} has pixels that are no counts."
        raise ImageImportError(message, "Save the camera's counts, or their mean, as they came.")
    return image


def _check(
    image: NDArray[Any],
    images: ImageSource,
    number: int,
    first: NDArray[Any],
    first_number: int,
    largest_count: int,
) -> None:
    name = _named(images, number)
    if image.dtype not in (np.uint8, np.uint16):
        raise ImageImportError(
            f"{name} holds {image.dtype}; uint8 and uint16 are allowed.",
            "Save the camera's counts as they came, 8 or 16 bit unsigned, without scaling.",
        )
    if image.shape != first.shape or image.dtype != first.dtype:
        raise ImageImportError(
            f"{name} is {image.shape} {image.dtype}, {images.names[first_number]} is {first.shape} {first.dtype}.",
            "All images need one size and type: take the others out.",
        )
    if image.max() > largest_count:
        raise ImageImportError(
            f"{name} has counts up to {image.max()}, the profile's camera.bit_depth allows {largest_count}.",
            "Correct camera.bit_depth in the profile.",
        )


def _named(images: ImageSource, number: int) -> str:
    name = images.names[number]
    return f"{images.origin / name}" if images.origin.is_dir() else f"Image {name} of {images.origin}"
