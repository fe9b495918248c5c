"""What the window needs of the reconstruction process, and where that one keeps its state."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from typing import IO, TYPE_CHECKING, Protocol, cast

import platformdirs

from acquisition.in_use import hold, is_in_use

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from acquisition.capture import CaptureHeader, MatchedReference
    from recon.messages import Command, Event, FitSettings, Resume


log = logging.getLogger(__name__)

STALE_S = 2 * 86400.0
"""A window that was killed longer ago is not gone on with."""
_CHECKPOINT = ".field.h5"
_SESSION = f"reconstruction-{os.getpid()}-{time.time_ns():x}"
"""Of this window: numbers of processes come again, in a container with each start."""
_held: dict[Path, IO[bytes]] = {}


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
    return platformdirs.user_cache_path("fieldscope", appauthor=False) / f"{_SESSION}{_CHECKPOINT}"


def hold_checkpoint() -> None:
    """Say that this window lives, for as long as it does: what its reconstruction leaves is nobody else's."""
    path = _holder_of(checkpoint_path())
    if path in _held:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _held[path] = path.open("wb")
    except OSError as error:  # then there is no checkpoint either
        log.warning("%s cannot be written: %s", path, error)
    else:
        hold(_held[path])


def left_checkpoints() -> list[Path]:
    """Checkpoints of windows that live no more, the newest first."""
    found = []
    for path in checkpoint_path().parent.glob(f"reconstruction-*{_CHECKPOINT}"):
        with contextlib.suppress(OSError):  # gone meanwhile
            if not _is_held(path):
                found.append((path.stat().st_mtime, path))
    return [path for _, path in sorted(found, reverse=True)]


def adopt_checkpoint(left: Path) -> None:
    """Make the checkpoint of a window that lives no more this window's own.

    Raises
    ------
    OSError
        It is gone: another window has taken it.
    """
    left.replace(checkpoint_path())
    _holder_of(left).unlink(missing_ok=True)


def discard_checkpoint(left: Path) -> None:
    """Remove the checkpoint of a window that lives no more."""
    for path in (left, _holder_of(left)):
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            log.warning("%s stays: %s", path, error)


def forget_checkpoints() -> None:
    """Remove this window's checkpoint, and those that windows which were killed have left days ago."""
    own = checkpoint_path()
    held = _held.pop(_holder_of(own), None)
    if held is not None:
        held.close()
    discard_checkpoint(own)
    for left in own.parent.glob("reconstruction-*"):
        with contextlib.suppress(OSError):  # gone meanwhile, or another user's
            if time.time() - left.stat().st_mtime > STALE_S and not _is_held(left):
                left.unlink()


def _holder_of(checkpoint: Path) -> Path:
    """The file that the window of a checkpoint, or of a part of one, holds open."""
    return checkpoint.with_name(f"{checkpoint.name.partition('.')[0]}.window")


def _is_held(checkpoint: Path) -> bool:
    holder = _holder_of(checkpoint)
    return holder.exists() and is_in_use(holder)


def spawned(on_event: Callable[[Event], None]) -> Process:
    """Make the real process."""
    from recon.client import ReconstructionProcess

    hold_checkpoint()
    return cast("Process", ReconstructionProcess(on_event, checkpoint_path=checkpoint_path()))
