"""Feature grids read by quadratic B-splines on the product of three axes, and the network behind them, chunk by chunk.

On such points (every upright slice and volume, at any zoom) the splines separate into three matrix products. A matrix
of splines is a narrow band: it is cut into blocks, so that each block of points multiplies only the cells near it.
Planes and blocks of rows pass through reading and network while they are in the caches; what the network needs for its
gradient is computed again. So neither features nor their gradients ever exist for a whole volume.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from recon.side_by_side import pulse_of_gradient, side_by_side

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor

BLOCK = {"cpu": 64, "cuda": 128}
"""Points along one axis whose splines form one matrix."""

POINTS_PER_CHUNK = {"cpu": 2**15, "cuda": 2**23}
"""Points that are read and go through the network together: on a CPU as many as its caches hold."""


def tap_weights(offset: Tensor) -> Tensor:
    """Quadratic B-splines of the cell before, the nearest and the one after, (3, ...), at offsets from the nearest."""
    weights = offset.new_empty(3, *offset.shape)
    before, nearest, after = weights
    torch.mul(offset, offset, out=nearest)
    torch.sub(nearest, offset, out=before).add_(0.25).mul_(0.5)  # (0.5 - offset)^2 / 2
    torch.add(before, offset, out=after)
    nearest.neg_().add_(0.75)
    return weights


def spline_weights(position: Tensor, cells: int) -> tuple[Tensor, Tensor]:
    """Quadratic B-splines of a grid's cells at positions along one axis.

    Parameters
    ----------
    position
        In units of cells from the lower face, (N,); cell i is centred on i + 0.5.
    cells
        Number of cells; the outer cells continue outwards.

    Returns
    -------
    indices, weights
        (N, 3) int64 and float32; the weights of each row add to 1.
    """
    centred = position - 0.5
    nearest = torch.round(centred)
    weights = tap_weights((centred - nearest).to(torch.float32)).movedim(0, -1)
    steps = torch.arange(-1, 2, device=position.device)
    return (nearest.to(torch.int64)[:, None] + steps).clamp(0, cells - 1), weights


@dataclass(frozen=True, eq=False)
class Block:
    """Points `points` of an axis, the cells `cells` they touch, and the weight of each, (points, cells)."""

    points: slice
    cells: slice
    weights: Tensor


def spline_blocks(position: Tensor, cells: int, device: torch.device, size: int) -> list[Block]:
    """Cut the spline matrix of positions (N,), in units of cells, into blocks of so many points."""
    indices, weights = spline_weights(position.cpu(), cells)
    blocks = []
    for start in range(0, len(position), size):
        near, share = indices[start : start + size], weights[start : start + size]
        low, high = int(near.min()), int(near.max()) + 1
        dense = torch.zeros(len(near), high - low, dtype=share.dtype).scatter_add_(1, near - low, share)
        blocks.append(Block(slice(start, start + len(near)), slice(low, high), dense.to(device)))
    return blocks


def each_itself(count: int, device: torch.device, size: int) -> list[Block]:
    """Blocks of so many points that are the cells."""
    starts = range(0, count, size)
    parts = [slice(start, min(start + size, count)) for start in starts]
    return [Block(part, part, torch.eye(part.stop - part.start, device=device)) for part in parts]


def read_lines(grid: Tensor, position_a: Tensor, position_b: Tensor) -> Tensor:
    """Read a grid (C, A, B, K) across its last axis, at positions (N,) along A and B in units of cells: (C, N, K)."""
    (index_a, weight_a), (index_b, weight_b) = (
        spline_weights(position, cells)
        for position, cells in zip((position_a, position_b), grid.shape[1:3], strict=True)
    )
    total = grid.new_zeros(len(grid), len(position_a), grid.shape[3])
    for a, along_a in zip(index_a.unbind(1), weight_a.unbind(1), strict=True):
        for b, along_b in zip(index_b.unbind(1), weight_b.unbind(1), strict=True):
            total += grid[:, a, b] * (along_a * along_b)[:, None]
    return total


@dataclass(frozen=True, eq=False)
class LevelSplines:
    """How one feature grid is read on three axes: all of z at once, y and x in blocks."""

    along_z: Block
    along_y: list[Block]
    along_x: list[Block]


@dataclass(frozen=True, eq=False)
class Sampling:
    """The product of three axes, prepared for the feature grids of a field; levels that are not read are None."""

    shape_zyx: tuple[int, int, int]
    levels: tuple[LevelSplines | None, ...]
    features: tuple[int, ...]

    def chunks(self, device: torch.device) -> Iterator[tuple[slice, int, slice]]:
        """Planes, number of the block of rows, and these rows, of each chunk."""
        planes, _, columns = self.shape_zyx
        read = next(level for level in self.levels if level is not None)
        height = read.along_y[0].points.stop
        step = max(1, POINTS_PER_CHUNK[device.type] // (height * columns))
        for start in range(0, planes, step):
            for row, block in enumerate(read.along_y):
                yield slice(start, min(start + step, planes)), row, block.points

    def read_planes(self, grids: Sequence[Tensor]) -> list[Tensor | None]:
        """Read each grid (C, cells) along z: (Z, C, rows and columns of cells)."""
        return [
            None if level is None
            else torch.einsum("zk,ckji->zcji", level.along_z.weights, grid[:, level.along_z.cells]).contiguous()
            for level, grid in zip(self.levels, grids, strict=True)
        ]  # fmt: skip

    def read_chunk(self, planes: list[Tensor | None], part: slice, row: int) -> Tensor:
        """Features of a chunk, (planes, C, rows, X); those of levels that are not read are 0."""
        _, _, columns = self.shape_zyx
        read = next(plane for plane in planes if plane is not None)[part]
        rows = self._rows(row)
        features = read.new_empty(len(read), sum(self.features), rows.stop - rows.start, columns)
        start = 0
        for level, plane, channels in zip(self.levels, planes, self.features, strict=True):
            own = features[:, start : start + channels]
            start += channels
            if level is None or plane is None:
                own.zero_()
                continue
            block = level.along_y[row]
            cells_read = block.weights @ plane[part, :, block.cells]
            for across in level.along_x:
                own[..., across.points] = cells_read[..., across.cells] @ across.weights.T
        return features

    def spread_chunk(self, grad: Tensor, row: int, columns: list[int]) -> list[Tensor | None]:
        """Adjoint of `read_chunk`: spread gradients (planes, C, rows, X) over the cells of each grid.

        Returns what each grid gets in the cells of the chunk's rows, (planes, C, cells, `columns`).
        """
        spread: list[Tensor | None] = []
        start = 0
        for level, channels, count in zip(self.levels, self.features, columns, strict=True):
            own = grad[:, start : start + channels]
            start += channels
            if level is None:
                spread.append(None)
                continue
            cells_grad = own.new_zeros(*own.shape[:3], count)
            for across in level.along_x:
                cells_grad[..., across.cells] += own[..., across.points] @ across.weights
            spread.append(level.along_y[row].weights.T @ cells_grad)
        return spread

    def add_chunk(self, planes: list[Tensor | None], spread: list[Tensor | None], part: slice, row: int) -> None:
        """Add what `spread_chunk` gave to all cells."""
        for level, plane, own in zip(self.levels, planes, spread, strict=True):
            if level is not None and plane is not None and own is not None:
                plane[part, :, level.along_y[row].cells] += own

    def _rows(self, row: int) -> slice:
        return next(level for level in self.levels if level is not None).along_y[row].points


class ReadAndEvaluate(torch.autograd.Function):
    """Feature grids and a pointwise network -> its values on a sampling, (2, Z, Y, X), chunk by chunk."""

    @staticmethod
    def forward(  # noqa: D102
        ctx: Any,
        network: Callable[[Tensor, Sequence[Tensor]], Tensor],
        sampling: Sampling,
        pulse: Callable[[], None],
        count: int,
        *parameters: Tensor,
    ) -> Tensor:
        grids, layers = parameters[:count], parameters[count:]
        planes = sampling.read_planes(grids)
        out = grids[0].new_empty(2, *sampling.shape_zyx)

        def evaluate(chunk: tuple[slice, int, slice]) -> None:
            part, row, rows = chunk
            features = sampling.read_chunk(planes, part, row)
            for plane, own in zip(range(part.start, part.stop), features, strict=True):
                out[:, plane, rows] = network(own.flatten(1), layers).reshape(2, *own.shape[1:])

        for _ in side_by_side(evaluate, sampling.chunks(out.device), pulse, out.device):
            pass
        ctx.network, ctx.sampling, ctx.pulse = network, sampling, pulse
        ctx.count = count
        ctx.save_for_backward(*parameters)
        return out

    @staticmethod
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:  # noqa: D102
        sampling: Sampling = ctx.sampling
        grids, layers = ctx.saved_tensors[: ctx.count], ctx.saved_tensors[ctx.count :]
        planes = sampling.read_planes(grids)
        grad_planes = [None if plane is None else torch.zeros_like(plane) for plane in planes]
        grad_layers = [torch.zeros_like(p) for p in layers]
        columns = [0 if plane is None else plane.shape[3] for plane in planes]

        def differentiate(chunk: tuple[slice, int, slice]) -> tuple[list[Tensor | None], list[Tensor]]:
            part, row, rows = chunk
            features = sampling.read_chunk(planes, part, row)
            own_layers = [p.detach().requires_grad_() for p in layers]
            totals = [torch.zeros_like(p) for p in layers]
            for plane, own in zip(range(part.start, part.stop), features, strict=True):
                with torch.enable_grad():
                    values = own.flatten(1).requires_grad_()
                    out = ctx.network(values, own_layers)
                found = torch.autograd.grad(out, [values, *own_layers], grad_out[:, plane, rows].flatten(1))
                own.copy_(found[0].reshape(own.shape))  # features no more, but the gradient
                for total, grad in zip(totals, found[1:], strict=True):
                    total += grad
            return sampling.spread_chunk(features, row, columns), totals

        pulse = pulse_of_gradient(ctx.pulse, grad_out.device)
        chunks = list(sampling.chunks(grad_out.device))
        found = side_by_side(differentiate, chunks, pulse, grad_out.device)
        for (part, row, _), (spread, totals) in zip(chunks, found, strict=True):
            sampling.add_chunk(grad_planes, spread, part, row)
            for total, grad in zip(grad_layers, totals, strict=True):
                total += grad
        grad_grids = [torch.zeros_like(grid) for grid in grids]
        for grad_grid, grad_plane, level in zip(grad_grids, grad_planes, sampling.levels, strict=True):
            if grad_plane is not None and level is not None:
                grad_grid[:, level.along_z.cells] = torch.einsum("zk,zcji->ckji", level.along_z.weights, grad_plane)
        return None, None, None, None, *grad_grids, *grad_layers
