"""Split-step non-paraxial model: the full wave equation without back-scattering, for strong samples and dark field.

With the spectra U of the field and W of its slope along z (`recon.forward.multi_slice` says in which frame), and kz =
kz(f + u),

    propagate by d:  U' = cos(kz d) U + sin(kz d) / kz W        W' = -kz sin(kz d) U + cos(kz d) W
    scatter in d:    W' = W - S,  S = FFT( d k0^2 (n^2 - n0^2) IFFT(U) )

The slope is not needed: adding the steps from one plane to the next and to the one before eliminates it exactly,

    U[n+1] = 2 cos(kz d) U[n] - U[n-1] - sin(kz d) / kz S[n]

and with U[n] counted by the signs + + - - + + - - ... the right side is added to the old U[n-1] in place. Behind the
last plane N - 1 two such spectra give the light that goes forward,

    A = (U[N] - exp(-i kz d) U[N-1]) / (2 i sin(kz d))

Where planes lie a multiple of half a wave apart the two are the same and tell nothing: there kz d is moved by a
thousandth. Evanescent frequencies are removed. The adjoint obeys the same recursion.
Sources: Lim, Ayoub, Antoine, Psaltis, Light: Science & Applications 8, 82 (2019); Zhu, Wang, Tian, Optics Express 30,
32808 (2022); derived anew.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from recon.forward.multi_slice import Light, MultiSliceModel, Wave

if TYPE_CHECKING:
    from torch import Tensor

SMALLEST_SINE = 2e-3
"""Of kz d. Rounding errors grow by its inverse, and kz d is in error by no more than it."""


class SsnpWave(Wave):
    """State: the spectra in the plane ahead and in the one before, (2, K, H, W)."""

    def __init__(self, model: MultiSliceModel, leds: Tensor) -> None:
        distance = model.grid.dz_um
        light = Light(model, leds)
        self._planes = model.grid.shape_zyx[0]
        phase = light.kz * distance
        # Sine of the distance from the nearest multiple of pi, which is moved away from it.
        beyond = torch.remainder(phase + 0.5 * math.pi, math.pi) - 0.5 * math.pi
        away = torch.where(beyond < 0.0, -SMALLEST_SINE, SMALLEST_SINE)
        phase = torch.where(beyond.abs() < SMALLEST_SINE, phase - beyond + away, phase)
        sine = torch.sin(phase)
        self._two_cosine = _for_real_parts(2.0 * torch.cos(phase) * light.travels)
        self._sine_over_kz = _for_real_parts(sine / light.kz * light.travels)
        self._incident_k = light.incident_k
        self._step_k = torch.polar(torch.ones_like(phase[:, 0, 0]), -phase[:, 0, 0])
        forward = light.to_focus / (2j * sine)
        self._exit_last = (-forward * torch.exp(-1j * phase)).to(torch.complex64)
        # The sign of the spectrum ahead against the last one.
        sign = -1.0 if self._planes % 2 else 1.0
        self._exit_ahead = (sign * forward).to(torch.complex64)

    def start(self) -> Tensor:
        """See `Wave.start`."""
        state = self._exit_ahead.new_zeros(2, *self._exit_ahead.shape)
        state[0, :, 0, 0] = self._incident_k
        state[1, :, 0, 0] = self._incident_k * self._step_k
        return state

    def through(self, state: Tensor, prepared: Tensor, planes: range, fields: Tensor | None) -> None:
        """See `Wave.through`."""
        for number, plane in enumerate(planes):
            field = torch.fft.ifft2(state[plane % 2])
            if fields is not None:
                torch.conj_physical(field, out=fields[number])
            self._step(state, plane, plane % 2, field.mul_(prepared[plane]))

    def _step(self, state: Tensor, plane: int, here: int, kicked: Tensor) -> None:
        """From the spectra of two planes to those of the next two; `kicked` is field times what scatters."""
        sign = -1.0 if plane % 2 else 1.0
        parts = torch.view_as_real(state)
        scattered = torch.view_as_real(torch.fft.fft2(kicked))
        parts[1 - here].addcmul_(self._two_cosine, parts[here], value=-sign)
        parts[1 - here].addcmul_(self._sine_over_kz, scattered, value=sign)

    def exit(self, state: Tensor) -> Tensor:
        """See `Wave.exit`."""
        ahead = self._planes % 2
        return torch.addcmul(self._exit_ahead * state[ahead], self._exit_last, state[1 - ahead])

    def exit_adjoint(self, spectrum: Tensor) -> Tensor:
        """See `Wave.exit_adjoint`; the state is the adjoint one times sin(kz d) / kz, which obeys the recursion."""
        ahead = self._planes % 2
        state = spectrum.new_empty(2, *spectrum.shape)
        state[ahead] = spectrum * self._exit_ahead.conj()
        state[1 - ahead] = spectrum * self._exit_last.conj()
        torch.view_as_real(state).mul_(self._sine_over_kz)
        return state

    def back_through(self, state: Tensor, conjugate: Tensor, planes: range, fields: Tensor, grad: Tensor) -> None:
        """See `Wave.back_through`."""
        for plane in reversed(planes):
            sign = -1.0 if plane % 2 else 1.0
            here = 1 - plane % 2
            field = torch.fft.ifft2(state[here])
            for kept, back in zip(fields[plane - planes.start], field, strict=True):
                grad[plane].addcmul_(kept, back, value=sign)
            if plane:
                self._step(state, plane, here, field.mul_(conjugate[plane]))


class SsnpModel(MultiSliceModel):
    """Split-step non-paraxial model of any LED; see the module's text for the formulas."""

    name = "ssnp"
    resonant = True

    def make_wave(self, leds: Tensor) -> Wave:
        """See `MultiSliceModel.make_wave`."""
        return SsnpWave(self, leds)

    def scatter(self, index_zyx: Tensor) -> Tensor:
        """See `MultiSliceModel.scatter`: d k0^2 (n^2 - n0^2), (Z, H, W)."""
        k0 = 2.0 * math.pi / self.optics.wavelength_um
        # Without the difference of large numbers.
        return (k0**2 * self.grid.dz_um) * (index_zyx * (index_zyx + 2.0 * self.optics.medium_index))


def _for_real_parts(factor: Tensor) -> Tensor:
    """Repeat real factors (...) for real and imaginary parts, (..., 2) float32: far quicker than mixed arithmetic."""
    return factor.to(torch.float32).unsqueeze(-1).expand(*factor.shape, 2).contiguous()
