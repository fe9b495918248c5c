"""Pictures of a field: one function for each kind of request that a view may send."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recon import messages
from recon.lights import light_picture

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from recon.lights import MeasuredImages
    from recon.messages import PictureRequest, RequestSlice
    from recon.result import Box


def paint(
    asked: PictureRequest, shown: Box, measured: MeasuredImages, pulse: Callable[[], None]
) -> NDArray[np.float32]:
    """Paint what was asked for; the request's class says what comes back.

    Parameters
    ----------
    asked, shown
        The request, and the field.
    measured
        Images that the field was made from.
    pulse
        Called within what takes long; whatever it raises ends the work.

    Raises
    ------
    OperatorError
        The field cannot give this picture.
    """
    match asked:
        case messages.RequestSlice():
            return _slice(asked, shown)
        case messages.RequestLight():
            return light_picture(asked, shown, measured, pulse)


def _slice(asked: RequestSlice, shown: Box) -> NDArray[np.float32]:
    index_vu = shown.slice(asked.origin_um, asked.u_um, asked.v_um, asked.shape)
    picture_vu = index_vu.imag if asked.part == "kappa" else index_vu.real - np.float32(shown.medium_index)
    return picture_vu.astype(np.float32)
