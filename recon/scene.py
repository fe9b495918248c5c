"""What a three-dimensional view shows: where the camera stands, what it makes of the index, and what is cut away.

Neither torch nor Qt: the window turns the camera, the reconstruction process paints the scene (`recon.render`).

The camera is orthographic: all rays are parallel, so a micrometre is as long in front as at the back and a scale bar is
right everywhere. Its axes are right, down and away from the viewer; unturned they are x, y and z of the volume, which
is how the xy slice lies on the screen, seen with the light.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Point = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]

VolumeMode = Literal["composite", "surface", "mip", "minip", "phase"]
Quality = Literal["moving", "rest"]

COLOURED_MODES = ("composite", "surface")
"""Modes whose pictures are colours; the others are values, coloured where they are shown."""

GREY = bytes(value for value in range(256) for _ in range(3))


def turn(axis: Point, angle: float) -> Quaternion:
    """Rotation (w, x, y, z) about an axis by an angle in radians."""
    length = math.sqrt(sum(a * a for a in axis))
    if length == 0.0 or angle == 0.0:
        return (1.0, 0.0, 0.0, 0.0)
    share = math.sin(0.5 * angle) / length
    return (math.cos(0.5 * angle), axis[0] * share, axis[1] * share, axis[2] * share)


def product(left: Quaternion, right: Quaternion) -> Quaternion:
    """Rotation that does first `right`, then `left`; of unit length also after many of them."""
    a, b, c, d = left
    e, f, g, h = right
    found = (
        a * e - b * f - c * g - d * h,
        a * f + b * e + c * h - d * g,
        a * g - b * h + c * e + d * f,
        a * h + b * g - c * f + d * e,
    )
    length = math.sqrt(sum(v * v for v in found))
    return (found[0] / length, found[1] / length, found[2] / length, found[3] / length)


@dataclass(frozen=True)
class Camera:
    """Where the viewer stands.

    Attributes
    ----------
    rotation
        Turns the volume's axes x, y, z into the camera's right, down and away: a unit quaternion (w, x, y, z).
    centre_um
        Point of the volume in the middle of the picture.
    um_per_px
        Size of a pixel.
    """

    rotation: Quaternion = (1.0, 0.0, 0.0, 0.0)
    centre_um: Point = (0.0, 0.0, 0.0)
    um_per_px: float = 1.0

    @cached_property
    def axes(self) -> NDArray[np.float64]:
        """Right, down and away as unit vectors of the volume, the rows of (3, 3)."""
        w, x, y, z = self.rotation
        return np.array(
            [
                [1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y)],
                [2 * (x * y - w * z), 1 - 2 * (x * x + z * z), 2 * (y * z + w * x)],
                [2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)],
            ]
        )

    def orbited(self, axis: Point, angle: float) -> Camera:
        """Turn the sample, as it is seen, about an axis of the camera (right, down, away) by an angle in radians."""
        # Turning the sample one way is walking around it the other way.
        return replace(self, rotation=product(self.rotation, turn(axis, -angle)))

    def spun(self, angle: float) -> Camera:
        """Turn the sample about its own z axis, as a top, by an angle in radians."""
        return replace(self, rotation=product(turn((0.0, 0.0, 1.0), -angle), self.rotation))

    def panned(self, right_px: float, down_px: float) -> Camera:
        """Move what is seen by so many pixels."""
        centre = np.array(self.centre_um) - self.um_per_px * (right_px * self.axes[0] + down_px * self.axes[1])
        return replace(self, centre_um=(float(centre[0]), float(centre[1]), float(centre[2])))

    def zoomed(self, factor: float, right_px: float = 0.0, down_px: float = 0.0) -> Camera:
        """Magnify; what lies so many pixels from the middle stays where it is."""
        closer = replace(self, um_per_px=self.um_per_px / factor)
        return closer.panned(right_px * (1.0 - factor), down_px * (1.0 - factor))

    def project(self, points_um: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points of the volume (..., 3) -> pixels right and down of the middle, and micrometres behind it, (..., 3)."""
        seen: NDArray[np.float64] = (points_um - np.array(self.centre_um)) @ self.axes.T
        seen[..., :2] /= self.um_per_px
        return seen


def camera_of_box(bounds_um: NDArray[np.float64], shape: tuple[int, int], rotation: Quaternion) -> Camera:
    """Place a camera so that a box (2, 3) stays within a picture of (rows, columns) however it is turned."""
    lower, upper = np.asarray(bounds_um, np.float64)
    centre = 0.5 * (lower + upper)
    # Most boxes are flat: their longest face diagonal fits while the corners may touch the edge.
    widest_um = float(np.sqrt((np.sort(upper - lower)[1:] ** 2).sum()))
    return Camera(rotation, (float(centre[0]), float(centre[1]), float(centre[2])), 1.02 * widest_um / min(shape))


@dataclass(frozen=True)
class Opacity:
    """How opaque the sample is by its index.

    Attributes
    ----------
    points
        dn, ascending, and the opacity there, 0 to 1, of a layer of thickness `layer_um`; straight in between, and as at
        the ends beyond them.
    layer_um
        Thickness that the opacities are for.
    """

    points: tuple[tuple[float, float], ...] = ((0.0, 0.0), (0.02, 0.2))
    layer_um: float = 1.0


@dataclass(frozen=True)
class Cut:
    """A plane that cuts the sample: what lies on the side that `normal` points to is shown."""

    point_um: Point
    normal: Point


@dataclass(frozen=True)
class Scene:
    """All that decides about a picture of the volume, but for its size in pixels.

    Attributes
    ----------
    camera
        Where the viewer stands.
    mode
        ``composite``: clouds whose opacity and colour follow the index; ``surface``: where the index reaches
        `surface_dn`, lit; ``mip`` and ``minip``: largest and smallest dn on the way of a ray; ``phase``: what a phase
        microscope would see from there, 2 pi / wavelength times the integral of dn along the ray, in radians.
    opacity
        For the mode ``composite``.
    levels
        Values of the darkest and the brightest colour: dn, or radians for the mode ``phase``.
    colours
        Lookup table, red, green, blue of each entry as bytes.
    surface_dn, surface_colour
        dn of the surface and its red, green and blue, 0 to 255; a face that cuts through the sample takes the colours
        of the index.
    cut
        Plane that cuts the sample, if any.
    crop_um
        Lower and upper corner, x y z, of the part that is shown; None: the whole box.
    """

    camera: Camera = field(default_factory=Camera)
    mode: VolumeMode = "composite"
    opacity: Opacity = field(default_factory=Opacity)
    levels: tuple[float, float] = (0.0, 0.02)
    colours: bytes = GREY
    surface_dn: float = 0.01
    surface_colour: tuple[int, int, int] = (196, 214, 236)
    cut: Cut | None = None
    crop_um: tuple[Point, Point] | None = None

    @property
    def table(self) -> NDArray[np.uint8]:
        """Lookup table, (entries, 3)."""
        return np.frombuffer(self.colours, np.uint8).reshape(-1, 3)


def to_rgba(picture: NDArray[np.float32] | NDArray[np.uint8], scene: Scene) -> NDArray[np.uint8]:
    """Colour a picture of values by levels and lookup table; one that is coloured already stays as it is.

    Parameters
    ----------
    picture
        As `recon.render.render` returns it: (H, W) values or (H, W, 4) colours.

    Returns
    -------
    ndarray
        (H, W, 4), red, green, blue, already multiplied by the opacity, and opacity.
    """
    if picture.dtype == np.uint8:
        return picture  # type: ignore[return-value]  # that is what the test has shown
    low, high = scene.levels
    table = scene.table
    share = (picture - np.float32(low)) * np.float32(len(table) / max(high - low, 1e-12))
    entries = np.concatenate([table, np.full((len(table), 1), 255, np.uint8)], axis=1)
    coloured: NDArray[np.uint8] = entries[np.clip(share, 0, len(table) - 1).astype(np.intp)]
    return coloured
