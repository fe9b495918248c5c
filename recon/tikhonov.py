"""The closed form: joint Tikhonov solution of the Born model over all planes and LEDs at once.

The model is diagonal in the transverse frequency f. There, with A_f the transfer of each plane's real and imaginary
index to each image, (L, 2 Z), and W the prior variances of dn and kappa,

    x_f = W A_f^H (A_f W A_f^H + alpha I)^-1 y_f

one Hermitian L x L solve per frequency, all of them batched. It is the first volume, within seconds of the last frame,
and the start of the fit. Unlike the slice-by-slice deconvolution of the literature it does not pretend that each plane
made all the data.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from recon.field import no_pulse
from recon.forward.born import axial_wavenumber, potential_per_index

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from acquisition.capture import Optics
    from recon.grid import VolumeGrid

KAPPA_VARIANCE = 0.05
"""Prior variance of kappa relative to that of dn: cells absorb far less than they refract."""

BATCH_BYTES = 64 * 2**20
"""Transfer matrices kept at a time, in bytes: small enough for the caches to help, large enough to batch."""


def solve_tikhonov(
    contrast_pyx: Tensor,
    brightness_pl: Tensor,
    led_na_l2: Tensor,
    grid: VolumeGrid,
    optics: Optics,
    regularisation: float = 0.01,
    kappa_variance: float = KAPPA_VARIANCE,
    pulse: Callable[[], None] = no_pulse,
) -> Tensor:
    """Reconstruct the index from normalised images.

    Parameters
    ----------
    contrast_pyx
        I - 1 of each pattern, (P, H, W) float32.
    brightness_pl
        Brightness of each LED in each pattern, (P, L); all lit LEDs bright field.
    led_na_l2
        LED directions, (L, 2).
    grid, optics
        Volume and microscope.
    regularisation
        alpha relative to the strength with which one LED sees a point that is the same in all planes; 0.003 to 0.1 is
        sensible.
    kappa_variance
        Prior variance of kappa relative to that of dn; 0 for samples known not to absorb.
    pulse
        Called between batches; whatever it raises ends the computation.

    Returns
    -------
    Tensor
        dn + i kappa, (Z, H, W) complex64.
    """
    device = contrast_pyx.device
    planes, rows, columns = grid.shape_zyx
    half = columns // 2 + 1
    wavelength, medium = optics.wavelength_um, optics.medium_index
    z_um = torch.as_tensor(grid.z_um, device=device)
    fy = torch.fft.fftfreq(rows, grid.pixel_um, dtype=torch.float64, device=device)
    fx = torch.fft.rfftfreq(columns, grid.pixel_um, dtype=torch.float64, device=device)
    all_y, all_x = (f.reshape(-1) for f in torch.meshgrid(fy, fx, indexing="ij"))
    passed = torch.nonzero(all_x**2 + all_y**2 <= (2.0 * optics.objective_na / wavelength) ** 2)[:, 0]
    spectrum_pf = torch.fft.rfft2(contrast_pyx).flatten(1)

    share_pl = (brightness_pl / brightness_pl.sum(1, keepdim=True)).to(device=device, dtype=torch.complex64)
    one_led_each = bool((share_pl.count_nonzero(dim=1) == 1).all())
    if one_led_each:
        led_na_l2 = led_na_l2[share_pl.real.argmax(dim=1).to(led_na_l2.device)]
    u_l2 = led_na_l2.to(device=device, dtype=torch.float64) / wavelength
    plane_strength = grid.dz_um * potential_per_index(optics)
    strength = plane_strength / (4.0 * math.pi * medium / wavelength)
    alpha = regularisation * strength**2 * planes
    root_variance = torch.tensor([1.0, math.sqrt(kappa_variance)], device=device)

    count = contrast_pyx.shape[0]
    batch = max(1, BATCH_BYTES // (8 * max(count, len(u_l2)) * 2 * planes))
    solution = spectrum_pf.new_zeros(planes, 2, rows * half)
    ridge = alpha * torch.eye(count, device=device)
    for start in range(0, len(passed), batch):
        pulse()
        bins = passed[start : start + batch]
        plus = _transfer(all_x[bins], all_y[bins], u_l2, z_um, 1.0, plane_strength, optics)
        minus = _transfer(all_x[bins], all_y[bins], u_l2, z_um, -1.0, plane_strength, optics)
        transfer = torch.stack([1j * (plus - minus), -(plus + minus)], dim=2) * root_variance[:, None]
        transfer = transfer.flatten(2)
        if not one_led_each:
            transfer = share_pl @ transfer
        normal = transfer @ transfer.mH + ridge
        data = spectrum_pf[:, bins].T.unsqueeze(-1)
        weights = torch.cholesky_solve(data, torch.linalg.cholesky(normal))
        x = (transfer.mH @ weights).reshape(len(bins), 2, planes) * root_variance[:, None]
        solution[:, :, bins] = x.permute(2, 1, 0)
    volume = torch.fft.irfft2(solution.reshape(planes, 2, rows, half), s=(rows, columns))
    return torch.complex(volume[:, 0], volume[:, 1])


def _transfer(fx: Tensor, fy: Tensor, u_l2: Tensor, z_um: Tensor, sign: float, scale: float, optics: Optics) -> Tensor:
    """T+ (sign 1) or T- (sign -1) of each frequency, LED and plane, (F, L, Z) complex64."""
    wavelength, medium = optics.wavelength_um, optics.medium_index
    gx = fx[:, None] + sign * u_l2[:, 0]
    gy = fy[:, None] + sign * u_l2[:, 1]
    inside = gx**2 + gy**2 <= (optics.objective_na / wavelength) ** 2
    kz_out = axial_wavenumber(gx, gy, medium, wavelength).clamp(min=1e-6)
    kz_in = axial_wavenumber(u_l2[:, 0], u_l2[:, 1], medium, wavelength)
    amplitude = (inside * scale / (2.0 * kz_out)).to(torch.float32)
    rate = sign * (kz_in - kz_out)
    # Single precision is enough for a phase below 2 pi, not for the product: that is reduced in double first.
    phase = torch.remainder(rate[..., None] * z_um, 2.0 * math.pi).to(torch.float32)
    return torch.polar(amplitude[..., None].expand_as(phase).contiguous(), phase)
