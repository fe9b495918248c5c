"""Kill a time-lapse at random moments, again and again: is every frame there that was told to be stored?

    python -m tests.benchmarks.kills [--kills 200] [--longest-s 2] [--seed 0]

Each time a process of its own scans a small simulated microscope, several positions and time points with waits between
them, and is killed (SIGKILL) at a moment drawn from before the file exists to --longest-s later. Of each frame that it
reported, the file left behind, and the capture that `fieldscope recover` makes of it, must have pixels, pattern, time
point and position. The table has a row for each state in which the scan was killed:

    kills        scans killed in that state
    reported     frames that were told to be stored
    stored       whole frames in the files left behind: one more where the kill came before the report
    lost         frames reported that are not in the file, or not as reported
    lost_after   the same after `recover`
    unreadable   files left behind that could not be read or recovered
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from acquisition.capture import part_path, read_capture, recover
from acquisition.errors import OperatorError
from acquisition.instrument import open_instrument
from acquisition.plan import plan_for
from acquisition.profile import parse_profile
from acquisition.scan import Scan, ScanState
from tests.acquisition.conftest import SMALL
from tests.benchmarks.table import table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from acquisition.capture import Frame
    from acquisition.scan import ScanStatus

COLUMNS = ("state", "kills", "reported", "stored", "lost", "lost_after", "unreadable")
READY = "ready"


@dataclass(frozen=True)
class Told:
    """A frame as the scan reported it."""

    time_point: int
    position: int
    pattern: int
    pixels: int


@dataclass(frozen=True)
class Kill:
    """What a kill left, named as in the table; `unreadable` says why."""

    state: str
    reported: int
    stored: int
    lost: int
    lost_after: int
    unreadable: str


def scan(path: Path) -> None:
    """Scan until killed; a line on stdout for each state, and for each frame once it is stored."""
    from acquisition.experiment import Experiment, Position, TimeLapse

    def tell(status: ScanStatus) -> None:
        if status.state.value != states[-1]:
            states.append(status.state.value)
            print("state", states[-1], flush=True)

    def tell_frame(frame: Frame) -> None:
        if frame.pattern >= 0:
            pixels = zlib.crc32(frame.image_yx.tobytes())
            print("frame", frame.time_point, frame.position, frame.pattern, pixels, flush=True)

    states = [""]
    instrument = open_instrument(parse_profile(SMALL, "small.toml"))
    plan = plan_for(instrument.profile, instrument.led_na_l2)
    places = (Position("A", 0, 0, 0), Position("B", 3.25, 0, 1))
    experiment = Experiment(plan, TimeLapse(0.5, 1000), places)
    print(READY, file=sys.stderr, flush=True)
    Scan(instrument, experiment, path, instrument.capture_header(plan), tell_frame, tell).start()


def kill_once(folder: Path, after_s: float) -> Kill:
    """Start a scan in an empty folder, kill it so long after its instrument was open, and look what is there."""
    path, said = folder / "scan.h5", folder / "said.txt"
    with said.open("wb") as told:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.kills", "--scan", str(path)],
            stdout=told, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
        )  # fmt: skip
        assert process.stderr is not None
        begun = [process.stderr.readline()]
        while begun[-1] and begun[-1].strip() != READY:
            begun.append(process.stderr.readline())
        if not begun[-1]:
            raise RuntimeError(f"the scan did not begin: {''.join(begun)}")
        try:
            process.wait(after_s)
        except subprocess.TimeoutExpired:
            process.kill()
        process.wait()
        process.stderr.close()
    words = [line.split() for line in said.read_text().splitlines(keepends=True) if line.endswith("\n")]
    states = [line[1] for line in words if line[0] == "state"]
    frames = [Told(*map(int, line[1:])) for line in words if line[0] == "frame"]
    return _looked_at(path, states[-1] if states else ScanState.IDLE.value, frames)


def _looked_at(path: Path, state: str, frames: Sequence[Told]) -> Kill:
    part = part_path(path)
    stored: list[Told] = []
    recovered: list[Told] = []
    fault = ""
    try:
        stored = _frames(part)
        recovered = _frames(recover(part).path)
    except OperatorError as error:  # a file killed while it was made has nothing to lose
        fault = str(error) if frames or stored else ""
    return Kill(state, len(frames), len(stored), _lost(frames, stored), _lost(frames, recovered), fault)


def _frames(path: Path) -> list[Told]:
    capture = read_capture(path)
    numbers = zip(capture.time_point_n.tolist(), capture.position_n.tolist(), capture.pattern_n.tolist(), strict=True)
    pixels = (zlib.crc32(image_yx.tobytes()) for image_yx in capture.images_nyx)
    return [Told(*number, crc) for number, crc in zip(numbers, pixels, strict=True)]


def _lost(frames: Sequence[Told], stored: Sequence[Told]) -> int:
    same = sum(told == found for told, found in zip(frames, stored, strict=False))
    return len(frames) - same


def kills(count: int, longest_s: float, seed: int) -> list[Kill]:
    """Kill so many scans."""
    draw = random.Random(seed)
    found = []
    for _ in range(count):
        with tempfile.TemporaryDirectory() as folder:
            found.append(kill_once(Path(folder), draw.uniform(0, longest_s)))
    return found


def summary(found: Sequence[Kill]) -> str:
    """Lay out the table, and below it what was lost."""
    rows = []
    for state in [*dict.fromkeys(kill.state for kill in found), "all"]:
        of_state = [kill for kill in found if state in ("all", kill.state)]
        rows.append(
            {
                "state": state,
                "kills": len(of_state),
                **{name: sum(getattr(kill, name) for kill in of_state) for name in COLUMNS[2:6]},
                "unreadable": sum(bool(kill.unreadable) for kill in of_state),
            }
        )
    losses = [str(kill) for kill in found if kill.lost or kill.lost_after or kill.unreadable]
    return "\n".join([table(rows, COLUMNS), *(losses or ["no loss"])])


def main() -> None:
    parser = argparse.ArgumentParser(description="Kill scans at random moments; count the frames lost.")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--longest-s", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scan", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.scan:
        scan(options.scan)
        return
    print(summary(kills(options.kills, options.longest_s, options.seed)))


if __name__ == "__main__":
    main()
