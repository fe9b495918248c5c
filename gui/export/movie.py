"""MP4 movies that everything plays: H.264, yuv420p, even sides."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from acquisition.errors import OperatorError
from gui.export.job import Sequence, SliceLook, Spin, Sweep, VolumeLook
from gui.export.paint import paint_look, with_levels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from gui.export.job import Look, MovieFile, Tell
    from recon.box import Box

QUALITY = "17"
"""Constant rate factor of the encoder: no difference to be seen from what it was."""


def check_encoder() -> None:
    """Refuse where the encoder is missing.

    Raises
    ------
    OperatorError
        It is not installed.
    """
    try:
        import av  # noqa: F401  # whether it is there is what is asked
    except ImportError:
        message = "Movies need the library PyAV, which is not installed."
        raise OperatorError(message, "pip install 'fieldscope[movie]'") from None


def frames(
    movie: MovieFile, field: Box, load: Callable[[Path], Box], fields: tuple[Path, ...], pulse: Callable[[], None]
) -> Iterator[NDArray[np.uint8]]:
    """Paint each frame, (rows, columns, 3).

    Parameters
    ----------
    field
        The first of the fields; levels that are left to the values of the box come from it.
    load, fields
        For a sequence.
    """
    from recon.render import Previews

    look = with_levels(movie.look, field)
    previews = Previews()
    for number in range(count_of(movie, fields)):
        if isinstance(movie.motion, Sequence):
            shown = field if number == 0 else load(fields[number])
            yield paint_look(look, shown, pulse=pulse)
        else:
            yield paint_look(moved(look, movie, number), field, previews, pulse)


def count_of(movie: MovieFile, fields: tuple[Path, ...]) -> int:
    """Number of frames."""
    return len(fields) if isinstance(movie.motion, Sequence) else movie.frames


def moved(look: Look, movie: MovieFile, number: int) -> Look:
    """What frame `number` shows, from 0 on."""
    match movie.motion, look:
        case Spin(), VolumeLook():
            camera = look.scene.camera.spun(2.0 * math.pi * number / movie.frames)
            return replace(look, scene=replace(look.scene, camera=camera))
        case Sweep(travel_um=travel_um), SliceLook():
            share = number / max(1, movie.frames - 1)
            x, y, z = (start + share * way for start, way in zip(look.origin_um, travel_um, strict=True))
            return replace(look, origin_um=(x, y, z))
    raise OperatorError("A volume spins and a slice sweeps, not the other way round.", "Choose the other view.")


def write_mp4(path: Path, pictures: Iterator[NDArray[np.uint8]], count: int, per_second: float, tell: Tell) -> None:
    """Encode `count` pictures of one size; odd sides lose a line."""
    import av

    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        rate = Fraction(per_second).limit_denominator(1000)
        stream = container.add_stream("libx264", rate=rate, options={"crf": QUALITY, "preset": "medium"})
        stream.pix_fmt = "yuv420p"
        for number, rgb in enumerate(pictures):
            even = np.ascontiguousarray(rgb[: rgb.shape[0] // 2 * 2, : rgb.shape[1] // 2 * 2])
            if number == 0:
                stream.height, stream.width = even.shape[:2]
                # As every player takes high definition to be, so that colours are the same everywhere (ITU-T H.273).
                stream.codec_context.colorspace = stream.codec_context.color_primaries = 1
                stream.codec_context.color_trc, stream.codec_context.color_range = 1, 1
            frame = av.VideoFrame.from_ndarray(even, "rgb24").reformat(format="yuv420p", dst_colorspace="ITU709")
            container.mux(stream.encode(frame))
            tell(number + 1, count, "frame")
        container.mux(stream.encode(None))
