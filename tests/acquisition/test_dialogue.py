"""Question and answer on a line that is late, talks by itself, or goes away."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from acquisition.led_array import dialogue, serial_line
from acquisition.led_array.dialogue import Dialogue
from acquisition.led_array.protocol import LedArrayError
from acquisition.led_array.serial_line import SerialLine

if TYPE_CHECKING:
    from collections.abc import Callable


class Line:
    """A serial line on a clock of its own: `says` tells what has come at a time, and each reading takes 50 ms."""

    port = "fake"

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 0.0
        self.asked_s: list[float] = []
        self.says: Callable[[], bytes] = lambda: b""
        monkeypatch.setattr(dialogue, "time", SimpleNamespace(monotonic=lambda: self.now_s))

    def write(self, data: bytes) -> None:
        self.asked_s.append(self.now_s)

    def read(self) -> bytes:
        self.now_s += 0.05
        return self.says()

    def drain(self, quiet_s: float) -> bytes:
        said, quiet_since = b"", self.now_s
        while self.now_s - quiet_since < quiet_s:
            if data := self.read():
                said, quiet_since = said + data, self.now_s
        return said


def cut(stream: bytes) -> tuple[list[str], bytes]:
    *whole, rest = stream.split(b"\n")
    return [line.decode() for line in whole], rest


def test_a_device_that_talks_for_ever_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    line = Line(monkeypatch)
    line.says = lambda: b"T=21.5\n"
    talk: Dialogue[str] = Dialogue(line, cut, 2.0, "the firmware")  # type: ignore[arg-type]
    talk.in_doubt = False
    with pytest.raises(LedArrayError, match=r"did not answer 'version' .* only 'T=21.5'"):
        talk.ask(b"version\n", expected=lambda reply: reply.startswith("v"))
    assert line.now_s < 30


def test_the_late_answer_to_a_question_asked_twice_is_not_that_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """A board that has restarted answers late what it was asked first, and then what it was asked again."""
    line = Line(monkeypatch)
    replies: list[tuple[float, bytes]] = [(2.5, b"v1\n"), (2.6, b"v1\n"), (9.0, b"ok\n")]

    def says() -> bytes:
        due = [reply for reply in replies if reply[0] <= line.now_s]
        return replies.pop(0)[1] if due else b""

    line.says = says
    talk: Dialogue[str] = Dialogue(line, cut, 2.0, "the firmware")  # type: ignore[arg-type]
    assert talk.ask(b"version\n", times=4) == "v1"
    assert len(line.asked_s) == 2
    replies[-1] = (line.now_s + 1.0, b"ok\n")
    assert talk.ask(b"machine\n") == "ok"


def test_a_line_closed_by_another_thread_in_mid_read_is_a_line_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    class Port:
        is_open = True
        in_waiting = 0

        def read(self, count: int) -> Any:
            self.is_open = False  # and pyserial has no descriptor any more
            raise TypeError("'NoneType' object cannot be interpreted as an integer")

        def close(self) -> None:
            self.is_open = False

    monkeypatch.setattr(serial_line.serial, "serial_for_url", lambda *_, **__: Port())
    with pytest.raises(LedArrayError, match="on fake is gone"):
        SerialLine("fake", 115200).read()


def test_the_socket_of_a_server_that_is_gone_is_closed() -> None:
    """pyserial's own close gives up where the socket can no longer be shut down."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        line = SerialLine(f"socket://127.0.0.1:{server.getsockname()[1]}", 115200)
        behind = line._serial._socket
        behind.shutdown(socket.SHUT_RDWR)  # what is left when the other end has reset the connection
        server.accept()[0].close()
        line.close()
        assert behind.fileno() == -1
