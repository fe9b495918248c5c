"""Predicted beside measured: the image in the light of a pattern or from any direction, and how far the two differ.

Both are brought to the same scale, that of the fit (`recon.measurement`):

    bright field, empty field known      I / I_empty; the prediction times the brightness that the fit found, if it did
    no empty field, or dark field        I / mean(I)

An image of a direction that was never lit has no brightness of its own, and is treated alike otherwise.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

import numpy as np

from acquisition.errors import OperatorError
from recon.forward.model import kind_of_model
from recon.messages import Lights
from recon.quality import contrast_errors
from recon.view_requests import NO_PATTERN

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from recon.box import Box
    from recon.view_requests import RequestLight


class MeasuredImages(Protocol):
    """Where measured images come from: the frames of a run, or a file."""

    @property
    def patterns_pl(self) -> NDArray[np.float32]:
        """Brightness of each LED in each pattern, (P, L)."""
        ...

    @property
    def mean_is_one(self) -> bool:
        """Whether each image is divided by its own mean, for want of an empty field."""
        ...

    def image(self, pattern: int) -> NDArray[np.float32] | None:
        """Normalised image (H, W) of a pattern; None where there is none (yet).

        An OperatorError says that it cannot be read: the prediction is then shown without it.
        """
        ...


class NothingMeasured:
    """Stands for the measured images where there are none."""

    patterns_pl: NDArray[np.float32] = np.empty((0, 0), np.float32)
    mean_is_one = False

    def image(self, pattern: int) -> NDArray[np.float32] | None:
        """There is none."""
        return None


def light_picture(
    asked: RequestLight, shown: Box, measured: MeasuredImages, pulse: Callable[[], None]
) -> NDArray[np.float32]:
    """Paint what a `RequestLight` asks for, (3, H, W).

    Parameters
    ----------
    asked, shown
        The request, and the field.
    measured
        Of the same capture.
    pulse
        Called between LEDs; whatever it raises ends the work.
    """
    pair = light_pair(asked.pattern, asked.na, shown, measured, pulse)
    residual = pair[0] - pair[1]
    return thinned(np.stack([*pair, residual]), asked.most_pixels)


def light_pair(
    pattern: int, na: tuple[float, float], shown: Box, measured: MeasuredImages, pulse: Callable[[], None]
) -> NDArray[np.float32]:
    """Predicted and measured image of a pattern, or of a direction where that is `NO_PATTERN`: (2, H, W)."""
    history = shown.history
    pair = np.full((2, *shown.shape_zyx[1:]), np.nan, np.float32)
    directions_k2, share_k = np.array([na]), np.ones(1)
    gain = math.nan
    if 0 <= pattern < len(measured.patterns_pl):
        brightness_l = measured.patterns_pl[pattern]
        lit = np.flatnonzero(brightness_l)
        directions_k2, share_k = history.led_na_l2[lit], brightness_l[lit] / brightness_l.sum()
        image_yx = _image(measured, pattern)
        if image_yx is not None and image_yx.shape == pair.shape[1:]:  # else: only a part of the field is there yet
            pair[1] = image_yx
        if pattern < len(history.pattern_gain_p):
            gain = float(history.pattern_gain_p[pattern])
    elif pattern != NO_PATTERN:
        return pair
    try:
        total_yx = np.zeros(pair.shape[1:])
        for direction, share in zip(directions_k2, share_k, strict=True):
            pulse()
            total_yx += share * shown.intensity(direction)
    except OperatorError:  # the window knows how far the model reaches, and says so
        return pair
    dark = bool((np.hypot(*directions_k2.T) > shown.optics.objective_na).all())
    if dark or measured.mean_is_one:
        total_yx /= max(float(total_yx.mean()), 1e-12)
    elif math.isfinite(gain):
        total_yx *= gain
    pair[0] = total_yx
    return pair


def _image(measured: MeasuredImages, pattern: int) -> NDArray[np.float32] | None:
    try:
        return measured.image(pattern)
    except OperatorError:  # the file went away; the prediction is worth as much
        return None


def thinned(stack: NDArray[np.float32], most_pixels: int) -> NDArray[np.float32]:
    """Average (N, H, W) over squares of pixels, so that no side is longer than wanted; a rest at the edges is lost."""
    rows, columns = stack.shape[1:]
    side = math.ceil(max(rows, columns) / most_pixels)
    if side <= 1:
        return stack
    kept = stack[:, : rows - rows % side, : columns - columns % side]
    blocks = kept.reshape(len(stack), rows // side, side, columns // side, side)
    mean: NDArray[np.float32] = blocks.mean(axis=(2, 4), dtype=np.float32)
    return mean


class ErrorSurvey:
    """The error of every pattern of a field that no longer changes, found one by one when there is nothing else to do.

    Parameters
    ----------
    error_p
        What is known of them so far, (P,); NaN: nothing.
    """

    def __init__(self, error_p: NDArray[np.float32]) -> None:
        self.error_p = error_p.copy()
        self._to_do = list(range(len(error_p)))

    @property
    def done(self) -> bool:
        """Whether all are found."""
        return not self._to_do

    def give_up(self) -> None:
        """What is not known stays so."""
        self._to_do.clear()

    def advance(self, shown: Box, measured: MeasuredImages, pulse: Callable[[], None]) -> None:
        """Find the next one; what `pulse` raises leaves it to be done."""
        pattern = self._to_do[0]
        pair = light_pair(pattern, (0.0, 0.0), shown, measured, pulse)
        self.error_p[pattern] = contrast_errors(pair[:1], pair[1:])[0]
        self._to_do.pop(0)


def unknown_errors(measured: MeasuredImages) -> NDArray[np.float32]:
    """Errors of all patterns, (P,), before any was found."""
    return np.full(len(measured.patterns_pl), np.nan, np.float32)


def lights_of(
    run: int, shown: Box, patterns_pl: NDArray[np.float32], error_p: NDArray[np.float32], told: str = ""
) -> Lights:
    """Tell the window of the light of a field."""
    history, optics = shown.history, shown.optics
    far = not kind_of_model(history.forward_model).bright_field_only
    return Lights(
        run,
        history.led_na_l2,
        optics.objective_na,
        optics.medium_index if far else optics.objective_na,
        np.argwhere(patterns_pl > 0).astype(np.int32),
        error_p.astype(np.float32),
        history.held_out,
        told,
    )
