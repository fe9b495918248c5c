"""Before the tiles of a large capture are fitted: whether it is cut up, how, and what its tiles have in common.

Nothing here holds more of a capture than a tile of it, or the middle of the images from which the LEDs are found.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from acquisition.errors import OperatorError
from recon.device import choose_device
from recon.grid import choose_grid, pad_pixels
from recon.illumination import from_rims, held_out_by_profile, nominal, stored
from recon.measurement import Measurement
from recon.prepare import depths_um
from recon.tiles import Tiling, central_window, lay_axis, led_na_from
from recon.uncertainty import noise_variance
from recon.visit import read_visit

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from acquisition.capture import Capture, CaptureHeader
    from recon.illumination import Illumination
    from recon.measurement import Images
    from recon.messages import FitSettings

CPU_SIDE = 768
"""Largest tile without a GPU, in pixels."""
BYTES_PER_VOXEL, BYTES_PER_IMAGE_PIXEL = 200, 40
"""What a fit may take; 105 to 130 for a voxel were seen with the linear model, so that `WHOLE_UP_TO` fits as well."""
WHOLE_UP_TO = 1.5
"""Images of so many times the pixels of the largest tile are not cut up."""
SMALLEST_SIDE = 48
CENTRE_SIDE = 1024
"""The LEDs are found from the middle of the images, of at most so many pixels a side."""
SURVEYED_PATTERNS = 4
"""So many images tell the contrast of a tile."""
EMPTY_BELOW = 0.05
"""A tile has nothing in it where its images vary, noise taken off, by less than this share of the noise's variance."""


def tile_side(header: CaptureHeader, settings: FitSettings) -> int | None:
    """Largest side of tiles in pixels; None where the images are reconstructed as a whole.

    Raises
    ------
    OperatorError
        The operator wants tiles that are too small, or the device or the depths cannot be.
    """
    if settings.tile_pixels is not None:
        if settings.tile_pixels < SMALLEST_SIDE:
            raise OperatorError(
                f"Tiles of {settings.tile_pixels} pixels are too small; {SMALLEST_SIDE} is the least.",
                "Give more pixels, or leave the choice to the program.",
            )
        return settings.tile_pixels if max(header.image_shape) > settings.tile_pixels else None
    device = choose_device(settings.device)
    side = CPU_SIDE
    if device.type == "cuda":
        planes = choose_grid(header.image_shape, header.optics, depths_um(header, header.optics, settings)).shape_zyx[0]
        bytes_per_pixel = BYTES_PER_VOXEL * planes + BYTES_PER_IMAGE_PIXEL * len(header.patterns_pl)
        free, _ = torch.cuda.mem_get_info(device)
        side = max(256, 32 * math.floor(math.sqrt(free / bytes_per_pixel) / 32))
    rows, columns = header.image_shape
    return side if rows * columns > WHOLE_UP_TO * side**2 else None


@dataclass(frozen=True, eq=False)
class Survey:
    """What is known before the first tile.

    Attributes
    ----------
    tiling
        Where the tiles lie.
    light, height_mm_l
        LEDs as seen from the middle of the images, and their distance below the sample, (L,).
    settings
        For every tile: depths and held-out patterns are chosen.
    contrast_t, empty_t
        Squared contrast of each tile, noise taken off, (T,), and whether that is next to nothing.
    """

    tiling: Tiling
    light: Illumination
    height_mm_l: NDArray[np.float64]
    settings: FitSettings
    contrast_t: NDArray[np.float64]
    empty_t: NDArray[np.bool_]

    def led_na_l2(self, tile: int) -> NDArray[np.float64]:
        """Directions of the light as a tile sees it, (L, 2)."""
        centre_um = self.tiling.centre_um(tile, self.light.optics.pixel_um)
        return led_na_from(centre_um, self.light.led_na_l2, self.height_mm_l)


def survey_capture(
    glance: Capture,
    header: CaptureHeader,
    settings: FitSettings,
    largest: int,
    notify: Callable[[str], None],
    pulse: Callable[[], None],
) -> Survey:
    """Look at a capture, a part of it at a time, and decide what its tiles have in common.

    Parameters
    ----------
    glance, header
        The capture as read from its file, with no more than a glance at its images, and its head.
    settings
        The operator's choices.
    largest
        Side of tiles at most, in pixels.
    notify
        Called with what the operator should know.
    pulse
        Called often; whatever it raises ends the work.

    Raises
    ------
    OperatorError
        The capture or the settings do not allow a reconstruction.
    """
    available = np.unique(glance.pattern_n).astype(np.int64)
    light = nominal(header)
    by_profile = held_out_by_profile(header, available, settings.hold_out)
    if glance.calibration is not None:
        light = stored(header, glance.calibration)
    else:
        centre = read_visit(str(glance.path), settings, central_window(header.image_shape, CENTRE_SIDE))
        light = from_rims(header, normalised(centre, light), notify, by_profile)
        del centre
    scale = 1.0 if light.pose is None else light.pose.distance_scale
    height_mm_l = header.led_position_mm_l3[:, 2] * scale
    depths = depths_um(header, light.optics, settings)
    overlap = 2 * pad_pixels((largest, largest), light.optics, depths)
    tiling = Tiling(*(lay_axis(side, largest, overlap) for side in header.image_shape))
    count, (rows, columns) = len(tiling), tiling.tile_shape
    notify(
        f"The images of {header.image_shape[0]} x {header.image_shape[1]} pixels are reconstructed in {count} tiles of"
        f" {rows} x {columns}."
    )
    # What is held out must be bright field for every tile: the edge of the aperture lies elsewhere for each.
    bright = available
    for tile in range(count):
        seen_l2 = led_na_from(tiling.centre_um(tile, header.optics.pixel_um), light.led_na_l2, height_mm_l)
        bright = np.intersect1d(bright, replace(light, led_na_l2=seen_l2).bright_field(header.patterns_pl))
    held_out = np.intersect1d(by_profile, bright).tolist()
    dropped = sorted(set(settings.hold_out) - set(held_out))
    if dropped:
        notify(f"Patterns {', '.join(map(str, dropped))} cannot be held out: they are not part of this fit.")
    surveyed = bright[:: math.ceil(len(bright) / SURVEYED_PATTERNS)].tolist()
    contrast_t, empty_t = np.zeros(count), np.zeros(count, np.bool_)
    for tile in range(count):
        pulse()
        part = read_visit(str(glance.path), settings, tiling.window(tile), surveyed)
        contrast_t[tile], empty_t[tile] = contrast_of(normalised(part, light), part.header)
    settings = replace(settings, z_um=depths, hold_out=tuple(held_out))
    return Survey(tiling, light, height_mm_l, settings, contrast_t, empty_t)


def normalised(capture: Capture, light: Illumination) -> Images:
    """Images of a capture that was read, relative to the empty field."""
    header = replace(capture.header, led_na_l2=light.led_na_l2, optics=light.optics)
    measurement = Measurement(header, capture.darks, capture.background_pyx)
    for frame in capture.frames():
        measurement.add(*frame)
    return measurement.images()


def contrast_of(images: Images, header: CaptureHeader) -> tuple[float, bool]:
    """Mean square of I - 1 without the camera's noise, and whether that is next to nothing beside the noise."""
    if len(images.pattern_p) == 0:
        return 0.0, True
    power = float(((images.intensity_pyx - 1.0) ** 2).mean())
    noise = noise_variance(torch.from_numpy(images.intensity_pyx), header.optics.pixel_um, header.optics)
    return max(0.0, power - noise), power - noise <= EMPTY_BELOW * noise
