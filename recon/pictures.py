"""Pictures of a field: one function for each kind of request that a view may send."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recon.messages import RequestSlice, RequestVolume
from recon.render import Previews, render

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from numpy.typing import NDArray

    from recon.messages import PictureRequest
    from recon.result import Box


def paint(
    asked: PictureRequest, shown: Box, previews: Previews, state: Hashable, pulse: Callable[[], None]
) -> NDArray[np.float32] | NDArray[np.uint8]:
    """Paint what was asked for; the request's class says what comes back.

    Parameters
    ----------
    asked, shown
        The request, and the field it is for.
    previews, state
        Coarse copy of the field for cameras that move, made anew when `state` has changed.
    pulse
        Called now and then by pictures that take long; whatever it raises ends the picture.

    Raises
    ------
    OperatorError
        The field cannot give this picture.
    """
    match asked:
        case RequestSlice():
            return _slice(asked, shown)
        case RequestVolume(scene=scene, shape=shape, quality=quality):
            return render(shown, scene, shape, quality, previews=previews, state=state, pulse=pulse)


def _slice(asked: RequestSlice, shown: Box) -> NDArray[np.float32]:
    index_vu = shown.slice(asked.origin_um, asked.u_um, asked.v_um, asked.shape)
    picture_vu = index_vu.imag if asked.part == "kappa" else index_vu.real - np.float32(shown.medium_index)
    return picture_vu.astype(np.float32)
