"""`fieldscope export` of fields: a volume, a picture or a movie, by what the output is called."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, get_args

from acquisition.errors import OperatorError
from acquisition.estimate import duration_text
from gui.commands.export_look import shown
from gui.commands.progress import ProgressReport
from gui.export.job import SUFFIXES, ExportJob, Format, MovieFile, PictureFile, VolumeFile
from gui.export.write import check_request, load, write

if TYPE_CHECKING:
    from pathlib import Path

    from gui.commands.export_look import LookOptions
    from gui.export.job import Region


def format_of(output: Path, chosen: str | None) -> Format:
    """Format by name, or by the end of the output's.

    Raises
    ------
    OperatorError
        There is no such format, or the name does not tell.
    """
    if chosen is None and output.suffix.lower() not in SUFFIXES:
        names = "NAME.ome.tif, NAME.ome.zarr, NAME.npz, NAME.npy, NAME.png or NAME.mp4"
        raise OperatorError(f"The name {output} does not tell a format.", f"Call it {names}, or add --format.")
    found = chosen or SUFFIXES[output.suffix.lower()]
    if found not in get_args(Format):
        raise OperatorError(f"There is no format {found!r}.", f"Choose one of: {', '.join(get_args(Format))}.")
    return found  # type: ignore[return-value]  # one of them, as just checked


def export(
    fields: tuple[Path, ...],
    output: Path,
    format_: Format,
    region: Region,
    uncertainty: bool,
    options: LookOptions,
    overwrite: bool,
) -> dict[str, Any]:
    """Write fields to a file; what was written, for the operator and for --json.

    A volume's first channel is the real part of n. A second one, kappa, is there where it exceeds 1 % of the
    largest difference of n from the medium; the last one is the standard deviation of n, where `uncertainty` asks for
    it.
    """
    check_request(fields, output, format_, overwrite)
    with ProgressReport() as report:
        report.note(f"reading {fields[0]}")
        field = load(fields[0])
        what: VolumeFile | PictureFile | MovieFile
        if format_ == "png" or format_ == "mp4":
            what = shown(field, format_, region, options, len(fields))
        else:
            what = VolumeFile(format_, region, uncertainty)
        return write(ExportJob(fields, output, what, overwrite), field, Told(report))


class Told:
    """Tells on a progress report how far an export is, and how long it still takes."""

    def __init__(self, report: ProgressReport) -> None:
        self._report = report
        self._began_s = time.monotonic()

    def __call__(self, done: int, total: int, unit: str) -> None:
        """See `gui.export.job.Tell`."""
        passed_s = time.monotonic() - self._began_s
        left = f", about {duration_text(passed_s * (total - done) / done)} left" if 0 < done < total else ""
        self._report.update("export", done, total, f"{unit} {done} of {total}{left}")
