"""The capture file is a contract: written here, read with bare h5py; written by others, read here."""

from __future__ import annotations

import pickle
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acquisition import capture as capture_module
from acquisition.capture import Calibration, CaptureWriter, Truth, read_capture, read_header, read_truth
from tests.acquisition.captures import OPTICS, REPOSITORY, make_frame, make_header, write_frames

if TYPE_CHECKING:
    from pathlib import Path

# --- the contract, read with nothing but h5py -----------------------------------------------------------------------


def test_every_key_and_type_of_the_contract(tmp_path: Path) -> None:
    header = make_header()
    with CaptureWriter(tmp_path / "a.h5", header) as writer:
        for number in range(5):
            writer.write_frame(make_frame(number, header))
        writer.write_dark(np.full((6, 8), 99.5, np.float32))
        writer.write_background(np.ones((4, 6, 8), np.float32))
        writer.write_calibration(Calibration(header.led_na_l2 + 0.01, np.ones(4), 0.64, 0.1, "rim of the pupil"))
        writer.write_truth(Truth(np.ones((3, 6, 8), np.float32), None, np.arange(3.0), header.led_na_l2))
        writer.finish("complete")

    with h5py.File(tmp_path / "a.h5") as file:
        assert dict(file.attrs) == {
            "schema": "fieldscope-capture", "schema_version": 1, "NX_class": "NXroot", "default": "entry",
        }  # fmt: skip
        entry = file["entry"]
        assert entry.attrs["NX_class"] == "NXentry"
        assert {"start_time", "title", "sample", "operator", "software", "sample_z_um"} <= set(entry.attrs)
        assert entry.attrs["start_time"].endswith("+00:00")
        assert "fieldscope" in entry.attrs["software"]
        assert "numpy" in entry.attrs["software"]
        assert list(entry.attrs["sample_z_um"]) == [-6.0, 7.5]
        assert entry["status"].shape == (1,)
        assert entry["status"].dtype.kind == "S"
        assert entry["status"][0] == b"complete"
        assert entry["profile"].shape == ()
        assert entry["profile"].asstr()[()] == header.profile_toml
        data = entry["data"]
        assert (data["images"].dtype, data["images"].shape) == (np.uint16, (5, 6, 8))
        assert (data["images"].chunks, data["images"].maxshape) == ((1, 6, 8), (None, 6, 8))
        assert data["images"].compression is None
        assert np.array_equal(data["images"][3], make_frame(3, header).image_yx)
        for name, dtype in {
            "pattern": np.int32, "time_point": np.int32, "position": np.int32,
            "exposure_ms": np.float64, "host_time_s": np.float64, "saturated_fraction": np.float64,
        }.items():  # fmt: skip
            assert (data[name].dtype, data[name].shape) == (dtype, (5,)), name
        assert list(data["pattern"]) == [0, 1, 2, 3, 0]
        assert list(data["time_point"]) == [0, 0, 0, 0, 1]
        assert (entry["dark"].dtype, entry["dark"].shape) == (np.float32, (6, 8))
        assert (entry["background"].dtype, entry["background"].shape) == (np.float32, (4, 6, 8))
        illumination = entry["illumination"]
        assert (illumination["led_position_mm"].dtype, illumination["led_position_mm"].shape) == (np.float64, (4, 3))
        assert (illumination["led_na"].dtype, illumination["led_na"].shape) == (np.float64, (4, 2))
        assert (illumination["patterns"].dtype, illumination["patterns"].shape) == (np.float32, (4, 4))
        assert dict(entry["optics"].attrs) == {
            "wavelength_um": 0.515, "objective_na": 0.65, "magnification": 40.0, "camera_pixel_um": 6.5,
            "pixel_um": 0.1625, "medium_index": 1.33, "camera_offset": 100.0, "camera_gain_e": 4.0, "bit_depth": 12,
        }  # fmt: skip
        assert set(entry["calibration"]) == {"led_na", "led_gain", "objective_na", "residual", "method"}
        assert set(file["truth"]) == {"dn", "z_um", "led_na"}


def test_optional_parts_are_absent_not_zero(tmp_path: Path) -> None:
    header = make_header(optics=replace(OPTICS, camera_gain_e=None), sample_z_um=None)
    write_frames(tmp_path / "a.h5", header, 2)
    with h5py.File(tmp_path / "a.h5") as file:
        assert set(file) == {"entry"}
        assert set(file["entry"]) == {"status", "profile", "data", "illumination", "optics"}
        assert "camera_gain_e" not in file["entry/optics"].attrs
        assert "sample_z_um" not in file["entry"].attrs
    capture = read_capture(tmp_path / "a.h5")
    assert capture.header.optics.camera_gain_e is None
    assert (capture.dark_yx, capture.background_pyx, capture.calibration) == (None, None, None)
    assert read_truth(tmp_path / "a.h5") is None


# --- round trips ----------------------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(leds=st.integers(1, 6), rows=st.integers(1, 9), columns=st.integers(1, 9), count=st.integers(0, 12))
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, leds: int, rows: int, columns: int, count: int
) -> None:
    header = make_header(leds, (rows, columns))
    path = write_frames(tmp_path_factory.mktemp("round") / "a.h5", header, count)
    capture = read_capture(path)
    assert capture.status == "complete"
    assert capture.images_nyx.shape == (count, rows, columns)
    for number in range(count):
        frame = make_frame(number, header)
        assert np.array_equal(capture.images_nyx[number], frame.image_yx)
        assert capture.pattern_n[number] == frame.pattern
        assert capture.exposure_ms_n[number] == frame.exposure_ms
        assert capture.host_time_s_n[number] == frame.host_time_s
        assert capture.saturated_fraction_n[number] == frame.saturated_fraction
        assert capture.time_point_n[number] == frame.time_point
        assert capture.position_n[number] == frame.position
    for name in ("led_position_mm_l3", "led_na_l2", "patterns_pl"):
        assert np.array_equal(getattr(capture.header, name), getattr(header, name))
    for name in ("optics", "image_shape", "profile_toml", "title", "sample", "operator", "sample_z_um"):
        assert getattr(capture.header, name) == getattr(header, name)
    assert read_header(path).start_time == capture.header.start_time


def test_dark_background_calibration_and_truth_come_back(tmp_path: Path) -> None:
    header = make_header()
    rng = np.random.default_rng(0)
    dark, background, dn = (rng.random(shape, np.float32) for shape in ((6, 8), (4, 6, 8), (3, 6, 8)))
    with CaptureWriter(tmp_path / "a.h5", header) as writer:
        writer.write_dark(np.zeros((6, 8), np.float32))
        writer.write_dark(dark)  # the later one counts
        writer.write_background(background)
        writer.write_truth(Truth(dn, dn / 10, np.array([-1.0, 0.0, 1.0]), header.led_na_l2 + 0.02))
        writer.write_calibration(Calibration(header.led_na_l2 * 2, np.array([1, 0.9, 1.1, 1]), 0.63, 0.05, "rim"))
        writer.finish("complete")
    capture = read_capture(tmp_path / "a.h5")
    truth = read_truth(tmp_path / "a.h5")
    assert capture.dark_yx is not None
    assert np.array_equal(capture.dark_yx, dark)
    assert capture.background_pyx is not None
    assert np.array_equal(capture.background_pyx, background)
    part = read_capture(tmp_path / "a.h5", (slice(1, 4), slice(2, 8)), [0, 2]).background_pyx
    assert part is not None
    assert np.array_equal(part[[0, 2]], background[[0, 2], 1:4, 2:8]) and not part[[1, 3]].any()
    assert capture.calibration is not None
    assert np.array_equal(capture.calibration.led_na_l2, header.led_na_l2 * 2)
    assert list(capture.calibration.led_gain_l) == [1, 0.9, 1.1, 1]
    assert (capture.calibration.objective_na, capture.calibration.residual) == (0.63, 0.05)
    assert capture.calibration.method == "rim"
    assert truth is not None
    assert truth.kappa_zyx is not None
    assert np.array_equal(truth.dn_zyx, dn)
    assert np.array_equal(truth.kappa_zyx, dn / 10)
    assert np.array_equal(truth.led_na_l2, header.led_na_l2 + 0.02)


def test_records_travel_between_processes() -> None:
    header = pickle.loads(pickle.dumps(make_header()))
    assert header.optics == OPTICS
    assert np.array_equal(header.patterns_pl, make_header().patterns_pl)


# --- captures of others ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "frames", "side", "leds", "z_um"),
    [
        ("algae/algae_left", 89, 512, 89, (-30.0, 135.0)),
        ("cases/cells", 33, 192, 33, (-6.0, 6.0)),
        ("cases/cells_misaligned", 33, 192, 33, (-6.0, 6.0)),
        ("cases/spheres", 24, 192, 24, None),
    ],
)
def test_shared_captures(
    shared_data: Path, name: str, frames: int, side: int, leds: int, z_um: tuple[float, float] | None
) -> None:
    path = shared_data / f"{name}.h5"
    capture = read_capture(path)
    assert capture.status == "complete"
    assert capture.images_nyx.shape == (frames, side, side)
    assert capture.header.led_na_l2.shape == (leds, 2)
    assert np.array_equal(capture.header.patterns_pl, np.eye(leds))
    assert z_um is None or capture.header.sample_z_um == z_um
    assert (capture.header.optics.camera_gain_e is None) == name.startswith("algae")
    truth = read_truth(path)
    if name.startswith("algae"):
        assert truth is None
    else:
        assert truth is not None
        assert truth.dn_zyx.shape == (len(truth.z_um), side, side)


def test_capture_module_needs_numpy_and_h5py_alone() -> None:
    """Reconstruction runs on servers that have no camera, no pydantic and no window."""
    script = (
        "import sys, acquisition.capture\n"
        "heavy = {'pydantic', 'serial', 'torch', 'PySide6', 'pycromanager', 'tifffile'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, check=True)
    assert capture_module.SCHEMA == "fieldscope-capture"
