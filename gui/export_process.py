"""The export that runs beside the window: starts its process, hears of it on a thread, and ends it."""

from __future__ import annotations

import multiprocessing
from contextlib import suppress
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer, Signal

from gui.export.child import run_export
from gui.export.job import NotWritten, Progress, Written

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

    from gui.export.job import ExportJob

END_WITHIN_MS = 5000
"""A process that was asked to end and still runs is ended by force."""


class ExportProcess(QObject):
    """One export at a time. `progress(Progress)` while it runs; then once `ended(Written | NotWritten)`."""

    progress = Signal(object)
    ended = Signal(object)
    _arrived = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._process: BaseProcess | None = None
        self._connection: Connection | None = None
        self._arrived.connect(self._tell)

    @property
    def running(self) -> bool:
        """Whether an export has begun and `ended` has not been emitted."""
        return self._process is not None

    def start(self, job: ExportJob) -> None:
        """Begin an export."""
        assert not self.running
        spawn = multiprocessing.get_context("spawn")
        self._connection, theirs = spawn.Pipe()
        self._process = spawn.Process(target=run_export, args=(job, theirs), name="export", daemon=True)
        Thread(target=self._run, args=(self._process, self._connection, theirs), name="export", daemon=True).start()

    def cancel(self) -> None:
        """Ask it to stop; `ended` follows."""
        if self._process is None or self._connection is None:
            return
        with suppress(OSError):  # it ends by itself just now
            self._connection.send("cancel")
        QTimer.singleShot(END_WITHIN_MS, partial(self._force, self._process))

    def _force(self, process: BaseProcess) -> None:
        if process is self._process and process.pid is not None:
            process.terminate()

    def _run(self, process: BaseProcess, ours: Connection, theirs: Connection) -> None:
        """Start the process, which takes a moment, and hand on what it tells."""
        process.start()
        theirs.close()
        last: Written | NotWritten = NotWritten("The export has ended unexpectedly.", "Export again.")
        try:
            while isinstance(told := ours.recv(), Progress):
                self._arrived.emit(told)
            last = told
        except (EOFError, OSError):
            pass
        process.join()
        ours.close()
        self._arrived.emit(last)

    def _tell(self, told: Progress | Written | NotWritten) -> None:
        if isinstance(told, Progress):
            self.progress.emit(told)
            return
        self._process = self._connection = None
        self.ended.emit(told)
