"""Where a scan stands: its states, how it ended, and what the operator is told meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class ScanState(Enum):
    """Where a scan stands."""

    IDLE = "idle"
    PREPARING = "preparing"
    MOVING = "moving"
    WAITING = "waiting"
    FOCUSING = "focusing"
    RUNNING = "running"
    PAUSED = "paused"
    FINISHING = "finishing"
    FINISHED = "finished"


class FinishReason(Enum):
    """How a scan ended."""

    COMPLETE = "complete"
    CANCELLED = "cancelled"
    FAILED = "failed"


@dataclass(frozen=True)
class ScanStatus:
    """A scan at one moment.

    Attributes
    ----------
    state, reason
        `reason` is None until the scan is finished.
    frames_done, frames_total
        Exposures of all visits, dark frames included.
    elapsed_s, eta_s
        Since the start, without pauses; `eta_s` is None before the first frame and after the last.
    visit, visits
        Number of the visit under way, from 1 on, 0 before the first; and how many there are.
    time_point, position
        Of that visit, from 0 on.
    waiting_s
        Until the visit is due; 0 when not waiting.
    focus
        What the last search for the focus found, in words; empty before the first.
    message
        For the operator: what went wrong and what to do; empty when all is well.
    path
        The finished capture file; None while there is none.
    notice
        What the operator should know although the scan goes on: saturated frames so far; empty when all is well.
    """

    state: ScanState
    reason: FinishReason | None
    frames_done: int
    frames_total: int
    elapsed_s: float = 0.0
    eta_s: float | None = None
    message: str = ""
    path: Path | None = None
    notice: str = ""
    visit: int = 0
    visits: int = 1
    time_point: int = 0
    position: int = 0
    waiting_s: float = 0.0
    focus: str = ""
