"""Whether frames and LEDs stay together: random scans with injected faults, judged by the pixels. One command.

    python -m tests.benchmarks.matching [--scans 1000] [--seed 0] [--out matching.json]

Each scan has a random plan, way (trigger), board and fault. The microscope is the simulated one, but each LED lights
its own pixels: so what a frame shows is read from it, LED by LED. A scan must be marked failed, or each of its frames
must show the pattern that is noted with it (and a complete one must have all of them). Counted for each fault and way:

    complete, cancelled, failed     how the scans ended
    wrong                           scans with a frame that shows something else, not marked failed: must be 0
    alarm                           scans marked failed although nothing was broken: must be 0

Ctrl-C ends it with the table so far.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import tempfile
from collections import Counter, deque
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np

from acquisition import pacing
from acquisition.camera import CameraError
from acquisition.capture import read_capture
from acquisition.instrument import Instrument, open_instrument
from acquisition.led_array.protocol import Capability
from acquisition.plan import DARK, ExposurePlan, Pace
from acquisition.profile import parse_profile
from acquisition.scan import FinishReason, Scan
from acquisition.simulated import boards, camera, microscope
from acquisition.simulated.board import BoardFault
from tests.benchmarks.table import table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

LEDS, SIDE, TILE = 12, 32, 4
OFFSET, COUNTS_PER_MS = 100.0, 500.0
TOLERANCE = 0.05
SHORT_S = 0.5  # patience with a board or camera that does not answer
BOARDS = {
    "illuminate 2": ("2.32", ""),
    "illuminate 1": ("1.32", ""),
    "uc2": ("2.32", 'protocol = "uc2"'),
}
BOARD_FAULTS = {fault.name.lower(): fault for fault in BoardFault if fault is not BoardFault.RESTART}
FAULTS = (
    "none", "cancel", *BOARD_FAULTS, "restart", "lost_pulse", "trigger_too_many", "camera_ends_early",
    "camera_overflows", "camera_drops_a_frame", "camera_refuses",
)  # fmt: skip
COLUMNS = ("fault", "way", "complete", "cancelled", "failed", "wrong", "alarm")

PROFILE = """
name = "matching"
title = "Each LED has its own pixels"
[objective]
magnification = 20.0
na = 0.4
[camera]
pixel_um = 6.5
bit_depth = 16
offset_counts = 100.0
pixel_type = "16bit"
exposure_ms = {{ min = 0.5, max = 500.0, default = 2.0 }}
[camera.trigger]
exposure_out = true
external = {{ TriggerDevice = "LED board" }}
internal = {{ TriggerDevice = "" }}
[micromanager]
buffer_mb = 16
[led_board]
port = "simulated"
brightness = 200
{board}
[led_board.geometry]
kind = "grid"
rows = 3
columns = 4
pitch_mm = 14.0
distance_mm = 60.0
[illumination]
wavelength_um = 0.53
[sample]
medium_index = 1.33
z_um = [-3.0, 3.0]
[plan]
kind = "brightfield"
exposure_ms = 2.0
[simulation]
phantom = "beads"
image_px = 32
led_gain_sigma = 0.0
"""


def scene(light_l: NDArray[np.float32], exposure_s: float) -> NDArray[np.uint16]:
    """Counts (SIDE, SIDE): the tiles go round the LEDs."""
    tiles = np.arange((SIDE // TILE) ** 2) % LEDS
    tiles_yx = light_l[tiles].reshape(SIDE // TILE, -1)
    counts_yx = OFFSET + COUNTS_PER_MS * 1000 * exposure_s * np.kron(tiles_yx, np.ones((TILE, TILE)))
    return np.rint(counts_yx).astype(np.uint16)


def seen(image_yx: NDArray[np.uint16], exposure_ms: float) -> NDArray[np.float64]:
    """Light of each LED (LEDS,) in a frame."""
    tiles = image_yx[::TILE, ::TILE].ravel()[:LEDS]
    return np.asarray((tiles - OFFSET) / (COUNTS_PER_MS * exposure_ms))


class Buffer(deque[Any]):
    """The camera's, of which frames can get lost."""

    drop_in = -1

    def append(self, frame: Any) -> None:
        self.drop_in -= 1
        if self.drop_in != -1:
            super().append(frame)


@dataclass(frozen=True)
class Case:
    """One scan."""

    board: str
    pace: Pace
    plan: ExposurePlan
    fault: str
    after: int


@dataclass(frozen=True)
class Outcome:
    """How it ended, and which of its frames show something else than what is noted with them."""

    case: Case
    reason: FinishReason
    message: str
    wrong: tuple[int, ...]

    @property
    def violates(self) -> bool:
        """Whether somebody would believe what is not so."""
        return bool(self.wrong) and self.reason is not FinishReason.FAILED

    @property
    def alarms(self) -> bool:
        """Whether it failed for nothing."""
        return self.reason is FinishReason.FAILED and self.case.fault in ("none", "cancel")


def random_case(rng: np.random.Generator) -> Case:
    """Anything that can be asked for."""
    board = str(rng.choice(list(BOARDS), p=[0.45, 0.4, 0.15]))
    pace = Pace.SOFTWARE if board == "uc2" else Pace(rng.choice([pace.value for pace in Pace]))
    patterns = int(rng.integers(1, 8))
    patterns_pl = np.zeros((patterns, LEDS), np.float32)
    for row_l in patterns_pl:
        together = 1 if board == "uc2" else rng.integers(1, 4)  # it lights one or all
        row_l[rng.choice(LEDS, together, replace=False)] = 1
    if board == "illuminate 1" and rng.random() < 0.5:
        patterns_pl *= rng.choice([0.4, 0.7, 1.0], patterns_pl.shape).astype(np.float32)
    # A camera that leads is too fast for the old firmware's shortest pattern otherwise.
    exposures = [6.0, 9.0] if (board, pace) == ("illuminate 1", Pace.CAMERA) else [1.0, 2.0, 6.0]
    exposure_ms_p = rng.choice(rng.choice(exposures, 2), patterns)
    dark = np.full(rng.integers(0, 3) * len(np.unique(exposure_ms_p)), DARK, np.int32)
    lit = rng.integers(0, patterns, rng.integers(2, 25)).astype(np.int32)
    plan = ExposurePlan(
        "random", patterns_pl, np.concatenate([dark, lit]), exposure_ms_p, float(rng.choice([0.0, 1.0])), pace
    )
    fault = str(rng.choice(FAULTS))
    return Case(board, pace, plan, fault, int(rng.integers(0, plan.frame_count + 8)))


class Rig:
    """An instrument that is opened when it is wanted, and again after something broke; a program can have one only."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._board = ""
        self._instrument: Instrument | None = None
        self._count = 0

    def _open(self, board: str) -> Instrument:
        if board != self._board:
            self.close()
        if self._instrument is None:
            version, line = BOARDS[board]
            with mock.patch.object(microscope, "make_board", partial(boards.make_board, version=version)):
                instrument = open_instrument(parse_profile(PROFILE.format(board=line), "matching.toml"))
            leds: Any = instrument.leds
            leds._timeout_s = leds._talk._timeout_s = SHORT_S
            self._board, self._instrument = board, instrument
        return self._instrument

    def close(self) -> None:
        """Close what is open."""
        if self._instrument is not None:
            self._instrument.close()
            self._instrument = None
            gc.collect()  # the simulated camera and its core hold each other, and the core its buffer

    def run(self, case: Case) -> Outcome:
        """Scan once."""
        instrument = self._open(case.board)
        assert (Capability.SEQUENCE in instrument.board_info.capabilities) == (case.board != "uc2")
        self._count += 1
        path = self._folder / f"{self._count}.h5"
        scan = Scan(instrument, case.plan, path, instrument.capture_header(case.plan))
        with _broken(instrument, case, scan):
            scan.start()
            status = scan.wait()
        assert status.reason is not None
        if case.fault != "none":
            self.close()
        if status.path is None:
            return Outcome(case, status.reason, status.message, ())
        wrong = self._wrong(case, path, status.reason is FinishReason.COMPLETE)
        path.unlink()
        return Outcome(case, status.reason, status.message, wrong)

    @staticmethod
    def _wrong(case: Case, path: Path, complete: bool) -> tuple[int, ...]:
        capture, plan = read_capture(path), case.plan
        order_n = plan.order_n[plan.order_n != DARK]
        missing = range(len(capture.pattern_n), len(order_n)) if complete else ()
        wrong = [
            frame
            for frame, (image_yx, pattern, exposure_ms) in enumerate(
                zip(capture.images_nyx, capture.pattern_n, capture.exposure_ms_n, strict=True)
            )
            if pattern != order_n[frame]
            or np.abs(seen(image_yx, exposure_ms) - plan.patterns_pl[pattern] * 200 / 255).max() > TOLERANCE
        ]
        dark_wrong = capture.dark_yx is not None and np.abs(capture.dark_yx - OFFSET).max() > 1
        return (*wrong, *missing, *([-1] if dark_wrong else []))


@contextmanager
def _broken(instrument: Instrument, case: Case, scan: Scan) -> Iterator[None]:
    """Let the fault happen at its time."""
    assert instrument.simulated is not None
    board: Any = instrument.simulated.board
    device: Any = instrument.simulated._camera
    gather, pulse, exposures = device._gather, board.on_trigger_out, Counter[str]()

    def exposed(start_s: float, end_s: float) -> Any:
        light_l = gather(start_s, end_s)
        exposures["exposures"] += 1
        if exposures["exposures"] == case.after:
            match case.fault:
                case "cancel":
                    scan.cancel()
                case "restart":
                    board._boot_s = SHORT_S / 2
                    board.inject(BoardFault.RESTART)
                    board.opened()
                case "trigger_too_many":
                    board.trigger()
                case "camera_ends_early":
                    device._stop.set()
                case "camera_overflows":
                    device._overflowed = True
                    device._stop.set()
        return light_l

    def pulsed(time_s: float) -> None:
        exposures["pulses"] += 1
        if not (case.fault == "lost_pulse" and exposures["pulses"] == case.after):
            pulse(time_s)

    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(device, "_gather", exposed))
        stack.enter_context(mock.patch.object(board, "on_trigger_out", pulsed))
        if case.fault == "camera_refuses":
            refused = CameraError("The camera refuses.", "Try again.")
            stack.enter_context(mock.patch.object(instrument.camera, "start_sequence", side_effect=refused))
            stack.enter_context(mock.patch.object(instrument.camera, "snap", side_effect=refused))
        device._buffer.drop_in = case.after if case.fault == "camera_drops_a_frame" else -1
        board.inject(BOARD_FAULTS.get(case.fault), case.after)
        yield


@contextmanager
def rig() -> Iterator[Rig]:
    """Instruments that show LEDs as such, and do not wait for long."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        simulated = microscope.SimulatedMicroscope
        stack.enter_context(mock.patch.object(simulated, "counts", lambda self, light, seconds: scene(light, seconds)))
        stack.enter_context(mock.patch.object(Instrument, "truth", lambda self: None))
        stack.enter_context(mock.patch.object(camera, "deque", Buffer))
        stack.enter_context(mock.patch.object(pacing, "PATIENCE_S", SHORT_S))
        made = Rig(Path(folder))
        try:
            yield made
        finally:
            made.close()


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scans", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("matching.json"))
    chosen = parser.parse_args(arguments)
    logging.disable(logging.CRITICAL)  # what is broken on purpose
    counts: dict[tuple[str, str], Counter[str]] = {}
    bad = []
    with rig() as made:
        for seed in range(chosen.seed, chosen.seed + chosen.scans):
            case = random_case(np.random.default_rng(seed))
            try:
                outcome = made.run(case)
            except KeyboardInterrupt:
                break
            row = counts.setdefault((case.fault, case.pace.value), Counter())
            row[outcome.reason.value] += 1
            row["wrong"] += outcome.violates
            row["alarm"] += outcome.alarms
            if outcome.violates or outcome.alarms:
                bad.append(f"seed {seed}: {case.board}, {case.pace.value}, {case.fault} after {case.after}:"
                           f" {outcome.reason.value}, wrong {outcome.wrong}, {outcome.message}")  # fmt: skip
                print(bad[-1], flush=True)
    rows = [
        {"fault": fault, "way": way, **{key: row[key] for key in COLUMNS[2:]}}
        for (fault, way), row in sorted(counts.items())
    ]
    print(table(rows, COLUMNS))
    scans = sum(row[reason.value] for row in rows for reason in FinishReason)
    print(f"{scans} scans, {sum(row['wrong'] for row in rows)} wrong, {sum(row['alarm'] for row in rows)} alarms")
    found = {"scans": scans, "seed": chosen.seed, "rows": rows, "bad": bad}
    chosen.out.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
