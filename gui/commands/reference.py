"""`fieldscope reference`: scan the empty field, or put one that was scanned into a capture."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from acquisition.capture import apply_reference, check_free_name, check_space, read_reference
from acquisition.capture_empty import LARGEST_STRUCTURE, structure_of
from acquisition.errors import OperatorError
from acquisition.estimate import estimate
from acquisition.experiment import Experiment
from acquisition.plan import plan_for
from acquisition.profile import load_profile
from acquisition.profile_plan import changed_plan
from gui.commands.expose import exposed
from gui.commands.progress import ProgressReport
from gui.commands.scan import opened_instrument, run_scan

if TYPE_CHECKING:
    from pathlib import Path

    from acquisition.profile import Profile

REPEATS = 8
"""Frames of each pattern that are averaged, where the plan has fewer: their noise adds 6 % to that of an image."""
TITLE = "Empty field"


def scan_reference(
    profile_name: str, output: Path, plan_changes: dict[str, Any], expose: str | None, operator: str
) -> dict[str, Any]:
    """Scan the empty field with a plan, each pattern several times.

    Parameters
    ----------
    plan_changes
        Keys of the profile's table [plan] that count in place of what stands there.
    expose
        How exposures are found, see `gui.commands.expose`; None: as the plan has them.
    """
    profile = _without_sample(load_profile(profile_name))
    check_free_name(output)
    settings = changed_plan(profile, {"repeats": max(REPEATS, profile.plan.repeats), **plan_changes})
    with ProgressReport() as report, opened_instrument(profile, report) as instrument:
        plan = exposed(instrument, plan_for(profile, instrument.led_na_l2, settings), expose, report)
        expected = estimate(Experiment(plan), profile, instrument.led_na_l2, instrument.camera.image_shape)
        for line in expected.lines():
            report.note(f"     {line}")
        if not plan.dark_count:
            report.note("BAD  no dark frames: the camera's offset is subtracted instead; set plan.dark_frames")
        if expected.file_bytes is not None:
            check_space(output.parent, expected.file_bytes)
        header = replace(instrument.capture_header(plan, TITLE, "none", operator), is_reference=True)
        path = run_scan(instrument, plan, output, header, report)
        structure = structure_of(path)
        if structure is not None and structure > LARGEST_STRUCTURE:
            report.note(
                f"BAD  the field is not empty: beside dust and uneven light it shows {100 * structure:.1f} % of"
                f" structure, {100 * LARGEST_STRUCTURE:.1f} % is the limit. Take the sample away, clean what lies near"
                " the focus, and scan again"
            )
    return {
        "reference": str(path),
        "profile": profile.name,
        "plan": plan.name,
        "patterns": plan.pattern_count,
        "frames_averaged": settings.repeats,
        "exposure_ms": plan.exposures_ms.tolist(),
        "structure": structure,
    }


def apply_to(capture: Path, empty: Path) -> dict[str, Any]:
    """Put the background, and a dark frame where there is none, into a finished capture."""
    with ProgressReport() as report:
        matched = apply_reference(capture, read_reference(empty))
        for notice in matched.notices:
            report.note(f"     {notice}")
    return {"capture": str(capture), "reference": str(empty), "patterns": len(matched.row_p)}


def choose(
    profile_name: str,
    output: Path | None,
    plan_changes: dict[str, Any],
    expose: str | None,
    operator: str,
    capture: Path | None,
    empty: Path | None,
) -> dict[str, Any]:
    """Do what the command line asks for: scan the empty field into `output`, or put `empty` into `capture`."""
    if empty is not None and capture is not None and output is None and not plan_changes and expose is None:
        return apply_to(capture, empty)
    if output is not None and capture is None and empty is None:
        return scan_reference(profile_name, output, plan_changes, expose, operator)
    raise OperatorError(
        "Scan the empty field into a file, or put one into a capture.",
        "fieldscope reference -o empty.h5; or: fieldscope reference --apply empty.h5 cells.h5",
    )


def _without_sample(profile: Profile) -> Profile:
    """Take the sample from the stage of a simulated microscope; that of a real one is the operator's."""
    if profile.simulation is None:
        return profile
    return profile.model_copy(update={"simulation": profile.simulation.model_copy(update={"phantom": "none"})})
