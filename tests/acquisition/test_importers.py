"""TIFF folders become the capture that a scan would have written."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io
import tifffile

from acquisition.capture import CaptureError, part_path, read_capture
from acquisition.image_sources import ImageImportError, natural_key, read_tiff
from acquisition.importers import import_images
from acquisition.profile import Profile, load_profile, parse_profile, shipped_profiles


def small_profile(plan: str = 'kind = "brightfield"', bit_depth: int = 16) -> Profile:
    """Return the simulated microscope with a board of 3 x 4 LEDs, all bright field."""
    text = shipped_profiles()["simulated"].read_text(encoding="utf-8")
    before, rest = text.split("[led_board.geometry]")
    grid = 'kind = "grid"\nrows = 3\ncolumns = 4\npitch_mm = 5.0\ndistance_mm = 60.0\n'
    text = f"{before}[led_board.geometry]\n{grid}\n[led_board.orientation]{rest.split('[led_board.orientation]')[1]}"
    text = text.replace('kind = "brightfield"', plan, 1).replace("bit_depth = 16", f"bit_depth = {bit_depth}")
    return parse_profile(text, "small.toml")


def make_images(count: int = 12, dtype: Any = np.uint16) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 200, (count, 5, 7)).astype(dtype)


def write_images(folder: Path, images: np.ndarray, name: str = "img_{}.tif") -> Path:
    folder.mkdir(exist_ok=True)
    for number, image in enumerate(images):
        tifffile.imwrite(folder / name.format(number), image)
    return folder


def import_tiffs(*arguments: Any, **options: Any) -> Path:
    """Import camera counts as they are."""
    path, note = import_images(*arguments, **options)
    assert note == ""
    return path


def test_algae_measurement_comes_back(shared_data: Path, tmp_path: Path) -> None:
    """With the names under which it was published: row and column on the board, from 1."""
    measured = read_capture(shared_data / "algae" / "algae_left.h5")
    for image, (x, y, _) in zip(measured.images_nyx, measured.header.led_position_mm_l3, strict=True):
        tifffile.imwrite(tmp_path / f"img_y{17 + y / 4:.0f}_x{17 - x / 4:.0f}.tif", image)
    path = import_tiffs(tmp_path, load_profile("ht_idt_grid32"), tmp_path / "algae.h5", sample="Spirogyra algae")
    capture = read_capture(path)
    assert capture.status == "complete"
    assert np.array_equal(capture.images_nyx, measured.images_nyx)
    leds = capture.header.patterns_pl[capture.pattern_n].argmax(axis=1)
    assert np.array_equal(capture.header.led_na_l2[leds], measured.header.led_na_l2)
    assert np.array_equal(capture.header.led_position_mm_l3[leds], measured.header.led_position_mm_l3)
    assert capture.header.optics == measured.header.optics
    assert capture.header.sample_z_um == measured.header.sample_z_um
    assert capture.header.sample == "Spirogyra algae"
    assert not part_path(path).exists()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.dtype(">u2")], ids=str)
def test_counts_come_back_in_natural_order(tmp_path: Path, dtype: Any) -> None:
    images = make_images(dtype=dtype)
    seen: list[tuple[int, int]] = []
    profile = small_profile()
    path = import_tiffs(
        write_images(tmp_path / "run 7", images), profile, tmp_path / "out" / "a.h5",
        on_progress=lambda done, total: seen.append((done, total)),
    )  # fmt: skip
    capture = read_capture(path)
    assert np.array_equal(capture.images_nyx, images)
    assert list(capture.pattern_n) == list(range(12))
    assert np.array_equal(capture.header.patterns_pl, np.eye(12))
    assert capture.header.profile_toml == profile.toml_text
    assert capture.header.title == "run 7"
    assert np.all(capture.exposure_ms_n == 10.0)
    assert np.all(np.isnan(capture.host_time_s_n))
    assert seen == [(n, 12) for n in range(1, 13)]


def test_subset_and_repeats(tmp_path: Path) -> None:
    images = make_images(6)
    profile = small_profile('kind = "subset"\nleds = [7, 2, 5]\nrepeats = 2')
    capture = read_capture(import_tiffs(write_images(tmp_path / "i", images), profile, tmp_path / "a.h5"))
    assert list(capture.header.patterns_pl.argmax(axis=1)) == [7, 2, 5]
    assert list(capture.pattern_n) == [0, 1, 2, 0, 1, 2]
    assert list(capture.time_point_n) == [0, 0, 0, 1, 1, 1]
    assert np.array_equal(capture.images_nyx, images)


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("cell2_led{:03d}_x.tif", "cell2_led{led}_x.tif"),
        ("a12_{}_532nm.TIFF", "*_{led}_*nm.tiff"),
        ("{}.tif", "{led}.tif"),
        ("shot{}.tif", "*{led}.tif"),
    ],
)
def test_led_number_in_the_name(tmp_path: Path, name: str, pattern: str) -> None:
    leds = [11, 0, 5]
    images = make_images(3)
    for led, image in zip(leds, images, strict=True):
        tifffile.imwrite(tmp_path / name.format(led), image)
    tifffile.imwrite(tmp_path / "background.tif", images[0])
    profile = small_profile('kind = "subset"\nleds = [0, 5, 11]')
    capture = read_capture(import_tiffs(tmp_path, profile, tmp_path / "a.h5", name_pattern=pattern))
    assert list(capture.header.patterns_pl[capture.pattern_n].argmax(axis=1)) == [0, 5, 11]
    assert np.array_equal(capture.images_nyx, images[[1, 2, 0]])


def test_natural_order() -> None:
    names = ["img_10.tif", "img_2.tif", "IMG_1.tif", "img_y12_x9.tif", "img_y12_x10.tif", "img_y2_x11.tif", "3.tif"]
    assert [path.name for path in sorted(map(Path, names), key=natural_key)] == [
        "3.tif", "IMG_1.tif", "img_2.tif", "img_10.tif", "img_y2_x11.tif", "img_y12_x9.tif", "img_y12_x10.tif",
    ]  # fmt: skip


def test_saturated_pixels_are_counted(tmp_path: Path) -> None:
    images = make_images()
    images[4, 0, :5] = 4095
    capture = read_capture(
        import_tiffs(write_images(tmp_path / "i", images), small_profile(bit_depth=12), tmp_path / "a.h5")
    )
    assert capture.saturated_fraction_n[4] == pytest.approx(5 / 35)
    assert capture.saturated_fraction_n.sum() == capture.saturated_fraction_n[4]


# --- what does not make a capture -----------------------------------------------------------------------------------


def too_few(folder: Path) -> None:
    (folder / "img_3.tif").unlink()


def other_size(folder: Path) -> None:
    tifffile.imwrite(folder / "img_3.tif", np.zeros((5, 8), np.uint16))


def other_type(folder: Path) -> None:
    tifffile.imwrite(folder / "img_3.tif", np.zeros((5, 7), np.uint8))


def floats(folder: Path) -> None:
    tifffile.imwrite(folder / "img_3.tif", np.zeros((5, 7), np.float32))


def colour(folder: Path) -> None:
    tifffile.imwrite(folder / "img_3.tif", np.zeros((5, 7, 3), np.uint8), photometric="rgb")


def stack(folder: Path) -> None:
    tifffile.imwrite(folder / "img_3.tif", np.zeros((2, 5, 7), np.uint16), photometric="minisblack")


def damaged(folder: Path) -> None:
    (folder / "img_3.tif").write_bytes(b"not a picture")


def cut_off(folder: Path) -> None:
    whole = (folder / "img_3.tif").read_bytes()
    (folder / "img_3.tif").write_bytes(whole[: len(whole) - 20])


def too_bright(folder: Path) -> None:
    tifffile.imwrite(folder / "img_3.tif", np.full((5, 7), 5000, np.uint16))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (too_few, r"holds 11 images, the plan \(brightfield, 12 LEDs\) needs 12"),
        (other_size, r"img_3.tif is \(5, 8\) uint16, img_0.tif is \(5, 7\) uint16"),
        (other_type, "img_3.tif is .* uint8"),
        (floats, "img_3.tif holds float32; uint8 and uint16 are allowed"),
        (colour, r"img_3.tif has shape \(5, 7, 3\)"),
        (stack, "img_3.tif has 2 pages"),
        (damaged, "img_3.tif cannot be read"),
        (cut_off, "img_3.tif cannot be read"),
        (too_bright, "counts up to 5000, the profile's camera.bit_depth allows 4095"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_spoilt_folders(tmp_path: Path, spoil: Any, message: str) -> None:
    folder = write_images(tmp_path / "i", make_images())
    spoil(folder)
    with pytest.raises(ImageImportError, match=message) as error:
        import_tiffs(folder, small_profile(bit_depth=12), tmp_path / "a.h5")
    assert error.value.remedy
    assert [path.name for path in tmp_path.iterdir()] == ["i"]  # nothing is left behind


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("img_.tif", "needs {led} once"),
        ("picture_{led}.tif", "0 images fit 'picture_{led}.tif' for LED 0"),
        ("img_1{led}.tif", "0 images fit"),
    ],
)
def test_wrong_patterns(tmp_path: Path, pattern: str, message: str) -> None:
    folder = write_images(tmp_path / "i", make_images())
    with pytest.raises(ImageImportError, match=re.escape(message)):
        import_tiffs(folder, small_profile(), tmp_path / "a.h5", name_pattern=pattern)


def test_led_the_plan_does_not_light(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "i", make_images())
    profile = small_profile('kind = "subset"\nleds = [0, 1, 2]')
    with pytest.raises(ImageImportError, match=r"1 images fit 'img_{led}.tif' for LED 3, .* needs 0; 9 LEDs"):
        import_tiffs(folder, profile, tmp_path / "a.h5", name_pattern="img_{led}.tif")


def test_several_leds_at_once_have_no_led_in_their_names(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "i", make_images(4))
    profile = small_profile('kind = "dpc"')
    with pytest.raises(ImageImportError, match="several LEDs at once"):
        import_tiffs(folder, profile, tmp_path / "a.h5", name_pattern="img_{led}.tif")
    capture = read_capture(import_tiffs(folder, profile, tmp_path / "a.h5"))
    assert capture.pattern_n.tolist() == [0, 1, 2, 3]
    assert capture.header.patterns_pl.sum(axis=1).tolist() == [4, 4, 6, 6]


def test_folders_without_images(tmp_path: Path) -> None:
    with pytest.raises(ImageImportError, match=r"holds no \.tif"):
        import_tiffs(tmp_path, small_profile(), tmp_path / "a.h5")
    with pytest.raises(ImageImportError, match="no folder"):
        import_tiffs(tmp_path / "none", small_profile(), tmp_path / "a.h5")


def test_output_is_not_overwritten(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "i", make_images())
    (tmp_path / "a.h5").write_bytes(b"precious")
    with pytest.raises(CaptureError, match="not overwritten"):
        import_tiffs(folder, small_profile(), tmp_path / "a.h5")
    assert (tmp_path / "a.h5").read_bytes() == b"precious"


def test_read_tiff_is_what_was_written(tmp_path: Path) -> None:
    image = make_images(1)[0]
    tifffile.imwrite(tmp_path / "a.tif", image, compression="zlib")
    assert np.array_equal(read_tiff(tmp_path / "a.tif"), image)


def test_a_file_that_appears_meanwhile_is_left_alone(tmp_path: Path) -> None:
    output = tmp_path / "a.h5"
    folder = write_images(tmp_path / "images", make_images())

    def appear(done: int, total: int) -> None:
        output.write_text("somebody else's")

    def appear_and_fail(done: int, total: int) -> None:
        appear(done, total)
        raise RuntimeError("window closed")

    with pytest.raises(RuntimeError):
        import_tiffs(folder, small_profile(), output, on_progress=appear_and_fail)
    assert output.read_text() == "somebody else's"
    assert not part_path(output).exists()
    output.unlink()
    with pytest.raises(CaptureError, match="appeared"):
        import_tiffs(folder, small_profile(), output, on_progress=appear)
    assert output.read_text() == "somebody else's"
    assert len(read_capture(part_path(output)).images_nyx) == 12


# --- stacks, tables, dark frames and backgrounds ----------------------------------------------------------------------


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
    assert list(capture.time_point_n) == [0, 0, 1]
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


# --- .mat files -------------------------------------------------------------------------------------------------------


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
    plain(tmp_path / "dark.tif", make_images(1)[0])
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
