"""Files of MATLAB become captures."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest
import scipy.io
import tifffile

from acquisition.capture import read_capture
from acquisition.image_sources import ImageImportError
from acquisition.importers import import_images
from tests.acquisition.images_to_import import import_tiffs, make_images, small_profile

if TYPE_CHECKING:
    from pathlib import Path


def matlab_7_3(path: Path, **arrays: np.ndarray) -> None:
    """Write as MATLAB does: the first axis of an array is the last one of the file."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array.T).attrs["MATLAB_class"] = np.bytes_("double")
        file["Hreal"] = np.zeros((12, 3, 7, 5), [("real", "f4"), ("imag", "f4")])


def matlab_5(path: Path, **arrays: np.ndarray) -> None:
    scipy.io.savemat(path, {**arrays, "NA": 0.65, "Hreal": np.zeros((5, 7, 3, 12), np.complex64)}, do_compression=True)


@pytest.mark.parametrize("write", [matlab_7_3, matlab_5])
@pytest.mark.parametrize("name", ["I", "I_Raw", "dat", "mine"])
def test_counts_of_matlab(tmp_path: Path, write: Any, name: str) -> None:
    images = make_images()
    write(tmp_path / "a.mat", **{name: np.moveaxis(images, 0, 2).astype(float)})
    capture = read_capture(import_tiffs(tmp_path / "a.mat", small_profile(), tmp_path / "a.h5"))
    assert np.array_equal(capture.images_nyx, images)
    assert capture.header.optics.camera_offset > 0


def test_arrays_that_python_wrote(tmp_path: Path) -> None:
    images = make_images()
    with h5py.File(tmp_path / "a.mat", "w") as file:
        file["dat"] = images[:, np.newaxis]
    capture = read_capture(import_tiffs(tmp_path / "a.mat", small_profile(), tmp_path / "a.h5"))
    assert np.array_equal(capture.images_nyx, images)


@pytest.mark.parametrize("write", [matlab_7_3, matlab_5])
@pytest.mark.parametrize("mean", [0.0, 1.0])
def test_images_divided_by_their_background(tmp_path: Path, write: Any, mean: float) -> None:
    contrast = np.random.default_rng(5).normal(0, 0.1, (12, 5, 7))
    write(tmp_path / "a.mat", I=np.moveaxis(contrast + mean, 0, 2))
    path, note = import_images(tmp_path / "a.mat", small_profile(bit_depth=12), tmp_path / "a.h5")
    assert "divided by their background" in note
    capture = read_capture(path)
    optics = capture.header.optics
    assert (optics.camera_offset, optics.camera_gain_e, optics.bit_depth) == (0, None, 16)
    light = capture.images_nyx / 20000.0
    assert np.abs(light - 1 - contrast).max() < 1e-4
    assert capture.saturated_fraction_n.max() == 0
    tifffile.imwrite(tmp_path / "dark.tif", make_images(1)[0])
    with pytest.raises(ImageImportError, match="Neither dark frame nor background"):
        import_images(tmp_path / "a.mat", small_profile(), tmp_path / "b.h5", dark=tmp_path / "dark.tif")


@pytest.mark.parametrize("write", [matlab_7_3, matlab_5])
def test_mat_files_without_images(tmp_path: Path, write: Any) -> None:
    stack = np.moveaxis(make_images(), 0, 2).astype(float)

    def refused(match: str, **options: Any) -> None:
        with pytest.raises(ImageImportError, match=match) as error:
            import_images(tmp_path / "a.mat", small_profile(), tmp_path / "a.h5", **options)
        assert error.value.remedy

    write(tmp_path / "a.mat", one=stack, two=stack)
    refused("2 stacks of images")
    refused("no stack of images called three", variable="three")
    read_capture(import_tiffs(tmp_path / "a.mat", small_profile(), tmp_path / "two.h5", variable="two"))
    write(tmp_path / "a.mat", flat=stack[0])
    refused("no stacks of images")
    write(tmp_path / "a.mat", I=stack * np.pi)
    refused("neither camera counts")
    write(tmp_path / "a.mat", I=np.where(stack == stack.max(), np.nan, stack))
    refused("neither camera counts")
    write(tmp_path / "a.mat", I=stack)
    whole = (tmp_path / "a.mat").read_bytes()
    for share in (0.1, 0.5, 0.9):
        (tmp_path / "a.mat").write_bytes(whole[: int(share * len(whole))])
        refused("a.mat")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mat", "two.h5"]


def test_old_mat_files_without_scipy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    matlab_5(tmp_path / "a.mat", I=np.moveaxis(make_images(), 0, 2).astype(float))
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(ImageImportError, match="needs the package scipy") as error:
        import_images(tmp_path / "a.mat", small_profile(), tmp_path / "a.h5")
    assert "fieldscope[matlab]" in error.value.remedy
