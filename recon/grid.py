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

RESONANCE_MARGIN = 0.12
"""How far, in half waves, the angles of the cone may come from the middle between two resonances."""

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


def plane_distance_um(optics: Optics, resonant: bool) -> float:
    """Distance of planes that serves a forward model.

    Waves reflected by planes half a wavelength apart, or a multiple of that, add up. Models whose waves go both ways
    (SSNP) therefore take distances halfway between two such resonances, as far as the objective's cone of angles lets
    them.
    """
    wanted = axial_period_um(optics) / PLANES_PER_AXIAL_PERIOD
    if not resonant:
        return wanted
    steepest = math.sqrt(1.0 - (optics.objective_na / optics.medium_index) ** 2)
    mean_cosine = 0.5 * (1.0 + steepest)
    half_wave = optics.wavelength_um / (2.0 * optics.medium_index * mean_cosine)
    # With order m + 1/2 half waves between planes, the cone reaches (m + 1/2) (1 - steepest) / (2 mean) from there.
    farthest = RESONANCE_MARGIN * 2.0 * mean_cosine / (1.0 - steepest)
    order = max(1.0, math.floor(min(farthest, wanted / half_wave) - 0.5))
    return (order + 0.5) * half_wave


def choose_grid(
    image_shape: tuple[int, int], optics: Optics, z_um: tuple[float, float], resonant: bool = False, pad: int = 0
) -> VolumeGrid:
    """Lay the grid of a reconstruction over the images' field of view between two depths.

    Parameters
    ----------
    image_shape
        Rows and columns of the images.
    optics
        The microscope.
    z_um
        Depths of the first and the last plane, in micrometres from the focal plane, along the light.
    resonant
        Whether planes must keep between resonances of the forward model: the volume then grows to fit their distance.
    pad
        By how many pixels the volume is wider than the images on each side; see `pad_pixels`.

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
    spacing = plane_distance_um(optics, resonant)
    planes = max(MIN_PLANES, math.ceil((bottom - top) / spacing) + 1)
    if planes > MAX_PLANES:
        raise OperatorError(
            f"The depth range {top:g} to {bottom:g} µm needs {planes} planes; the limit is {MAX_PLANES}.",
            f"Choose a range of at most {spacing * (MAX_PLANES - 1):.0f} µm.",
        )
    rows, columns = (side + 2 * pad for side in image_shape)
    if resonant:
        first = 0.5 * (top + bottom - (planes - 1) * spacing)
        return VolumeGrid((planes, rows, columns), spacing, optics.pixel_um, first)
    return VolumeGrid((planes, rows, columns), (bottom - top) / (planes - 1), optics.pixel_um, top)


def linear_grid(grid: VolumeGrid, optics: Optics) -> VolumeGrid:
    """Return the same box with as many planes as the linear model needs, where it needs fewer."""
    planes, rows, columns = grid.shape_zyx
    depth_um = planes * grid.dz_um
    needed = max(MIN_PLANES, math.ceil(depth_um / plane_distance_um(optics, False)))
    if needed >= 0.8 * planes:
        return grid
    dz_um = depth_um / needed
    first = grid.z_first_um + 0.5 * (dz_um - grid.dz_um)
    return VolumeGrid((needed, rows, columns), dz_um, grid.pixel_um, first)


def pad_pixels(image_shape: tuple[int, int], optics: Optics, z_um: tuple[float, float]) -> int:
    """By how many pixels on each side the volume reaches beyond the images, so that light from there finds a place.

    That is as far as the steepest light of the objective's cone goes sideways on the way to focus, but no farther than
    a quarter of the images' shorter side; rounded up to a multiple of four, and about a quarter more where that gives
    sides that transform quickly. Images mirrored at their rims fill the padding: it is always narrower than they.
    """
    steepest = optics.objective_na / optics.medium_index
    reach_um = max(abs(z) for z in z_um) * steepest / math.sqrt(1.0 - steepest**2)
    wanted = min(reach_um / optics.pixel_um, min(image_shape) / 4)
    most = max(0, (min(image_shape) - 2) // 4 * 4)
    least = min(4 * math.ceil(wanted / 4), most)
    more = 4 * math.ceil(least / 16)
    for pad in range(least, min(least + more, most) + 1, 4):
        if all(_transforms_quickly(side + 2 * pad) for side in image_shape):
            return pad
    return least


def inner_bounds_um(grid: VolumeGrid, pad: int) -> NDArray[np.float64]:
    """Lower and upper corner of the part of a box that lies in the images, x y z, (2, 3)."""
    margin = np.array([pad * grid.pixel_um, pad * grid.pixel_um, 0.0])
    bounds: NDArray[np.float64] = grid.bounds_um + np.stack([margin, -margin])
    return bounds


def _transforms_quickly(side: int) -> bool:
    for factor in (2, 3, 5):
        while side % factor == 0:
            side //= factor
    return side == 1 or side in (7, 11)


def default_depths_um(image_shape: tuple[int, int], optics: Optics) -> tuple[float, float]:
    """Depths to reconstruct where nobody said: 6 axial periods about the focal plane, or the field's width.

    Returns
    -------
    top, bottom
        In micrometres.
    """
    half = min(3.0 * axial_period_um(optics), 0.5 * min(image_shape) * optics.pixel_um)
    return -half, half
