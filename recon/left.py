"""What a checkpoint tells of its run, for whoever must not load torch: the window, which asks whether to go on.

The fields themselves are read by `recon.checkpoint`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import h5py

from acquisition.errors import OperatorError
from recon.messages import FitSettings

if TYPE_CHECKING:
    import os


@dataclass(frozen=True)
class LeftFit:
    """A run whose program has ended before it.

    Attributes
    ----------
    checkpoint_path, capture_path
        Its state, and the capture with all of its frames; None: they were not yet all there.
    settings
        The operator's choices.
    steps
        That its field has behind it.
    finished
        Whether the fit had ended by itself.
    written_s
        When, in seconds of the system's clock.
    """

    checkpoint_path: Path
    capture_path: Path | None
    settings: FitSettings
    steps: int
    finished: bool
    written_s: float


def read_left(path: str | os.PathLike[str]) -> LeftFit:
    """Read whose checkpoint this is.

    Raises
    ------
    OperatorError
        The file is missing, damaged, or of another program or version.
    """
    try:
        with h5py.File(path, "r", locking=False) as file:
            group, fit = file["checkpoint"], file["fit"].attrs
            folder, name = str(fit["capture_folder"]), str(fit["capture_name"])
            return LeftFit(
                Path(path),
                Path(folder) / name if folder and name else None,
                settings_of(group),
                int(fit["steps"]),
                bool(group.attrs["finished"]),
                Path(path).stat().st_mtime,
            )
    except (OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise OperatorError(
            f"{path} is damaged or no checkpoint of this program: {error}.",
            "Reconstruct the capture again from its beginning.",
        ) from error


def settings_of(checkpoint: h5py.Group) -> FitSettings:
    """Read the operator's choices; raises KeyError, ValueError or TypeError where they are another version's."""
    chosen = json.loads(checkpoint.attrs["settings"])
    for name in ("hold_out", "z_um"):  # JSON has no tuples
        chosen[name] = tuple(chosen[name]) if chosen[name] is not None else None
    return FitSettings(**chosen)
