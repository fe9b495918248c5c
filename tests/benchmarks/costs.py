"""What forward models and fields cost on this machine, in units of what cannot be avoided: the FFTs.

    python -m tests.benchmarks.reconstruction --parts costs [--device cuda] [--size 512x512x41x16]

Time is per LED; a model is asked for as many LEDs at once as a step of a fit takes. Counted floor, FFTs of the image's
size for Z planes and K LEDs at once: multi-slice 2 Z + 1 per LED forwards and the same again for the gradient; Born
Z / K + 1 per LED forwards and the same again. The unit is an FFT within a batch of Z on the same machine.
"""

from __future__ import annotations

import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from acquisition.errors import OperatorError
from recon.field import NeuralField, design_field
from recon.forward.model import build_model, kind_of_model
from recon.grid import VolumeGrid, plane_distance_um
from tests.benchmarks.machine import memory_mb
from tests.benchmarks.synthetic import OPTICS, Size
from tests.benchmarks.trajectory import synchronise

if TYPE_CHECKING:
    from collections.abc import Callable

MODELS = ("born", "beam", "ssnp")
REPEATS = 5
SLICE = 512
POINTS = 2**16


def median_ms(work: Callable[[], object], device: torch.device, repeats: int = REPEATS) -> float:
    """Median duration of a call, after one that is not counted."""
    work()
    times = []
    for _ in range(repeats):
        synchronise(device)
        start_s = time.perf_counter()
        work()
        synchronise(device)
        times.append(time.perf_counter() - start_s)
    return 1e3 * float(np.median(times))


def grid_of(size: Size, resonant: bool) -> VolumeGrid:
    """Lay out as many planes as asked for, as far apart as the kind of model wants them."""
    spacing = plane_distance_um(OPTICS, resonant)
    return VolumeGrid(
        (size.planes, size.rows, size.columns), spacing, OPTICS.pixel_um, -0.5 * (size.planes - 1) * spacing
    )


def floor_ffts(planes: int, leds: int, multi_slice: bool) -> tuple[float, float]:
    """FFTs per LED that cannot be avoided: forwards, and forwards with gradient."""
    forward = 2.0 * planes + 1.0 if multi_slice else planes / leds + 1.0
    return forward, 2.0 * forward


def model_costs(name: str, size: Size, device_name: str = "cpu") -> dict[str, Any] | None:
    """Time one model at one size; None where there is no such model."""
    device = torch.device(device_name)
    try:
        grid = grid_of(size, kind_of_model(name).resonant)
        model = build_model(name, grid, OPTICS, torch.as_tensor(size.led_na()), device)
    except OperatorError:
        return None
    generator = torch.Generator().manual_seed(0)
    index_zyx = (0.01 * torch.rand(grid.shape_zyx, generator=generator)).to(device=device, dtype=torch.complex64)
    leds = torch.arange(size.leds, device=device)
    before_mb = memory_mb(device)

    def forward() -> None:
        with torch.no_grad():
            model.images(index_zyx, leds)

    def gradient() -> None:
        leaf = index_zyx.clone().requires_grad_()
        torch.autograd.backward(model.images(leaf, leds).sum())

    forward_ms, gradient_ms = (median_ms(work, device) / size.leds for work in (forward, gradient))
    found_mb = memory_mb(device) - before_mb
    spectrum = torch.empty_like(index_zyx)  # made once: the unit is the transform, not the memory for its result
    fft_ms = median_ms(lambda: torch.fft.fft2(index_zyx, out=spectrum), device, 15) / size.planes
    floor, floor_gradient = floor_ffts(size.planes, size.leds, name != "born")
    return {
        "model": name,
        "size": str(size),
        "fft_ms": fft_ms,
        "forward_ms": forward_ms,
        "gradient_ms": gradient_ms,
        "forward_ffts_per_plane": forward_ms / fft_ms / size.planes,
        "gradient_ffts_per_plane": gradient_ms / fft_ms / size.planes,
        "forward_over_floor": forward_ms / fft_ms / floor,
        "gradient_over_floor": gradient_ms / fft_ms / floor_gradient,
        "memory_mb": found_mb,
    }


def field_costs(size: Size, device_name: str = "cpu") -> dict[str, Any]:
    """Time the evaluation of a field as a reconstruction of this size has it."""
    device = torch.device(device_name)
    grid = grid_of(size, resonant=False)
    field = NeuralField(design_field(grid, OPTICS.medium_index, 0.02)).to(device)
    x_um, y_um, z_um = (torch.as_tensor(axis, device=device) for axis in grid.axes_um)
    (left, top, first), (right, bottom, last) = grid.bounds_um.tolist()
    u = (torch.arange(SLICE, device=device, dtype=torch.float64) + 0.5) / SLICE
    slice_x, slice_y = left + u * (right - left), top + u * (bottom - top)
    low, high = torch.tensor([left, top, first]), torch.tensor([right, bottom, last])
    random = torch.rand(POINTS, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    points = (low + random * (high - low)).to(device)
    before_mb = memory_mb(device)

    @torch.no_grad()
    def on_axes() -> None:
        field.on_axes(x_um, y_um, z_um)

    @torch.no_grad()
    def slice_to_host() -> None:
        field.on_axes(slice_x, slice_y, z_um[:1]).cpu()

    @torch.no_grad()
    def at_points() -> None:
        field.at_points(points)

    def with_gradient() -> None:
        torch.autograd.backward(field.on_axes(x_um, y_um, z_um).sum())

    count = size.planes * size.rows * size.columns
    return {
        "size": str(size),
        "on_axes_ns_per_point": 1e6 * median_ms(on_axes, device) / count,
        "gradient_ns_per_point": 1e6 * median_ms(with_gradient, device, 3) / count,
        "at_points_ns_per_point": 1e6 * median_ms(at_points, device) / POINTS,
        "slice_512_ms": median_ms(slice_to_host, device),
        "parameters_mb": sum(p.numel() for p in field.parameters()) * 4e-6,
        "memory_mb": memory_mb(device) - before_mb,
    }


def in_own_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call in a fresh process, so that its memory is the call's own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def growth(base: Size, device: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Measure each model and the field at half and twice the base's pixels, planes and LEDs.

    Returns
    -------
    rows, exponents
        Every measurement; and for each model and axis the power with which total time and memory grow.
    """
    axes: dict[str, list[Size]] = {
        "pixels": [
            replace(base, rows=int(base.rows * f), columns=int(base.columns * f)) for f in (0.5, 1.0, 2.0)
        ],
        "planes": [replace(base, planes=int(base.planes * f)) for f in (0.5, 1.0, 2.0)],
        "leds": [replace(base, leds=max(1, int(base.leds * f))) for f in (0.5, 1.0, 2.0)],
    }  # fmt: skip
    amounts = {"pixels": lambda s: s.rows * s.columns, "planes": lambda s: s.planes, "leds": lambda s: s.leds}
    rows: list[dict[str, Any]] = []
    exponents: list[dict[str, Any]] = []
    for name in MODELS:
        for axis, sizes in axes.items():
            found = [in_own_process(model_costs, name, size, device) for size in sizes]
            if found[0] is None:
                break
            rows += [{"axis": axis, **row} for row in found]
            amount = np.log([amounts[axis](size) for size in sizes])
            exponent: dict[str, Any] = {"model": name, "axis": axis}
            for key, of in (("forward", "forward_ms"), ("gradient", "gradient_ms"), ("memory", "memory_mb")):
                leds = [1 if of == "memory_mb" else size.leds for size in sizes]
                totals = [max(row[of] * count, 1e-6) for row, count in zip(found, leds, strict=True)]
                exponent[f"{key}_exponent"] = float(np.polyfit(amount, np.log(totals), 1)[0])
            exponents.append(exponent)
    return rows, exponents
