"""How the LED board stands, against what the profile says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


@dataclass(frozen=True)
class BoardPose:
    """Correction to the nominal board, in sample axes.

    Attributes
    ----------
    shift_mm
        (x, y) by which the board is displaced.
    rotation_deg
        By which it is turned about the optical axis, from +x towards +y, before the shift.
    distance_scale
        True over nominal distance to the sample.
    objective_na
        The NA that the rims show.
    """

    shift_mm: tuple[float, float]
    rotation_deg: float
    distance_scale: float
    objective_na: float

    def led_na(self, position_mm_l3: Floats, led_na_l2: Floats) -> Floats:
        """Directions of light (L, 2), from nominal positions (L, 3) and nominal directions (L, 2)."""
        height_l1 = position_mm_l3[:, 2:]
        point_l2 = -led_na_l2 * height_l1 / np.sqrt(1 - (led_na_l2**2).sum(axis=1, keepdims=True))
        angle = np.deg2rad(self.rotation_deg)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        moved_l2 = point_l2 @ turn.T + np.asarray(self.shift_mm)
        height_l1 = height_l1 * self.distance_scale
        na_l2: Floats = -moved_l2 / np.sqrt((moved_l2**2).sum(axis=1, keepdims=True) + height_l1**2)
        return na_l2
