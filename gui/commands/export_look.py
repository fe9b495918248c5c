"""What pictures and movies of `fieldscope export` show: the options, made into a look with the field's box at hand."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from acquisition.errors import OperatorError
from gui.export.job import MovieFile, PictureFile, Region, Sequence, SliceLook, Spin, Sweep, VolumeLook
from gui.export.paint import levels_of
from gui.export.sampling import sample_region
from gui.planes import UPRIGHT, Plane

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gui.export.job import Motion, Point
    from recon.box import Box
    from recon.scene import VolumeMode
    from recon.view_requests import IndexPart

View = Literal["xy", "xz", "yz", "volume"]
COLOUR_MAPS = {"grey": "gray", "inferno": "inferno", "magma": "magma", "viridis": "viridis", "cividis": "cividis"}
"""As the window calls them, and as matplotlib does."""
FULL_OPACITY, LAYERS = 0.75, 12
"""Opacity of one of so many layers of the box, where the index is at the upper level."""
RATE, SEQUENCE_RATE = 25.0, 5.0
"""Frames a second where none are given: of what moves, and of fields in order."""


@dataclass(frozen=True)
class LookOptions:
    """How pictures and movies look.

    Attributes
    ----------
    view
        A slice or the volume.
    at_um
        Where the slice lies along its normal; None: in the middle.
    size_px
        Longer side of the picture.
    part, levels, colours, scale_bar
        See `gui.export.job.SliceLook`; `colours` by name.
    mode, turn_deg, tilt_deg
        How the volume is shown, how far it is turned about its z axis, and then towards the viewer.
    draft
        Paint the volume from a coarse copy of the field, many times faster.
    frames, per_second
        Of a movie; None: as usual.
    """

    view: View = "xy"
    at_um: float | None = None
    size_px: int = 1024
    part: IndexPart = "dn"
    levels: tuple[float, float] | None = None
    colours: str = "grey"
    scale_bar: bool = True
    mode: VolumeMode = "composite"
    turn_deg: float = 30.0
    tilt_deg: float = 60.0
    draft: bool = False
    frames: int = 120
    per_second: float | None = None


def look_options(**chosen: Any) -> LookOptions:
    """Check the options that have names to choose from; those that are None are as usual.

    Raises
    ------
    OperatorError
        There is no such view, quantity, mode or colour map.
    """
    from recon.scene import VolumeMode
    from recon.view_requests import IndexPart

    for option, known in (
        ("view", get_args(View)),
        ("part", get_args(IndexPart)),
        ("mode", get_args(VolumeMode)),
        ("colours", tuple(COLOUR_MAPS)),
    ):
        if chosen.get(option) is not None and chosen[option] not in known:
            message = f"There is no --{option} {chosen[option]!r}."
            raise OperatorError(message, f"Choose one of: {', '.join(known)}.")
    return LookOptions(**{option: value for option, value in chosen.items() if value is not None})


def shown(
    field: Box, format_: Literal["png", "mp4"], region: Region, options: LookOptions, fields: int
) -> PictureFile | MovieFile:
    """Make the options into a picture or a movie; a volume spins, a slice sweeps, several fields give a frame each."""
    bounds_um = sample_region(field.bounds, field.shape_zyx, Region(region.box_um)).bounds_um
    look = _volume_look(field, bounds_um, options) if options.view == "volume" else _slice_look(bounds_um, options)
    if format_ == "png":
        return PictureFile(look)
    motion: Motion
    if fields > 1:
        motion = Sequence()
    elif isinstance(look, VolumeLook):
        motion = Spin()
    else:
        look, motion = _sweep(look, bounds_um, options)
    return MovieFile(look, motion, options.frames, options.per_second or (SEQUENCE_RATE if fields > 1 else RATE))


def _slice_look(bounds_um: NDArray[np.float64], options: LookOptions) -> SliceLook:
    axes = UPRIGHT[options.view]
    low, high = bounds_um[:, axes.normal]
    at_um = 0.5 * (low + high) if options.at_um is None else options.at_um
    if not low <= at_um <= high:
        message = f"--at is {at_um:g}; the {options.view} slices lie from {low:.4g} to {high:.4g} um."
        raise OperatorError(message, "Choose a place between them.")
    (left, top), (width, height) = (
        (float(corner[axes.column]), float(corner[axes.row])) for corner in (bounds_um[0], bounds_um[1] - bounds_um[0])
    )
    um_per_px = max(width, height) / options.size_px
    shape = (max(1, round(height / um_per_px)), max(1, round(width / um_per_px)))
    plane = Plane(axes.frame(float(at_um)), left, top, width, height, shape)
    colours = colour_table(options.colours)
    return SliceLook(
        plane.origin_um,
        plane.u_um,
        plane.v_um,
        shape,
        colours,
        options.part,
        options.levels,
        options.scale_bar,
    )


def _sweep(look: SliceLook, bounds_um: NDArray[np.float64], options: LookOptions) -> tuple[SliceLook, Sweep]:
    """From the lower face of the box to the upper one."""
    normal = UPRIGHT[options.view].normal
    origin, travel = np.array(look.origin_um), np.zeros(3)
    origin[normal], travel[normal] = bounds_um[0, normal], bounds_um[1, normal] - bounds_um[0, normal]
    return replace(look, origin_um=_point(origin)), Sweep(_point(travel))


def _point(values: NDArray[np.float64]) -> Point:
    x, y, z = values.tolist()
    return x, y, z


def _volume_look(field: Box, bounds_um: NDArray[np.float64], options: LookOptions) -> VolumeLook:
    from recon.scene import Opacity, Scene, camera_of_box

    low, high = options.levels or levels_of(field, "dn")
    shape = (max(2, round(0.75 * options.size_px)), options.size_px)
    camera = camera_of_box(bounds_um, shape, (1.0, 0.0, 0.0, 0.0))
    camera = camera.spun(math.radians(options.turn_deg)).orbited((1.0, 0.0, 0.0), math.radians(options.tilt_deg))
    scene = Scene(
        camera,
        options.mode,
        Opacity(((low + 0.1 * (high - low), 0.0), (high, FULL_OPACITY)), _depth_um(field) / LAYERS),
        _levels_of_mode(field, options.mode, (low, high)) if options.levels is None else (low, high),
        colour_table(options.colours),
        surface_dn=0.5 * (low + high),
        crop_um=(_point(bounds_um[0]), _point(bounds_um[1])),
    )
    return VolumeLook(scene, shape, "moving" if options.draft else "rest", options.scale_bar)


def _levels_of_mode(field: Box, mode: VolumeMode, levels: tuple[float, float]) -> tuple[float, float]:
    """Of the mode ``phase``, radians: of a way through half the depth of the box at the upper level."""
    if mode != "phase":
        return levels
    return 0.0, math.pi * levels[1] * _depth_um(field) / field.optics.wavelength_um


def _depth_um(field: Box) -> float:
    return float(field.bounds[1, 2] - field.bounds[0, 2])


def colour_table(name: str) -> bytes:
    """Lookup table of a colour map, 256 entries of red, green, blue."""
    import matplotlib

    entries = matplotlib.colormaps[COLOUR_MAPS[name]](np.arange(256), bytes=True)
    return np.ascontiguousarray(entries[:, :3]).tobytes()
