"""How a method's result grows with time, with the time of the scoring left out.

A method is a generator: each `next` is a portion of its work and is timed; what it yields makes a snapshot of the
result so far. Snapshots are taken now and then, kept, and scored when the method has ended.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from recon.forward.model import pattern_images
from tests.benchmarks.beads import bead_report
from tests.benchmarks.machine import memory_mb

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from recon.forward.model import ForwardModel
    from recon.grid import VolumeGrid
    from tests.benchmarks.problem import Problem

FIRST_INTERVAL_S = 0.25
GROWTH = 0.06
"""Snapshots are taken this fraction of the elapsed time apart."""


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A result that later work does not change.

    Attributes
    ----------
    dn_on
        Depths (Z,) in micrometres -> dn on the capture's pixels, (Z, H, W).
    held_out
        Predict the held-out images, (T, H, W); NaN where the model cannot.
    note
        What should be told about the run so far.
    """

    dn_on: Callable[[NDArray[np.float64]], NDArray[np.float32]]
    held_out: Callable[[], NDArray[np.float32]]
    note: dict[str, Any] = field(default_factory=dict)


Method = Iterator[Callable[[], Snapshot]]


def snapshot_of_volume(
    problem: Problem, index_zyx: Tensor, grid: VolumeGrid, model: ForwardModel, note: dict[str, Any] | None = None
) -> Snapshot:
    """Keep a volume on a grid, dn + i kappa (Z, H, W), whose images a model predicts."""
    kept = index_zyx.detach().to("cpu", copy=True)  # memory on the device is the method's

    def dn_on(z_um: NDArray[np.float64]) -> NDArray[np.float32]:
        at = np.clip((z_um - grid.z_first_um) / grid.dz_um, 0, grid.shape_zyx[0] - 1)
        below = np.clip(at.astype(int), 0, grid.shape_zyx[0] - 2)
        share = (at - below).astype(np.float32)[:, None, None]
        dn = kept.real.numpy()
        planes: NDArray[np.float32] = (1 - share) * dn[below] + share * dn[below + 1]
        return planes

    def held_out() -> NDArray[np.float32]:
        brightness_pl = problem.brightness(problem.held_out_p)
        known_p = ~((brightness_pl > 0) & ~model.usable_leds()).any(1)
        shape = (len(known_p), *grid.shape_zyx[1:])
        images = np.full(shape, np.nan, np.float32)
        volume = kept.to(problem.device)
        with torch.no_grad():
            for row in torch.nonzero(known_p)[:, 0].tolist():  # one at a time: memory is the method's, not the score's
                images[row] = pattern_images(model, volume, brightness_pl[row : row + 1])[0].cpu().numpy()
        return images

    return Snapshot(dn_on, held_out, note or {})


def synchronise(device: torch.device) -> None:
    """Wait until the device has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def record(problem: Problem, method: Method, max_seconds: float, growth: float = GROWTH) -> list[dict[str, Any]]:
    """Let a method work, and score its snapshots.

    Returns
    -------
    list
        Scores of each snapshot with its `seconds`, in order; the last is what the method handed over, with `peak_mb`
        (most memory while it worked) and, of a capture of spheres, `beads`.
    """
    kept: list[tuple[float, Snapshot]] = []
    seconds, due = 0.0, 0.0
    make: Callable[[], Snapshot] | None = None
    while True:
        synchronise(problem.device)
        start_s = time.perf_counter()
        newer = next(method, None)
        synchronise(problem.device)
        seconds += time.perf_counter() - start_s
        if newer is None:
            break
        make = newer
        if seconds >= due:
            kept.append((seconds, make()))
            due = seconds + max(FIRST_INTERVAL_S, growth * seconds)
            make = None
        if seconds >= max_seconds:
            break
    if make is not None:
        kept.append((seconds, make()))
    peak_mb = memory_mb(problem.device)
    points: list[dict[str, Any]] = []
    dn_zyx = None
    for when, snapshot in kept:
        dn_zyx = snapshot.dn_on(problem.truth.z_um) if problem.truth is not None else None
        points.append({"seconds": when, **problem.scores(dn_zyx, snapshot.held_out()), **snapshot.note})
    points[-1]["peak_mb"] = peak_mb
    if problem.has_spheres and problem.truth is not None and dn_zyx is not None:
        points[-1]["beads"] = bead_report(dn_zyx, problem.truth, problem.header.optics.pixel_um)
    return points


def best_point(points: list[dict[str, Any]]) -> dict[str, Any]:
    """Choose the snapshot that a stop at the best moment would have given: by the truth, else by the held-out LEDs."""
    return max(points, key=lambda p: p.get("psnr_db", -p.get("held_out", math.inf)))


def seconds_to(points: list[dict[str, Any]], key: str, level: float) -> float | None:
    """When a score first was at least as good as a level: `psnr_db` at or above it, `held_out` at or below."""
    for point in points:
        value = point.get(key)
        if value is not None and (value >= level if key == "psnr_db" else value <= level):
            return float(point["seconds"])
    return None
