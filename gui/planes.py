"""Which rectangle of the volume a slice view shows, and on which pixels it is to be evaluated. No Qt here.

Points are (x, y, z) in micrometres. A slice lies in a *frame*: coordinates a along the screen's columns and b down its
rows, from an origin. The upright slices have coordinates of the volume for a and b:

    xy: columns x, rows y, normal z        yz: columns z, rows y, normal x
    xz: columns x, rows z, normal y        (beside and below xy, so that x and y run on)
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Point = tuple[float, float, float]

MOST_POINTS = 1_500_000
"""More points than this are not asked for at once; a larger (HiDPI) view is evaluated coarser than its pixels."""


def as_point(values: NDArray[np.float64]) -> Point:
    """Three numbers as they stand in messages."""
    return float(values[0]), float(values[1]), float(values[2])


@dataclass(frozen=True)
class Frame:
    """A plane in space with coordinates: the point (a, b) is origin + a across + b down, both of length 1."""

    origin_um: Point
    across: Point
    down: Point

    @property
    def normal(self) -> Point:
        """Direction into the screen."""
        return as_point(np.cross(self.across, self.down))

    def point(self, a_um: float, b_um: float) -> Point:
        """Point of the volume at coordinates of the plane."""
        x, y, z = (o + a_um * u + b_um * v for o, u, v in zip(self.origin_um, self.across, self.down, strict=True))
        return x, y, z

    def coordinates(self, point_um: Point) -> tuple[float, float]:
        """Coordinates of the point of the plane that is nearest to a point of the volume."""
        away = [p - o for p, o in zip(point_um, self.origin_um, strict=True)]
        a, b = (sum(d * share for d, share in zip(away, edge, strict=True)) for edge in (self.across, self.down))
        return a, b

    def axes(self) -> list[int]:
        """Axes of the volume along which the plane extends at all."""
        return [axis for axis in range(3) if self.across[axis] or self.down[axis]]


@dataclass(frozen=True)
class SliceAxes:
    """Which axis (0 x, 1 y, 2 z) runs along the columns, the rows and out of the screen of an upright slice."""

    name: str
    column: int
    row: int
    normal: int

    def frame(self, at_um: float) -> Frame:
        """Frame of the slice at a position along its normal."""
        unit = np.eye(3)
        return Frame(as_point(at_um * unit[self.normal]), as_point(unit[self.column]), as_point(unit[self.row]))


XY = SliceAxes("xy", 0, 1, 2)
XZ = SliceAxes("xz", 0, 2, 1)
YZ = SliceAxes("yz", 2, 1, 0)
UPRIGHT = {axes.name: axes for axes in (XY, XZ, YZ)}


def oblique_frame(directions: NDArray[np.float64], through_um: Point, middle_um: Point) -> Frame:
    """Frame of a plane in any direction.

    Parameters
    ----------
    directions
        (3, 3), its rows: across, down, normal.
    through_um
        A point of the plane.
    middle_um
        Middle of the box: the origin is the point of the plane nearest to it, so that it stays where it is while the
        plane goes through other points of its own.
    """
    across, down, normal = directions
    middle = np.array(middle_um)
    return Frame(as_point(middle + normal * (normal @ (through_um - middle))), as_point(across), as_point(down))


def turned(directions: NDArray[np.float64], about: int, angle_rad: float) -> NDArray[np.float64]:
    """Turn a plane about its own across (0), down (1) or normal (2); (3, 3) as in `oblique_frame`."""
    first, second = (row for row in range(3) if row != about)
    cosine, sine = math.cos(angle_rad), math.sin(angle_rad)
    result = directions.copy()
    result[first] = cosine * directions[first] + sine * directions[second]
    result[second] = cosine * directions[second] - sine * directions[first]
    # A thousand small turns must not make the three directions anything but perpendicular.
    result[0] /= np.linalg.norm(result[0])
    result[2] = np.cross(result[0], result[1])
    result[2] /= np.linalg.norm(result[2])
    result[1] = np.cross(result[2], result[0])
    return result


@dataclass(frozen=True)
class Plane:
    """A rectangle in a frame and the pixels (rows, columns) it is evaluated on."""

    frame: Frame
    left_um: float
    top_um: float
    width_um: float
    height_um: float
    shape: tuple[int, int]

    @property
    def origin_um(self) -> Point:
        """Upper left corner."""
        return self.frame.point(self.left_um, self.top_um)

    @property
    def u_um(self) -> Point:
        """Edge along the columns."""
        return as_point(self.width_um * np.array(self.frame.across))

    @property
    def v_um(self) -> Point:
        """Edge down the rows."""
        return as_point(self.height_um * np.array(self.frame.down))

    def coarser(self, factor: int) -> Plane:
        """Return the same rectangle on `factor` times fewer rows and columns."""
        rows, columns = self.shape
        return replace(self, shape=(max(1, math.ceil(rows / factor)), max(1, math.ceil(columns / factor))))


def section(frame: Frame, bounds_um: NDArray[np.float64]) -> NDArray[np.float64]:
    """Corners (N, 2), coordinates of the frame, of the polygon in which a plane cuts a box; empty where it misses it.

    Parameters
    ----------
    frame
        The plane.
    bounds_um
        (2, 3) lower and upper corner of the box.
    """
    normal = np.array(frame.normal)
    corners = {key: np.array([bounds_um[side, axis] for axis, side in enumerate(key)]) for key in _CORNERS}
    height = {key: float(normal @ (corner - frame.origin_um)) for key, corner in corners.items()}
    found = []
    for start, axis in itertools.product(_CORNERS, range(3)):
        if start[axis]:
            continue
        end = (*start[:axis], 1, *start[axis + 1 :])
        low, high = height[start], height[end]
        if low != high and min(low, high) <= 0 <= max(low, high):
            crossing = corners[start] + (low / (low - high)) * (corners[end] - corners[start])
            found.append(frame.coordinates(as_point(crossing)))
    if len(found) < 3:
        return np.empty((0, 2))
    points = np.array(found)
    from_middle = points - points.mean(axis=0)
    ordered: NDArray[np.float64] = points[np.argsort(np.arctan2(from_middle[:, 1], from_middle[:, 0]))]
    return ordered


_CORNERS = list(itertools.product((0, 1), repeat=3))


def visible_plane(
    frame: Frame, centre_um: Point, um_per_px: float, size_px: tuple[int, int], bounds_um: NDArray[np.float64]
) -> Plane | None:
    """Rectangle of the slice that the screen shows, on the screen's own pixels.

    Parts outside the box need no evaluation and are cut off along pixel edges, so that the picture falls on the pixels.

    Parameters
    ----------
    frame
        Where the slice lies.
    centre_um
        Point whose place on the slice is the middle of the view.
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
    corners = section(frame, bounds_um)
    if len(corners) == 0:
        return None
    spans = []
    for middle_um, pixels, lowest_um, highest_um in zip(
        frame.coordinates(centre_um), size_px, corners.min(axis=0).tolist(), corners.max(axis=0).tolist(), strict=True
    ):
        start_um = middle_um - 0.5 * pixels * um_per_px
        # a rounding error of 1e-9 px must not add a pixel outside the box
        first = max(0, math.floor((lowest_um - start_um) / um_per_px + 1e-9))
        last = min(pixels, math.ceil((highest_um - start_um) / um_per_px - 1e-9))
        if last <= first:
            return None
        spans.append((start_um + first * um_per_px, last - first))
    (left_um, columns), (top_um, rows) = spans
    excess = max(1.0, math.sqrt(rows * columns / MOST_POINTS))
    shape = (max(1, int(rows / excess)), max(1, int(columns / excess)))
    return Plane(frame, left_um, top_um, columns * um_per_px, rows * um_per_px, shape)


def whole_plane(frame: Frame, bounds_um: NDArray[np.float64], longest_px: int) -> Plane | None:
    """Cut through the whole box on at most `longest_px` pixels along its longer side; None where it misses the box."""
    corners = section(frame, bounds_um)
    if len(corners) == 0:
        return None
    left_um, top_um = corners.min(axis=0).tolist()
    width_um, height_um = np.ptp(corners, axis=0).tolist()
    um_per_px = max(width_um, height_um) / longest_px
    shape = (max(1, round(height_um / um_per_px)), max(1, round(width_um / um_per_px)))
    return Plane(frame, left_um, top_um, width_um, height_um, shape)
