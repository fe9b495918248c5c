"""Reconstruction: from a capture's images to a continuous refractive index.

Needs torch, numpy and h5py alone; never Qt.

from recon import load_field
field = load_field("cell.field.h5", device="cpu")
n = field.refractive_index(points)      # (..., 3) micrometres, x y z -> (...,) complex64
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

# torch's threads would otherwise spin while they wait for each other; where the window or a scan needs a core too, one
# step of a fit then takes ten times as long. Read by OpenMP when torch is first imported, which importing this package
# precedes.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

if TYPE_CHECKING:
    from recon.result import Field
    from recon.tiles import TiledField


def load_field(path: str | os.PathLike[str], device: str = "cpu") -> Field | TiledField:
    """Read a field file; one of tiles offers the same (`recon.result.Box`).

    Parameters
    ----------
    path
        `NAME.field.h5`, as `fieldscope reconstruct` writes it.
    device
        torch device on which the field is evaluated.

    Raises
    ------
    OperatorError
        The file is missing, damaged, or no field of a version this program knows.
    """
    from recon.field_file import read_field

    return read_field(path, device)
