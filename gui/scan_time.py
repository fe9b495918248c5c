"""How long a scan will take: estimated from its plan, and corrected by the scans that have been made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from acquisition.estimate import READOUT_MS
from acquisition.plan import Pace

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from acquisition.instrument import Instrument
    from acquisition.plan import ExposurePlan

FIRST_LIGHT_S = 0.3
"""What a simulated microscope computes when an LED shines for the first time, for 256 x 256 pixels."""


class ScanTime:
    """Estimates for one open instrument.

    Parameters
    ----------
    instrument
        Open.
    """

    def __init__(self, instrument: Instrument) -> None:
        self._instrument = instrument
        self.readout_ms = READOUT_MS
        """What a frame takes beyond settling and exposing, as far as is known."""
        self._lit_l = np.zeros(len(instrument.led_na_l2), bool)

    def estimate_s(self, plan: ExposurePlan) -> float:
        """Duration of a scan, in seconds."""
        return plan.duration_s(self.readout_ms) + self._first_light_s(plan)

    def learn(self, plan: ExposurePlan, elapsed_s: float) -> None:
        """Take the readout of the next estimate from a scan that is complete and took `elapsed_s`.

        Only one led by software shows it: in others it goes on beside the exposures.
        """
        if plan.pace is Pace.SOFTWARE:
            beyond_s = elapsed_s - self._first_light_s(plan) - plan.duration_s(0.0)
            self.readout_ms = max(0.0, 1000 * beyond_s / max(1, plan.frame_count))
        self._lit_l |= _used_l(plan)

    def _first_light_s(self, plan: ExposurePlan) -> float:
        """Time that a simulated microscope computes on LEDs which no scan has lit yet; 0 for a real one."""
        if self._instrument.profile.simulation is None:
            return 0.0
        height, width = self._instrument.camera.image_shape
        return FIRST_LIGHT_S * height * width / 256**2 * int((_used_l(plan) & ~self._lit_l).sum())


def _used_l(plan: ExposurePlan) -> NDArray[np.bool_]:
    return np.asarray(plan.patterns_pl.max(axis=0) > 0)
