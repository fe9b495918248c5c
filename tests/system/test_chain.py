"""The whole way through the command line, on a small simulated microscope; and what a killed scan leaves behind."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from acquisition.profile import shipped_profiles
from tests.system.command_line import COMMAND, ENVIRONMENT, fieldscope


def told(*arguments, folder):
    """What a command says as JSON."""
    return json.loads(fieldscope(*arguments, "--json", folder=folder).stdout)


@pytest.fixture
def profile(tmp_path):
    """The simulated microscope with a small image of a thin sample."""
    text = shipped_profiles()["simulated"].read_text(encoding="utf-8")
    for old, new in (("image_px = 256", "image_px = 96"), ("z_um = [-6.0, 6.0]", "z_um = [-3.0, 3.0]")):
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "small.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_demo(profile, tmp_path):
    summary = told("demo", "--out", "demo", "-p", profile, "--max-seconds", 8, folder=tmp_path)
    for name in ("capture.h5", "cells.field.h5", "demo.png", "summary.json"):
        assert (tmp_path / "demo" / name).stat().st_size > 0
    assert (tmp_path / "demo" / "demo.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / "demo" / "summary.json").read_text()) == summary
    assert summary["frames"] == 33
    assert summary["correlation"] > 0.6
    assert summary["held_out_error"] < 0.6


def test_capture_info_reconstruct_export(profile, tmp_path):
    capture = told("capture", "-p", profile, "-o", "c.h5", "--sample", "yeast", folder=tmp_path)
    assert capture["frames"] == 33
    about = told("info", "c.h5", folder=tmp_path)
    assert (about["status"], about["frames"], about["sample"]) == ("complete", 33, "yeast")
    assert about["dark_frame"] is True
    assert about["truth"]
    fit = told(
        "reconstruct", "c.h5", "-o", "c.field.h5", "--max-seconds", 3, "--z", "-3,3", folder=tmp_path
    )
    assert fit["held_out_error"] < 0.9
    volume = told("export", "c.field.h5", "-o", "c.ome.tif", "--shape", "20,48,48", folder=tmp_path)
    assert volume["shape_zyx"] == [20, 48, 48]
    assert volume["index_range"][1] > 1.335


def start_scan(profile, folder, frames):
    """Start a scan of the whole default field and return the process once it has reported that many frames."""
    process = subprocess.Popen(
        [*COMMAND, "capture", "-p", profile, "-o", "killed.h5"], cwd=folder, env=ENVIRONMENT, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    reported, said = 0, []
    deadline = time.monotonic() + 90
    while reported < frames and time.monotonic() < deadline:
        line = process.stderr.readline()
        said.append(line)
        if found := re.search(r"(\d+) of \d+ frames stored", line):
            reported = int(found[1])
        if not line and process.poll() is not None:
            break
    assert reported >= frames, "".join(said)
    return process, reported


@pytest.fixture
def slow_profile(profile):
    """Exposures so long that a scan takes 15 s."""
    text = profile.read_text(encoding="utf-8")
    text, count = re.subn(r"(?m)^exposure_ms = 10\.0", "exposure_ms = 400.0", text)
    assert count == 1
    profile.write_text(text, encoding="utf-8")
    return profile


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_killed_scan_keeps_every_reported_frame(slow_profile, tmp_path):
    process, reported = start_scan(slow_profile, tmp_path, frames=12)
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    process.stderr.close()
    about = told("info", "killed.h5.part", folder=tmp_path)
    assert about["status"] == "running"
    dark_frames = 4
    assert about["frames"] >= reported - dark_frames
    fit = told("reconstruct", "killed.h5.part", "--max-seconds", 2, folder=tmp_path)
    assert Path(tmp_path, fit["field"]).is_file()
    assert fit["steps"] >= 1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_scan_ends_properly(slow_profile, tmp_path, number):
    process, reported = start_scan(slow_profile, tmp_path, frames=6)
    process.send_signal(number)
    rest = process.communicate(timeout=30)[1]
    assert process.returncode == 130
    assert "LEDs off" in rest
    assert "Traceback" not in rest
    about = told("info", "killed.h5", folder=tmp_path)
    assert about["status"] == "aborted"
    assert about["frames"] >= reported - 4
