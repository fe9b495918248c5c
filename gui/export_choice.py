"""What the export dialog offers, and the job that a choice makes. No Qt here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np

from gui.export.job import (
    ExportJob,
    MovieFile,
    PictureFile,
    Region,
    SliceLook,
    Spin,
    Sweep,
    VolumeFile,
    VolumeLook,
)
from gui.export.sampling import Sampling, sample_region

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from gui.export.job import Point, VolumeFormat
    from recon.messages import FieldReady
    from recon.scene import Quality


class Kind(Enum):
    """What can be exported, as it is called."""

    VOLUME = "Volume, for other programs"
    SLICE = "Picture of the slice"
    VIEW = "Picture of the volume"
    SWEEP = "Movie: through the slices"
    SPIN = "Movie: the volume turns"


VOLUME_FORMATS: dict[VolumeFormat, tuple[str, str]] = {
    "ome-tiff": ("OME-TIFF", ".ome.tif"),
    "ome-zarr": ("OME-Zarr", ".ome.zarr"),
    "npz": ("NumPy", ".npz"),
}
"""Name and end of the file's name."""


@dataclass(frozen=True)
class Seen:
    """What the window shows: a slice, with its name, and the volume as they are seen, None where they are not."""

    slice: SliceLook | None = None
    slice_name: str = "xy"
    volume: VolumeLook | None = None


@dataclass(frozen=True)
class Choice:
    """What is set in the dialog.

    Attributes
    ----------
    voxel_um
        Lateral and axial size of a voxel.
    only_seen
        Leave out of the volume what the slice does not show, along its rows and columns.
    enlarged
        Pixels of a picture or movie for each on the screen.
    draft
        Paint the volume from a coarse copy of the field.
    """

    kind: Kind
    format: VolumeFormat
    voxel_um: tuple[float, float]
    only_seen: bool
    uncertainty: bool
    enlarged: int
    draft: bool
    scale_bar: bool
    frames: int
    frames_per_second: float


def suffix_of(choice: Choice) -> str:
    """End of the file's name."""
    if choice.kind is Kind.VOLUME:
        return VOLUME_FORMATS[choice.format][1]
    return ".png" if choice.kind in (Kind.SLICE, Kind.VIEW) else ".mp4"


def region_of(choice: Choice, seen: Seen) -> Region:
    """Part of the box that a volume is sampled in, and its voxels."""
    lateral, axial = choice.voxel_um
    box = None
    if choice.only_seen and seen.slice is not None:
        origin = np.array(seen.slice.origin_um)
        u_um, v_um = np.array(seen.slice.u_um), np.array(seen.slice.v_um)
        corners = np.array([origin, origin + u_um, origin + v_um, origin + u_um + v_um])
        lower, upper = corners.min(axis=0), corners.max(axis=0)
        flat = lower == upper  # across the slice all of the box is taken
        box = (_point(np.where(flat, -np.inf, lower)), _point(np.where(flat, np.inf, upper)))
    return Region(box, (axial, lateral, lateral))


def sampling_of(choice: Choice, seen: Seen, ready: FieldReady) -> Sampling:
    """Voxels of the volume; errors as `sample_region`."""
    return sample_region(ready.bounds_um, (1, 1, 1), region_of(choice, seen))


def pixels_of(choice: Choice, seen: Seen) -> tuple[int, int] | None:
    """Rows and columns of the picture or movie; None where nothing is seen of it."""
    look = seen.slice if choice.kind in (Kind.SLICE, Kind.SWEEP) else seen.volume
    return None if look is None else (look.shape[0] * choice.enlarged, look.shape[1] * choice.enlarged)


def job_of(choice: Choice, seen: Seen, ready: FieldReady, field: Path, output: Path) -> ExportJob | None:
    """Make the job; None where what it shows is not seen. An existing file was agreed to in the dialog."""
    what = _what(choice, seen, ready)
    return None if what is None else ExportJob((field,), output, what, overwrite=True)


def _what(choice: Choice, seen: Seen, ready: FieldReady) -> VolumeFile | PictureFile | MovieFile | None:
    if choice.kind is Kind.VOLUME:
        return VolumeFile(choice.format, region_of(choice, seen), choice.uncertainty)
    shape = pixels_of(choice, seen)
    if shape is None:
        return None
    if choice.kind in (Kind.SLICE, Kind.SWEEP):
        assert seen.slice is not None
        look = replace(seen.slice, shape=shape, scale_bar=choice.scale_bar)
        if choice.kind is Kind.SLICE:
            return PictureFile(look)
        look, travel_um = swept(look, ready.bounds_um)
        return MovieFile(look, Sweep(travel_um), choice.frames, choice.frames_per_second)
    assert seen.volume is not None
    camera = seen.volume.scene.camera
    camera = replace(camera, um_per_px=camera.um_per_px / choice.enlarged)
    scene = replace(seen.volume.scene, camera=camera)
    quality: Quality = "moving" if choice.draft else "rest"
    volume = replace(seen.volume, scene=scene, shape=shape, quality=quality, scale_bar=choice.scale_bar)
    if choice.kind is Kind.VIEW:
        return PictureFile(volume)
    return MovieFile(volume, Spin(), choice.frames, choice.frames_per_second)


def swept(look: SliceLook, bounds_um: NDArray[np.float64]) -> tuple[SliceLook, Point]:
    """Put a slice where it enters the box along its normal, and tell how far it goes until it leaves."""
    normal = np.cross(look.u_um, look.v_um)
    normal = normal / np.linalg.norm(normal) * np.sign(normal[np.argmax(np.abs(normal))])
    corners = np.array([[x, y, z] for x in bounds_um[:, 0] for y in bounds_um[:, 1] for z in bounds_um[:, 2]])
    heights = (corners - np.array(look.origin_um)) @ normal
    first, last = float(heights.min()), float(heights.max())
    return replace(look, origin_um=_point(np.array(look.origin_um) + first * normal)), _point((last - first) * normal)


def _point(values: NDArray[np.float64]) -> Point:
    x, y, z = values.tolist()
    return x, y, z
