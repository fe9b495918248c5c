"""`fieldscope reconstruct`: a field from a capture, in this process."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from gui.commands.output_file import check_output
from gui.commands.progress import ProgressReport
from recon import messages

if TYPE_CHECKING:
    from recon.messages import Event, FitSettings

FIELD_SUFFIX = ".field.h5"


def free_field_name(capture: Path, folder: Path) -> Path:
    """NAME.field.h5 in a folder, with a number where that is taken already."""
    stem = capture.name.removesuffix(".part").removesuffix(".h5")
    path = folder / f"{stem}{FIELD_SUFFIX}"
    number = 2
    while path.exists():
        path = folder / f"{stem}-{number}{FIELD_SUFFIX}"
        number += 1
    return path


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
        report.note(f"reading {capture}")
        # torch takes seconds to import: first show a sign of life.
        from recon.field_file import write_field
        from recon.start import reconstruct as fit

        field = fit(str(capture), settings, lambda event: tell_fit(event, settings.max_seconds, report))
        size = write_field(output, field)
    history = field.history
    return {
        "capture": str(capture),
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
