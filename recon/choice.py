"""Whether the linear model is enough for a sample, or its scattering asks for waves: what `auto` finds out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from recon.quality import contrast_error

if TYPE_CHECKING:
    from collections.abc import Callable

    from recon.field import NeuralField
    from recon.stage import LinearStage, WaveStage

NONLINEAR_SHARE, NOTICED_SHARE = 0.15, 0.15
"""Linear is not enough where the wave model disagrees with it by more than these shares of the contrast that the linear
one predicts, and of that which it leaves unexplained."""
COMPARED_PATTERNS = 6
"""With so many patterns."""


@torch.no_grad()
def falls_short(linear: LinearStage, wave: WaveStage, field: NeuralField, notify: Callable[[str], None]) -> bool:
    """Put a field through both models, and tell whether the linear one falls short.

    Parameters
    ----------
    linear, wave
        The linear stage, with its images, and that of waves.
    field
        As the linear stage has left it.
    notify
        Called with what was found.
    """
    step = max(1, len(linear.rows) // COMPARED_PATTERNS)
    rows, measured = linear.rows[::step], linear.images_pyx[::step]
    mean_is_one = linear.mean_is_one
    wave.mean_is_one = linear.mean_is_one = True
    by_linear, by_wave = linear.predict(field, rows), wave.predict(field, rows)
    linear.mean_is_one = mean_is_one
    disagreement = contrast_error((by_wave + (measured - by_linear)).cpu().numpy(), measured.cpu().numpy())
    error = contrast_error(by_linear.cpu().numpy(), measured.cpu().numpy())
    predicted = float((by_linear - 1.0).norm() / (measured - 1.0).norm())
    strong = disagreement > NONLINEAR_SHARE * predicted and disagreement > NOTICED_SHARE * error
    name = wave.model.name
    notify(
        f"Scattering is {'strong' if strong else 'weak'}: the linear model leaves {error:.0%} of the contrast"
        f" unexplained, and the {name} model differs from it by {disagreement:.0%} of the contrast: "
        + (f"going on with {name}." if strong else "the linear model suffices.")
    )
    return strong
