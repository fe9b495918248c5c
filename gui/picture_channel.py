"""Keeps one request for a picture in flight and at most one waiting: the latest wins, nothing piles up."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Wanted = TypeVar("Wanted")
"""What a view asks for: the plane of a slice, the camera of a volume."""

LOST_AFTER_S = 3.0
"""An unanswered request stops blocking its successor after this time (the process may be inside a long first step)."""


class PictureChannel(Generic[Wanted]):
    """Requests of one view for one layer.

    Parameters
    ----------
    name
        Name of the view in the messages; the answers carry it.
    send
        Called with name, request number and what is wanted whenever a request is to go out.

    Attributes
    ----------
    shown
        Number of the newest request that was answered.
    """

    _numbers = itertools.count(1)  # never reused, so an answer is never taken for that of another request

    def __init__(self, name: str, send: Callable[[str, int, Wanted], None]) -> None:
        self.name = name
        self._send = send
        self._in_flight = 0
        self._sent_at_s = 0.0
        self._waiting: Wanted | None = None
        self.shown = 0

    def ask(self, wanted: Wanted) -> None:
        """Ask for a picture now, or as soon as the one in flight has come."""
        if self._in_flight and self.waited_s < LOST_AFTER_S:
            self._waiting = wanted
            return
        self._waiting = None
        self._in_flight = next(self._numbers)
        self._sent_at_s = time.monotonic()
        self._send(self.name, self._in_flight, wanted)

    @property
    def waited_s(self) -> float:
        """How long ago the request in flight was sent."""
        return time.monotonic() - self._sent_at_s

    def answered(self, request: int) -> bool:
        """Take note of an answer; False if a newer one is already shown. Refreshes repeat the last number."""
        if request >= self._in_flight:
            self._in_flight = 0
            if self._waiting is not None:
                self.ask(self._waiting)
        if request < self.shown:
            return False
        self.shown = request
        return True

    def forget(self) -> None:
        """Expect no answer any more: the run they belong to has ended."""
        self._in_flight = 0
        self._waiting = None
