"""The volume of a reconstruction: where it lies, and the planes on which forward models sample it.

The field itself is continuous; the grid here is the quadrature of the forward model. Laterally it is the camera's own
sampling. Axially a bright-field measurement transfers no frequency above (n0 - sqrt(n0^2 - NA^2)) / wavelength; planes
several times finer than that limit lose nothing and give positivity and edges room to act.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from acquisition.errors import OperatorError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from acquisition.capture import Optics

PLANES_PER_AXIAL_PERIOD = 4.0
"""Planes per shortest axial period that the objective transfers; 2 would be the sampling limit."""

MIN_PLANES = 5
MAX_PLANES = 512


@dataclass(frozen=True)
class VolumeGrid:
    """Regular sampling of a box.

    Attributes
    ----------
    shape_zyx
        Planes, rows, columns.
    dz_um, pixel_um
        Distance of planes and of pixels, in micrometres.
    z_first_um
        Position of the first plane.
    """

    shape_zyx: tuple[int, int, int]
    dz_um: float
    pixel_um: float
    z_first_um: float

    @property
    def z_um(self) -> NDArray[np.float64]:
        """Positions of the planes, (Z,)."""
        return self.z_first_um + self.dz_um * np.arange(self.shape_zyx[0], dtype=np.float64)

    @property
    def axes_um(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Coordinates of the samples along x, y and z, (W,), (H,), (Z,)."""
        _, rows, columns = self.shape_zyx
        x_um = (np.arange(columns, dtype=np.float64) - columns // 2) * self.pixel_um
        y_um = (np.arange(rows, dtype=np.float64) - rows // 2) * self.pixel_um
        return x_um, y_um, self.z_um

    @property
    def bounds_um(self) -> NDArray[np.float64]:
        """Lower and upper corner of the box, x y z, (2, 3): the outer faces of the outer voxels."""
        planes, rows, columns = self.shape_zyx
        lower = np.array(
            [
                (-(columns // 2) - 0.5) * self.pixel_um,
                (-(rows // 2) - 0.5) * self.pixel_um,
                self.z_first_um - 0.5 * self.dz_um,
            ]
        )
        extent = np.array([columns * self.pixel_um, rows * self.pixel_um, planes * self.dz_um])
        return np.stack([lower, lower + extent])


def axial_period_um(optics: Optics) -> float:
    """Shortest axial period of the sample that bright-field images transfer, in micrometres."""
    defocus = optics.medium_index - math.sqrt(optics.medium_index**2 - optics.objective_na**2)
    return optics.wavelength_um / defocus


def lateral_period_um(optics: Optics) -> float:
    """Shortest lateral period that bright-field images transfer, in micrometres."""
    return optics.wavelength_um / (2.0 * optics.objective_na)


def choose_grid(image_shape: tuple[int, int], optics: Optics, z_um: tuple[float, float]) -> VolumeGrid:
    """Lay the grid of a reconstruction over the images' field of view between two depths.

    Parameters
    ----------
    image_shape
        Rows and columns of the images.
    optics
        The microscope.
    z_um
        Depths of the first and the last plane, in micrometres from the focal plane, along the light.

    Raises
    ------
    OperatorError
        The depths are not finite, not in increasing order, or span more planes than can be sampled.
    """
    top, bottom = z_um
    if not (math.isfinite(top) and math.isfinite(bottom) and top < bottom):
        raise OperatorError(
            f"The depth range {top:g} to {bottom:g} µm is empty.",
            "Give the top of the sample first (smaller z, nearer the LEDs), then the bottom, for example --z -6,6.",
        )
    spacing = axial_period_um(optics) / PLANES_PER_AXIAL_PERIOD
    planes = max(MIN_PLANES, math.ceil((bottom - top) / spacing) + 1)
    if planes > MAX_PLANES:
        raise OperatorError(
            f"The depth range {top:g} to {bottom:g} µm needs {planes} planes; the limit is {MAX_PLANES}.",
            f"Choose a range of at most {spacing * (MAX_PLANES - 1):.0f} µm.",
        )
    return VolumeGrid((planes, *image_shape), (bottom - top) / (planes - 1), optics.pixel_um, top)


def default_depths_um(image_shape: tuple[int, int], optics: Optics) -> tuple[float, float]:
    """Depths to reconstruct where nobody said: 6 axial periods about the focal plane, or the field's width.

    Returns
    -------
    top, bottom
        In micrometres.
    """
    half = min(3.0 * axial_period_um(optics), 0.5 * min(image_shape) * optics.pixel_um)
    return -half, half
