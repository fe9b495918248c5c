"""Pictures of a field: one function for each kind of request that a view may send."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from recon import view_requests
from recon.box import plane_points
from recon.grid import VolumeGrid
from recon.lights import light_picture
from recon.regions import region_figures
from recon.render import Previews, render
from recon.resolution import Coverage, transfer_coverage

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from numpy.typing import NDArray

    from acquisition.capture import Optics
    from recon.box import Box
    from recon.lights import MeasuredImages
    from recon.view_requests import PictureRequest, RequestCoverage, RequestLine, RequestSlice


def paint(
    asked: PictureRequest,
    shown: Box,
    measured: MeasuredImages,
    previews: Previews,
    state: Hashable,
    pulse: Callable[[], None],
) -> NDArray[np.float32] | NDArray[np.uint8]:
    """Paint what was asked for; the request's class says what comes back.

    Parameters
    ----------
    asked, shown
        The request, and the field it is for.
    measured
        Images that the field was made from.
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
        case view_requests.RequestVolume(scene=scene, shape=shape, quality=quality):
            return render(shown, scene, shape, quality, previews=previews, state=state, pulse=pulse)
        case view_requests.RequestSlice():
            return _slice(asked, shown)
        case view_requests.RequestLine():
            return _line(asked, shown)
        case view_requests.RequestRegion():
            return region_figures(shown, asked).vector()
        case view_requests.RequestCoverage():
            return _coverage(asked, shown)
        case view_requests.RequestFigures():
            return np.empty(0, np.float32) if shown.figures is None else shown.figures.vector()
        case view_requests.RequestLight():
            return light_picture(asked, shown, measured, pulse)


def _slice(asked: RequestSlice, shown: Box) -> NDArray[np.float32]:
    if asked.part == "sigma":
        return shown.uncertainty(plane_points(asked.origin_um, asked.u_um, asked.v_um, asked.shape))
    index_vu = shown.slice(asked.origin_um, asked.u_um, asked.v_um, asked.shape)
    picture_vu = index_vu.imag if asked.part == "kappa" else index_vu.real - np.float32(shown.medium_index)
    return picture_vu.astype(np.float32)


def _line(asked: RequestLine, shown: Box) -> NDArray[np.float32]:
    points = np.linspace(asked.start_um, asked.end_um, asked.count)
    index = shown.refractive_index(points)
    return np.stack([index.real - np.float32(shown.medium_index), index.imag, shown.uncertainty(points)])


def _coverage(asked: RequestCoverage, shown: Box) -> NDArray[np.float32]:
    history = shown.history
    lit = np.isfinite(history.led_gain_l)  # where LEDs were lit together, nothing tells which were not lit at all
    led_na_l2 = history.led_na_l2[lit] if lit.any() else history.led_na_l2
    extent_um = tuple((shown.bounds[1] - shown.bounds[0]).tolist())
    # A fit turns its LEDs a little with each step; the picture does not show that.
    directions = tuple((na_x, na_y) for na_x, na_y in led_na_l2.round(3).tolist())
    coverage = _coverage_of(directions, shown.optics, shown.shape_zyx, extent_um)
    return coverage.section_at(np.radians(asked.azimuth_deg), asked.shape)


@lru_cache(maxsize=2)  # it takes up to a second, and to turn the section needs it again
def _coverage_of(
    led_na: tuple[tuple[float, float], ...],
    optics: Optics,
    shape_zyx: tuple[int, int, int],
    extent_um: tuple[float, float, float],
) -> Coverage:
    grid = VolumeGrid(shape_zyx, extent_um[2] / shape_zyx[0], extent_um[0] / shape_zyx[2], 0.0)
    return transfer_coverage(led_na, optics, grid)
