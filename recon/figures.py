"""Numbers that are told of a field: of the whole, and of a region in it.

Between the processes they travel as a vector of float32, like a picture. Neither torch nor Qt here.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

PROTEIN_ML_G = 0.18
"""Refraction increment of protein in water, dn for each g/ml: 0.18 (Barer, J. Opt. Soc. Am. 47, 545 (1957)); the mean
over human proteins is 0.19 (Zhao et al., Biophys. J. 100, 2309 (2011))."""


@dataclass(frozen=True)
class Figures:
    """Resolution and coverage in numbers.

    Attributes
    ----------
    lateral_um, axial_um
        Periods down to which two halves of the LEDs agree, solved in closed form; NaN where they agree on nothing.
    lateral_at_limit, axial_at_limit
        Whether they agree up to the highest frequency that sampling or light allow, whose period is then given.
    missing_share
        Share of the frequencies within the ball of the lateral cutoff that no LED shows.
    filled_share
        Share of those that bright-field LEDs could show, that these do show.
    """

    lateral_um: float
    axial_um: float
    lateral_at_limit: bool
    axial_at_limit: bool
    missing_share: float
    filled_share: float

    def vector(self) -> NDArray[np.float32]:
        """As it travels."""
        return np.array(astuple(self), np.float32)

    @classmethod
    def of_vector(cls, vector: NDArray[np.float32]) -> Figures | None:
        """As it was before it travelled; an empty vector stands for figures that are not known."""
        if vector.size == 0:
            return None
        lateral_um, axial_um, lateral_limit, axial_limit, missing, filled = vector.tolist()
        return cls(lateral_um, axial_um, bool(lateral_limit), bool(axial_limit), missing, filled)


@dataclass(frozen=True)
class RegionFigures:
    """What a region holds. Values that are not known, or of nothing, are NaN.

    Attributes
    ----------
    area_um2
        Area of the outline on its slice, as far as it lies in the box.
    mean_dn, sd_dn, lowest_dn, highest_dn
        Of dn on that area.
    sigma_mean_dn
        Standard deviation of the mean, all errors taken to go the same way.
    volume_um3
        Of the outline drawn through the box along the slice's normal, or of the whole box, where dn is above the
        threshold; 1 um3 is 1 fl.
    solid_mean_dn
        Mean dn of that volume.
    integral_um3
        Integral of dn over it.
    sigma_integral_um3
        Standard deviation of the integral, all errors taken to go the same way.
    """

    area_um2: float
    mean_dn: float
    sd_dn: float
    lowest_dn: float
    highest_dn: float
    sigma_mean_dn: float
    volume_um3: float
    solid_mean_dn: float
    integral_um3: float
    sigma_integral_um3: float

    def vector(self) -> NDArray[np.float32]:
        """As it travels."""
        return np.array(astuple(self), np.float32)

    @classmethod
    def of_vector(cls, vector: NDArray[np.float32]) -> RegionFigures:
        """As it was before it travelled."""
        return cls(*vector.tolist())

    def dry_mass_pg(self, increment_ml_g: float) -> tuple[float, float]:
        """Mass of what raises the index above the medium's, and its standard deviation.

        dn / increment is its density in g/ml, which is pg/fl (Barer, Nature 169, 366 (1952)).
        """
        return self.integral_um3 / increment_ml_g, self.sigma_integral_um3 / increment_ml_g
