"""What every LED board has to do, driver and emulated board together, through a real port."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acquisition.led_array.illuminate import IlluminateBoard
from acquisition.led_array.protocol import Capability, LedArray, LedArrayError, SequenceRun
from acquisition.led_array.template import TemplateBoard
from acquisition.led_array.uc2 import Uc2Board
from acquisition.profile_template import TemplateSettings
from acquisition.simulated.board import BoardFault, EmulatedBoard
from acquisition.simulated.illuminate_board import IlluminateFirmware
from acquisition.simulated.template_board import TemplateFirmware
from acquisition.simulated.transport import EmulatedPort
from acquisition.simulated.uc2_board import Uc2Firmware

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from acquisition.simulated.board import Firmware

LEDS = 24
POSITIONS = np.stack([np.arange(LEDS) * 2.0, np.zeros(LEDS), np.full(LEDS, 60.0)], axis=1)
PLAIN = TemplateSettings(
    on="{index},{r},{g},{b}", clear="clear", error="^error", opening_delay_s=0.0, reply_timeout_s=0.15
)
BUFFERED = TemplateSettings(
    on="set {index:03d} {level}", off="dark {index:03d}", begin="{{", show="}}", identify="who are you",
    acknowledge=r"\bdone\b", first_index=1, max_level=1000, line_end="\r\n", opening_delay_s=0.0, reply_timeout_s=0.15,
)  # fmt: skip


@dataclass(frozen=True)
class Pair:
    """A firmware, and how its driver is opened on a port."""

    firmware: Callable[[], Firmware]
    driver: Callable[[str], LedArray]


PAIRS = {
    "illuminate 2": Pair(
        lambda: IlluminateFirmware(POSITIONS), lambda port: IlluminateBoard(port, brightness=51, reply_timeout_s=0.15)
    ),
    "illuminate 1": Pair(
        lambda: IlluminateFirmware(POSITIONS, version="1.32"),
        lambda port: IlluminateBoard(port, brightness=51, reply_timeout_s=0.15),
    ),
    "template": Pair(lambda: TemplateFirmware(PLAIN, LEDS), lambda port: TemplateBoard(port, 115200, PLAIN, LEDS, 51)),
    "template, buffered": Pair(
        lambda: TemplateFirmware(BUFFERED, LEDS), lambda port: TemplateBoard(port, 9600, BUFFERED, LEDS, 51)
    ),
    "uc2": Pair(lambda: Uc2Firmware(LEDS), lambda port: Uc2Board(port, brightness=51, reply_timeout_s=0.15)),
    "uc2 with lists": Pair(
        lambda: Uc2Firmware(LEDS, old=True), lambda port: Uc2Board(port, brightness=51, reply_timeout_s=0.15)
    ),
}


@pytest.fixture(params=PAIRS)
def pair(request: pytest.FixtureRequest) -> Pair:
    return PAIRS[request.param]


@pytest.fixture
def emulator(pair: Pair) -> EmulatedBoard:
    return EmulatedBoard(pair.firmware(), boot_s=0.2)


@pytest.fixture
def port(emulator: EmulatedBoard) -> Iterator[EmulatedPort]:
    port = EmulatedPort(emulator)
    yield port
    port.close()


@pytest.fixture
def board(pair: Pair, port: EmulatedPort) -> Iterator[LedArray]:
    board = pair.driver(port.port)
    yield board
    board.close()
    board.close()


def one(led: int, brightness: float = 1.0) -> Any:
    return np.float32(brightness) * np.eye(LEDS, dtype=np.float32)[led]


def test_introduces_itself(board: LedArray) -> None:
    info = board.identify()
    assert info.led_count == LEDS
    assert info.name
    positions = board.positions_mm()
    assert (positions is not None) == (Capability.POSITIONS in info.capabilities)
    if positions is not None:
        np.testing.assert_allclose(positions, POSITIONS)
    assert (info.max_sequence is not None) == (Capability.SEQUENCE in info.capabilities)
    assert (len(info.color_channels) > 1) == (Capability.COLOR in info.capabilities)


def test_lights_what_it_is_told_and_nothing_else(board: LedArray, emulator: EmulatedBoard) -> None:
    levels = Capability.LEVELS in board.identify().capabilities
    board.off()
    patterns = [one(3), one(LEDS - 1), one(3, 0.5), np.zeros(LEDS, np.float32), np.ones(LEDS, np.float32), one(0)]
    if levels:
        patterns += [one(1) + one(2, 0.4), np.linspace(0, 1, LEDS, dtype=np.float32)]
    for pattern in patterns:
        board.show(pattern)
        np.testing.assert_allclose(emulator.brightness(), pattern * 0.2, atol=0.6 / 255)
        assert ((emulator.brightness() > 0) == (np.rint(pattern * 51) > 0)).all()
    board.off()
    assert not emulator.brightness().any()


def test_pattern_that_the_board_cannot_show_is_refused_in_words(board: LedArray, emulator: EmulatedBoard) -> None:
    board.identify()
    board.show(one(2))
    with pytest.raises(LedArrayError, match=f"{LEDS + 1} LEDs") as caught:
        board.show(np.ones(LEDS + 1, np.float32))
    assert board.port in caught.value.message
    assert "geometry" in caught.value.remedy
    board.show(one(4))
    assert np.flatnonzero(emulator.brightness()).tolist() == [4]


def test_uc2_says_what_it_cannot_light() -> None:
    pair = PAIRS["uc2"]
    port = EmulatedPort(EmulatedBoard(pair.firmware()))
    board = pair.driver(port.port)
    assert Capability.LEVELS not in board.identify().capabilities
    with pytest.raises(LedArrayError, match=r"lights 2 LEDs.* lights one, or all 24") as caught:
        board.show(one(1) + one(2))
    assert caught.value.remedy
    board.close()
    port.close()


def test_a_greeting_changes_nothing(board: LedArray, emulator: EmulatedBoard) -> None:
    board.identify()
    board.show(one(5))
    board.greet()
    assert np.flatnonzero(emulator.brightness()).tolist() == [5]


def test_light_lasts_until_the_next_pattern(board: LedArray, emulator: EmulatedBoard) -> None:
    board.identify()
    clock = emulator._clock
    start = clock()
    board.show(one(1))
    lit = clock()
    board.show(one(2))
    end = clock()
    seen = emulator.mean_brightness(start, end)
    assert 0 < seen[1] < 0.2
    assert 0 <= seen[2] < 0.2
    assert not emulator.mean_brightness(start - 1, start).any()
    assert emulator.mean_brightness(lit - 1e-6, lit)[1] == pytest.approx(0.2, abs=0.6 / 255)


@pytest.mark.parametrize("fault", [BoardFault.ERROR, BoardFault.SILENCE, BoardFault.GARBAGE])
def test_faults_are_told_and_pass(fault: BoardFault, board: LedArray, emulator: EmulatedBoard) -> None:
    board.identify()
    board.show(one(1))
    emulator.inject(fault)
    with pytest.raises(LedArrayError) as caught:
        board.show(one(2))
    assert board.port in caught.value.message
    assert caught.value.remedy
    if fault is BoardFault.ERROR and isinstance(board, TemplateBoard):
        assert "error: no power" in caught.value.message  # also where the template knows no refusal
    emulator.inject(None)
    board.show(one(5))
    assert np.flatnonzero(emulator.brightness()).tolist() == [5]


def test_port_with_something_else(board: LedArray, emulator: EmulatedBoard) -> None:
    emulator.inject(BoardFault.GARBAGE)
    with pytest.raises(LedArrayError) as caught:
        board.identify()
        board.off()  # home-made boards are not asked before
    assert board.port in caught.value.message
    assert "Check that this port is the LED board" in caught.value.remedy


def test_unplugged(board: LedArray, emulator: EmulatedBoard) -> None:
    board.identify()
    emulator.inject(BoardFault.UNPLUG)
    for _ in range(2):  # and again on the dead port
        with pytest.raises(LedArrayError, match="is gone") as caught:
            board.show(one(1))
            board.show(one(2))
        assert board.port in caught.value.message
        assert "connect" in caught.value.remedy


def test_one_pattern_behind(board: LedArray, emulator: EmulatedBoard) -> None:
    """The fault is there to be noticed by a scan: nothing on the line shows it."""
    board.identify()
    board.show(one(1))
    emulator.inject(BoardFault.ONE_BEHIND)
    board.show(one(2))
    assert np.flatnonzero(emulator.brightness()).tolist() != [2]


def test_restarts_when_it_is_opened(pair: Pair, emulator: EmulatedBoard, port: EmulatedPort) -> None:
    first = pair.driver(port.port)
    first.identify()
    first.show(one(1))
    first.close()
    emulator.inject(BoardFault.RESTART)
    board: LedArray
    if isinstance(first, TemplateBoard):
        waiting = first._template.model_copy(update={"opening_delay_s": 0.4})
        board = TemplateBoard(port.port, 115200, waiting, LEDS, 51)
    else:
        board = pair.driver(port.port)
    assert board.identify().led_count == LEDS
    board.off()
    assert not emulator.brightness().any()
    board.show(one(6))
    assert np.flatnonzero(emulator.brightness()).tolist() == [6]
    board.close()


def test_port_is_taken_by_one_program(pair: Pair, board: LedArray) -> None:
    with pytest.raises(LedArrayError, match="cannot be opened") as caught:
        pair.driver(board.port)
    assert "no other program" in caught.value.remedy
    with pytest.raises(LedArrayError, match="cannot be opened"):
        pair.driver("no-such-port")


def test_off_comes_from_another_thread(board: LedArray, emulator: EmulatedBoard) -> None:
    board.identify()
    problems: list[LedArrayError] = []

    def darken() -> None:
        try:
            for _ in range(10):
                board.off()
        except LedArrayError as error:
            problems.append(error)

    thread = threading.Thread(target=darken)
    thread.start()
    for led in range(LEDS):
        board.show(one(led))
    thread.join()
    board.off()
    assert not problems
    assert not emulator.brightness().any()


def test_boards_that_store_nothing_say_so(board: LedArray, emulator: EmulatedBoard) -> None:
    info = board.identify()
    board.show(one(3))
    if Capability.SEQUENCE not in info.capabilities:
        for call in (
            lambda: board.load_sequence(np.eye(LEDS, dtype=np.float32), np.arange(3, dtype=np.int32)),
            lambda: board.start_sequence(SequenceRun()),
            lambda: board.wait_sequence(1.0),
        ):
            with pytest.raises(LedArrayError, match="cannot store") as caught:
                call()
            assert "software" in caught.value.remedy
    board.stop_sequence()
    assert not emulator.brightness().any()


class Chopped:
    """An emulated board whose bytes come and go in pieces, with noise before each answer."""

    def __init__(self, board: EmulatedBoard, sizes: list[int], noise: bytes) -> None:
        self._board = board
        self._sizes = sizes
        self._noise = noise
        self._unsent = b""
        self.on_change: Callable[[], None] = lambda: None

    def opened(self) -> None: ...

    def feed(self, data: bytes) -> bytes:
        said = b"".join(self._board.feed(data[at : at + 1]) for at in range(len(data)))
        if said:
            self._unsent += self._noise + said
        return self.poll()

    def poll(self) -> bytes:
        size = self._sizes[len(self._unsent) % len(self._sizes)]
        sent, self._unsent = self._unsent[:size], self._unsent[size:]
        return sent

    def due_in_s(self) -> float | None:
        return 0.0 if self._unsent else None


# Chatter that no language takes for an answer.
NOISE = st.text(st.sampled_from("abc XYZ,;<>()\t=+-\r\n"), max_size=20).map(lambda text: f"\n{text}\n".encode())


@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from([1, 2, 3, 7, 50, 1000]), min_size=1, max_size=6), NOISE)
def test_pieces_and_chatter_do_not_matter(pair: Pair, sizes: list[int], noise: bytes) -> None:
    emulator = EmulatedBoard(pair.firmware())
    illuminate = pair in (PAIRS["illuminate 2"], PAIRS["illuminate 1"])  # its answers are all that is before their end
    port = EmulatedPort(Chopped(emulator, sizes, b"" if illuminate else noise))
    board = pair.driver(port.port)
    try:
        assert board.identify().led_count == LEDS
        board.show(one(7))
        assert np.flatnonzero(emulator.brightness()).tolist() == [7]
        board.off()
        assert not emulator.brightness().any()
    finally:
        board.close()
        port.close()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=120))
def test_no_bytes_bring_a_board_down(pair: Pair, data: bytes) -> None:
    emulator = EmulatedBoard(pair.firmware())
    assert isinstance(emulator.feed(data + b"\n"), bytes)
    assert emulator.brightness().shape == (LEDS,)
    assert (emulator.brightness() <= 1).all()
