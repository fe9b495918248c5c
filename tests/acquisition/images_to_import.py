"""Images of other programs, as tests of the import write and read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from acquisition.importers import import_images
from acquisition.profile import Profile, parse_profile, shipped_profiles

if TYPE_CHECKING:
    from pathlib import Path


def small_profile(plan: str = 'kind = "brightfield"', bit_depth: int = 16) -> Profile:
    """Return the simulated microscope with a board of 3 x 4 LEDs, all bright field."""
    text = shipped_profiles()["simulated"].read_text(encoding="utf-8")
    before, rest = text.split("[led_board.geometry]")
    grid = 'kind = "grid"\nrows = 3\ncolumns = 4\npitch_mm = 5.0\ndistance_mm = 60.0\n'
    text = f"{before}[led_board.geometry]\n{grid}\n[led_board.orientation]{rest.split('[led_board.orientation]')[1]}"
    text = text.replace('kind = "brightfield"', plan, 1).replace("bit_depth = 16", f"bit_depth = {bit_depth}")
    return parse_profile(text, "small.toml")


def make_images(count: int = 12, dtype: Any = np.uint16) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 200, (count, 5, 7)).astype(dtype)


def write_images(folder: Path, images: np.ndarray, name: str = "img_{}.tif") -> Path:
    folder.mkdir(exist_ok=True)
    for number, image in enumerate(images):
        tifffile.imwrite(folder / name.format(number), image)
    return folder


def import_tiffs(*arguments: Any, **options: Any) -> Path:
    """Import camera counts as they are."""
    path, note = import_images(*arguments, **options)
    assert note == ""
    return path
