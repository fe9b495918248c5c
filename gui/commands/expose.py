"""Exposures that are measured before a scan, `--expose auto` or `balanced`, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from acquisition.errors import OperatorError
from acquisition.exposure import auto_exposure, balanced_exposures

if TYPE_CHECKING:
    from acquisition.instrument import Instrument
    from acquisition.plan import ExposurePlan
    from gui.commands.progress import ProgressReport

WAYS = {"auto": auto_exposure, "balanced": balanced_exposures}


def check_way(way: str | None) -> None:
    """Refuse a word that is none of `WAYS`.

    Raises
    ------
    OperatorError
        With those that there are.
    """
    if way is not None and way not in WAYS:
        raise OperatorError(f"--expose is {way!r}.", f"Choose one of: {', '.join(WAYS)}.")


def exposed(instrument: Instrument, plan: ExposurePlan, way: str | None, report: ProgressReport) -> ExposurePlan:
    """Give a plan the exposures that this sample and this light need, and tell them; None: those it has."""
    if way is None:
        return plan
    report.update("exposure", 0, None, "measuring")
    found = WAYS[way](instrument, plan)
    report.update("exposure", 1, 1, "measured")
    before, after = (", ".join(f"{ms:g}" for ms in one.exposures_ms) for one in (plan, found.plan))
    report.note(f"ok   Exposure: {after} ms instead of {before} ms, measured in {found.frames} frames")
    for notice in found.notices:
        report.note(f"     {notice}")
    return found.plan
