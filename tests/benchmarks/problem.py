"""What every method gets: the same images, the same LEDs left out of them, and the same truth to be compared with.

    capture -> normalised images -> fitted patterns | held-out patterns        truth: dn on its own voxels

A method is given a `Problem` and never looks at `held_out` nor at `truth`; only the scores do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from acquisition.calibrate import fit_pose
from acquisition.capture import read_capture, read_truth
from recon.grid import VolumeGrid, axial_period_um, choose_grid
from recon.measurement import Measurement
from recon.quality import correlation, psnr_db

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from acquisition.capture import CaptureHeader, Truth

MEASURED_RIM = 48
"""Pixels along the edges that are not scored where the sample goes on beyond them."""

SAME_DIRECTION_NA = 1e-6

HOLD_OUT = slice(4, None, 9)
"""Which of the usable patterns are held out when nobody chose: every ninth, as the reconstruction does."""


@dataclass(frozen=True, eq=False)
class Problem:
    """One capture, divided into what methods may see and what they are judged by.

    Attributes
    ----------
    path
        The capture file.
    header
        Its head, with LED directions and NA as this problem believes them.
    leds
        Where these directions are from: ``nominal``, ``true`` or ``calibrated``.
    rows_p, images_pyx
        Rows of the capture's patterns to be fitted, and their normalised images.
    held_out_p, held_out_pyx
        Those that no fit may see.
    mean_is_one
        Whether each image was divided by its own mean.
    depths_um
        First and last plane.
    truth
        None for a measured sample.
    rim
        Pixels along the edges that the held-out error leaves out.
    device
        Where to compute.
    """

    path: Path
    header: CaptureHeader
    leds: str
    rows_p: NDArray[np.int64]
    images_pyx: NDArray[np.float32]
    held_out_p: NDArray[np.int64]
    held_out_pyx: NDArray[np.float32]
    mean_is_one: bool
    depths_um: tuple[float, float]
    truth: Truth | None
    rim: int
    device: torch.device

    @property
    def grid(self) -> VolumeGrid:
        """Planes for the linear methods: those of the truth where there is one, else those of the reconstruction."""
        grid = choose_grid(self.header.image_shape, self.header.optics, self.depths_um)
        if self.truth is None:
            return grid
        z_um = self.truth.z_um
        shape = (len(z_um), *self.header.image_shape)
        return replace(grid, shape_zyx=shape, dz_um=float(z_um[1] - z_um[0]), z_first_um=float(z_um[0]))

    @property
    def has_spheres(self) -> bool:
        """Whether the sample consists of separate homogeneous spheres."""
        return self.header.sample == "spheres"

    @property
    def contrast_pyx(self) -> Tensor:
        """I - 1 of the images to be fitted, on the device."""
        return torch.from_numpy(self.images_pyx).to(self.device) - 1.0

    @property
    def led_na_l2(self) -> Tensor:
        """LED directions, float64, on the device."""
        return torch.as_tensor(self.header.led_na_l2, dtype=torch.float64, device=self.device)

    def brightness(self, rows_p: NDArray[np.int64]) -> Tensor:
        """Brightness of each LED in some of the capture's patterns, (P, L) float32, on the device."""
        return torch.as_tensor(self.header.patterns_pl[rows_p], dtype=torch.float32, device=self.device)

    def scores(self, dn_zyx: NDArray[np.float32] | None, predicted_pyx: NDArray[np.float32]) -> dict[str, float]:
        """Score dn on the truth's voxels, and predictions of the held-out images (NaN: cannot be predicted)."""
        known = np.isfinite(predicted_pyx).all(axis=(1, 2))
        found: dict[str, float] = {"predicted": int(known.sum())}
        if self.truth is not None and dn_zyx is not None:
            found["psnr_db"] = psnr_db(dn_zyx, self.truth.dn_zyx)
            found["correlation"] = correlation(dn_zyx, self.truth.dn_zyx)
        if known.any():
            inner = slice(self.rim, -self.rim or None)
            predicted, measured = (images[known][:, inner, inner] for images in (predicted_pyx, self.held_out_pyx))
            if self.mean_is_one:  # both without the empty field's brightness, which nobody knows
                measured = measured / measured.mean(axis=(1, 2), keepdims=True)
                predicted = predicted / predicted.mean(axis=(1, 2), keepdims=True)
            error = np.linalg.norm(predicted - measured) / np.linalg.norm(measured - 1.0)
            found["held_out"] = float(error)
        return found


def led_choices(path: Path) -> tuple[str, ...]:
    """Which directions are worth a comparison: the true ones too where they are known and others than the nominal."""
    capture, truth = read_capture(path), read_truth(path)
    if truth is None:
        return ("nominal", "calibrated")
    moved = np.abs(truth.led_na_l2 - capture.header.led_na_l2).max() > SAME_DIRECTION_NA
    return ("nominal", "calibrated", "true") if moved else ("nominal",)


def load_problem(
    path: Path,
    device: torch.device | str = "cpu",
    leds: str = "nominal",
    hold_out: tuple[int, ...] = (),
    rim: int | None = None,
) -> Problem:
    """Read a capture and divide its patterns.

    Parameters
    ----------
    path
        Capture file.
    device
        Where to compute.
    leds
        ``nominal`` directions as the file has them, ``true`` ones, or ``calibrated``: fitted to the rims of the discs.
    hold_out
        Patterns to hold out; empty: every ninth, as the reconstruction does.
    rim
        Pixels that the held-out error leaves out; None: 0 with a truth (simulated fields are periodic), else 48.

    Raises
    ------
    OperatorError
        The capture cannot be read.
    ValueError
        There are no such directions.
    """
    capture, truth = read_capture(path), read_truth(path)
    header = capture.header
    # Held-out patterns are chosen by the nominal directions whatever is believed later: the same for every row.
    usable_p = np.intersect1d(bright_field(header), capture.pattern_n)
    held_out_p = np.intersect1d(usable_p, hold_out) if hold_out else usable_p[HOLD_OUT]
    measurement = Measurement(header, capture.darks, capture.background_pyx)
    level_p = np.ones(len(header.patterns_pl), np.float32)
    for pattern, image in zip(capture.pattern_n.tolist(), capture.images_nyx, strict=True):
        if pattern in usable_p:
            measurement.add(pattern, image)
            level_p[pattern] = image.mean() - header.optics.camera_offset
    images = measurement.images()
    held = np.isin(images.pattern_p, held_out_p)
    fitted = ~held
    if leds == "true":
        if truth is None:
            raise ValueError(f"{path} carries no true LED directions.")
        header = replace(header, led_na_l2=truth.led_na_l2)
    elif leds == "calibrated":
        rows_p = images.pattern_p[fitted]
        header = calibrated(header, images.intensity_pyx[fitted] * level_p[rows_p, None, None], rows_p)
    elif leds != "nominal":
        raise ValueError(f"LED directions {leds!r}; known are nominal, true, calibrated.")
    if leds != "nominal":
        fitted &= np.isin(images.pattern_p, bright_field(header))  # no linear model predicts dark field
    half_um = min(3.0 * axial_period_um(header.optics), 0.5 * min(header.image_shape) * header.optics.pixel_um)
    return Problem(
        path=path,
        header=header,
        leds=leds,
        rows_p=images.pattern_p[fitted],
        images_pyx=images.intensity_pyx[fitted],
        held_out_p=images.pattern_p[held],
        held_out_pyx=images.intensity_pyx[held],
        mean_is_one=images.mean_is_one,
        depths_um=header.sample_z_um or (-half_um, half_um),
        truth=truth,
        rim=(0 if truth is not None else MEASURED_RIM) if rim is None else rim,
        device=torch.device(device),
    )


def bright_field(header: CaptureHeader) -> NDArray[np.int64]:
    """Rows of the patterns whose LEDs all shine into the aperture."""
    lit_pl = header.patterns_pl > 0
    outside_l = np.hypot(*header.led_na_l2.T) >= header.optics.objective_na
    return np.flatnonzero(lit_pl.any(axis=1) & ~(lit_pl & outside_l).any(axis=1))


def calibrated(header: CaptureHeader, counts_pyx: NDArray[np.float32], rows_p: NDArray[np.int64]) -> CaptureHeader:
    """Replace directions and NA by those fitted to the images that may be seen."""
    pose = fit_pose(
        counts_pyx, header.patterns_pl[rows_p], header.led_position_mm_l3, header.led_na_l2, header.optics
    ).pose
    return replace(
        header,
        led_na_l2=pose.led_na(header.led_position_mm_l3, header.led_na_l2),
        optics=replace(header.optics, objective_na=pose.objective_na),
    )
