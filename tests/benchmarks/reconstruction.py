"""How good and how fast the reconstruction is, beside other methods: one command, a table, and a JSON file.

    python -m tests.benchmarks.reconstruction [CAPTURE ...] [--methods joint linear-tv field-ssnp ...]
                                              [--max-seconds 300] [--tune] [--device cuda] [--out benchmark.json]
    python -m tests.benchmarks.reconstruction --list

All methods get the same images of a capture, without the same held-out LEDs, on the same machine, one after the other,
each in a process of its own. Without captures, those of ../shared/data are taken. Columns:

    seconds, psnr_db, held_out      what the method handed over when it ended (or its time was over), and when
    best_db, best_held_out          at its best moment, which nobody knows at a bench
    22 dB, ...                      seconds until a quality was first reached; 0.3: until that held-out error was
    memory_mb                       most memory beyond what was there before it began (GPU: on the GPU)

Time includes reading the images for Fieldscope's own methods alone, and never the scoring. `--tune` chooses parameters
of the baselines with the truth known (without truth: on the held-out LEDs) and counts the time of the best set only.
Costs of the forward models and of evaluating fields: `python -m tests.benchmarks.costs`.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import recon.messages  # noqa: F401  before torch: importing recon sets how its threads wait

import torch  # isort: skip

from tests.benchmarks.machine import describe_machine, memory_mb
from tests.benchmarks.methods import DEFAULT_METHODS, METHODS, run_method
from tests.benchmarks.problem import led_choices, load_problem
from tests.benchmarks.table import table
from tests.benchmarks.trajectory import GROWTH, seconds_to

COLUMNS = (
    "capture", "leds", "method", "seconds", "psnr_db", "correlation", "held_out", "best_db", "best_held_out",
    "best_at_s", "steps", "memory_mb",
)  # fmt: skip


def measure(path: Path, leds: str, name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Run one method on one capture, and add what concerns the process."""
    device = torch.device(options.device)
    problem = load_problem(path, device, leds, tuple(options.hold_out), options.rim)
    before_mb = memory_mb(device)
    row = run_method(problem, name, options.max_seconds, options.tune, options.growth)
    # Scores need memory too, but a volume or two of it: less than any of the methods.
    return {"capture": path.stem, "leds": leds, "memory_mb": memory_mb(device) - before_mb, **row}


def flat(row: dict[str, Any], levels_db: list[float], levels_held_out: list[float]) -> dict[str, Any]:
    """Put a result into the columns of the table."""
    final, best = row["final"], row["best"]
    found = {key: row[key] for key in ("capture", "leds", "method", "memory_mb")}
    found |= {key: final.get(key) for key in ("seconds", "psnr_db", "correlation", "held_out", "steps")}
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
    parser.add_argument("captures", nargs="*", type=Path)
    parser.add_argument("--methods", nargs="+", default=list(DEFAULT_METHODS), choices=list(METHODS), metavar="METHOD")
    parser.add_argument("--list", action="store_true", help="name the methods and end")
    parser.add_argument("--leds", nargs="+", choices=("nominal", "calibrated", "true"), help="directions to believe")
    parser.add_argument("--max-seconds", type=float, default=300.0, help="of each method")
    parser.add_argument("--tune", action="store_true", help="choose the baselines' parameters with the truth known")
    parser.add_argument("--hold-out", nargs="+", type=int, default=[], help="patterns that no method sees")
    parser.add_argument("--rim", type=int, help="pixels along the edges that the held-out error leaves out")
    parser.add_argument("--levels-db", nargs="*", type=float, default=[22.0, 24.0, 26.0])
    parser.add_argument("--levels-held-out", nargs="*", type=float, default=[0.5, 0.4, 0.3, 0.2])
    parser.add_argument("--growth", type=float, default=GROWTH, help="share of the elapsed time between two scores")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--in-process", action="store_true", help="no process for each: memory adds up, starts at once")
    parser.add_argument("--out", type=Path, default=Path("benchmark.json"))
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Run, print, write."""
    options = parse(arguments)
    if options.list:
        sys.stdout.write("".join(f"{name:20} {entry.note}\n" for name, entry in METHODS.items()))
        return
    shared = Path(os.environ.get("FIELDSCOPE_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
    captures = options.captures or sorted((shared / "cases").glob("*.h5"))
    rows: list[dict[str, Any]] = []
    shown: list[dict[str, Any]] = []
    for path in captures:
        for leds in options.leds or led_choices(path):
            for name in options.methods:
                rows.append(isolated(path, leds, name, options))
                shown.append(flat(rows[-1], options.levels_db, options.levels_held_out))
                sys.stderr.write(table(shown[-1:], COLUMNS) + "\n")
                result = {"machine": describe_machine(options.device), "rows": rows, "table": shown}
                options.out.write_text(json.dumps(result, indent=1) + "\n")  # nothing is lost when it is stopped
    levels = [key for key in shown[0] if key.endswith(" dB") or key[0].isdigit()]
    sys.stdout.write(table(shown, [*COLUMNS, *levels]) + "\n\n" + "\n".join(remarks(rows)) + "\n")
    sys.stdout.write(f"written: {options.out}\n")


def isolated(path: Path, leds: str, name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Measure in a fresh process, whose memory is then the method's own."""
    if options.in_process:
        return measure(path, leds, name, options)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measure, path, leds, name, options).result()


if __name__ == "__main__":
    main()
