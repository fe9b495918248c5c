"""The closed form: joint Tikhonov solution of the Born model over all planes and LEDs at once.

The model is diagonal in the transverse frequency f. There, with A_f the transfer of each plane's real and imaginary
index to each image and W the prior variances of dn and kappa,

    x_f = (A_f^H A_f + alpha W^-1)^-1 A_f^H y_f

one small Hermitian solve per frequency, all of them batched (`recon.forward.normal`). It is the first volume, within
seconds of the last frame, and the start of the fit. Unlike the slice-by-slice deconvolution of the literature it does
not pretend that each plane made all the data.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from recon.forward.normal import BornNormal
from recon.forward.waves import potential_per_index
from recon.side_by_side import no_pulse

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from acquisition.capture import Optics
    from recon.forward.normal import Equations
    from recon.grid import VolumeGrid

KAPPA_VARIANCE = 0.05
"""Prior variance of kappa relative to that of dn: cells absorb far less than they refract."""

REGULARISATION = 0.01
"""alpha relative to the strength with which one LED sees a point that is the same in all planes."""


def solve_tikhonov(
    contrast_pyx: Tensor,
    brightness_pl: Tensor,
    led_na_l2: Tensor,
    grid: VolumeGrid,
    optics: Optics,
    regularisation: float = REGULARISATION,
    kappa_variance: float = KAPPA_VARIANCE,
    pulse: Callable[[], None] = no_pulse,
) -> Tensor:
    """Reconstruct the index from normalised images.

    Parameters
    ----------
    contrast_pyx
        I - 1 of each pattern, (P, H, W) float32.
    brightness_pl
        Brightness of each LED in each pattern, (P, L); all lit LEDs bright field.
    led_na_l2
        LED directions, (L, 2).
    grid, optics
        Volume and microscope.
    regularisation
        See `REGULARISATION`; 0.003 to 0.1 is sensible.
    kappa_variance
        Prior variance of kappa relative to that of dn.
    pulse
        Called between batches; whatever it raises ends the computation.

    Returns
    -------
    Tensor
        dn + i kappa, (Z, H, W) complex64.
    """
    share_pl = brightness_pl / brightness_pl.sum(1, keepdim=True)
    normal = BornNormal(grid, optics, led_na_l2, share_pl.to(contrast_pyx.device), pulse)
    equations = normal.equations(contrast_pyx, contrast_pyx.new_ones(len(contrast_pyx)))
    return solve_equations(normal, equations, 1.0, regularisation, kappa_variance)


def solve_equations(
    normal: BornNormal,
    equations: Equations,
    weight: float,
    regularisation: float = REGULARISATION,
    kappa_variance: float = KAPPA_VARIANCE,
) -> Tensor:
    """Solve equations that were set up with one weight for all images; otherwise as `solve_tikhonov`."""
    grid, optics = normal.grid, normal.optics
    strength = grid.dz_um * potential_per_index(optics) / (4.0 * math.pi * optics.medium_index / optics.wavelength_um)
    dn, kappa = normal.solve(equations, weight * regularisation * strength**2 * grid.shape_zyx[0], kappa_variance)
    return torch.complex(dn, kappa)
