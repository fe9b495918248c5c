"""The light goes off at the end, whatever ends the program: told by the LED board, which is another process."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
import pytest

from acquisition.led_array.illuminate import IlluminateBoard
from tests.acquisition.conftest import SMALL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no such signals, no pseudo-terminals here")
ENDS = [signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)]
PATIENCE_S = 60
COMMAND_LINE = ("-m", "gui.cli")
WINDOW = (str(ROOT / "tests" / "gui" / "connected_app.py"),)
PROFILE = SMALL[: SMALL.index("[simulation]")]  # a real microscope to the program, with long exposures
for _old, _new in (
    ("min = 0.5, max = 500.0, default = 2.0", "min = 1.0, max = 500.0, default = 50.0"),
    ('port = "simulated"', 'port = "PORT"'),
    ("exposure_ms = 2.0\ndark_frames = 2", "exposure_ms = 250.0\ndark_frames = 0\nrepeats = 100"),
    ("bit_depth = 12", "bit_depth = 16"),
):
    assert PROFILE.count(_old) == 1, _old
    PROFILE = PROFILE.replace(_old, _new)


class Heard:
    """The lines that a process prints, as they come."""

    def __init__(self, stream: IO[str]) -> None:
        self.lines: list[str] = []
        self._new: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._listen, args=(stream,), daemon=True)
        self._thread.start()

    def _listen(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                self._new.put(line.rstrip())
        self._new.put(None)

    def wait_for(self, wanted: Callable[[str], bool]) -> str:
        """The next line that is wanted."""
        while (line := self._new.get(timeout=PATIENCE_S)) is not None:
            self.lines.append(line)
            if wanted(line):
                return line
        raise AssertionError(f"ended without it: {self.lines}")

    def ended(self) -> None:
        """Wait until the last line has been read."""
        self._thread.join()

    def rest(self) -> str:
        """All that was printed, when the process has ended."""
        self._thread.join(PATIENCE_S)
        while not self._new.empty() and (line := self._new.get()) is not None:
            self.lines.append(line)
        return "\n".join(self.lines)


class Board:
    """An emulated board in a process of its own."""

    def __init__(self, folder: Path) -> None:
        arguments = ["simulate-led", "--profile", str(folder / "board.toml"), "--light", "--json"]
        (folder / "board.toml").write_text(PROFILE.replace("PORT", "auto"))
        self.process = subprocess.Popen(
            [sys.executable, *COMMAND_LINE, *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.heard = Heard(self.process.stdout)
        self.port = str(json.loads(self.heard.wait_for(lambda line: "port" in line))["port"])
        self.profile = folder / "bench.toml"
        self.profile.write_text(PROFILE.replace("PORT", self.port))

    def leave_light(self) -> None:
        """Be left with an LED on, as by a program that was killed."""
        driver = IlluminateBoard(self.port)
        driver.identify()
        driver.show(np.eye(12, dtype=np.float32)[3])
        driver.close()
        self.wait_for_light()

    def wait_for_light(self) -> None:
        self.heard.wait_for(lambda line: bool(json.loads(line)["lit"]))

    def unplug(self) -> None:
        self.process.kill()
        self.process.wait()
        self.heard.ended()

    def last_light(self) -> list[int]:
        """What is lit at the end, after every program has gone."""
        self.process.send_signal(signal.SIGTERM)
        return list(json.loads(self.heard.rest().splitlines()[-1])["lit"])


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Board]:
    made = Board(tmp_path)
    yield made
    made.unplug()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., tuple[subprocess.Popen[str], Heard]]]:
    """Start a program in a folder of its own; the process, and what it says on stdout and stderr."""
    processes: list[tuple[subprocess.Popen[str], Heard]] = []

    def run(*arguments: object) -> tuple[subprocess.Popen[str], Heard]:
        environment = {
            **os.environ, "PYTHONPATH": str(ROOT), "QT_QPA_PLATFORM": "offscreen", "OMP_NUM_THREADS": "1",
            "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path),
            "XDG_DOCUMENTS_DIR": str(tmp_path),
        }  # fmt: skip
        process = subprocess.Popen(
            [sys.executable, *map(str, arguments)], cwd=tmp_path, env=environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert process.stdout is not None
        processes.append((process, Heard(process.stdout)))
        return processes[-1]

    yield run
    for process, heard in processes:
        process.kill()
        process.wait()
        heard.ended()


@pytest.mark.parametrize("number", ENDS)
def test_a_scan_that_is_told_to_end(board: Board, start: Callable, number: signal.Signals) -> None:
    process, heard = start(*COMMAND_LINE, "capture", "-p", board.profile, "-o", "a.h5")
    heard.wait_for(lambda line: "frames stored" in line)
    board.wait_for_light()
    for _ in range(3):  # impatient
        process.send_signal(number)
    assert process.wait(PATIENCE_S) == 130, heard.rest()
    assert "LEDs off" in heard.rest()
    assert board.last_light() == []


def test_a_check_that_is_told_to_end(board: Board, start: Callable) -> None:
    process, heard = start(*COMMAND_LINE, "check", "-p", board.profile)
    heard.wait_for(lambda line: "LEDs: 1 of" in line)
    board.wait_for_light()
    for _ in range(3):
        process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE_S) == 130, heard.rest()
    assert board.last_light() == []


def test_a_command_that_is_told_to_end_while_it_connects(board: Board, start: Callable) -> None:
    """The light that an earlier program has left goes off as well."""
    board.leave_light()
    process, heard = start(*COMMAND_LINE, "capture", "-p", board.profile, "-o", "a.h5")
    board.heard.wait_for(lambda line: not json.loads(line)["lit"])  # the board has answered; the camera opens
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 130, heard.rest()
    assert board.last_light() == []


@pytest.mark.parametrize("command", ["capture", "check"])
def test_an_unplugged_board_is_told(board: Board, start: Callable, command: str) -> None:
    output = ["-o", "a.h5"] if command == "capture" else []
    process, heard = start(*COMMAND_LINE, command, "-p", board.profile, *output)
    board.wait_for_light()
    board.unplug()
    assert process.wait(PATIENCE_S) == (2 if command == "capture" else 1), heard.rest()
    told = " ".join(heard.rest().split())
    assert "may still be on" in told
    assert "Check cable and power" in told


@pytest.mark.parametrize(("doing", "number"), list(zip(("live", "live", "scan"), ENDS, strict=True)))
def test_a_window_that_is_told_to_end(board: Board, start: Callable, doing: str, number: signal.Signals) -> None:
    process, heard = start(*WINDOW, board.profile, doing)
    heard.wait_for(lambda line: line == "opened")
    board.wait_for_light()
    process.send_signal(number)
    assert process.wait(PATIENCE_S) == 0, heard.rest()
    assert board.last_light() == []
    assert "may still be on" not in heard.rest()


def test_a_window_that_is_told_to_end_while_it_connects(board: Board, start: Callable) -> None:
    board.leave_light()
    process, heard = start(*WINDOW, board.profile, "live")
    heard.wait_for(lambda line: line == "LED board")
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 0, heard.rest()
    assert board.last_light() == []


def test_an_unplugged_board_is_told_by_the_window(board: Board, start: Callable) -> None:
    """On stderr, where a dialog would find nobody."""
    process, heard = start(*WINDOW, board.profile, "live")
    heard.wait_for(lambda line: line == "opened")
    board.wait_for_light()
    board.unplug()
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 0
    assert "The LEDs may still be on" in heard.rest().splitlines()[-2]
    assert "Remedy" in heard.lines[-1]
