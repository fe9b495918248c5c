"""What is told of a finished reconstruction: resolution, frequencies that were never seen, uncertainty.

Computed once at the end of a fit, in little time beside it, and kept in the group `assessment` of the field file.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import torch

from recon.figures import Figures
from recon.resolution import half_volumes, resolution_of, transfer_coverage
from recon.side_by_side import no_pulse
from recon.uncertainty import LEVEL_STEP, Uncertainty, uncertainty_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import h5py
    from torch import Tensor

    from acquisition.capture import Optics
    from recon.grid import VolumeGrid

GROUP = "assessment"

LARGEST_SIDE = 256
"""Pixels: of larger images the middle tells the resolution."""


@dataclass(frozen=True, eq=False)
class Assessment:
    """Figures of a reconstruction, and its uncertainty at every point."""

    figures: Figures
    uncertainty: Uncertainty


@torch.no_grad()
def assess(
    dn_zyx: Tensor,
    grid: VolumeGrid,
    optics: Optics,
    images_pyx: Tensor,
    brightness_pl: Tensor,
    led_na_l2: Tensor,
    predicted_pyx: Tensor,
    measured_pyx: Tensor,
    pulse: Callable[[], None] = no_pulse,
) -> Assessment:
    """Assess a finished fit.

    Parameters
    ----------
    dn_zyx, grid
        The field on a grid as wide as the images, (Z, H, W) float32, and that grid.
    optics
        The microscope, its aperture as fitted.
    images_pyx, brightness_pl
        Bright-field images that were fitted, relative to the empty field, (P, H, W), gains divided out, and the
        brightness of each LED in each of them, (P, L).
    led_na_l2
        LED directions as fitted, (L, 2).
    predicted_pyx, measured_pyx
        See `recon.uncertainty.uncertainty_of`.
    pulse
        Called often within long work; whatever it raises ends it.
    """
    top, left = (max(0, side - LARGEST_SIDE) // 2 for side in images_pyx.shape[1:])
    central_pyx = images_pyx[:, top : top + LARGEST_SIDE, left : left + LARGEST_SIDE]
    central = replace(grid, shape_zyx=(grid.shape_zyx[0], *central_pyx.shape[1:]))
    first, second = half_volumes(central_pyx, brightness_pl, led_na_l2, central, optics, pulse)
    resolution = resolution_of(first, second, central, optics)
    lit = brightness_pl.sum(0).cpu() > 0
    pulse()
    coverage = transfer_coverage(led_na_l2.cpu()[lit].numpy(), optics, central)
    pulse()
    nothing = float("nan")
    figures = Figures(
        resolution.lateral.resolution_um or nothing,
        resolution.axial.resolution_um or nothing,
        resolution.lateral.never_falls,
        resolution.axial.never_falls,
        coverage.missing_share,
        coverage.filled_share,
    )
    return Assessment(figures, uncertainty_of(dn_zyx, grid, optics, predicted_pyx, measured_pyx))


def write_assessment(file: h5py.File, assessment: Assessment) -> None:
    """Add an assessment to a field file that is being written."""
    group = file.create_group(GROUP)
    group.attrs.update({f.name: getattr(assessment.figures, f.name) for f in fields(Figures)})
    uncertainty = assessment.uncertainty
    levels = group.create_dataset(
        "uncertainty_level", data=uncertainty.levels_zyx.cpu().numpy(), compression="gzip", shuffle=True
    )
    # sigma = lowest * exp(step * level), on cells that fill the box between the bounds.
    levels.attrs.update(
        lowest=uncertainty.lowest, step=LEVEL_STEP, bounds_um=uncertainty.bounds_um, typical=uncertainty.typical
    )


def read_assessment(file: h5py.File) -> Assessment | None:
    """Read the assessment of a field file; None where it has none."""
    if GROUP not in file:
        return None
    group = file[GROUP]
    levels = group["uncertainty_level"]
    lower, upper = (tuple(corner) for corner in levels.attrs["bounds_um"].tolist())
    uncertainty = Uncertainty(
        torch.from_numpy(levels[()]), float(levels.attrs["lowest"]), (lower, upper), float(levels.attrs["typical"])
    )
    return Assessment(Figures(**{f.name: group.attrs[f.name].item() for f in fields(Figures)}), uncertainty)
