"""The Born model as a matrix in double precision, for tiny volumes."""

from __future__ import annotations

import numpy as np
import torch

from recon.forward.born import BornModel
from recon.forward.model import pattern_images
from tests.recon.simulate import SHORT_WAVES


def without_mean(images_pyx):
    return images_pyx - images_pyx.mean((1, 2), keepdim=True)


def dense_model(grid, led_na_l2, brightness_pl):
    """(P * H * W, 2 * Z * H * W): from dn and kappa to images of mean zero, for how bright they are is no matter."""
    model = BornModel(grid, SHORT_WAVES, led_na_l2)
    count = int(np.prod(grid.shape_zyx))
    columns = []
    for part in (1.0, 1j):
        for place in range(count):
            unit = torch.zeros(count, dtype=torch.complex64)
            unit[place] = part
            images = pattern_images(model, unit.reshape(grid.shape_zyx), brightness_pl)
            columns.append(without_mean(images.double() - 1.0).flatten())
    return torch.stack(columns, 1)
