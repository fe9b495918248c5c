"""The neural field: refractive index as a continuous, smooth function of position.

    n(r) = n0 + dn(r) + i kappa(r)
    features(r) = feature grids from coarse to fine, each read with quadratic B-splines (continuous in value and slope)
    (dn, kappa) = scale * bend( sum of first features(r) + network(features(r)) )

The first two channels of each grid go straight into dn and kappa: they let a field begin as an existing volume, and
the small network then adds what that volume lacks. `bend` keeps dn and kappa at zero or above (a smooth ramp); a
sample whose dn may be negative has an identity there instead. Coordinates are micrometres, x y z, with the box of the
grid; outside n = n0.

On points that form a product of three axes (every upright slice and volume, at any zoom) the splines separate and cost
three small matrix products; on a plane that stands on one axis, lines along it do. Any other set of points reads its
27 neighbours on each grid.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import torch
from torch import nn

from recon.side_by_side import no_pulse, side_by_side
from recon.spline_axes import (
    BLOCK,
    LevelSplines,
    ReadAndEvaluate,
    Sampling,
    each_itself,
    read_lines,
    spline_blocks,
    spline_weights,
)
from recon.spline_points import MOST_KEPT, PointTable, lay_out

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from recon.grid import VolumeGrid

POINTS_PER_BATCH = {"cpu": 2**14, "cuda": 2**21}
"""Points that go through the network together: on a CPU as many as its caches hold, three times faster than all."""

RAMP_SHARPNESS = 8.0
"""How sharply the ramp bends at zero: it is log(2) / sharpness high there, in units of the scale."""

AXES_ZYX = (0, 1, 2)
"""Axes of a volume in the order in which it is stored."""

KAPPA_UNIT = 0.2
"""One unit of kappa in units of dn: cells absorb less than they refract."""


@dataclass(frozen=True)
class FieldConfig:
    """Architecture of a field: all that is needed, with the weights, to evaluate it.

    Attributes
    ----------
    bounds_um
        Lower and upper corner of the box, x y z.
    medium_index
        n0.
    levels_zyx
        Cells of each feature grid, coarse to fine.
    features
        Channels of each feature grid; the finest has at least two.
    widths
        Width of each hidden layer of the network.
    scale
        dn of one unit.
    positive
        Whether dn is kept at or above zero; kappa always is.
    """

    bounds_um: tuple[tuple[float, float, float], tuple[float, float, float]]
    medium_index: float
    levels_zyx: tuple[tuple[int, int, int], ...]
    features: tuple[int, ...]
    widths: tuple[int, ...]
    scale: float
    positive: bool


def design_field(grid: VolumeGrid, medium_index: float, scale: float, positive: bool = True) -> FieldConfig:
    """Choose the feature grids for a volume: halved from level to level, the finest as fine as the pixels."""
    planes, rows, columns = grid.shape_zyx
    levels = [
        (max(4, math.ceil(planes / factor)), max(4, math.ceil(rows / factor)), max(4, math.ceil(columns / factor)))
        for factor in (8, 4, 2, 1)
    ]
    lower, upper = (tuple(float(v) for v in corner) for corner in grid.bounds_um)
    return FieldConfig(
        (lower, upper),  # type: ignore[arg-type]
        medium_index,
        tuple(levels),
        (4, 4, 4, 2),
        (16,),
        scale,
        positive,
    )


def _resize(volume_czyx: Tensor, cells_zyx: tuple[int, int, int]) -> Tensor:
    """Volume (C, Z, Y, X) sampled anew over the same box; averaged where it becomes coarser."""
    if all(new <= old for new, old in zip(cells_zyx, volume_czyx.shape[1:], strict=True)):
        return nn.functional.adaptive_avg_pool3d(volume_czyx, cells_zyx)
    return nn.functional.interpolate(volume_czyx[None], cells_zyx, mode="trilinear", align_corners=False)[0]


def _resize_by_splines(grid_czyx: Tensor, cells_zyx: tuple[int, int, int]) -> Tensor:
    """Read a feature grid at the cell centres of a finer one over the same box."""
    for axis, (count, cells) in enumerate(zip(cells_zyx, grid_czyx.shape[1:], strict=True), start=1):
        position = (torch.arange(count, dtype=torch.float64, device=grid_czyx.device) + 0.5) * (cells / count)
        indices, weights = spline_weights(position, cells)
        shape = [-1 if k == axis else 1 for k in range(4)]
        taps = zip(indices.unbind(1), weights.unbind(1), strict=True)
        grid_czyx = sum(
            (grid_czyx.index_select(axis, index) * weight.reshape(shape) for index, weight in taps),
            start=torch.zeros((), device=grid_czyx.device),
        )
    return grid_czyx


class NeuralField(nn.Module):
    """Refractive index of a box as a function; parameters are trainable.

    `pulse` is called between batches of points: a process that must stay responsive answers its messages there, and
    whatever it raises ends the evaluation.
    """

    def __init__(self, config: FieldConfig, seed: int = 0, pulse: Callable[[], None] = no_pulse) -> None:
        super().__init__()
        self.config = config
        self.pulse = pulse
        generator = torch.Generator().manual_seed(seed)
        self.grids = nn.ParameterList(
            nn.Parameter(0.05 * torch.randn(channels, *cells, generator=generator) * (level == 0))
            for level, (channels, cells) in enumerate(zip(config.features, config.levels_zyx, strict=True))
        )
        sizes = [sum(config.features), *config.widths, 2]
        self.layers = nn.ParameterList()
        for inputs, outputs in pairwise(sizes):
            spread = math.sqrt(2.0 / inputs) if outputs > 2 else 0.1 / math.sqrt(inputs)
            self.layers.append(nn.Parameter(spread * torch.randn(outputs, inputs, generator=generator)))
            self.layers.append(nn.Parameter(torch.zeros(outputs, 1)))

    @property
    def parameter_bytes(self) -> int:
        """Size of the parameters in memory."""
        return sum(p.numel() * p.element_size() for p in self.parameters())

    @torch.no_grad()
    def start_from(self, index_zyx: Tensor) -> None:
        """Begin as a volume that fills the box: its samples become spline coefficients of the finest grid.

        Parameters
        ----------
        index_zyx
            dn + i kappa, (Z, H, W) complex64, on cell centres.
        """
        coarse, fine = self._in_two_grids(self._raw(index_zyx))
        self.grids[-2][:2], self.grids[-1][:2] = coarse, fine

    @torch.no_grad()
    def change_by(self, index_zyx: Tensor, change_zyx: Tensor) -> None:
        """Add a change to a field that is `index_zyx` on the cell centres of its box, both (Z, H, W) complex64.

        Where it would fall below zero it does not. The network reads the features that change, so that what it adds
        changes a little as well.
        """
        coarse, fine = self._in_two_grids(self._raw(index_zyx + change_zyx) - self._raw(index_zyx))
        self.grids[-2][:2] += coarse
        self.grids[-1][:2] += fine

    def _raw(self, index_zyx: Tensor) -> Tensor:
        """Raw output (2, Z, H, W) that gives a volume dn + i kappa."""
        return self._unbend(torch.stack([index_zyx.real, index_zyx.imag / KAPPA_UNIT]) / self.config.scale)

    def _in_two_grids(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        """Spread raw output over the first channels of the two finest grids; what the coarser lacks, the finest has."""
        raw = _resize(raw, self.config.levels_zyx[-1])
        coarse = _resize(raw, self.config.levels_zyx[-2]).to(self.grids[-2])
        return coarse, raw.to(self.grids[-1]) - _resize_by_splines(coarse, self.config.levels_zyx[-1])

    def _bend(self, raw: Tensor) -> Tensor:
        """Raw output (2, ...) -> (dn, kappa) in units of the scale."""
        dn, kappa = nn.functional.softplus(raw, beta=RAMP_SHARPNESS)
        return torch.stack([dn if self.config.positive else raw[0], KAPPA_UNIT * kappa])

    def _unbend(self, value: Tensor) -> Tensor:
        """Inverse of `_bend`, for values that are zero or below as far down as keeps a useful slope."""
        # Kappa starts far lower: even a thin haze of it over the whole depth would darken every image.
        low = torch.stack([value[0].clamp(min=0.15 / RAMP_SHARPNESS), value[1].clamp(min=0.02 / RAMP_SHARPNESS)])
        raw = low + torch.log(-torch.expm1(-RAMP_SHARPNESS * low)) / RAMP_SHARPNESS
        return raw if self.config.positive else torch.stack([value[0], raw[1]])

    def _network(self, features: Tensor, layers: Sequence[Tensor]) -> Tensor:
        """(C, N) features of N points -> (2, N) dn and kappa."""
        direct = features[:2]
        start = 0
        for channels in self.config.features[:-1]:
            start += channels
            direct = direct + features[start : start + 2]
        hidden = features
        for weight, bias in zip(layers[:-2:2], layers[1:-2:2], strict=True):
            hidden = nn.functional.silu(torch.addmm(bias, weight, hidden))
        raw = direct + torch.addmm(layers[-1], layers[-2], hidden)
        return self._bend(raw) * self.config.scale

    def _cell_positions(self, coordinate_um: Tensor, axis_xyz: int, cells: int) -> Tensor:
        low, high = self.config.bounds_um[0][axis_xyz], self.config.bounds_um[1][axis_xyz]
        return (coordinate_um - low) * (cells / (high - low))

    def sampling(self, x_um: Tensor, y_um: Tensor, z_um: Tensor, *, levels: int | None = None) -> Sampling:
        """Prepare the evaluation on the product of three axes; see `on_axes`."""
        return self._sampling((z_um, y_um, x_um), AXES_ZYX, levels)

    def _sampling(self, axes_um: Sequence[Tensor], order: Sequence[int], levels: int | None) -> Sampling:
        """Prepare for axes z, y, x, of which `order` (0 z, 1 y, 2 x) tells which is read first."""
        device = self.grids[0].device
        read = range(len(self.grids))[:levels]
        size = BLOCK[device.type]
        prepared: list[LevelSplines | None] = []
        for level, cells in enumerate(self.config.levels_zyx):
            if level not in read:
                prepared.append(None)
                continue
            positions = [self._cell_positions(axes_um[axis], 2 - axis, cells[axis]) for axis in order]
            (first,) = spline_blocks(positions[0], cells[order[0]], device, max(1, len(positions[0])))
            second, third = (
                spline_blocks(position, cells[axis], device, size)
                for position, axis in zip(positions[1:], order[1:], strict=True)
            )
            prepared.append(LevelSplines(first, second, third))
        shape = tuple(len(axes_um[axis]) for axis in order)
        return Sampling(shape, tuple(prepared), self.config.features)  # type: ignore[arg-type]

    def on_sampling(self, sampling: Sampling) -> Tensor:
        """Evaluate on axes that were prepared: dn and kappa, (2, Z, Y, X), differentiable in the parameters."""
        return self._read(sampling, list(self.grids))

    def _read(self, sampling: Sampling, grids: Sequence[Tensor]) -> Tensor:
        result: Tensor = ReadAndEvaluate.apply(  # type: ignore[no-untyped-call]
            self._network, sampling, self.pulse, len(grids), *grids, *self.layers
        )
        return result

    def on_axes(self, x_um: Tensor, y_um: Tensor, z_um: Tensor, *, levels: int | None = None) -> Tensor:
        """Evaluate on the product of three axes, all inside the box.

        Parameters
        ----------
        x_um, y_um, z_um
            Coordinates in micrometres, (X,), (Y,), (Z,).
        levels
            How many feature grids to read, from the coarsest; negative: all but so many. The others count as zero.

        Returns
        -------
        Tensor
            dn and kappa, (2, Z, Y, X) float32, differentiable in the parameters.
        """
        axes_um = (z_um, y_um, x_um)
        # A slice is read fastest across itself: three layers of cells are left of the grids.
        first = next((axis for axis in AXES_ZYX if len(axes_um[axis]) == 1), 0)
        order = (first, *(axis for axis in AXES_ZYX if axis != first))
        grids = [grid.permute(0, *(1 + axis for axis in order)) for grid in self.grids]
        values = self._read(self._sampling(axes_um, order, levels), grids)
        return values.permute(0, *(1 + order.index(axis) for axis in AXES_ZYX))

    def on_curtain(self, path_um: Tensor, along_um: Tensor, axis_xyz: int) -> Tensor:
        """Evaluate on lines parallel to an axis, through the points of a path across it, all inside the box.

        Parameters
        ----------
        path_um
            Places on the two other axes in the order x, y, z, (N, 2), in micrometres.
        along_um
            Places on the axis, (M,), in micrometres.
        axis_xyz
            Which axis: 0 x, 1 y, 2 z.

        Returns
        -------
        Tensor
            dn and kappa, (2, N, M) float32.
        """
        across = [axis for axis in range(3) if axis != axis_xyz]
        size = BLOCK[along_um.device.type]
        (itself,) = each_itself(1, along_um.device, size)
        path_blocks = each_itself(len(path_um), along_um.device, size)
        lines, levels = [], []
        for grid, cells_zyx in zip(self.grids, self.config.levels_zyx, strict=True):
            cells_xyz = cells_zyx[::-1]
            last = grid.permute(0, *(3 - axis for axis in (*across, axis_xyz)))
            positions = [self._cell_positions(path_um[:, k], axis, cells_xyz[axis]) for k, axis in enumerate(across)]
            lines.append(read_lines(last, *positions)[:, None])
            along = self._cell_positions(along_um, axis_xyz, cells_xyz[axis_xyz])
            along_blocks = spline_blocks(along, cells_xyz[axis_xyz], along_um.device, size)
            levels.append(LevelSplines(itself, path_blocks, along_blocks))
        sampling = Sampling((1, len(path_um), len(along_um)), tuple(levels), self.config.features)
        return self._read(sampling, lines)[:, 0]

    def at_points(self, points_um: Tensor) -> Tensor:
        """Evaluate at any points inside the box.

        Parameters
        ----------
        points_um
            (N, 3), x y z in micrometres.

        Returns
        -------
        Tensor
            dn and kappa, (2, N) float32.
        """
        if len(points_um) == 0:
            return points_um.new_zeros(2, 0, dtype=torch.float32)
        table = self._point_table()
        lower, upper = points_um.new_tensor(self.config.bounds_um)
        batches = torch.split((points_um - lower) / (upper - lower), POINTS_PER_BATCH[points_um.device.type])

        def evaluate(share: Tensor) -> Tensor:
            return self._network(table.read(share.t().contiguous()), list(self.layers))

        if torch.is_grad_enabled():
            return torch.cat([evaluate(share) for share in batches], dim=1)
        return torch.cat(list(side_by_side(evaluate, batches, self.pulse, points_um.device)), dim=1)

    def _point_table(self) -> PointTable:
        grids = list(self.grids)
        if torch.is_grad_enabled():
            return lay_out(grids)
        state = tuple((grid.data_ptr(), grid._version) for grid in grids)  # noqa: SLF001
        known = _table.get(self)
        if known is not None and known[0] == state:
            return known[1]
        _table.clear()
        alike = known is not None and (known[1].rows.dtype, known[1].rows.device) == (grids[0].dtype, grids[0].device)
        table = lay_out(grids, known[1] if known is not None and alike else None)
        if table.rows.numel() <= MOST_KEPT:
            _table[self] = state, table
        return table


_table: WeakKeyDictionary[NeuralField, tuple[tuple[tuple[int, int], ...], PointTable]] = WeakKeyDictionary()
"""Grids of the field that was read at points last, and which state of them: a plane that is turned needs them again."""
