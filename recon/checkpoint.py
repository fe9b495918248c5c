"""The state of a run on disk, so that a process that is lost costs seconds of work and not the run.

A checkpoint is a field file, neither rounded nor compressed, with one more group: `checkpoint`. It is written when
something has been reached (a stage, a tile, the end), and else every few seconds, more seldom where the field is so
large that writing it would cost more than a hundredth of the time.
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import asdict, dataclass, fields
from functools import partial
from typing import TYPE_CHECKING, Any

import h5py

from acquisition.capture import Calibration
from acquisition.errors import OperatorError
from recon.field_file import read_field, write_field
from recon.left import settings_of

if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    import torch
    from numpy.typing import NDArray

    from recon.messages import FitSettings
    from recon.reconstruct import Reconstruction
    from recon.result import Field
    from recon.tiled import TiledReconstruction
    from recon.tiles import TiledField

log = logging.getLogger(__name__)

INTERVAL_S = 15.0
"""So much work may be lost at most, where the field is small."""
MOST_SHARE = 0.01
"""Of the time may go into writing checkpoints."""


@dataclass(frozen=True, eq=False)
class Standing:
    """How far a fit has come, its field apart: what another fit of the same images needs to go on from there.

    The optimiser's memory is not part of it: it is twice as large as the field, and is found again in a few steps.

    Attributes
    ----------
    stages
        Names of those not done, that under way first.
    decided
        Whether `auto` has chosen its model.
    doublings
        Of the smoothing.
    loss
        Of the last step.
    gain_p, led_na_l2, turned_l
        Brightness of each pattern, directions of the LEDs, and which of them were turned by themselves.
    """

    stages: tuple[str, ...]
    decided: bool
    doublings: int
    loss: float
    gain_p: NDArray[np.float64]
    led_na_l2: NDArray[np.float64]
    turned_l: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What another process needs to go on.

    Attributes
    ----------
    field
        As it is, with its history.
    settings
        The operator's choices.
    finished
        Whether the run had ended by itself: there is nothing left to do but to show the field.
    fit_s
        How much of the time limit was used.
    calibration
        Where the LEDs were found; None: not known yet.
    standing
        How far the fit had come; None where it has to begin anew, from all frames.
    """

    field: Field | TiledField
    settings: FitSettings
    finished: bool
    fit_s: float = 0.0
    calibration: Calibration | None = None
    standing: Standing | None = None


def write_checkpoint(path: str | os.PathLike[str], checkpoint: Checkpoint) -> None:
    """Write a checkpoint, whole or not at all, in place of the last one.

    Raises
    ------
    OperatorError
        The folder cannot be written.
    """
    write_field(path, checkpoint.field, exact=True, add=partial(_add, checkpoint))


def _add(checkpoint: Checkpoint, file: h5py.File) -> None:
    group = file.create_group("checkpoint")
    group.attrs.update(
        settings=json.dumps(asdict(checkpoint.settings)), finished=checkpoint.finished, fit_s=checkpoint.fit_s
    )
    for name, part in (("calibration", checkpoint.calibration), ("standing", checkpoint.standing)):
        if part is not None:
            stored = group.create_group(name)
            for of_part in fields(part):
                stored[of_part.name] = getattr(part, of_part.name)


def read_checkpoint(path: str | os.PathLike[str], device: str | torch.device = "cpu") -> Checkpoint:
    """Read what `write_checkpoint` has written.

    Raises
    ------
    OperatorError
        The file is missing, damaged, or of another version of this program.
    """
    field = read_field(path, device)
    try:
        with h5py.File(path, "r", locking=False) as file:
            group = file["checkpoint"]
            calibration, standing = (_part(group, name) for name in ("calibration", "standing"))
            return Checkpoint(
                field,
                settings_of(group),
                bool(group.attrs["finished"]),
                float(group.attrs["fit_s"]),
                None if calibration is None else Calibration(**calibration),
                None if standing is None else Standing(**standing),
            )
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise OperatorError(
            f"{path} is damaged or no checkpoint of this program: {error}.",
            "Reconstruct the capture again from its beginning.",
        ) from error


def _part(group: h5py.Group, name: str) -> dict[str, Any] | None:
    if name not in group:
        return None
    return {key: _plain(dataset) for key, dataset in group[name].items()}


def _plain(dataset: h5py.Dataset) -> Any:
    if h5py.check_string_dtype(dataset.dtype) is not None:
        texts = dataset.asstr()[()]
        return texts if isinstance(texts, str) else tuple(texts.tolist())
    value = dataset[()]
    return value if dataset.shape else value.item()


class CheckpointFile:
    """Keeps the checkpoint of the run under way.

    Parameters
    ----------
    path
        The file; None: nothing is kept.
    clock
        Seconds.
    """

    def __init__(self, path: Path | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._clock = path, clock
        self._reached: tuple[object, ...] | None = None
        self._changes = -1
        self._due_s = 0.0
        self._failed = False

    def follow(self, run: Reconstruction | TiledReconstruction) -> str:
        """Write the state of a run where that is due; to be called after each portion of work.

        Returns
        -------
        str
            What to tell the operator, once, where it cannot be written; else empty.
        """
        if self._path is None or self._failed or not run.has_field or run.kept_changes == self._changes:
            return ""
        began_s = self._clock()
        if run.reached == self._reached and began_s < self._due_s:
            return ""
        self._reached, self._changes = run.reached, run.kept_changes
        try:
            write_checkpoint(self._path, run.checkpoint())
        except OperatorError as error:
            self._failed = True
            log.warning("%s", error)
            return f"No checkpoint is kept: {error.message} If this process is lost, the fit begins anew."
        ended_s = self._clock()
        self._due_s = ended_s + max(INTERVAL_S, (ended_s - began_s) / MOST_SHARE)
        log.debug("checkpoint written in %.0f ms", 1000 * (ended_s - began_s))
        return ""

    def forget(self) -> None:
        """Remove the file: another run begins, or none."""
        self._reached, self._changes, self._failed = None, -1, False
        if self._path is not None:
            try:
                self._path.unlink(missing_ok=True)
            except OSError as error:
                log.warning("The old checkpoint stays: %s", error)
