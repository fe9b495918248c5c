"""How well the light of a capture is known: from the linear solution for directions that may be wrong.

What follows in closed form from some images (`recon.tikhonov`) predicts the others, unless the light came from
elsewhere. Light turned by 180 degrees predicts as well where the volume reaches as far above the focus as below: the
solution is then upside down and dn has the other sign, which its skewness shows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from recon.device import choose_device
from recon.forward.born import BornModel
from recon.forward.model import pattern_images
from recon.grid import choose_grid
from recon.illumination import nominal
from recon.messages import FitSettings
from recon.prepare import depths_um
from recon.quality import contrast_error
from recon.survey import normalised
from recon.tikhonov import solve_tikhonov

if TYPE_CHECKING:
    from acquisition.capture import Capture, CaptureHeader

LARGEST_CROP = 192
"""Pixels; the middle of larger images is enough."""


def judge_light(capture: Capture, header: CaptureHeader, held_out: tuple[int, ...], device: str) -> tuple[float, float]:
    """Solve for the middle of the images with the directions of a header.

    Parameters
    ----------
    capture
        The images.
    header
        Its head, with the directions to be judged.
    held_out
        Patterns to be predicted, bright field.
    device
        As for a reconstruction.

    Returns
    -------
    error, skewness
        Of the prediction (`recon.quality.contrast_error`), and of dn.

    Raises
    ------
    OperatorError
        The device is not there, or the depths make no sense.
    """
    light = nominal(header)
    images = normalised(capture, light)
    rows, columns = (min(size, LARGEST_CROP) for size in header.image_shape)
    top, left = (header.image_shape[0] - rows) // 2, (header.image_shape[1] - columns) // 2
    chosen = choose_device(device)
    shown = np.intersect1d(light.bright_field(header.patterns_pl), images.pattern_p)
    middle_pyx = images.intensity_pyx[np.searchsorted(images.pattern_p, shown), top : top + rows, left : left + columns]
    intensity_pyx = torch.from_numpy(middle_pyx).to(chosen)
    brightness_pl = torch.from_numpy(header.patterns_pl[shown]).to(chosen)
    led_na_l2 = torch.as_tensor(header.led_na_l2, device=chosen)
    grid = choose_grid((rows, columns), header.optics, depths_um(header, header.optics, FitSettings()))
    kept = torch.from_numpy(np.isin(shown, held_out)).to(chosen)
    index_zyx = solve_tikhonov(intensity_pyx[~kept] - 1.0, brightness_pl[~kept], led_na_l2, grid, header.optics)
    predicted_pyx = pattern_images(BornModel(grid, header.optics, led_na_l2, chosen), index_zyx, brightness_pl[kept])
    dn = index_zyx.real.double()
    skewness = float((dn**3).mean() / (dn**2).mean() ** 1.5)
    return contrast_error(predicted_pyx.cpu().numpy(), intensity_pyx[kept].cpu().numpy()), skewness
