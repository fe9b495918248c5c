"""OME-Zarr: a folder of small chunks, and coarser copies of the volume beside it (NGFF 0.4, which most programs read).

Axes c, z, y, x; scale and place in micrometres (https://ngff.openmicroscopy.org/0.4).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from acquisition.errors import OperatorError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from gui.export.channels import Channels
    from gui.export.job import Tell

CHUNK_ZYX = (16, 128, 128)
COARSEST = 256
"""Rows and columns, at most, of the coarsest copy."""


def check_zarr() -> None:
    """Refuse where the library is missing.

    Raises
    ------
    OperatorError
        It is not installed, or too old.
    """
    try:
        import zarr
    except ImportError:
        found = "is not installed"
    else:
        if int(zarr.__version__.split(".")[0]) >= 3:
            return
        found = f"is version {zarr.__version__}, too old"
    raise OperatorError(f"OME-Zarr needs the library zarr, which {found}.", "pip install 'fieldscope[zarr]'")


def write_ome_zarr(path: Path, name: str, channels: Channels, tell: Tell) -> None:
    """Write the channels as float32 with their pyramid; `name` is that of the image."""
    import zarr

    sampling = channels.sampling
    factors = pyramid(sampling.shape_zyx, tuple(sampling.voxel_xyz_um[::-1]))
    group = zarr.open_group(path, mode="w", zarr_format=2)
    shape, voxel_zyx_um = np.array(sampling.shape_zyx), sampling.voxel_xyz_um[::-1]
    arrays, datasets = [], []
    for level, factor in enumerate([(1, 1, 1), *factors]):
        shape = -(-shape // factor)
        voxel_zyx_um = voxel_zyx_um * factor
        arrays.append(_make_array(group, str(level), (len(channels.names), *(int(count) for count in shape))))
        first = sampling.bounds_um[0][::-1] + voxel_zyx_um / 2
        datasets.append({"path": str(level), "coordinateTransformations": _place(voxel_zyx_um, first)})
    total = sum(array.shape[1] for array in arrays)
    done, waiting = 0, []
    for k, plane_cyx in enumerate(channels.planes()):
        waiting.append(plane_cyx)
        if len(waiting) == CHUNK_ZYX[0] or k + 1 == sampling.shape_zyx[0]:
            arrays[0][:, k + 1 - len(waiting) : k + 1] = np.stack(waiting, axis=1)
            waiting = []
        done += 1
        tell(done, total, "plane")
    for finer, coarser, factor in zip(arrays, arrays[1:], factors, strict=False):
        for first_plane in range(0, coarser.shape[1], CHUNK_ZYX[0]):
            last = min(first_plane + CHUNK_ZYX[0], coarser.shape[1])
            coarser[:, first_plane:last] = halved(finer[:, first_plane * factor[0] : last * factor[0]], factor)
            done += last - first_plane
            tell(done, total, "plane")
    lowest, highest = channels.index_range
    multiscales: list[Any] = [
        {
            "version": "0.4",
            "name": name,
            "axes": [
                {"name": "c", "type": "channel"},
                *({"name": axis, "type": "space", "unit": "micrometer"} for axis in "zyx"),
            ],
            "datasets": datasets,
            "type": "mean",
        }
    ]
    group.attrs["multiscales"] = multiscales
    group.attrs["omero"] = {
        "name": name,
        "version": "0.4",
        "channels": [
            {
                "label": label,
                "color": "FFFFFF",
                "active": number == 0,
                "window": _window(lowest, highest) if number == 0 else _window(0.0, highest - lowest),
            }
            for number, label in enumerate(channels.names)
        ],
    }


def pyramid(shape_zyx: tuple[int, int, int], voxel_zyx_um: tuple[float, ...]) -> list[tuple[int, int, int]]:
    """By how much z, y and x shrink from level to level, until a plane is small; voxels become cubes on the way."""
    factors = []
    shape, voxel = np.array(shape_zyx), np.array(voxel_zyx_um, float)
    while max(shape[1:]) > COARSEST:
        factor = (2 if voxel[0] < 1.5 * min(voxel[1:]) and shape[0] > 1 else 1, 2, 2)
        shape, voxel = -(-shape // factor), voxel * factor
        factors.append(factor)
    return factors


def halved(volume_czyx: NDArray[np.float32], factor: tuple[int, int, int]) -> NDArray[np.float32]:
    """Mean over blocks of (z, y, x) voxels; the last ones may be smaller."""
    for axis, step in enumerate(factor, 1):
        if step > 1:
            count = volume_czyx.shape[axis]
            starts = np.arange(0, count, step)
            sums = np.add.reduceat(volume_czyx, starts, axis=axis)
            sizes = np.diff(np.append(starts, count)).astype(np.float32)
            volume_czyx = (sums / np.expand_dims(sizes, tuple(i for i in range(4) if i != axis))).astype(np.float32)
    return volume_czyx


def _make_array(group: Any, name: str, shape: tuple[int, ...]) -> Any:
    chunks = (1, *(min(chunk, count) for chunk, count in zip(CHUNK_ZYX, shape[1:], strict=True)))
    return group.create_array(
        name,
        shape=shape,
        chunks=chunks,
        dtype="<f4",
        fill_value=0.0,
        chunk_key_encoding={"name": "v2", "separator": "/"},
    )


def _place(voxel_zyx_um: NDArray[np.float64], first_zyx_um: NDArray[np.float64]) -> list[dict[str, Any]]:
    return [
        {"type": "scale", "scale": [1.0, *(float(size) for size in voxel_zyx_um)]},
        {"type": "translation", "translation": [0.0, *(float(place) for place in first_zyx_um)]},
    ]


def _window(low: float, high: float) -> dict[str, float]:
    return {"start": low, "end": high, "min": low, "max": high}
