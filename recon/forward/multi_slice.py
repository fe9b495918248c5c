"""Multi-slice models: waves that travel from plane to plane, many LEDs at once, in bounded memory, with exact adjoint.

The state of a wave is in the frequency domain with the LED's tilt factored out: it stands for the transverse
frequencies f + u, so the crop is periodic for every angle. A plane scatters at its centre. Behind the last plane the
light is taken back to z = 0, cut by the pupil, and its intensity taken: in units of the illumination, so an empty
bright field is 1 and an empty dark field 0. Each plane costs two FFTs forwards and two backwards.

For the gradient the field at each plane is kept: 8 bytes per plane, pixel and LED. Where that is too much, only the
waves at the beginnings of segments of about sqrt(2 Z) planes are kept and the rest is computed again, half as much
work again. The last segment's fields are kept in any case: it is all planes where there is memory enough.
"""

from __future__ import annotations

import logging
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from recon.forward.waves import LedModel
from recon.side_by_side import pulse_of_gradient, shares, side_by_side

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from acquisition.capture import Optics
    from recon.grid import VolumeGrid

logger = logging.getLogger(__name__)

CPU_FIELD_BYTES = 4 * 2**30
"""Fields kept for the gradient on a CPU."""

GPU_SHARE = 0.7
"""Of a GPU's free memory, for the fields that are kept and for the waves under way."""

CONSTANT_BYTES = 2**30
"""Constants of LEDs that are kept from call to call on a CPU."""

ARRAYS_UNDER_WAY = 24
"""Complex arrays of one plane that one LED needs beside the fields kept, its constants and their making included."""

Result = TypeVar("Result")


class Light:
    """Constants of a batch of LEDs that all multi-slice models share.

    Attributes
    ----------
    kz, travels
        Axial wave number of each frequency, (K, H, W) float64, 1 where the wave is evanescent; whether it is not.
    incident_k
        Spectrum of the incident light on the first plane, at its only frequency, (K,) complex64.
    to_focus
        From the last plane back to z = 0 and through the pupil, (K, H, W) complex128.
    """

    def __init__(self, model: MultiSliceModel, leds: Tensor) -> None:
        planes, rows, columns = model.grid.shape_zyx
        u_k2 = model.led_na_l2[leds] / model.optics.wavelength_um
        gx = model.fx + u_k2[:, 0, None, None]
        gy = model.fy + u_k2[:, 1, None, None]
        kz = model.axial_wavenumber(gx, gy)
        self.travels = kz > 0.01 * kz.max()
        self.kz = kz.where(self.travels, torch.ones_like(kz))
        first_um = model.grid.z_first_um
        last_um = first_um + (planes - 1) * model.grid.dz_um
        # exp(i kz z) is of unit strength and phase 0 at z = 0.
        self.incident_k = (rows * columns * torch.exp(1j * kz[:, 0, 0] * first_um)).to(torch.complex64)
        self.to_focus = torch.polar(model.pupil(gx, gy) * self.travels, -kz * last_um)


class Wave(ABC):
    """The light of a batch of LEDs: its constants, and how it passes a plane.

    States are (S, K, H, W) complex64 and are changed in place.
    """

    @abstractmethod
    def start(self) -> Tensor:
        """Incident light of unit strength on the first plane."""

    @abstractmethod
    def through(self, state: Tensor, prepared: Tensor, planes: range, fields: Tensor | None) -> None:
        """Pass planes and travel on to the one behind; keep in `fields` (planes, K, H, W) what the gradient needs."""

    @abstractmethod
    def exit(self, state: Tensor) -> Tensor:
        """Spectrum at z = 0 behind the pupil, (K, H, W)."""

    @abstractmethod
    def exit_adjoint(self, spectrum: Tensor) -> Tensor:
        """Adjoint of `exit`, times the number of pixels: the adjoint state behind the last plane."""

    @abstractmethod
    def back_through(self, state: Tensor, conjugate: Tensor, planes: range, fields: Tensor, grad: Tensor) -> None:
        """Take an adjoint state back through planes, given the conjugate of what scatters; add to its gradient."""


class MultiSliceModel(LedModel, ABC):
    """Model of any LED, bright field or dark, by waves that travel from plane to plane."""

    resonant = False
    bright_field_only = False
    patterns_per_step = 6

    def __init__(self, grid: VolumeGrid, optics: Optics, led_na_l2: Tensor, device: torch.device | str = "cpu") -> None:
        super().__init__(grid, optics, led_na_l2, device)
        self._constants: dict[int, Wave] = {}
        # On a CPU one LED at a time fits the caches.
        self._most_at_once = 1 if self.device.type == "cpu" else len(self.led_na_l2)

    @abstractmethod
    def scatter(self, index_zyx: Tensor) -> Tensor:
        """What the planes do to a wave, from dn + i kappa: for all LEDs, differentiable, (Z, H, W)."""

    def prepare(self, scatter: Tensor) -> Tensor:
        """What the waves want of it, (Z, ..., H, W), outside of differentiation."""
        return scatter

    @abstractmethod
    def make_wave(self, leds: Tensor) -> Wave:
        """Make the constants of LEDs (K,)."""

    def usable_leds(self) -> Tensor:
        """Every LED whose light travels in the medium."""
        inside: Tensor = torch.linalg.vector_norm(self.led_na_l2, dim=1) < self.optics.medium_index
        return inside

    def images(self, index_zyx: Tensor, leds: Tensor) -> Tensor:
        """See `ForwardModel.images`."""
        images: Tensor = Propagation.apply(self.scatter(index_zyx), self, leds)  # type: ignore[no-untyped-call]
        return images

    def wave(self, leds: Tensor) -> Wave:
        """Constants of LEDs (K,); those of single LEDs are kept from call to call, as far as memory serves."""
        if len(leds) > 1 or self.device.type != "cpu":
            return self.make_wave(leds)
        led = int(leds[0])
        if led in self._constants:
            return self._constants[led]
        wave = self.make_wave(leds)
        if len(self._constants) < CONSTANT_BYTES // (4 * self.plane_bytes):
            self._constants[led] = wave
        return wave

    @property
    def plane_bytes(self) -> int:
        """Size of one wave in one plane."""
        return 8 * self.grid.shape_zyx[1] * self.grid.shape_zyx[2]

    def memory_plan(self, leds: int, gradient: bool) -> tuple[int, int]:
        """How many LEDs to compute at once, and how many planes a segment has, for images of so many LEDs."""
        planes = self.grid.shape_zyx[0]
        if self.device.type == "cpu":
            field_bytes, under_way = CPU_FIELD_BYTES, leds * ARRAYS_UNDER_WAY * self.plane_bytes
        else:
            free, _ = torch.cuda.mem_get_info(self.device)
            unused = torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)
            field_bytes = under_way = int(0.5 * GPU_SHARE * (free + unused))
        fits = not gradient or leds * planes * self.plane_bytes <= field_bytes
        segment = planes if fits else math.ceil(math.sqrt(2.0 * planes))
        arrays = ARRAYS_UNDER_WAY + (0 if fits else segment)
        at_once = max(1, under_way // (arrays * self.plane_bytes))
        return min(at_once, self._most_at_once, leds), segment

    def with_less_memory(self, work: Callable[[], Result]) -> Result:
        """Do some work, again with half as many LEDs at once when the GPU's memory does not suffice."""
        while True:
            try:
                return work()
            except torch.OutOfMemoryError:
                if self._most_at_once == 1:
                    raise
            # Outside of the handler: what the failed attempt held is free again.
            self._most_at_once //= 2
            logger.warning("The GPU's memory is full: going on with %d LEDs at a time.", self._most_at_once)


@dataclass(frozen=True, eq=False)
class Trace:
    """What a batch of LEDs leaves for the gradient.

    `starts` holds the states at the beginnings of the segments, `fields` (planes, K, H, W) those of the last segment,
    `detected` (K, H, W) the field on the camera.
    """

    leds: Tensor
    segments: list[range]
    starts: list[Tensor]
    fields: Tensor
    detected: Tensor

    def part(self, rows: slice) -> Trace:
        """Return the same of some of the LEDs."""
        starts = [state[:, rows] for state in self.starts]
        return Trace(self.leds[rows], self.segments, starts, self.fields[:, rows], self.detected[rows])


class Propagation(torch.autograd.Function):
    """What the planes do (Z, H, W) -> intensity (K, H, W) of each LED, with the adjoint as its gradient."""

    @staticmethod
    def forward(ctx: Any, scatter: Tensor, model: MultiSliceModel, leds: Tensor) -> Tensor:  # noqa: D102
        gradient = ctx.needs_input_grad[0]
        ctx.model = model
        ctx.shape = scatter.shape
        prepared = ctx.prepared = model.prepare(scatter)

        def work() -> tuple[Tensor, list[Trace]]:
            at_once, segment = model.memory_plan(len(leds), gradient)
            intensity = torch.empty(len(leds), *scatter.shape[1:], device=scatter.device)
            traces = []
            batches = _batches(len(leds), at_once)

            def propagate(rows: slice) -> tuple[Tensor, list[Trace]]:
                return _propagate(model, leds[rows], prepared, segment, gradient)

            found = side_by_side(propagate, batches, model.pulse, scatter.device)
            for rows, (detected, trace) in zip(batches, found, strict=True):
                torch.mul(detected.real, detected.real, out=intensity[rows])
                intensity[rows].addcmul_(detected.imag, detected.imag)
                traces += trace
            return intensity, traces

        intensity, ctx.traces = model.with_less_memory(work)
        return intensity

    @staticmethod
    def backward(ctx: Any, grad_kyx: Tensor) -> tuple[Tensor, None, None]:  # noqa: D102
        model: MultiSliceModel = ctx.model
        prepared: Tensor = ctx.prepared
        conjugate = torch.conj_physical(prepared)

        def work() -> Tensor:
            at_once, _ = model.memory_plan(len(grad_kyx), False)
            firsts = [0, *accumulate(len(trace.leds) for trace in ctx.traces)]

            def propagate_back(share: slice) -> Tensor:
                grad = prepared.new_zeros(ctx.shape)
                for first, trace in zip(firsts[share], ctx.traces[share], strict=False):
                    for rows in _batches(len(trace.leds), at_once):
                        grad_rows = grad_kyx[first + rows.start : first + rows.stop]
                        _propagate_back(model, trace.part(rows), grad_rows, prepared, conjugate, grad)
                return grad

            # Each share has a gradient of its own.
            device = grad_kyx.device
            most = max(1, CPU_FIELD_BYTES // (8 * math.prod(ctx.shape))) if device.type == "cpu" else 1
            pulse = pulse_of_gradient(model.pulse, device)
            first, *others = side_by_side(propagate_back, shares(len(ctx.traces), most), pulse, device)
            for other in others:
                first += other
            return first

        return model.with_less_memory(work), None, None


def _batches(count: int, at_once: int) -> list[slice]:
    return [slice(first, min(first + at_once, count)) for first in range(0, count, at_once)]


def _propagate(
    model: MultiSliceModel, leds: Tensor, prepared: Tensor, segment: int, gradient: bool
) -> tuple[Tensor, list[Trace]]:
    """Field of some LEDs on the camera, (K, H, W), and where a gradient is wanted their trace."""
    wave = model.wave(leds)
    planes = len(prepared)
    segments = [range(first, min(first + segment, planes)) for first in range(0, planes, segment)]
    state = wave.start()
    starts, fields = [], None
    for part in segments:
        if gradient:
            starts.append(state.clone())
            if part is segments[-1]:
                fields = state.new_empty(len(part), *state.shape[1:])
        wave.through(state, prepared, part, fields)
    detected = torch.fft.ifft2(wave.exit(state))
    return detected, [] if fields is None else [Trace(leds, segments, starts, fields, detected)]


def _propagate_back(
    model: MultiSliceModel,
    trace: Trace,
    grad_kyx: Tensor,
    prepared: Tensor,
    conjugate: Tensor,
    grad: Tensor,
) -> None:
    """Add the gradient of some LEDs' images to that of what scatters."""
    wave = model.wave(trace.leds)
    state = wave.exit_adjoint(torch.fft.fft2(2.0 * grad_kyx * trace.detected))
    fields = trace.fields
    for part, start in zip(reversed(trace.segments), reversed(trace.starts), strict=True):
        if part is not trace.segments[-1]:
            fields = start.new_empty(len(part), *start.shape[1:])
            wave.through(start.clone(), prepared, part, fields)
        wave.back_through(state, conjugate, part, fields, grad)
