"""What a scan costs beside the camera, in each way in which LEDs and camera are led: one command, a table, JSON.

    python -m tests.benchmarks.scan_rate [--sizes 256 1024] [--exposures-ms 2 10 30] [--frames 200] [--rounds 3]
                                         [--out scan_rate.json]

The simulated microscope with pixels that cost nothing, so that time is that of camera (DemoCamera's), board (emulated,
behind its serial port) and program. Each scan goes into a file. Bare is, on the same devices, in turns with the scans:

    software       LED command and its reply, settling, snap, one after the other, nothing stored
    the others     the camera alone, a sequence as fast as it can

    bare_ms, scan_ms    a frame: median of the rounds, in each the median of its frames
    mean_ms             a frame of a scan on average, what waits for the disk included
    added_ms            what a frame of a scan takes longer
    rate                bare over scan
    begin_ms            from the start of the scan to its first frame: file, pattern list, arming
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np

from acquisition.instrument import Instrument, open_instrument
from acquisition.plan import ExposurePlan, Pace
from acquisition.profile import parse_profile
from acquisition.scan import FinishReason, Scan
from acquisition.simulated.microscope import SimulatedMicroscope
from tests.benchmarks.machine import processor
from tests.benchmarks.matching import LEDS, PROFILE
from tests.benchmarks.table import table

if TYPE_CHECKING:
    from collections.abc import Callable

COLUMNS = ("way", "pixels", "exposure_ms", "bare_ms", "scan_ms", "mean_ms", "added_ms", "rate", "begin_ms")
SETTLE_MS = 2.0


def bare_software(instrument: Instrument, plan: ExposurePlan, lap: Callable[[], None]) -> None:
    for pattern in plan.order_n.tolist():
        instrument.leds.show(plan.patterns_pl[pattern])
        time.sleep(plan.settle_ms / 1000)
        instrument.camera.snap()
        lap()
    instrument.leds.off()


def bare_sequence(instrument: Instrument, plan: ExposurePlan, lap: Callable[[], None]) -> None:
    camera = instrument.camera
    camera.start_sequence(plan.frame_count)
    for _ in range(plan.frame_count):
        camera.next_frame(10.0)
        lap()
    camera.stop_sequence()


def scanned(instrument: Instrument, plan: ExposurePlan, lap: Callable[[], None]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        header = instrument.capture_header(plan)
        scan = Scan(instrument, plan, Path(folder) / "a.h5", header, on_frame=lambda _: lap())
        scan.start()
        status = scan.wait()
    if status.reason is not FinishReason.COMPLETE:
        raise RuntimeError(status.message)


def timed(
    take: Callable[[Instrument, ExposurePlan, Callable[[], None]], None], instrument: Instrument, plan: ExposurePlan
) -> tuple[float, float, float]:
    """Median and mean time of a frame, and time to the first one, in milliseconds."""
    began, laps = time.perf_counter(), list[float]()
    take(instrument, plan, lambda: laps.append(time.perf_counter()))
    frame_ms = 1000 * np.diff(laps)
    return float(np.median(frame_ms)), float(frame_ms.mean()), 1000 * (laps[0] - began)


def measure(pixels: int, exposures_ms: list[float], frames: int, rounds: int) -> list[dict[str, Any]]:
    """All rows of one image size."""
    rows: list[dict[str, Any]] = []
    text = PROFILE.format(board=f"settle_ms = {SETTLE_MS}").replace("image_px = 32", f"image_px = {pixels}")
    text = text.replace("buffer_mb = 16", "buffer_mb = 512")
    blank_yx = np.full((pixels, pixels), 100, np.uint16)
    with (
        mock.patch.object(SimulatedMicroscope, "counts", lambda self, light_l, exposure_s: blank_yx),
        mock.patch.object(Instrument, "truth", lambda self: None),
    ):
        instrument = open_instrument(parse_profile(text, "scan_rate.toml"))
        try:
            for exposure_ms in exposures_ms:
                plan = ExposurePlan(
                    "each LED", np.eye(LEDS, dtype=np.float32), np.arange(frames, dtype=np.int32) % LEDS,
                    np.full(LEDS, exposure_ms), SETTLE_MS,
                )  # fmt: skip
                instrument.camera.set_exposure_ms(exposure_ms)
                for pace in Pace:
                    alone = bare_software if pace is Pace.SOFTWARE else bare_sequence
                    paced = replace(plan, pace=pace)
                    found = [
                        (timed(alone, instrument, paced), timed(scanned, instrument, paced)) for _ in range(rounds)
                    ]
                    rows.append(
                        {
                            "way": pace.value,
                            "pixels": pixels,
                            "exposure_ms": exposure_ms,
                            "bare_ms": statistics.median(bare[0] for bare, _ in found),
                            "scan_ms": statistics.median(scan[0] for _, scan in found),
                            "mean_ms": statistics.median(scan[1] for _, scan in found),
                            "added_ms": statistics.median(scan[0] - bare[0] for bare, scan in found),
                            "rate": statistics.median(bare[0] / scan[0] for bare, scan in found),
                            "begin_ms": statistics.median(scan[2] for _, scan in found),
                        }
                    )
        finally:
            instrument.close()
    return rows


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", type=int, default=[256, 1024], help="pixels along each side")
    parser.add_argument("--exposures-ms", nargs="+", type=float, default=[2.0, 10.0, 30.0])
    parser.add_argument("--frames", type=int, default=200, help="of each scan")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each")
    parser.add_argument("--out", type=Path, default=Path("scan_rate.json"))
    chosen = parser.parse_args(arguments)
    rows = [
        row for pixels in chosen.sizes for row in measure(pixels, chosen.exposures_ms, chosen.frames, chosen.rounds)
    ]
    print(table(rows, COLUMNS))
    chosen.out.write_text(json.dumps({"processor": processor(), "rows": rows}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
