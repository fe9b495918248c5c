"""Progress of long work on stderr: a moving bar on a terminal, now and then a line anywhere else."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

LINE_INTERVAL_S = 0.5
"""Time between two lines where there is no terminal."""


class ProgressReport:
    """Tells how far the work is. A context manager; to be used from one thread.

    A terminal that has gone away stops no work: nobody reads, that is all.
    """

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[text]}"),
            TimeElapsedColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self._last_line, self._last_line_s = "", 0.0

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with suppress(OSError):
            self._bar.stop()

    def note(self, text: str) -> None:
        """Print a line that stays."""
        with suppress(OSError):
            self._console.print(text, markup=False)

    def update(self, label: str, done: float, total: float | None, text: str = "") -> None:
        """Tell how far the work called `label` is.

        Parameters
        ----------
        label
            Names the work; a new label begins a new bar.
        done, total
            In any unit; total None where nobody knows it.
        text
            What else there is to say.
        """
        if self._console.is_terminal:
            if label not in self._tasks:
                self._tasks[label] = self._bar.add_task(label, total=total, text=text)
            self._bar.update(self._tasks[label], completed=done, total=total, text=text)
            return
        line, now = f"{label}: {text}", time.monotonic()
        if line != self._last_line and (now - self._last_line_s >= LINE_INTERVAL_S or done == total):
            self._last_line, self._last_line_s = line, now
            self.note(line)
