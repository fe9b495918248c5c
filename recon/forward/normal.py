"""The Born data term of all LEDs at once: its cost for a step of a fit does not grow with their number.

The model is linear and diagonal in the transverse frequency f: with x_f the index of all planes (dn and kappa) and A_f
their transfer to the images, the weighted squared error of all images together is

    sum over p of weight_p |A_fp x_f - y_fp|^2  =  x_f^H G_f x_f - 2 Re x_f^H b_f + c
    G_f = sum over p of weight_p A_fp^H A_fp        b_f = sum over p of weight_p A_fp^H y_fp

so once G and b are there, error and gradient of a volume cost one FFT of each plane and one small product per
frequency. Two more properties keep it small. The depths enter as exp(i r z) with |r| no more than the objective's
largest axial frequency, so a few real functions of z, found once, span them all; planes are projected on these before
their FFT. And an image's mean is left out (f = 0): it says how bright the LED is.

The closed-form Tikhonov volume solves the same equations, (G_f + alpha / variance) x_f = b_f.
Conventions and the transfer functions: `recon.forward.born`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from recon.forward.waves import axial_wavenumber, bin_width, potential_per_index, pupil
from recon.side_by_side import no_pulse, side_by_side

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from acquisition.capture import Optics
    from recon.grid import VolumeGrid

BASIS_TOLERANCE = 1e-3
"""Singular values of the depth functions below this share of the largest are left out."""

BATCH_BYTES = 32 * 2**20
"""Transfer matrices kept at a time."""

RATES = 8192
"""Axial frequencies at which the depth functions are tabulated."""


@dataclass(frozen=True, eq=False)
class Equations:
    """G (F, 2K, 2K) and b (F, 2K) complex64 at the frequencies, and c, the error of an empty volume (per pixel)."""

    g: Tensor
    b: Tensor
    c: Tensor


class BornNormal:
    """Normal equations of the Born model for a set of patterns.

    Parameters
    ----------
    grid, optics
        Volume and microscope.
    led_na_l2
        LED directions, (L, 2), bright field.
    share_pl
        Share of each LED in the light of each pattern, (P, L); rows add to 1.
    pulse
        Called between batches; whatever it raises ends the work.
    """

    def __init__(
        self,
        grid: VolumeGrid,
        optics: Optics,
        led_na_l2: Tensor,
        share_pl: Tensor,
        pulse: Callable[[], None] = no_pulse,
    ) -> None:
        device = share_pl.device
        self.grid, self.optics, self.pulse = grid, optics, pulse
        _, rows, columns = grid.shape_zyx
        wavelength = optics.wavelength_um
        fy = torch.fft.fftfreq(rows, grid.pixel_um, dtype=torch.float64, device=device)
        fx = torch.fft.rfftfreq(columns, grid.pixel_um, dtype=torch.float64, device=device)
        all_y, all_x = (f.reshape(-1) for f in torch.meshgrid(fy, fx, indexing="ij"))
        squared = all_x**2 + all_y**2
        width = self._bin_width = bin_width(grid)
        self.bins = torch.nonzero((squared <= (2.0 * optics.objective_na / wavelength + width) ** 2) & (squared > 0))[
            :, 0
        ]
        self._fx, self._fy = all_x[self.bins], all_y[self.bins]
        # Each frequency stands for its mirror image too, but for those that are their own.
        own = (self._fx == 0) | ((columns % 2 == 0) & (self.bins % (columns // 2 + 1) == columns // 2))
        self.count_f = torch.where(own, 1.0, 2.0).to(torch.float32)
        one_led_each = bool((share_pl.count_nonzero(dim=1) == 1).all())
        self._share_pl = None if one_led_each else share_pl.to(torch.complex64)
        if one_led_each:
            led_na_l2 = led_na_l2[share_pl.argmax(dim=1)]
        self._u_l2 = led_na_l2.to(device=device, dtype=torch.float64) / wavelength
        self.patterns = len(share_pl)
        self._depth_functions(device)

    def _depth_functions(self, device: torch.device) -> None:
        """Find the functions of z, (Z, K) orthonormal, and their overlap with exp(i r z), (RATES, K)."""
        optics = self.optics
        z_um = torch.as_tensor(self.grid.z_um, device=device)
        # The aperture's soft edge lets half a bin more through.
        outermost_na = optics.objective_na + 0.5 * self._bin_width * optics.wavelength_um
        steepest = math.sqrt(max(optics.medium_index**2 - outermost_na**2, 0.0))
        self._rate_limit = 2.0 * math.pi / optics.wavelength_um * (optics.medium_index - steepest)
        rate = torch.linspace(-self._rate_limit, self._rate_limit, RATES, dtype=torch.float64, device=device)
        waves = torch.exp(1j * rate[:, None] * z_um)
        spread = waves.mH @ waves / RATES  # its eigenvectors are real, for every rate comes with its opposite
        values, vectors = torch.linalg.eigh(spread.real)
        kept = values > BASIS_TOLERANCE**2 * values[-1]
        basis = vectors[:, kept]
        self.basis_zk = basis.to(torch.float32)
        scale = self.grid.dz_um * potential_per_index(optics)
        self._overlap = (scale * waves @ basis.to(waves.dtype)).to(torch.complex64)

    @property
    def unknowns(self) -> int:
        """Complex numbers per frequency: dn and kappa for each depth function."""
        return 2 * int(self.basis_zk.shape[1])

    def _disc(self, part: slice, sign: float) -> Tensor:
        """T+ (sign 1) or T- (sign -1) of a batch of frequencies for each depth function, (F, L, K)."""
        optics, wavelength = self.optics, self.optics.wavelength_um
        gx = self._fx[part, None] + sign * self._u_l2[:, 0]
        gy = self._fy[part, None] + sign * self._u_l2[:, 1]
        inside = pupil(gx, gy, optics.objective_na, wavelength, self._bin_width)
        kz_out = axial_wavenumber(gx, gy, optics.medium_index, wavelength).clamp(min=1e-6)
        kz_in = axial_wavenumber(self._u_l2[:, 0], self._u_l2[:, 1], optics.medium_index, wavelength)
        amplitude = (inside / (2.0 * kz_out)).to(torch.float32)
        rate = sign * (kz_in - kz_out) / self._rate_limit
        place = ((rate + 1.0) * (0.5 * (RATES - 1))).round_().to(torch.int64).clamp_(0, RATES - 1)
        transfer: Tensor = amplitude[..., None] * self._overlap[place]
        return transfer

    def transfer(self, part: slice) -> Tensor:
        """A_f of a batch of the frequencies, (F, P, 2 K): dn first, then kappa."""
        plus, minus = self._disc(part, 1.0), self._disc(part, -1.0)
        transfer = torch.cat([1j * (plus - minus), -(plus + minus)], dim=2)
        return transfer if self._share_pl is None else self._share_pl @ transfer

    def batches(self) -> list[slice]:
        """Cut the frequencies into batches."""
        most = max(self.patterns, len(self._u_l2))
        size = max(1, BATCH_BYTES // (8 * most * self.unknowns))
        return [slice(start, start + size) for start in range(0, len(self.bins), size)]

    def equations(self, contrast_pyx: Tensor, weight_p: Tensor) -> Equations:
        """Set up the equations for images I - 1 (P, H, W) with weights (P,); the images' means are ignored."""
        data = torch.fft.rfft2(contrast_pyx).flatten(1)[:, self.bins].T.contiguous()
        root = weight_p.sqrt()
        g = data.new_empty(len(self.bins), self.unknowns, self.unknowns)
        b = data.new_empty(len(self.bins), self.unknowns)

        def set_up(part: slice) -> None:
            weighted = self.transfer(part) * root[:, None]
            adjoint = weighted.mH
            torch.bmm(adjoint, weighted, out=g[part])
            b[part] = torch.bmm(adjoint, (data[part] * root).unsqueeze(-1)).squeeze(-1)

        for _ in side_by_side(set_up, self.batches(), self.pulse, data.device):
            pass
        return Equations(g, b, (weight_p * contrast_pyx.var((1, 2), correction=0)).sum())

    def project(self, dn_kappa: Tensor) -> Tensor:
        """Planes (2, Z, H, W) -> unknowns at the frequencies, (F, 2K)."""
        functions = torch.einsum("zk,czyx->ckyx", self.basis_zk, dn_kappa)
        unknowns: Tensor = torch.fft.rfft2(functions).flatten(2)[:, :, self.bins].flatten(0, 1).T.contiguous()
        return unknowns

    def expand(self, unknowns_fk: Tensor) -> Tensor:
        """Unknowns at the frequencies -> planes (2, Z, H, W), nothing at the others; inverse of `project` there."""
        _, rows, columns = self.grid.shape_zyx
        spectrum = unknowns_fk.new_zeros(self.unknowns, rows * (columns // 2 + 1))
        spectrum[:, self.bins] = unknowns_fk.T
        functions = torch.fft.irfft2(spectrum.reshape(-1, rows, columns // 2 + 1), s=(rows, columns))
        return torch.einsum("zk,ckyx->czyx", self.basis_zk, functions.reshape(2, -1, rows, columns))

    def solve(self, equations: Equations, ridge: float, kappa_variance: float) -> Tensor:
        """Planes (2, Z, H, W) that solve (G + ridge / variance) x = b; the variance is 1 for dn."""
        half = self.unknowns // 2
        diagonal = torch.full((self.unknowns,), ridge, device=equations.g.device)
        diagonal[half:] /= max(kappa_variance, 1e-6)
        solution = torch.empty_like(equations.b)

        def solve(part: slice) -> None:
            factor = torch.linalg.cholesky(equations.g[part] + torch.diag(diagonal))
            solution[part] = torch.cholesky_solve(equations.b[part].unsqueeze(-1), factor).squeeze(-1)

        for _ in side_by_side(solve, self.batches(), self.pulse, solution.device):
            pass
        return self.expand(solution)


class QuadraticError(torch.autograd.Function):
    """Weighted squared error per pixel of all images, from planes (2, Z, H, W), with its gradient."""

    @staticmethod
    def forward(ctx: Any, dn_kappa: Tensor, normal: BornNormal, equations: Equations) -> Tensor:  # noqa: D102
        x = normal.project(dn_kappa)
        gx = torch.bmm(equations.g, x.unsqueeze(-1)).squeeze(-1)
        _, rows, columns = normal.grid.shape_zyx
        pixels = rows * columns
        ctx.normal, ctx.residual = normal, gx - equations.b
        # Parseval: the sum over pixels is that over all frequencies, divided by their number.
        error: Tensor = (normal.count_f * ((gx - 2.0 * equations.b) * x.conj()).real.sum(1)).sum() / pixels**2
        return error + equations.c

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:  # noqa: D102
        _, rows, columns = ctx.normal.grid.shape_zyx
        return ctx.normal.expand(ctx.residual) * (2.0 * grad / (rows * columns)), None, None
