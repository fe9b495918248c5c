"""A compressed copy of a capture, equal to it in every bit of its data.

gzip with the bytes shuffled reads everywhere HDF5 does. Blosc is several times faster, but whoever reads the copy needs
the package hdf5plugin (or the HDF5 plugins) too, as does this program to write it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from acquisition.capture_layout import CaptureError
from acquisition.capture_rebuild import Rebuild, free_for_rebuild
from acquisition.capture_salvage import opened
from acquisition.disk_space import check_space
from acquisition.file_name import give_name

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping

Compression = Literal["gzip", "blosc"]

_GZIP_LEVEL = 4
"""Camera noise does not compress further: level 9 takes five times as long for 1 % less."""


def copy_compressed(
    path: str | os.PathLike[str],
    output: str | os.PathLike[str],
    compression: Compression = "gzip",
    on_progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write a compressed copy and read it back before it gets its name; the original is not touched.

    Parameters
    ----------
    path, output
        A finished capture, and the copy; a file of that name is never overwritten.
    compression
        Reads everywhere (gzip), or is fast and needs hdf5plugin (blosc).
    on_progress
        Called with the number of frames written and their total.

    Raises
    ------
    CaptureError
        The capture is unfinished or damaged, the name is taken, the disk is full, or hdf5plugin is missing.
    """
    source, goal = Path(path), Path(output)
    filters = _filters(compression)
    if goal.exists():
        raise CaptureError(f"{goal} exists already and is not overwritten.", "Choose another name with -o.")
    with opened(source) as capture:
        file, frames = capture.file, capture.whole_frames()
        status = file["entry/status"][0].decode() if "entry/status" in file else "running"
        if status == "running" or capture.is_cut or len(frames) < len(file["entry/data/images"]):
            raise CaptureError(f"{source} is unfinished or damaged.", f"First run: fieldscope recover {source}")
        check_space(goal.parent, capture.size, f"a copy of {source.name}")
        rebuild = Rebuild(capture, frames, filters)
        try:
            copy = free_for_rebuild(goal.with_name(f"{goal.name}.copying"))
            try:
                rebuild.write(copy, status, on_progress)
                rebuild.check(copy)
                give_name(copy, goal)
            finally:
                copy.unlink(missing_ok=True)
        except FileExistsError as error:
            raise CaptureError(f"{goal} appeared meanwhile and is left alone.", "Choose another name.") from error
        except OSError as error:
            raise CaptureError(
                f"The copy {goal} cannot be written: {error.strerror or error}.", "Check the disk, or take another one."
            ) from error


def _filters(compression: Compression) -> Mapping[str, Any]:
    if compression == "gzip":
        return {"compression": "gzip", "compression_opts": _GZIP_LEVEL, "shuffle": True}
    try:
        import hdf5plugin
    except ImportError as error:
        raise CaptureError(
            "Blosc needs the package hdf5plugin.", "pip install 'fieldscope[blosc]', or leave out --compression blosc."
        ) from error
    return dict(hdf5plugin.Blosc(cname="lz4", shuffle=hdf5plugin.Blosc.BITSHUFFLE))
