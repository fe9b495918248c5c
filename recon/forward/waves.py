"""What all forward models share: frequencies, axial wave numbers, the pupil, and the frame of a model of single LEDs.

Conventions and units: time exp(-i w t), z along the light, z = 0 in focus, frequencies in cycles per micrometre.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from recon.side_by_side import no_pulse

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from acquisition.capture import Optics
    from recon.grid import VolumeGrid


def frequencies(
    shape_yx: tuple[int, int], pixel_um: float, device: torch.device | str = "cpu"
) -> tuple[Tensor, Tensor]:
    """Transverse frequencies of an FFT over (y, x), cycles per micrometre, float64: (fx, fy), each (H, W)."""
    fy = torch.fft.fftfreq(shape_yx[0], pixel_um, dtype=torch.float64, device=device)
    fx = torch.fft.fftfreq(shape_yx[1], pixel_um, dtype=torch.float64, device=device)
    grid_y, grid_x = torch.meshgrid(fy, fx, indexing="ij")
    return grid_x, grid_y


def axial_wavenumber(fx: Tensor, fy: Tensor, medium_index: float, wavelength_um: float) -> Tensor:
    """kz in radians per micrometre; zero where the wave is evanescent."""
    squared = (medium_index / wavelength_um) ** 2 - fx**2 - fy**2
    return 2.0 * math.pi * torch.sqrt(squared.clamp(min=0.0))


def potential_per_index(optics: Optics) -> float:
    """V / (dn + i kappa) = 2 k0^2 n0, per square micrometre, to first order."""
    return 2.0 * (2.0 * math.pi / optics.wavelength_um) ** 2 * optics.medium_index


def bin_width(grid: VolumeGrid) -> float:
    """Distance of neighbouring frequencies of a grid, cycles per micrometre; of unequal sides the geometric mean."""
    _, rows, columns = grid.shape_zyx
    return 1.0 / (grid.pixel_um * math.sqrt(rows * columns))


def pupil(fx: Tensor, fy: Tensor, objective_na: float, wavelength_um: float, bin_width: float) -> Tensor:
    """Share of each frequency's bin that the aperture lets through: 1 inside, 0 outside, a ramp one bin wide between.

    So images change smoothly with the aperture and with the direction of the light, however coarse the frequencies.

    Parameters
    ----------
    fx, fy
        Frequencies in the objective, the LED's included, cycles per micrometre.
    objective_na, wavelength_um
        Radius of the aperture is their ratio.
    bin_width
        See `bin_width`; cycles per micrometre.
    """
    inside = objective_na / wavelength_um - torch.hypot(fx, fy)
    return (inside / bin_width + 0.5).clamp(0.0, 1.0)


class LedModel:
    """What models of single LEDs are built from.

    Attributes
    ----------
    led_na_l2
        Directions of the light, (L, 2) float64, on the device.
    fx, fy
        Frequencies of the grid, (H, W) float64; those of the light differ by `led_na_l2` / wavelength.
    pulse
        Called often within long work; whatever it raises ends that work.
    """

    def __init__(self, grid: VolumeGrid, optics: Optics, led_na_l2: Tensor, device: torch.device | str = "cpu") -> None:
        self.grid = grid
        self.optics = optics
        self.pulse: Callable[[], None] = no_pulse
        self.device = torch.device(device)
        self.led_na_l2 = torch.as_tensor(led_na_l2, dtype=torch.float64, device=self.device)
        self.fx, self.fy = frequencies(grid.shape_zyx[1:], grid.pixel_um, self.device)

    def axial_wavenumber(self, fx: Tensor, fy: Tensor) -> Tensor:
        """kz in this medium; see `axial_wavenumber`."""
        return axial_wavenumber(fx, fy, self.optics.medium_index, self.optics.wavelength_um)

    def pupil(self, fx: Tensor, fy: Tensor) -> Tensor:
        """Aperture of this objective for frequencies of the grid plus the LED's, (..., H, W); see `pupil`.

        The unscattered light, at [0, 0], is no bin but one direction: it passes or it does not.
        """
        passed = pupil(fx, fy, self.optics.objective_na, self.optics.wavelength_um, bin_width(self.grid))
        passed[..., 0, 0] = (passed[..., 0, 0] > 0.5).to(passed.dtype)
        return passed
