"""A day at the bench in a row: the window used by nobody for an hour. Does memory stay flat, does anything stay behind?

    python -m tests.benchmarks.soak [--minutes 60] [--out soak.json]

The whole program runs, with the simulated microscope and its reconstruction process, in a home folder of its own.
Round after round it acquires and looks while the volume forms (slices, volume, lights), cancels an acquisition in its
middle, reconstructs the stored capture, saves the field, opens it again, acquires a short time-lapse, changes the theme
and connects anew. The table has a row for each round:

    minutes            since the start, at the end of the round
    window_mb          resident memory of the window's process, without what is shared with others
    process_mb         the same of the reconstruction process
    files, threads     open file descriptors and threads of the window
    gap_ms             longest time between two turns of the window's event loop (a busy machine counts as well)

and after it the growth of memory from the second quarter to the last one, and what was left behind: processes, blocks
of shared memory, unfinished captures. Linux only: it reads /proc.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.benchmarks.table import table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

COLUMNS = ("round", "minutes", "window_mb", "process_mb", "files", "threads", "gap_ms", "told")
STEP_TIMEOUT_S = 180.0
LOOK_S = 0.4
FIT_S = 20.0
REST_S = 2.0
"""After this time whatever is not needed has been given back."""


@dataclass(frozen=True)
class Round:
    """One round, named as in the table; `told` counts the errors the window showed."""

    round: int
    minutes: float
    window_mb: float
    process_mb: float
    files: int
    threads: int
    gap_ms: float
    told: int


class Stuck(Exception):
    """The window did not come to where the next step begins."""


def own_mb(process: int) -> float:
    """Memory of a process that is not shared with others, in MB; 0 where there is none."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0.0
    return sum(float(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024


def descendants(process: int) -> list[int]:
    """Process numbers of all children and children's children that run; not Python's tracker, which ends with us."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] != "Z":
            parents[int(folder.name)] = int(fields[1])
    found = [process]
    for number in found:
        found += [child for child, parent in parents.items() if parent == number]
    return [number for number in found[1:] if b"resource_tracker" not in Path(f"/proc/{number}/cmdline").read_bytes()]


def shared_blocks() -> set[str]:
    """Names of the blocks of shared memory that this user has."""
    return {path.name for path in Path("/dev/shm").iterdir() if path.owner() == Path.home().owner()}


class Soak:
    """Drives a window: a generator of waits, polled from the window's own event loop.

    Parameters
    ----------
    window
        The window, connected to nothing yet.
    minutes
        How long to go on beginning rounds.
    """

    def __init__(self, window: Any, minutes: float) -> None:
        from PySide6.QtCore import QTimer

        self.window, self.minutes = window, minutes
        self.rounds: list[Round] = []
        self.problem = ""
        self.start_s = time.monotonic()
        self._told = 0
        self._beat_s, self._gap_s = time.monotonic(), 0.0
        self._ready: Callable[[], bool] = lambda: True
        self._since_s, self._what = time.monotonic(), "start"
        self._steps = self._all()
        window.service.problem.connect(self._count)
        window.bridge.failed.connect(self._count)
        window.bridge.lost.connect(self._count)
        self._timer = QTimer(window)
        self._timer.setInterval(10)
        self._timer.timeout.connect(self._turn)
        self._timer.start()

    def _count(self, *what: object) -> None:
        self._told += 1
        sys.stderr.write(f"told: {what}\n")

    def _turn(self) -> None:
        now_s = time.monotonic()
        self._gap_s, self._beat_s = max(self._gap_s, now_s - self._beat_s), now_s
        if not self._ready():
            if now_s - self._since_s > STEP_TIMEOUT_S:
                self._end(f"waited {STEP_TIMEOUT_S:.0f} s for: {self._what}")
            return
        try:
            self._what, self._ready = next(self._steps)
            self._since_s = now_s
        except StopIteration:
            self._end("")
        except Exception as error:  # whatever happened, it is a finding
            self._end(f"{type(error).__name__}: {error}")

    def _end(self, problem: str) -> None:
        self._timer.stop()
        self.problem = problem
        self.window.end()

    def _do(self, key: str) -> None:
        action = self.window.actions_by_key[key]
        if not action.isEnabled():
            raise Stuck(f"the action {key} is not offered")
        action.trigger()

    # --- what is done -------------------------------------------------------------------------------------------------

    def _all(self) -> Iterator[tuple[str, Callable[[], bool]]]:
        while time.monotonic() - self.start_s < 60 * self.minutes:
            yield from self._connect()
            yield from self._acquire_and_look()
            yield from self._cancel_in_the_middle()
            yield from self._reopen()
            yield from self._time_lapse()
            self._do("light_theme")
            yield from self._disconnect()
            self._throw_away()
            yield self._wait(REST_S)
            self._note()

    def _wait(self, seconds: float) -> tuple[str, Callable[[], bool]]:
        until_s = time.monotonic() + seconds
        return f"{seconds} s", lambda: time.monotonic() >= until_s

    def _connect(self) -> Iterator[tuple[str, Callable[[], bool]]]:
        flow, act = self.window.workflow, self.window.actions_by_key
        self._do("connect")
        yield "instrument connected", lambda: flow.instrument is not None and act["start_scan"].isEnabled()
        yield self._wait(2.0)  # the live image runs

    def _disconnect(self) -> Iterator[tuple[str, Callable[[], bool]]]:
        self._do("disconnect")
        yield "instrument released", lambda: self.window.workflow.instrument is None

    def _acquire_and_look(self) -> Iterator[tuple[str, Callable[[], bool]]]:
        bridge, service = self.window.bridge, self.window.service
        self._do("start_scan")
        yield "a field while it is acquired", lambda: bool(bridge.has_field)
        yield from self._look(FIT_S)
        yield "end of the acquisition", lambda: not service.scanning
        self._finish_fit()
        yield "end of the fit", lambda: not bridge.fitting

    def _finish_fit(self) -> None:
        """Finish the fit under way, if there is one that has a field already."""
        if self.window.actions_by_key["finish_fit"].isEnabled():
            self._do("finish_fit")

    def _look(self, seconds: float) -> Iterator[tuple[str, Callable[[], bool]]]:
        """Zoom, move the cross-hair, change contrast and what is shown."""
        slices = self.window.panels.slices
        self._do("go_view")
        until_s, turn = time.monotonic() + seconds, 0
        while time.monotonic() < until_s:
            turn += 1
            if turn % 10 == 0:
                self._do("reset_view")
            else:
                self._do("zoom_in" if turn % 10 < 7 else "zoom_out")
            lower, upper = slices.navigator.bounds_um
            slices.navigator.set_cursor(tuple(lower + (upper - lower) * ((0.37 * turn) % 1.0)))
            if turn % 7 == 0:
                self._do("auto_contrast")
            if turn % 5 == 0:
                self._do("next_view")
            yield self._wait(LOOK_S)
        self._do("reset_view")

    def _cancel_in_the_middle(self) -> Iterator[tuple[str, Callable[[], bool]]]:
        bridge, service = self.window.bridge, self.window.service
        self._do("start_scan")
        yield self._wait(0.6)
        if service.scanning:
            self._do("cancel_scan")
        yield "acquisition cancelled", lambda: not service.scanning
        if bridge.fitting:
            self._do("cancel_fit")
        yield "fit cancelled", lambda: not bridge.fitting

    def _reopen(self) -> Iterator[tuple[str, Callable[[], bool]]]:
        """Reconstruct the capture once more, save it, open what was saved; then throw the files away."""
        window, bridge = self.window, self.window.bridge
        captures = sorted(window.workflow.folder.glob("*.h5"), key=lambda path: path.stat().st_mtime)
        whole = next(path for path in captures if not path.name.endswith(".field.h5"))
        window.workflow.reconstruct(whole)
        yield "a field of the stored capture", lambda: bool(bridge.has_field)
        yield from self._look(3.0)
        self._finish_fit()
        yield "end of the fit", lambda: not bridge.fitting
        saved: list[str] = []
        bridge.saved.connect(lambda event: saved.append(event.field_path))
        path = window.workflow.folder / f"round-{len(self.rounds)}.field.h5"
        bridge.save(path)
        yield "field saved", lambda: str(path) in saved
        window.workflow.open_field(path)
        yield "field opened", lambda: bool(bridge.has_field)
        yield from self._look(3.0)

    def _time_lapse(self) -> Iterator[tuple[str, Callable[[], bool]]]:
        """Three time points, a field of each; then look at the first one again."""
        window, series = self.window, self.window.workflow.series
        count = window.panels.acquire.experiment.count
        count.setValue(3)
        self._do("start_scan")
        yield "end of the time-lapse", lambda: not window.service.scanning
        count.setValue(1)
        yield from self._look(2.0)

        def over() -> bool:
            self._finish_fit()
            return not series.at_work

        yield "a field of each time point", over
        self._do("earlier")
        yield from self._look(2.0)

    def _throw_away(self) -> None:
        for file in self.window.workflow.folder.iterdir():
            file.unlink()

    def _note(self) -> None:
        here = Path("/proc/self")
        children = descendants(os.getpid())
        self.rounds.append(
            Round(
                len(self.rounds) + 1,
                (time.monotonic() - self.start_s) / 60,
                own_mb(os.getpid()),
                sum(own_mb(child) for child in children),
                len(list((here / "fd").iterdir())),
                len(list((here / "task").iterdir())),
                1000 * self._gap_s,
                self._told,
            )
        )
        sys.stderr.write(table([asdict(self.rounds[-1])], COLUMNS).splitlines()[-1] + "\n")
        self._gap_s = 0.0


def growth(values: Sequence[float]) -> float:
    """How much the last quarter lies above the second one (medians): the first rounds fill caches."""
    quarter = max(1, len(values) // 4)
    return statistics.median(values[-quarter:]) - statistics.median(values[quarter : 2 * quarter] or values[:1])


def use(minutes: float, home: Path) -> dict[str, Any]:
    """Run the window in a home folder of its own and say what came of it."""
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_DOCUMENTS_DIR"):
        os.environ[name] = str(home / name.lower())
        (home / name.lower()).mkdir()
    if "DISPLAY" not in os.environ:
        os.environ["QT_QPA_PLATFORM"] = "offscreen"
    from gui import app, main_window

    soaks: list[Soak] = []

    class SoakedWindow(main_window.MainWindow):
        def show(self) -> None:
            super().show()
            soaks.append(Soak(self, minutes))

    main_window.MainWindow = SoakedWindow  # type: ignore[misc]
    before = shared_blocks()
    code = app.main([])
    (soak,) = soaks
    rounds = soak.rounds
    return {
        "rounds": [asdict(row) for row in rounds],
        "exit_code": code,
        "problem": soak.problem,
        "window_growth_mb": growth([row.window_mb for row in rounds]) if rounds else None,
        "process_growth_mb": growth([row.process_mb for row in rounds]) if rounds else None,
        "left_processes": len(descendants(os.getpid())),
        "left_shared_blocks": len(shared_blocks() - before),
        "left_unfinished": len(list(home.rglob("*.part"))),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return the exit code: 0 if it came through and left nothing behind."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.soak", description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=60.0, help="how long to go on")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as home:
        found = use(arguments.minutes, Path(home))
    print(table(found["rounds"], COLUMNS))
    print(", ".join(f"{name} {value}" for name, value in found.items() if name != "rounds"))
    if arguments.out is not None:
        arguments.out.write_text(json.dumps(found, indent=1), encoding="utf-8")
    left = found["left_processes"] + found["left_shared_blocks"] + found["left_unfinished"]
    return int(bool(found["problem"] or found["exit_code"] or left))


if __name__ == "__main__":
    sys.exit(main())
