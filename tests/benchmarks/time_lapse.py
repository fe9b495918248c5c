"""What a fit gains by beginning from the field of the time point before: time and steps to the same held-out error.

    python -m tests.benchmarks.time_lapse [--pixels 96] [--drifts 0,0.02,0.05,0.1,0.3] [--dn 0.02] [--model beam]
                                             [--out FILE.json]

Cells wander by so many micrometres (root mean square, along each of x and y) from one time point to the next, and grow
by a per cent; the images are by the simulator's own optics, with noise of their own. Each fit runs to its end, once
from the closed form and once from the field of the time point before. The error to reach is within 2 % of that at which
the cold fit ended; time counts from the last frame, so that everything before the first step is in it.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from acquisition.simulated.phantoms import Phantom, make_phantom
from recon import messages
from recon.field_file import write_field
from recon.start import reconstruct
from tests.benchmarks.machine import describe_machine
from tests.benchmarks.table import table
from tests.recon.simulate import DEPTH_UM, SHORT_WAVES, photograph, rings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recon.messages import Event

LED_NA = rings((1, 0.0), (6, 0.2), (8, 0.4), (12, 0.6))
GROWTH = 0.01
WITHIN = 1.02
COLUMNS = (
    "drift_um", "from_before", "start_error_cold", "start_error_warm", "error_cold", "error_warm", "steps_cold",
    "steps_warm", "steps_to_cold", "steps_to_warm", "s_to_cold", "s_to_warm", "factor",
)  # fmt: skip


def moved(phantom: Phantom, drift_um: float, seed: int) -> Phantom:
    """The same cells a time point later."""
    random = np.random.default_rng(seed)
    bodies = []
    for body in phantom.bodies:
        step_um = drift_um * random.normal(size=3) * (1.0, 1.0, 0.3)
        grown = body.semi_axes_um * (1.0 + GROWTH * (drift_um > 0))
        bodies.append(replace(body, centre_um=body.centre_um + step_um, semi_axes_um=grown))
    return Phantom("moved", tuple(bodies))


def fit(capture: Path, field: Path, settings: messages.FitSettings) -> tuple[list[tuple[float, float]], Any, str]:
    """Fit to the end; (seconds, held-out error) after each step, the history and what was told."""
    began_s = time.perf_counter()
    course: list[tuple[float, float]] = []
    told: list[str] = []

    def listen(event: Event) -> None:
        if isinstance(event, messages.FitProgress):
            error = math.inf if event.held_out_error is None else event.held_out_error
            course.append((time.perf_counter() - began_s, error))
        elif isinstance(event, messages.Notice):
            told.append(event.text)

    made = reconstruct(str(capture), settings, listen)
    write_field(field, made)
    return course, made.history, " ".join(told)


def reached(course: list[tuple[float, float]], error: float) -> tuple[int | None, float | None]:
    """Step and second at which an error was first reached."""
    for step, (seconds, found) in enumerate(course, 1):
        if found <= error:
            return step, seconds
    return None, None


def measure(
    folder: Path, pixels: int, dn: float, drift_um: float, settings: messages.FitSettings, seed: int
) -> dict[str, Any]:
    """Compare both ways to begin at the second of two time points."""
    size_um = (pixels * SHORT_WAVES.pixel_um, pixels * SHORT_WAVES.pixel_um)
    before = make_phantom("cells", seed, dn, size_um, DEPTH_UM)
    fields: dict[str, Path] = {}
    courses: dict[str, Any] = {}
    for number, (name, phantom) in enumerate((("before", before), ("now", moved(before, drift_um, seed + 1)))):
        shot = photograph(phantom, led_na_l2=LED_NA, shape=(pixels, pixels), seed=seed + 10 + number)
        shot.write(folder / f"{name}.h5")
    for way, capture in (("before", "before"), ("cold", "now"), ("warm", "now")):
        fields[way] = folder / f"{way}.field.h5"
        start_from = str(fields["before"]) if way == "warm" else ""
        courses[way] = fit(folder / f"{capture}.h5", fields[way], replace(settings, start_from=start_from))
    (cold, cold_history, _), (warm, warm_history, told) = courses["cold"], courses["warm"]
    goal = WITHIN * cold_history.held_out_error
    steps_cold, s_cold = reached(cold, goal)
    steps_warm, s_warm = reached(warm, goal)
    return {
        "drift_um": drift_um,
        "from_before": "yes" if warm_history.started_from else "no",
        "start_error_cold": cold[0][1],
        "start_error_warm": warm[0][1],
        "error_cold": cold_history.held_out_error,
        "error_warm": warm_history.held_out_error,
        "steps_cold": cold_history.steps,
        "steps_warm": warm_history.steps,
        "steps_to_cold": steps_cold,
        "steps_to_warm": steps_warm,
        "s_to_cold": s_cold,
        "s_to_warm": s_warm,
        "factor": None if s_cold is None or s_warm is None else s_cold / s_warm,
        "told": told,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pixels", type=int, default=96)
    parser.add_argument("--drifts", default="0,0.02,0.05,0.1,0.3")
    parser.add_argument("--dn", type=float, default=0.02)
    parser.add_argument("--model", choices=("born", "beam", "ssnp"), default="beam")
    parser.add_argument("--max-seconds", type=float, default=300.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args(arguments)
    settings = messages.FitSettings(model=chosen.model, max_seconds=chosen.max_seconds)
    rows = []
    for drift in chosen.drifts.split(","):
        with TemporaryDirectory() as folder:
            rows.append(measure(Path(folder), chosen.pixels, chosen.dn, float(drift), settings, chosen.seed))
        print(table(rows[-1:], COLUMNS), flush=True)
    print(table(rows, COLUMNS))
    if chosen.out is not None:
        written = {
            "machine": describe_machine("cpu"),
            "pixels": chosen.pixels,
            "dn": chosen.dn,
            "model": chosen.model,
            "rows": rows,
        }
        chosen.out.write_text(json.dumps(written, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
