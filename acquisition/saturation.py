"""Saturated frames of a scan: told while it runs, so that nobody finds out an hour later."""

from __future__ import annotations

from typing import TYPE_CHECKING

from acquisition.capture_saturation import SATURATED_LIMIT

if TYPE_CHECKING:
    from acquisition.capture import Frame


class SaturationWatch:
    """Counts the frames that are saturated."""

    def __init__(self) -> None:
        self._frames = 0
        self._worst: Frame | None = None

    def see(self, frame: Frame) -> None:
        """Look at a stored frame with light."""
        if frame.saturated_fraction <= SATURATED_LIMIT:
            return
        self._frames += 1
        if self._worst is None or frame.saturated_fraction > self._worst.saturated_fraction:
            self._worst = frame

    @property
    def text(self) -> str:
        """What the operator should know; empty when all is well."""
        worst = self._worst
        if worst is None:
            return ""
        frames = "1 frame is" if self._frames == 1 else f"{self._frames} frames are"
        return (
            f"{frames} saturated, most of all pattern {worst.pattern}: {worst.saturated_fraction:.1%} of its pixels at"
            f" {worst.exposure_ms:g} ms; {SATURATED_LIMIT:.1%} is the limit. Expose for a shorter time, or let"
            " `--expose auto` find out for how long."
        )
