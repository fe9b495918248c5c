"""Frames on their way to the file: stored by a thread of its own, so that the next exposure does not wait for the disk.

A disk takes some milliseconds for a frame and now and then, when it really writes, a tenth of a second. A few frames
may wait; then whoever takes them waits as well.
"""

from __future__ import annotations

import logging
import queue
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from acquisition.pacing import TakenFrame

_log = logging.getLogger(__name__)

_MOST_WAITING = 4


class FrameStore:
    """Keeps frames one after the other, in the order in which they come; a context manager.

    Its block ends when all frames are kept, whatever it ends by: outside of it nothing runs that would need a lock.

    Parameters
    ----------
    keep
        Called on the thread of the store with each frame. After its first error no more frames are kept, and `put` or
        the end of the block raises that error.
    """

    def __init__(self, keep: Callable[[TakenFrame], None]) -> None:
        self._keep = keep
        self._waiting: queue.Queue[TakenFrame | None] = queue.Queue(_MOST_WAITING)
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._work, name="frame-store")

    def put(self, frame: TakenFrame) -> None:
        """Hand over a frame to be kept; waits while too many do so already."""
        if self._error is not None:
            raise self._error
        self._waiting.put(frame)

    def _work(self) -> None:
        while (frame := self._waiting.get()) is not None:
            if self._error is None:
                try:
                    self._keep(frame)
                except Exception as error:
                    self._error = error
            del frame  # an idle thread keeps no image alive

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._waiting.put(None)
        self._thread.join()
        if self._error is None or self._error is error:
            return
        if error is None:
            raise self._error
        _log.error("frames were not stored either", exc_info=self._error)  # the first error is the one to show
