"""`fieldscope export` of a capture: a folder of TIFFs with a table, or a compressed copy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import h5py

from acquisition.capture import SCHEMA, copy_compressed
from acquisition.capture_copy import Compression
from acquisition.capture_images import TABLE_NAME, export_images
from acquisition.errors import OperatorError
from gui.commands.output_file import check_output
from gui.commands.progress import ProgressReport

if TYPE_CHECKING:
    from pathlib import Path

COPY_SUFFIXES = (".h5", ".hdf5")


def is_capture(path: Path) -> bool:
    """Whether this file says of itself that it is a capture."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            return str(file.attrs.get("schema")) == SCHEMA
    except OSError:
        return False


def export_capture(path: Path, output: Path, compression: str) -> dict[str, Any]:
    """Export by what the output is called; what was written, for the operator and for --json."""
    if compression not in get_args(Compression):
        raise OperatorError(
            f"There is no compression {compression!r}.", f"Choose one of: {', '.join(get_args(Compression))}."
        )
    with ProgressReport() as report:

        def tell(done: int, total: int) -> None:
            report.update("export", done, total, f"{done} of {total} frames")

        if output.suffix.lower() not in COPY_SUFFIXES:
            if output.suffix.lower() in (".tif", ".tiff"):
                raise OperatorError(f"{output} names one TIFF; a capture has many.", "Name a folder, or a copy.h5.")
            frames = export_images(path, output, tell)
            return {"folder": str(output), "frames": frames, "table": str(output / TABLE_NAME)}
        check_output(output, False, path)
        copy_compressed(path, output, compression, tell)  # type: ignore[arg-type]  # one of them, as just checked
    before, after = path.stat().st_size, output.stat().st_size
    return {
        "copy": str(output),
        "verified": True,
        "bytes": after,
        "bytes_of_original": before,
        "share_of_original": round(after / before, 3),
    }
