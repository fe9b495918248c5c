"""Bright or dark field: the one rule for which LEDs shine into the objective."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def inside_aperture(led_na_l2: NDArray[np.floating], objective_na: float) -> NDArray[np.bool_]:
    """Which LEDs (L,) are bright field, by their directions (L, 2).

    An LED exactly at the limit is not: half of its light at most gets in, and no reconstruction uses it.
    """
    inside_l: NDArray[np.bool_] = np.hypot(led_na_l2[..., 0], led_na_l2[..., 1]) < objective_na
    return inside_l
