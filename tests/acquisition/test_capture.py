"""The capture file is a contract: written here, read with bare h5py; written by others, read here."""

from __future__ import annotations

import pickle
import shutil
import subprocess
import sys
import threading
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acquisition import capture as capture_module
from acquisition.capture import (
    Calibration,
    CaptureError,
    CaptureHeader,
    CaptureWriter,
    Frame,
    Optics,
    Truth,
    part_path,
    read_capture,
    read_header,
    read_truth,
    sha256_of,
)

REPOSITORY = Path(__file__).parents[2]
OPTICS = Optics(0.515, 0.65, 40.0, 6.5, 0.1625, 1.33, camera_offset=100.0, camera_gain_e=4.0, bit_depth=12)


def make_header(leds: int = 4, shape: tuple[int, int] = (6, 8), **changes: object) -> CaptureHeader:
    rng = np.random.default_rng(leds)
    header = CaptureHeader(
        optics=OPTICS,
        led_position_mm_l3=rng.normal(size=(leds, 3)),
        led_na_l2=rng.uniform(-0.6, 0.6, (leds, 2)),
        patterns_pl=np.eye(leds, dtype=np.float32),
        image_shape=shape,
        profile_toml='name = "µ"\n',
        title="a title",
        sample="cheek cell, Größe 2",
        operator="someone",
        sample_z_um=(-6.0, 7.5),
    )
    return replace(header, **changes)


def make_frame(number: int, header: CaptureHeader) -> Frame:
    image = np.random.default_rng(number).integers(0, 65536, header.image_shape, dtype=np.uint16)
    return Frame(number, number % len(header.patterns_pl), image, 10.5, 0.03 * number, 0.25, time_point=number // 4)


def write_frames(path: Path, header: CaptureHeader, count: int) -> Path:
    with CaptureWriter(path, header) as writer:
        for number in range(count):
            writer.write_frame(make_frame(number, header))
        return writer.finish("complete")


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


# --- a scan that ends otherwise -------------------------------------------------------------------------------------


def test_file_has_its_name_only_when_the_scan_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "a.h5"
    with CaptureWriter(path, make_header()) as writer:
        assert not path.exists()
        assert part_path(path).exists()
        writer.finish("aborted")
        assert path.exists()
        assert not part_path(path).exists()
        assert writer.finish("complete") == path  # a second one changes nothing
    assert read_capture(path).status == "aborted"


def test_leaving_by_exception_leaves_a_readable_failed_capture(tmp_path: Path) -> None:
    header = make_header()
    with pytest.raises(ZeroDivisionError), CaptureWriter(tmp_path / "a.h5", header) as writer:
        writer.write_frame(make_frame(0, header))
        raise ZeroDivisionError
    capture = read_capture(tmp_path / "a.h5")
    assert (capture.status, len(capture.images_nyx)) == ("failed", 1)


def test_leaving_without_finish_is_an_abort(tmp_path: Path) -> None:
    with CaptureWriter(tmp_path / "a.h5", make_header()):
        pass
    capture = read_capture(tmp_path / "a.h5")
    assert (capture.status, len(capture.images_nyx)) == ("aborted", 0)


def test_a_running_scan_can_be_read_by_another_process(tmp_path: Path) -> None:
    header = make_header()
    script = (
        "import sys; from acquisition.capture import read_capture\n"
        "capture = read_capture(sys.argv[1]); print(capture.status, len(capture.images_nyx))"
    )
    with CaptureWriter(tmp_path / "a.h5", header) as writer:
        for number in range(3):
            writer.write_frame(make_frame(number, header))
        seen = subprocess.run(
            [sys.executable, "-c", script, part_path(tmp_path / "a.h5")],
            cwd=REPOSITORY, capture_output=True, text=True, check=True,
        )  # fmt: skip
    assert seen.stdout.split() == ["running", "3"]


WRITE_UNTIL_KILLED = """
import sys
from pathlib import Path
from tests.acquisition.test_capture import CaptureWriter, make_frame, make_header
header = make_header(shape=(256, 256))
with CaptureWriter(Path(sys.argv[1]), header) as writer:
    for number in range(10**6):
        writer.write_frame(make_frame(number, header))
        print(number, flush=True)
"""


@pytest.mark.parametrize("frames_before_kill", [1, 7, 40])
def test_kill_keeps_every_frame_reported_as_stored(tmp_path: Path, frames_before_kill: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", WRITE_UNTIL_KILLED, tmp_path / "a.h5"], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    reported = 0
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if len(lines) == frames_before_kill:
            # The pipe holds what was said before the end: killed at a moment nobody chose.
            threading.Timer(0.001 * frames_before_kill, process.kill).start()
    process.wait()
    process.stdout.close()
    reported = len(lines)
    assert reported >= frames_before_kill

    capture = read_capture(part_path(tmp_path / "a.h5"))
    assert capture.status == "running"
    assert reported <= len(capture.images_nyx) <= reported + 1
    header = make_header(shape=(256, 256))
    for number in range(reported):
        frame = make_frame(number, header)
        assert np.array_equal(capture.images_nyx[number], frame.image_yx)
        assert capture.pattern_n[number] == frame.pattern
    with pytest.raises(CaptureError, match="There is no capture") as error:
        read_capture(tmp_path / "a.h5")
    assert "a.h5.part" in error.value.remedy


def test_whole_frames_only(tmp_path: Path) -> None:
    path = write_frames(tmp_path / "a.h5", make_header(), 5)
    with h5py.File(path, "r+") as file:
        file["entry/data/images"].resize(7, axis=0)
        file["entry/data/pattern"].resize(6, axis=0)
    assert len(read_capture(path).images_nyx) == 5


def test_disk_has_the_frames_at_least_once_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(np.arange(0, 100, 0.3))
    monkeypatch.setattr(capture_module.time, "monotonic", lambda: float(now))
    header = make_header()
    now = next(clock)
    with CaptureWriter(tmp_path / "a.h5", header) as writer:
        synced_at: list[float] = []
        monkeypatch.setattr(capture_module.DiskFile, "sync", lambda disk: synced_at.append(now))
        for number in range(10):
            now = next(clock)
            writer.write_frame(make_frame(number, header))
        assert len(synced_at) >= 3
        assert np.diff(synced_at).max() <= 1.0
        writer.finish("complete")
        assert synced_at[-1] == now


# --- what can go wrong ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["", ".part"])
def test_nothing_is_overwritten(tmp_path: Path, suffix: str) -> None:
    there = tmp_path / f"a.h5{suffix}"
    there.write_bytes(b"precious")
    with pytest.raises(CaptureError, match="not overwritten") as error:
        CaptureWriter(tmp_path / "a.h5", make_header())
    assert error.value.remedy
    assert there.read_bytes() == b"precious"


def test_name_taken_during_the_scan(tmp_path: Path) -> None:
    writer = CaptureWriter(tmp_path / "a.h5", make_header())
    (tmp_path / "a.h5").write_bytes(b"precious")
    with pytest.raises(CaptureError, match="appeared during the scan"):
        writer.finish("complete")
    assert (tmp_path / "a.h5").read_bytes() == b"precious"
    assert read_capture(part_path(tmp_path / "a.h5")).status == "complete"


def test_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CaptureError, match="Cannot create"):
        CaptureWriter(tmp_path / "file" / "a.h5", make_header())


def test_full_disk_is_told_before_it_hurts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    header = make_header()
    with CaptureWriter(tmp_path / "a.h5", header) as writer:
        writer.write_frame(make_frame(0, header))
        usage = namedtuple("usage", "free")
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(3 << 20))
        with pytest.raises(CaptureError, match="full: 3 MiB free") as error:
            writer.write_frame(make_frame(1, header))
        assert "another disk" in error.value.remedy
        writer.finish("failed")
    assert len(read_capture(tmp_path / "a.h5").images_nyx) == 1


WRITE_UNTIL_FULL = """
import resource, signal, sys
from pathlib import Path
from tests.acquisition.test_capture import CaptureError, CaptureWriter, make_frame, make_header
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, 2 << 20))   # the kernel refuses to let files grow beyond
header = make_header(shape=(256, 256))
try:
    with CaptureWriter(Path(sys.argv[1]), header) as writer:
        for number in range(100):
            writer.write_frame(make_frame(number, header))
except CaptureError as error:
    print(writer.frames_written, error.message)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits of file sizes are POSIX")
def test_disk_that_refuses_leaves_the_frames_before(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WRITE_UNTIL_FULL, tmp_path / "a.h5"],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    stored = int(done.stdout.split()[0])
    assert "Cannot write frame to" in done.stdout
    assert f"{stored} frames are stored" in done.stdout
    left = [path for path in (tmp_path / "a.h5", part_path(tmp_path / "a.h5")) if path.exists()]
    assert len(left) == 1
    capture = read_capture(left[0])
    assert len(capture.images_nyx) >= stored > 5
    assert np.array_equal(capture.images_nyx[stored - 1], make_frame(stored - 1, capture.header).image_yx)


def test_frame_that_does_not_fit(tmp_path: Path) -> None:
    header = make_header()
    with CaptureWriter(tmp_path / "a.h5", header) as writer:
        frame = make_frame(0, header)
        with pytest.raises(ValueError, match=r"expected \(6, 8\) uint16"):
            writer.write_frame(replace(frame, image_yx=frame.image_yx[1:]))
        with pytest.raises(ValueError, match="float64, expected"):
            writer.write_frame(replace(frame, image_yx=frame.image_yx.astype(np.float64)))
        for pattern in (-1, 4):
            with pytest.raises(ValueError, match="expected 0 to 3"):
                writer.write_frame(replace(frame, pattern=pattern))
        writer.write_frame(frame)
    assert len(read_capture(tmp_path / "a.h5").images_nyx) == 1


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


def test_capture_module_needs_numpy_and_h5py_alone() -> None:
    """Reconstruction runs on servers that have no camera, no pydantic and no window."""
    script = (
        "import sys, acquisition.capture\n"
        "heavy = {'pydantic', 'serial', 'torch', 'PySide6', 'pycromanager', 'tifffile'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, check=True)
    assert capture_module.SCHEMA == "fieldscope-capture"
