"""From a capture's head, its light and its images to what a fit starts from: volume, model, patterns and margins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from acquisition.errors import OperatorError
from recon.forward.model import kind_of_model
from recon.grid import choose_grid, default_depths_um, pad_pixels
from recon.illumination import held_out_by_profile

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from acquisition.capture import CaptureHeader, Optics
    from recon.grid import VolumeGrid
    from recon.illumination import Illumination
    from recon.measurement import Images
    from recon.messages import FitSettings

WAVE_MODEL = "beam"
"""What `auto` takes where the linear model falls short: as near to exact scattering as SSNP, at half its cost."""

BLOCK = 4
"""Pixels along a side of a block."""

LEAST_FITTED = 2

RIM_SHARE = 0.5
"""The volume reaches beyond the images where their rims have this share of the contrast of the whole."""


@dataclass(frozen=True, eq=False)
class Setup:
    """What a fit starts from.

    Attributes
    ----------
    optics, led_na_l2
        The microscope and its LEDs' directions (L, 2), as calibrated.
    patterns_pl
        Brightness of each LED in each of the capture's patterns, (P, L).
    image_shape
        Rows and columns of the images.
    grid, pad
        The volume, for the final model; wider than the images by `pad` pixels on each side.
    model, wave_model
        The forward model, or "auto"; the multi-slice model that `auto` may take.
    bright_field
        Rows of the patterns that all stages can take.
    held_out
        Those of them that are never fitted.
    dark_field
        Rows of the patterns that only wave stages can take. Rows that are neither are left out.
    """

    optics: Optics
    led_na_l2: NDArray[np.float64]
    patterns_pl: NDArray[np.float32]
    image_shape: tuple[int, int]
    grid: VolumeGrid
    pad: int
    model: str
    wave_model: str
    bright_field: tuple[int, ...]
    held_out: tuple[int, ...]
    dark_field: tuple[int, ...] = ()


def prepare(
    header: CaptureHeader, light: Illumination, images: Images, settings: FitSettings, notify: Callable[[str], None]
) -> Setup:
    """Decide what to fit through what.

    Parameters
    ----------
    header, light, images
        What was captured.
    settings
        The operator's choices.
    notify
        Called with what the operator should know.

    Raises
    ------
    OperatorError
        The depths make no sense, or the patterns are too few.
    """
    optics = light.optics
    bright = np.intersect1d(light.bright_field(header.patterns_pl), images.pattern_p)
    # Rows that nobody may look at, also where they turn out to be dark field.
    kept = np.union1d(
        held_out_by_profile(header, images.pattern_p, settings.hold_out), np.array(settings.hold_out, np.int64)
    )
    dark: NDArray[np.int64] = np.array([], np.int64)
    if settings.model != "born":
        dark = np.intersect1d(light.dark_field(header.patterns_pl), images.pattern_p)
        dark = np.setdiff1d(dark, kept)
    held_out = np.intersect1d(kept, bright)
    if len(bright) - len(held_out) < LEAST_FITTED:
        raise OperatorError(
            f"{len(bright)} images of bright-field LEDs with {len(held_out)} held out leave too few to fit;"
            f" {LEAST_FITTED} is the least.",
            "Check the profile's LED positions and the objective's NA, or capture more bright-field LEDs.",
        )
    left_out = len(images.pattern_p) - len(bright) - len(dark)
    if left_out:
        notify(
            f"{left_out} of {len(images.pattern_p)} patterns light outside the objective's aperture (NA"
            f" {optics.objective_na:.3g}) or at its very edge, and are left out."
        )
    dropped = sorted(set(settings.hold_out) - set(held_out.tolist()))
    if dropped:
        notify(f"Patterns {', '.join(map(str, dropped))} cannot be held out: they are not part of this fit.")
    depths = depths_um(header, optics, settings)
    # Dark-field images have their light in the middle, whatever the sample; held-out ones are never looked at.
    fitted_p = np.isin(images.pattern_p, np.setdiff1d(bright, held_out))
    if not np.abs(images.intensity_pyx[fitted_p] - 1.0).max() > 0:
        raise OperatorError(
            "The images are flat: no pixel differs from its neighbours.",
            "Look at exposure and saturation, and whether the camera delivers images.",
        )
    pad = pad_pixels(header.image_shape, optics, depths) if reaches_rim(images.intensity_pyx[fitted_p]) else 0
    final = WAVE_MODEL if settings.model == "auto" else settings.model
    return Setup(
        optics=optics,
        led_na_l2=light.led_na_l2,
        patterns_pl=header.patterns_pl,
        image_shape=header.image_shape,
        grid=choose_grid(header.image_shape, optics, depths, kind_of_model(final).resonant, pad),
        pad=pad,
        model=settings.model,
        wave_model=WAVE_MODEL,
        bright_field=tuple(bright.tolist()),
        held_out=tuple(held_out.tolist()),
        dark_field=tuple(dark.tolist()),
    )


def depths_um(header: CaptureHeader, optics: Optics, settings: FitSettings) -> tuple[float, float]:
    """Top and bottom of the volume: as the operator says, else the capture, else by the optics."""
    return settings.z_um or header.sample_z_um or default_depths_um(header.image_shape, optics)


def reaches_rim(images_pyx: NDArray[np.float32]) -> bool:
    """Whether the sample goes on beyond the images: whether their rims show as much as the rest."""
    rows, columns = (side // BLOCK for side in images_pyx.shape[1:])
    blocks = images_pyx[:, : rows * BLOCK, : columns * BLOCK].reshape(-1, rows, BLOCK, columns, BLOCK)
    # Means of blocks: the camera's noise is the same at the rim and must not count.
    squared_yx = ((blocks.mean(axis=(2, 4)) - 1.0) ** 2).mean(axis=0)
    y, x = max(1, rows // 24), max(1, columns // 24)
    rim_yx = np.ones((rows, columns), np.bool_)
    rim_yx[y:-y, x:-x] = False
    return bool(squared_yx[rim_yx].mean() > RIM_SHARE**2 * squared_yx.mean())
