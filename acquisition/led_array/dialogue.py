"""Question and answer on a serial line: one answer to each question, never that to an earlier one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Generic, TypeVar

from acquisition.led_array.protocol import LedArrayError

if TYPE_CHECKING:
    from collections.abc import Callable

    from acquisition.led_array.serial_line import SerialLine

_MAX_REPLY_BYTES = 1_000_000
_LONGEST_ANSWER_S = 15.0  # who talks for longer without answering is no LED board; LED positions take some seconds
_QUIET_S = 0.1  # silence after which nothing of an earlier answer is expected any more

Reply = TypeVar("Reply")


class Dialogue(Generic[Reply]):
    """Talks to a board whose answers a function can cut out of the stream. Not safe for two threads at once.

    Parameters
    ----------
    line
        Open; closed by its owner.
    cut
        Given the bytes so far, takes out the complete answers and returns them with the rest.
    timeout_s
        Silence longer than this is an error.
    firmware
        What the operator should find on the board, for the remedy.
    """

    def __init__(
        self, line: SerialLine, cut: Callable[[bytes], tuple[list[Reply], bytes]], timeout_s: float, firmware: str
    ) -> None:
        self._line = line
        self._cut = cut
        self._timeout_s = timeout_s
        self._firmware = firmware
        self._pending = b""
        self._unexpected = ""  # last answer that was none to the question
        self.in_doubt = True  # a board that starts prints a page that ends like no answer

    def ask(self, question: bytes, expected: Callable[[Reply], bool] = lambda reply: True, times: int = 1) -> Reply:
        """Send one question and wait for its answer; others that come meanwhile are dropped.

        Parameters
        ----------
        times
            Ask again when nothing comes, in all so often: a board that opening its port has restarted is deaf at first.

        Raises
        ------
        LedArrayError
            Silence, talk without an answer for a quarter of a minute, or the line is lost. The line is in doubt then,
            until a whole answer has come, and where it was asked more than once: a late answer must not pass for that
            to the next question.
        """
        for asked in range(times):
            self._drain()
            self.in_doubt = True
            self._line.write(question)
            answer = self._answer(expected)
            if answer is not None:
                self.in_doubt = asked > 0
                return answer
        heard = self._pending.decode("ascii", "replace") or self._unexpected
        said = f"only {shortened(heard)!r}" if heard else "nothing"
        raise LedArrayError(
            f"The LED board on {self._line.port} did not answer '{shortened(question.decode('ascii').strip())}' "
            f"within {self._timeout_s:g} s: {said}.",
            f"Check that this port is the LED board and runs {self._firmware}; switch the board off and on.",
        )

    def _answer(self, expected: Callable[[Reply], bool]) -> Reply | None:
        began = heard = time.monotonic()
        longest_s = max(_LONGEST_ANSWER_S, self._timeout_s)
        received, self._unexpected = 0, ""
        while (now := time.monotonic()) - heard < self._timeout_s and now - began < longest_s:
            if received > _MAX_REPLY_BYTES:
                break
            data = self._line.read()
            if not data:
                continue
            heard = time.monotonic()
            received += len(data)
            complete = self._complete(data)
            answers = [reply for reply in complete if expected(reply)]
            if answers:
                return answers[-1]
            self._unexpected = str(complete[-1]) if complete else self._unexpected
        return None

    def send(self, data: bytes) -> None:
        """Send without waiting for an answer; nothing that came before counts."""
        self._drain()
        self._line.write(data)

    def listen(self, for_s: float) -> list[Reply]:
        """Answers that have come by themselves; waits for the first one, at most `for_s`."""
        end = time.monotonic() + for_s
        while True:
            answers = self._complete(self._line.read())
            if answers or time.monotonic() >= end:
                return answers

    def _complete(self, data: bytes) -> list[Reply]:
        answers, self._pending = self._cut(self._pending + data)
        self._pending = self._pending[-_MAX_REPLY_BYTES:]
        return answers

    def _drain(self) -> None:
        self._line.drain(quiet_s=_QUIET_S if self.in_doubt else 0.0)
        self._pending = b""


def shortened(text: str) -> str:
    """At most 60 characters of a text, for messages."""
    return text if len(text) <= 60 else text[:57] + "..."
