"""`fieldscope check`: findings as a table, or as JSON."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from acquisition.capture_check import check_capture
from acquisition.finding import Level

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from acquisition.finding import Finding

_STYLES = {Level.OK: "green", Level.WARNING: "yellow", Level.ERROR: "bold red"}


def check_file(path: Path, as_json: bool) -> bool:
    """Check a capture and print what was found; whether it is free of errors."""
    return tell(str(path), check_capture(path), as_json)


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
