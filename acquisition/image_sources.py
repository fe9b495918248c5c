"""Images that another program took: a folder of TIFFs, one file with many pages, or a variable of a .mat file.

All are read one image at a time, in the counts (or numbers) they hold.
"""

from __future__ import annotations

import math
import re
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from acquisition.errors import OperatorError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

TIFF_SUFFIXES = (".tif", ".tiff", ".btf", ".tf8")


class ImageImportError(OperatorError):
    """The images do not make a capture."""


class ImageSource(Protocol):
    """Images in an order, read when they are asked for.

    Attributes
    ----------
    origin
        The folder or the file, for messages.
    names
        One for each image: names of files, or numbers of pages, counted from 1.
    note
        What has been done to the numbers, for the operator; empty: they are camera counts as they came.
    """

    origin: Path
    names: list[str]
    note: str

    def read(self, number: int) -> NDArray[Any]:
        """Return an image, rows and columns.

        Raises
        ------
        ImageImportError
            It cannot be read, or is no image of one colour; the import is given up.
        """
        ...

    def close(self) -> None:
        """Let go of the file; called once, at the end."""
        ...


def open_source(path: Path, variable: str | None = None) -> ImageSource:
    """Open images by what lies there; `variable` names the one of a .mat file.

    Raises
    ------
    ImageImportError
        Nothing lies there, or nothing of a kind that is known.
    """
    if path.is_dir():
        return TiffFolder(path)
    if not path.is_file():
        raise ImageImportError(
            f"There is no folder or file {path}.", "Choose the folder or file that holds the images."
        )
    if path.suffix.lower() == ".mat":
        from acquisition.matlab_file import MatlabImages

        return MatlabImages(path, variable)
    if path.suffix.lower() in TIFF_SUFFIXES:
        return TiffStack(path)
    raise ImageImportError(
        f"{path} is neither a folder of TIFFs, nor a TIFF (.tif, .tiff, .btf), nor a .mat file.",
        "Save the images in one of these forms.",
    )


class TiffFolder:
    """A file for each image, in the natural order of their names; sub-folders are not looked into."""

    note = ""

    def __init__(self, folder: Path) -> None:
        self.origin = folder
        files = [path for path in folder.iterdir() if path.suffix.lower() in (".tif", ".tiff") and path.is_file()]
        if not files:
            raise ImageImportError(f"{folder} holds no .tif or .tiff.", "Choose the folder that holds the images.")
        self._files = sorted(files, key=natural_key)
        self.names = [path.name for path in self._files]

    def read(self, number: int) -> NDArray[Any]:
        """Read a file; see `ImageSource`."""
        return read_tiff(self._files[number])

    def close(self) -> None:
        """Nothing is open."""


class TiffStack:
    """One file with a page for each image: TIFF, BigTIFF, OME-TIFF or ImageJ's, whatever the axes are called."""

    note = ""

    def __init__(self, path: Path) -> None:
        import tifffile

        self.origin = path
        self._open = ExitStack()
        remedy = "Save it again as an uncompressed TIFF."
        try:
            tiff = self._open.enter_context(tifffile.TiffFile(path))
            series = tiff.series
            if len(series) != 1:
                raise ImageImportError(
                    f"{path} has {len(series)} series of images; 1 is allowed.", "Save images of one size and type."
                )
            self._series = series[0]
            shape = self._series.shape
            if "S" in self._series.axes or len(shape) < 2:
                raise _no_image(path, shape)
            count = math.prod(shape[:-2])
            # ImageJ writes one page and the rest of a large stack behind it.
            self._planes: Any = None
            if len(self._series.pages) != count:
                self._planes = self._series.asarray(out="memmap").reshape(count, *shape[-2:])
        except (OSError, ValueError, KeyError, IndexError, TypeError, tifffile.TiffFileError) as error:
            self._open.close()
            raise ImageImportError(f"{path} cannot be read: {error}.", remedy) from error
        except BaseException:
            self._open.close()
            raise
        self.names = [str(page + 1) for page in range(count)]

    def read(self, number: int) -> NDArray[Any]:
        """Read a page; see `ImageSource`."""
        if self._planes is not None:
            return np.array(self._planes[number])
        try:
            page = self._series.pages[number]
            image = np.zeros(self._series.shape[-2:], self._series.dtype) if page is None else page.asarray()
        except Exception as error:  # each compression has errors of its own
            message = f"Page {number + 1} of {self.origin} cannot be read: {error}."
            raise ImageImportError(message, "Save it again as an uncompressed TIFF.") from error
        return np.asarray(image)

    def close(self) -> None:
        """Close the file."""
        self._open.close()


def natural_key(path: Path) -> list[tuple[int, int, str]]:
    """Sort key by which numbers in names count as numbers: img_2 comes before img_10."""
    parts = re.findall(r"(\d+)|(\D+)", path.name.lower())
    return [(0, int(digits), "") if digits else (1, 0, text) for digits, text in parts]


def read_tiff(path: Path) -> NDArray[Any]:
    """Read a file with one image.

    Raises
    ------
    ImageImportError
        Not a TIFF, more than one page, or colour.
    """
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            pages = len(tiff.pages)
            image = np.asarray(tiff.pages[0].asarray())
    except (OSError, ValueError, KeyError, IndexError, tifffile.TiffFileError) as error:
        raise ImageImportError(f"{path} cannot be read: {error}.", "Save it again as an uncompressed TIFF.") from error
    if pages != 1:
        raise ImageImportError(
            f"{path} has {pages} pages, 1 is allowed in a folder.", "Name the file itself to import its pages."
        )
    if image.ndim != 2:
        raise _no_image(path, image.shape)
    return image


def _no_image(path: Path, shape: tuple[int, ...]) -> ImageImportError:
    return ImageImportError(
        f"{path} has shape {shape}; rows and columns of one colour are allowed.",
        "Save the camera's counts as greyscale, without conversion to colour.",
    )
