"""OME-TIFF with physical sizes: its head first, then plane after plane at its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from gui.export.channels import Channels
    from gui.export.job import Tell

CLASSIC_BYTES = 4 * 10**9
"""Larger files are BigTIFF."""


def write_ome_tiff(path: Path, name: str, channels: Channels, tell: Tell) -> None:
    """Write the channels as float32, axes C, Z, Y, X; `name` is that of the image."""
    import tifffile

    sampling = channels.sampling
    planes, rows, columns = sampling.shape_zyx
    size = sampling.size_bytes(len(channels.names))
    first = sampling.bounds_um[0] + sampling.voxel_xyz_um / 2
    count = planes * len(channels.names)
    tifffile.imwrite(
        path,
        shape=(len(channels.names), planes, rows, columns),
        dtype=np.dtype("<f4"),
        byteorder="<",
        ome=True,
        bigtiff=size > CLASSIC_BYTES,
        photometric="minisblack",
        metadata={
            "axes": "CZYX",
            "Name": name,
            "Channel": {"Name": list(channels.names)},
            **{f"PhysicalSize{axis}": float(length) for axis, length in zip("XYZ", sampling.voxel_xyz_um, strict=True)},
            **{f"PhysicalSize{axis}Unit": "µm" for axis in "XYZ"},
            "Plane": {
                **{f"Position{axis}": [float(place)] * count for axis, place in zip("XY", first, strict=False)},
                "PositionZ": [float(z) for z in sampling.axes_um[2]] * len(channels.names),
                **{f"Position{axis}Unit": ["µm"] * count for axis in "XYZ"},
            },
        },
    )
    with tifffile.TiffFile(path) as tiff:
        offset = tiff.series[0].dataoffset
    assert offset is not None  # uncompressed planes lie one after the other
    plane_bytes = 4 * rows * columns
    with path.open("r+b") as file:
        for k, plane_cyx in enumerate(channels.planes()):
            for channel, plane_yx in enumerate(plane_cyx):
                file.seek(offset + (channel * planes + k) * plane_bytes)
                file.write(plane_yx.astype("<f4", copy=False).tobytes())
            tell(k + 1, planes, "plane")
