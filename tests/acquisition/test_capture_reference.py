from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acquisition.capture import (
    CaptureError,
    CaptureHeader,
    CaptureWriter,
    Frame,
    ReferenceCaptureError,
    apply_reference,
    match_reference,
    read_capture,
    read_reference,
)
from acquisition.capture_check import check_capture
from acquisition.finding import Level
from tests.acquisition.captures import make_header

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
LEDS = 5
HEADER = replace(make_header(LEDS), start_time=NOW.isoformat(), profile_toml="")
RATE_PYX = np.random.default_rng(5).uniform(20, 60, (LEDS, *HEADER.image_shape))
"""Counts per ms of each LED in the empty field."""
DARK_YX = np.random.default_rng(6).uniform(90, 110, HEADER.image_shape).astype(np.float32)


def write(
    path: Path,
    header: CaptureHeader,
    exposure_ms_p: NDArray[np.float64],
    dark: tuple[NDArray[np.float32], float] | None,
    repeats: int = 1,
    transmission: float = 1.0,
) -> Path:
    with CaptureWriter(path, header) as writer:
        if dark is not None:
            writer.write_dark(dark[0], dark[1], 4)
        for number, pattern in enumerate(np.tile(np.arange(len(header.patterns_pl)), repeats).tolist()):
            rate_yx = np.tensordot(header.patterns_pl[pattern], RATE_PYX, 1) * transmission
            counts = np.rint(rate_yx * exposure_ms_p[pattern] + DARK_YX).astype(np.uint16)
            writer.write_frame(Frame(number, pattern, counts, float(exposure_ms_p[pattern]), 0.1 * number))
        writer.finish("complete")
    return path


def empty_header(**changes: object) -> CaptureHeader:
    return replace(HEADER, is_reference=True, start_time=(NOW - timedelta(hours=2)).isoformat(), **changes)


def test_patterns_are_matched_by_their_light_and_exposures_scaled(tmp_path: Path) -> None:
    multiplexed_pl = np.array([[1, 0.5, 0, 0, 0], [0, 0, 1, 1, 0], [0, 0, 0, 0, 1]], np.float32)
    order = [2, 0, 1]
    empty_ms, sample_ms = np.array([10.0, 20.0, 40.0]), np.array([10.0, 10.0, 60.0])
    empty = write(
        tmp_path / "e.h5", empty_header(patterns_pl=multiplexed_pl[order]), empty_ms, (DARK_YX, 10.0), repeats=3
    )
    sample = replace(HEADER, patterns_pl=multiplexed_pl)
    path = write(tmp_path / "s.h5", sample, sample_ms, (DARK_YX + 5, 10.0), transmission=0.5)
    before = read_capture(path)
    matched = apply_reference(path, read_reference(empty))
    assert matched.row_p.tolist() == [1, 2, 0]
    assert matched.scale_p == pytest.approx([0.5, 0.25, 6.0])
    assert "3 of 3 patterns were exposed otherwise in e.h5 (pattern 2: 10 ms, here 60 ms)" in matched.notices[0]
    after = read_capture(path)
    assert after.background_pyx is not None
    expected = np.tensordot(multiplexed_pl, RATE_PYX, 1) * sample_ms[:, None, None] + DARK_YX + 5
    assert after.background_pyx == pytest.approx(expected, abs=3.2)  # rounded counts, scaled by up to six
    np.testing.assert_array_equal(after.images_nyx, before.images_nyx)
    np.testing.assert_array_equal(after.dark_yx, before.dark_yx)
    with h5py.File(path) as file:
        attributes = dict(file["entry/background"].attrs)
    assert attributes == {"reference": "e.h5", "time": empty_header().start_time, "frames": 3}
    apply_reference(path, read_reference(empty))  # in place of the earlier one
    np.testing.assert_array_equal(read_capture(path).background_pyx, after.background_pyx)


@settings(deadline=None, max_examples=30)
@given(order=st.permutations(range(LEDS)), turn=st.permutations(range(LEDS)))
def test_leds_may_have_other_numbers(
    order: list[int], turn: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The reference comes from a profile that counts its LEDs otherwise."""
    header = empty_header(
        led_na_l2=HEADER.led_na_l2[turn], led_position_mm_l3=HEADER.led_position_mm_l3[turn],
        patterns_pl=np.eye(LEDS, dtype=np.float32)[order][:, turn],
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("e")
    with CaptureWriter(folder / "e.h5", header) as writer:
        for pattern in range(LEDS):
            writer.write_frame(Frame(pattern, pattern, np.full(header.image_shape, 500, np.uint16), 10.0))
        writer.finish("complete")
    matched = match_reference(read_reference(folder / "e.h5"), HEADER, np.full(LEDS, 10.0), True, 10.0)
    assert np.array(order)[matched.row_p].tolist() == list(range(LEDS))
    shutil.rmtree(folder)


def test_a_dark_frame_is_taken_over_where_it_fits(tmp_path: Path) -> None:
    ms_p = np.full(LEDS, 10.0)
    empty = read_reference(write(tmp_path / "e.h5", empty_header(), ms_p, (DARK_YX, 10.0)))
    bare = write(tmp_path / "bare.h5", HEADER, ms_p, None)
    assert "The dark frame comes from e.h5." in apply_reference(bare, empty).notices
    capture = read_capture(bare)
    np.testing.assert_array_equal(capture.dark_yx, DARK_YX)
    assert capture.darks[0].exposure_ms == 10
    longer = write(tmp_path / "long.h5", HEADER, 4 * ms_p, None)
    notices = apply_reference(longer, empty).notices
    assert "e.h5 has a dark frame of 10 ms, this capture exposes 40 ms" in notices[1]
    capture = read_capture(longer)
    assert capture.dark_yx is None
    assert capture.background_pyx == pytest.approx(4 * 10 * RATE_PYX + HEADER.optics.camera_offset, abs=2.1)


def test_dark_frames_of_several_exposures_are_taken_over_and_each_is_used(tmp_path: Path) -> None:
    """A sensor that gathers counts without light, more the longer it is exposed."""
    ms_p = np.array([10.0, 10.0, 10.0, 40.0, 40.0])

    def written(name: str, header: CaptureHeader, dark: bool) -> Path:
        with CaptureWriter(tmp_path / name, header) as writer:
            if dark:
                writer.write_dark(10 * DARK_YX, 10.0, 4)
                writer.write_other_dark(40 * DARK_YX, 40.0, 4)
            for pattern, ms in enumerate(ms_p.tolist()):
                counts = np.rint((RATE_PYX[pattern] + DARK_YX) * ms).astype(np.uint16)
                writer.write_frame(Frame(pattern, pattern, counts, ms, 0.1 * pattern))
            return writer.finish("complete")

    empty = read_reference(written("e.h5", empty_header(), dark=True))
    bare, own = written("bare.h5", HEADER, dark=False), written("own.h5", HEADER, dark=True)
    for path in (bare, own):
        apply_reference(path, empty)
        capture = read_capture(path)
        assert [dark.exposure_ms for dark in capture.darks] == [10.0, 40.0]
        expected_pyx = (RATE_PYX + DARK_YX) * ms_p[:, None, None]
        assert capture.background_pyx == pytest.approx(expected_pyx, abs=0.6)
        assert not any("exposed for" in found.text for found in check_capture(path))
    live = list(match_reference(empty, HEADER, ms_p, True, 10.0).backgrounds())
    assert np.stack(live) == pytest.approx(expected_pyx, abs=0.6)


def test_age_and_saturation_are_told(tmp_path: Path) -> None:
    ms_p = np.full(LEDS, 10.0)
    with CaptureWriter(tmp_path / "e.h5", empty_header()) as writer:
        for pattern in range(LEDS):
            image = np.full(HEADER.image_shape, 4095, np.uint16)
            writer.write_frame(Frame(pattern, pattern, image, 10.0, saturated_fraction=1.0))
        writer.finish("complete")
    empty = read_reference(tmp_path / "e.h5")
    assert match_reference(empty, HEADER, ms_p, True, 10.0).notices == (
        "e.h5 has up to 100.0% saturated pixels; 0.1% is the limit. Take it again with a shorter exposure.",
    )
    old = replace(HEADER, start_time=(NOW + timedelta(hours=40)).isoformat())
    assert (
        "taken 42 h away from this capture; 24 h is the limit" in match_reference(empty, old, ms_p, True, 1).notices[0]
    )
    assert len(match_reference(empty, old, ms_p, True, 10.0, oldest_h=50).notices) == 1
    path = write(tmp_path / "s.h5", old, ms_p, (DARK_YX, 10.0))
    apply_reference(path, empty)
    background = next(finding for finding in check_capture(path) if finding.name == "background")
    assert (background.level, "42 h away" in background.text) == (Level.WARNING, True)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"optics": replace(HEADER.optics, wavelength_um=0.63)}, "wavelength_um = 0.63, the capture 0.515"),
        ({"optics": replace(HEADER.optics, pixel_um=0.325)}, "pixel_um = 0.325, the capture 0.1625"),
        (
            {"profile_toml": "[camera]\nroi = [8, 0, 8, 6]\n"},
            r"camera.roi = \[8, 0, 8, 6\], the capture with the default",
        ),
        ({"profile_toml": "[led_board]\nbrightness = 90\n"}, "brightness = 90"),
        ({"patterns_pl": np.eye(LEDS, dtype=np.float32)[:3]}, "lacks 2 of the capture's 5 patterns: 3, 4"),
        ({"patterns_pl": 0.5 * np.eye(LEDS, dtype=np.float32)}, "lacks 5 of"),
        ({"patterns_pl": np.eye(LEDS, dtype=np.float32) + np.eye(LEDS, k=1, dtype=np.float32)}, "lacks 4"),
        ({"led_na_l2": HEADER.led_na_l2 + 0.05}, "lacks"),
        ({"is_reference": False}, "not one of an empty field"),
    ],
)
def test_what_does_not_fit_is_refused_and_changes_nothing(
    changes: dict[str, object], said: str, tmp_path: Path
) -> None:
    header = replace(empty_header(), **changes)
    write(tmp_path / "e.h5", header, np.full(len(header.patterns_pl), 10.0), None)
    path = write(tmp_path / "s.h5", HEADER, np.full(LEDS, 10.0), None)
    before = path.read_bytes()
    with pytest.raises(ReferenceCaptureError, match=said):
        apply_reference(path, read_reference(tmp_path / "e.h5"))
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 2


def test_another_image_size_is_refused(tmp_path: Path) -> None:
    header = empty_header(image_shape=(8, 6))
    with CaptureWriter(tmp_path / "e.h5", header) as writer:
        writer.write_frame(Frame(0, 0, np.zeros((8, 6), np.uint16), 10.0))
        writer.finish("complete")
    with pytest.raises(ReferenceCaptureError, match="8 x 6 pixels, those of the capture 6 x 8"):
        match_reference(read_reference(tmp_path / "e.h5"), HEADER, np.full(LEDS, 10.0), True, 10.0)


def test_a_reference_that_vanishes_meanwhile_leaves_the_capture_as_it_is(tmp_path: Path) -> None:
    empty = read_reference(write(tmp_path / "e.h5", empty_header(), np.full(LEDS, 10.0), None))
    path = write(tmp_path / "s.h5", HEADER, np.full(LEDS, 10.0), None)
    before = path.read_bytes()
    empty.path.unlink()
    with pytest.raises(CaptureError, match="There is no capture"):
        apply_reference(path, empty)
    assert [entry.name for entry in tmp_path.iterdir()] == ["s.h5"]
    assert path.read_bytes() == before


def test_a_full_disk_in_the_middle_takes_the_background_out_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = read_reference(write(tmp_path / "e.h5", empty_header(), np.full(LEDS, 10.0), None))
    matched = match_reference(empty, HEADER, np.full(LEDS, 10.0), True, 10.0)
    store = h5py.Dataset.__setitem__

    def full(dataset: h5py.Dataset, key: object, value: object) -> None:
        if dataset.name == "/entry/background" and key == 2:
            raise OSError(28, "No space left on device")
        store(dataset, key, value)

    with CaptureWriter(tmp_path / "s.h5", HEADER) as writer:
        writer.write_frame(Frame(0, 0, np.zeros(HEADER.image_shape, np.uint16), 10.0))
        with monkeypatch.context() as patch:
            patch.setattr(h5py.Dataset, "__setitem__", full)
            with pytest.raises(CaptureError, match="No space left"):
                writer.write_reference(matched)
        writer.finish("complete")
    capture = read_capture(tmp_path / "s.h5")
    assert capture.background_pyx is None
    assert len(capture.images_nyx) == 1
