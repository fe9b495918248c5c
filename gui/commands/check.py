"""`fieldscope check`: what is wrong with a capture or an instrument, as a table or as JSON."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from acquisition.capture_check import check_capture
from acquisition.check_instrument import check_instrument, close_checked, open_checked
from acquisition.errors import OperatorError
from acquisition.finding import Level, error, ok, warning
from acquisition.profile import load_profile
from gui.commands.end_signals import noted_signals
from gui.commands.progress import ProgressReport
from gui.commands.scan import plan_of, run_scan

if TYPE_CHECKING:
    from collections.abc import Iterable

    from acquisition.finding import Finding

_STYLES = {Level.OK: "green", Level.WARNING: "yellow", Level.ERROR: "bold red"}


def check_file(path: Path, as_json: bool) -> bool:
    """Check a capture and print what was found; whether it is free of errors."""
    return tell(str(path), check_capture(path), as_json)


def check_microscope(
    profile_name: str, all_leds: bool, orientation: bool, device: str, as_json: bool
) -> bool:
    """Go through an instrument and print what was found; whether it is free of errors.

    Parameters
    ----------
    profile_name
        Of the instrument.
    all_leds
        Light each LED of the board, not only those of the plan.
    orientation, device
        Tell also whether the board is mirrored or turned, by reconstructions there.

    Raises
    ------
    OperatorError
        The profile is wrong.
    """
    profile = load_profile(profile_name)
    findings: list[Finding] = []
    with ProgressReport() as report:

        def tell_at_once(finding: Finding) -> None:
            findings.append(finding)
            report.note(f"{finding.level.value}: {finding.name}")

        report.note(f"opening {profile.title}")
        instrument = open_checked(profile, tell_at_once)
        if instrument is not None:
            with tempfile.TemporaryDirectory(prefix="fieldscope-") as folder:
                capture = Path(folder) / "check.h5"
                with noted_signals() as signals:

                    def progress(step: str, done: int, total: int) -> None:
                        report.update(step, done, total, f"{done} of {total}")
                        if signals:
                            raise KeyboardInterrupt

                    try:
                        check_instrument(instrument, tell_at_once, all_leds, progress)
                        if orientation:
                            plan = plan_of(instrument)
                            run_scan(instrument, plan, capture, instrument.capture_header(plan), report)
                    except OperatorError as failure:
                        tell_at_once(error("Scan", failure.message, failure.remedy))
                    finally:
                        close_checked(instrument, tell_at_once)
                if signals:
                    raise KeyboardInterrupt
                if capture.exists():
                    tell_at_once(_orientation(capture, device))
    return tell(profile.name, findings, as_json)


def _orientation(capture: Path, device: str) -> Finding:
    """Reconstruct a capture with the board each way."""
    from gui.commands.orientation import check_orientation

    name = "Orientation"
    try:
        result = check_orientation(capture, device)
    except OperatorError as failure:
        return error(name, failure.message, failure.remedy)
    if not result["clear"]:
        return warning(name, result["verdict"], "Take another sample, or more LEDs.")
    if result["best"] == "as is":
        return ok(name, result["verdict"])
    return error(name, result["verdict"], f"In the profile: {result['profile']}.")


def tell(what: str, findings: Iterable[Finding], as_json: bool) -> bool:
    """Print findings on stdout, with the remedy of each; whether none of them is an error."""
    findings = list(findings)
    count = Counter(finding.level for finding in findings)
    passed = not count[Level.ERROR]
    console = Console(highlight=False, soft_wrap=as_json)
    if as_json:
        listed = [{"name": f.name, "level": f.level.value, "text": f.text, "remedy": f.remedy} for f in findings]
        result = {
            "checked": what,
            "ok": passed,
            "errors": count[Level.ERROR],
            "warnings": count[Level.WARNING],
            "findings": listed,
        }
        console.out(json.dumps(result))
        return passed
    table = Table(box=None, show_header=False, pad_edge=False)
    for finding in findings:
        remedy = f"\n-> {finding.remedy}" if finding.remedy else ""
        style = _STYLES[finding.level]
        table.add_row(f"[{style}]{finding.level.value}[/]", escape(finding.name), escape(finding.text + remedy))
    console.print(table)
    console.print(f"{escape(what)}: {count[Level.ERROR]} errors, {count[Level.WARNING]} warnings", soft_wrap=True)
    return passed
