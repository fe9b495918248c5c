"""`fieldscope simulate-led`: a board alone on a port, which the real drivers open from another process."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from acquisition.led_array.illuminate import IlluminateBoard
from acquisition.led_array.protocol import LedArrayError, SequenceRun
from acquisition.led_array.template import TemplateBoard
from acquisition.led_array.uc2 import Uc2Board
from acquisition.profile_template import TemplateSettings

ROOT = Path(__file__).parents[2]
SKETCH = TemplateSettings(on="{index},{r},{g},{b}", clear="clear", error="^error", opening_delay_s=1.5)


@pytest.fixture
def serve():
    """Start the command; the process and its first line."""
    processes = []

    def start(*arguments):
        process = subprocess.Popen(
            [sys.executable, "-m", "gui.cli", "simulate-led", *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "dumb"},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        processes.append(process)
        return process, process.stdout.readline()

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def ends(process, number=signal.SIGTERM):
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "", "")


@pytest.mark.parametrize(
    ("protocol", "driver"),
    [
        ("illuminate", IlluminateBoard),
        ("template", lambda port: TemplateBoard(port, 115200, SKETCH, 33)),
        ("uc2", Uc2Board),
    ],
)
def test_serves_each_protocol_until_it_is_told_to_end(protocol, driver, serve):
    process, line = serve("--protocol", protocol, "--json")
    about = json.loads(line)
    assert about == {"port": about["port"], "protocol": protocol, "leds": 33, "fault": None}
    for _ in range(2):  # one program after the other
        board = driver(about["port"])
        assert board.identify().led_count == 33
        board.show(np.eye(33, dtype=np.float32)[5])
        board.off()
        board.close()
    ends(process)


def test_one_line_names_the_port(serve):
    process, line = serve("--tcp", "--firmware", "1.32")
    key, port = line.split()
    assert key == "port"
    assert port.startswith("socket://127.0.0.1:")
    board = IlluminateBoard(port)
    assert board.identify().firmware == "1.32"
    board.load_sequence(np.eye(33, dtype=np.float32), np.arange(10, dtype=np.int32))
    board.start_sequence(SequenceRun("timer", 5))
    board.wait_sequence(10)  # the board tells its end by itself
    board.close()
    ends(process, signal.SIGINT)


def test_board_of_a_profile(serve):
    process, line = serve("--profile", "home_made_board", "--json")
    assert json.loads(line)["protocol"] == "template"
    assert json.loads(line)["leds"] == 256
    ends(process)


def test_faults(serve):
    process, line = serve("--fault", "error", "--after", "4", "--json")
    assert json.loads(line)["fault"] == "error"
    board = IlluminateBoard(json.loads(line)["port"])
    board.identify()
    with pytest.raises(LedArrayError, match="power source"):
        board.off()
    board.close()
    ends(process)

    process, line = serve("--fault", "restart", "--protocol", "template", "--json")
    board = TemplateBoard(json.loads(line)["port"], 115200, SKETCH, 33)
    board.identify()
    board.off()
    board.close()
    ends(process)


def test_unplugged_board_ends_the_command(serve):
    process, _ = serve("--fault", "unplug", "--json")
    process.communicate(timeout=30)
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--protocol", "iluminate"], "Did you mean illuminate?"),
        (["--fault", "smoke"], "one-behind"),
        (["--firmware", "3"], "2.32, 1.32"),
        (["--profile", "illuminate_board"], "did not tell where its LEDs are"),
        (["--profile", "no_such"], "no_such"),
    ],
)
def test_wrong_names_are_told(arguments, said, serve):
    process, _ = serve(*arguments)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 2
    assert said in err
    assert "remedy" in err.lower()
