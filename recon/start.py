"""The ways to begin a reconstruction: with frames still to come, with a capture file, or from start to end.

Images that are larger than memory are reconstructed in tiles; who drives a run need not know which of both it is.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from acquisition.capture import PART_SUFFIX, read_header
from acquisition.errors import OperatorError
from recon import messages
from recon.account import tell_missing
from recon.device import choose_device
from recon.field_file import read_field
from recon.reconstruct import Reconstruction
from recon.result import Field
from recon.side_by_side import no_pulse
from recon.survey import tile_side
from recon.tiled import TiledReconstruction
from recon.tiles import central_window
from recon.visit import choose_visit, read_visit

if TYPE_CHECKING:
    from collections.abc import Callable

    from acquisition.capture import CaptureHeader, MatchedReference
    from recon.checkpoint import Checkpoint
    from recon.messages import Event, FitSettings
    from recon.tiles import TiledField


def start_live(
    run: int,
    header: CaptureHeader,
    settings: FitSettings,
    emit: Callable[[Event], None],
    capture_name: str = "",
    pulse: Callable[[], None] = no_pulse,
    reference: MatchedReference | None = None,
) -> Reconstruction | TiledReconstruction:
    """Begin a run whose frames will be added, in tiles where they are large; parameters as `Reconstruction`.

    `reference` is the empty field. Tiles find it in the file, which has it when the scan ends.

    Raises
    ------
    OperatorError
        The capture or the settings do not allow a reconstruction, or the reference cannot be read.
    """
    side = tile_side(header, settings)
    if side is not None:
        last = _read_last(run, settings, emit)
        return TiledReconstruction(run, header, settings, emit, side, "", capture_name, pulse, last=last)
    background_pyx = None if reference is None else np.stack(list(reference.backgrounds()))
    last = _read_last(run, settings, emit)
    return Reconstruction(
        run, header, settings, emit, background_pyx=background_pyx, capture_name=capture_name, pulse=pulse,
        last=last if isinstance(last, Field) else None,
    )  # fmt: skip


def start_stored(
    run: int,
    capture_path: str,
    settings: FitSettings,
    emit: Callable[[Event], None],
    pulse: Callable[[], None] = no_pulse,
    resumed: Checkpoint | None = None,
) -> Reconstruction | TiledReconstruction:
    """Begin a run with all frames of a capture file, in tiles where they are large; parameters as `Reconstruction`.

    Raises
    ------
    OperatorError
        The file cannot be read, or does not allow a reconstruction.
    """
    header = read_header(capture_path)
    (time_point, position), told = choose_visit(capture_path, settings)
    settings = replace(settings, time_point=time_point, position=position)
    if told:
        emit(messages.Notice(run, told))
    last = _read_last(run, settings, emit)
    side = tile_side(header, settings)
    if side is not None:
        return TiledReconstruction(
            run, header, settings, emit, side, capture_path, pulse=pulse, resumed=resumed, last=last
        )
    capture = read_visit(capture_path, settings)
    tell_missing(run, capture, emit)
    run_of_file = Reconstruction(
        run,
        capture.header,
        settings,
        emit,
        capture.darks,
        capture.background_pyx,
        Path(capture_path).name,
        pulse,
        capture.pattern_n,
        capture.calibration or (None if resumed is None else resumed.calibration),
        resumed,
        last if isinstance(last, Field) else None,
    )
    for frame in capture.frames():
        run_of_file.add_frame(*frame)
    run_of_file.frames_done(capture_path)
    return run_of_file


def resume_live(
    run: int,
    capture_path: str,
    settings: FitSettings,
    emit: Callable[[Event], None],
    pulse: Callable[[], None] = no_pulse,
    reference: MatchedReference | None = None,
) -> Reconstruction | TiledReconstruction:
    """Begin a run with the frames that a scan has stored so far; the others will be added.

    A frame that is stored and sent while the file is read counts twice in the mean of its pattern, which does no harm.

    Raises
    ------
    OperatorError
        As `start_live`; or the file cannot be read.
    """
    header = read_header(capture_path)
    name = Path(capture_path).name.removesuffix(PART_SUFFIX)
    begun = start_live(run, header, settings, emit, name, pulse, reference)
    side = tile_side(header, settings)
    stored = read_visit(capture_path, settings, None if side is None else central_window(header.image_shape, side))
    for dark in stored.darks:
        begun.add_frame(-1, dark.image_yx, dark.exposure_ms)
    for frame in stored.frames():
        begun.add_frame(*frame)
    return begun


def _read_last(run: int, settings: FitSettings, emit: Callable[[Event], None]) -> Field | TiledField | None:
    """Read the field from which a fit is to begin; one that cannot be read costs time, and no reconstruction."""
    if not settings.start_from:
        return None
    try:
        return read_field(settings.start_from, choose_device(settings.device))
    except OperatorError as error:
        emit(messages.Notice(run, f"The fit starts anew: {error.message}"))
        return None


def reconstruct(capture_path: str, settings: FitSettings, on_event: Callable[[Event], None]) -> Field | TiledField:
    """Reconstruct a capture file in this process, from start to end.

    Parameters
    ----------
    capture_path
        The capture; also one that was aborted or killed.
    settings
        The operator's choices.
    on_event
        Called with each event; see `recon.messages`.

    Raises
    ------
    OperatorError
        The file cannot be read, or does not allow a reconstruction.
    """
    run = start_stored(0, capture_path, settings, on_event)
    while run.advance():
        pass
    return run.field()
