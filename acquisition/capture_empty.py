"""Is an empty field empty? What moves in the images with the direction of the light is no dust but a sample.

Uneven light is smooth, and dust on the way to the camera shows in all images at the same place. A sample shows
otherwise in the light of each LED. So of the means of small blocks, relative to those around them, what all patterns
have in common is taken away; what is left beyond the noise, as repeats tell it, is structure.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from acquisition.aperture import inside_aperture
from acquisition.capture_dark import counts_without_light, read_darks
from acquisition.capture_reader import Reader

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

LARGEST_STRUCTURE = 0.004
"""Of an empty field, as a part of its light. Simulated fields with dust and very uneven light have 0.0013 to 0.0016,
those with cells or beads in them 0.03 to 0.05."""

_BLOCK = 8
_LEAST_PATTERNS = 3


def structure_of(path: os.PathLike[str]) -> float | None:
    """How much the bright-field images of a capture differ beyond noise, light and dust, as a part of the light.

    Returns
    -------
    None where it cannot be told: fewer than three bright-field patterns that were taken twice or more, or small images.

    Raises
    ------
    CaptureError
        The file cannot be read.
    """
    with Reader(path) as reader:
        header = reader.header()
        darks = read_darks(reader.get("entry"))
        data = {name: reader.get(f"entry/data/{name}") for name in ("images", "pattern", "exposure_ms")}
        pattern_n, exposure_ms_n = data["pattern"][()], data["exposure_ms"][()].tolist()
        lit_pl, inside_l = header.patterns_pl > 0, inside_aperture(header.led_na_l2, header.optics.objective_na)
        bright = [row for row in np.flatnonzero((lit_pl & inside_l).any(axis=1)) if (pattern_n == row).sum() > 1]
        if len(bright) < _LEAST_PATTERNS or min(header.image_shape) < 4 * _BLOCK:
            return None
        means, noise = [], []
        for row in bright:
            uneven_nyx = np.stack(
                [
                    _unevenness(
                        data["images"][frame],
                        counts_without_light(darks, exposure_ms_n[frame], header.optics.camera_offset),
                    )
                    for frame in np.flatnonzero(pattern_n == row).tolist()
                ]
            )
            means.append(uneven_nyx.mean(axis=0))
            noise.append(float(uneven_nyx.var(axis=0, ddof=1).mean()) / len(uneven_nyx))
    mean_pyx = np.stack(means)
    own_pyx = mean_pyx - mean_pyx.mean(axis=0)
    variance = float((own_pyx**2).sum(axis=0).mean()) / (len(bright) - 1)
    return math.sqrt(max(0.0, variance - sum(noise) / len(noise)))


def _unevenness(counts_yx: NDArray[np.uint16], dark: NDArray[np.float32] | np.float32) -> NDArray[np.float64]:
    """Means of blocks less those of the four around them, as a part of the light."""
    light_yx = np.subtract(counts_yx, dark, dtype=np.float32)
    rows, columns = (side // _BLOCK for side in light_yx.shape)
    blocks_yx = light_yx[: rows * _BLOCK, : columns * _BLOCK].reshape(rows, _BLOCK, columns, _BLOCK).mean(axis=(1, 3))
    blocks_yx = blocks_yx / max(float(blocks_yx.mean()), 1e-9)
    around_yx = blocks_yx[:-2, 1:-1] + blocks_yx[2:, 1:-1] + blocks_yx[1:-1, :-2] + blocks_yx[1:-1, 2:]
    uneven_yx: NDArray[np.float64] = np.subtract(blocks_yx[1:-1, 1:-1], 0.25 * around_yx, dtype=np.float64)
    return uneven_yx
