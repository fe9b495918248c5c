"""Stacks, tables that name the LED of each page, dark frames and backgrounds become captures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

from acquisition.capture import part_path, read_capture
from acquisition.image_sources import ImageImportError
from acquisition.importers import import_images
from acquisition.profile_board import BoardGeometry
from tests.acquisition.images_to_import import import_tiffs, make_images, small_profile, write_images

if TYPE_CHECKING:
    from pathlib import Path


def plain(path: Path, images: np.ndarray) -> None:
    tifffile.imwrite(path, images, photometric="minisblack")


def ome(path: Path, images: np.ndarray) -> None:
    tifffile.imwrite(path, images, ome=True, metadata={"axes": "TYX"}, photometric="minisblack")


def big(path: Path, images: np.ndarray) -> None:
    tifffile.imwrite(path, images, bigtiff=True, compression="zlib", photometric="minisblack")


def imagej(path: Path, images: np.ndarray) -> None:
    tifffile.imwrite(path, images, imagej=True, metadata={"axes": "ZYX"})


def one_page_and_the_rest(path: Path, images: np.ndarray) -> None:
    """As ImageJ writes large stacks: only the first page has a head."""
    with tifffile.TiffWriter(path, imagej=True) as tiff:
        tiff.write(images, contiguous=True, metadata={"axes": "TYX"}, truncate=True)


@pytest.mark.parametrize(
    ("write", "name"),
    [(plain, "a.tif"), (ome, "a.ome.tif"), (big, "a.btf"), (imagej, "a.tiff"), (one_page_and_the_rest, "b.tif")],
)
def test_stacks(tmp_path: Path, write: Any, name: str) -> None:
    images = make_images()
    write(tmp_path / name, images)
    capture = read_capture(import_tiffs(tmp_path / name, small_profile(), tmp_path / "a.h5"))
    assert np.array_equal(capture.images_nyx, images)
    assert list(capture.header.patterns_pl[capture.pattern_n].argmax(axis=1)) == list(range(12))
    assert capture.frames_planned == 12


def test_a_table_names_the_led_of_each_page(tmp_path: Path) -> None:
    images = make_images(4)
    plain(tmp_path / "a.tif", images)
    table = tmp_path / "leds.csv"
    table.write_text("page;led;exposure_ms\n3;11;5\n1;2;5\n4;11;2.5\n", encoding="utf-8-sig")
    capture = read_capture(import_tiffs(tmp_path / "a.tif", small_profile(), tmp_path / "a.h5", table=table))
    assert np.array_equal(capture.images_nyx, images[[2, 0, 3]])
    assert list(capture.header.patterns_pl[capture.pattern_n].argmax(axis=1)) == [11, 2, 11]
    assert list(capture.exposure_ms_n) == [5, 5, 2.5]
    assert list(capture.time_point_n) == [0, 0, 0]
    table.write_text("led\n7\n0\n3\n1\n")
    capture = read_capture(import_tiffs(tmp_path / "a.tif", small_profile(), tmp_path / "b.h5", table=table))
    assert np.array_equal(capture.images_nyx, images)
    assert list(capture.header.patterns_pl[capture.pattern_n].argmax(axis=1)) == [7, 0, 3, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no rows with a column led"),
        ("number,page\n1,1\n", "no rows with a column led"),
        ("led\n1\n2\n", "has 2 rows, .* holds 4 images"),
        ("led,page\n1,9\n", "Line 2 .* names the image '9', which is not there"),
        ("led,page\n12,1\n", "names LED 12; the board has LEDs 0 to 11"),
        ("led,page\n1,1\nx,2\n", "Line 3 .*invalid literal"),
        ("led,page\n1,1\n2,1\n", "names 1 more than once"),
        ("led,page,exposure_ms\n1,1,-3\n", "exposure of -3 ms"),
        ("led,page\n1\n", "which is not there"),
        ("led,page\n1,\xff", "not there"),
    ],
)
def test_wrong_tables(tmp_path: Path, text: str, message: str) -> None:
    plain(tmp_path / "a.tif", make_images(4))
    (tmp_path / "leds.csv").write_text(text)
    with pytest.raises(ImageImportError, match=message) as error:
        import_images(tmp_path / "a.tif", small_profile(), tmp_path / "a.h5", table=tmp_path / "leds.csv")
    assert error.value.remedy
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tif", "leds.csv"]


def test_dark_frames_and_backgrounds(tmp_path: Path) -> None:
    images = make_images()
    source = write_images(tmp_path / "i", images, "img_{}.tif")
    write_images(tmp_path / "bg", images[::-1].copy(), "img_{}.tif")
    plain(tmp_path / "dark.tif", np.stack([np.full((5, 7), 99, np.uint16), np.full((5, 7), 102, np.uint16)]))
    for number, pattern in enumerate([None, "img_{led}.tif"]):
        path = import_tiffs(
            source, small_profile(), tmp_path / f"{number}.h5", name_pattern=pattern, background=tmp_path / "bg",
            dark=tmp_path / "dark.tif",
        )  # fmt: skip
        capture = read_capture(path)
        assert capture.background_pyx is not None
        assert np.array_equal(capture.background_pyx, images[::-1])
        assert capture.dark_yx is not None
        assert np.all(capture.dark_yx == 100.5)
        assert capture.darks[0].exposure_ms is None


@pytest.mark.parametrize(
    ("write", "option", "message"),
    [
        (lambda path: plain(path, make_images(11)), "background", "holds 11 images, the plan .background of .*12"),
        (lambda path: plain(path, np.zeros((12, 5, 8), np.uint16)), "background", r"Image 1 of .* is \(5, 8\)"),
        (lambda path: plain(path, np.full((5, 7), np.nan, np.float32)), "dark", "pixels that are no counts"),
        (lambda path: plain(path, np.zeros((5, 7), np.int32)), "dark", r"is \(5, 7\) int32"),
        (lambda path: path.write_bytes(b"no"), "dark", "cannot be read"),
        (lambda path: None, "dark", "no folder or file"),
    ],
)
def test_wrong_references(tmp_path: Path, write: Any, option: str, message: str) -> None:
    folder = write_images(tmp_path / "i", make_images())
    write(tmp_path / "r.tif")
    with pytest.raises(ImageImportError, match=message) as error:
        import_images(folder, small_profile(), tmp_path / "a.h5", **{option: tmp_path / "r.tif"})
    assert error.value.remedy
    assert not (tmp_path / "a.h5").exists()
    assert not part_path(tmp_path / "a.h5").exists()


def test_stacks_that_are_none(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "colour.tif", np.zeros((5, 7, 3), np.uint8), photometric="rgb")
    with tifffile.TiffWriter(tmp_path / "sizes.tif") as tiff:
        tiff.write(np.zeros((5, 7), np.uint16))
        tiff.write(np.zeros((5, 8), np.uint16))
    whole = tmp_path / "whole.tif"
    big(whole, make_images())
    (tmp_path / "cut.tif").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    (tmp_path / "notes.txt").write_text("no")
    for name in ("colour.tif", "sizes.tif", "cut.tif", "notes.txt"):
        with pytest.raises(ImageImportError) as error:
            import_images(tmp_path / name, small_profile(), tmp_path / "a.h5")
        assert error.value.remedy
    assert not (tmp_path / "a.h5").exists()


def test_a_board_that_tells_its_geometry_itself_is_refused_with_what_helps(tmp_path: Path) -> None:
    profile = small_profile()
    asked = profile.led_board.model_copy(update={"geometry": BoardGeometry(kind="board")})
    plain(tmp_path / "a.tif", make_images(12))
    with pytest.raises(ImageImportError, match="to an import no board is connected") as caught:
        import_tiffs(tmp_path / "a.tif", profile.model_copy(update={"led_board": asked}), tmp_path / "a.h5")
    assert "in the profile that you import with" in caught.value.remedy
