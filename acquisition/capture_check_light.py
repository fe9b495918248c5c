"""Checks of what a capture says about its optics, LEDs and patterns."""

from __future__ import annotations

import tomllib
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from acquisition.aperture import inside_aperture
from acquisition.finding import Finding, error, ok, warning

if TYPE_CHECKING:
    from collections.abc import Iterator

    import h5py

_PIXEL_TOLERANCE = 0.02
_ALIASING_GRACE = 1.05
CORRECT_PROFILE = "Correct the hardware profile; it was stored with the capture, so import or acquire again."


def check_optics(file: h5py.File) -> Iterator[Finding]:
    """Look at units and sizes: what a microscope can have, and what belongs together."""
    optics = {name: float(value) for name, value in file["entry/optics"].attrs.items()}
    limits = {
        "wavelength_um": (0.2, 2.0), "objective_na": (0.01, 2.0), "magnification": (0.1, 200.0),
        "camera_pixel_um": (0.5, 100.0), "pixel_um": (0.005, 50.0), "medium_index": (1.0, 2.0),
        "camera_offset": (0.0, 65535.0), "camera_gain_e": (1e-4, 1e4), "bit_depth": (8.0, 16.0),
    }  # fmt: skip
    wrong = {
        name: optics[name] for name, (low, high) in limits.items() if name in optics and not low <= optics[name] <= high
    }
    for name, value in wrong.items():
        low, high = limits[name]
        yield error(name, f"{value:g}; {low:g} to {high:g} is possible. Lengths are in um.", CORRECT_PROFILE)
    if wrong:
        return
    expected = optics["camera_pixel_um"] / optics["magnification"]
    if abs(optics["pixel_um"] / expected - 1) > _PIXEL_TOLERANCE:
        text = (
            f"{optics['pixel_um']:.4g} um in the object, but the camera's over the magnification is {expected:.4g} um"
        )
        yield warning("pixel_um", text, CORRECT_PROFILE)
    largest = optics["wavelength_um"] / (4 * optics["objective_na"])
    if optics["pixel_um"] > _ALIASING_GRACE * largest:
        yield warning(
            "pixel_um",
            f"{optics['pixel_um']:.4g} um; NA {optics['objective_na']:g} needs {largest:.4g} um or less: fine detail"
            " aliases",
            "Use a larger magnification, or no binning.",
        )
    yield ok(
        "optics",
        f"{optics['magnification']:g}x NA {optics['objective_na']:g}, {optics['wavelength_um']:g} um, pixel"
        f" {optics['pixel_um']:.4g} um, medium {optics['medium_index']:g}",
    )


def check_leds(file: h5py.File) -> Iterator[Finding]:
    """Look at where the LEDs are, what the patterns light, and a calibration."""
    na_l2 = file["entry/illumination/led_na"][()]
    position_l3 = file["entry/illumination/led_position_mm"][()]
    patterns_pl = file["entry/illumination/patterns"][()]
    objective_na = float(file["entry/optics"].attrs["objective_na"])
    lit = patterns_pl.any(axis=0)
    na = np.hypot(*na_l2.T)
    impossible = np.flatnonzero(~(na < 1) | ~np.isfinite(position_l3).all(axis=1))
    if len(impossible):
        led = impossible[0]
        text = (
            f"{len(impossible)} LEDs have no possible direction; LED {led}: NA {na[led]:.3f}, less than 1 is possible"
        )
        yield error("LED directions", text, CORRECT_PROFILE)
    elif (position_l3[:, 2] <= 0).any():
        led = int(position_l3[:, 2].argmin())
        text = f"LED {led} lies {position_l3[led, 2]:g} mm below the sample"
        yield error("LED positions", text, CORRECT_PROFILE)
    outside = int((lit & ~inside_aperture(na_l2, objective_na)).sum())
    if outside:
        yield warning(
            "LEDs out of NA",
            f"{outside} of {int(lit.sum())} lit LEDs are outside the objective's NA {objective_na:g} (up to"
            f" {na[lit].max():.3f}): dark field",
            "If that is not meant, correct the distance and the position of the board in the profile.",
        )
    else:
        yield ok("LEDs", f"{int(lit.sum())} of {len(na)} lit, NA up to {na[lit].max(initial=0):.3f}")
    yield from _patterns(patterns_pl)
    if "entry/calibration" in file:
        yield from _calibration(file["entry/calibration"])


def _patterns(patterns_pl: Any) -> Iterator[Finding]:
    if not ((patterns_pl >= 0) & (patterns_pl <= 1)).all():
        text = f"brightness from {patterns_pl.min():g} to {patterns_pl.max():g}; 0 to 1 is possible"
        yield error("patterns", text, "Write the patterns anew, as fractions of the full brightness.")
    dark = np.flatnonzero(~patterns_pl.any(axis=1))
    if len(dark):
        yield warning("patterns", f"{len(dark)} light no LED, such as {dark[0]}", "Leave them out of the plan.")
    twice = len(patterns_pl) - len(np.unique(patterns_pl, axis=0))
    if twice:
        yield warning("patterns", f"{twice} are equal to another one", "Use repeats in the plan instead.")


def _calibration(group: Any) -> Iterator[Finding]:
    na, gain = group["led_na"][()], group["led_gain"][()]
    if not (np.isfinite(na).all() and (gain > 0).all() and (np.hypot(*na.T) < 1).all()):
        yield error("calibration", "has impossible directions or gains", "Run fieldscope calibrate again.")
        return
    method = group["method"][()]
    yield ok("calibration", method.decode(errors="replace") if isinstance(method, bytes) else str(method))


def check_profile(file: h5py.File) -> Iterator[Finding]:
    """Look at the stored hardware profile and at the start time."""
    text = file["entry/profile"].asstr()[()]
    if not text.strip():
        yield warning("profile", "is empty", "None needed for a reconstruction; keep the profile beside the capture.")
    else:
        try:
            tomllib.loads(text)
        except tomllib.TOMLDecodeError as fault:
            yield warning("profile", f"is not TOML: {fault}", "Keep the right profile beside the capture.")
    started = str(file["entry"].attrs["start_time"])
    try:
        aware = datetime.fromisoformat(started).tzinfo is not None
    except ValueError:
        aware = False
    if aware:
        yield ok("start time", started)
    else:
        yield warning("start time", f"{started!r} is no ISO 8601 time with its zone", "None needed to reconstruct.")
