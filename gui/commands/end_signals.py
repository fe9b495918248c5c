"""The signals that ask a command to end: Ctrl-C, termination, and the terminal or session that goes away."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType


def end_signals() -> tuple[signal.Signals, ...]:
    """Those that this system has and that are not ignored: `nohup` wants the work to outlive its terminal."""
    names = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
    known = (getattr(signal, name) for name in names if hasattr(signal, name))
    return tuple(number for number in known if signal.getsignal(number) != signal.SIG_IGN)


@contextmanager
def noted_signals(on_first: Callable[[], None] = lambda: None) -> Iterator[list[int]]:
    """Only note what asks the program to end, so that it finishes what must not be cut short; main thread only.

    An exception in the middle of anything could get lost, leave the LEDs on that were just being switched off, or leave
    the program before a thread has ended (before Python 3.13, one within `Thread.join` marks a running thread as
    ended); so nothing is raised here, however often Ctrl-C is pressed.

    Parameters
    ----------
    on_first
        Called with the first signal.

    Returns
    -------
    Context with the list of the signals that have come.
    """
    came: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        came.append(number)
        if len(came) == 1:
            on_first()

    before = {number: signal.signal(number, note) for number in end_signals()}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
