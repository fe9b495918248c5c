"""The linear model per frequency, as the linear baselines share it, derived from design formulas and not from recon.

With f a transverse frequency, A_f (P, Q) the transfer from dn and kappa of each plane to each pattern (Q = parts x Z),

    normal_f = A_f^H A_f        data_f = A_f^H y_f

hold all that least squares needs to know. Only half of the frequencies are kept: images and volumes are real.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from acquisition.capture import Optics
    from recon.grid import VolumeGrid
    from tests.benchmarks.problem import Problem

BATCH_BYTES = 96 * 2**20


@dataclass(frozen=True, eq=False)
class NormalEquations:
    """Normal equations in units where a plane seen by all patterns has strength 1.

    Attributes
    ----------
    bins_f
        Positions of the frequencies that the objective transfers, in the flattened half spectrum (H, W // 2 + 1).
    normal_fqq, data_fq
        As above, complex64; q runs over planes of dn, then planes of kappa (where there are two parts).
    parts
        1: dn alone, 2: dn and kappa.
    """

    grid: VolumeGrid
    bins_f: Tensor
    normal_fqq: Tensor
    data_fq: Tensor
    parts: int

    def volume(self, x_fq: Tensor, bins_f: Tensor | None = None) -> Tensor:
        """Turn the spectrum (F, Q) into dn and kappa, (parts, Z, H, W) float32."""
        planes, rows, columns = self.grid.shape_zyx
        spectrum = x_fq.new_zeros(self.parts * planes, rows * (columns // 2 + 1))
        spectrum[:, self.bins_f if bins_f is None else bins_f] = x_fq.T
        whole = spectrum.reshape(self.parts, planes, rows, columns // 2 + 1)
        volume: Tensor = torch.fft.irfft2(whole, s=(rows, columns))
        return volume


def index_of(volume_czyx: Tensor) -> Tensor:
    """dn (and kappa) (parts, Z, H, W) -> dn + i kappa, (Z, H, W) complex64."""
    kappa = volume_czyx[1] if len(volume_czyx) == 2 else torch.zeros_like(volume_czyx[0])
    return torch.complex(volume_czyx[0], kappa)


def transfer(f_xy: Tensor, u_l2: Tensor, z_um: Tensor, dz_um: float, optics: Optics) -> Tensor:
    """H_re, H_im per unit of dn, kappa: frequencies (F, 2), LEDs (L, 2), planes (Z,) -> (F, L, 2, Z) complex64."""
    wavelength, medium = optics.wavelength_um, optics.medium_index
    strength = dz_um * 2.0 * (2.0 * math.pi / wavelength) ** 2 * medium

    def kz(x: Tensor, y: Tensor) -> Tensor:
        return 2.0 * math.pi * ((medium / wavelength) ** 2 - x**2 - y**2).clamp(min=1e-9).sqrt()

    kz_in = kz(u_l2[:, 0], u_l2[:, 1])
    sides = []
    for sign in (1.0, -1.0):
        gx, gy = f_xy[:, :1] + sign * u_l2[:, 0], f_xy[:, 1:] + sign * u_l2[:, 1]
        kz_out = kz(gx, gy)
        passed = gx**2 + gy**2 <= (optics.objective_na / wavelength) ** 2
        phase = torch.remainder(sign * (kz_in - kz_out)[..., None] * z_um, 2.0 * math.pi).float()
        amplitude = (passed * strength / (2.0 * kz_out)).float()[..., None].expand_as(phase).contiguous()
        sides.append(torch.polar(amplitude, phase))
    plus, minus = sides
    return torch.stack([1j * (plus - minus), -(plus + minus)], dim=2)


def build_normal_equations(problem: Problem, parts: int) -> NormalEquations:
    """Sum over the patterns to be fitted, for all frequencies.

    Parameters
    ----------
    problem
        Images and geometry.
    parts
        1: kappa is known to be 0; 2: it is not.
    """
    grid, optics, device = problem.grid, problem.header.optics, problem.device
    planes, rows, columns = grid.shape_zyx
    fy = torch.fft.fftfreq(rows, grid.pixel_um, dtype=torch.float64, device=device)
    fx = torch.fft.rfftfreq(columns, grid.pixel_um, dtype=torch.float64, device=device)
    f_xy = torch.stack(torch.meshgrid(fy, fx, indexing="ij")[::-1], -1).reshape(-1, 2)
    bins_f = torch.nonzero(f_xy.square().sum(1) <= (2.0 * optics.objective_na / optics.wavelength_um) ** 2)[:, 0]
    spectrum_pf = torch.fft.rfft2(problem.contrast_pyx).flatten(1)
    brightness_pl = problem.brightness(problem.rows_p)
    share_pl = (brightness_pl / brightness_pl.sum(1, keepdim=True)).to(torch.complex64)
    lit = torch.nonzero(share_pl.abs().sum(0))[:, 0]
    u_l2 = problem.led_na_l2[lit] / optics.wavelength_um
    share_pl = share_pl[:, lit]
    one_led_each = bool((share_pl.count_nonzero(dim=1) == 1).all())
    if one_led_each:
        u_l2 = u_l2[share_pl.real.argmax(dim=1)]
    z_um = torch.as_tensor(grid.z_um, device=device)
    size = parts * planes
    normal_fqq = torch.empty(len(bins_f), size, size, dtype=torch.complex64, device=device)
    data_fq = torch.empty(len(bins_f), size, dtype=torch.complex64, device=device)
    batch = max(1, BATCH_BYTES // (8 * len(u_l2) * 2 * planes))
    for start in range(0, len(bins_f), batch):
        bins = bins_f[start : start + batch]
        a_fpq = transfer(f_xy[bins], u_l2, z_um, grid.dz_um, optics)[:, :, :parts].flatten(2)
        if not one_led_each:
            a_fpq = share_pl @ a_fpq
        normal_fqq[start : start + batch] = a_fpq.mH @ a_fpq
        data_fq[start : start + batch] = (a_fpq.mH @ spectrum_pf[:, bins].T[..., None])[..., 0]
    strength = float(normal_fqq.diagonal(dim1=1, dim2=2).real.amax())
    return NormalEquations(grid, bins_f, normal_fqq.div_(strength), data_fq.div_(strength), parts)
