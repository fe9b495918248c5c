"""NumPy files: n as an array [z, y, x], complex where the sample absorbs; .npz with the axes in micrometres."""

from __future__ import annotations

import zipfile
from typing import IO, TYPE_CHECKING

import numpy as np

from gui.export.channels import UNCERTAINTY

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from gui.export.channels import Channels
    from gui.export.job import Tell


def write_npy(path: Path, channels: Channels, tell: Tell) -> None:
    """Write n alone."""
    with path.open("wb") as file:
        _write_index(file, channels, tell)


def write_npz(path: Path, channels: Channels, tell: Tell) -> None:
    """Write `index_zyx`, `x_um`, `y_um`, `z_um`, and `uncertainty_zyx` where it is a channel."""
    sampling = channels.sampling
    with zipfile.ZipFile(path, "w") as archive:
        for name, axis in zip(("x_um", "y_um", "z_um"), sampling.axes_um, strict=True):
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(file, axis)
        with archive.open("index_zyx.npy", "w", force_zip64=True) as file:
            _write_index(file, channels, tell)
        if UNCERTAINTY in channels.names:
            with archive.open("uncertainty_zyx.npy", "w", force_zip64=True) as file:
                layers = (channels.uncertainty(k) for k in range(sampling.shape_zyx[0]))
                _write_planes(file, "<f4", sampling.shape_zyx, layers, tell)


def _write_index(file: IO[bytes], channels: Channels, tell: Tell) -> None:
    planes = channels.index_planes()
    if channels.absorbs:
        _write_planes(file, "<c8", channels.sampling.shape_zyx, planes, tell)
    else:
        _write_planes(file, "<f4", channels.sampling.shape_zyx, (plane.real for plane in planes), tell)


def _write_planes(
    file: IO[bytes], dtype: str, shape: tuple[int, int, int], planes: Iterable[NDArray[np.generic]], tell: Tell
) -> None:
    np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})
    for k, plane_yx in enumerate(planes):
        file.write(plane_yx.astype(dtype, copy=False).tobytes())
        tell(k + 1, shape[0], "plane")
