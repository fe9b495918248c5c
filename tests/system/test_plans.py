"""Every kind of plan through the command line on a small simulated microscope: written, readable, reconstructed."""

from __future__ import annotations

import json

import numpy as np
import pytest

from acquisition.capture import read_capture
from acquisition.profile import shipped_profiles
from tests.system.command_line import fieldscope

KINDS = {
    "dpc": ("exposure_ms=1",),
    "multiplexed": ("exposure_ms=4", "na_max=0.8", "darkfield_exposure_ms=40"),
    "darkfield": ("rings=1", "exposure_ms=20"),
    "annular": ("na_min=0.5", "na_max=0.8", "every=3"),
    "subset": ("leds=3,1,20", "repeats=2"),
    "list": ("file=list.csv",),
}


@pytest.fixture
def folder(tmp_path):
    """A folder with a small simulated microscope that has a ring in dark field, and a list of patterns."""
    text = shipped_profiles()["simulated"].read_text(encoding="utf-8")
    for old, new in (
        ("image_px = 256", "image_px = 64"),
        ("z_um = [-6.0, 6.0]", "z_um = [-2.0, 2.0]"),
        ("count = 1, na = 0.0 },", "count = 1, na = 0.0 },\n    { count = 12, na = 0.75, start_deg = 5.0 },"),
    ):
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "small.toml").write_text(text, encoding="utf-8")
    (tmp_path / "list.csv").write_text("pattern,led,brightness,exposure_ms\na,0,1,10\na,5,0.5,\nb,8,1,5\nc,32,1,\n")
    return tmp_path


@pytest.mark.parametrize("kind", KINDS)
def test_captures_are_what_was_planned(kind, folder):
    options = [part for entry in (f"kind={kind}", *KINDS[kind]) for part in ("--plan", entry)]
    planned = json.loads(fieldscope("plan", "-p", "small.toml", *options, "--json", folder=folder).stdout)
    done = fieldscope("capture", "-p", "small.toml", "-o", "c.h5", *options, "--json", folder=folder)
    for line in planned["estimate"]["lines"]:
        assert line in done.stderr, "the estimate is told before the start"
    assert done.stderr.index(planned["estimate"]["lines"][0]) < done.stderr.index("frames stored")
    capture = read_capture(folder / "c.h5")
    assert capture.status == "complete"
    assert capture.pattern_n.tolist() == [pattern for pattern in planned["order"] if pattern >= 0]
    assert planned["estimate"]["frames"] == len(capture.images_nyx)
    assert planned["estimate"]["file_bytes"] == pytest.approx((folder / "c.h5").stat().st_size, rel=0.05)
    exposure_ms = {row["pattern"]: row["exposure_ms"] for row in planned["patterns"]}
    assert capture.exposure_ms_n.tolist() == [exposure_ms[pattern] for pattern in capture.pattern_n.tolist()]
    for row in planned["patterns"]:
        assert np.flatnonzero(capture.header.patterns_pl[row["pattern"]]).tolist() == row["leds"]
    assert capture.saturated_fraction_n.max() < 0.01
    assert (capture.images_nyx.mean(axis=(1, 2)) > capture.header.optics.camera_offset).all()


def test_multiplexed_patterns_are_reconstructed(folder):
    options = ("--plan", "kind=multiplexed", "--plan", "exposure_ms=4", "--plan", "patterns=12")
    fieldscope("capture", "-p", "small.toml", "-o", "c.h5", *options, folder=folder)
    fit = json.loads(fieldscope("reconstruct", "c.h5", "--max-seconds", 3, "--json", folder=folder).stdout)
    assert (folder / "c.field.h5").is_file()
    assert fit["steps"] > 1
    assert fit["held_out_error"] < 0.9


def test_wishes_that_cannot_be_leave_nothing_behind(folder):
    before = sorted(folder.iterdir())
    for options, said in (
        (("--plan", "kind=dcp"), "did you mean 'dpc'?"),
        (("--plan", "kind=annular", "--plan", "na_min=0.8", "--plan", "na_max=0.9"), "No LED of 45"),
        (("--positions", "none.csv"), "none.csv cannot be read"),
    ):
        assert said in fieldscope("capture", "-p", "small.toml", "-o", "c.h5", *options, folder=folder, code=2).stderr
    assert sorted(folder.iterdir()) == before
