"""The contract of a capture file as a table: what has to be where, of which type and shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from acquisition.capture_layout import PER_FRAME
from acquisition.finding import error, ok

if TYPE_CHECKING:
    from collections.abc import Iterator

    from acquisition.finding import Finding

ANOTHER_COPY = "Take another copy of the file; if there is none, acquire again."


@dataclass(frozen=True)
class Part:
    """A dataset of the contract; `shape` in letters.

    n frames, h, w rows and columns, p patterns, l LEDs, d dark frames, z planes, k places.
    """

    path: str
    kind: str
    shape: str
    required: bool = True


PARTS = (
    Part("entry/status", "S", "1"),
    Part("entry/profile", "O", ""),
    Part("entry/data/images", "uint16", "nhw"),
    *(Part(f"entry/data/{name}", np.dtype(dtype).name, "n") for name, dtype in PER_FRAME.items()),
    Part("entry/data/image_offset", "int64", "n", required=False),
    Part("entry/positions_um", "float64", "k3", required=False),
    Part("entry/dark", "float32", "hw", required=False),
    Part("entry/darks", "float32", "dhw", required=False),
    Part("entry/background", "float32", "phw", required=False),
    Part("entry/illumination/led_position_mm", "float64", "l3"),
    Part("entry/illumination/led_na", "float64", "l2"),
    Part("entry/illumination/patterns", "float32", "pl"),
    Part("entry/calibration/led_na", "float64", "l2", required=False),
    Part("entry/calibration/led_gain", "float64", "l", required=False),
    Part("entry/calibration/objective_na", "float64", "", required=False),
    Part("entry/calibration/residual", "float64", "", required=False),
    Part("entry/calibration/method", "O", "", required=False),
    Part("truth/dn", "float32", "zhw", required=False),
    Part("truth/kappa", "float32", "zhw", required=False),
    Part("truth/z_um", "float64", "z", required=False),
    Part("truth/led_na", "float64", "l2", required=False),
)
_OPTICS = ("wavelength_um", "objective_na", "magnification", "camera_pixel_um", "pixel_um", "medium_index",
           "camera_offset", "bit_depth")  # fmt: skip
_ENTRY = ("start_time", "title", "sample", "operator", "software")


def check_contract(file: h5py.File) -> Iterator[Finding]:
    """Compare an open file with the table; attributes are looked for as well."""
    faults = 0
    sides: dict[str, int] = {}
    for part in PARTS:
        if part.path not in file:
            if part.required:
                faults += 1
                yield error(f"/{part.path}", "is missing", ANOTHER_COPY)
            continue
        if fault := _fault(part, file[part.path], sides):
            faults += 1
            yield error(f"/{part.path}", fault, ANOTHER_COPY)
    for path, names in (("entry", _ENTRY), ("entry/optics", _OPTICS)):
        missing = [name for name in names if path not in file or name not in file[path].attrs]
        if missing:
            faults += 1
            yield error(f"/{path}", f"lacks the attributes {', '.join(missing)}", ANOTHER_COPY)
    if not faults:
        shape = " x ".join(str(sides.get(letter, 0)) for letter in "nhw")
        yield ok("contract", f"every part is there: {shape} images, {sides.get('l', 0)} LEDs, {sides['p']} patterns")


def _fault(part: Part, found: Any, sides: dict[str, int]) -> str:
    """Return what is wrong with a dataset; the sides of those seen before bind the later ones."""
    if not isinstance(found, h5py.Dataset):
        return "is a group, not a dataset"
    kind = found.dtype.kind if part.kind in ("S", "O") else found.dtype.name
    if kind != part.kind:
        return f"is {found.dtype}, expected {'text' if part.kind in 'SO' else part.kind}"
    if found.shape is None or len(found.shape) != len(part.shape):
        return f"has shape {found.shape}, expected {len(part.shape)} axes"
    for letter, side in zip(part.shape, found.shape, strict=True):
        wanted = int(letter) if letter.isdigit() else sides.setdefault(letter, side)
        # How many frames there are is looked at by itself: a scan that was killed may have begun one.
        if side != wanted and letter != "n":
            return f"has shape {found.shape}, expected {wanted} where it has {side}"
    return ""
