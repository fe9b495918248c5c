"""`fieldscope reconstruct`: a field from a capture, in this process."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from acquisition.capture import read_visits
from acquisition.errors import OperatorError
from gui.commands.output_file import check_output
from gui.commands.progress import ProgressReport
from gui.field_names import free_field_name, names_of_visits
from recon import messages

if TYPE_CHECKING:
    from recon.messages import Event, FitSettings

def tell_fit(event: Event, max_seconds: float, report: ProgressReport) -> None:
    """Show an event of a reconstruction on the progress report."""
    match event:
        case messages.Phase(name=name, detail=detail) if name != "finished":
            report.note(f"{name}: {detail}" if detail else name)
        case messages.Notice(text=text):
            report.note(f"note: {text}")
        case messages.FitProgress(eta_s=eta_s) as fit:
            done = max_seconds - eta_s if eta_s is not None else 0.0
            held_out = "" if fit.held_out_error is None else f", held-out error {fit.held_out_error:.3f}"
            left = "" if eta_s is None else f", at most {eta_s:.0f} s left"
            report.update("fit", done, max_seconds, f"step {fit.step}, loss {fit.loss:.4g}{held_out}{left}")


def reconstruct(capture: Path, output: Path | None, settings: FitSettings, overwrite: bool) -> dict[str, Any]:
    """Reconstruct a capture and save the field; the figures, for the operator and for --json."""
    output = output or free_field_name(capture, Path())
    check_output(output, overwrite, capture)
    with ProgressReport() as report:
        return _fit_one(capture, output, settings, report)


def reconstruct_all(capture: Path, folder: Path | None, settings: FitSettings, overwrite: bool) -> dict[str, Any]:
    """Reconstruct every time point and position that the settings leave open, each into a field of its own.

    Fields are called NAME-t0000-p0.field.h5. One that cannot be made is told and left out. The fit of each begins from
    the field of the same position before it, where that is worth it.

    Raises
    ------
    OperatorError
        A file cannot be written, the capture has no such frames, or none of the fields could be made.
    """
    folder = folder or Path()
    if not folder.is_dir():
        raise OperatorError(f"{folder} is no folder.", "With --all, -o names the folder for the fields; make it first.")
    visits = [
        (time_point, position)
        for time_point, position in read_visits(capture)
        if settings.time_point in (None, time_point) and settings.position in (None, position)
    ]
    if not visits:
        raise OperatorError("The capture has no such frames.", "`fieldscope info` tells what it has.")
    outputs = names_of_visits(capture, folder, visits)
    for output in outputs.values():
        check_output(output, overwrite, capture)
    fields: list[dict[str, Any]] = []
    failed: list[str] = []
    last_of: dict[int, Path] = {}
    with ProgressReport() as report:
        for number, ((time_point, position), output) in enumerate(outputs.items(), 1):
            report.note(f"field {number} of {len(visits)}: time point {time_point}, position {position}")
            start_from = settings.start_from or str(last_of.get(position, ""))
            chosen = replace(settings, time_point=time_point, position=position, start_from=start_from)
            try:
                fields.append(_fit_one(capture, output, chosen, report))
                last_of[position] = output
            except OperatorError as error:
                failed.append(f"time point {time_point}, position {position}: {error}")
                report.note(f"left out: {error}")
    if not fields:
        raise OperatorError(f"None of {len(visits)} fields could be made: {failed[0]}")
    return {"capture": str(capture), "fields": fields, "left_out": failed}


def _fit_one(capture: Path, output: Path, settings: FitSettings, report: ProgressReport) -> dict[str, Any]:
    report.note(f"reading {capture}")
    # torch takes seconds to import: first show a sign of life.
    from recon.field_file import write_field
    from recon.start import reconstruct as fit
    from recon.visit import choose_visit

    (time_point, position), _ = choose_visit(str(capture), settings)
    field = fit(str(capture), settings, lambda event: tell_fit(event, settings.max_seconds, report))
    size = write_field(output, field)
    history = field.history
    return {
        "capture": str(capture),
        "time_point": time_point,
        "position": position,
        "started_from": history.started_from or None,
        "field": str(output),
        "model": history.forward_model,
        "held_out_error": history.held_out_error,
        "training_loss": history.training_loss,
        "held_out": list(history.held_out),
        "reason": history.reason,
        "steps": history.steps,
        "seconds": round(history.seconds, 2),
        "seed": history.seed,
        "bounds_um": field.bounds.tolist(),
        "field_bytes": size,
    }


def readable(result: dict[str, Any]) -> dict[str, Any]:
    """Say of several fields only where they are and how well they predict: for people, not for --json."""
    if "fields" not in result:
        return result
    told = [f"{field['field']} ({_error_text(field['held_out_error'])})" for field in result["fields"]]
    return {**result, "fields": told}


def _error_text(error: float | None) -> str:
    return "nothing held out" if error is None else f"held-out error {error:.3f}"
