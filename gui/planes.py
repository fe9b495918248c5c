"""Which rectangle of the volume a slice view shows, and on which pixels it is to be evaluated. No Qt here.

Points are (x, y, z) in micrometres. A view shows one *column* axis along the screen's columns and one *row* axis down
its rows, at one position along its *normal*:

    xy: columns x, rows y, normal z        yz: columns z, rows y, normal x
    xz: columns x, rows z, normal y        (beside and below xy, so that x and y run on)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from recon.messages import RequestSlice

Point = tuple[float, float, float]

MOST_POINTS = 1_500_000
"""More points than this are not asked for at once; a larger (HiDPI) view is evaluated coarser than its pixels."""


@dataclass(frozen=True)
class SliceAxes:
    """Which axis (0 x, 1 y, 2 z) runs along the columns, the rows and out of the screen."""

    name: str
    column: int
    row: int
    normal: int


XY = SliceAxes("xy", 0, 1, 2)
XZ = SliceAxes("xz", 0, 2, 1)
YZ = SliceAxes("yz", 2, 1, 0)


@dataclass(frozen=True)
class Plane:
    """A rectangle on a slice and the pixels (rows, columns) it is evaluated on."""

    axes: SliceAxes
    at_um: float
    left_um: float
    top_um: float
    width_um: float
    height_um: float
    shape: tuple[int, int]

    @property
    def origin_um(self) -> Point:
        """Upper left corner."""
        point = [0.0, 0.0, 0.0]
        point[self.axes.column], point[self.axes.row] = self.left_um, self.top_um
        point[self.axes.normal] = self.at_um
        return point[0], point[1], point[2]

    @property
    def u_um(self) -> Point:
        """Edge along the columns."""
        edge = [0.0, 0.0, 0.0]
        edge[self.axes.column] = self.width_um
        return edge[0], edge[1], edge[2]

    @property
    def v_um(self) -> Point:
        """Edge down the rows."""
        edge = [0.0, 0.0, 0.0]
        edge[self.axes.row] = self.height_um
        return edge[0], edge[1], edge[2]

    def coarser(self, factor: int) -> Plane:
        """Return the same rectangle on `factor` times fewer rows and columns."""
        rows, columns = self.shape
        shape = (max(1, math.ceil(rows / factor)), max(1, math.ceil(columns / factor)))
        return Plane(self.axes, self.at_um, self.left_um, self.top_um, self.width_um, self.height_um, shape)


def plane_of_answer(axes: SliceAxes, asked: RequestSlice) -> Plane:
    """Rebuild the rectangle that a picture was asked for."""
    return Plane(
        axes,
        asked.origin_um[axes.normal],
        asked.origin_um[axes.column],
        asked.origin_um[axes.row],
        asked.u_um[axes.column],
        asked.v_um[axes.row],
        asked.shape,
    )


def visible_plane(
    axes: SliceAxes,
    centre_um: Point,
    at_um: float,
    um_per_px: float,
    size_px: tuple[int, int],
    bounds_um: NDArray[np.float64],
) -> Plane | None:
    """Rectangle of the slice that the screen shows, on the screen's own pixels.

    Parts outside the box need no evaluation and are cut off along pixel edges, so that the picture falls on the pixels.

    Parameters
    ----------
    centre_um
        Point in the middle of the view.
    at_um
        Where the slice lies along its normal.
    um_per_px
        Size of a physical screen pixel in the volume.
    size_px
        Width and height of the view in physical pixels.
    bounds_um
        (2, 3) lower and upper corner of the box.

    Returns
    -------
    The rectangle, or None where the box is out of sight.
    """
    spans = []
    for axis, pixels in ((axes.column, size_px[0]), (axes.row, size_px[1])):
        start_um = centre_um[axis] - 0.5 * pixels * um_per_px
        # a rounding error of 1e-9 px must not add a pixel outside the box
        first = max(0, math.floor((float(bounds_um[0, axis]) - start_um) / um_per_px + 1e-9))
        last = min(pixels, math.ceil((float(bounds_um[1, axis]) - start_um) / um_per_px - 1e-9))
        if last <= first:
            return None
        spans.append((start_um + first * um_per_px, last - first))
    (left_um, columns), (top_um, rows) = spans
    plane = Plane(axes, at_um, left_um, top_um, columns * um_per_px, rows * um_per_px, (rows, columns))
    excess = rows * columns / MOST_POINTS
    if excess > 1:
        shape = (max(1, int(rows / math.sqrt(excess))), max(1, int(columns / math.sqrt(excess))))
        plane = Plane(axes, at_um, left_um, top_um, plane.width_um, plane.height_um, shape)
    return plane


def whole_plane(axes: SliceAxes, at_um: float, bounds_um: NDArray[np.float64], longest_px: int) -> Plane:
    """Cut through the whole box on at most `longest_px` pixels along its longer side."""
    width_um = float(bounds_um[1, axes.column] - bounds_um[0, axes.column])
    height_um = float(bounds_um[1, axes.row] - bounds_um[0, axes.row])
    um_per_px = max(width_um, height_um) / longest_px
    shape = (max(1, round(height_um / um_per_px)), max(1, round(width_um / um_per_px)))
    return Plane(
        axes, at_um, float(bounds_um[0, axes.column]), float(bounds_um[0, axes.row]), width_um, height_um, shape
    )
