"""Which rays are worth following through a slab: those that are seen, not ended, and may meet something there.

A look at the coarse copy of the field tells where something is; a margin on all sides makes up for its coarseness.
Rays are taken in bands of rows, each with the columns it needs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import max_pool2d, max_pool3d

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from recon.render.preview import Preview
    from recon.render.rays import Part, Rays

COARSER = 8
"""Rays of the lattice for each one that is looked at."""
BAND = 16
"""Of these, how many rows form a band, where there may be something in some and nothing in others."""
SHARE = 0.7
"""The copy may miss a peak between its nodes: what reaches this share of what is sought may be it."""


class Worth:
    """Finds the parts of a lattice of rays to follow.

    Parameters
    ----------
    rays, shape
        The lattice and the picture it is for.
    copy
        Coarse copy of the box.
    least_dn
        Where dn is below this, there is nothing to gather; None: there is everywhere.
    """

    def __init__(self, rays: Rays, shape: tuple[int, int], copy: Preview, least_dn: float | None) -> None:
        self._rays = rays
        rows, columns = (-(-count // COARSER) + 1 for count in rays.shape)
        self._few = replace(
            rays,
            spacing_um=(COARSER * rays.spacing_um[0], COARSER * rays.spacing_um[1]),
            shape=(rows, columns),
        )
        self._all: Part = slice(0, rows), slice(0, columns)
        self._seen = rays.seen(shape, COARSER, (rows, columns), copy.dn_zyx.device)
        self._least_dn = SHARE * least_dn if least_dn is not None and least_dn > 0.0 else None
        if self._least_dn is not None:
            self._highest = replace(copy, dn_zyx=max_pool3d(copy.dn_zyx[None], 3, 1, 1)[0], across={})

    def parts(self, slices_um: Sequence[float], passing: Part, pending: Tensor | None) -> Iterator[Part]:
        """Parts of `passing`, the rays that pass the box between some slices, that are worth it."""
        worth = self._seen
        if self._least_dn is not None:
            worth = worth & (self._highest.read(self._few, slices_um, self._all).amax(dim=0) >= self._least_dn)
        worth = max_pool2d(worth.to(torch.float32)[None], 3, 1, 1)[0] > 0.0
        rows, columns = passing
        step = COARSER * (BAND if self._least_dn is not None else len(worth))
        for start in range(rows.start // step * step, rows.stop, step):
            own = worth[start // COARSER : (start + step) // COARSER + 1].any(dim=0)
            band = slice(max(start, rows.start), min(start + step, rows.stop))
            if pending is not None:
                alive = pending[band].any(dim=0)
                alive = torch.nn.functional.pad(alive, (0, COARSER * len(own) - len(alive)))
                own = own & alive.reshape(len(own), COARSER).any(dim=1)
            places = torch.nonzero(own).reshape(-1)
            if len(places) == 0 or band.stop <= band.start:
                continue
            first, last = COARSER * int(places[0]), COARSER * (int(places[-1]) + 1)
            piece = slice(max(first, columns.start), min(last, columns.stop))
            if piece.stop > piece.start:
                yield band, piece
