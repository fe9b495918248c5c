"""The data term of a fit at one resolution and through one forward model, and what it says about a field.

Linear stages use the Born model by its normal equations (`recon.forward.normal`): every image counts in every step, at
a cost that does not grow with their number. Wave stages predict a batch of images by a multi-slice model.

    error = mean over patterns p of log( mean over pixels (g_p I_p(field) - I_p)^2 )

In a linear stage the logarithm is replaced by the quadratic that touches it from above at the field of the last
`refresh`: each image weighs by the inverse of its squared error there. The brightness g_p of each image comes from the
same refresh, and so does what lies beyond the edge of the images where the volume is wider than they are: there the
field's own prediction stands for the data, so that light from outside finds a place and does no harm.

Coarse stages come first. Images cut down in the frequency domain are exactly what a camera with larger pixels would
have sampled of the band-limited intensity, and the fit of them touches a quarter of the points with each halving. The
finest grid of features takes no part in a coarse stage: it would be sampled too sparsely.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from recon.forward.model import build_model, pattern_images
from recon.forward.normal import BornNormal, QuadraticError
from recon.grid import lateral_period_um
from recon.variation import log_variation

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from acquisition.capture import Optics
    from recon.field import NeuralField
    from recon.forward.model import ForwardModel
    from recon.forward.normal import Equations
    from recon.grid import VolumeGrid
    from recon.spline_axes import Sampling

SMOOTHING = 64.0
"""Weight of the variation and of kappa at first, in units in which it needs no tuning: see `recon.fit`."""

EDGE = 0.06
"""Gradient from which on an edge costs less than by its height: of the field's scale, over a quarter of the shortest
lateral period that the images transfer."""

SMALLEST_COARSE_SIDE = 64
"""Images are not cut below this many pixels."""

SMALLEST_SQUARE = 1e-12
"""Added to squared errors: an image that is predicted exactly must not weigh without bounds."""

PATTERNS_AT_ONCE = 8
"""Patterns predicted together where no gradient is wanted."""


def can_halve(image_shape: tuple[int, int], pad: int) -> bool:
    """Whether there is a coarser stage whose pixels coincide with every second one of these images."""
    return all(side % 4 == 0 and side >= 2 * SMALLEST_COARSE_SIDE for side in image_shape) and pad % 4 == 0


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
    """One resolution of a fit and one forward model.

    Parameters
    ----------
    grid
        Planes and pixels on which the model samples the field; wider than the images by `pad` pixels on each side.
    pad
        In pixels of this stage.
    optics, led_na_l2, brightness_pl, model_name
        What makes the forward model; brightness of each LED in each of the capture's patterns.
    levels
        How many of the field's feature grids take part.
    device
        torch device.
    pulse
        Called often within long work; whatever it raises ends that work.
    """

    def __init__(
        self,
        grid: VolumeGrid,
        pad: int,
        optics: Optics,
        led_na_l2: Tensor,
        brightness_pl: Tensor,
        model_name: str,
        levels: int | None,
        device: torch.device,
        pulse: Callable[[], None],
    ) -> None:
        self.grid, self.pad, self.levels = grid, pad, levels
        self.model: ForwardModel = build_model(model_name, grid, optics, led_na_l2, device, pulse)
        self.optics, self.device = optics, device
        self._brightness_pl = brightness_pl
        self._pulse = pulse
        self._sampling: Sampling | None = None

    def set_images(self, rows: Tensor, images_pyx: Tensor, mean_is_one: bool) -> None:
        """Take images (P, H, W) of rows (P,) of the patterns to be fitted."""
        self.rows, self.images_pyx, self.mean_is_one = rows, images_pyx, mean_is_one

    def volume(self, field: NeuralField) -> Tensor:
        """Evaluate a field on the grid: dn and kappa, (2, Z, H, W)."""
        if self._sampling is None:
            axes = [torch.as_tensor(axis) for axis in self.grid.axes_um]
            self._sampling = field.sampling(*axes, levels=self.levels)
        return field.on_sampling(self._sampling)

    def penalty(self, field: NeuralField, dn_kappa: Tensor) -> Tensor:
        """Variation over a quarter of the shortest lateral period, and kappa, of a volume (2, Z, H, W)."""
        units = dn_kappa / field.config.scale
        length_in_pixels = 0.25 * lateral_period_um(self.optics) / self.grid.pixel_um
        variation = log_variation(units, self.grid.dz_um / self.grid.pixel_um, EDGE / length_in_pixels)
        return length_in_pixels * variation + units[1].mean()

    def crop(self, images_pyx: Tensor) -> Tensor:
        """Cut the images (P, H, W) out of those of the wider volume."""
        pad, rows, columns = self.pad, *images_pyx.shape[1:]
        return images_pyx[:, pad : rows - pad, pad : columns - pad]

    @torch.no_grad()
    def predict_wide(self, dn_kappa: Tensor, rows: Tensor) -> Tensor:
        """Images of the whole volume (P, H + 2 pad, W + 2 pad) for rows of the patterns, empty field = 1."""
        index_zyx = torch.complex(dn_kappa[0], dn_kappa[1])
        parts = []
        for part in torch.split(rows, PATTERNS_AT_ONCE):
            self._pulse()
            parts.append(pattern_images(self.model, index_zyx, self._brightness_pl[part]))
        return torch.cat(parts)

    def predict(self, field: NeuralField, rows: Tensor) -> Tensor:
        """Images (P, H, W) that a field predicts for rows of the patterns, normalised as the measured ones."""
        with torch.no_grad():
            images_pyx = self.crop(self.predict_wide(self.volume(field), rows))
        return images_pyx / images_pyx.mean((1, 2), keepdim=True) if self.mean_is_one else images_pyx


class LinearStage(Stage):
    """All images at once through the Born model; parameters as `Stage`, the model's name excepted."""

    def __init__(
        self,
        grid: VolumeGrid,
        pad: int,
        optics: Optics,
        led_na_l2: Tensor,
        brightness_pl: Tensor,
        levels: int | None,
        device: torch.device,
        pulse: Callable[[], None],
    ) -> None:
        super().__init__(grid, pad, optics, led_na_l2, brightness_pl, "born", levels, device, pulse)
        self._led_na_l2 = led_na_l2
        self.error_p = torch.empty(0)
        self.equations: Equations | None = None

    def set_images(self, rows: Tensor, images_pyx: Tensor, mean_is_one: bool) -> None:
        """See `Stage.set_images`."""
        super().set_images(rows, images_pyx, mean_is_one)
        brightness_pl = self._brightness_pl[rows]
        share_pl = brightness_pl / brightness_pl.sum(1, keepdim=True)
        self.normal = BornNormal(self.grid, self.optics, self._led_na_l2, share_pl, self._pulse)
        self.equations = None

    def first_equations(self, contrast_pyx: Tensor | None = None) -> Equations:
        """Equations of all images alike, before there is a field; beyond their edges they fade out.

        `contrast_pyx` (P, H, W) is what the volume is to explain; None: all that the images show.
        """
        contrast_pyx = self.images_pyx - 1.0 if contrast_pyx is None else contrast_pyx
        if self.pad:
            reflected = nn.functional.pad(contrast_pyx, [self.pad] * 4, mode="reflect")
            contrast_pyx = reflected * fade(contrast_pyx.shape[1:], self.pad, self.device)
        weight_p = torch.full((len(self.rows),), 1.0 / len(self.rows), device=self.device)
        return self.normal.equations(contrast_pyx, weight_p)

    @torch.no_grad()
    def refresh(self, field: NeuralField) -> Tensor:
        """Set weights, brightness and surroundings by a field.

        Returns
        -------
        Tensor
            Brightness of each image that fits best, (P,); its error relative to its contrast stands in `error_p`.
        """
        target_pyx = self.predict_wide(self.volume(field), self.rows)
        inside_pyx = self.crop(target_pyx)
        gain_p = best_gain(inside_pyx, self.images_pyx)
        squared_p = SMALLEST_SQUARE + (inside_pyx * gain_p[:, None, None] - self.images_pyx).square().mean((1, 2))
        inside_pyx.copy_(self.images_pyx / gain_p[:, None, None])
        # In units of the prediction, an image's squared error is smaller by its squared brightness; and the equations
        # take the mean over the wider images.
        wider = target_pyx[0].numel() / self.images_pyx[0].numel()
        weight_p = wider * gain_p**2 / (squared_p * len(self.rows))
        self.equations = self.normal.equations(target_pyx - 1.0, weight_p)
        self._offset = float(squared_p.log().mean()) - 1.0
        self.error_p = (squared_p / (self.images_pyx - 1.0).square().mean((1, 2))).sqrt()
        return gain_p

    def loss(self, field: NeuralField, smoothing: float) -> Tensor:
        """Objective of all images, a scalar, differentiable in the field."""
        assert self.equations is not None
        dn_kappa = self.volume(field)
        quadratic: Tensor = QuadraticError.apply(dn_kappa, self.normal, self.equations)  # type: ignore[no-untyped-call]
        return quadratic + self._offset + smoothing * self.penalty(field, dn_kappa)


@dataclass(frozen=True, eq=False)
class WaveLoss:
    """What a wave stage finds for a batch of images.

    Attributes
    ----------
    loss
        Scalar, differentiable in the field.
    gain
        Brightness of each image that fits best, (B,).
    dn_kappa, predicted, measured
        The volume (2, Z, H, W) and the images (B, H, W), without gradient.
    """

    loss: Tensor
    gain: Tensor
    dn_kappa: Tensor
    predicted: Tensor
    measured: Tensor


class WaveStage(Stage):
    """A batch of images at a time through a multi-slice model."""

    def loss(self, field: NeuralField, batch: Tensor, smoothing: float) -> WaveLoss:
        """Objective of a batch of the images, numbers (B,) among those of this stage."""
        dn_kappa = self.volume(field)
        index_zyx = torch.complex(dn_kappa[0], dn_kappa[1])
        predicted = self.crop(pattern_images(self.model, index_zyx, self._brightness_pl[self.rows[batch]]))
        measured = self.images_pyx[batch]
        gain = best_gain(predicted.detach(), measured)
        error = (predicted * gain[:, None, None] - measured).square().mean((1, 2)).add(SMALLEST_SQUARE).log().mean()
        loss = error + smoothing * self.penalty(field, dn_kappa)
        return WaveLoss(loss, gain, dn_kappa.detach(), predicted.detach(), measured)

    def turn_leds(self, led_na_l2: Tensor) -> None:
        """Go on with other directions of the LEDs, (L, 2)."""
        self.model = build_model(self.model.name, self.grid, self.optics, led_na_l2, self.device, self._pulse)


def best_gain(predicted_pyx: Tensor, measured_pyx: Tensor) -> Tensor:
    """Brightness of each image that brings the prediction nearest to the measurement, (P,)."""
    return (predicted_pyx * measured_pyx).sum((1, 2)) / predicted_pyx.square().sum((1, 2))


def fade(shape_yx: tuple[int, ...], pad: int, device: torch.device) -> Tensor:
    """1 over an image, falling to 0 over the pixels around it, (H + 2 pad, W + 2 pad)."""

    def side(count: int) -> Tensor:
        outside = np.maximum(
            0, np.maximum(pad - np.arange(count + 2 * pad), np.arange(count + 2 * pad) - count - pad + 1)
        )
        return torch.as_tensor(0.5 + 0.5 * np.cos(math.pi * outside / (pad + 1)), dtype=torch.float32, device=device)

    return side(shape_yx[0])[:, None] * side(shape_yx[1])
