"""Split-step non-paraxial model: the full wave equation without back-scattering, for strong samples and dark field.

The state is the field and its slope along z, in the frequency domain, with the LED's tilt factored out: U(f), W(f)
stand for the transverse frequencies f + u, so the crop is periodic for every angle. From plane to plane, with kz =
kz(f + u),

    propagate by d:  U' = cos(kz d) U + sin(kz d) / kz W        W' = -kz sin(kz d) U + cos(kz d) W
    scatter in d:    W' = W - FFT( d k0^2 (n^2 - n0^2) IFFT(U) )

and behind the sample the forward part (U + W / (i kz)) / 2 is propagated back to z = 0, cut by the pupil, and its
intensity taken. Evanescent frequencies are removed. A plane scatters at its centre, half a step of propagation on each
side. Each plane costs two FFTs forwards and two backwards; the field at each plane is kept for the gradient, which is
the exact adjoint. Sources: Lim, Ayoub, Antoine, Psaltis, Light: Science & Applications 8, 82 (2019); Zhu, Wang, Tian,
Optics Express 30, 32808 (2022); derived anew.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from recon.forward.born import axial_wavenumber, frequencies

if TYPE_CHECKING:
    from torch import Tensor

    from acquisition.capture import Optics
    from recon.grid import VolumeGrid


class SsnpModel:
    """Split-step non-paraxial model of any LED; see the module's text for the formulas."""

    name = "ssnp"
    multi_slice = True
    patterns_per_step = 6

    def __init__(self, grid: VolumeGrid, optics: Optics, led_na_l2: Tensor, device: torch.device | str = "cpu") -> None:
        self.grid = grid
        self.optics = optics
        self.device = torch.device(device)
        self.led_na_l2 = torch.as_tensor(led_na_l2, dtype=torch.float64, device=self.device)
        self.fx, self.fy = frequencies(grid.shape_zyx[1:], grid.pixel_um, self.device)

    def usable_leds(self) -> Tensor:
        """Every LED whose light travels in the medium."""
        inside: Tensor = torch.linalg.vector_norm(self.led_na_l2, dim=1) < self.optics.medium_index
        return inside

    def images(self, index_zyx: Tensor, leds: Tensor) -> Tensor:
        """See `ForwardModel.images`."""
        k0 = 2.0 * math.pi / self.optics.wavelength_um
        medium = self.optics.medium_index
        # n^2 - n0^2 without the difference of large numbers
        potential_zyx = (k0**2 * self.grid.dz_um) * (index_zyx * (index_zyx + 2.0 * medium))
        images = [
            WavePropagation.apply(potential_zyx, Plan(self, led))  # type: ignore[no-untyped-call]
            for led in self.led_na_l2[leds]
        ]
        return torch.stack(images)


class Plan:
    """The constants of one LED: phase factors of a whole step, the start and the detection."""

    def __init__(self, model: SsnpModel, led_na: Tensor) -> None:
        optics, grid = model.optics, model.grid
        wavelength, medium = optics.wavelength_um, optics.medium_index
        u = led_na / wavelength
        gx, gy = model.fx + u[0], model.fy + u[1]
        squared = gx**2 + gy**2
        propagating = squared < (medium / wavelength) ** 2 * (1.0 - 1e-4)
        kz = axial_wavenumber(gx, gy, medium, wavelength).where(propagating, torch.ones_like(gx))
        kz_in = axial_wavenumber(u[0], u[1], medium, wavelength)
        mask = propagating.to(torch.float64)
        phase = kz * grid.dz_um
        self.cos = (torch.cos(phase) * mask).to(torch.float32)
        self.sin_over_kz = (torch.sin(phase) / kz * mask).to(torch.float32)
        self.kz_sin = (torch.sin(phase) * kz * mask).to(torch.float32)
        self.mask = mask.to(torch.float32)
        planes = grid.shape_zyx[0]
        first, last = grid.z_first_um, grid.z_first_um + (planes - 1) * grid.dz_um
        # The incident wave exp(i kz_in z), of unit strength at z = 0, on the first plane.
        rows, columns = grid.shape_zyx[1:]
        self.start_u = torch.zeros(rows, columns, dtype=torch.complex64, device=model.device)
        self.start_w = torch.zeros_like(self.start_u)
        self.start_u[0, 0] = rows * columns * torch.exp(1j * kz_in * first)
        self.start_w[0, 0] = 1j * kz_in * self.start_u[0, 0].to(torch.complex128)
        pupil = (squared <= (optics.objective_na / wavelength) ** 2) & propagating
        back = torch.exp(-1j * kz * last) * pupil
        self.detect_u = (0.5 * back).to(torch.complex64)
        self.detect_w = (-0.5j * back / kz).to(torch.complex64)


class WavePropagation(torch.autograd.Function):
    """Potential (Z, H, W), already times dz -> intensity (H, W) of one LED, with the adjoint as its gradient."""

    @staticmethod
    def forward(ctx: Any, potential_zyx: Tensor, plan: Plan) -> Tensor:  # noqa: D102
        u, w = plan.start_u, plan.start_w
        fields = torch.empty_like(potential_zyx)
        for plane, potential in enumerate(potential_zyx):
            if plane:
                u, w = plan.cos * u + plan.sin_over_kz * w, plan.cos * w - plan.kz_sin * u
            fields[plane] = torch.fft.ifft2(u)
            w = w - plan.mask * torch.fft.fft2(potential * fields[plane])
        detected = torch.fft.ifft2(plan.detect_u * u + plan.detect_w * w)
        ctx.plan = plan
        ctx.save_for_backward(potential_zyx, fields, detected)
        intensity: Tensor = detected.real.square() + detected.imag.square()
        return intensity

    @staticmethod
    def backward(ctx: Any, grad_yx: Tensor) -> tuple[Tensor, None]:  # noqa: D102
        potential_zyx, fields, detected = ctx.saved_tensors
        plan = ctx.plan
        size = grad_yx.numel()
        spectrum = torch.fft.fft2(2.0 * grad_yx * detected) / size
        grad_u, grad_w = plan.detect_u.conj() * spectrum, plan.detect_w.conj() * spectrum
        grad_zyx = torch.empty_like(potential_zyx)
        for plane in range(len(potential_zyx) - 1, -1, -1):
            scattered = torch.fft.ifft2(plan.mask * grad_w) * (-size)
            grad_zyx[plane] = scattered * fields[plane].conj()
            grad_u = grad_u + torch.fft.fft2(scattered * potential_zyx[plane].conj()) / size
            if plane:
                grad_u, grad_w = (
                    plan.cos * grad_u - plan.kz_sin * grad_w,
                    plan.sin_over_kz * grad_u + plan.cos * grad_w,
                )
        return grad_zyx, None
