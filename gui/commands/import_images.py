"""`fieldscope import`: make a capture file of images that another program took."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from acquisition.importers import import_images as run
from acquisition.profile import load_profile
from gui.commands.progress import ProgressReport


def import_images(
    source: Path,
    profile_name: str,
    output: Path,
    name_pattern: str | None,
    order: str,
    background: Path | None,
    dark: Path | None,
    variable: str | None,
    title: str,
    sample: str,
    operator: str,
) -> dict[str, Any]:
    """Import images; what became of them, for the operator and for --json."""
    profile = load_profile(profile_name)
    images = 0

    def tell(done: int, total: int) -> None:
        nonlocal images
        images = total
        report.update("import", done, total, f"{done} of {total} images")

    with ProgressReport() as report:
        path, note = run(
            source,
            profile,
            output,
            name_pattern=name_pattern,
            table=None if order == "page" else Path(order),
            background=background,
            dark=dark,
            variable=variable,
            title=title,
            sample=sample,
            operator=operator,
            on_progress=tell,
        )
    return {"capture": str(path), "profile": profile.name, "frames": images, "note": note}
