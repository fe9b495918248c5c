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

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from recon.forward.waves import LedModel
from recon.forward.waves import axial_wavenumber as axial_wavenumber
from recon.forward.waves import potential_per_index as potential_per_index

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


class BornModel(LedModel):
    """First Born model of bright-field LEDs; see the module's text for the formula."""

    name = "born"
    resonant = False
    bright_field_only = True
    patterns_per_step = 32

    def __init__(self, grid: VolumeGrid, optics: Optics, led_na_l2: Tensor, device: torch.device | str = "cpu") -> None:
        super().__init__(grid, optics, led_na_l2, device)
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
        ux, uy = (self.led_na_l2[led] / self.optics.wavelength_um).unbind()
        gx, gy = self.fx + ux, self.fy + uy
        passed = self.pupil(gx, gy).flatten()
        bins = torch.nonzero(passed)[:, 0]
        kz_in, kz_out = self.axial_wavenumber(ux, uy), self.axial_wavenumber(gx.flatten()[bins], gy.flatten()[bins])
        amplitude = 0.5j * passed[bins] * self.grid.dz_um * potential_per_index(self.optics) / kz_out
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
