"""Tiles: a field of view larger than memory as windows that overlap, each a field of its own.

Along each axis of the images the weights of the tiles are smooth ramps that add to one, so the whole is continuous in
value and slope as its parts are. The rim of a tile, which light from outside reaches, counts for nothing or little.

The LED board is near: seen from the centre of a tile, an LED stands in another direction than from the centre of the
images. An LED at p (mm, sample axes), a height h below the sample, lights the point c in the direction

    na = -(p - c) / sqrt(|p - c|^2 + h^2)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from recon.box import Box
from recon.figures import Figures
from recon.grid import VolumeGrid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from acquisition.capture import Optics, Window
    from recon.result import Field, History

SIDE_STEP = 32
"""Sides of tiles are multiples of it, where they may be: they transform quickly, and halve."""
BLENDED_SHARE = 0.5
"""Share of an overlap, in its middle, in which one tile gives way to the next."""


@dataclass(frozen=True)
class TileAxis:
    """Tiles along one axis of the images.

    Attributes
    ----------
    length, size
        Pixels of the images and of each tile.
    starts
        First pixel of each tile, ascending.
    blend
        Pixels over which one tile gives way to the next, about the middle of their overlap.
    """

    length: int
    size: int
    starts: tuple[int, ...]
    blend: float = 1.0

    def weights(self, position: NDArray[np.float64]) -> NDArray[np.float64]:
        """Weight of each tile, (tiles, N), at positions (N,) in pixels of the images; pixel k has its centre at k."""
        ends = np.array(self.starts[:-1]) + self.size
        middle = 0.5 * (ends + np.array(self.starts[1:])) - 0.5
        share = np.clip((position - middle[:, None]) / self.blend + 0.5, 0.0, 1.0)
        passed = share * share * (3.0 - 2.0 * share)  # its slope is zero at both ends
        begun = np.concatenate([np.ones((1, len(position))), passed])
        weights: NDArray[np.float64] = begun * (1.0 - np.concatenate([passed, np.zeros((1, len(position)))]))
        return weights

    def offset(self, tile: int) -> int:
        """From the pixel that lies at 0 in the images to the one that does in a tile."""
        return self.starts[tile] + self.size // 2 - self.length // 2


def lay_axis(length: int, largest: int, overlap: int) -> TileAxis:
    """Spread tiles of at most `largest` pixels evenly, with at least about `overlap` in common."""
    if length <= largest:
        return TileAxis(length, length, (0,))
    overlap = max(1, min(overlap, largest // 3))  # more, and three tiles would meet in one place
    count = math.ceil((length - overlap) / (largest - overlap))
    needed = math.ceil((length + (count - 1) * overlap) / count)
    size = min(largest, SIDE_STEP * math.ceil(needed / SIDE_STEP))
    starts = tuple(round(k * (length - size) / (count - 1)) for k in range(count))
    return TileAxis(length, size, starts, max(1.0, BLENDED_SHARE * overlap))


@dataclass(frozen=True)
class Tiling:
    """All tiles of the images, row by row."""

    rows: TileAxis
    columns: TileAxis

    def __len__(self) -> int:
        return len(self.rows.starts) * len(self.columns.starts)

    @property
    def image_shape(self) -> tuple[int, int]:
        """Rows and columns of the whole images."""
        return self.rows.length, self.columns.length

    @property
    def tile_shape(self) -> tuple[int, int]:
        """Rows and columns of each tile."""
        return self.rows.size, self.columns.size

    def place(self, tile: int) -> tuple[int, int]:
        """Where a tile lies, row and column among tiles."""
        return divmod(tile, len(self.columns.starts))

    def window(self, tile: int) -> Window:
        """Part of the images that a tile is."""
        row, column = self.place(tile)
        top, left = self.rows.starts[row], self.columns.starts[column]
        return slice(top, top + self.rows.size), slice(left, left + self.columns.size)

    def centre_um(self, tile: int, pixel_um: float) -> NDArray[np.float64]:
        """Point x y of the whole, (2,), which is the origin of a tile."""
        row, column = self.place(tile)
        return np.array([self.columns.offset(column), self.rows.offset(row)]) * pixel_um


def central_window(image_shape: tuple[int, int], largest: int) -> Window:
    """Part of the images of at most so many pixels a side, with the same pixel at the origin."""

    def part(length: int) -> slice:
        size = min(length, largest)
        start = length // 2 - size // 2
        return slice(start, start + size)

    return part(image_shape[0]), part(image_shape[1])


def led_na_from(centre_um: ArrayLike, led_na_l2: ArrayLike, height_mm_l: ArrayLike) -> NDArray[np.float64]:
    """Directions of the light at a point of the sample.

    Parameters
    ----------
    centre_um
        The point, x y, (2,).
    led_na_l2
        Directions at the origin, (L, 2).
    height_mm_l
        Distance of the LEDs below the sample, (L,) or one for all.
    """
    led_na_l2 = np.asarray(led_na_l2, np.float64)
    height_l1 = np.broadcast_to(np.asarray(height_mm_l, np.float64), led_na_l2.shape[:1])[:, None]
    upward_l1 = np.sqrt(np.maximum(1.0 - (led_na_l2**2).sum(axis=1, keepdims=True), 1e-12))
    away_l2 = -led_na_l2 * height_l1 / upward_l1 - 1e-3 * np.asarray(centre_um, np.float64)
    na_l2: NDArray[np.float64] = -away_l2 / np.sqrt((away_l2**2).sum(axis=1, keepdims=True) + height_l1**2)
    return na_l2


@dataclass(frozen=True, eq=False)
class TiledField(Box):
    """A box made of the fields of overlapping tiles.

    Attributes
    ----------
    tiles
        Field of each tile of the tiling, in its own coordinates; None where there is none (yet): n0 stands there. At
        least one is there.
    led_height_mm
        Distance of the LED board below the sample.
    """

    tiles: tuple[Field | None, ...]
    tiling: Tiling
    optics: Optics
    history: History
    led_height_mm: float

    @property
    def grid(self) -> VolumeGrid:
        """Grid of the whole; all tiles have the same planes and pixels."""
        grid = next(tile for tile in self.tiles if tile is not None).grid
        return VolumeGrid((grid.shape_zyx[0], *self.tiling.image_shape), grid.dz_um, grid.pixel_um, grid.z_first_um)

    @property
    def bounds(self) -> NDArray[np.float64]:
        """See `Box.bounds`."""
        return self.grid.bounds_um

    @property
    def shape_zyx(self) -> tuple[int, int, int]:
        """See `Box.shape_zyx`."""
        return self.grid.shape_zyx

    @property
    def medium_index(self) -> float:
        """See `Box.medium_index`."""
        return self.optics.medium_index

    @property
    def parameter_bytes(self) -> int:
        """See `Box.parameter_bytes`."""
        return sum(tile.parameter_bytes for tile in self.tiles if tile is not None)

    def at_points(self, points_um: NDArray[np.float64]) -> NDArray[np.complex64]:
        """See `Box.at_points`."""
        weights_x, weights_y = self._weights(points_um[:, 0], points_um[:, 1])
        index = np.zeros(len(points_um), np.complex64)
        for number, tile in enumerate(self.tiles):
            row, column = self.tiling.place(number)
            weight = weights_y[row] * weights_x[column]
            inside = weight > 0
            if tile is not None and inside.any():
                found = tile.at_points(self._in_tile(number, tile, points_um[inside]))
                index[inside] += weight[inside].astype(np.float32) * found
        return index

    def on_axes(self, axes_um: Sequence[NDArray[np.float64]]) -> NDArray[np.complex64]:
        """See `Box.on_axes`."""
        x_um, y_um, z_um = axes_um
        weights_x, weights_y = self._weights(x_um, y_um)
        index = np.zeros((len(z_um), len(y_um), len(x_um)), np.complex64)
        for number, tile in enumerate(self.tiles):
            row, column = self.tiling.place(number)
            in_y, in_x = np.flatnonzero(weights_y[row]), np.flatnonzero(weights_x[column])
            if tile is None or not (len(in_y) and len(in_x)):
                continue
            weight_yx = weights_y[row][in_y, None] * weights_x[column][in_x]
            centre_um, (lower, upper) = self.tiling.centre_um(number, self.optics.pixel_um), tile.bounds
            found = tile.on_axes(
                [
                    np.clip(x_um[in_x] - centre_um[0], lower[0], upper[0]),
                    np.clip(y_um[in_y] - centre_um[1], lower[1], upper[1]),
                    np.clip(z_um, lower[2], upper[2]),
                ]
            )
            index[:, in_y[:, None], in_x] += weight_yx.astype(np.float32) * found
        return index

    def sigma_at_points(self, points_um: NDArray[np.float64]) -> NDArray[np.float32]:
        """See `Box.sigma_at_points`; where tiles overlap, their errors are taken to be alike."""
        weights_x, weights_y = self._weights(points_um[:, 0], points_um[:, 1])
        sigma = np.zeros(len(points_um), np.float32)
        for number, tile in enumerate(self.tiles):
            row, column = self.tiling.place(number)
            weight = (weights_y[row] * weights_x[column]).astype(np.float32)
            inside = weight > 0
            if tile is None:
                sigma[inside] = np.nan
            elif inside.any():
                sigma[inside] += weight[inside] * tile.sigma_at_points(self._in_tile(number, tile, points_um[inside]))
        return sigma

    @property
    def figures(self) -> Figures | None:
        """See `Box.figures`: the means over the tiles; at the limit where all are."""
        known = [tile.figures for tile in self.tiles if tile is not None and tile.figures is not None]
        if not known:
            return None
        mean = np.array([figures.vector() for figures in known]).mean(axis=0)
        return Figures.of_vector(np.where([0, 0, 1, 1, 0, 0], mean == 1.0, mean).astype(np.float32))

    def _weights(
        self, x_um: NDArray[np.float64], y_um: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        rows, columns = self.tiling.rows, self.tiling.columns
        pixel_um = self.optics.pixel_um
        return (
            columns.weights(np.asarray(x_um) / pixel_um + columns.length // 2),
            rows.weights(np.asarray(y_um) / pixel_um + rows.length // 2),
        )

    def _in_tile(self, number: int, tile: Field, points_um: NDArray[np.float64]) -> NDArray[np.float64]:
        """Coordinates of the whole -> those of a tile, (N, 3); never outside it by rounding."""
        centre_um = self.tiling.centre_um(number, self.optics.pixel_um)
        inside: NDArray[np.float64] = np.clip(points_um - [*centre_um, 0.0], *tile.bounds)
        return inside

    def intensity(self, na: ArrayLike) -> NDArray[np.float32]:
        """See `Box.intensity`; the direction is that at the origin, and each tile sees its own."""
        rows, columns = self.tiling.rows, self.tiling.columns
        weights_y = rows.weights(np.arange(rows.length, dtype=np.float64))
        weights_x = columns.weights(np.arange(columns.length, dtype=np.float64))
        # Where there is no field, the image is that of the medium.
        image_yx = np.ones(self.tiling.image_shape, np.float32)
        direction_12 = np.asarray(na, np.float64).reshape(1, 2)
        for number, tile in enumerate(self.tiles):
            if tile is None:
                continue
            row, column = self.tiling.place(number)
            window = self.tiling.window(number)
            centre_um = self.tiling.centre_um(number, self.optics.pixel_um)
            seen_12 = led_na_from(centre_um, direction_12, self.led_height_mm)
            weight_yx = weights_y[row][window[0], None] * weights_x[column][window[1]]
            image_yx[window] += (weight_yx * (tile.intensity(seen_12[0]) - 1.0)).astype(np.float32)
        return image_yx
