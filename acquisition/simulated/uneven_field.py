"""What makes the field of a real microscope uneven, sample or not: light that falls off, and dust before the camera.

An LED is nearer to one side of the field than to the other, and shines best straight ahead: its light falls off towards
the rim, most on the side turned away from it. This differs from LED to LED. Dust on the camera's window stays where it
is, whatever shines: soft specks, as it lies out of focus.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DUST_SEED = 3  # stream of the one seed in the profile
_DUST_PX = (1.5, 5.0)
_DUST_DEPTH = (0.05, 0.3)


class UnevenField:
    """The unevenness of one microscope.

    Parameters
    ----------
    shape
        Rows and columns of the sensor.
    objective_na
        Directions are measured by it.
    shading
        Share of the light that the corner turned away from an LED at the edge of the aperture lacks; 0: even.
    dust
        Number of specks.
    seed
        Where they lie.

    Attributes
    ----------
    dust_yx
        (H, W) float32, share of the light that passes the dust; 1 where there is none.
    """

    def __init__(self, shape: tuple[int, int], objective_na: float, shading: float, dust: int, seed: int) -> None:
        self._shading = shading
        self._objective_na = objective_na
        y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
        self._y, self._x = 2 * y / shape[0] - 1, 2 * x / shape[1] - 1  # -1 to 1
        self.dust_yx = np.ones(shape, np.float32)
        rng = np.random.default_rng([seed, _DUST_SEED])
        for _ in range(dust):
            row, column = rng.uniform(0, shape[0]), rng.uniform(0, shape[1])
            width, depth = rng.uniform(*_DUST_PX), rng.uniform(*_DUST_DEPTH)
            self.dust_yx *= 1 - np.float32(depth) * np.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * width**2))

    def shade(self, na: NDArray[np.float64]) -> NDArray[np.float32] | np.float32:
        """Light of an LED of this direction (2,) over the field, (H, W); 1 at the brightest point at most."""
        if not self._shading:
            return np.float32(1)
        along_x, along_y = (part / max(self._objective_na, float(np.hypot(*na))) for part in na)
        tilt_yx = (self._x * along_x + self._y * along_y) / np.sqrt(2)  # -1 to 1
        rim_yx = (self._x**2 + self._y**2) / 2  # 0 in the middle, 1 in the corners
        shade_yx: NDArray[np.float32] = (1 - self._shading * (0.25 + 0.25 * tilt_yx + 0.5 * rim_yx)).astype(np.float32)
        return shade_yx
