"""Captures that are not what they seem: each is refused by name, with what is wrong and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import h5py
import numpy as np
import pytest

from acquisition.capture import CaptureError, read_capture, sha256_of
from tests.acquisition.captures import make_header, write_frames

if TYPE_CHECKING:
    from pathlib import Path


def test_whole_frames_only(tmp_path: Path) -> None:
    path = write_frames(tmp_path / "a.h5", make_header(), 5)
    with h5py.File(path, "r+") as file:
        file["entry/data/images"].resize(7, axis=0)
        file["entry/data/pattern"].resize(6, axis=0)
    assert len(read_capture(path).images_nyx) == 5


def test_header_of_other_leds() -> None:
    with pytest.raises(ValueError, match="same LEDs"):
        make_header(patterns_pl=np.eye(5, dtype=np.float32))


def damage_schema(file: h5py.File) -> None:
    file.attrs["schema_version"] = 2


def damage_status(file: h5py.File) -> None:
    file["entry/status"][0] = b"whatever"


def damage_pattern(file: h5py.File) -> None:
    file["entry/data/pattern"][1] = 9


def damage_images(file: h5py.File) -> None:
    del file["entry/data/images"]


def damage_type(file: h5py.File) -> None:
    del file["entry/data/images"]
    file["entry/data/images"] = np.zeros((3, 6, 8), np.float32)


def damage_leds(file: h5py.File) -> None:
    del file["entry/illumination/led_na"]
    file["entry/illumination/led_na"] = np.zeros((3, 2))


def damage_optics(file: h5py.File) -> None:
    del file["entry/optics"].attrs["pixel_um"]


def damage_profile(file: h5py.File) -> None:
    del file["entry/profile"]
    file["entry/profile"] = 3


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_schema, "version 2, expected fieldscope-capture version 1"),
        (damage_status, "status 'whatever'; known are running, complete, aborted, failed"),
        (damage_pattern, "runs from 0 to 9, but there are 4 patterns"),
        (damage_images, "entry/data/images is missing"),
        (damage_type, "float32, not uint16"),
        (damage_leds, "same LEDs"),
        (damage_optics, "entry/optics lacks pixel_um"),
        (damage_profile, "damaged"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_damaged_files(tmp_path: Path, damage: object, message: str) -> None:
    assert callable(damage)
    path = write_frames(tmp_path / "a.h5", make_header(), 3)
    with h5py.File(path, "r+") as file:
        damage(file)
    with pytest.raises(CaptureError, match=message) as error:
        read_capture(path)
    assert str(path) in error.value.message
    assert error.value.remedy


def test_not_hdf5_truncated_and_missing(tmp_path: Path) -> None:
    text = tmp_path / "text.h5"
    text.write_text("no")
    whole = write_frames(tmp_path / "a.h5", make_header(shape=(256, 256)), 10)
    half = tmp_path / "half.h5"
    half.write_bytes(whole.read_bytes()[: 256 * 256 * 7])
    for path in (text, half, tmp_path / "none.h5", tmp_path):
        with pytest.raises(CaptureError):
            read_capture(path)


def test_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_of(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
