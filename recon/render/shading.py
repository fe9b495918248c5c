"""Light and colours of what rays meet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from recon.scene import Scene

ENTRIES = 2048
"""Steps in which dn is looked up."""
AMBIENT, DIFFUSE, SPECULAR = 0.32, 0.72, 0.22
SHININESS = 24.0
LIGHT = np.array([-0.45, -0.60, -0.66]) / np.linalg.norm([-0.45, -0.60, -0.66])
"""Towards the light, in the camera's axes right, down, away: over the viewer's left shoulder."""
TO_VIEWER = np.array([0.0, 0.0, -1.0])
HALFWAY = (LIGHT + TO_VIEWER) / np.linalg.norm(LIGHT + TO_VIEWER)
FARTHEST_DIMMED = 0.45
"""Share of its brightness that the farthest corner of the box loses."""


def light(inwards: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Brightness of surfaces, and of the spot that shines on them.

    Parameters
    ----------
    inwards
        Direction into the sample, as a vector of any length along the camera's right, down and away.
    """
    length = torch.sqrt(sum((part * part for part in inwards), start=torch.full((), 1e-20))).clamp(min=1e-12)
    facing = -sum((part * float(to) for part, to in zip(inwards, LIGHT, strict=True)), start=torch.zeros(())) / length
    spot = -sum((part * float(to) for part, to in zip(inwards, HALFWAY, strict=True)), start=torch.zeros(())) / length
    return AMBIENT + DIFFUSE * facing.clamp(min=0.0), SPECULAR * spot.clamp(min=0.0) ** SHININESS


def dimmed(behind_um: Tensor, reach_um: float) -> Tensor:
    """Brightness by depth: what is farther away is darker. `reach_um`: half the diagonal of the box."""
    return 1.0 - FARTHEST_DIMMED * (0.5 + 0.5 * behind_um / reach_um).clamp(0.0, 1.0)


def face_colour(scene: Scene, dn: Tensor) -> Tensor:
    """Colours of dn, (N, 3), by the scene's levels and lookup table."""
    table = torch.as_tensor(scene.table.copy(), device=dn.device) / 255.0
    low, high = scene.levels
    share = ((dn - low) / max(high - low, 1e-12)).clamp(0.0, 1.0)
    return table[(share * (len(table) - 1)).to(torch.int64)]


class Medium:
    """Extinction and emission by dn, averaged over all values that a ray passes between two slices.

    Between slices dn is a straight line; its mean is read from running sums, so that no bands show where the opacity
    changes faster than slices follow each other. (Pre-integration: Engel, Kraus and Ertl, Graphics Hardware 2001.)
    """

    def __init__(self, scene: Scene, device: torch.device) -> None:
        dn, opacity = (np.array(column, np.float64) for column in zip(*scene.opacity.points, strict=True))
        levels = scene.levels
        self.low = float(min(dn[0], levels[0]))
        self.step = (float(max(dn[-1], levels[1])) - self.low + 1e-9) / ENTRIES
        middle = self.low + (np.arange(ENTRIES) + 0.5) * self.step
        extinction = -np.log1p(-np.clip(np.interp(middle, dn, opacity), 0.0, 0.999)) / scene.opacity.layer_um
        share = np.clip((middle - levels[0]) / max(levels[1] - levels[0], 1e-12), 0.0, 1.0)
        colours = scene.table[(share * (len(scene.table) - 1)).round().astype(int)] / 255.0
        entries = np.concatenate([extinction[:, None], extinction[:, None] * colours], axis=1)
        sums = np.concatenate([np.zeros((1, 4)), np.cumsum(entries, axis=0)])
        self._sums = torch.as_tensor(sums, dtype=torch.float32, device=device)
        seen = np.flatnonzero(extinction > 1e-7)
        ends = (middle[seen[0]], middle[seen[-1]]) if len(seen) else (np.inf, -np.inf)  # all of it is clear
        self.lowest = -np.inf if len(seen) and seen[0] == 0 else float(ends[0]) - self.step
        self.highest = np.inf if len(seen) and seen[-1] == ENTRIES - 1 else float(ends[1]) + self.step

    def between(self, before: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
        """Extinction per micrometre, (N,), and colour, (N, 3), between values of dn."""
        first, last = self._entry(torch.minimum(before, after)), self._entry(torch.maximum(before, after)) + 1
        total = self._sums.index_select(0, last) - self._sums.index_select(0, first)
        extinction = total[:, 0] / (last - first)
        return extinction, total[:, 1:] / total[:, :1].clamp(min=1e-12)

    def _entry(self, dn: Tensor) -> Tensor:
        return ((dn - self.low) / self.step).clamp(0, ENTRIES - 1).to(torch.int64)
