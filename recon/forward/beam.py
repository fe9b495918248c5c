"""Beam propagation: light that only goes forward, thin slice by thin slice.

With the spectrum U of the field (`recon.forward.multi_slice` says in which frame), kz = kz(f + u), and the angle of the
LED's light in the medium,

    slice of d:      u' = exp(i k0 (dn + i kappa) d / cos(angle)) u
    propagate by d:  U' = exp(i kz d) U

A slice is as thick as it looks to the incident light; scattered light of another angle is treated alike, which is what
this model gets wrong. Evanescent frequencies are removed.

The factor of a slice differs from LED to LED by its angle only. It is taken from the factor at the mean inverse cosine
of the LEDs and its first two derivatives, which all LEDs share: exponentials cost more than the rest of the slice.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from recon.forward.multi_slice import Light, MultiSliceModel, Wave

if TYPE_CHECKING:
    from torch import Tensor

    from acquisition.capture import Optics
    from recon.grid import VolumeGrid


class BeamWave(Wave):
    """State: the spectrum on the plane ahead, (1, K, H, W)."""

    def __init__(self, model: BeamModel, leds: Tensor) -> None:
        light = Light(model, leds)
        self._lengthening = model.lengthening_l[leds].to(torch.float32)[:, None, None]
        self._step = torch.polar(light.travels.to(torch.float64), light.kz * model.grid.dz_um).to(torch.complex64)
        self._incident_k = light.incident_k
        # The last step, into the plane behind the last, is taken back.
        self._exit = (light.to_focus * torch.polar(torch.ones_like(light.kz), -light.kz * model.grid.dz_um)).to(
            torch.complex64
        )

    def start(self) -> Tensor:
        """See `Wave.start`."""
        state = self._step.new_zeros(1, *self._step.shape)
        state[0, :, 0, 0] = self._incident_k
        return state

    def through(self, state: Tensor, scatter: Tensor, planes: range, fields: Tensor | None) -> None:
        """See `Wave.through`."""
        field = torch.empty_like(state[0])
        for number, plane in enumerate(planes):
            torch.fft.ifft2(state[0], out=field)
            if fields is not None:
                torch.conj_physical(field, out=fields[number])
            torch.fft.fft2(field.mul_(self._slice(scatter[plane])), out=state[0])
            state[0].mul_(self._step)

    def _slice(self, scatter: Tensor) -> Tensor:
        """Factor of one slice for each LED, (K, H, W), from (3, H, W)."""
        return torch.addcmul(scatter[0], self._lengthening, scatter[1] + self._lengthening * scatter[2])

    def exit(self, state: Tensor) -> Tensor:
        """See `Wave.exit`."""
        return self._exit * state[0]

    def exit_adjoint(self, spectrum: Tensor) -> Tensor:
        """See `Wave.exit_adjoint`."""
        return (spectrum * self._exit.conj())[None]

    def back_through(self, state: Tensor, conjugate: Tensor, planes: range, fields: Tensor, grad: Tensor) -> None:
        """See `Wave.back_through`."""
        field = torch.empty_like(state[0])
        step_back = self._step.conj().resolve_conj()
        for plane in reversed(planes):
            torch.fft.ifft2(state[0].mul_(step_back), out=field)
            for kept, back, lengthening in zip(fields[plane - planes.start], field, self._lengthening, strict=True):
                product = kept * back
                for order in grad[plane]:
                    order.add_(product)
                    product = product.mul_(lengthening)
            if plane:
                torch.fft.fft2(field.mul_(self._slice(conjugate[plane])), out=state[0])


class BeamModel(MultiSliceModel):
    """Beam propagation of any LED; see the module's text for the formulas."""

    name = "beam"

    def __init__(self, grid: VolumeGrid, optics: Optics, led_na_l2: Tensor, device: torch.device | str = "cpu") -> None:
        super().__init__(grid, optics, led_na_l2, device)
        sine_l = torch.linalg.vector_norm(self.led_na_l2, dim=1) / optics.medium_index
        inverse_cosine_l = (1.0 - sine_l.square()).clamp(min=0.01).rsqrt()
        self._mean_inverse_cosine = float(inverse_cosine_l.mean())
        self.lengthening_l = inverse_cosine_l - self._mean_inverse_cosine

    def make_wave(self, leds: Tensor) -> Wave:
        """See `MultiSliceModel.make_wave`."""
        return BeamWave(self, leds)

    def scatter(self, index_zyx: Tensor) -> Tensor:
        """See `MultiSliceModel.scatter`: factor at the mean inverse cosine and its derivatives, (Z, 3, H, W)."""
        exponent = (2j * math.pi / self.optics.wavelength_um * self.grid.dz_um) * index_zyx
        mean = self._mean_inverse_cosine
        factor = torch.polar(torch.exp(mean * exponent.real), mean * exponent.imag)
        return torch.stack([factor, exponent * factor, 0.5 * exponent.square() * factor], dim=1)
