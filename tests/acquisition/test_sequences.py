"""Sequences that the board shows by itself, in both generations of the illuminate firmware."""

from __future__ import annotations

import threading
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from acquisition.led_array.illuminate import IlluminateBoard
from acquisition.led_array.protocol import Capability, LedArrayError, SequenceRun
from acquisition.simulated.board import BoardFault, EmulatedBoard
from acquisition.simulated.illuminate_board import IlluminateFirmware
from acquisition.simulated.transport import EmulatedPort

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LEDS = 400
POSITIONS = np.stack([np.arange(LEDS) * 0.5, np.zeros(LEDS), np.full(LEDS, 80.0)], axis=1)
EYE = np.eye(LEDS, dtype=np.float32)
BY_TIMER = SequenceRun("timer", 5)
BY_TRIGGER = SequenceRun("trigger", trigger_timeout_s=1)
WAITING = SequenceRun("trigger", trigger_timeout_s=60)
SLOW = SequenceRun("timer", 60)
HANDSHAKE = SequenceRun("trigger", send_trigger=True, trigger_timeout_s=5)


class Recorded(EmulatedBoard):
    """Keeps what was lit and for how long, pattern after pattern."""

    def patterns(self) -> list[tuple[float, Any]]:
        history = list(self._light._history)
        return [(until - since, lit_l) for (since, lit_l), (until, _) in pairwise(history[1:])]


@pytest.fixture(params=["2.32", "1.32"])
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def emulator(version: str) -> Recorded:
    return Recorded(IlluminateFirmware(POSITIONS, version=version))


@pytest.fixture
def open_board() -> Iterator[Callable[[EmulatedBoard], IlluminateBoard]]:
    opened: list[tuple[IlluminateBoard, EmulatedPort]] = []

    def make(emulator: EmulatedBoard) -> IlluminateBoard:
        port = EmulatedPort(emulator)
        opened.append((IlluminateBoard(port.port, brightness=102, reply_timeout_s=1.0), port))
        opened[-1][0].identify()
        return opened[-1][0]

    yield make
    for board, port in opened:
        board.close()
        port.close()


@pytest.fixture
def board(emulator: EmulatedBoard, open_board: Callable[[EmulatedBoard], IlluminateBoard]) -> IlluminateBoard:
    return open_board(emulator)


def order(*patterns: int) -> Any:
    return np.array(patterns, np.int32)


def lit(emulator: EmulatedBoard) -> list[int]:
    return np.flatnonzero(emulator.brightness()).tolist()


def camera(emulator: EmulatedBoard, exposure_s: float = 0.002) -> list[float]:
    """Have an exposure follow each trigger of the board; the times of the triggers."""
    times: list[float] = []

    def expose(time_s: float) -> None:
        times.append(time_s)
        emulator.trigger(exposure_s)

    emulator.on_trigger_out = expose
    return times


def test_board_tells_what_it_can(board: IlluminateBoard, version: str) -> None:
    info = board.identify()
    wanted = Capability.SEQUENCE | Capability.TRIGGER_IN | Capability.TRIGGER_OUT | Capability.POSITIONS
    assert wanted in info.capabilities
    assert (Capability.SEQUENCE_LEVELS in info.capabilities) == (version == "1.32")
    assert info.max_sequence == 65535
    assert info.min_interval_ms == 5
    assert info.min_trigger_interval_ms == (5 if version == "1.32" else 0)


def test_timer_shows_every_pattern_for_its_time(board: IlluminateBoard, emulator: Recorded) -> None:
    board.load_sequence(EYE, order(-1, 7, 399, 7, -1))
    for _ in range(2):
        before = len(emulator.patterns())
        board.start_sequence(SequenceRun("timer", 7.2))
        board.wait_sequence(5)
        shown = emulator.patterns()[before:]
        assert [np.flatnonzero(lit_l).tolist() for _, lit_l in shown[-5:]] == [[], [7], [399], [7], []]
        assert [span for span, _ in shown[-5:]] == pytest.approx([0.008] * 5)
        assert shown[-4][1].max() == pytest.approx(102 / 255)
        assert lit(emulator) == []


def test_camera_leads(board: IlluminateBoard, emulator: Recorded) -> None:
    board.load_sequence(EYE, order(5, 3, -1))
    board.start_sequence(WAITING)
    ready = threading.Event()
    for pattern in ([5], [3], []):
        assert lit(emulator) == pattern
        start = emulator._clock()
        emulator.trigger(0.01)
        while emulator._clock() < start + 0.011:
            ready.wait(0.001)
        seen = np.flatnonzero(emulator.mean_brightness(start, start + 0.009)).tolist()
        assert seen == pattern
    board.wait_sequence(5)
    assert lit(emulator) == []


def test_board_leads(board: IlluminateBoard, emulator: EmulatedBoard) -> None:
    times: list[float] = []
    emulator.on_trigger_out = times.append
    board.load_sequence(EYE, order(*range(20)))
    board.start_sequence(SequenceRun("timer", 5, send_trigger=True))
    board.wait_sequence(5)
    assert len(times) == 20
    assert np.diff(times) == pytest.approx(0.005)


def test_handshake(board: IlluminateBoard, emulator: Recorded) -> None:
    times = camera(emulator, 0.006)
    board.load_sequence(EYE, order(*range(30)))
    board.start_sequence(HANDSHAKE)
    board.wait_sequence(5)
    assert len(times) == 30
    assert np.diff(times).min() >= 0.006 - 1e-9


def test_no_trigger_is_an_error_in_words(board: IlluminateBoard, emulator: EmulatedBoard) -> None:
    board.load_sequence(EYE, order(5, 3))
    board.start_sequence(BY_TRIGGER)
    with pytest.raises(LedArrayError, match=r"no trigger came in time .*max delay") as caught:
        board.wait_sequence(5)
    assert "trigger cable" in caught.value.remedy
    assert lit(emulator) == []
    board.show(EYE[2])
    assert lit(emulator) == [2]


def test_lost_trigger_ends_in_an_error(board: IlluminateBoard, emulator: EmulatedBoard) -> None:
    times = camera(emulator)
    emulator.inject(BoardFault.LOST_TRIGGER, after_commands=4)
    board.load_sequence(EYE, order(*range(10)))
    board.start_sequence(SequenceRun("trigger", send_trigger=True, trigger_timeout_s=1))
    with pytest.raises(LedArrayError, match="no trigger came in time"):
        board.wait_sequence(5)
    assert len(times) == 5


@pytest.mark.parametrize("run", [SLOW, WAITING])
def test_stop_leaves_a_clean_line(run: SequenceRun, board: IlluminateBoard, emulator: EmulatedBoard) -> None:
    board.load_sequence(EYE, order(*range(100)))
    for _ in range(2):
        board.start_sequence(run)
        assert lit(emulator)
        board.stop_sequence()
        assert lit(emulator) == []
        board.stop_sequence()  # nothing runs
        board.show(EYE[8])
        assert lit(emulator) == [8]
        with pytest.raises(LedArrayError, match="No sequence runs"):
            board.wait_sequence(1)


def test_stop_after_the_end_that_nobody_has_waited_for(board: IlluminateBoard, emulator: EmulatedBoard) -> None:
    board.load_sequence(EYE, order(1, 2))
    board.start_sequence(BY_TIMER)
    while emulator._sequencer.running:
        lit(emulator)
    board.stop_sequence()
    assert board.command("version").splitlines()[-1] in ("2.32", "1.32")


@pytest.mark.parametrize("run", [SLOW, WAITING])
def test_another_program_interrupts(run: SequenceRun, board: IlluminateBoard, emulator: EmulatedBoard) -> None:
    board.load_sequence(EYE, order(*range(100)))
    board.start_sequence(run)
    with emulator._lock:  # as if it had come on the line
        emulator._take(b"\n", emulator._clock())
    emulator.on_change()
    with pytest.raises(LedArrayError, match="interrupted") as caught:
        board.wait_sequence(5)
    assert "other programs" in caught.value.remedy
    board.off()
    assert lit(emulator) == []


def test_off_from_another_thread_ends_the_wait(board: IlluminateBoard, emulator: EmulatedBoard) -> None:
    board.load_sequence(EYE, order(*range(9)))
    board.start_sequence(WAITING)
    ended: list[LedArrayError] = []

    def wait() -> None:
        try:
            board.wait_sequence(60)
        except LedArrayError as error:
            ended.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    board.off()
    thread.join(20)
    assert "it was stopped" in ended[0].message
    assert lit(emulator) == []


def test_no_command_disturbs_a_sequence(board: IlluminateBoard, emulator: EmulatedBoard) -> None:
    board.load_sequence(EYE, order(1, 2))
    board.start_sequence(WAITING)
    for call in (
        lambda: board.show(EYE[3]),
        lambda: board.load_sequence(EYE, order(1)),
        lambda: board.start_sequence(WAITING),
    ):
        with pytest.raises(LedArrayError, match="A sequence runs") as caught:
            call()
        assert caught.value.remedy
    assert lit(emulator) == [1]
    board.off()


def test_a_wait_that_is_too_short_leaves_it_running(board: IlluminateBoard, emulator: EmulatedBoard) -> None:
    board.load_sequence(EYE, order(1, 2))
    board.start_sequence(HANDSHAKE)
    with pytest.raises(LedArrayError, match=r"within 0\.05 s"):
        board.wait_sequence(0.05)
    emulator.trigger(0.001)
    while lit(emulator) != [2]:
        pass
    emulator.trigger(0.001)
    board.wait_sequence(5)


@pytest.mark.parametrize("fault", [BoardFault.UNPLUG, BoardFault.SILENCE])
def test_board_is_lost_in_mid_sequence(fault: BoardFault, board: IlluminateBoard, emulator: EmulatedBoard) -> None:
    board.load_sequence(EYE, order(*range(100)))
    board.start_sequence(SLOW)
    emulator.inject(fault)
    with pytest.raises(LedArrayError, match=r"is gone|has not told the end") as caught:
        board.wait_sequence(0.2)
    assert board.port in caught.value.message
    with pytest.raises(LedArrayError):
        board.stop_sequence()


def test_upload_that_breaks_off_stores_nothing(board: IlluminateBoard, emulator: EmulatedBoard) -> None:
    board.load_sequence(EYE, order(1))
    emulator.inject(BoardFault.ERROR, after_commands=5)
    with pytest.raises(LedArrayError, match="refused"):
        board.load_sequence(EYE, order(*range(9)))
    emulator.inject(None)
    with pytest.raises(LedArrayError, match="No sequence is stored"):
        board.start_sequence(BY_TIMER)


def test_memory_is_the_boards_word(board: IlluminateBoard) -> None:
    with pytest.raises(LedArrayError, match="memory"):
        board.load_sequence(EYE, np.zeros(5000, np.int32))
    for count in (0, 70_000):
        with pytest.raises(LedArrayError, match="1 to 65535"):
            board.load_sequence(EYE, np.zeros(count, np.int32))
    with pytest.raises(IndexError):
        board.load_sequence(EYE, order(LEDS))
    board.load_sequence(EYE[:0], order(-1, -1))  # all dark
    with pytest.raises(LedArrayError, match="401 LEDs"):
        board.load_sequence(np.ones((1, 401), np.float32), order(0))


def test_board_that_makes_room_for_fewer(
    board: IlluminateBoard, emulator: EmulatedBoard, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = board.command
    monkeypatch.setattr(board, "command", lambda line: "SEQ_LEN.1" if line.startswith("ssl") else real(line))
    with pytest.raises(LedArrayError, match="room for 1 patterns instead of 2"):
        board.load_sequence(EYE, order(1, 2))


def test_brightness_in_a_sequence(board: IlluminateBoard, emulator: Recorded, version: str) -> None:
    patterns = np.stack([EYE[1] + EYE[2], 0.5 * EYE[3], EYE[4] + 0.25 * EYE[5]])
    board.load_sequence(patterns[1:2], order(0, 0))  # one brightness, though not the full one
    board.start_sequence(BY_TIMER)
    board.wait_sequence(5)
    np.testing.assert_allclose(emulator.patterns()[-1][1], EYE[3] * 51 / 255, atol=1e-6)
    if version == "2.32":
        with pytest.raises(LedArrayError, match=r"3 different brightnesses \(26 to 102 of 255\)") as caught:
            board.load_sequence(patterns, order(0, 1, 2))
        assert "software" in caught.value.remedy
        board.load_sequence(patterns, order(0, 0))  # what is not shown does not matter
        return
    board.load_sequence(patterns, order(2, 1, -1, 0))
    board.start_sequence(BY_TIMER)
    board.wait_sequence(5)
    shown = np.array([lit_l for _, lit_l in emulator.patterns()[-4:]])
    np.testing.assert_allclose(shown[[0, 1, 3]], patterns[[2, 1, 0]] * 0.4, atol=0.6 / 255)


def test_what_is_shown_in_between_does_not_dim_the_sequence(board: IlluminateBoard, emulator: Recorded) -> None:
    board.load_sequence(EYE, order(3))
    board.show(0.5 * EYE[7])
    for _ in range(2):
        board.start_sequence(BY_TIMER)
        board.wait_sequence(5)
        np.testing.assert_allclose(emulator.patterns()[-1][1], EYE[3] * 0.4, atol=1e-6)
        board.show(0.25 * EYE[7])


def test_patterns_of_many_leds(board: IlluminateBoard, emulator: Recorded, version: str) -> None:
    half = (np.arange(LEDS) >= 80).astype(np.float32)
    scattered = half.copy()
    scattered[100] = 0
    if version == "1.32":
        with pytest.raises(LedArrayError, match=r"320 LEDs.* 145 at most"):
            board.load_sequence(half[None], order(0))
        return
    board.load_sequence(half[None], order(0))
    board.start_sequence(BY_TIMER)
    board.wait_sequence(5)
    np.testing.assert_allclose(emulator.patterns()[-1][1], half * 0.4)
    with pytest.raises(LedArrayError, match=r"319 LEDs.* 290 at most"):
        board.load_sequence(scattered[None], order(0))


@pytest.mark.parametrize("run", [SequenceRun("timer", 0), SequenceRun("timer", 3.9), SequenceRun("trigger", 1)])
def test_too_fast(run: SequenceRun, board: IlluminateBoard) -> None:
    board.load_sequence(EYE, order(1))
    with pytest.raises(LedArrayError, match="5 to 60000 ms") as caught:
        board.start_sequence(run)
    assert caught.value.remedy


def test_board_without_triggers(version: str, open_board: Callable[[EmulatedBoard], IlluminateBoard]) -> None:
    board = open_board(EmulatedBoard(IlluminateFirmware(POSITIONS, version=version, trigger_count=0)))
    board.load_sequence(EYE, order(1))
    for run, word in ((BY_TRIGGER, "input"), (SequenceRun("timer", 5, send_trigger=True), "output")):
        with pytest.raises(LedArrayError, match=f"no trigger {word}"):
            board.start_sequence(run)
    board.start_sequence(BY_TIMER)
    board.wait_sequence(5)


def test_start_that_the_board_refuses(board: IlluminateBoard, emulator: EmulatedBoard) -> None:
    board.load_sequence(EYE, order(1))
    emulator.inject(BoardFault.ERROR, after_commands=0)
    with pytest.raises(LedArrayError):
        board.start_sequence(BY_TIMER)
    emulator.inject(None)
    board.start_sequence(BY_TIMER)
    board.wait_sequence(5)


def test_a_sequence_left_by_a_killed_program(
    version: str, emulator: EmulatedBoard, open_board: Callable[[EmulatedBoard], IlluminateBoard]
) -> None:
    first = open_board(emulator)
    first.load_sequence(EYE, order(*range(9)))
    first.start_sequence(WAITING)
    first.identify()  # as the next program does
    first.off()
    assert lit(emulator) == []
    with pytest.raises(LedArrayError, match="No sequence is stored"):
        first.start_sequence(BY_TIMER)
