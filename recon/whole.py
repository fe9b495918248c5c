"""What the tiles of a field of view amount to: one history, and one box."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from acquisition.capture import CaptureHeader
    from recon.result import Field, History


def detached(field: Field) -> Field:
    """The field with nothing of the fit, in memory of its own: that of the device is for the tile being fitted."""
    network = field.network.to("cpu").requires_grad_(False)
    for parameter in network.parameters():
        parameter.grad = None
    return replace(field, network=network)


def joint_history(tiles: Sequence[Field | None], contrast_t: NDArray[np.float64], whole: History) -> History:
    """History of the whole: errors by the tiles' shares in all contrast, brightness as their mean.

    Parameters
    ----------
    tiles, contrast_t
        Those that are there, and the squared contrast of each.
    whole
        What is known without them.
    """
    done = [(tile.history, weight) for tile, weight in zip(tiles, contrast_t, strict=True) if tile]
    histories = [history for history, _ in done]
    errors = [(history.held_out_error, weight) for history, weight in done if history.held_out_error is not None]
    total = sum(weight for _, weight in errors)
    return replace(
        whole,
        forward_model=histories[0].forward_model,
        held_out_error=math.sqrt(sum(weight * e**2 for e, weight in errors) / total) if total > 0 else None,
        training_loss=float(np.mean([history.training_loss for history in histories])),
        steps=sum(history.steps for history in histories),
        pattern_gain_p=mean_of_known([history.pattern_gain_p for history in histories]),
        led_gain_l=mean_of_known([history.led_gain_l for history in histories]),
        started_from=histories[0].started_from,
    )


def mean_of_known(values: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Mean of arrays of the same shape where any of them is a number; NaN elsewhere."""
    stack = np.stack(values)
    known = np.isfinite(stack)
    count = known.sum(axis=0)
    total = np.where(known, stack, 0.0).sum(axis=0)
    mean: NDArray[np.float64] = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return mean


def whole_bounds_um(header: CaptureHeader, tile_um: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bounds of the whole, (2, 3), from those of a tile: same depths."""
    rows, columns = header.image_shape
    pixel_um = header.optics.pixel_um
    lower = (np.array([-(columns // 2), -(rows // 2)]) - 0.5) * pixel_um
    whole = tile_um.copy()
    whole[:, :2] = lower, lower + np.array([columns, rows]) * pixel_um
    return whole
