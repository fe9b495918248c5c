"""The emulated timing of stored sequences, on a clock of the test's own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acquisition.simulated.board import BoardFault, EmulatedBoard, UnpluggedError
from acquisition.simulated.illuminate_board import IlluminateFirmware
from acquisition.simulated.light import Light
from acquisition.simulated.sequencer import SequenceEnd, Sequencer, StoredSequence

POSITIONS = np.array([[0, 0, 50], [10, 0, 50], [0, -20, 50], [-40, 0, 50]], float)


class Bench:
    """A board with a sequence of four patterns, and a clock that stands still until it is moved."""

    def __init__(self, commands: str, version: str = "2.32") -> None:
        self.now_s = 0.0
        self.board = EmulatedBoard(IlluminateFirmware(POSITIONS, version=version), clock=lambda: self.now_s)
        self.pulses_s: list[float] = []
        self.board.on_trigger_out = self.pulses_s.append
        self.said = [self.board.feed(f"{command}\n".encode()) for command in commands.split()]

    def lit_at(self, time_s: float) -> list[int]:
        self.now_s = time_s
        return np.flatnonzero(self.board.brightness()).tolist()


UPLOAD = "machine ssl.4 ssv.0 ssv.1 ssv.none ssv.3"


def test_timer() -> None:
    bench = Bench(f"{UPLOAD} troutputmode.0.1 rseq.10.1")
    assert bench.said[1:3] == [b"SEQ_LEN.4\n-==-\n", b"-==-\n"]
    assert bench.said[-1] == b""
    assert bench.board.due_in_s() == pytest.approx(0.01)
    assert [bench.lit_at(time_s) for time_s in (0.005, 0.0101, 0.025, 0.0399)] == [[0], [1], [], [3]]
    assert bench.board.poll() == b""
    assert bench.lit_at(0.0401) == []
    assert bench.board.due_in_s() == 0.0  # the closing answer waits to be sent
    assert bench.board.poll() == b"\n-==-\n"
    assert bench.board.due_in_s() is None
    assert bench.pulses_s == pytest.approx([0, 0.01, 0.02, 0.03])
    np.testing.assert_allclose(bench.board.mean_brightness(0.0, 0.04), [0.25, 0.25, 0, 0.25])
    np.testing.assert_allclose(bench.board.mean_brightness(0.005, 0.015), [0.5, 0.5, 0, 0])


def test_a_byte_ends_a_timed_sequence_at_the_next_pattern() -> None:
    bench = Bench(f"{UPLOAD} rseq.10.1")
    bench.now_s = 0.004
    assert bench.board.feed(b"version\n") == b""
    assert bench.lit_at(0.009) == [0]
    bench.now_s = 0.0101
    assert bench.board.poll() == b"ERROR[15]: Command interrupted.\n2.32\n-==-\n"  # then it is a command as any
    assert bench.lit_at(0.011) == []


def test_a_byte_is_swallowed_while_a_trigger_is_awaited() -> None:
    bench = Bench(f"{UPLOAD} trinputmode.0.1 rseq.0.1")
    said = bench.board.feed(b"version\n")
    assert b"serial interrupt" in said
    assert said.endswith(b"ERROR[14]: Trigger timeout.\n")
    assert bench.lit_at(0.0) == []


def test_trigger_too_late() -> None:
    bench = Bench(f"{UPLOAD} trinputmode.0.1 trinputtimeout.2 rseq.0.1")
    bench.now_s = 1.0
    bench.board.trigger(0.1)
    assert bench.lit_at(3.0999) == [1]
    assert bench.lit_at(3.1001) == []
    assert b"(2.00 sec.)" in bench.board.poll()


def test_input_that_stays_high() -> None:
    bench = Bench(f"{UPLOAD} trinputmode.0.1 trinputtimeout.2 rseq.0.1")
    bench.board.trigger(5.0)
    assert bench.lit_at(1.9) == [0]
    assert bench.lit_at(2.1) == []


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("rseq.3.1", b"ERROR[13]: Sequence period was shorter than LED update rate.\n"),
        ("rseq.5.1.1", b"ERROR[8]: Invalid argument.\n"),
        ("ssv.1", b"ERROR[19]: Sequence is full.\n"),
        ("ssv.9", b"ERROR[10]: Invalid argument range.\n"),
        ("ssv", b"ERROR[2]: Wrong number of arguments.\n"),
        ("ssl.60000", b"ERROR[17]: Not enough memory for operation.\n"),
        ("ssl.65538", b"SEQ_LEN.2\n-==-\n"),  # counted with 16 bits
        ("trinputmode.1.1", b"ERROR[10]: Invalid argument range.\n"),
        ("pseq", b"Pattern 0 (1 leds): 0\nPattern 1 (1 leds): 1\nPattern 2 (0 leds): \nPattern 3 (1 leds): 3\n-==-\n"),
    ],
)
def test_sequence_commands_of_generation_2(command: str, answer: bytes) -> None:
    assert Bench(f"{UPLOAD} {command}").said[-1] == answer


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("rseq.3.1.0.0.0.0", b"ERROR (LedArray::rseq): Sequence period was shorter than LED update rate.\n-==-\n"),
        ("ssv.1", b"ERROR (LedArray::ssv): Wrong number of arguments.\n-==-\n"),
        ("ssz.1", b"ERROR (LedArray::ssz): Reached end of sequence.\n-==-\n"),
        ("trinputmode.0.1", b"Command [trinputmode] is not implemented yet.\n-==-\n"),
        ("machine", b"Command [machine] is not implemented yet.\n-==-\n"),
        ("pseql", b"SL.2\n-==-\n"),
    ],
)
def test_sequence_commands_of_generation_1(command: str, answer: bytes) -> None:
    assert Bench(f"ssl.2 ssv.1.255 ssz.1 {command}", "1.32").said[-1] == answer


def test_unplugging_does_not_wait_for_a_command() -> None:
    bench = Bench(f"{UPLOAD} rseq.10.1")
    bench.board.inject(BoardFault.UNPLUG)
    assert bench.board.due_in_s() == 0.0
    with pytest.raises(UnpluggedError):
        bench.board.poll()


times = st.floats(1e-4, 0.2)


@given(
    exposures=st.lists(st.tuples(times, times), min_size=1, max_size=12),
    interval_s=st.sampled_from([0.0, 0.05]),
    looks=st.lists(times, max_size=20),
)
def test_each_exposure_sees_its_own_pattern(
    exposures: list[tuple[float, float]], interval_s: float, looks: list[float]
) -> None:
    """Whenever somebody looks: exposure n is in the light of pattern n alone."""
    count = len(exposures)
    light = Light(count)
    sequencer = Sequencer(light)
    ended: list[SequenceEnd] = []

    def end(how: SequenceEnd) -> bytes:
        ended.append(how)
        return b"end"

    patterns = list(np.eye(count, dtype=np.float32))
    sequencer.start(StoredSequence(patterns, interval_s, True, True, 10.0, end), 0.0)
    now_s, spans, said = 0.0, [], b""
    for number, (pause_s, exposure_s) in enumerate(exposures):
        now_s += pause_s + interval_s
        said += sequencer.advance(now_s)
        sequencer.trigger(now_s, exposure_s)
        spans.append((now_s, now_s + exposure_s))
        if number < len(looks):
            said += sequencer.advance(now_s + min(looks[number], exposure_s))
        now_s += exposure_s
    assert said + sequencer.advance(now_s + 1.0) == b"end"
    assert ended == [SequenceEnd.SHOWN]
    assert len(sequencer.pulses_s) == count
    for number, (start_s, end_s) in enumerate(spans):
        seen = light.mean(start_s, end_s)
        assert seen[number] == pytest.approx(1.0)
        assert seen.sum() == pytest.approx(1.0)
    assert not light.now().any()
