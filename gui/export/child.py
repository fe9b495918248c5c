"""An export in a process of its own: started by the window, with little priority, so that a fit goes on as before."""

from __future__ import annotations

import logging
import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

from acquisition.errors import OperatorError
from gui.export.job import NotWritten, Progress, Written

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from gui.export.job import ExportJob

log = logging.getLogger(__name__)

NICENESS = 10


def run_export(job: ExportJob, connection: Connection) -> None:
    """Write a job; tells `Progress`, and last `Written` or `NotWritten`.

    Whatever arrives on the connection, and its end, cancels.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the window decides
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 2) // 2)))  # read when torch is imported
    from gui.export.write import load, write

    def tell(done: int, total: int, unit: str) -> None:
        if connection.poll():
            raise KeyboardInterrupt
        connection.send(Progress(done, total, unit))

    last: Written | NotWritten
    try:
        told = write(job, load(job.fields[0]), tell)
        last = Written(job.output, int(str(told["bytes"])))
    except OperatorError as error:
        last = NotWritten(error.message, error.remedy)
    except (KeyboardInterrupt, BrokenPipeError, EOFError):
        last = NotWritten("", "")
    except Exception as error:  # nothing may keep the window waiting
        log.exception("export")
        last = NotWritten(f"The export failed: {type(error).__name__}: {error}.", "Please report it.")
    with suppress(OSError):
        connection.send(last)
