"""The check of a capture finds what is wrong, tells what to do, and takes any file."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acquisition.capture import Calibration, CaptureError, CaptureWriter, part_path
from acquisition.capture_check import check_capture
from acquisition.finding import Level
from tests.acquisition.captures import make_frame, make_header

if TYPE_CHECKING:
    from pathlib import Path

    from acquisition.finding import Finding

PROFILE = "[camera.exposure_ms]\nmin = 1.0\nmax = 100.0\n"
SHAPE = (12, 16)


def write_good(path: Path, leds: int = 4) -> Path:
    header = make_header(leds, SHAPE, profile_toml=PROFILE)
    radius = np.linspace(0.1, 0.6, leds)
    header.led_na_l2[:] = np.stack([radius, np.zeros(leds)], axis=1)
    header.led_position_mm_l3[:, 2] = 60.0
    with CaptureWriter(path, header, frames_planned=leds) as writer:
        writer.write_dark(np.full(SHAPE, 99.5, np.float32), 10.5, 4)
        for number in range(leds):
            frame = make_frame(number, header)
            image = frame.image_yx % 4000
            fields = {name: getattr(frame, name) for name in ("index", "pattern", "exposure_ms", "host_time_s")}
            writer.write_frame(type(frame)(image_yx=image, **fields))
        writer.write_background(np.full((leds, *SHAPE), 900, np.float32))
        writer.write_calibration(Calibration(header.led_na_l2, np.ones(leds), 0.65, 0.1, "rims"))
        return writer.finish("complete")


def bad(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.name: finding for finding in findings if finding.level is not Level.OK}


def test_a_good_capture_has_nothing_to_complain_of(tmp_path: Path) -> None:
    findings = check_capture(write_good(tmp_path / "a.h5"))
    assert not bad(findings)
    assert {"file", "contract", "status", "frames", "patterns", "counts", "exposure", "times", "dark frame",
            "background", "optics", "LEDs", "calibration", "start time"} == {f.name for f in findings}  # fmt: skip


@pytest.mark.parametrize("name", ["algae/algae_left", "cases/cells", "cases/cells_misaligned", "cases/spheres"])
def test_shared_captures_have_no_error(shared_data: Path, name: str) -> None:
    findings = check_capture(shared_data / f"{name}.h5")
    assert set(bad(findings)) <= {"dark frame", "profile"}
    assert not [finding for finding in findings if finding.level is Level.ERROR]


def replace(path: str, value: Any) -> Any:
    def spoil(file: h5py.File) -> None:
        del file[path]
        if value is not None:
            file[path] = value

    return spoil


def change(path: str, place: Any, value: Any) -> Any:
    def spoil(file: h5py.File) -> None:
        file[path][place] = value

    return spoil


def attribute(path: str, name: str, value: Any) -> Any:
    def spoil(file: h5py.File) -> None:
        if value is None:
            del file[path].attrs[name]
        else:
            file[path].attrs[name] = value

    return spoil


def unfinished_frame(file: h5py.File) -> None:
    file["entry/data/images"].resize(5, axis=0)


def frame_twice(file: h5py.File) -> None:
    file["entry/data/images"][2] = file["entry/data/images"][1]


@pytest.mark.parametrize(
    ("spoil", "name", "level", "text"),
    [
        (replace("entry/data/images", None), "/entry/data/images", "error", "is missing"),
        (replace("entry/data/position", np.zeros(4)), "/entry/data/position", "error", "float64, expected int32"),
        (replace("entry/dark", np.zeros((3, 3), "f4")), "/entry/dark", "error", r"shape \(3, 3\), expected 12"),
        (replace("entry/illumination/led_na", np.zeros((3, 2))), "/entry/illumination/led_na", "error", "expected 4"),
        (replace("entry/status", 3), "/entry/status", "error", "expected text"),
        (attribute("entry/optics", "pixel_um", None), "/entry/optics", "error", "lacks the attributes pixel_um"),
        (attribute("entry", "start_time", "today"), "start time", "warning", "no ISO 8601 time"),
        (attribute("entry", "start_time", None), "/entry", "error", "lacks the attributes start_time"),
        (attribute("/", "schema_version", 7), "file", "error", "version 7"),
        (change("entry/status", 0, b"failed"), "status", "warning", "failed"),
        (change("entry/status", 0, b"running"), "status", "error", "was interrupted"),
        (change("entry/status", 0, b"odd"), "status", "error", "known are"),
        (attribute("entry", "frames_planned", 6), "frames", "error", "4 of 6 planned"),
        (unfinished_frame, "frames", "error", "images has 5"),
        (change("entry/data/pattern", 1, 4), "patterns of frames", "error", "frame 1: 4, 0 to 3 exist"),
        (change("entry/data/pattern", 1, 0), "patterns", "error", "1 of 4 have no frame: 1"),
        (change("entry/data/exposure_ms", 2, 200.0), "exposure", "error", "outside 1 to 100 ms, frame 2: 200 ms"),
        (change("entry/data/exposure_ms", 2, np.nan), "exposure", "error", "frame 2: nan"),
        (change("entry/data/host_time_s", 2, 0.0), "times", "error", "frame 2 is not later"),
        (change("entry/data/images", (1, slice(2)), 4095), "saturation", "warning", "frame 1: 16.7%|is not what"),
        (change("entry/data/saturated_fraction", 1, 0.5), "saturation", "warning", "is not what frames 1 show"),
        (change("entry/data/images", (1, 2, 3), 5000), "counts", "error", "frames 1 exceed 4095"),
        (change("entry/data/images", 3, 7), "counts", "error", "frames 3 have the same count"),
        (frame_twice, "counts", "error", "frames 2 are equal to the one before"),
        (attribute("entry/dark", "exposure_ms", 20.0), "dark frame", "warning", "exposed for 20 ms"),
        (attribute("entry/dark", "time", "2020-01-01T00:00:00+00:00"), "dark frame", "warning", "24 h is the limit"),
        (change("entry/dark", ..., 3500), "dark frame", "warning", "brighter"),
        (change("entry/background", 2, np.nan), "background", "error", "without light or without number"),
        (attribute("entry/optics", "wavelength_um", 515.0), "wavelength_um", "error", "0.2 to 2 is possible"),
        (attribute("entry/optics", "pixel_um", 6.5), "pixel_um", "warning", "magnification is 0.1625|aliases"),
        (attribute("entry/optics", "objective_na", 0.3), "LEDs out of NA", "warning", "2 of 4 lit LEDs"),
        (change("entry/illumination/led_na", 2, 1.2), "LED directions", "error", "LED 2: NA 1.697"),
        (change("entry/illumination/led_position_mm", 1, -1), "LED positions", "error", "LED 1 lies -1 mm"),
        (change("entry/illumination/patterns", (0, 0), 2), "patterns", "error", "from 0 to 2"),
        (change("entry/calibration/led_gain", 0, 0), "calibration", "error", "impossible"),
        (replace("entry/profile", "not = = toml"), "profile", "warning", "is not TOML"),
    ],
)  # fmt: skip
def test_faults(tmp_path: Path, spoil: Any, name: str, level: str, text: str) -> None:
    path = write_good(tmp_path / "a.h5")
    with h5py.File(path, "r+") as file:
        spoil(file)
    found = [finding for finding in check_capture(path) if finding.name == name and finding.level is not Level.OK]
    assert found, [f"{finding.name}: {finding.text}" for finding in check_capture(path)]
    assert found[0].level is Level(level)
    assert any(re.search(text, finding.text) for finding in found), found
    assert all(finding.remedy for finding in found)


def test_missing_parts_and_running_scans(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="no capture"):
        check_capture(tmp_path / "none.h5")
    header = make_header(shape=SHAPE)
    with CaptureWriter(tmp_path / "a.h5", header) as writer:
        writer.write_frame(make_frame(0, header))
        running = bad(check_capture(part_path(writer.path)))
        assert running["status"].text == "the scan still runs"
        assert running["patterns"].level is Level.WARNING


# --- any file ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_good(tmp_path_factory.mktemp("good") / "a.h5", leds=70)


@settings(max_examples=40)
@given(share=st.floats(0.0, 1.0, exclude_max=True))
def test_any_cut_is_found(good: Path, tmp_path_factory: pytest.TempPathFactory, share: float) -> None:
    cut = tmp_path_factory.mktemp("cut") / "a.h5"
    size = int(share * good.stat().st_size)
    cut.write_bytes(good.read_bytes()[:size])
    (finding,) = check_capture(cut)
    assert (finding.name, finding.level) == ("file", Level.ERROR)
    assert finding.remedy
    assert cut.stat().st_size == size


_VALUES = st.one_of(
    st.integers(-(2**31), 2**31 - 1), st.floats(), st.just("text"), st.binary(max_size=8), st.none(),
    st.lists(st.floats(), max_size=3),
)  # fmt: skip


@settings(max_examples=60)
@given(data=st.data())
def test_nothing_in_a_file_makes_the_check_fail(
    good: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("odd") / "a.h5"
    shutil.copy(good, path)
    with h5py.File(path, "r+") as file:
        names: list[str] = []
        file.visit(names.append)
        attributes = [(name, key) for name in ("/", *names) for key in file[name].attrs]
        if data.draw(st.booleans()):
            name, key = data.draw(st.sampled_from(attributes))
            value = data.draw(_VALUES)
            if value is None:
                del file[name].attrs[key]
            else:
                file[name].attrs[key] = np.void(value) if isinstance(value, bytes) and value else value or 0
        else:
            name = data.draw(st.sampled_from(names))
            del file[name]
            value = data.draw(_VALUES)
            if value is not None and not isinstance(value, bytes):
                file[name] = value
    before = path.read_bytes()
    findings = check_capture(path)
    assert findings
    assert all(finding.remedy for finding in findings if finding.level is not Level.OK)
    assert path.read_bytes() == before


def test_damage_inside_is_told_as_a_finding(good: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    shutil.copy(good, path)
    with h5py.File(path) as file:
        data = file["entry/data"]
        place = data.id.links.get_info(b"pattern").u
    with path.open("r+b") as raw:
        raw.seek(place)
        raw.write(b"\xff" * 16)
    assert any(finding.level is Level.ERROR for finding in check_capture(path))
