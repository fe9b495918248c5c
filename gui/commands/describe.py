"""`fieldscope info`: what a file is, in words. Captures, fields and hardware profiles."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from acquisition.aperture import inside_aperture
from acquisition.capture import read_capture, read_truth
from acquisition.errors import OperatorError
from acquisition.profile import load_profile, shipped_profiles

if TYPE_CHECKING:
    from pathlib import Path

    from recon.assessment import Assessment

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


def describe(file: Path) -> dict[str, Any]:
    """What there is to know of a capture, a field or a profile (a file, or a shipped profile by name)."""
    if file.suffix == ".toml" or str(file) in shipped_profiles():
        return _profile(str(file))
    if file.is_dir():
        raise OperatorError(f"{file} is a folder.", "Name a file in it.")
    if not file.is_file():
        raise OperatorError(f"There is no file {file}.", "Check the name, and the folder you are in.")
    try:
        with h5py.File(file, "r", locking=False) as opened:
            schema = str(opened.attrs.get("schema"))
    except OSError as error:
        if _begins_as_hdf5(file):
            raise OperatorError(
                f"{file} is a damaged or truncated HDF5 file: {error}.",
                f"Copy it again from where it was written, or save what is in it: fieldscope recover {file}",
            ) from error
        raise OperatorError(
            f"{file} is not a capture, a field or a hardware profile (it is neither HDF5 nor TOML).",
            "Choose a file that Fieldscope wrote: NAME.h5, NAME.field.h5, or a profile NAME.toml.",
        ) from error
    if schema == "fieldscope-field":
        return _field(file)
    return _capture(file)


def _begins_as_hdf5(file: Path) -> bool:
    """Whether the first bytes are those of HDF5."""
    try:
        with file.open("rb") as opened:
            return opened.read(len(HDF5_SIGNATURE)) == HDF5_SIGNATURE
    except OSError as error:
        raise OperatorError(f"{file} cannot be read: {error.strerror}.", "Check its permissions.") from error


def _capture(file: Path) -> dict[str, Any]:
    capture = read_capture(file)
    header, optics = capture.header, capture.header.optics
    na = np.hypot(*header.led_na_l2.T)
    lit = header.patterns_pl.any(axis=0)
    frames, rows, columns = capture.images_nyx.shape
    missing = sorted(set(range(len(header.patterns_pl))) - set(capture.pattern_n.tolist()))
    saturated = float(capture.saturated_fraction_n.max(initial=0.0))
    truth = read_truth(file)
    return {
        "kind": "capture",
        "file": str(file),
        "status": capture.status,
        "title": header.title,
        "sample": header.sample,
        "operator": header.operator,
        "start_time": header.start_time,
        "software": header.software,
        "frames": frames,
        "time_points": len(set(capture.time_point_n.tolist())),
        "positions": len(set(capture.position_n.tolist())),
        "stage_um": header.positions_um or None,
        "image_shape": [rows, columns],
        "patterns": len(header.patterns_pl),
        "patterns_without_frame": missing,
        "leds": len(na),
        "leds_lit": int(lit.sum()),
        "leds_lit_bright_field": int((lit & inside_aperture(header.led_na_l2, optics.objective_na)).sum()),
        "largest_led_na": round(float(na[lit].max(initial=0.0)), 4),
        "counts_min_mean_max": (
            [int(capture.images_nyx.min()), round(float(capture.images_nyx.mean()), 1), int(capture.images_nyx.max())]
            if frames
            else None
        ),
        "largest_saturated_fraction": saturated,
        "exposure_ms": sorted(set(capture.exposure_ms_n.tolist())),
        "dark_frame": capture.dark_yx is not None,
        "dark_exposures_ms": [dark.exposure_ms for dark in capture.darks],
        "background": capture.background_pyx is not None,
        "reference": capture.header.is_reference,
        "calibration": None if capture.calibration is None else capture.calibration.method,
        "truth": None if truth is None else f"dn up to {truth.dn_zyx.max():.4f} on {len(truth.z_um)} planes",
        "field_of_view_um": [round(columns * optics.pixel_um, 2), round(rows * optics.pixel_um, 2)],
        "sample_z_um": header.sample_z_um,
        "wavelength_um": optics.wavelength_um,
        "objective": f"{optics.magnification:g}x NA {optics.objective_na:g}",
        "pixel_um": optics.pixel_um,
        "medium_index": optics.medium_index,
    }


def _field(file: Path) -> dict[str, Any]:
    from recon import load_field

    field = load_field(file)
    assessment = getattr(field, "assessment", None)  # a tiled field has one for each tile
    history = field.history
    lower, upper = field.bounds
    return {
        "kind": "field",
        "file": str(file),
        "bytes": file.stat().st_size,
        "lower_corner_um": lower.round(3).tolist(),
        "upper_corner_um": upper.round(3).tolist(),
        "medium_index": field.medium_index,
        "parameter_bytes": field.parameter_bytes,
        "capture": history.capture_name,
        "capture_sha256": history.capture_sha256,
        "time_point": history.time_point,
        "position": history.position,
        "stage_um": history.stage_um,
        "started_from": history.started_from or None,
        "model": history.forward_model,
        "held_out_error": history.held_out_error,
        "held_out": list(history.held_out),
        "training_loss": history.training_loss,
        **({} if assessment is None else _assessed(assessment)),
        "reason": history.reason,
        "steps": history.steps,
        "seconds": round(history.seconds, 1),
        "seed": history.seed,
        "versions": history.versions,
    }


def _assessed(assessment: Assessment) -> dict[str, Any]:
    """Resolution, the missing cone and the typical error; None where two halves of the LEDs agree on nothing.

    Where the halves agree up to the limit of light or sampling, the figure is that limit rather than a measured one.
    """
    figures = assessment.figures
    resolution = {"lateral": figures.lateral_um, "axial": figures.axial_um}
    return {
        "resolution_um": {name: round(um, 3) if math.isfinite(um) else None for name, um in resolution.items()},
        "resolution_at_limit": {"lateral": figures.lateral_at_limit, "axial": figures.axial_at_limit},
        "unseen_share_of_frequencies": round(figures.missing_share, 3),
        "typical_uncertainty": assessment.uncertainty.typical,
    }


def _profile(name: str) -> dict[str, Any]:
    profile = load_profile(name)
    board = profile.led_board
    return {
        "kind": "hardware profile",
        "file": str(shipped_profiles().get(name, name)),
        "name": profile.name,
        "title": profile.title,
        "description": profile.description,
        "simulated": profile.simulation is not None,
        "objective": f"{profile.objective.magnification:g}x NA {profile.objective.na:g}",
        "pixel_um": round(profile.pixel_um, 5),
        "largest_pixel_um_for_full_resolution": round(profile.nyquist_pixel_um, 5),
        "wavelength_um": profile.illumination.wavelength_um,
        "medium_index": profile.sample.medium_index,
        "sample_z_um": profile.sample.z_um,
        "led_board": f"{board.protocol} on {board.port}, geometry {board.geometry.kind}",
        "camera": f"Micro-Manager, {profile.micromanager.backend} backend, {profile.camera.bit_depth} bit",
        "plan": f"{profile.plan.kind}, {profile.plan.exposure_ms:g} ms, {profile.plan.dark_frames} dark frames",
    }
