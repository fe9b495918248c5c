"""`fieldscope export`: sample a field into an OME-TIFF that Fiji, napari and others open with its physical sizes."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from acquisition.errors import OperatorError
from gui.commands.output_file import check_output
from gui.commands.progress import ProgressReport

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_VOXELS = 2 * 10**9
"""A volume of more would take 16 GB of memory while it is sampled."""
LEAST_ABSORPTION = 0.01
"""Largest kappa, over the largest difference of n from the medium, up to which a sample counts as clear."""


def shape_of_voxels(bounds_um: NDArray[np.float64], voxel_zyx_um: tuple[float, float, float]) -> tuple[int, int, int]:
    """Number of voxels along z, y, x whose size comes nearest to the one asked for; at least one each."""
    extent_zyx = (bounds_um[1] - bounds_um[0])[::-1]
    z, y, x = (max(1, round(float(length / step))) for length, step in zip(extent_zyx, voxel_zyx_um, strict=True))
    return z, y, x


def export(
    field_path: Path,
    output: Path,
    shape: tuple[int, int, int] | None,
    voxel_zyx_um: tuple[float, float, float] | None,
    overwrite: bool,
) -> dict[str, Any]:
    """Sample the box of a field and write it; neither shape nor voxel: the grid on which it was reconstructed.

    The first channel is the real part of n. A second one, kappa, is written where it exceeds 1 % of the
    largest difference of n from the medium.
    """
    check_output(output, overwrite, field_path)
    with ProgressReport() as report:
        report.note(f"reading {field_path}")
        from recon import load_field

        field = load_field(field_path)
        if voxel_zyx_um is not None:
            shape = shape_of_voxels(field.bounds, voxel_zyx_um)
        elif shape is None:
            shape = field.shape_zyx
        if shape[0] * shape[1] * shape[2] > MAX_VOXELS:
            raise OperatorError(
                f"{shape[0]} x {shape[1]} x {shape[2]} voxels do not fit into memory; {MAX_VOXELS:.0e} is the limit.",
                "Choose larger voxels with --voxel-um, or fewer with --shape.",
            )
        report.note(f"sampling {shape[0]} x {shape[1]} x {shape[2]} voxels (z, y, x)")
        index_zyx = field.volume(shape)
        channels = {"refractive index": index_zyx.real}
        largest_dn = np.abs(index_zyx.real - field.medium_index).max()
        if np.abs(index_zyx.imag).max() > LEAST_ABSORPTION * largest_dn:
            channels["kappa (absorption)"] = index_zyx.imag
        voxel_um = (field.bounds[1] - field.bounds[0]) / shape[::-1]
        _write_ome(output, channels, voxel_um)
    return {
        "ome_tiff": str(output),
        "shape_zyx": list(shape),
        "voxel_um_xyz": voxel_um.tolist(),
        "first_voxel_um_xyz": (field.bounds[0] + voxel_um / 2).tolist(),
        "channels": list(channels),
        "index_range": [float(index_zyx.real.min()), float(index_zyx.real.max())],
    }


def _write_ome(output: Path, channels: dict[str, NDArray[np.float32]], voxel_um: NDArray[np.float64]) -> None:
    import tifffile

    try:
        with tempfile.TemporaryDirectory(prefix=f"{output.name}.", suffix=".part", dir=output.parent) as folder:
            part = Path(folder) / output.name
            tifffile.imwrite(
                part,
                np.stack(list(channels.values())).astype(np.float32, copy=False),
                ome=True,
                bigtiff=True,
                photometric="minisblack",
                compression=None,
                metadata={
                    "axes": "CZYX",
                    "Name": output.name.split(".")[0],
                    "Channel": {"Name": list(channels)},
                    **{f"PhysicalSize{axis}": float(size) for axis, size in zip("XYZ", voxel_um, strict=True)},
                    **{f"PhysicalSize{axis}Unit": "µm" for axis in "XYZ"},
                },
            )
            part.replace(output)
    except OSError as error:
        message = f"{output} cannot be written: {error.strerror or error}."
        raise OperatorError(message, "Check the disk, or choose another name.") from error
