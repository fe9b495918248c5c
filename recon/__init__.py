"""Reconstruction: from a capture's images to a continuous refractive index.

Needs torch, numpy and h5py alone; never Qt.

from recon import load_field
field = load_field("cell.field.h5", device="cpu")
n = field.refractive_index(points)      # (..., 3) micrometres, x y z -> (...,) complex64
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os

    from recon.result import Field
    from recon.tiles import TiledField


def load_field(path: str | os.PathLike[str], device: str = "cpu") -> Field | TiledField:
    """Read a field file; one of tiles offers the same (`recon.box.Box`).

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
