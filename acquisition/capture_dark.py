"""Dark frames of a capture: one mean for each exposure in use, and which one belongs to a frame.

That of the main exposure is /entry/dark, by which any reader of version 1 finds it; those of other exposures lie in
/entry/darks, see `acquisition.capture_layout`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import h5py
    from numpy.typing import NDArray

EXPOSURE_TOLERANCE = 0.01
"""By how much exposures may differ, as a part of themselves, that count as the same."""


@dataclass(frozen=True, eq=False)
class DarkFrame:
    """Mean of frames without light: `image_yx` (H, W) float32 counts; `exposure_ms` is None where nobody knows it."""

    image_yx: NDArray[np.float32]
    exposure_ms: float | None = None


def dark_for(darks: Sequence[DarkFrame], exposure_ms: float | None) -> DarkFrame | None:
    """Choose the dark frame of the exposure nearest to one; the first where that is not known, None of none."""
    if not darks or not exposure_ms:
        return darks[0] if darks else None

    def distance(dark: DarkFrame) -> float:
        return abs(math.log(dark.exposure_ms / exposure_ms)) if dark.exposure_ms else math.inf

    return min(darks, key=distance)


def counts_without_light(
    darks: Sequence[DarkFrame], exposure_ms: float | None, offset: float
) -> NDArray[np.float32] | np.float32:
    """Counts to subtract from a frame, (H, W); the camera's offset where there is no dark frame."""
    nearest = dark_for(darks, exposure_ms)
    return np.float32(offset) if nearest is None else nearest.image_yx


def read_darks(entry: h5py.Group, part: tuple[slice, slice] = (slice(None), slice(None))) -> tuple[DarkFrame, ...]:
    """Read the dark frames in the group /entry, or a part (rows, columns) of each; that of the main exposure first."""
    if "dark" not in entry:
        return ()
    main, darks = entry["dark"], []
    known_ms = main.attrs.get("exposure_ms")
    darks.append(DarkFrame(main[part].astype(np.float32), None if known_ms is None else float(known_ms)))
    if "darks" in entry:
        others = entry["darks"]
        exposures_ms = others.attrs["exposure_ms"][: len(others)].tolist()
        darks += [DarkFrame(others[k, *part].astype(np.float32), ms) for k, ms in enumerate(exposures_ms)]
    return tuple(darks)


def append_dark(entry: h5py.Group, dark_yx: NDArray[np.float32], exposure_ms: float, frames: int, taken: str) -> None:
    """Add a mean of dark frames to /entry/darks, which is made if need be; `taken` is ISO 8601, UTC."""
    shape = dark_yx.shape
    if "darks" not in entry:
        entry.create_dataset("darks", (0, *shape), np.float32, maxshape=(None, *shape), chunks=(1, *shape))
    darks = entry["darks"]
    number = len(darks)
    known_ms, known_frames = (darks.attrs.get(name, np.zeros(0)) for name in ("exposure_ms", "frames"))
    darks.resize(number + 1, axis=0)
    darks[number] = dark_yx
    darks.attrs.update(
        exposure_ms=np.append(known_ms[:number], exposure_ms),
        frames=np.append(known_frames[:number], frames).astype(np.int64),
        time=taken,
    )
