"""The reconstruction process as the window uses it: a real one, spawned, over its real connection."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from pathlib import Path

from recon import shared
from recon.client import ReconstructionProcess
from recon.messages import Failed, FitSettings, Picture, Ready
from recon.view_requests import RequestSlice

PATIENCE_S = 90.0
LONG = FitSettings(max_seconds=600.0, device="cpu")
SHORT = FitSettings(max_seconds=0.5, device="cpu")


class Listener:
    """Keeps what a process says; pictures are taken out of shared memory at once, as the window does."""

    def __init__(self):
        self.events = []
        self.pictures = {}
        self.blocks = []
        self._changed = threading.Condition()

    def __call__(self, event):
        if isinstance(event, Picture):
            self.blocks.append(event.image.name)
            picture = shared.take(event.image)
        with self._changed:
            if isinstance(event, Picture):
                self.pictures.setdefault((event.run, event.view, event.request), []).append((event.step, picture))
            self.events.append(event)
            self._changed.notify_all()

    def of(self, kind, run=None, since=0):
        return [e for e in self.events[since:] if isinstance(e, kind) and (run is None or e.run == run)]

    def wait(self, kind, run=None, since=0, until=lambda event: True, failure_ends=True):
        """First event of a kind that fits; an unexpected `Failed` ends the waiting."""
        deadline = time.monotonic() + PATIENCE_S
        with self._changed:
            while True:
                for event in self.of(kind, run, since):
                    if until(event):
                        return event
                if failure_ends and kind is not Failed:
                    assert not self.of(Failed, run, since), self.of(Failed, run, since)
                left = deadline - time.monotonic()
                assert left > 0, f"no {kind.__name__} of run {run}: {[type(e).__name__ for e in self.events[since:]]}"
                self._changed.wait(min(left, 1.0))


@contextmanager
def running_process():
    """A process that is ready, and what it says."""
    listener = Listener()
    process = ReconstructionProcess(listener, device="cpu")
    process.start()
    listener.wait(Ready)
    try:
        yield process, listener
    finally:
        process.stop(10.0)
    assert not process.is_alive
    assert not [name for name in listener.blocks if block_exists(name)]


def block_exists(name):
    return Path("/dev/shm", name.lstrip("/")).exists()


def plane(run, view="xy", request=1, shape=(20, 30), part="dn", z_um=0.2):
    return RequestSlice(run, view, request, (-3.0, -2.0, z_um), (6.0, 0.0, 0.0), (0.0, 4.0, 0.0), shape, part)


def feed(process, run, shot, patterns):
    for pattern in patterns:
        process.add_frame(run, pattern, shot.counts_pyx[pattern], 10.0)


def checkpoints_often(connection, device, checkpoint_path, errors_path):
    """In place of `recon.client._run_worker`: a process that keeps its state several times a second."""
    from recon import checkpoint
    from recon.process import main

    checkpoint.INTERVAL_S, checkpoint.MOST_SHARE = 0.2, 1.0
    main(connection, device, checkpoint_path, errors_path)
