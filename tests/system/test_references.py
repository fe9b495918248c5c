"""The empty field through the command line: uneven light and dust, with and without it; exposures that are measured."""

from __future__ import annotations

import json

import numpy as np
import pytest

from acquisition.capture import read_capture, read_truth
from acquisition.profile import shipped_profiles
from recon import load_field
from tests.system.command_line import fieldscope


@pytest.fixture
def folder(tmp_path):
    """A folder with a small simulated microscope whose light is uneven and whose camera is dusty."""
    text = shipped_profiles()["simulated"].read_text(encoding="utf-8")
    for old, new in (
        ("image_px = 256", "image_px = 64"),
        ("shading = 0.0", "shading = 0.6"),
        ("dust = 0", "dust = 12"),
        ("z_um = [-6.0, 6.0]", "z_um = [-2.0, 2.0]"),
        ("bit_depth = 16", "bit_depth = 13"),
    ):
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "small.toml").write_text(text, encoding="utf-8")
    (tmp_path / "with.toml").write_text(text.replace("[plan]", '[plan]\nreference = "empty.h5"'), encoding="utf-8")
    return tmp_path


def correlation(field_path, capture_path):
    """Of the field's index with the truth, on the truth's own planes and pixels."""
    truth, field, pixel_um = read_truth(capture_path), load_field(field_path), 0.1625
    y_um, x_um = ((np.arange(side) - side // 2) * pixel_um for side in truth.dn_zyx.shape[1:])
    z, y, x = np.meshgrid(truth.z_um, y_um, x_um, indexing="ij")
    index = np.asarray(field.refractive_index(np.stack([x, y, z], -1).astype(np.float32)))
    return np.corrcoef(index.real.ravel(), truth.dn_zyx.ravel())[0, 1]


def test_an_empty_field_makes_up_for_uneven_light_and_dust(folder):
    said = fieldscope("reference", "-p", "small.toml", "-o", "empty.h5", folder=folder).stderr
    assert "not empty" not in said
    empty = read_capture(folder / "empty.h5")
    assert empty.header.is_reference
    assert np.bincount(empty.pattern_n).tolist() == [8] * 33
    fieldscope("capture", "-p", "small.toml", "-o", "plain.h5", folder=folder)
    (folder / "later.h5").write_bytes((folder / "plain.h5").read_bytes())
    # Another exposure, and LEDs in another order.
    options = ("--plan", "exposure_ms=15", "--plan", "order=board")
    told = fieldscope("capture", "-p", "with.toml", "-o", "flat.h5", *options, folder=folder).stderr
    assert "33 of 33 patterns were exposed otherwise in empty.h5" in told
    fieldscope("reference", "--apply", "empty.h5", "later.h5", folder=folder)
    for name in ("flat.h5", "later.h5"):
        capture = read_capture(folder / name)
        light = (capture.images_nyx - capture.dark_yx) / (capture.background_pyx[capture.pattern_n] - capture.dark_yx)
        assert np.median(light, axis=(1, 2)) == pytest.approx(1, abs=0.03)
    error, found = {}, {}
    for name in ("plain", "later"):
        fit = fieldscope("reconstruct", f"{name}.h5", "--model", "born", "--max-seconds", 3, "--json", folder=folder)
        error[name] = json.loads(fit.stdout)["held_out_error"]
        found[name] = correlation(folder / f"{name}.field.h5", folder / f"{name}.h5")
    assert error["later"] < 0.8 * error["plain"]
    assert found["later"] > found["plain"] + 0.02


def test_exposures_are_measured_and_what_does_not_fit_is_told_before_the_scan(folder):
    fieldscope("reference", "-p", "small.toml", "-o", "empty.h5", "--plan", "every=4", folder=folder)
    subset = ("--plan", "every=4", "--plan", "dark_frames=0", "--reference", "empty.h5")
    told = fieldscope(
        "capture", "-p", "small.toml", "-o", "c.h5", *subset, "--expose", "balanced", "--json", folder=folder
    )
    assert "Exposure: " in told.stderr
    assert "camera.offset_counts is subtracted instead" in told.stderr
    capture = read_capture(folder / "c.h5")
    assert capture.exposure_ms_n.tolist() != [10] * len(capture.images_nyx)
    peak = np.percentile(capture.images_nyx - 100.0, 99.9, axis=(1, 2))
    assert peak.max() == pytest.approx(0.7 * 7500, rel=0.15)  # where the sensor is full, below its counts
    assert capture.saturated_fraction_n.max() == 0
    whole = ("capture", "-p", "with.toml", "-o", "w.h5")
    assert "lacks 24 of the capture's 33 patterns" in fieldscope(*whole, folder=folder, code=2).stderr
    assert "There is no capture" in fieldscope(*whole, "--reference", "no.h5", folder=folder, code=2).stderr
    assert "not one of an empty field" in fieldscope(*whole, "--reference", "c.h5", folder=folder, code=2).stderr
    assert "Choose one of: auto, balanced" in fieldscope(*whole, "--expose", "best", folder=folder, code=2).stderr
    assert not list(folder.glob("w.h5*"))


def test_saturation_is_told_once_while_it_happens_and_by_the_reconstruction(folder):
    text = (folder / "small.toml").read_text().replace("full_well_e = 30000.0", "full_well_e = 60000.0")
    (folder / "deep.toml").write_text(text)
    options = ("--plan", "exposure_ms=60")
    told = fieldscope("capture", "-p", "deep.toml", "-o", "c.h5", *options, folder=folder).stderr
    assert 1 <= told.count("saturated, most of all pattern") <= 2
    assert "BAD  in the end 33 frames are saturated" in told
    failed = fieldscope("reconstruct", "c.h5", "--max-seconds", 2, folder=folder, code=2).stderr
    assert "All frames of the capture are saturated" in failed
