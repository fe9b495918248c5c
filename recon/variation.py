"""Variation of a volume, with its gradient made on the way: planes pass once, while they are in the caches.

    mean over the volume of    sum over channels of    knee * log(1 + |grad| / knee)

Small gradients cost as in total variation; those beyond the knee, the true edges, ever less. Total variation charges
an edge by its height and so takes index away, most of all from small things, whose surface is large for their volume.
Source of the idea: reweighted total variation (Candès, Wakin, Boyd 2008), of which this is the function minimised.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import Tensor

ROUNDING = 1e-3
"""Length below which a gradient is rounded off, so that it has a slope everywhere."""

POINTS_AT_ONCE = {"cpu": 2**16, "cuda": 2**24}


def log_variation(volume_czyx: Tensor, dz_in_pixels: float, knee: float) -> Tensor:
    """Return the variation of a volume, a scalar, differentiable.

    Parameters
    ----------
    volume_czyx
        (C, Z, Y, X).
    dz_in_pixels
        Distance of planes in units of the pixels.
    knee
        Gradient per pixel from which on an edge costs less than by its height; infinite: total variation.
    """
    variation: Tensor = _Variation.apply(volume_czyx, dz_in_pixels, 1.0 / knee)  # type: ignore[no-untyped-call]
    return variation


class _Variation(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, volume_czyx: Tensor, dz_in_pixels: float, inverse_knee: float) -> Tensor:
        _, planes, rows, columns = volume_czyx.shape
        total = volume_czyx.new_zeros(())
        slope = torch.zeros_like(volume_czyx)
        step = max(1, POINTS_AT_ONCE[volume_czyx.device.type] // (rows * columns))
        for start in range(0, planes - 1, step):
            here, behind = (
                slice(start, min(start + step, planes - 1)),
                slice(start + 1, min(start + step, planes - 1) + 1),
            )
            core = volume_czyx[:, here, :-1, :-1]
            along_z = (volume_czyx[:, behind, :-1, :-1] - core).div_(dz_in_pixels)
            along_y = volume_czyx[:, here, 1:, :-1] - core
            along_x = volume_czyx[:, here, :-1, 1:] - core
            length = (along_z**2).addcmul_(along_y, along_y).addcmul_(along_x, along_x).add_(ROUNDING**2).sqrt_()
            if inverse_knee > 0.0:
                beyond = length * inverse_knee
                total += beyond.log1p().sum() / inverse_knee
                inverse = length.mul_(beyond.add_(1.0)).reciprocal_()
            else:
                total += length.sum()
                inverse = length.reciprocal_()
            along_y *= inverse
            along_x *= inverse
            along_z *= inverse.div_(dz_in_pixels)
            slope[:, behind, :-1, :-1] += along_z
            slope[:, here, 1:, :-1] += along_y
            slope[:, here, :-1, 1:] += along_x
            slope[:, here, :-1, :-1] -= along_z.add_(along_y).add_(along_x)
        ctx.points = (planes - 1) * (rows - 1) * (columns - 1)
        ctx.slope = slope
        mean: Tensor = total / ctx.points
        return mean

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        slope: Tensor = ctx.slope
        return slope * (grad / ctx.points), None, None
