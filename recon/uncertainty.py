"""How sure a reconstruction is of its refractive index, point by point.

    sigma(r)^2 = level^2 ( <dn^2>(r) + floor^2 )        level^2 = MISSING_LIGHT + MISFIT m

<dn^2> is the mean square of dn about the point, over a tenth of the shortest axial period and a quarter of the shortest
lateral one that the light shows. m is the error of the predicted images of patterns that were never fitted, relative to
their contrast, without the camera's noise: what the forward model, the board or the light get wrong.

Why this and nothing else: where dn >= 0 is known, the background is sure, and the error lies where the sample is. There
the missing cone, the same for all LEDs, lets dn flow along z from edge to edge; any part of the LEDs flows alike, so
what differs between reconstructions from parts of the LEDs (bootstrap, halves, ensembles) shows the camera's noise,
is too small by a factor of 3 to 7, and tells less of where the errors are. Slopes of dn added nothing. The formula was
chosen among 30 candidates by the likelihood of the true errors of simulated cells and spheres; its two numbers are such
that sigma errs on the safe side: the true root mean square error in the sample of such reconstructions is 0.5 to 0.8
times sigma's.

It is kept as the logarithm of sigma in steps of 5 %, one byte for every second pixel of each plane.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from recon.grid import axial_period_um, lateral_period_um
from recon.quality import value_range

if TYPE_CHECKING:

    from torch import Tensor

    from acquisition.capture import Optics
    from recon.grid import VolumeGrid

MISSING_LIGHT = 0.05
"""Square of the relative error that stays when all images are predicted down to their noise."""
MISFIT = 1.0
"""Square of the relative error that comes with each unit of relative error of the unseen images."""
FLOOR = 0.002
"""dn of the least doubt, in units of the sample's largest dn."""
AXIAL_BLUR, LATERAL_BLUR = 0.1, 0.25
"""Standard deviations of the average over the neighbourhood, in shortest periods that the light shows."""

LEVEL_STEP = 0.05
"""Logarithm of sigma from one stored level to the next."""
PIXELS_PER_CELL = 2
SAMPLE_SHARE = 0.1
"""Share of the largest dn above which a point counts as sample."""
BEYOND_LIGHT = 1.02
"""Frequencies above so many times the cutoff hold noise alone."""


@dataclass(frozen=True, eq=False)
class Uncertainty:
    """Standard deviation of dn as a continuous function of position.

    Attributes
    ----------
    levels_zyx
        (Z, Y, X) uint8: sigma is `lowest` exp(LEVEL_STEP levels), on cells that fill the box.
    lowest
        sigma of level 0.
    bounds_um
        Lower and upper corner of the box, x y z.
    typical
        Root mean square of sigma over the sample.
    """

    levels_zyx: Tensor
    lowest: float
    bounds_um: tuple[tuple[float, float, float], tuple[float, float, float]]
    typical: float

    def at_points(self, points_um: Tensor) -> Tensor:
        """Evaluate at points (..., 3), x y z in micrometres: (...,) float32; beyond the box as at its faces."""
        lower, upper = (torch.tensor(corner, dtype=torch.float64, device=points_um.device) for corner in self.bounds_um)
        places = (2.0 * (points_um - lower) / (upper - lower) - 1.0).to(torch.float32)
        levels = torch.nn.functional.grid_sample(
            self.levels_zyx.to(points_um.device, torch.float32)[None, None],
            places.reshape(1, 1, 1, -1, 3),
            padding_mode="border",
            align_corners=False,
        )
        return (self.lowest * torch.exp(LEVEL_STEP * levels)).reshape(points_um.shape[:-1])

    def on_axes(self, x_um: Tensor, y_um: Tensor, z_um: Tensor) -> Tensor:
        """Evaluate on the product of three axes in micrometres, (Z, Y, X) float32."""
        z, y, x = torch.meshgrid(z_um, y_um, x_um, indexing="ij")
        return self.at_points(torch.stack([x, y, z], dim=-1))


@torch.no_grad()
def uncertainty_of(
    dn_zyx: Tensor, grid: VolumeGrid, optics: Optics, predicted_pyx: Tensor, measured_pyx: Tensor
) -> Uncertainty:
    """Tell how far a finished reconstruction may be from the truth.

    Parameters
    ----------
    dn_zyx
        The field on the grid, (Z, H, W) float32.
    grid, optics
        Volume and microscope.
    predicted_pyx, measured_pyx
        Whole images (P, H, W) of the patterns that were held out, normalised alike; of fitted ones where none was.
        Their rim, which light from outside the images reaches, is predicted worst: counting it errs on the safe side.
    """
    level = math.sqrt(MISSING_LIGHT + MISFIT * misfit(predicted_pyx, measured_pyx, grid.pixel_um, optics))
    largest = max(value_range(dn_zyx.abs().cpu().numpy())[1], 1e-6)
    square_zyx = _blur(dn_zyx.square(), 0, AXIAL_BLUR * axial_period_um(optics) / grid.dz_um)
    for axis in (1, 2):
        square_zyx = _blur(square_zyx, axis, LATERAL_BLUR * lateral_period_um(optics) / grid.pixel_um)
    variance_zyx = level**2 * (square_zyx + (FLOOR * largest) ** 2)
    sample = dn_zyx.abs() > SAMPLE_SHARE * largest
    typical = float(variance_zyx[sample].mean().sqrt()) if bool(sample.any()) else level * FLOOR * largest
    rows, columns = (math.ceil(count / PIXELS_PER_CELL) for count in dn_zyx.shape[1:])
    cells_zyx = torch.nn.functional.adaptive_avg_pool2d(variance_zyx, (rows, columns))
    lowest = level * FLOOR * largest
    levels_zyx = torch.round(0.5 * torch.log(cells_zyx / lowest**2) / LEVEL_STEP).clamp(0, 255).to(torch.uint8)
    lower, upper = (tuple(float(v) for v in corner) for corner in grid.bounds_um)
    return Uncertainty(levels_zyx, lowest, (lower, upper), typical)  # type: ignore[arg-type]


def misfit(predicted_pyx: Tensor, measured_pyx: Tensor, pixel_um: float, optics: Optics) -> float:
    """||predicted - measured|| / ||measured|| of I - 1, the camera's noise taken off; at least 0."""
    error = float((predicted_pyx - measured_pyx).square().mean()) - noise_variance(measured_pyx, pixel_um, optics)
    return math.sqrt(max(error, 0.0) / max(float((measured_pyx - 1.0).square().mean()), 1e-12))


def noise_variance(images_pyx: Tensor, pixel_um: float, optics: Optics) -> float:
    """Variance of the camera's noise, from the frequencies of images (P, H, W) that no light reaches; 0 if none."""
    rows, columns = images_pyx.shape[1:]
    device = images_pyx.device
    fy = torch.fft.fftfreq(rows, pixel_um, device=device)
    fx = torch.fft.rfftfreq(columns, pixel_um, device=device)
    dark = torch.hypot(fy[:, None], fx) > BEYOND_LIGHT / lateral_period_um(optics)
    if not bool(dark.any()):
        return 0.0
    # The window fades out the steps at the images' edges, whose spectrum reaches everywhere.
    window_yx = torch.hann_window(rows, device=device)[:, None] * torch.hann_window(columns, device=device)
    spectrum_pf = torch.fft.rfft2((images_pyx - 1.0) * window_yx)[:, dark]
    # The median is blind to stray lines of the camera; power of pure noise has ln 2 times its mean for a median.
    power = spectrum_pf.abs().square().flatten().median() / math.log(2.0)
    return float(power / window_yx.square().sum())


def _blur(volume_zyx: Tensor, axis: int, deviation: float) -> Tensor:
    """Average along an axis with Gaussian weights of a standard deviation in samples; the ends continue outwards."""
    reach = max(1, math.ceil(3.0 * deviation))
    offsets = torch.arange(-reach, reach + 1, device=volume_zyx.device)
    weights = torch.exp(-0.5 * (offsets / deviation) ** 2)
    weights /= weights.sum()
    count = volume_zyx.shape[axis]
    result = torch.zeros_like(volume_zyx)
    for offset, weight in zip(range(-reach, reach + 1), weights, strict=True):
        places = (torch.arange(count, device=volume_zyx.device) + offset).clamp(0, count - 1)
        result += weight * volume_zyx.index_select(axis, places)
    return result
