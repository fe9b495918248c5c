"""The languages of home-made and openUC2 boards: what is on the line, and what is done with what comes back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acquisition.errors import OperatorError
from acquisition.led_array.protocol import LedArrayError
from acquisition.led_array.template import TemplateBoard
from acquisition.led_array.uc2 import Uc2Board, cut_frames
from acquisition.profile_template import TemplateSettings
from acquisition.simulated.template_board import TemplateFirmware
from acquisition.simulated.transport import EmulatedPort

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Line:
    """Writes down what it is sent and answers each line by a function."""

    def __init__(self) -> None:
        self.on_change: Callable[[], None] = lambda: None
        self.sent: list[str] = []
        self.answer: Callable[[str], str] = lambda line: "ok\n"
        self._pending = b""

    def opened(self) -> None: ...

    def poll(self) -> bytes:
        return b""

    def due_in_s(self) -> None: ...

    def feed(self, data: bytes) -> bytes:
        *lines, self._pending = (self._pending + data).split(b"\n")
        said = ""
        for line in lines:
            self.sent.append(line.decode())
            said += self.answer(self.sent[-1])
        return said.encode("latin-1")


@pytest.fixture
def line() -> Line:
    return Line()


@pytest.fixture
def port(line: Line) -> Iterator[str]:
    port = EmulatedPort(line)
    yield port.port
    port.close()


def template(**changes: Any) -> TemplateSettings:
    lines = {"on": "{index},{r},{g},{b}", "off": "{index},0,0,0", "opening_delay_s": 0.0, "reply_timeout_s": 0.2}
    return TemplateSettings(**{**lines, **changes})


def levels(*values: float) -> Any:
    return np.array(values, np.float32)


def test_only_what_was_lit_is_darkened(line: Line, port: str) -> None:
    board = TemplateBoard(port, 115200, template(first_index=10), 3, 128, (255, 51, 0))
    board.off()  # nobody knows what is lit
    board.show(levels(0, 1, 0))
    board.show(levels(0.5, 0, 1))
    board.off()
    board.off()
    assert line.sent == [
        "10,0,0,0", "11,0,0,0", "12,0,0,0",
        "11,128,26,0",
        "11,0,0,0", "10,64,13,0", "12,128,26,0",
        "10,0,0,0", "12,0,0,0",
    ]  # fmt: skip
    board.close()


def test_lines_around_a_pattern(line: Line, port: str) -> None:
    lines = template(on="set {index} {level}", off=None, clear="clear", begin="begin", show="show", max_level=1000)
    board = TemplateBoard(port, 115200, lines, 3)
    board.show(levels(0, 0.5, 0))
    board.off()
    assert line.sent == ["begin", "clear", "set 1 500", "show", "begin", "clear", "show"]
    board.close()


def test_a_line_that_broke_off_leaves_nothing_taken_for_granted(line: Line, port: str) -> None:
    board = TemplateBoard(port, 115200, template(error="^error"), 3)
    board.off()
    line.answer = lambda text: "error: 7\n" if text.startswith("1,255") else "ok\n"
    with pytest.raises(LedArrayError, match=r"'1,255,255,255': 'error: 7' matches .*'\^error'") as caught:
        board.show(levels(1, 1, 1))
    assert "led_board.template" in caught.value.remedy
    line.sent.clear()
    board.off()
    assert line.sent == ["0,0,0,0", "1,0,0,0", "2,0,0,0"]
    board.close()


def test_chatter_is_no_confirmation(line: Line, port: str) -> None:
    board = TemplateBoard(port, 115200, template(), 3)
    line.answer = lambda text: f"got {text}\r\nok\r\n"
    board.show(levels(1, 0, 0))
    line.answer = lambda text: f"got {text}\r\n"
    with pytest.raises(LedArrayError, match=r"did not answer .* only 'got 0,0,0,0'"):
        board.off()
    board.close()


@pytest.mark.parametrize(
    ("answer", "name"),
    [("Ring 24 v2\nok\n", "Ring 24 v2"), ("Ring\n", "Ring"), ("ok\n", "home-made LED board")],
)
def test_name_of_a_home_made_board(answer: str, name: str, line: Line, port: str) -> None:
    board = TemplateBoard(port, 115200, template(identify="who"), 3)
    line.answer = lambda text: answer if text == "who" else "ok\n"
    assert board.identify().name == name
    board.off()
    board.close()


def test_simulated_sketch_needs_an_answer_to_give() -> None:
    TemplateFirmware(template(acknowledge="^thanks$", error="^(error|fail)"), 3)
    with pytest.raises(OperatorError, match="acknowledge") as caught:
        TemplateFirmware(template(acknowledge=r"^\d{4}-[a-f]+$"), 3)
    assert "'ok'" in caught.value.remedy


# --- openUC2 --------------------------------------------------------------------------------------------------------


def framed(**answer: Any) -> str:
    return f"++\n{json.dumps(answer)}\n--\n\0"


def uc2(text: str) -> str:
    question = json.loads(text)
    match question["task"]:
        case "/state_get":
            return "DEBUG: ready\n" + framed(state={"identifier_name": "UC2_Feather", "identifier_id": "V2.0"})
        case "/ledarr_get":
            return framed(led={"isOn": False, "count": 4})
    return framed(qid=question["qid"], success=1)


def test_uc2_asks_with_numbers(line: Line, port: str) -> None:
    line.answer = uc2
    board = Uc2Board(port, brightness=200, color=(0, 255, 51))
    info = board.identify()
    assert (info.name, info.firmware, info.led_count) == ("UC2_Feather", "V2.0", 4)
    board.show(levels(0, 0, 1, 0))
    board.show(levels(0.5, 0.5, 0.5, 0.5))
    board.off()
    questions = [json.loads(text) for text in line.sent]
    assert [question["qid"] for question in questions] == [1, 2, 3, 4, 5]
    assert [question.get("led") for question in questions[2:]] == [
        {"action": "single", "ledIndex": 2, "r": 0, "g": 200, "b": 40},
        {"action": "fill", "r": 0, "g": 100, "b": 20},
        {"action": "off"},
    ]
    board.close()


def test_uc2_takes_no_answer_to_another_question(line: Line, port: str) -> None:
    line.answer = uc2
    board = Uc2Board(port, reply_timeout_s=0.2)
    board.identify()
    line.answer = lambda text: framed(qid=1, success=1) + framed(qid=77, success=-1) + uc2(text)
    board.show(levels(1, 0, 0, 0))
    line.answer = lambda text: framed(qid=1, success=1)
    with pytest.raises(LedArrayError, match="did not answer"):
        board.off()
    board.close()


@pytest.mark.parametrize(
    ("answer", "said"),
    [(framed(qid=-1, success=-1), "refused"), (framed(error="Failed to parse JSON"), "Failed to parse JSON")],
)
def test_uc2_refuses(answer: str, said: str, line: Line, port: str) -> None:
    line.answer = uc2
    board = Uc2Board(port, reply_timeout_s=0.2)
    board.identify()
    line.answer = lambda text: answer
    with pytest.raises(LedArrayError, match=said) as caught:
        board.show(levels(1, 0, 0, 0))
    assert board.port in caught.value.message
    assert caught.value.remedy
    board.close()


@pytest.mark.parametrize("led", [{"led": 3}, {"led": {}}, {"led": {"count": None}}, {"ledArrNum": "many"}])
def test_uc2_without_leds(led: dict[str, Any], line: Line, port: str) -> None:
    line.answer = lambda text: framed(**led) if "ledarr" in text else uc2(text)
    board = Uc2Board(port, reply_timeout_s=0.2)
    with pytest.raises(LedArrayError, match="tells of no LED array"):
        board.identify()
    board.close()


def test_uc2_of_the_generation_with_lists(line: Line, port: str) -> None:
    def old(text: str) -> str:
        if "ledarr_get" in text:
            return framed(ledArrNum=3, ledArrPin=27)
        return uc2(text) if "state" in text else framed(**{"return": 1})

    line.answer = old
    board = Uc2Board(port, color=(255, 0, 0))
    board.identify()
    board.off()
    board.show(levels(0, 1, 0.2))
    board.show(levels(0, 0, 0.2))
    led = [json.loads(text)["led"] for text in line.sent[2:]]
    assert led == [
        {"LEDArrMode": 1, "led_array": [{"id": 0, "r": 0, "g": 0, "b": 0}]},
        {"LEDArrMode": 0, "led_array": [{"id": 1, "r": 255, "g": 0, "b": 0}, {"id": 2, "r": 51, "g": 0, "b": 0}]},
        {"LEDArrMode": 0, "led_array": [{"id": 1, "r": 0, "g": 0, "b": 0}]},
    ]
    board.close()


ANSWER = st.dictionaries(st.sampled_from(["qid", "success", "led"]), st.integers(-1, 99) | st.text("a+-{}", max_size=5))
CHATTER = st.text(st.sampled_from("abc [I]:\r\n{}"), max_size=20)


@given(st.lists(st.tuples(CHATTER, ANSWER), max_size=6), st.lists(st.integers(1, 12), max_size=60))
def test_frames_are_cut_alike_wherever_the_chunks_end(
    answers: list[tuple[str, dict[str, Any]]], sizes: list[int]
) -> None:
    stream = "".join(f"{chatter}\n{framed(**answer)}" for chatter, answer in answers).encode()
    pending, start, found = b"", 0, []
    for size in [*sizes, len(stream)]:
        cut, pending = cut_frames(pending + stream[start : start + size])
        found += cut
        start += size
    assert found == [answer for _, answer in answers]


@given(st.binary(max_size=200))
def test_frames_after_garbage_are_found(garbage: bytes) -> None:
    cut, _ = cut_frames(garbage + b"\n++\n{broken\n" + framed(qid=5).encode())
    assert {"qid": 5} in cut
