"""Camera sensor: counts = clip(round((electrons + shot noise + read noise) / gain) + offset).

Shot noise is drawn from the normal distribution of the same mean and variance: close to Poisson above some tens of
electrons, and ten times faster.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Sensor:
    """What turns light into counts.

    Attributes
    ----------
    offset_counts
        Counts without light.
    gain_e_per_count
        Electrons per count.
    bit_depth
        The largest count is 2**bit_depth - 1.
    full_well_e
        Electrons at which a pixel is full; it is also full at the largest count.
    read_noise_e
        Standard deviation of the noise of reading a pixel, electrons.
    """

    offset_counts: float
    gain_e_per_count: float
    bit_depth: int
    full_well_e: float
    read_noise_e: float

    def expose(self, electrons_yx: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.uint16]:
        """Counts (H, W) of one exposure that frees `electrons_yx` on average."""
        noise_yx = rng.standard_normal(electrons_yx.shape, dtype=np.float32)
        noise_yx *= np.sqrt(electrons_yx + np.float32(self.read_noise_e) ** 2)
        collected_yx = np.minimum(electrons_yx + noise_yx, np.float32(self.full_well_e))
        counts_yx = np.rint(collected_yx / np.float32(self.gain_e_per_count) + np.float32(self.offset_counts))
        limited: NDArray[np.uint16] = np.clip(counts_yx, 0, 2**self.bit_depth - 1).astype(np.uint16)
        return limited
