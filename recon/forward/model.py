"""What a forward model is, and the choice of one by name.

    image of pattern p = sum over LEDs l of brightness[p, l] image[l] / sum over l of brightness[p, l]

LEDs are not coherent with each other: intensities add.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch

from acquisition.errors import OperatorError
from recon.forward.beam import BeamModel
from recon.forward.born import BornModel
from recon.forward.ssnp import SsnpModel
from recon.side_by_side import no_pulse

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from acquisition.capture import Optics
    from recon.grid import VolumeGrid


class ForwardModel(Protocol):
    """From a refractive-index volume to the intensity images that single LEDs give of it.

    A model is built for one grid, one optics and one set of LED directions. It is differentiable in the volume.
    """

    name: str
    resonant: bool
    """Whether planes must keep between resonances; see `recon.grid.plane_distance_um`."""
    bright_field_only: bool
    """Whether light past the aperture is beyond the model."""
    led_na_l2: Tensor
    patterns_per_step: int
    """How many patterns a step of a fit predicts: fewer where each is dear."""
    pulse: Callable[[], None]
    """Called often within long work; whatever it raises ends that work."""

    def usable_leds(self) -> Tensor:
        """Return which LEDs the model can describe, (L,) bool; asked before it predicts one that was never lit."""
        ...

    def images(self, index_zyx: Tensor, leds: Tensor) -> Tensor:
        """Predict intensity in units of the LED's illumination: an empty bright field is 1, a dark one 0.

        Parameters
        ----------
        index_zyx
            dn + i kappa on the grid, (Z, H, W) complex64.
        leds
            Rows of the LED directions, (K,) int64.

        Returns
        -------
        Tensor
            (K, H, W) float32.
        """
        ...


def build_model(
    name: str,
    grid: VolumeGrid,
    optics: Optics,
    led_na_l2: Tensor,
    device: torch.device | str = "cpu",
    pulse: Callable[[], None] = no_pulse,
) -> ForwardModel:
    """Build a forward model by its name; `pulse` is called often within long work, and may end it.

    Raises
    ------
    OperatorError
        There is no model of this name.
    """
    model = kind_of_model(name)(grid, optics, led_na_l2, device)
    model.pulse = pulse
    return model


def kind_of_model(name: str) -> type[BornModel] | type[BeamModel] | type[SsnpModel]:
    """Tell what a model is before there is a grid to build it for; errors as above."""
    for kind in (BornModel, BeamModel, SsnpModel):
        if kind.name == name:
            return kind
    raise OperatorError(f"There is no forward model {name!r}.", "Choose one of: born, beam, ssnp.")


def pattern_images(model: ForwardModel, index_zyx: Tensor, brightness_pl: Tensor) -> Tensor:
    """Predict the images of patterns of LEDs, each as bright as the same pattern's empty field.

    Parameters
    ----------
    model
        The forward model.
    index_zyx
        dn + i kappa on the grid, (Z, H, W) complex64.
    brightness_pl
        Brightness of each LED in each pattern, (P, L); rows with no light are not allowed.

    Returns
    -------
    Tensor
        (P, H, W) float32.
    """
    lit = brightness_pl.abs().sum(0) > 0
    leds = torch.nonzero(lit)[:, 0]
    images_kyx = model.images(index_zyx, leds)
    share_pk = brightness_pl[:, leds] / brightness_pl.sum(1, keepdim=True)
    return torch.einsum("pk,kyx->pyx", share_pk, images_kyx)
