"""How fast frames come through Fieldscope's camera, beside pymmcore itself: one command, a table, and a JSON file.

    python -m tests.benchmarks.camera_rate [--sizes 1024 2048] [--exposures-ms 1 10] [--seconds 2] [--rounds 3]
                                           [--out camera_rate.json]

Both read the same DemoCamera (16 bit, FastImage) of the same core in turns, so that a busy machine is busy for both.
Raw means: snapImage and getImage in a loop, or startSequenceAcquisition and popNextImage with an eager loop around it,
no thread, no limit on waiting, no check. Columns:

    raw_per_s, own_per_s    frames a second, median of the rounds
    ratio                   own over raw, median of the rounds
    added_ms                what a frame of ours takes beyond one of raw pymmcore
    over_exposure_ms        what a frame of ours takes beyond its exposure: the camera's read-out included
    raw_cpu, own_cpu        processor time over time: 1 is one core, the camera's own thread included
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acquisition.camera import Camera
from acquisition.micromanager import MicroManager
from acquisition.profile_camera import CameraSettings, ExposureLimits, MicroManagerSettings
from tests.benchmarks.machine import processor
from tests.benchmarks.table import table

if TYPE_CHECKING:
    from collections.abc import Callable

COLUMNS = (
    "way", "pixels", "exposure_ms", "raw_per_s", "own_per_s", "ratio", "added_ms", "over_exposure_ms", "raw_cpu",
    "own_cpu",
)  # fmt: skip
BUFFER_MB = 512


def raw_snaps(core: Any, count: int) -> None:
    for _ in range(count):
        core.snapImage()
        core.getImage()


def own_snaps(camera: Camera, count: int) -> None:
    for _ in range(count):
        camera.snap()


def in_sequences(take: Callable[[int], None], longest: int) -> Callable[[int], None]:
    """Take frames in sequences that the buffer holds: on a busy machine the raw loop loses some otherwise."""

    def take_all(count: int) -> None:
        for begin in range(0, count, longest):
            take(min(longest, count - begin))

    return take_all


def raw_sequence(core: Any, count: int) -> None:
    core.startSequenceAcquisition(count, 0.0, True)
    got = 0
    while got < count:
        running = core.isSequenceRunning()
        if core.getRemainingImageCount():
            core.popNextImage()
            got += 1
        elif not running:
            raise RuntimeError(f"the raw sequence ended after {got} of {count} frames")
    core.stopSequenceAcquisition()


def own_sequence(camera: Camera, count: int) -> None:
    camera.start_sequence(count)
    for _ in range(count):
        camera.next_frame(10.0)
    camera.stop_sequence()


def timed(take: Callable[[int], None], count: int) -> tuple[float, float]:
    """Seconds a frame, and processor time over time."""
    wall, cpu = time.perf_counter(), time.process_time()
    take(count)
    wall = time.perf_counter() - wall
    return wall / count, (time.process_time() - cpu) / wall


def compare(
    raw: Callable[[int], None], own: Callable[[int], None], exposure_ms: float, seconds: float, rounds: int
) -> dict[str, float]:
    """Measure both in turns."""
    raw(3)
    own(3)
    count = max(5, round(seconds / (timed(raw, 5)[0])))
    raws, owns = [], []
    for index in range(rounds):
        for take, found in ((raw, raws), (own, owns)) if index % 2 == 0 else ((own, owns), (raw, raws)):
            found.append(timed(take, count))
    raw_s, own_s = statistics.median(s for s, _ in raws), statistics.median(s for s, _ in owns)
    return {
        "raw_per_s": 1 / raw_s,
        "own_per_s": 1 / own_s,
        "ratio": statistics.median(r / o for (r, _), (o, _) in zip(raws, owns, strict=True)),
        "added_ms": statistics.median((o - r) * 1000 for (r, _), (o, _) in zip(raws, owns, strict=True)),
        "over_exposure_ms": own_s * 1000 - exposure_ms,
        "raw_cpu": statistics.median(cpu for _, cpu in raws),
        "own_cpu": statistics.median(cpu for _, cpu in owns),
    }


def measure(pixels: int, exposures_ms: list[float], seconds: float, rounds: int) -> list[dict[str, Any]]:
    """All rows of one image size."""
    rows = []
    micromanager = MicroManager.open(MicroManagerSettings(buffer_mb=BUFFER_MB))
    try:
        settings = CameraSettings(
            pixel_um=6.5,
            bit_depth=16,
            offset_counts=0.0,
            pixel_type="16bit",
            exposure_ms=ExposureLimits(min=0.1, max=1000.0, default=10.0),
            properties={"FastImage": "1", "OnCameraCCDXSize": str(pixels), "OnCameraCCDYSize": str(pixels)},
        )
        camera, core = Camera(micromanager, settings), micromanager.core
        for exposure_ms in exposures_ms:
            camera.set_exposure_ms(exposure_ms)
            ways = {
                "snap": (partial(raw_snaps, core), partial(own_snaps, camera)),
                "sequence": (
                    in_sequences(partial(raw_sequence, core), camera.buffer_frames()),
                    in_sequences(partial(own_sequence, camera), camera.buffer_frames()),
                ),
            }
            for way, (raw, own) in ways.items():
                found = compare(raw, own, exposure_ms, seconds, rounds)
                rows.append({"way": way, "pixels": pixels, "exposure_ms": exposure_ms, **found})
    finally:
        micromanager.close()
    return rows


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", type=int, default=[1024, 2048], help="pixels along each side")
    parser.add_argument("--exposures-ms", nargs="+", type=float, default=[1.0, 10.0])
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each")
    parser.add_argument("--out", type=Path, default=Path("camera_rate.json"))
    chosen = parser.parse_args(arguments)
    rows = [
        row for pixels in chosen.sizes for row in measure(pixels, chosen.exposures_ms, chosen.seconds, chosen.rounds)
    ]
    print(table(rows, COLUMNS))
    chosen.out.write_text(json.dumps({"processor": processor(), "rows": rows}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
