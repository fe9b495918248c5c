"""Entry of the reconstruction process: where its log and its last words go, and then its loop."""

from __future__ import annotations

import faulthandler
import logging
import os
import signal
import threading
from typing import TYPE_CHECKING

from recon import messages
from recon.checkpoint import CheckpointFile
from recon.worker import Worker

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from pathlib import Path


class _ToWindow(logging.Handler):
    """Brings the process's log to that of the window."""

    def __init__(self, worker: Worker) -> None:
        super().__init__(logging.WARNING)
        self._worker, self._thread = worker, threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:  # the connection belongs to the loop's thread; others have the file alone
            self._worker.emit(messages.LogLine(record.levelno, record.name, self.format(record)))


def main(connection: Connection, device: str, checkpoint_path: Path | None = None, errors_path: str = "") -> None:
    """Entry point of the process.

    Parameters
    ----------
    connection, device
        As `Worker`.
    checkpoint_path
        Where to keep the state of the run; None: nowhere.
    errors_path
        File for what Python and the libraries print when all else fails; empty: the window's own standard error.
    """
    # Ctrl-C goes to the whole group; the window decides when this process ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if errors_path:
        errors = os.open(errors_path, os.O_WRONLY | os.O_APPEND)
        os.dup2(errors, 2)
        os.close(errors)
        faulthandler.enable(2)
    logging.basicConfig(level=logging.WARNING)
    worker = Worker(connection, device, CheckpointFile(checkpoint_path))
    logging.getLogger().addHandler(_ToWindow(worker))
    try:
        worker.serve()
    finally:
        connection.close()
