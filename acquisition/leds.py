"""From the LED board to directions of light.

Board frame: x and y in the plane of the board, millimetres, and the distance h below the sample. The orientation turns
a board point p into sample axes; an LED there lights the sample in the direction -p:

    na = -p / sqrt(p_x^2 + p_y^2 + h^2)

which is n0 times the direction's transverse part in any flat-layered medium (Snell). A board turned by 180 degrees
gives -na, and with it the sample flipped in z: nothing in the images tells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from acquisition.errors import OperatorError
from acquisition.profile_board import BoardGeometry, GridGeometry, ListGeometry, RingGeometry

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from acquisition.profile_board import Geometry, Orientation, Ring


class GeometryError(OperatorError):
    """Nobody knows where the LEDs are."""


def led_positions_mm(geometry: Geometry, board_positions_mm: ArrayLike | None = None) -> NDArray[np.float64]:
    """Where the LEDs are, in the order of their numbers.

    Parameters
    ----------
    geometry
        Of the hardware profile.
    board_positions_mm
        (L, 3), what the board answered; needed for, and used by, a geometry asked from the board alone.

    Returns
    -------
    (L, 3) float64, board frame: x, y, and distance below the sample, millimetres.

    Raises
    ------
    GeometryError
        The board should have told and did not, or told no distance and the profile has none.
    """
    match geometry:
        case GridGeometry():
            return _grid(geometry)
        case RingGeometry():
            return np.concatenate([_ring(ring, geometry.distance_mm) for ring in geometry.rings])
        case ListGeometry():
            return np.array(geometry.positions_mm, np.float64)
        case BoardGeometry():
            return _asked(geometry, board_positions_mm)


def to_sample_axes(points_mm: ArrayLike, orientation: Orientation) -> NDArray[np.float64]:
    """Mirror, rotate (from +x towards +y) and shift board points (..., 2) into sample axes, millimetres."""
    points = np.asarray(points_mm, np.float64) * {"none": (1, 1), "x": (-1, 1), "y": (1, -1)}[orientation.mirror]
    angle = np.deg2rad(orientation.rotation_deg)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turned: NDArray[np.float64] = points @ turn.T + np.asarray(orientation.shift_mm)
    return turned


def led_na(position_mm_l3: ArrayLike, orientation: Orientation) -> NDArray[np.float64]:
    """Transverse direction (L, 2) of each LED's light, na_x and na_y, for positions (L, 3) in the board frame."""
    position = np.asarray(position_mm_l3, np.float64)
    p = to_sample_axes(position[:, :2], orientation)
    h = position[:, 2:]
    na: NDArray[np.float64] = -p / np.sqrt((p**2).sum(axis=1, keepdims=True) + h**2)
    return na


def _grid(grid: GridGeometry) -> NDArray[np.float64]:
    row, column = (index.ravel() for index in np.indices((grid.rows, grid.columns)))
    if grid.serpentine:
        column = np.where(row % 2, grid.columns - 1 - column, column)
    centre_row = (grid.rows - 1) / 2 if grid.centre_row is None else grid.centre_row
    centre_column = (grid.columns - 1) / 2 if grid.centre_column is None else grid.centre_column
    along_x, along_y = (1 if side == "-" else -1 for side in grid.first_led[::2])  # from the first LED's side inwards
    x = along_x * (column - centre_column) * grid.pitch_mm
    y = along_y * (row - centre_row) * grid.pitch_mm
    return np.stack([x, y, np.full(row.size, grid.distance_mm)], axis=1)


def _ring(ring: Ring, distance_mm: float) -> NDArray[np.float64]:
    radius = ring.radius_mm if ring.na is None else distance_mm * ring.na / np.sqrt(1 - ring.na**2)
    angle = np.deg2rad(ring.start_deg) + 2 * np.pi * np.arange(ring.count) / ring.count
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), np.full(ring.count, distance_mm)], axis=1)


def _asked(geometry: BoardGeometry, board_positions_mm: ArrayLike | None) -> NDArray[np.float64]:
    if board_positions_mm is None:
        raise GeometryError(
            "The LED board did not tell where its LEDs are.",
            "Describe the board in the hardware profile: led_board.geometry of kind grid, ring or list.",
        )
    position = np.array(board_positions_mm, np.float64)
    if geometry.distance_mm is not None:
        # A curved board keeps its relief below the sample.
        position[:, 2] += geometry.distance_mm - position[:, 2].max()
    if position[:, 2].min() <= 0:
        raise GeometryError(
            f"By the board's own list LED {position[:, 2].argmin()} lies {position[:, 2].min():g} mm below the sample.",
            "Measure the distance from the board to the sample and set led_board.geometry.distance_mm in the profile.",
        )
    return position
