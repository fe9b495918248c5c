"""How a scan goes, in the panels: the light of its frames, its progress, and how it ended."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from acquisition.scan_status import FinishReason, ScanState

if TYPE_CHECKING:
    from pathlib import Path

    from acquisition.plan import ExposurePlan
    from acquisition.scan_status import ScanStatus
    from gui.panels import Panels

log = logging.getLogger(__name__)


class ScanNews:
    """Of one scan after the other.

    Parameters
    ----------
    panels
        Of the window.
    """

    def __init__(self, panels: Panels) -> None:
        self._panels = panels
        self._saturation_told = False

    def begin(self, plan: ExposurePlan, path: Path) -> None:
        """A scan has begun."""
        self._saturation_told = False
        self._panels.acquire.set_scanning(True)
        self._panels.acquire.show_progress(0, plan.frame_count, None)
        log.info("acquisition started: %s", path)

    def show_frame(self, plan: ExposurePlan, pattern: int) -> None:
        """A frame was stored; `pattern` below 0: a dark one."""
        brightness_l = None if pattern < 0 else plan.patterns_pl[pattern]
        self._panels.live.pupil.set_lit(brightness_l)
        if brightness_l is not None:
            self._panels.live.pupil.mark_seen(brightness_l)

    def show(self, status: ScanStatus, path: Path | None) -> None:
        """Show a status; `path` is the capture."""
        if status.notice and (not self._saturation_told or status.state is ScanState.FINISHED):
            self._saturation_told = True  # now, while something can be done about it; how many in the end
            self._panels.message.tell(status.notice)
        if status.state is ScanState.FINISHED:
            self._show_end(status, path)
            return
        self._panels.acquire.show_progress(status.frames_done, status.frames_total, status.eta_s)
        self._panels.acquire.experiment.show_status(status)
        self._panels.live.expect(frames=status.state is not ScanState.PAUSED)
        if status.state is ScanState.PAUSED:
            self._panels.acquire.say(f"paused, {status.frames_done} of {status.frames_total}", "warn")
            self._panels.live.pupil.set_lit(None)

    def _show_end(self, status: ScanStatus, path: Path | None) -> None:
        acquire = self._panels.acquire
        acquire.set_scanning(False)
        acquire.bar.setValue(status.frames_done)
        if status.reason is FinishReason.COMPLETE:
            acquire.say(f"{status.frames_done} frames stored", "warn" if status.message else "good")
        elif status.reason is FinishReason.CANCELLED:
            acquire.say(f"cancelled, {status.frames_done} frames kept", "warn")
        else:
            acquire.say("failed", "bad")
        if status.message or status.reason is FinishReason.FAILED:  # also LEDs that stay on after a complete scan
            self._panels.message.tell(
                status.message or "The acquisition failed.", f"{status.frames_done} frames are kept in {path}."
            )
        log.info("acquisition ended: %s", acquire.state.text())
