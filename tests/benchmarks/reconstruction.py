"""How good and how fast the reconstruction is: one command, a table, and a JSON file beside it.

    python -m tests.benchmarks.reconstruction [CAPTURE ...] [--max-seconds 60] [--out benchmark.json]

Each capture is reconstructed by the closed form (clipped at 0) and by the field through each forward model, one after
the other on the same machine. Simulated captures carry their truth: dn is compared with it over its own voxels.
Without captures, those of ../shared/data are taken. Timed as well: a slice of 512 x 512 points, and the prediction of
one image with its gradient.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import recon.messages  # before torch: importing recon sets how its threads wait

import torch  # isort: skip

from acquisition.capture import read_capture, read_truth
from recon.field_file import write_field
from recon.forward.model import build_model
from recon.grid import choose_grid, default_depths_um
from recon.measurement import Measurement, bright_field_patterns
from recon.quality import correlation, psnr_db
from recon.reconstruct import reconstruct
from recon.tikhonov import solve_tikhonov

if TYPE_CHECKING:
    from recon.result import Field

MODELS = ("born", "ssnp")
COLUMNS = ("capture", "method", "seconds", "first_s", "psnr_db", "correlation", "held_out", "steps", "file_mb")


def closed_form(path: Path) -> dict[str, Any]:
    """The closed form on all bright-field patterns, clipped at zero, interpolated to the truth's planes."""
    capture, truth = read_capture(path), read_truth(path)
    header = capture.header
    measurement = Measurement(header, capture.dark_yx, capture.background_pyx)
    usable = set(bright_field_patterns(header).tolist())
    for pattern, image in zip(capture.pattern_n.tolist(), capture.images_nyx, strict=True):
        if pattern in usable:
            measurement.add(pattern, image)
    images = measurement.images()
    depths = header.sample_z_um or default_depths_um(header.image_shape, header.optics)
    grid = choose_grid(header.image_shape, header.optics, depths)
    brightness = torch.from_numpy(header.patterns_pl)[images.pattern_p]
    start_s = time.perf_counter()
    led_na = torch.from_numpy(header.led_na_l2)
    index = solve_tikhonov(torch.from_numpy(images.intensity_pyx) - 1.0, brightness, led_na, grid, header.optics)
    row: dict[str, Any] = {"method": "closed form", "seconds": time.perf_counter() - start_s}
    if truth is not None:
        at = np.clip((truth.z_um - grid.z_first_um) / grid.dz_um, 0, grid.shape_zyx[0] - 1)
        below = np.minimum(at.astype(int), grid.shape_zyx[0] - 2)
        share = (at - below)[:, None, None]
        dn = index.real.numpy()
        dn = np.maximum((1 - share) * dn[below] + share * dn[below + 1], 0)
        row.update(psnr_db=psnr_db(dn, truth.dn_zyx), correlation=correlation(dn, truth.dn_zyx))
    return row


def fitted(path: Path, model: str, max_seconds: float, folder: Path) -> tuple[dict[str, Any], Field]:
    """The field through one forward model."""
    first: list[float] = []
    start_s = time.perf_counter()

    def note(event: object) -> None:
        if type(event).__name__ == "FieldReady":
            first.append(time.perf_counter() - start_s)

    field = reconstruct(str(path), recon.messages.FitSettings(model=model, max_seconds=max_seconds), note)
    seconds = time.perf_counter() - start_s
    row: dict[str, Any] = {
        "method": model,
        "seconds": seconds,
        "first_s": first[0],
        "held_out": field.history.held_out_error,
        "steps": field.history.steps,
        "file_mb": write_field(folder / f"{path.stem}.{model}.field.h5", field) / 1e6,
    }
    truth = read_truth(path)
    if truth is not None:
        _, rows, columns = truth.dn_zyx.shape
        pixel_um = field.grid.pixel_um
        corner = (-(columns // 2) - 0.5) * pixel_um, (-(rows // 2) - 0.5) * pixel_um
        edges = (columns * pixel_um, 0, 0), (0, rows * pixel_um, 0)
        dn = (
            np.stack([field.slice((*corner, z), *edges, (rows, columns)).real for z in truth.z_um]) - field.medium_index
        )
        row.update(psnr_db=psnr_db(dn, truth.dn_zyx), correlation=correlation(dn, truth.dn_zyx))
    return row, field


def median_ms(work: Any, repeats: int = 7) -> float:
    """Median duration of a call, after one that is not counted."""
    work()
    times = []
    for _ in range(repeats):
        start_s = time.perf_counter()
        work()
        times.append(time.perf_counter() - start_s)
    return 1e3 * float(np.median(times))


def costs(field: Field) -> dict[str, float]:
    """A slice, and an image with its gradient relative to the FFTs of one of the same size."""
    lower, upper = field.bounds
    edges = (upper[0] - lower[0], 0, 0), (0, upper[1] - lower[1], 0)
    found = {"slice_512_ms": median_ms(lambda: field.slice((*lower[:2], 0.0), *edges, (512, 512)))}
    index = field.on_grid()
    plane = torch.randn(index.shape[1:], dtype=torch.complex64)
    found["fft_ms"] = median_ms(lambda: torch.fft.fft2(plane), 31)
    na = torch.zeros(1, 2, dtype=torch.float64)
    for name in MODELS:
        model = build_model(name, field.grid, field.optics, na)

        def predict(model: Any = model) -> None:
            leaf = index.clone().requires_grad_()
            model.images(leaf, torch.tensor([0])).sum().backward()

        found[f"{name}_image_and_gradient_ms"] = median_ms(predict, 5)
        found[f"{name}_in_ffts"] = found[f"{name}_image_and_gradient_ms"] / found["fft_ms"]
    return found


def show(rows: list[dict[str, Any]]) -> None:
    """Print rows as a table."""
    texts = [
        [f"{v:.3g}" if isinstance(v := row.get(c), float) else str("" if v is None else v) for c in COLUMNS]
        for row in rows
    ]
    widths = [max(len(text[k]) for text in [list(COLUMNS), *texts]) for k in range(len(COLUMNS))]
    for text in [list(COLUMNS), *texts]:
        sys.stdout.write("  ".join(part.ljust(width) for part, width in zip(text, widths, strict=True)) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("captures", nargs="*", type=Path)
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    parser.add_argument("--max-seconds", type=float, default=60.0)
    parser.add_argument("--out", type=Path, default=Path("benchmark.json"))
    options = parser.parse_args()
    shared = Path(os.environ.get("FIELDSCOPE_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
    captures = options.captures or sorted((shared / "cases").glob("*.h5"))
    rows, timing = [], {}
    for path in captures:
        results = [closed_form(path)]
        for model in options.models:
            row, field = fitted(path, model, options.max_seconds, options.out.parent)
            results.append(row)
            timing[path.stem] = costs(field)
        rows += [{"capture": path.stem, **row} for row in results]
        show(rows[-len(results) :])
    machine = {"processor": platform.processor() or platform.machine(), "threads": torch.get_num_threads(),
               "torch": torch.__version__}  # fmt: skip
    options.out.write_text(json.dumps({"machine": machine, "rows": rows, "costs": timing}, indent=2) + "\n")
    sys.stdout.write("\n" + json.dumps(timing, indent=2) + f"\nwritten: {options.out}\n")


if __name__ == "__main__":
    main()
