"""What is to be exported: all that the command line, the window, and the process that does the work tell each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pathlib import Path

    from recon.scene import Quality, Scene
    from recon.view_requests import IndexPart

Point = tuple[float, float, float]
VolumeFormat = Literal["ome-tiff", "ome-zarr", "npz", "npy"]
Format = Literal["ome-tiff", "ome-zarr", "npz", "npy", "png", "mp4"]

SUFFIXES: dict[str, Format] = {
    ".tif": "ome-tiff",
    ".tiff": "ome-tiff",
    ".zarr": "ome-zarr",
    ".npz": "npz",
    ".npy": "npy",
    ".png": "png",
    ".mp4": "mp4",
}
"""Format by the end of the output's name."""

Tell = Callable[[int, int, str], None]
"""Called with what is done, all there is, and the name of one: 3, 64, "plane". Whatever it raises ends the work."""


@dataclass(frozen=True)
class Region:
    """Which part of the box is sampled, and how finely; neither voxel nor shape: as it was reconstructed.

    Attributes
    ----------
    box_um
        Lower and upper corner, x y z; None: the whole box.
    voxel_zyx_um
        Size of a voxel, fitted to the box by rounding the number of voxels.
    shape_zyx
        Voxels along z, y and x.
    """

    box_um: tuple[Point, Point] | None = None
    voxel_zyx_um: Point | None = None
    shape_zyx: tuple[int, int, int] | None = None


@dataclass(frozen=True)
class VolumeFile:
    """A volume in the format, with the standard deviation of n beside n where `uncertainty` is set."""

    format: VolumeFormat
    region: Region = field(default_factory=Region)
    uncertainty: bool = False


@dataclass(frozen=True)
class SliceLook:
    """A plane in colours, spanned as in `recon.view_requests.RequestSlice`.

    Attributes
    ----------
    origin_um, u_um, v_um, shape, part
        See there.
    colours
        Lookup table, red, green, blue of each entry as bytes.
    levels
        Values of the darkest and the brightest colour; None: from the values of the box.
    scale_bar
        Whether one is burnt in.
    """

    origin_um: Point
    u_um: Point
    v_um: Point
    shape: tuple[int, int]
    colours: bytes
    part: IndexPart = "dn"
    levels: tuple[float, float] | None = None
    scale_bar: bool = True

    @property
    def um_per_px(self) -> float:
        """Size of a pixel along the columns."""
        return float(sum(edge**2 for edge in self.u_um) ** 0.5) / self.shape[1]


@dataclass(frozen=True)
class VolumeLook:
    """The volume seen from outside; `scale_bar`: whether one is burnt in."""

    scene: Scene
    shape: tuple[int, int]
    quality: Quality = "rest"
    scale_bar: bool = True

    @property
    def um_per_px(self) -> float:
        """Size of a pixel."""
        return self.scene.camera.um_per_px


Look = SliceLook | VolumeLook


@dataclass(frozen=True)
class PictureFile:
    """A PNG."""

    look: Look


@dataclass(frozen=True)
class Spin:
    """The volume turns once about its z axis."""


@dataclass(frozen=True)
class Sweep:
    """A slice moves by `travel_um` from the first frame to the last."""

    travel_um: Point


@dataclass(frozen=True)
class Sequence:
    """One frame of each field, in order."""


Motion = Spin | Sweep | Sequence


@dataclass(frozen=True)
class MovieFile:
    """An MP4 of a look that moves; `frames` is how many, but of a sequence, which has one of each field."""

    look: Look
    motion: Motion
    frames: int = 120
    frames_per_second: float = 25.0


@dataclass(frozen=True)
class ExportJob:
    """Write `what` of the fields (several only for a sequence) to `output`; it may be replaced where `overwrite`."""

    fields: tuple[Path, ...]
    output: Path
    what: VolumeFile | PictureFile | MovieFile
    overwrite: bool = False

    @property
    def format(self) -> Format:
        """Of the output."""
        if isinstance(self.what, VolumeFile):
            return self.what.format
        return "png" if isinstance(self.what, PictureFile) else "mp4"


# --- what the process that does the work tells ------------------------------------------------------------------------


@dataclass(frozen=True)
class Progress:
    """So many of all are done; `unit` names one."""

    done: int
    total: int
    unit: str


@dataclass(frozen=True)
class Written:
    """The file is there."""

    output: Path
    size_bytes: int


@dataclass(frozen=True)
class NotWritten:
    """Nothing was written, and why; both empty where the operator cancelled."""

    message: str
    remedy: str
