"""Each LED's own direction, refined through the forward model while the field is fitted.

A board is never as regular as its drawing, and a displacement of the whole board (`recon.illumination`) leaves some
thousandths of NA at each LED. With the field held still, the image of one LED depends on two numbers, its direction:
one Gauss-Newton step for each, from predictions at two neighbouring directions, with the board's direction as prior.
Directions of LEDs that are held out follow the others by one linear map: their own images are never looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from recon.forward.model import build_model
from recon.forward.waves import bin_width

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from recon.stage import WaveLoss, WaveStage

DIFFERENCE_NA = 0.002
"""Between the directions whose predictions are compared."""

DEVIATION_NA = 0.004
"""Standard deviation of LEDs about where the board has them."""

INDEPENDENT = 200.0
"""So many pixels' worth of independent error an image has; the rest is what the model gets wrong in common."""

LARGEST_STEP_NA = 0.004

TURN_FROM, TURN_EVERY = 8, 2
"""Steps of a wave stage in which the LEDs of the batch are turned."""


class Directions:
    """Where the LEDs are as a fit goes on.

    Parameters
    ----------
    board_na_l2
        Where the board has them, (L, 2).
    brightness_pl
        Of each LED in each pattern, (P, L); on the fit's device.
    objective_na
        LEDs beyond stay where they are.

    Attributes
    ----------
    na_l2, turned_l
        Directions as they are now, and which of the LEDs were turned by themselves.
    """

    def __init__(self, board_na_l2: NDArray[np.float64], brightness_pl: Tensor, objective_na: float) -> None:
        self._lit_pl, self._objective_na = brightness_pl > 0, objective_na
        self._board_na_l2 = torch.as_tensor(board_na_l2, dtype=torch.float64, device=brightness_pl.device)
        self.na_l2 = self._board_na_l2.clone()
        self.turned_l = torch.zeros(len(self.na_l2), dtype=torch.bool, device=brightness_pl.device)

    def take_up(self, na_l2: NDArray[np.float64], turned_l: NDArray[np.bool_]) -> None:
        """Go on from the directions of another fit."""
        self.na_l2 = torch.as_tensor(na_l2, dtype=torch.float64, device=self._board_na_l2.device)
        self.turned_l = torch.as_tensor(turned_l, device=self._board_na_l2.device)

    def follow(self, stage: WaveStage, batch: Tensor, found: WaveLoss, step: int) -> None:
        """Turn the LEDs of a batch of the stage's images; where several are lit at once they stay."""
        alone_p = self._lit_pl.sum(1) == 1
        if step < TURN_FROM or step % TURN_EVERY != 0 or not bool(alone_p[stage.rows].all()):
            return
        led_b = self._lit_pl.to(torch.int64).argmax(1)[stage.rows[batch]]
        bright_b = self._board_na_l2[led_b].norm(dim=1) < self._objective_na
        turned_b2 = refined(stage, found, led_b, self._board_na_l2)
        self.na_l2[led_b[bright_b]] = turned_b2[bright_b]
        self.turned_l[led_b[bright_b]] = True
        turned, others = self.turned_l.nonzero()[:, 0], (~self.turned_l).nonzero()[:, 0]
        self.na_l2[others] = following(self._board_na_l2, self.na_l2, turned, others)
        stage.turn_leds(self.na_l2)


@torch.no_grad()
def refined(stage: WaveStage, found: WaveLoss, led_b: Tensor, board_na_l2: Tensor) -> Tensor:
    """Directions of the LEDs of a batch of images, one LED each, that predict them better.

    Parameters
    ----------
    stage, found
        The stage with its model, and what it found for the batch.
    led_b
        The LED of each image, (B,).
    board_na_l2
        Where the board has each LED, (L, 2).

    Returns
    -------
    Tensor
        (B, 2) float64; unchanged where an LED would come to the edge of the aperture.
    """
    model = stage.model
    now = model.led_na_l2[led_b]
    index_zyx = torch.complex(found.dn_kappa[0], found.dn_kappa[1])
    slopes = []
    for axis in range(2):
        moved = now.clone()
        moved[:, axis] += DIFFERENCE_NA
        neighbour = build_model(model.name, stage.grid, stage.optics, moved, stage.device, model.pulse)
        images = stage.crop(neighbour.images(index_zyx, torch.arange(len(moved), device=stage.device)))
        slopes.append((images - found.predicted) * (found.gain / DIFFERENCE_NA)[:, None, None])
    residual = found.measured - found.predicted * found.gain[:, None, None]
    slope = torch.stack(slopes, dim=1).flatten(2).to(torch.float64)
    pixels = slope.shape[2]
    normal = slope @ slope.mT / pixels
    right = (slope @ residual.flatten(1).to(torch.float64).unsqueeze(-1)).squeeze(-1) / pixels
    error = residual.square().mean((1, 2)).to(torch.float64)
    prior = error / (INDEPENDENT * DEVIATION_NA**2)
    normal = normal + prior[:, None, None] * torch.eye(2, dtype=torch.float64, device=normal.device)
    right = right - prior[:, None] * (now - board_na_l2[led_b])
    step = torch.linalg.solve(normal, right)
    step = step * (LARGEST_STEP_NA / step.norm(dim=1, keepdim=True).clamp(min=LARGEST_STEP_NA))
    new = now + step
    edge = stage.optics.objective_na - bin_width(stage.grid) * stage.optics.wavelength_um
    return torch.where(new.norm(dim=1, keepdim=True) < edge, new, now)


def following(board_na_l2: Tensor, refined_na_l2: Tensor, seen: Tensor, others: Tensor) -> Tensor:
    """Where LEDs `others` (M,) are if they follow those `seen` (N,), by one linear map of the board: (M, 2)."""

    def with_one(na_l2: Tensor) -> Tensor:
        return torch.cat([na_l2, torch.ones_like(na_l2[:, :1])], dim=1)

    if len(seen) < 6:
        return board_na_l2[others]
    moved = refined_na_l2[seen] - board_na_l2[seen]
    source = with_one(board_na_l2[seen])
    # A ridge, for LEDs on a line or a single ring do not determine all of the map.
    ridge = 1e-3 * torch.eye(3, dtype=source.dtype, device=source.device)
    linear = torch.linalg.solve(source.T @ source + ridge, source.T @ moved)
    followed: Tensor = board_na_l2[others] + with_one(board_na_l2[others]) @ linear
    return followed
