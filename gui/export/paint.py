"""One picture of a field in colours, with a scale bar burnt in."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from acquisition.errors import OperatorError
from gui.export.job import Look, SliceLook, VolumeLook
from gui.lengths import length_text, round_length_um

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from recon.box import Box
    from recon.render import Previews
    from recon.view_requests import IndexPart

MAX_PIXELS = 6 * 10**7
GLANCE = 96
"""Samples along each axis, at most, that tell the levels."""
LONGEST_BAR = 0.25
"""Of the picture's width."""
MARGIN = 0.03
"""Between bar and edges, of the picture's shorter side."""
BAR_COLOUR, HALO_COLOUR = (242, 244, 247), (0, 0, 0)


def with_levels(look: Look, field: Box) -> Look:
    """Fill in levels that were left to the values of the box."""
    if isinstance(look, SliceLook) and look.levels is None:
        return replace(look, levels=levels_of(field, look.part))
    return look


def levels_of(field: Box, part: IndexPart) -> tuple[float, float]:
    """Levels for pictures of the whole box: 1st and 99.9th percentile."""
    from recon.quality import value_range

    z, y, x = (min(GLANCE, count) for count in field.shape_zyx)
    index = field.volume((z, y, x))
    low, high = value_range(index.imag if part == "kappa" else index.real - field.medium_index)
    return (low, high) if high - low > 1e-9 else (low - 5e-5, high + 5e-5)


def paint_look(
    look: Look, field: Box, previews: Previews | None = None, pulse: Callable[[], None] = lambda: None
) -> NDArray[np.uint8]:
    """Paint it, (rows, columns, 3), on black where there is nothing.

    Parameters
    ----------
    previews
        Keeps the coarse copy of the field from picture to picture.
    pulse
        Called often within long work; whatever it raises ends it.

    Raises
    ------
    OperatorError
        The picture would not fit into memory.
    """
    if look.shape[0] * look.shape[1] > MAX_PIXELS:
        message = f"A picture of {look.shape[1]} x {look.shape[0]} pixels is too large; {MAX_PIXELS:.0e} is the limit."
        raise OperatorError(message, "Choose a smaller one with --size.")
    rgb = _slice(look, field) if isinstance(look, SliceLook) else _volume(look, field, previews, pulse)
    return burn_scale_bar(rgb, look.um_per_px) if look.scale_bar else rgb


def _slice(look: SliceLook, field: Box) -> NDArray[np.uint8]:
    low, high = look.levels or levels_of(field, look.part)
    index = field.slice(look.origin_um, look.u_um, look.v_um, look.shape)
    values = index.imag if look.part == "kappa" else index.real - np.float32(field.medium_index)
    table = np.frombuffer(look.colours, np.uint8).reshape(-1, 3)
    place = (values - low) / max(high - low, 1e-12) * len(table)
    coloured: NDArray[np.uint8] = table[np.clip(place, 0, len(table) - 1).astype(np.intp)]
    return coloured


def _volume(look: VolumeLook, field: Box, previews: Previews | None, pulse: Callable[[], None]) -> NDArray[np.uint8]:
    from recon.render import render
    from recon.scene import to_rgba

    picture = render(field, look.scene, look.shape, look.quality, previews=previews, pulse=pulse)
    return np.ascontiguousarray(to_rgba(picture, look.scene)[..., :3])  # multiplied by the opacity: it lies on black


def burn_scale_bar(rgb: NDArray[np.uint8], um_per_px: float) -> NDArray[np.uint8]:
    """Draw a bar of a round length and its label at the lower right, where the picture has room for them."""
    from PIL import Image, ImageDraw, ImageFont

    rows, columns = rgb.shape[:2]
    side = min(rows, columns)
    length_um = round_length_um(LONGEST_BAR * columns * um_per_px)
    length_px, margin, thick = round(length_um / um_per_px), max(2, round(MARGIN * side)), max(2, round(side / 160))
    if side < 48 or length_px < 2:
        return rgb
    image = Image.fromarray(rgb)
    draw = ImageDraw.Draw(image)
    right, bottom = columns - margin, rows - margin
    bar = (right - length_px, bottom - thick, right - 1, bottom - 1)
    draw.rectangle((bar[0] - 1, bar[1] - 1, bar[2] + 1, bar[3] + 1), fill=HALO_COLOUR)
    draw.rectangle(bar, fill=BAR_COLOUR)
    font = ImageFont.truetype(_font_file(), max(9, round(side / 32)))
    text, halo = length_text(length_um), max(1, thick // 2)
    half = draw.textlength(text, font=font) / 2
    middle = min((bar[0] + bar[2]) / 2, columns - margin / 2 - half)
    draw.text(
        (middle, bar[1] - thick - 1), text, BAR_COLOUR, font, anchor="md", stroke_width=halo, stroke_fill=HALO_COLOUR
    )
    return np.asarray(image)


def _font_file() -> str:
    """A font that every installation has, with the sign for micro."""
    import matplotlib

    return f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf"


def write_png(path: Path, rgb: NDArray[np.uint8], um_per_px: float) -> None:
    """Write a picture with the size of its pixels."""
    from PIL import Image

    dots_per_inch = 25400.0 / um_per_px
    Image.fromarray(rgb).save(path, "PNG", dpi=(dots_per_inch, dots_per_inch))
