from __future__ import annotations

import os
import socket
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acquisition.led_array import serial_line
from acquisition.led_array.illuminate import USB_IDS, IlluminateBoard
from acquisition.led_array.illuminate_reply import ERRORS, Reply, cut_replies
from acquisition.led_array.protocol import Capability, LedArrayError
from acquisition.led_array.serial_line import find_port
from acquisition.simulated.board import BoardFault, EmulatedBoard
from acquisition.simulated.illuminate_board import IlluminateFirmware
from acquisition.simulated.transport import Device, EmulatedPort

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KINDS = ["pty", "socket"] if hasattr(os, "openpty") else ["socket"]
POSITIONS = np.stack([np.arange(400) * 0.5, np.zeros(400), np.full(400, 80.0)], axis=1)


class Scripted:
    """A device that answers what a function says."""

    def __init__(self, answer: Callable[[bytes], bytes]) -> None:
        self.on_change: Callable[[], None] = lambda: None
        self.feed = answer

    def opened(self) -> None: ...

    def poll(self) -> bytes:
        return b""

    def due_in_s(self) -> None: ...


@pytest.fixture(params=KINDS)
def port(request: pytest.FixtureRequest) -> Iterator[Callable[..., EmulatedPort]]:
    ports = []

    def make(device: Device) -> EmulatedPort:
        ports.append(EmulatedPort(device, request.param))
        return ports[-1]

    yield make
    for opened in ports:
        opened.close()


@pytest.fixture
def emulator() -> EmulatedBoard:
    return EmulatedBoard(IlluminateFirmware(POSITIONS))


@pytest.fixture
def board(port: Callable[..., EmulatedPort], emulator: EmulatedBoard) -> Iterator[IlluminateBoard]:
    board = IlluminateBoard(port(emulator).port, brightness=100, reply_timeout_s=0.4)
    yield board
    board.close()


def test_identify_and_positions(board: IlluminateBoard) -> None:
    info = board.identify()
    assert (info.name, info.firmware, info.led_count) == ("fieldscope.simulated", "2.32", 400)
    np.testing.assert_allclose(board.positions_mm(), POSITIONS)


def test_shows_exactly_the_pattern(board: IlluminateBoard, emulator: EmulatedBoard) -> None:
    board.identify()
    for pattern in (
        np.eye(400)[7],
        np.ones(400),  # more than one command line takes
        np.isin(np.arange(400), [1, 2, 399]) * 0.5,
        np.linspace(0, 1, 400).round(1),  # ten levels
        np.zeros(400),
    ):
        board.show(pattern.astype(np.float32))
        np.testing.assert_allclose(emulator.brightness(), np.rint(pattern * 100) / 255, atol=1e-6)
    board.show(np.ones(400, np.float32))
    board.off()
    assert not emulator.brightness().any()


def test_pattern_for_another_board_is_refused(board: IlluminateBoard) -> None:
    board.identify()
    with pytest.raises(LedArrayError, match="401 LEDs"):
        board.show(np.ones(401, np.float32))


def test_error_is_told_in_words_and_the_board_goes_on(board: IlluminateBoard) -> None:
    board.identify()
    with pytest.raises(LedArrayError, match="out of range") as caught:
        board.command("l.400")
    assert "error 10" in caught.value.message
    assert caught.value.remedy
    assert board.command("version") == "2.32"


@pytest.mark.parametrize("number", range(1, 20))
def test_every_error_number_has_words_and_a_remedy(number: int) -> None:
    meaning, remedy = ERRORS[number]
    assert meaning
    assert remedy.endswith(".")


def test_silence_is_an_error_soon_and_not_for_ever(board: IlluminateBoard, emulator: EmulatedBoard) -> None:
    board.identify()
    emulator.inject(BoardFault.SILENCE)
    started = time.monotonic()
    with pytest.raises(LedArrayError, match="did not answer"):
        board.command("sn")
    assert time.monotonic() - started < 1.5
    emulator.inject(None)
    assert board.command("version") == "2.32"


def test_late_answer_is_dropped(port: Callable[..., EmulatedPort]) -> None:
    def slow(data: bytes) -> bytes:
        if data.startswith(b"slow"):
            time.sleep(0.25)
            return b"late\n-==-\n"
        return b"right\n-==-\n"

    board = IlluminateBoard(port(Scripted(slow)).port, reply_timeout_s=0.2)
    with pytest.raises(LedArrayError, match="did not answer"):
        board.command("slow")
    assert board.command("next") == "right"
    board.close()


@pytest.mark.parametrize("fault", [BoardFault.GARBAGE, BoardFault.SILENCE])
def test_a_port_with_something_else_is_told(
    fault: BoardFault, board: IlluminateBoard, emulator: EmulatedBoard
) -> None:
    emulator.inject(fault)
    with pytest.raises(LedArrayError) as caught:
        board.identify()
    assert board.port in caught.value.message
    assert "illuminate" in caught.value.remedy


def test_board_that_is_still_starting_is_waited_for(port: Callable[..., EmulatedPort]) -> None:
    emulator = EmulatedBoard(IlluminateFirmware(POSITIONS))
    asked: list[bytes] = []

    def starting(data: bytes) -> bytes:
        asked.append(data)
        return b"=====\n  illuminate is starting\n" if len(asked) < 3 else emulator.feed(data)

    board = IlluminateBoard(port(Scripted(starting)).port, reply_timeout_s=0.2)
    assert board.identify().led_count == 400
    board.close()


def test_firmware_of_the_first_generation(port: Callable[..., EmulatedPort]) -> None:
    emulator = EmulatedBoard(IlluminateFirmware(POSITIONS, version="1.32"))
    board = IlluminateBoard(port(emulator).port)
    info = board.identify()
    assert (info.led_count, info.firmware) == (400, "1.32")
    assert Capability.SEQUENCE_LEVELS in info.capabilities
    np.testing.assert_allclose(board.positions_mm(), POSITIONS)
    for command in ("dark", "na.x"):
        with pytest.raises(LedArrayError, match="refused"):
            board.command(command)
    emulator.inject(BoardFault.ERROR)
    with pytest.raises(LedArrayError, match="Source disconnected") as caught:
        board.show(np.ones(400, np.float32))
    assert "power supply" in caught.value.remedy
    board.close()


@pytest.mark.parametrize("version", ["2.32", "1.32"])
def test_color(port: Callable[..., EmulatedPort], version: str) -> None:
    emulator = EmulatedBoard(IlluminateFirmware(POSITIONS, version=version, colors=("r", "g", "b")))
    board = IlluminateBoard(port(emulator).port, brightness=51, color=(0, 255, 100))
    assert Capability.COLOR in board.identify().capabilities
    board.show(np.eye(400, dtype=np.float32)[3])
    np.testing.assert_allclose(emulator.brightness(), np.eye(400)[3] * 0.2, atol=1e-6)
    assert "0.51.20" in board.command("sc")
    board.close()
    plain = IlluminateBoard(port(EmulatedBoard(IlluminateFirmware(POSITIONS, version=version))).port, color=(0, 255, 0))
    with pytest.raises(LedArrayError, match="one only") as caught:
        plain.identify()
    assert "led_board.color" in caught.value.remedy
    plain.close()


def test_unplugged(board: IlluminateBoard, emulator: EmulatedBoard) -> None:
    board.identify()
    emulator.inject(BoardFault.UNPLUG)
    for _ in range(2):  # and again on the dead port
        with pytest.raises(LedArrayError, match="LED board on") as caught:
            board.off()
        assert board.port in caught.value.message
    board.close()


def test_port_in_use_or_missing(port: Callable[..., EmulatedPort], emulator: EmulatedBoard) -> None:
    with pytest.raises(LedArrayError, match="cannot be opened"):
        IlluminateBoard("no-such-port")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        closed = listener.getsockname()[1]
    with pytest.raises(LedArrayError, match="cannot be opened"):
        IlluminateBoard(f"socket://127.0.0.1:{closed}")
    line = port(emulator)
    if not line.port.startswith("socket"):
        board = IlluminateBoard(line.port)
        with pytest.raises(LedArrayError, match="cannot be opened"):
            IlluminateBoard(line.port)
        board.close()
        IlluminateBoard(line.port).close()


def test_auto_port_needs_exactly_one_board(monkeypatch: pytest.MonkeyPatch) -> None:
    teensy = SimpleNamespace(device="/dev/ttyACM0", vid=0x16C0, pid=0x0483, description="USB Serial")
    stage = SimpleNamespace(device="/dev/ttyUSB0", vid=0x0403, pid=0x6001, description="stage")
    second = SimpleNamespace(device="/dev/ttyACM1", vid=0x16C0, pid=0x0483, description="USB Serial")
    present: list[SimpleNamespace] = []
    monkeypatch.setattr(serial_line.list_ports, "comports", lambda: present)
    with pytest.raises(LedArrayError, match="Ports present: none"):
        find_port(USB_IDS)
    present.append(stage)
    with pytest.raises(LedArrayError, match="stage"):
        find_port(USB_IDS)
    present.append(teensy)
    assert find_port(USB_IDS) == "/dev/ttyACM0"
    present.append(second)
    with pytest.raises(LedArrayError, match="More than one"):
        find_port(USB_IDS)


TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="-["), max_size=30).map(str.strip)
REPLY = st.one_of(
    TEXT.map(lambda text: (f"{text}\n-==-\n", Reply(text))),
    TEXT.map(lambda text: (f"{text}-==-\r\n", Reply(text))),
    st.tuples(st.integers(0, 99), TEXT).map(lambda e: (f"ERROR[{e[0]}]: {e[1]}\n", Reply(e[1], e[0]))),
)


@settings(deadline=None)  # the machine may be busy
@given(st.lists(REPLY, max_size=6), st.lists(st.integers(1, 12), max_size=40))
def test_replies_are_cut_alike_wherever_the_chunks_end(replies: list[tuple[str, Reply]], sizes: list[int]) -> None:
    stream = "".join(text for text, _ in replies).encode()
    pending, start, found = b"", 0, []
    for size in [*sizes, len(stream)]:
        cut, pending = cut_replies(pending + stream[start : start + size])
        found += cut
        start += size
    assert found == [reply for _, reply in replies]
    assert pending == b""


def test_a_broken_off_pattern_leaves_nothing_of_itself(
    board: IlluminateBoard, emulator: EmulatedBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the board clears before a pattern is in doubt when one of several levels has broken off."""
    board.identify()
    real = board.command

    def lost(line: str) -> str:
        raise LedArrayError("the line is lost")

    def only_until_ac0(line: str) -> str:
        text = real(line)
        if line == "ac.0":
            monkeypatch.setattr(board, "command", lost)
        return text

    monkeypatch.setattr(board, "command", only_until_ac0)
    with pytest.raises(LedArrayError, match="lost"):
        board.show(np.linspace(0, 1, 400, dtype=np.float32).round(1))
    monkeypatch.setattr(board, "command", real)
    board.show(np.eye(400, dtype=np.float32)[7])
    assert np.count_nonzero(emulator.brightness()) == 1
