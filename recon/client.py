"""The window's end of the reconstruction process: starts it, talks to it, notices when it dies. Neither torch nor Qt.

`send` and everything built on it returns at once; events arrive on a reader thread. Each start has its own connection
and its own thread, which knows which process it belongs to: the late end of a replaced process cannot be taken for
that of its successor.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import queue
import signal
import tempfile
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recon import messages, shared

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess

    import numpy as np
    from numpy.typing import NDArray

    from acquisition.capture import CaptureHeader, MatchedReference
    from recon.messages import Command, Event, FitSettings, Resume

log = logging.getLogger(__name__)

STOP_TIMEOUT_S = 2.0


LAST_LINES = 30
"""Of what a lost process has printed go into the log."""

CAUSES = {
    "SIGKILL": "killed, perhaps because the computer's memory ran out",
    "SIGSEGV": "crashed inside a library",
    "SIGABRT": "aborted by a library",
    "SIGBUS": "crashed, perhaps because memory or disk ran out",
    "SIGILL": "a library does not fit this processor",
    "SIGTERM": "ended by another program",
    "SIGHUP": "ended by another program",
}
"""What the signals that end a process mean to who uses it."""


def cause_of_end(code: int | None) -> str:
    """Say in words what an exit code means; negative ones are signals."""
    if code is None or code >= 0:
        return f"exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
    words = CAUSES.get(name)
    return f"{words}: signal {-code}" if words else f"signal {-code}, {name}"


def _run_worker(connection: Connection, device: str, checkpoint_path: Path | None, errors_path: str) -> None:
    from recon.process import main

    main(connection, device, checkpoint_path, errors_path)


class ReconstructionProcess:
    """One background process that reconstructs and serves pictures.

    Parameters
    ----------
    on_event
        Called with each event on a reader thread; must return soon and not raise. A process that ends unasked is
        reported as `messages.Failed` with run -1.
    device
        ``auto``, ``cpu`` or ``cuda``.
    checkpoint_path
        Where it keeps the state of its run, for `resume` in another process; None: nowhere. Its owner removes it.
    """

    def __init__(
        self, on_event: Callable[[Event], None], device: str = "auto", checkpoint_path: Path | None = None
    ) -> None:
        self._on_event = on_event
        self._device = device
        self._checkpoint_path = checkpoint_path
        self._session: _Session | None = None
        self._runs = 0
        self._lock = threading.Lock()

    def start(self) -> None:
        """Start the process, replacing one that has ended or hangs; returns before it is ready (`messages.Ready`)."""
        with self._lock:
            if self._session is not None:
                self._session.kill()
            self._session = _Session(self._on_event, self._device, self._checkpoint_path)

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._session is not None and self._session.process.is_alive()

    def send(self, command: Command) -> None:
        """Queue a message; silently dropped when the process has ended, which is reported as an event anyway."""
        if self._session is not None:
            self._session.outbox.put(command)

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """End the process, by force if need be. Blocks up to the timeout: not for the window's thread."""
        with self._lock:
            session, self._session = self._session, None
        if session is not None:
            session.stop(timeout_s)

    # --- runs ---------------------------------------------------------------------------------------------------------

    def _next_run(self) -> int:
        with self._lock:
            self._runs += 1
            return self._runs

    def start_live(
        self,
        header: CaptureHeader,
        settings: FitSettings,
        capture_name: str = "",
        reference: MatchedReference | None = None,
    ) -> int:
        """Begin a run whose frames follow, divided by the empty field of a reference; its number."""
        run = self._next_run()
        self.send(messages.StartLive(run, header, settings, capture_name, reference))
        return run

    def add_frame(self, run: int, pattern: int, image_yx: NDArray[np.uint16], exposure_ms: float = 0.0) -> None:
        """Hand over a frame, (H, W) counts; pattern -1 is a dark frame. The image is copied before this returns."""
        if self.is_alive:
            self.send(messages.AddFrame(run, pattern, shared.share(image_yx), exposure_ms))

    def frames_done(self, run: int, capture_path: str = "") -> None:
        """Tell that no frame will follow."""
        self.send(messages.FramesDone(run, capture_path))

    def start_stored(self, capture_path: str, settings: FitSettings) -> int:
        """Begin a run on a capture file; its number."""
        run = self._next_run()
        self.send(messages.StartStored(run, capture_path, settings))
        return run

    def open_field(self, field_path: str) -> int:
        """Serve a saved field; the run's number."""
        run = self._next_run()
        self.send(messages.OpenField(run, field_path))
        return run

    def resume(self, asked: Resume) -> int:
        """Go on with a run of a lost process; its number here, which is filled in."""
        run = self._next_run()
        self.send(replace(asked, run=run))
        return run

    def finish_now(self, run: int) -> None:
        """Stop fitting and keep the field."""
        self.send(messages.FinishNow(run))

    def cancel(self, run: int) -> None:
        """Stop fitting and discard the run."""
        self.send(messages.Cancel(run))

    def save(self, run: int, field_path: str) -> None:
        """Write the field of a run to a file."""
        self.send(messages.SaveField(run, field_path))


class _Session:
    """One life of the process: its connection, the thread that writes to it and the thread that reads from it."""

    def __init__(self, on_event: Callable[[Event], None], device: str, checkpoint_path: Path | None) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        handle, errors = tempfile.mkstemp(prefix="fieldscope-", suffix=".log")
        os.close(handle)
        self._errors = Path(errors)
        self.process: SpawnProcess = context.Process(
            target=_run_worker,
            args=(theirs, device, checkpoint_path, errors),
            name="fieldscope reconstruction",
            daemon=True,
        )
        self.outbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._on_event = on_event
        self._expected_end = False
        self._ended = threading.Event()
        self._theirs = theirs
        # Starting takes the interpreter's time, so it happens on the writer's thread, not the caller's.
        self._writer = threading.Thread(target=self._write, name="to reconstruction", daemon=True)
        self._writer.start()

    def _write(self) -> None:
        self.process.start()
        self._theirs.close()
        threading.Thread(target=self._read, name="from reconstruction", daemon=True).start()
        while (command := self.outbox.get()) is not None:
            try:
                self.connection.send(command)
            except (OSError, ValueError):
                _discard_image(command)

    def _read(self) -> None:
        try:
            while True:
                event = self.connection.recv()
                if self._expected_end:
                    _discard_image(event)
                else:
                    self._on_event(event)
        except (EOFError, OSError):
            pass
        self.process.join()
        self._ended.set()
        self.outbox.put(None)
        last_words = self._last_words()
        if not self._expected_end:
            self._on_event(
                messages.Failed(
                    -1,
                    f"The reconstruction process has ended unexpectedly ({cause_of_end(self.process.exitcode)}).",
                    "Restart it: it goes on where it was. The capture is safe.",
                    last_words,
                )
            )

    def _last_words(self) -> str:
        """Take what the process has printed; it has ended."""
        try:
            lines = self._errors.read_text(encoding="utf-8", errors="replace").splitlines()
            self._errors.unlink()
        except OSError as error:
            log.warning("%s", error)
            return ""
        return "\n".join(lines[-LAST_LINES:])

    def stop(self, timeout_s: float) -> None:
        self._expected_end = True
        self.outbox.put(messages.Shutdown())
        if not self._ended.wait(timeout_s):
            self.kill()
            self._ended.wait(timeout_s)
        self.outbox.put(None)

    def kill(self) -> None:
        self._expected_end = True
        with contextlib.suppress(AttributeError, ValueError):  # not started yet, or closed
            self.process.kill()


def _discard_image(message: Any) -> None:
    image = getattr(message, "image", None)
    if isinstance(image, messages.SharedArray):
        shared.discard(image)
