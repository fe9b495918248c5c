"""What the window needs of the reconstruction process, and where that one keeps its state."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, Protocol, cast

import platformdirs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from acquisition.capture import CaptureHeader, MatchedReference
    from recon.messages import Command, Event, FitSettings, Resume


STALE_S = 2 * 86400.0
"""A checkpoint that nobody has touched for so long belongs to no window that still runs a fit."""


class Process(Protocol):
    """What is needed of `recon.client.ReconstructionProcess`; none of these calls may wait."""

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        ...

    def start(self) -> None:
        """Spawn the process; its first event is `Ready`."""
        ...

    def stop(self, timeout_s: float) -> None:
        """Ask it to end, kill it after `timeout_s`; waits for it, so called on a thread of its own."""
        ...

    def start_live(
        self, header: CaptureHeader, settings: FitSettings, capture_name: str, reference: MatchedReference | None
    ) -> int:
        """Begin a run that gets its frames one by one; returns its number, as the next two do."""
        ...

    def start_stored(self, path: str, settings: FitSettings) -> int:
        """Begin a run on a capture file."""
        ...

    def open_field(self, path: str) -> int:
        """Serve a saved field."""
        ...

    def resume(self, asked: Resume) -> int:
        """Go on with a run of a process that was lost, whatever run number `asked` has."""
        ...

    def add_frame(self, run: int, pattern: int, image: NDArray[np.uint16], exposure_ms: float) -> None:
        """Hand over a frame; may be called on any thread."""
        ...

    def frames_done(self, run: int, path: str) -> None:
        """No frame will follow; `path` is the capture."""
        ...

    def finish_now(self, run: int) -> None:
        """Stop fitting, keep the field."""
        ...

    def cancel(self, run: int) -> None:
        """Stop fitting, discard the run."""
        ...

    def save(self, run: int, path: str) -> None:
        """Write the field; answered by `Saved` or `Failed`."""
        ...

    def send(self, command: Command) -> None:
        """Send any other message."""
        ...


def checkpoint_path() -> Path:
    """Where the reconstruction of this window keeps its state, for the case that its process is lost."""
    return platformdirs.user_cache_path("fieldscope", appauthor=False) / f"reconstruction-{os.getpid()}.field.h5"


def forget_checkpoints() -> None:
    """Remove this window's checkpoint, and those that windows which were killed have left days ago."""
    own = checkpoint_path()
    own.unlink(missing_ok=True)
    for left in own.parent.glob("reconstruction-*.field.h5*"):
        with contextlib.suppress(OSError):  # gone meanwhile, or another user's
            if time.time() - left.stat().st_mtime > STALE_S:
                left.unlink()


def spawned(on_event: Callable[[Event], None]) -> Process:
    """Make the real process."""
    from recon.client import ReconstructionProcess

    return cast("Process", ReconstructionProcess(on_event, checkpoint_path=checkpoint_path()))
