"""A fit that begins where that of an earlier time point ended.

Between two time points most of a sample stays what it was, and so do the board and the depth of the box. The field of
the last time point then predicts the new images better than a closed form of these images alone. What the sample has
done since shows in what that field leaves unexplained: its closed form, added to the field, is tried as well. Whichever
predicts the held-out patterns best is gone on with, and so an earlier field of a sample that has been exchanged, or of
a stage that has moved, does no harm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from recon.field import NeuralField
from recon.illumination import Illumination
from recon.quality import contrast_error
from recon.stage import best_gain
from recon.tikhonov import solve_equations

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from recon.prepare import Setup
    from recon.result import Field
    from recon.stage import LinearStage, Stage


@dataclass(frozen=True, eq=False)
class Start:
    """What a fit may begin from.

    Attributes
    ----------
    field
        The earlier field, corrected where that helps.
    error
        Its error over the patterns that judge it.
    first_error
        The same of the first volume, made of the new images alone.
    """

    field: NeuralField
    error: float
    first_error: float

    @property
    def is_better(self) -> bool:
        """Whether the earlier field is to be taken."""
        return self.error < self.first_error

    @property
    def text(self) -> str:
        """Say which, and why."""
        errors = f"held-out error {self.error:.3f} at the start, {self.first_error:.3f} from the images alone"
        if self.is_better:
            return f"The fit begins from the field before: {errors}."
        return f"The field before does not fit these images ({errors}): the fit starts anew."


def light_of(last: Field) -> Illumination:
    """Directions of the LEDs as an earlier fit left them."""
    return Illumination(last.history.led_na_l2, last.optics, "the field before", None)


def same_box(setup: Setup, last: Field) -> bool:
    """Whether an earlier field fills the box of a new fit, on the same planes and pixels."""
    return setup.grid == last.grid and setup.pad == last.pad and setup.optics == last.optics


@torch.no_grad()
def start_from(
    last: Field, first: NeuralField, linear: LinearStage, stage: Stage, rows: Tensor, measured: Tensor
) -> Start | None:
    """Compare an earlier field with a first volume as what a fit begins from.

    Parameters
    ----------
    last, first
        The earlier field, which stays as it is, and the new one.
    linear, stage
        The linear stage, with the images to be fitted, and that whose predictions count.
    rows, measured
        Patterns that judge, and their images (P, H, W).

    Returns
    -------
    Start, or None where the two fields are not built alike.
    """
    config, wanted = last.network.config, first.config
    if (config.levels_zyx, config.features, config.widths) != (wanted.levels_zyx, wanted.features, wanted.widths):
        return None

    def error(field: NeuralField) -> float:
        return contrast_error(stage.predict(field, rows).cpu().numpy(), measured.cpu().numpy())

    first_error = error(first)
    as_it_was, changed = (_copy(last, first.pulse, linear.device) for _ in range(2))
    _correct(changed, linear, stage)
    best_error, _, best = min((error(field), number, field) for number, field in enumerate((as_it_was, changed)))
    return Start(best, best_error, first_error)


def _copy(last: Field, pulse: Callable[[], None], device: torch.device) -> NeuralField:
    field = NeuralField(last.network.config, pulse=pulse)
    field.load_state_dict(last.network.state_dict())
    return field.to(device)


def _correct(field: NeuralField, linear: LinearStage, stage: Stage) -> None:
    """Add to a field the closed form of what it leaves unexplained."""
    predicted = stage.predict(field, linear.rows)
    unexplained = linear.images_pyx / best_gain(predicted, linear.images_pyx)[:, None, None] - predicted
    change_zyx = solve_equations(linear.normal, linear.first_equations(unexplained), 1.0 / len(linear.rows))
    field.change_by(torch.complex(*linear.volume(field)), change_zyx)
