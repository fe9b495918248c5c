"""First Born approximation: the scattered field is linear in the index, for weak samples in bright field.

With V = 2 k0^2 n0 (dn + i kappa) on planes z of thickness dz, LED direction u and pupil P, the first-order field behind
the objective, relative to the unscattered light, has the spectrum

    U1(f) = sum_z  i dz P(f + u) / (2 kz(f + u)) exp(i z [kz(u) - kz(f + u)]) FFT(V_z)(f)      I = 1 + 2 Re IFFT(U1)

which is nonzero on one disc of radius NA / wavelength only; the second disc of the intensity's spectrum is its mirror
image. So each LED costs one gather of that disc, a sum over planes by a running phase factor, and one inverse FFT.
Conventions and units: time exp(-i w t), z along the light, z = 0 in focus, cycles per micrometre.
Source: Ling, Tahir, Lin, Lee, Tian, Biomedical Optics Express 9, 2130 (2018), derived anew.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from acquisition.capture import Optics
    from recon.grid import VolumeGrid


@dataclass(frozen=True)
class Disc:
    """The frequencies that one LED brings through the pupil.

    `bins` (F,) are positions in the flattened spectrum, `first` (F,) the transfer at the first plane, `step` (F,) the
    phase factor from one plane to the next.
    """

    bins: Tensor
    first: Tensor
    step: Tensor


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


class BornModel:
    """First Born model of bright-field LEDs; see the module's text for the formula."""

    name = "born"
    multi_slice = False
    patterns_per_step = 32

    def __init__(self, grid: VolumeGrid, optics: Optics, led_na_l2: Tensor, device: torch.device | str = "cpu") -> None:
        self.grid = grid
        self.optics = optics
        self.device = torch.device(device)
        self.led_na_l2 = torch.as_tensor(led_na_l2, dtype=torch.float64, device=self.device)
        self._fx, self._fy = frequencies(grid.shape_zyx[1:], grid.pixel_um, self.device)
        self._discs: dict[int, Disc] = {}

    def usable_leds(self) -> Tensor:
        """Bright-field LEDs: those inside the objective's aperture."""
        inside: Tensor = torch.linalg.vector_norm(self.led_na_l2, dim=1) < self.optics.objective_na
        return inside

    def disc(self, led: int) -> Disc:
        """Transfer of one LED, computed on first use."""
        if led not in self._discs:
            self._discs[led] = self._make_disc(led)
        return self._discs[led]

    def _make_disc(self, led: int) -> Disc:
        wavelength, medium = self.optics.wavelength_um, self.optics.medium_index
        ux, uy = (self.led_na_l2[led] / wavelength).unbind()
        gx, gy = (self._fx + ux).reshape(-1), (self._fy + uy).reshape(-1)
        bins = torch.nonzero(gx**2 + gy**2 <= (self.optics.objective_na / wavelength) ** 2)[:, 0]
        kz_out = axial_wavenumber(gx[bins], gy[bins], medium, wavelength)
        kz_in = axial_wavenumber(ux, uy, medium, wavelength)
        amplitude = 0.5j * self.grid.dz_um * potential_per_index(self.optics) / kz_out
        rate = kz_in - kz_out
        first = amplitude * torch.exp(1j * rate * self.grid.z_first_um)
        step = torch.exp(1j * rate * self.grid.dz_um)
        return Disc(bins, first.to(torch.complex64), step.to(torch.complex64))

    def images(self, index_zyx: Tensor, leds: Tensor) -> Tensor:
        """See `ForwardModel.images`."""
        spectrum_zf = torch.fft.fft2(index_zyx).flatten(1)
        discs = [self.disc(led) for led in leds.tolist()]
        scattered_kf: Tensor = SumOverPlanes.apply(spectrum_zf, discs)  # type: ignore[no-untyped-call]
        scattered_kyx = torch.fft.ifft2(scattered_kf.reshape(len(discs), *self.grid.shape_zyx[1:]))
        return torch.add(1.0, scattered_kyx.real, alpha=2.0)


class SumOverPlanes(torch.autograd.Function):
    """Spectra of the planes -> spectra of the first-order field of each LED, with the adjoint as its gradient."""

    @staticmethod
    def forward(ctx: Any, spectrum_zf: Tensor, discs: list[Disc]) -> Tensor:  # noqa: D102
        ctx.discs = discs
        ctx.planes, bins = spectrum_zf.shape
        out_kf = spectrum_zf.new_zeros(len(discs), bins)
        for row, disc in zip(out_kf, discs, strict=True):
            picked_zf = spectrum_zf[:, disc.bins]
            total = picked_zf[-1]
            for plane in range(ctx.planes - 2, -1, -1):
                total = torch.addcmul(picked_zf[plane], total, disc.step)
            row[disc.bins] = total * disc.first
        return out_kf

    @staticmethod
    def backward(ctx: Any, grad_kf: Tensor) -> tuple[Tensor, None]:  # noqa: D102
        grad_zf = grad_kf.new_zeros(ctx.planes, grad_kf.shape[1])
        for row, disc in zip(grad_kf, ctx.discs, strict=True):
            term = row[disc.bins] * disc.first.conj()
            back = disc.step.conj().resolve_conj()
            terms = []
            for _ in range(ctx.planes):
                terms.append(term)
                term = term * back
            grad_zf.index_add_(1, disc.bins, torch.stack(terms))
        return grad_zf, None
