"""Images in .mat files, as DeCAF and the intensity diffraction tomography of Boston University store them.

DeCAF (github.com/wustl-cig/DeCAF, model/provider.py) reads its measurements from files of version 7.3, which are HDF5,
under the names `I` (IDT), `I_Raw` (annular) and `dat` (multiplexed), beside transfer functions, which are not needed
here. The annular IDT of github.com/bu-cisl/IDT-using-Annular-Illumination loads `I_Raw`, rows x columns x LEDs. Neither
says where the LEDs are, nor wavelength, pixel or NA: these come from the hardware profile.

Some of these images are no camera counts any more but were divided by a smooth background, and 1 was subtracted from
some (BkgndRemoval.m of github.com/bu-cisl/High-Throughput-IDT). They become counts by one factor for all, which a
reconstruction does not notice; offset and gain of the camera mean nothing then.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from acquisition.image_sources import ImageImportError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

KNOWN_NAMES = ("I_Raw", "I", "dat")
_LARGEST_COUNT = 65535
_LARGEST_FACTOR = 20000.0
_DAMAGED = "Save the file again, with -v7.3."


class MatlabImages:
    """One array of a .mat file, images along its last axis; see `acquisition.image_sources.ImageSource`."""

    def __init__(self, path: Path, variable: str | None) -> None:
        self.origin = path
        self._open = ExitStack()
        try:
            if h5py.is_hdf5(path):
                array, self._images_first, self._turned = self._of_version_7_3(path, variable)
            else:
                array, self._images_first, self._turned = _of_version_5(path, variable), False, False
            self._array = array
            self._shape = tuple(side for side in array.shape if side != 1)
            count = self._shape[0] if self._images_first else self._shape[-1]
            self.names = [str(number + 1) for number in range(count)]
            self._added, self._factor = self._to_counts()
        except BaseException:
            self.close()
            raise
        self.note = ""
        if self._factor != 1:
            self.note = (
                f"the images were divided by their background: they become counts by {self._factor:g} x"
                f" ({self._added:g} + value), without offset and gain of the camera"
            )

    def read(self, number: int) -> NDArray[Any]:
        """Return an image in counts."""
        values = self._read(number)
        if self._factor == 1:
            return values.astype(np.uint16)
        return np.clip(np.rint((values + self._added) * self._factor), 0, _LARGEST_COUNT).astype(np.uint16)

    def close(self) -> None:
        """Close the file."""
        self._open.close()

    def _read(self, number: int) -> NDArray[Any]:
        try:
            if isinstance(self._array, h5py.Dataset):
                place: list[Any] = [slice(None) if side != 1 else 0 for side in self._array.shape]
                place[place.index(slice(None))] = number
                image = np.asarray(self._array[tuple(place)])
            else:
                image = self._array.reshape(self._shape)[..., number]
        except (OSError, RuntimeError, ValueError) as error:
            raise ImageImportError(f"Image {number + 1} of {self.origin} cannot be read: {error}.", _DAMAGED) from error
        return image.T if self._turned else image

    def _to_counts(self) -> tuple[float, float]:
        """What is added, and what is multiplied by then; 0 and 1 for camera counts.

        Raises
        ------
        ImageImportError
            The numbers are neither counts nor divided by a background.
        """
        least, most, total, whole = np.inf, -np.inf, 0.0, True
        for number in range(len(self.names)):
            image = self._read(number)
            least, most, total = min(least, image.min()), max(most, image.max()), total + float(image.mean())
            whole = whole and (image.dtype.kind in "iu" or bool((image == np.rint(image)).all()))
        mean = total / len(self.names)
        if whole and 0 <= least and 1 < most <= _LARGEST_COUNT:
            return 0.0, 1.0
        if np.isfinite([least, most, mean]).all():
            if least < 0 and abs(mean) < 0.2:
                return 1.0, min(_LARGEST_FACTOR, (_LARGEST_COUNT - 1) // (1 + float(most)))
            if least >= 0 and 0.2 <= mean <= 5:
                return 0.0, min(_LARGEST_FACTOR, (_LARGEST_COUNT - 1) // float(most))
        raise ImageImportError(
            f"{self.origin} has numbers from {least:g} to {most:g}, mean {mean:g}: neither camera counts (0 to"
            f" {_LARGEST_COUNT}) nor images divided by their background (mean about 1, or 0 with 1 subtracted).",
            "Save the camera's counts as they came.",
        )

    def _of_version_7_3(self, path: Path, variable: str | None) -> tuple[Any, bool, bool]:
        """Return the array, and whether its images are turned: MATLAB's rows are the last axis of the file."""
        try:
            file = self._open.enter_context(h5py.File(path, "r", locking=False))
            arrays = {name: item for name, item in file.items() if isinstance(item, h5py.Dataset)}
            array = arrays[_chosen(path, {name: (item.shape, item.dtype) for name, item in arrays.items()}, variable)]
        except OSError as error:
            raise ImageImportError(f"{path} cannot be read: {error}.", _DAMAGED) from error
        return array, True, "MATLAB_class" in array.attrs


def _of_version_5(path: Path, variable: str | None) -> Any:
    try:
        from scipy.io import loadmat, whosmat
    except ImportError as error:
        raise ImageImportError(
            f"{path} is a .mat file older than version 7.3, which needs the package scipy.",
            "pip install 'fieldscope[matlab]', or save it again in MATLAB with -v7.3.",
        ) from error
    try:
        found = {name: (shape, np.dtype(_TYPES.get(kind, "O"))) for name, shape, kind in whosmat(path)}
        name = _chosen(path, found, variable)
        return loadmat(path, variable_names=[name])[name]
    except ImageImportError:
        raise
    except Exception as error:  # scipy raises whatever the bytes lead it to
        raise ImageImportError(f"{path} cannot be read: {error}.", _DAMAGED) from error


_TYPES = {"double": "f8", "single": "f4"}
_TYPES |= {f"{sign}int{bits}": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32)}


def _chosen(path: Path, arrays: dict[str, tuple[tuple[int, ...], np.dtype[Any]]], variable: str | None) -> str:
    """Name of the array that holds the images."""
    stacks = [
        name for name, (shape, dtype) in arrays.items() if dtype.kind in "fiu" and sum(side != 1 for side in shape) == 3
    ]
    if variable is None:
        known = [name for name in KNOWN_NAMES if name in stacks] or stacks
        if len(known) == 1 or (known and known[0] in KNOWN_NAMES):
            return known[0]
    elif variable in stacks:
        return variable
    wanted = f"no stack of images called {variable}" if variable else f"{len(stacks) or 'no'} stacks of images"
    raise ImageImportError(
        f"{path} has {wanted}; its variables are {', '.join(f'{n} {s}' for n, (s, _) in arrays.items()) or 'none'}.",
        "Name the one with rows x columns x images: --variable NAME.",
    )
