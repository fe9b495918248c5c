"""How good and how fast the reconstruction is, beside other methods: one command, a table, and a JSON file.

    python -m tests.benchmarks.reconstruction [CAPTURE ...] [--methods joint linear-tv field-ssnp ...]
                                              [--max-seconds 300] [--tune] [--device cuda] [--out benchmark.json]
                                              [--parts comparison costs growth] [--size 512x512x41x16]
    python -m tests.benchmarks.reconstruction --synthetic 1024x1024x41x89 --device cuda --methods field-born field-ssnp
    python -m tests.benchmarks.reconstruction --list

All methods get the same images of a capture, without the same held-out LEDs, on the same machine, one after the other,
each in a process of its own. Without captures, those of ../shared/data are taken. Columns:

    first_s                         seconds until there was a result at all
    seconds, psnr_db, held_out      what the method handed over when it ended (or its time was over), and when
    predicted                       how many held-out images that error is over: a linear model has none in dark field
    best_db, best_held_out          at its best moment, which nobody knows at a bench
    22 dB, ...                      seconds until a quality was first reached; 0.3: until that held-out error was
    memory_mb                       most memory beyond what was there before it began (GPU: on the GPU)

Time includes reading the images for Fieldscope's own methods alone, and never the scoring. `--tune` chooses parameters
of the baselines with the truth known (without truth: on the held-out LEDs) and counts the time of the best set only.
Spheres are listed one by one. The part `costs` times forward models and fields against the FFT (see `costs.py`), the
part `growth` how time and memory grow with pixels, planes and LEDs. Needs numpy, h5py and torch only, as recon does.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

import torch

from tests.benchmarks.costs import MODELS, field_costs, growth, in_own_process, model_costs
from tests.benchmarks.machine import describe_machine, memory_mb
from tests.benchmarks.methods import DEFAULT_METHODS, METHODS, is_own, run_method
from tests.benchmarks.problem import led_choices, load_problem
from tests.benchmarks.synthetic import Size, write_synthetic
from tests.benchmarks.table import cell, table
from tests.benchmarks.trajectory import GROWTH, seconds_to

COLUMNS = (
    "capture", "leds", "method", "first_s", "seconds", "psnr_db", "correlation", "held_out", "predicted", "best_db",
    "best_held_out", "best_at_s", "steps", "memory_mb",
)  # fmt: skip
BEAD_COLUMNS = ("capture", "leds", "method", "radius_um", "dn", "dn_ratio", "width_error_pixels", "z_um")
COST_COLUMNS = (
    "model", "size", "fft_ms", "forward_ms", "gradient_ms", "forward_ffts_per_plane", "gradient_ffts_per_plane",
    "forward_over_floor", "gradient_over_floor", "memory_mb",
)  # fmt: skip
FIELD_COLUMNS = (
    "size", "on_axes_ns_per_point", "gradient_ns_per_point", "at_points_ns_per_point", "slice_512_ms", "parameters_mb",
    "memory_mb",
)  # fmt: skip
GROWTH_COLUMNS = ("model", "axis", "forward_exponent", "gradient_exponent", "memory_exponent")


def measure(path: Path, leds: str, name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Run one method on one capture, and add what concerns the process."""
    device = torch.device(options.device)
    problem = load_problem(path, device, leds, tuple(options.hold_out), options.rim)
    warm_up(device)
    before_mb = memory_mb(device)
    row = run_method(problem, name, options.max_seconds, options.tune, options.growth)
    return {"capture": path.stem, "leds": leds, "memory_mb": row["final"]["peak_mb"] - before_mb, **row}


def warm_up(device: torch.device) -> None:
    """Load what libraries load on first use: a GPU's context, kernels for FFTs and solves, the optimiser's modules."""
    square = torch.fft.fft2(torch.eye(64, dtype=torch.complex64, device=device).expand(4, 64, 64))
    normal = square @ square.mH + 64.0 * torch.eye(64, device=device)
    torch.cholesky_inverse(torch.linalg.cholesky(normal)).abs().sum().item()
    leaf = torch.ones(64, 64, device=device, requires_grad=True)
    optimiser = torch.optim.Adam([leaf], lr=0.1)
    torch.autograd.backward(torch.fft.ifft2(torch.fft.fft2(leaf)).abs().square().sum())
    optimiser.step()


def flat(row: dict[str, Any], levels_db: list[float], levels_held_out: list[float]) -> dict[str, Any]:
    """Put a result into the columns of the table."""
    final, best = row["final"], row["best"]
    found = {key: row[key] for key in ("capture", "leds", "method", "memory_mb")}
    found["first_s"] = row["points"][0]["seconds"]
    found |= {key: final.get(key) for key in ("seconds", "psnr_db", "correlation", "held_out", "predicted", "steps")}
    found |= {"best_db": best.get("psnr_db"), "best_held_out": best.get("held_out"), "best_at_s": best["seconds"]}
    found |= {f"{level:g} dB": seconds_to(row["points"], "psnr_db", level) for level in levels_db}
    found |= {f"{level:g}": seconds_to(row["points"], "held_out", level) for level in levels_held_out}
    return found


def remarks(rows: list[dict[str, Any]]) -> list[str]:
    """Tell what must be known to read the table."""
    texts = [f"{name}: {METHODS[name].note}" for name in dict.fromkeys(row["method"] for row in rows)]
    for row in rows:
        if row["tried"] > 1:
            texts.append(
                f"{row['capture']}, {row['leds']} LEDs, {row['method']}: best of {row['tried']} sets of parameters,"
                f" {row['parameters']}: optimistic"
            )
        steps, published = row["final"].get("steps"), row["final"].get("published_steps")
        if published and steps < published:
            hours = row["final"]["seconds"] / steps * published / 3600.0
            texts.append(
                f"{row['capture']}, {row['method']}: {steps} of {published} steps done; all would take {hours:.1f} h"
            )
    return texts


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("captures", nargs="*", type=Path)
    add("--methods", nargs="+", default=list(DEFAULT_METHODS), choices=list(METHODS), metavar="METHOD")
    add("--list", action="store_true", help="name the methods and end")
    add("--parts", nargs="+", default=["comparison", "costs"], choices=("comparison", "costs", "growth"))
    add("--leds", nargs="+", choices=("nominal", "calibrated", "true"), help="directions to believe")
    add("--max-seconds", type=float, default=300.0, help="of each method")
    add("--tune", action="store_true", help="choose the baselines' parameters with the truth known")
    add("--hold-out", nargs="+", type=int, default=[], help="patterns that no method sees")
    add("--rim", type=int, help="pixels along the edges that the held-out error leaves out")
    add("--levels-db", nargs="*", type=float, default=[22.0, 24.0, 26.0])
    add("--levels-held-out", nargs="*", type=float, default=[0.5, 0.4, 0.3, 0.2])
    add("--growth", type=float, default=GROWTH, help="share of the elapsed time between two scores")
    add("--synthetic", type=Size.parse, help="a capture of this size, for timing; see synthetic.py")
    add("--size", type=Size.parse, help="rows x columns x planes x LEDs of the parts costs and growth")
    add("--device", default="cpu", choices=("cpu", "cuda"))
    add("--in-process", action="store_true", help="no process for each method: starts at once, but memory adds up")
    add("--out", type=Path, default=Path("benchmark.json"))
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Run, print, write."""
    options = parse(arguments)
    if options.list:
        sys.stdout.write("".join(f"{name:20} {entry.note}\n" for name, entry in METHODS.items()))
        return
    result: dict[str, Any] = {"machine": in_own_process(describe_machine, options.device)}
    if "comparison" in options.parts:
        compare(options, result)
    if "costs" in options.parts or "growth" in options.parts:
        measure_costs(options, result)
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    sys.stdout.write(f"\nwritten: {options.out}\n")


def choose_captures(options: argparse.Namespace) -> list[Path]:
    """Find the captures that were asked for."""
    captures = list(options.captures)
    if options.synthetic is not None:
        captures.append(in_own_process(write_synthetic, options.out.parent, options.synthetic, options.device))
    shared = Path(os.environ.get("FIELDSCOPE_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
    return captures or sorted((shared / "cases").glob("*.h5"))


def compare(options: argparse.Namespace, result: dict[str, Any]) -> None:
    """Run every method on every capture, print the table, and write what there is after each of them."""
    rows: list[dict[str, Any]] = []
    shown: list[dict[str, Any]] = []
    beads: list[dict[str, Any]] = []
    result |= {"rows": rows, "table": shown, "beads": beads}
    for path in choose_captures(options):
        for leds in options.leds or led_choices(path):
            for name in options.methods:
                if leds == "calibrated" and is_own(name) and options.leds is None:
                    continue  # Fieldscope calibrates by itself
                row = isolated(path, leds, name, options)
                rows.append(row)
                shown.append(flat(row, options.levels_db, options.levels_held_out))
                told = {key: row[key] for key in ("capture", "leds", "method")}
                beads += [{**told, **bead} for bead in row["final"].get("beads", ())]
                sys.stderr.write("  ".join(f"{key} {cell(shown[-1].get(key))}" for key in COLUMNS) + "\n")
                options.out.write_text(json.dumps(result, indent=1) + "\n")
    levels = [key for key in shown[0] if key.endswith(" dB") or key[0].isdigit()]
    parts = [table(shown, [*COLUMNS, *levels]), "\n".join(remarks(rows))]
    if beads:
        parts.append(table(beads, BEAD_COLUMNS))
    sys.stdout.write("\n\n".join(parts) + "\n")


def isolated(path: Path, leds: str, name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Measure in a fresh process, whose memory is then the method's own."""
    if options.in_process:
        return measure(path, leds, name, options)
    row: dict[str, Any] = in_own_process(measure, path, leds, name, options)
    return row


def measure_costs(options: argparse.Namespace, result: dict[str, Any]) -> None:
    """Time models and fields, and how they grow."""
    size = options.size or Size.parse("1024x1024x41x8" if options.device == "cuda" else "192x192x17x6")
    if "costs" in options.parts:
        models = [in_own_process(model_costs, name, size, options.device) for name in MODELS]
        result["models"] = [row for row in models if row is not None]
        result["field"] = in_own_process(field_costs, size, options.device)
        sys.stdout.write("\n" + table(result["models"], COST_COLUMNS) + "\n")
        sys.stdout.write("\n" + table([result["field"]], FIELD_COLUMNS) + "\n")
    if "growth" in options.parts:
        result["growth"], result["exponents"] = growth(size, options.device)
        sys.stdout.write("\n" + table(result["exponents"], GROWTH_COLUMNS) + "\n")


if __name__ == "__main__":
    main()
