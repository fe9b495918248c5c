"""Feature grids read by quadratic B-splines at points that lie anyhow: oblique planes, lines, surfaces.

Each point reads 27 cells of each grid. What costs most is not to read them but to say which, and with what weights. So
all grids are laid out in one table, with a rim of repeated cells, which makes the 27 places one place and fixed steps
from it; and, if that does not take too much memory, with three cells along x side by side, of which then 9 rows are
read and weighted along x after.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import embedding_bag, pad

from recon.spline_axes import tap_weights

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

MOST_KEPT = 3 * 2**24
"""Numbers in a table that is kept from one picture to the next, 192 MiB; rows hold three cells where it then is."""

TAPS = 3


@dataclass(frozen=True, eq=False)
class PointTable:
    """Feature grids, laid out to be read at points.

    Attributes
    ----------
    rows
        (cells of all grids with their rims, channels of `run` cells that follow each other along x); grids of fewer
        channels than others are filled up with zeros.
    cells
        Cells of each grid without its rim along x, y, z, (L, 3, 1) float64.
    steps
        Rows from one cell to the next along x, y, z, (L, 1, 3) float64.
    ahead
        Steps from the first row about a point to each that is read, from the beginning of the table, (L, 27 / run).
    repeats
        Ones where weights of an axis count for a row, for x, y, z, (3 taps of L grids, L grids of 27 / run rows).
    run
        3 or 1.
    channels
        Where in the table's channels, side by side for all grids, those of the grids are.
    """

    rows: Tensor
    cells: Tensor
    steps: Tensor
    ahead: Tensor
    repeats: Tensor
    run: int
    channels: Tensor

    def read(self, share_xn: Tensor) -> Tensor:
        """Features of all grids, (C, N), at points (3, N) float64 in the box, where x, y and z go from 0 to 1."""
        levels, points = len(self.cells), share_xn.shape[1]
        centred = share_xn * self.cells
        centred -= 0.5
        nearest = torch.round(centred)
        first = torch.bmm(self.steps, nearest).squeeze(1).to(torch.int32)
        taps = tap_weights(centred.sub_(nearest).to(torch.float32)).to(self.rows.dtype)
        x, y, z = (axis.flatten(0, 1).t() for axis in taps.unbind(2))  # (N, taps of all grids)
        # Of each point, side by side: the grids, and of each grid the rows. A product with ones and zeros repeats
        # weights faster than the memory is reordered.
        over_x, over_y, over_z = self.repeats
        weights = (z @ over_z).mul_(y @ over_y)
        if self.run == 1:
            weights.mul_(x @ over_x)
        places = (first[:, None] + self.ahead[..., None]).flatten(0, 1).t().contiguous().view(points * levels, -1)
        found = embedding_bag(places, self.rows, per_sample_weights=weights.view(places.shape), mode="sum")
        if self.run > 1:
            along_x = x.view(points, TAPS, levels).transpose(1, 2).reshape(-1, TAPS)
            places = _in_threes(len(along_x), first.device)
            found = found.view(along_x.numel(), -1)
            found = embedding_bag(places, found, per_sample_weights=along_x, mode="sum")
        return found.view(points, -1).t()[self.channels]


def _repeats(taps: Tensor, levels: int) -> Tensor:
    """Ones from the taps of all grids to the rows of each grid, whose taps are told, (3 L, L rows)."""
    of_row = torch.nn.functional.one_hot(taps, TAPS).T  # (3, rows)
    return torch.einsum("tr,lk->tlkr", of_row, torch.eye(levels, dtype=of_row.dtype)).reshape(TAPS * levels, -1)


@lru_cache(maxsize=2)
def _in_threes(count: int, device: torch.device) -> Tensor:
    return torch.arange(TAPS * count, dtype=torch.int32, device=device).view(-1, TAPS)


def lay_out(grids: Sequence[Tensor], instead: PointTable | None = None) -> PointTable:
    """Lay out feature grids (C, Z, Y, X), in the memory of a table of the same grids that is needed no more."""
    device, most = grids[0].device, max(len(grid) for grid in grids)
    # A point on the upper face may be rounded to the cell beyond it, whose neighbour is one more.
    rimmed = [pad(grid[None], (1, 2) * 3, mode="replicate")[0] for grid in grids]
    starts = [0, *accumulate(grid[0].numel() for grid in rimmed)]
    rows = grids[0].new_zeros(starts[-1], most)
    for start, grid in zip(starts, rimmed, strict=False):
        rows[start : start + grid[0].numel()].view(*grid.shape[1:], most)[..., : len(grid)] = grid.movedim(0, -1)
    run = TAPS if TAPS * rows.numel() <= MOST_KEPT else 1
    if run > 1:
        single, shape = rows, (len(rows) - run + 1, run * most)
        rows = single.new_empty(shape) if instead is None else instead.rows
        rows.copy_(single.as_strided(shape, (most, 1)))
    if instead is not None:
        return replace(instead, rows=rows)
    steps = torch.tensor([[1, grid.shape[3], grid[0, 0].numel()] for grid in rimmed])
    each = torch.cartesian_prod(torch.arange(TAPS), torch.arange(TAPS), torch.arange(0, TAPS, run)).flip(1)
    return PointTable(
        rows,
        torch.tensor([grid.shape[:0:-1] for grid in grids], dtype=torch.float64, device=device)[..., None],
        steps[:, None].to(device, torch.float64),
        (steps @ each.T + torch.tensor(starts[:-1])[:, None]).to(device, torch.int32),
        torch.stack([_repeats(taps, len(grids)) for taps in each.unbind(1)]).to(rows),
        run,
        torch.tensor([level * most + c for level, grid in enumerate(grids) for c in range(len(grid))], device=device),
    )
