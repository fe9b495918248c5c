"""Fields in napari: drag NAME.field.h5 into it. Declared in `napari.yaml`; nothing of napari is imported."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

Layer = tuple["NDArray[np.float32]", dict[str, Any], str]
SUFFIX = ".field.h5"


def get_reader(path: str | list[str]) -> Callable[[str], list[Layer]] | None:
    """Tell napari how a field is read; None of anything else."""
    return read if isinstance(path, str) and path.endswith(SUFFIX) else None


def read(path: str) -> list[Layer]:
    """Read a field as an image layer: n [z, y, x] as it was reconstructed, scale and place in micrometres."""
    from gui.export.channels import INDEX, Channels
    from gui.export.job import Region
    from gui.export.paint import levels_of
    from gui.export.sampling import sample_region
    from gui.export.write import load

    field = load(Path(path))
    sampling = sample_region(field.bounds, field.shape_zyx, Region())
    index_zyx = np.empty(sampling.shape_zyx, np.float32)
    for k, plane_yx in enumerate(Channels(field, sampling, (INDEX,)).index_planes()):
        index_zyx[k] = plane_yx.real
    low, high = levels_of(field, "dn")
    about = {
        "name": Path(path).name.removesuffix(SUFFIX),
        "scale": tuple(sampling.voxel_xyz_um[::-1].tolist()),
        "translate": tuple((sampling.bounds_um[0] + sampling.voxel_xyz_um / 2)[::-1].tolist()),
        "units": ("micrometer",) * 3,
        "contrast_limits": (field.medium_index + low, field.medium_index + high),
    }
    return [(index_zyx, about, "image")]
