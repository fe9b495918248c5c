"""A new file with the content of a capture: all of it, or its whole frames and whatever else can be read.

What others have added to the file goes along. The new file is compared with the old one before anybody relies on it.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from acquisition.capture_layout import FRAME_DATA, CaptureError
from acquisition.capture_salvage import DAMAGE, OpenCapture
from acquisition.disk_file import DiskFile
from acquisition.in_use import is_in_use

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_FRAME_PATHS = {f"/entry/data/{name}" for name in FRAME_DATA}
_IMAGES, _OFFSETS = "/entry/data/images", "/entry/data/image_offset"
_LEAST_FILTERED_BYTES = 1 << 16
"""Below this a dataset is copied as it is: nothing would be gained."""


class Rebuild:
    """Copies a capture into a new file, then compares the two.

    Parameters
    ----------
    source
        The capture.
    frames
        Numbers of the frames to take, ascending.
    filters
        For large datasets, as `h5py.Group.create_dataset` takes them; empty: none.
    lossy
        Leave out what cannot be read, and name it in `lost`; else that is an error.
    """

    def __init__(
        self, source: OpenCapture, frames: Sequence[int], filters: Mapping[str, Any] | None = None, lossy: bool = False
    ) -> None:
        self.lost: list[str] = []
        self._capture = source
        self._source = source.file
        self._frames = frames
        self._filters = dict(filters or {})
        self._lossy = lossy

    def write(self, target: Path, status: str, on_progress: Callable[[int, int], None] | None = None) -> None:
        """Write the new file; its status is `status`.

        Raises
        ------
        OSError
            The disk is full or gone; or the source cannot be read and nothing may be left out.
        """
        disk = DiskFile(target)
        try:
            with h5py.File(disk, "w", libver="earliest") as file:
                self._group(self._source, file, on_progress)
                if "entry/status" in file:
                    del file["entry/status"]
                file.require_group("entry").create_dataset("status", data=np.array([status.encode()], "S16"))
                file.flush()
                disk.raise_error()
            disk.raise_error()
            disk.sync()
        finally:
            disk.close()

    def check(self, target: Path) -> None:
        """Compare the new file with the source, bit by bit.

        Raises
        ------
        CaptureError
            They differ.
        """
        different: list[str] = []

        def compare(name: str, copied: Any) -> None:
            path = f"/{name}"
            if path in self.lost or path == "/entry/status":
                return
            original = self._source[name]
            same = _same_attributes(original, copied)
            if isinstance(copied, h5py.Dataset) and same:
                frames = self._frames if path in _FRAME_PATHS else None
                same = self._same_images(copied) if path == _IMAGES else _same_values(original, copied, frames)
            if not same:
                different.append(path)

        try:
            with h5py.File(target, "r", locking=False) as file:
                file.visititems(compare)
                if missing := self._missing(file):
                    different.append(missing)
        except DAMAGE as error:
            raise CaptureError(f"The copy {target} cannot be read back: {error}.", "Check the disk.") from error
        if different:
            raise CaptureError(
                f"The copy {target} differs from the original in {', '.join(different)}.",
                "Check the disk, and whether the original changes meanwhile.",
            )

    def _missing(self, file: h5py.File) -> str | None:
        """Return the first object of an undamaged source that the copy lacks."""
        if self._lossy:
            return None
        missing: str | None = self._source.visit(
            lambda name: None if name in file or f"/{name}" == _OFFSETS else f"/{name}"
        )
        return missing

    def _group(self, source: h5py.Group, target: h5py.Group, on_progress: Callable[[int, int], None] | None) -> None:
        with self._allowed(f"{source.name} (attributes)", target):
            self._attributes(source, target)
        names: list[str] = []
        with self._allowed(f"{source.name} (names)", target):
            names.extend(source)
        for name in names:
            path = f"{str(source.name).rstrip('/')}/{name}"
            with self._allowed(path, target):
                link = source.get(name, getlink=True)
                if not isinstance(link, h5py.HardLink):
                    target[name] = link
                elif isinstance(source[name], h5py.Group):
                    self._group(source[name], target.create_group(name), on_progress)
                elif path == _OFFSETS:
                    continue  # true for the source alone
                elif path not in _FRAME_PATHS and not self._capture.is_whole(source[name]):
                    self.lost.append(path)
                elif path in _FRAME_PATHS:
                    self._frame_data(source[name], target, name, on_progress if name == "images" else None)
                elif self._filters and source[name].nbytes >= _LEAST_FILTERED_BYTES and source[name].dtype.kind != "O":
                    self._filtered(source[name], target, name)
                else:
                    source.copy(source[name], target, name)

    def _frame_data(
        self, source: h5py.Dataset, target: h5py.Group, name: str, on_progress: Callable[[int, int], None] | None
    ) -> None:
        shape = source.shape[1:]
        total = len(self._frames)
        copied = target.create_dataset(
            name, (total, *shape), source.dtype, maxshape=(None, *shape),
            chunks=(1, *shape) if shape else (256,), **(self._filters if shape else {}),
        )  # fmt: skip
        self._attributes(source, copied)
        if not shape:
            copied[...] = _chosen(source, self._frames)
            return
        for number, frame in enumerate(self._frames):
            copied[number] = self._capture.image(frame)
            if on_progress is not None:
                on_progress(number + 1, total)

    def _filtered(self, source: h5py.Dataset, target: h5py.Group, name: str) -> None:
        chunks = (1, *source.shape[1:]) if source.ndim >= 3 else True
        copied = target.create_dataset(name, source.shape, source.dtype, chunks=chunks, **self._filters)
        self._attributes(source, copied)
        for number in range(len(source)) if source.ndim >= 3 else [...]:
            copied[number] = source[number]

    def _attributes(self, source: h5py.HLObject, target: h5py.HLObject) -> None:
        for name in source.attrs:
            kind, value = source.attrs.get_id(name), source.attrs[name]
            if not self._capture.has_text(value):
                raise ValueError(f"the attribute {name} is cut off")
            target.attrs.create(name, value, kind.shape, kind.dtype)

    def _same_images(self, copied: h5py.Dataset) -> bool:
        return len(copied) == len(self._frames) and all(
            np.array_equal(self._capture.image(frame), copied[number]) for number, frame in enumerate(self._frames)
        )

    @contextmanager
    def _allowed(self, path: str, target: h5py.Group) -> Iterator[None]:
        """Let damage pass, and note it, where that is wanted."""
        try:
            yield
        except DAMAGE:
            if not self._lossy:
                raise
            self.lost.append(path)
            if path in target.file:
                del target.file[path]


def free_for_rebuild(path: Path) -> Path:
    """Make a temporary name free on which an earlier attempt may have left half a file.

    Raises
    ------
    CaptureError
        Somebody is at work on it.
    """
    if path.exists():
        if is_in_use(path):
            raise CaptureError(f"{path} is being written by another program.", "Wait for its end.")
        path.unlink()
    return path


def _chosen(source: h5py.Dataset, frames: Sequence[int]) -> NDArray[Any]:
    """Values of some frames, and no chunk read that holds none of them."""
    contiguous = len(frames) > 0 and frames[-1] - frames[0] + 1 == len(frames)
    chosen: NDArray[Any] = source[frames[0] : frames[-1] + 1] if contiguous else source[list(frames)]
    return chosen


def _same_attributes(one: h5py.HLObject, other: h5py.HLObject) -> bool:
    if set(one.attrs) != set(other.attrs):
        return False
    return all(
        np.asarray(one.attrs[name]).tolist() == np.asarray(other.attrs[name]).tolist()
        or np.asarray(one.attrs[name]).tobytes() == np.asarray(other.attrs[name]).tobytes()
        for name in one.attrs
    )


def _same_values(original: h5py.Dataset, copied: h5py.Dataset, frames: Sequence[int] | None) -> bool:
    shape = original.shape if frames is None else (len(frames), *original.shape[1:])
    if original.dtype != copied.dtype or copied.shape != shape:
        return False
    if original.dtype.kind == "O" or original.ndim < 3:
        first = original[()] if frames is None else _chosen(original, frames)
        second = copied[()]
        if original.dtype.kind == "O":
            return bool(np.all(np.asarray(first == second)))
        return np.asarray(first).tobytes() == np.asarray(second).tobytes()
    numbers = range(len(original)) if frames is None else frames
    return all(
        np.array_equal(original[frame].view(np.uint8), copied[number].view(np.uint8))
        for number, frame in enumerate(numbers)
    )
