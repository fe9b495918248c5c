"""Pictures of a field: one function for each kind of request that a view may send."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from recon.messages import PictureRequest, RequestSlice
    from recon.result import Box


def paint(asked: PictureRequest, shown: Box) -> NDArray[np.float32]:
    """Paint what was asked for; the request's class says what comes back.

    Raises
    ------
    OperatorError
        The field cannot give this picture.
    """
    return _slice(asked, shown)


def _slice(asked: RequestSlice, shown: Box) -> NDArray[np.float32]:
    index_vu = shown.slice(asked.origin_um, asked.u_um, asked.v_um, asked.shape)
    picture_vu = index_vu.imag if asked.part == "kappa" else index_vu.real - np.float32(shown.medium_index)
    return picture_vu.astype(np.float32)
