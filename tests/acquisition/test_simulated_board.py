from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acquisition.simulated.board import BoardFault, EmulatedBoard, UnpluggedError
from acquisition.simulated.illuminate_board import IlluminateFirmware

POSITIONS = np.array([[0, 0, 50], [10, 0, 50], [0, -20.004, 50], [-40, 0, 51]], float)
DONE = b"-==-\n"


@pytest.fixture
def board() -> EmulatedBoard:
    board = EmulatedBoard(IlluminateFirmware(POSITIONS))
    assert board.feed(b"machine\n") == DONE
    return board


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("version", b"2.32\n-==-\n"),
        ("sn", b"SN.00001\n-==-\n"),
        ("na.25", b"NA.25\n-==-\n"),
        ("na.5", b"NA.50\n-==-\n"),  # one digit: tenths
        ("nai.20", b"NAI.20\n-==-\n"),
        ("sad.60", b"DZ.60\n-==-\n"),
        ("ac.0", b"AC.0\n-==-\n"),
        ("sb.half", b"SB.127\n-==-\n"),
        ("sb.300", b"ERROR[10]: Invalid argument range.\n"),
        ("ssc.0.40", b"CO.40\n-==-\n"),
        ("sc.red", b"ERROR[9]: Device does not support this feature.\n"),
        ("l.4", b"ERROR[10]: Invalid argument range.\n"),
        ("l.one", b"ERROR[8]: Invalid argument.\n"),
        ("na.25.3", b"ERROR[2]: Wrong number of arguments.\n"),
        ("an.40.20", b"ERROR[10]: Invalid argument range.\n"),
        ("pledpos.2.9", b"ERROR[10]: Invalid argument range.\n"),
        ("sseq", b"ERROR[1]: Command not implemented.\n"),
        ("lamp.on", b"ERROR[16]: Invalid command.\n"),
        ("l." + ".".join(["1"] * 300), b"ERROR[18]: Command too long.\n"),
        ("", b""),
    ],
)
def test_command_is_answered_as_by_the_firmware(board: EmulatedBoard, command: str, answer: bytes) -> None:
    assert board.feed(command.encode() + b"\n") == answer


def test_properties_end_on_the_terminators_line(board: EmulatedBoard) -> None:
    text = board.feed(b"pprops\n")
    assert text.endswith(b"\n}" + DONE)
    assert json.loads(text.removesuffix(DONE))["led_count"] == 4


def test_positions_are_json_in_hundredths_of_a_millimetre(board: EmulatedBoard) -> None:
    table = json.loads(board.feed(b"pledpos\n").removesuffix(DONE))["led_position_list_cartesian"]
    assert table == {"0": [0, 0, 50], "1": [10, 0, 50], "2": [0, -20, 50], "3": [-40, 0, 51]}
    board.feed(b"sad.80\n")
    part = json.loads(board.feed(b"pledpos.1.3\n").removesuffix(DONE))["led_position_list_cartesian"]
    assert part == {"1": [10, 0, 80], "2": [0, -20, 80]}


def test_na_list_is_the_direction_to_the_led(board: EmulatedBoard) -> None:
    table = json.loads(board.feed(b"pledposna\n").removesuffix(DONE))["led_position_list_na"]
    assert table["1"] == pytest.approx([10 / np.hypot(10, 50), 0], abs=1e-3)


@pytest.mark.parametrize(
    ("commands", "lit"),
    [
        ("l.1.3", [0, 1, 0, 1]),
        ("l.1\nl.3", [0, 0, 0, 1]),
        ("ac.0\nl.1\nl.3", [0, 1, 0, 1]),
        ("ff", [1, 1, 1, 1]),
        ("ff\nx", [0, 0, 0, 0]),
        ("na.25\nbf", [1, 1, 0, 0]),  # NA of the four LEDs: 0, 0.20, 0.37, 0.62
        ("na.25\ndf", [0, 0, 1, 1]),
        ("nai.10\nna.25\nbf", [0, 1, 0, 0]),
        ("an.15.40", [0, 1, 1, 0]),
        ("ff\ngs.0", [0, 0, 0, 0]),
        ("ff\ngs.0\ngs.1", [1, 1, 1, 1]),
        ("sb.51\nl.2", [0, 0, 0.2, 0]),
        ("l.2\nsb.51", [0, 0, 1, 0]),  # brightness acts on what is lit afterwards
    ],
)
def test_lights_what_it_is_told(board: EmulatedBoard, commands: str, lit: list[float]) -> None:
    board.feed(commands.encode() + b"\n")
    np.testing.assert_allclose(board.brightness(), lit, atol=1e-6)


@settings(deadline=None)  # the machine may be busy
@given(st.lists(st.integers(1, 40), max_size=30))
def test_chunks_do_not_matter(sizes: list[int]) -> None:
    stream = b"machine\r\nversion\npprops\nl.9\nl.1.2\npledpos\nnonsense\n\nsb.9\n"
    whole = EmulatedBoard(IlluminateFirmware(POSITIONS)).feed(stream)
    board, start, answer = EmulatedBoard(IlluminateFirmware(POSITIONS)), 0, b""
    for size in [*sizes, len(stream)]:
        answer += board.feed(stream[start : start + size])
        start += size
    assert answer == whole


@settings(deadline=None)  # the machine may be busy
@given(st.binary(max_size=200))
def test_any_bytes_get_an_answer_to_each_line(data: bytes) -> None:
    board = EmulatedBoard(IlluminateFirmware(POSITIONS))
    board.feed(b"machine\n")
    answer = board.feed(data + b"\nversion\n")
    assert answer.endswith(b"2.32\n-==-\n")


def test_exposure_gathers_the_light_of_its_own_time() -> None:
    now = [0.0]
    board = EmulatedBoard(IlluminateFirmware(POSITIONS), clock=lambda: now[0])
    board.feed(b"machine\n")
    for now[0], command in ((1.0, b"l.1\n"), (2.0, b"l.2\n"), (4.0, b"x\n")):
        board.feed(command)
    np.testing.assert_allclose(board.mean_brightness(1.0, 2.0), [0, 1, 0, 0])
    np.testing.assert_allclose(board.mean_brightness(1.75, 2.25), [0, 0.5, 0.5, 0])
    np.testing.assert_allclose(board.mean_brightness(0.0, 4.0), [0, 0.25, 0.5, 0])
    np.testing.assert_allclose(board.mean_brightness(5.0, 6.0), 0)


def test_faults(board: EmulatedBoard) -> None:
    board.inject(BoardFault.ERROR, after_commands=1)
    assert board.feed(b"version\n").endswith(DONE)
    assert board.feed(b"version\n").startswith(b"ERROR[3]")
    board.inject(BoardFault.SILENCE)
    assert board.feed(b"version\n") == b""
    board.inject(BoardFault.GARBAGE)
    assert DONE not in board.feed(b"version\n")
    board.inject(BoardFault.ONE_BEHIND)
    board.feed(b"l.0\nl.1\n")
    np.testing.assert_array_equal(board.brightness(), [1, 0, 0, 0])
    board.inject(BoardFault.UNPLUG)
    with pytest.raises(UnpluggedError):
        board.feed(b"x\n")
    board.inject(None)
    assert board.feed(b"version\n").endswith(DONE)
