"""What every run keeps account of: what it has told the operator, since when it runs, and how it ended."""

from __future__ import annotations

import logging
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from acquisition.errors import OperatorError
from recon import messages
from recon.field_file import program_versions
from recon.grid import axial_period_um, lateral_period_um
from recon.quality import value_range
from recon.result import History

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from acquisition.capture import Capture, CaptureHeader, Optics
    from recon.messages import Event, FitSettings

log = logging.getLogger(__name__)

NOT_FINISHED = "not finished"
"""Reason of the end of a run that goes on."""


class Account:
    """Of one run.

    Parameters
    ----------
    run
        Number that its events carry.
    emit
        Called with each event.
    seconds
        That the run had taken in a process that was lost.
    """

    def __init__(self, run: int, emit: Callable[[Event], None], seconds: float = 0.0) -> None:
        self._run, self._emit = run, emit
        self._told: set[str] = set()
        self._started_s = time.monotonic() - seconds
        self._seconds: float | None = None
        self._reason = ""

    @property
    def seconds(self) -> float:
        """How long the run has taken, up to now or to its end."""
        return time.monotonic() - self._started_s if self._seconds is None else self._seconds

    @property
    def reason(self) -> str:
        """Why the run has ended."""
        return self._reason or NOT_FINISHED

    def restart(self) -> None:
        """The run's time counts from now on."""
        self._started_s = time.monotonic()

    def end(self, reason: str) -> None:
        """The run has ended: its time stands still."""
        self._seconds, self._reason = self.seconds, reason

    def phase(self, name: str, detail: str) -> None:
        """Tell what the run is doing now."""
        self._emit(messages.Phase(self._run, name, detail))

    def notify(self, text: str, before: str = "") -> None:
        """Tell the operator once, `before` in front: the next renewal of the volume or the next tile says it again."""
        if text in self._told:
            return
        self._told.add(text)
        log.info("%s%s", before, text)  # whoever runs this is told by the event
        self._emit(messages.Notice(self._run, before + text))

    def history(
        self, settings: FitSettings, header: CaptureHeader, capture_path: str, capture_sha256: str, name: str = ""
    ) -> History:
        """How the field of this run comes about, as far as the run alone can tell; nothing yet of its fit.

        Parameters
        ----------
        settings, header
            Of the run.
        capture_path, capture_sha256
            The file, if there is one (yet), and its digest, if known.
        name
            Of the capture where there is no file yet.
        """
        path, position, unknown = Path(capture_path), settings.position or 0, np.empty(0)
        return History(
            forward_model=settings.model,
            reason=self.reason,
            held_out_error=None,
            training_loss=math.nan,
            held_out=(),
            steps=0,
            seconds=self.seconds,
            seed=settings.seed,
            capture_name=path.name if capture_path else name,
            capture_sha256=capture_sha256,
            led_na_l2=header.led_na_l2,
            pattern_gain_p=unknown,
            led_gain_l=unknown,
            versions=program_versions(),
            capture_folder=str(path.absolute().parent) if capture_path else "",
            time_point=settings.time_point or 0,
            position=position,
            stage_um=header.stage_um(position),
        )

    def tell_end(self, held_out_error: float | None, steps: int, parameter_bytes: int) -> None:
        """Tell that the run has ended, and with what."""
        self.phase("finished", self.reason)
        self._emit(messages.Finished(self._run, self.reason, held_out_error, self.seconds, steps, parameter_bytes))


def tell_missing(run: int, capture: Capture, emit: Callable[[Event], None]) -> None:
    """Tell the operator of a capture that is not whole."""
    missing = len(capture.header.patterns_pl) - len(np.unique(capture.pattern_n))
    if capture.status != "complete" or missing:
        told = f"The capture is {capture.status}; {missing} of {len(capture.header.patterns_pl)} patterns are missing."
        warning = (
            " Its frames may not belong to their LEDs: see the held-out error." if capture.status == "failed" else ""
        )
        emit(messages.Notice(run, told + (warning or " The volume has less detail; capture again if that matters.")))


def check_time_limit(settings: FitSettings) -> None:
    """Refuse a time limit in which nothing can be done.

    Raises
    ------
    OperatorError
        It is not above 0.
    """
    if not settings.max_seconds > 0:
        raise OperatorError(
            f"A time limit of {settings.max_seconds:g} s leaves no time to fit.", "Give more than 0 seconds."
        )


def field_ready(
    run: int, bounds_um: NDArray[np.float64], optics: Optics, dn_zyx: NDArray[np.float32]
) -> messages.FieldReady:
    """Announce that there is a field to look at; `dn_zyx` (Z, Y, X) samples it for a first contrast."""
    low, high = value_range(dn_zyx)
    resolution_um = lateral_period_um(optics), axial_period_um(optics)
    return messages.FieldReady(run, bounds_um, optics.medium_index, (min(0.0, low), high), resolution_um)
