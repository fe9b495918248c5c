"""How fast the volume is painted in three dimensions: one command, a table, and a JSON file.

    python -m tests.benchmarks.volume FIELD [--threads 2] [--device cpu] [--out volume.json]

For each kind of picture: pictures a second while the camera spins (256 pixels wide, from the coarse copy of the field),
and seconds of one picture at rest at a quarter, half and all of the resolution of a view of 960 x 720 pixels, of the
whole box and at six times the zoom. On a machine with other work on it `cpu` is the figure to go by. `copy_ms` is what
the coarse copy takes after each change of the field.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from recon.field_file import read_field
from recon.render import Previews, render
from recon.scene import Camera, Opacity, Scene, camera_of_box
from recon.side_by_side import use_threads
from tests.benchmarks.costs import median_ms
from tests.benchmarks.machine import describe_machine
from tests.benchmarks.table import table

if TYPE_CHECKING:
    from recon.box import Box

MODES = ("composite", "surface", "mip", "minip", "phase")
VIEW = (720, 960)
MOVING = (192, 256)
FRAMES = 10
COLUMNS = ("mode", "zoom", "moving_fps", "moving_cpu_ms", "quarter_s", "half_s", "whole_s", "whole_cpu_s")


def scene_of(box: Box, mode: str, zoom: float) -> Scene:
    """Look obliquely at a box, with curve and surface by the values in it."""
    dn = box.volume((16, 64, 64)).real - box.medium_index
    top = float(np.percentile(dn, 99.8))
    camera = camera_of_box(box.bounds, VIEW, Camera().spun(0.5).orbited((1.0, 0.0, 0.0), -1.08).rotation)
    layer_um = float((box.bounds[1] - box.bounds[0]).min()) / 20
    opacity = Opacity(((0.2 * top, 0.0), (0.45 * top, 0.12), (0.75 * top, 0.4), (top, 0.8)), layer_um)
    return Scene(camera.zoomed(zoom), mode, opacity, (0.0, top), surface_dn=0.45 * top)  # type: ignore[arg-type]


def at_shape(scene: Scene, shape: tuple[int, int]) -> Scene:
    """Show the same part of the sample on another number of pixels."""
    scale = VIEW[1] / shape[1]
    return replace(scene, camera=replace(scene.camera, um_per_px=scene.camera.um_per_px * scale))


def measure(box: Box, mode: str, zoom: float, previews: Previews) -> dict[str, Any]:
    """Time one kind of picture."""
    scene = scene_of(box, mode, zoom)
    moving = at_shape(scene, MOVING)
    cameras = [moving.camera.spun(2 * math.pi * k / FRAMES) for k in range(FRAMES)]

    def spin() -> None:
        for camera in cameras:
            render(box, replace(moving, camera=camera), MOVING, "moving", previews=previews)

    row: dict[str, Any] = {"mode": mode, "zoom": zoom, "moving_fps": 1e3 * FRAMES / median_ms(spin, box.device, 1)}
    busy_s = time.process_time()
    spin()
    row["moving_cpu_ms"] = 1e3 * (time.process_time() - busy_s) / FRAMES
    for name, scale in (("quarter", 4), ("half", 2), ("whole", 1)):
        shape = (VIEW[0] // scale, VIEW[1] // scale)
        start_s, busy_s = time.perf_counter(), time.process_time()
        render(box, at_shape(scene, shape), shape, previews=previews)
        row[f"{name}_s"], row["whole_cpu_s"] = time.perf_counter() - start_s, time.process_time() - busy_s
    return row


def main(arguments: list[str] | None = None) -> None:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("field", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--modes", nargs="+", default=list(MODES), choices=MODES)
    parser.add_argument("--out", type=Path, default=Path("volume.json"))
    options = parser.parse_args(arguments)
    use_threads(options.threads)
    box = read_field(options.field, torch.device(options.device))
    result: dict[str, Any] = {"machine": describe_machine(options.device), "shape_zyx": list(box.shape_zyx)}
    copy_ms = median_ms(lambda: Previews().of(box, 0, lambda: None), box.device, 3)
    result["copy_ms"] = copy_ms
    previews = Previews()
    rows = []
    for zoom in (1.0, 6.0):
        for mode in options.modes:
            rows.append(measure(box, mode, zoom, previews))
            sys.stderr.write(f"{table(rows[-1:], COLUMNS)}\n")
    result["rows"] = rows
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    sys.stdout.write(f"{table(rows, COLUMNS)}\n\ncopy_ms {copy_ms:.0f}\nwritten: {options.out}\n")


if __name__ == "__main__":
    main()
