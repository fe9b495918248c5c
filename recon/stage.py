"""The data term of a fit at one resolution: grid, forward model, images, and what they say about a field.

Coarse stages come first. Images cut down in the frequency domain are exactly what a camera with larger pixels would
have sampled of the band-limited intensity, and the fit of them touches a quarter of the points with each halving. The
finest grid of features takes no part in a coarse stage: it would be sampled too sparsely.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from recon.forward.model import ForwardModel, build_model, pattern_images

if TYPE_CHECKING:
    from torch import Tensor

    from acquisition.capture import Optics
    from recon.field import NeuralField
    from recon.grid import VolumeGrid

TV_WEIGHT = 20.0
"""Weight of total variation and of kappa, in units in which it needs no tuning: see `recon.fit`."""

SMALLEST_COARSE_SIDE = 64
"""Images are not cut below this many pixels."""


def can_halve(grid: VolumeGrid) -> bool:
    """Whether there is a coarser stage than this grid whose pixels coincide with every second one of it."""
    rows, columns = grid.shape_zyx[1:]
    return rows % 4 == 0 and columns % 4 == 0 and min(rows, columns) >= 2 * SMALLEST_COARSE_SIDE


def halve_grid(grid: VolumeGrid) -> VolumeGrid:
    """Every second pixel of each row and column; planes stay."""
    planes, rows, columns = grid.shape_zyx
    return replace(grid, shape_zyx=(planes, rows // 2, columns // 2), pixel_um=2.0 * grid.pixel_um)


def halve_images(images_pyx: Tensor) -> Tensor:
    """Cut images (P, H, W) to the lower half of their frequencies: (P, H // 2, W // 2), the mean stays."""
    rows, columns = images_pyx.shape[1:]
    spectrum = torch.fft.fftshift(torch.fft.fft2(images_pyx), dim=(1, 2))
    kept = spectrum[:, rows // 4 : rows // 4 + rows // 2, columns // 4 : columns // 4 + columns // 2]
    halved: Tensor = torch.fft.ifft2(torch.fft.ifftshift(kept, dim=(1, 2))).real / 4.0
    return halved


class Stage:
    """One resolution of a fit.

    Parameters
    ----------
    grid
        The volume as the forward model samples it.
    optics, led_na_l2, brightness_pl, model_name
        What makes the forward model; brightness of each LED in each of the capture's patterns.
    levels
        How many of the field's feature grids take part.
    device
        torch device.
    """

    def __init__(
        self,
        grid: VolumeGrid,
        optics: Optics,
        led_na_l2: Tensor,
        brightness_pl: Tensor,
        model_name: str,
        levels: int | None,
        device: torch.device,
    ) -> None:
        self.grid = grid
        self.levels = levels
        self.model: ForwardModel = build_model(model_name, grid, optics, led_na_l2, device)
        self._brightness_pl = brightness_pl
        self._axes = [torch.as_tensor(axis, device=device) for axis in grid.axes_um]

    def set_images(self, rows: Tensor, images_pyx: Tensor, mean_is_one: bool) -> None:
        """Take images (P, H, W) of rows (P,) of the patterns to be fitted."""
        self.rows, self.images_pyx, self.mean_is_one = rows, images_pyx, mean_is_one

    def volume(self, field: NeuralField) -> Tensor:
        """Evaluate a field on the grid: dn and kappa, (2, Z, H, W)."""
        return field.on_axes(*self._axes, levels=self.levels)

    def loss(self, field: NeuralField, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Objective of a batch of the images (see `recon.fit`), and the brightness of each that fits best.

        Returns
        -------
        loss, gain
            Scalar, differentiable in the field; (B,).
        """
        dn_kappa = self.volume(field)
        index_zyx = torch.complex(dn_kappa[0], dn_kappa[1])
        predicted = pattern_images(self.model, index_zyx, self._brightness_pl[self.rows[batch]])
        measured = self.images_pyx[batch]
        gain = best_gain(predicted.detach(), measured)
        residual = predicted * gain[:, None, None] - measured
        units = dn_kappa / field.config.scale
        pixels = self.grid.pixel_um / _finest_pixel_um(field)
        penalty = total_variation(units, self.grid.dz_um / self.grid.pixel_um) / pixels + units[1].mean()
        return residual.square().mean((1, 2)).log().mean() + TV_WEIGHT * penalty, gain

    @torch.no_grad()
    def predict(self, field: NeuralField, rows: Tensor) -> Tensor:
        """Images (P, H, W) that a field predicts for rows of the patterns, normalised as the measured ones."""
        dn, kappa = self.volume(field)
        images_pyx = pattern_images(self.model, torch.complex(dn, kappa), self._brightness_pl[rows])
        return images_pyx / images_pyx.mean((1, 2), keepdim=True) if self.mean_is_one else images_pyx


def _finest_pixel_um(field: NeuralField) -> float:
    (left, _, _), (right, _, _) = field.config.bounds_um
    return (right - left) / field.config.levels_zyx[-1][2]


def best_gain(predicted_pyx: Tensor, measured_pyx: Tensor) -> Tensor:
    """Brightness of each image that brings the prediction nearest to the measurement, (P,)."""
    return (predicted_pyx * measured_pyx).sum((1, 2)) / predicted_pyx.square().sum((1, 2))


def total_variation(volume_czyx: Tensor, dz_in_pixels: float, rounding: float = 1e-3) -> Tensor:
    """Mean length of the gradient per pixel, rounded off near zero so that it has a slope everywhere."""
    core = volume_czyx[:, :-1, :-1, :-1]
    squared = (
        ((volume_czyx[:, 1:, :-1, :-1] - core) / dz_in_pixels).square()
        + (volume_czyx[:, :-1, 1:, :-1] - core).square()
        + (volume_czyx[:, :-1, :-1, 1:] - core).square()
    )
    return (squared + rounding**2).sqrt().sum(0).mean()
