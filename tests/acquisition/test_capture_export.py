"""Copies and images of a capture for other programs: the same data, and the original untouched."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from collections import namedtuple
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest
import tifffile

from acquisition import capture_copy
from acquisition.capture import (
    Calibration,
    CaptureError,
    CaptureWriter,
    copy_compressed,
    part_path,
    read_capture,
    read_truth,
)
from acquisition.capture_check import check_capture
from acquisition.capture_images import TABLE_NAME, export_images
from acquisition.capture_rebuild import Rebuild
from acquisition.finding import Level
from tests.acquisition.captures import make_frame, make_header, write_frames

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = (160, 220)


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    header = make_header(shape=SHAPE, profile_toml="[camera]\n")
    with CaptureWriter(tmp_path / "a.h5", header, frames_planned=8) as writer:
        writer.write_dark(np.random.default_rng(0).normal(100, 1, SHAPE).astype(np.float32), 10.5, 4)
        for number in range(8):
            writer.write_frame(make_frame(number, header))
        writer.write_background(np.random.default_rng(1).random((4, *SHAPE), np.float32))
        writer.write_calibration(Calibration(header.led_na_l2 / 2, np.ones(4), 0.65, 0.1, "rims, Größe"))
        path = writer.finish("complete")
    with h5py.File(path, "r+") as file:
        file["lab/note"] = "somebody's"
        file["lab"].attrs["numbers"] = np.arange(3.0)
        file["lab/again"] = h5py.SoftLink("/entry/dark")
    return path


def everything(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}

    def note(name: str, item: Any) -> None:
        found[name] = {key: np.asarray(value).tolist() for key, value in item.attrs.items()}
        if isinstance(item, h5py.Dataset):
            value = item[()]
            found[name]["data"] = (item.shape, item.dtype, value.tobytes() if item.dtype.kind != "O" else value)

    with h5py.File(path) as file:
        note("/", file)
        file.visititems(note)
        assert file["lab"].get("again", getlink=True).path == "/entry/dark"
    found.pop("entry/data/image_offset", None)  # holds for the file it was written into alone
    return found


def compressible(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["entry/data/images"][...] //= 256


def test_a_compressed_copy_is_the_same_in_every_bit(capture: Path, tmp_path: Path) -> None:
    compressible(capture)
    before = capture.read_bytes()
    seen: list[tuple[int, int]] = []
    copy_compressed(capture, tmp_path / "copy.h5", on_progress=lambda done, total: seen.append((done, total)))
    assert everything(tmp_path / "copy.h5") == everything(capture)
    assert capture.read_bytes() == before
    assert seen[-1] == (8, 8)
    with h5py.File(tmp_path / "copy.h5") as file:
        images = file["entry/data/images"]
        assert (images.compression, images.shuffle, images.chunks) == ("gzip", True, (1, *SHAPE))
        assert file["entry/background"].compression == "gzip"
    assert (tmp_path / "copy.h5").stat().st_size < 0.7 * len(before)
    assert not [found for found in check_capture(tmp_path / "copy.h5") if "contract" in found.name and found.remedy]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.h5", "copy.h5"]


def test_a_shared_capture_shrinks(shared_data: Path, tmp_path: Path) -> None:
    copy_compressed(shared_data / "cases" / "cells.h5", tmp_path / "copy.h5")
    one, other = (read_capture(path) for path in (shared_data / "cases" / "cells.h5", tmp_path / "copy.h5"))
    assert np.array_equal(one.images_nyx, other.images_nyx)
    truth = read_truth(tmp_path / "copy.h5")
    assert truth is not None
    assert not [found for found in check_capture(tmp_path / "copy.h5") if found.level is Level.ERROR]


def test_blosc(capture: Path, tmp_path: Path) -> None:
    pytest.importorskip("hdf5plugin")
    copy_compressed(capture, tmp_path / "copy.h5", "blosc")
    assert everything(tmp_path / "copy.h5") == everything(capture)


def test_blosc_without_its_package(capture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hdf5plugin", None)
    with pytest.raises(CaptureError, match="hdf5plugin") as error:
        copy_compressed(capture, tmp_path / "copy.h5", "blosc")
    assert "fieldscope[blosc]" in error.value.remedy


def taken_meanwhile(*_: object) -> None:
    raise FileExistsError


def test_copies_that_are_refused(capture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = tmp_path / "taken.h5"
    taken.write_bytes(b"precious")
    with pytest.raises(CaptureError, match="not overwritten"):
        copy_compressed(capture, taken)
    assert taken.read_bytes() == b"precious"
    with CaptureWriter(tmp_path / "b.h5", make_header()) as writer, pytest.raises(CaptureError, match="unfinished"):
        copy_compressed(part_path(writer.path), tmp_path / "copy.h5")
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: namedtuple("usage", "free")(1 << 20))
        with pytest.raises(CaptureError, match="full"):
            copy_compressed(capture, tmp_path / "copy.h5")
    write = Rebuild.write

    def write_badly(self: Rebuild, target: Path, *arguments: Any) -> None:
        write(self, target, *arguments)
        with h5py.File(target, "r+") as file:
            file["entry/background"][1, 2, 3] += 1

    monkeypatch.setattr(Rebuild, "write", write_badly)
    with pytest.raises(CaptureError, match="differs from the original in /entry/background"):
        copy_compressed(capture, tmp_path / "copy.h5")
    monkeypatch.setattr(Rebuild, "write", write)
    monkeypatch.setattr(capture_copy, "give_name", taken_meanwhile)
    with pytest.raises(CaptureError, match="appeared meanwhile"):
        copy_compressed(capture, tmp_path / "copy.h5")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.h5", "b.h5", "taken.h5"]


def test_images_with_names_metadata_and_a_table(capture: Path, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()  # an empty one is no obstacle
    assert export_images(capture, folder) == 8
    measured = read_capture(capture)
    rows = list(csv.DictReader((folder / TABLE_NAME).read_text(encoding="utf-8").splitlines()))
    assert [row["file"] for row in rows] == [f"frame_{n:04d}_led_{n % 4:04d}.tif" for n in range(8)]
    for number, row in enumerate(rows):
        with tifffile.TiffFile(folder / row["file"]) as tiff:
            assert np.array_equal(tiff.asarray(), measured.images_nyx[number])
            about = json.loads(tiff.pages[0].description)
        led = int(row["led"])
        assert about["led"] == led == number % 4
        assert [about["na_x"], about["na_y"]] == list(measured.header.led_na_l2[led] / 2)  # the calibrated ones
        assert (about["exposure_ms"], float(row["exposure_ms"])) == (10.5, 10.5)
        assert int(row["time_point"]) == number // 4
    assert np.array_equal(tifffile.imread(folder / "dark" / "dark.tif"), measured.dark_yx)
    assert measured.background_pyx is not None
    assert np.array_equal(tifffile.imread(folder / "background" / "led_0003.tif"), measured.background_pyx[3])
    assert (folder / "profile.toml").read_text(encoding="utf-8") == "[camera]\n"


def test_patterns_of_several_leds(tmp_path: Path) -> None:
    patterns = np.array([[1, 1, 0, 0], [0, 0, 0.5, 0]], np.float32)
    write_frames(tmp_path / "a.h5", make_header(patterns_pl=patterns), 2)
    export_images(tmp_path / "a.h5", tmp_path / "images")
    names = sorted(path.name for path in (tmp_path / "images").glob("*.tif"))
    assert names == ["frame_0000_pattern_0000.tif", "frame_0001_led_0002.tif"]
    with tifffile.TiffFile(tmp_path / "images" / names[0]) as tiff:
        assert json.loads(tiff.pages[0].description)["leds"] == {"0": 1.0, "1": 1.0}


def test_folders_that_are_refused(capture: Path, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    with pytest.raises(CaptureError, match="not overwritten"):
        export_images(capture, folder)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_images(capture, tmp_path / "other", stop)
    (tmp_path / "third.part").mkdir()
    with pytest.raises(CaptureError, match="another export"):
        export_images(capture, tmp_path / "third")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.h5", "images", "third.part"]
