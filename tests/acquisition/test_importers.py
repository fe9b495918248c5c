"""TIFF folders become the capture that a scan would have written."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from acquisition.capture import CaptureError, part_path, read_capture
from acquisition.image_sources import ImageImportError, natural_key, read_tiff
from acquisition.profile import load_profile
from tests.acquisition.images_to_import import import_tiffs, make_images, small_profile, write_images


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
    assert list(capture.time_point_n) == 6 * [0], "as in a scan: repeats are no time points"
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
