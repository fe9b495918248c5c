"""`fieldscope demo`: the whole chain without a window, from the hardware profile to a field beside the truth.

The same parts do the work as behind the window: the drivers, the scan, and the reconstruction in its background
process, which gets each frame as soon as it is stored.
"""

from __future__ import annotations

import json
import queue
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from acquisition.capture import CaptureError, read_capture, read_header, read_truth
from acquisition.errors import OperatorError
from acquisition.profile import load_profile
from gui.commands.progress import ProgressReport
from gui.commands.reconstruct import tell_fit
from gui.commands.scan import opened_instrument, plan_of, run_scan
from recon import messages
from recon.client import ReconstructionProcess

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from acquisition.capture import Frame, Truth
    from acquisition.profile import Profile
    from recon.box import Box
    from recon.messages import Event, FitSettings

CAPTURE_NAME, FIELD_NAME, PICTURE_NAME, SUMMARY_NAME = "capture.h5", "cells.field.h5", "demo.png", "summary.json"
TITLE = "demo"
"""Of the capture: by it an earlier demo is known."""


class Session:
    """Receives a run's events on the reader's thread, shows them on this one, and waits for the ones that matter."""

    def __init__(self, settings: FitSettings, report: ProgressReport) -> None:
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._settings = settings
        self._report = report
        self.first_volume_s: float | None = None
        """When the first volume was there, on the monotonic clock; None while there is none."""
        self.process = ReconstructionProcess(self._events.put, settings.device)

    def show(self) -> None:
        """Show what has arrived.

        Raises
        ------
        OperatorError
            The reconstruction failed or its process has ended.
        """
        while not self._events.empty():
            self._take(self._events.get())

    def wait_for(self, kind: type[Event]) -> None:
        """Show events until one of a kind has come; errors as `show`."""
        while not isinstance(self._take(self._events.get()), kind):
            pass

    def _take(self, event: Event) -> Event:
        if isinstance(event, messages.Failed):
            raise OperatorError(event.message, event.remedy)
        if isinstance(event, messages.FieldReady) and self.first_volume_s is None:
            self.first_volume_s = time.monotonic()
        tell_fit(event, self._settings.max_seconds, self._report)
        return event


def run_demo(folder: Path, profile_name: str, settings: FitSettings, overwrite: bool) -> dict[str, Any]:
    """Scan, reconstruct while scanning, save, compare; the figures, which are also in summary.json.

    Raises
    ------
    OperatorError
        The folder is not empty, the profile is not a simulated one, or a part of the chain failed.
    """
    profile = load_profile(profile_name)
    if profile.simulation is None:
        raise OperatorError(
            f"The profile {profile.name} is one of real hardware; the demo needs the truth of a simulated one.",
            "Use a profile with a table [simulation], or `fieldscope capture` and `fieldscope reconstruct`.",
        )
    prepare_folder(folder, overwrite)
    started_s = time.monotonic()
    with ProgressReport() as report:
        first_volume_s, scan_s = _capture_and_reconstruct(folder, profile, settings, report)
        report.note("comparing with the truth")
        summary = compare(folder)
    summary.update(
        profile=profile.name,
        scan_seconds=round(scan_s, 1),
        first_volume_seconds=None if first_volume_s is None else round(first_volume_s, 1),
        first_volume_before_scan_end=first_volume_s is not None and first_volume_s < scan_s,
        total_seconds=round(time.monotonic() - started_s, 1),
    )
    (folder / SUMMARY_NAME).write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    return summary


def prepare_folder(folder: Path, overwrite: bool) -> None:
    """Make the folder; what an earlier demo left there is removed if that is wished, and nothing else ever.

    Raises
    ------
    OperatorError
        There are files in it, and `overwrite` was not given; files of these names are there that no demo has left; or
        it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"The folder {folder} cannot be made: {error.strerror}."
        raise OperatorError(message, "Choose another one with --out.") from error
    if not overwrite and any(folder.iterdir()):
        message = f"There are files in {folder} already."
        raise OperatorError(message, "Choose another folder with --out, or add --overwrite.")
    names = (CAPTURE_NAME, f"{CAPTURE_NAME}.part", FIELD_NAME, PICTURE_NAME, SUMMARY_NAME)
    present = [folder / name for name in names if (folder / name).exists()]
    if present and not _holds_demo(folder):
        message = f"{present[0]} is not known to be of an earlier demo and is not overwritten."
        raise OperatorError(message, "Choose another folder with --out, or move that file away.")
    for path in present:
        path.unlink()


def _holds_demo(folder: Path) -> bool:
    """Whether the capture in a folder, or else the summary, is one that a demo has written."""
    for name in (CAPTURE_NAME, f"{CAPTURE_NAME}.part"):
        if (folder / name).exists():
            try:
                return read_header(folder / name).title == TITLE
            except CaptureError:
                return False
    try:
        summary = json.loads((folder / SUMMARY_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(summary, dict) and "first_volume_before_scan_end" in summary


def _capture_and_reconstruct(
    folder: Path, profile: Profile, settings: FitSettings, report: ProgressReport
) -> tuple[float | None, float]:
    """From the instrument to the saved field; seconds from the scan's start to the first volume, and of the scan."""
    session = Session(settings, report)
    session.process.start()  # imports torch while the instrument opens
    try:
        with opened_instrument(profile, report) as instrument:
            plan = plan_of(instrument)
            header = instrument.capture_header(plan, title=TITLE, sample=f"phantom {profile.name}")
            session.wait_for(messages.Ready)
            run = session.process.start_live(header, settings, CAPTURE_NAME)
            started_s = time.monotonic()

            def pass_on(frame: Frame) -> None:
                session.process.add_frame(run, frame.pattern, frame.image_yx, frame.exposure_ms)

            path = run_scan(instrument, plan, folder / CAPTURE_NAME, header, report, pass_on, session.show)
            scan_s = time.monotonic() - started_s
        session.process.frames_done(run, str(path))
        session.wait_for(messages.Finished)
        session.process.save(run, str(folder / FIELD_NAME))
        session.wait_for(messages.Saved)
        return None if session.first_volume_s is None else session.first_volume_s - started_s, scan_s
    finally:
        session.process.stop()


def compare(folder: Path) -> dict[str, Any]:
    """Compare field and truth in a demo's folder, draw the picture, and return the figures."""
    from gui.commands.demo_picture import draw
    from recon import load_field
    from recon.quality import correlation, psnr_db

    capture = read_capture(folder / CAPTURE_NAME)
    truth = read_truth(folder / CAPTURE_NAME)
    assert truth is not None, "a simulated capture carries its truth"
    field = load_field(folder / FIELD_NAME)
    found = on_truth_grid(field, truth, capture.header.optics.pixel_um) - field.medium_index
    figures = {
        "correlation": round(correlation(found.real, truth.dn_zyx), 4),
        "psnr_db": round(psnr_db(found.real, truth.dn_zyx), 2),
        "held_out_error": field.history.held_out_error,
        "frames": len(capture.images_nyx),
        "fit_steps": field.history.steps,
        "fit_ended": field.history.reason,
        "field_bytes": (folder / FIELD_NAME).stat().st_size,
        "volume_bytes": int(found.size * 4),
    }
    if truth.kappa_zyx is not None:
        figures["kappa_correlation"] = round(correlation(found.imag, truth.kappa_zyx), 4)
    draw(folder / PICTURE_NAME, capture, truth, found.real, figures)
    return {
        "capture": str(folder / CAPTURE_NAME),
        "field": str(folder / FIELD_NAME),
        "picture": str(folder / PICTURE_NAME),
        **figures,
    }


def on_truth_grid(field: Box, truth: Truth, pixel_um: float) -> NDArray[np.complex64]:
    """Refractive index (Z, H, W) of the field at the centres of the truth's voxels."""
    _, rows, columns = truth.dn_zyx.shape
    left, top = (-(columns // 2) - 0.5) * pixel_um, (-(rows // 2) - 0.5) * pixel_um
    edges = (columns * pixel_um, 0.0, 0.0), (0.0, rows * pixel_um, 0.0)
    return np.stack([field.slice((left, top, z), *edges, (rows, columns)) for z in truth.z_um])
