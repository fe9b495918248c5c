"""`fieldscope calibrate`: what it says, what it stores, and that it never harms a capture."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from acquisition.board_pose import BoardPose
from acquisition.capture import Calibration, CaptureError, read_capture, replace_calibration
from acquisition.errors import OperatorError
from gui.cli import app
from gui.commands import orientation
from gui.commands.orientation import CANDIDATES, check_orientation
from tests.recon.simulate import SHORT_WAVES, Shot, photograph, rings

BOARD_NA = rings((1, 0.0), (6, 0.3), (12, 0.55))
MOVED = BoardPose((1.0, -0.8), 0.9, 1.02, SHORT_WAVES.objective_na)


@pytest.fixture(scope="module")
def shot() -> Shot:
    """Images of a moved board, with the nominal one in the header."""
    nominal = photograph("cells", shape=(8, 8), led_na_l2=BOARD_NA).header
    true_l2 = MOVED.led_na(nominal.led_position_mm_l3, BOARD_NA)
    return photograph("cells", 0.015, led_na_l2=true_l2, shape=(96, 96), seed=1).led_na_replaced(BOARD_NA)


@pytest.fixture
def capture(shot, tmp_path):
    return shot.write(tmp_path / "cells.h5")


@pytest.fixture
def noise(shot, tmp_path):
    rng = np.random.default_rng(0)
    counts = rng.normal(2000, 30, shot.counts_pyx.shape).astype(np.uint16)
    return Shot(shot.header, counts, shot.phantom).write(tmp_path / "noise.h5")


def fieldscope(*arguments):
    return CliRunner().invoke(app, [str(part) for part in arguments])


def everything_else(path):
    """All that a capture holds beside the calibration, as bytes."""
    held = {}

    def keep(name, part):
        if not name.startswith("entry/calibration"):
            value = part[()] if isinstance(part, h5py.Dataset) else None
            held[name] = (
                value.tobytes() if isinstance(value, np.ndarray) else value,
                {key: str(entry) for key, entry in part.attrs.items()},
            )

    with h5py.File(path, "r") as file:
        file.visititems(keep)
    return held


def test_stores_what_it_finds_and_nothing_else(capture, tmp_path):
    before = everything_else(capture)
    picture = tmp_path / "circles.png"
    result = fieldscope("calibrate", capture, "--picture", picture, "--json")
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout)
    assert figures["written"] and figures["trusted"]
    assert figures["parameters"]["shift_x_mm"]["nominal"] == 0
    assert figures["parameters"]["shift_x_mm"]["fitted"] == pytest.approx(1.0, abs=0.25)
    assert picture.read_bytes()[:4] == b"\x89PNG"
    assert everything_else(capture) == before
    found = read_capture(capture).calibration
    true_l2 = MOVED.led_na(read_capture(capture).header.led_position_mm_l3, BOARD_NA)
    assert np.abs(found.led_na_l2 - true_l2).max() < 0.5 * np.abs(BOARD_NA - true_l2).max()
    np.testing.assert_allclose(found.led_gain_l, 1, atol=0.1)
    assert found.objective_na == pytest.approx(figures["parameters"]["objective_na"]["fitted"], abs=1e-5)
    assert sorted(os.listdir(tmp_path)) == ["cells.h5", "circles.png"]
    words = fieldscope("info", capture)
    assert "rims of the discs" in words.stdout


def test_says_nominal_and_fitted(capture):
    words = fieldscope("calibrate", capture, "--dry-run").stdout
    line = next(line for line in words.splitlines() if line.startswith("distance scale"))
    assert "nominal 1" in line and "fitted 1.0" in line and "±" in line


def test_a_second_one_replaces_the_first(capture):
    replace_calibration(capture, Calibration(BOARD_NA, np.ones(19), 0.6, 0.5, "first"))
    replace_calibration(capture, Calibration(2 * BOARD_NA, np.ones(19), 0.7, 0.4, "second"))
    found = read_capture(capture).calibration
    assert (found.method, found.objective_na) == ("second", 0.7)
    np.testing.assert_array_equal(found.led_na_l2, 2 * BOARD_NA)


def test_dry_run_writes_nothing(capture):
    before = capture.read_bytes()
    assert fieldscope("calibrate", capture, "--dry-run").exit_code == 0
    assert capture.read_bytes() == before


def test_without_trust_nothing_is_written_unless_forced(noise):
    before = noise.read_bytes()
    result = fieldscope("calibrate", noise)
    assert isinstance(result.exception, OperatorError)
    assert "too weak" in str(result.exception) and "--force" in result.exception.remedy
    assert noise.read_bytes() == before
    assert fieldscope("calibrate", noise, "--force").exit_code == 0
    assert read_capture(noise).calibration is not None


def test_a_write_protected_capture_is_refused_at_once(capture):
    capture.chmod(0o444)
    before = capture.read_bytes()
    result = fieldscope("calibrate", capture)
    assert isinstance(result.exception, OperatorError) and "Copy" in result.exception.remedy
    assert capture.read_bytes() == before
    assert fieldscope("calibrate", capture, "--dry-run").exit_code == 0


def test_a_scan_that_runs_is_refused(capture):
    with h5py.File(capture, "r+") as file:
        file["entry/status"][0] = b"running"
    with pytest.raises(CaptureError, match="runs"):
        replace_calibration(capture, Calibration(BOARD_NA, np.ones(19), 0.65, 0.1, "x"))


def test_a_full_disk_leaves_the_capture(capture, monkeypatch):
    before = capture.read_bytes()

    def full(source, target):
        target.write_bytes(source.read_bytes()[:1000])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copy2", full)
    with pytest.raises(CaptureError, match="No space left"):
        replace_calibration(capture, Calibration(BOARD_NA, np.ones(19), 0.65, 0.1, "x"))
    assert capture.read_bytes() == before
    assert not list(capture.parent.glob("*.changing"))


def test_killed_at_any_moment_the_capture_is_whole(capture):
    before = everything_else(capture)
    code = (
        "import sys, numpy as np\n"
        "from pathlib import Path\n"
        "from acquisition.capture import Calibration, replace_calibration\n"
        "print('ready', flush=True)\n"
        "number = 0\n"
        "while True:\n"
        "    number += 1\n"
        "    replace_calibration(Path(sys.argv[1]), Calibration(np.zeros((19, 2)), np.ones(19), 0.65, number, 'x'))\n"
    )
    rng = np.random.default_rng(0)
    for _ in range(4):
        with subprocess.Popen([sys.executable, "-c", code, str(capture)], stdout=subprocess.PIPE) as writer:
            writer.stdout.readline()
            time.sleep(0.05 + 0.1 * rng.random())
            writer.send_signal(signal.SIGKILL)
        assert everything_else(capture) == before
        found = read_capture(capture).calibration
        assert found is None or found.method == "x"


def test_orientation_finds_a_turned_board(tmp_path):
    right = photograph("cells", dn_max=0.012)
    turned = right.led_na_replaced(-right.header.led_na_l2).write(tmp_path / "turned.h5")
    figures = check_orientation(turned, "cpu")
    print(figures)
    assert set(figures["held_out_error"]) == set(figures["skewness"]) == set(CANDIDATES)
    assert figures["best"] == "turned by 180 degrees" and figures["clear"]
    assert "180" in figures["profile"]


@pytest.mark.parametrize(
    ("name", "factors", "best"),
    [
        ("algae/algae_left.h5", (-1, -1), "turned by 180 degrees"),  # the volume is not symmetric: it predicts worse
        ("cases/cells_misaligned.h5", (-1, 1), "mirrored in x"),
    ],
)
def test_orientation_decides_on_known_captures(shared_data, tmp_path, monkeypatch, name, factors, best):
    read = orientation.read_capture

    def mirrored(path, **choice):
        capture = read(path, **choice)
        return replace(capture, header=replace(capture.header, led_na_l2=capture.header.led_na_l2 * np.array(factors)))

    monkeypatch.setattr(orientation, "read_capture", mirrored)
    figures = check_orientation(shared_data / name, "cpu")
    print(figures)
    assert (figures["best"], figures["clear"]) == (best, True)


def test_orientation_is_not_guessed_from_noise(noise):
    assert not check_orientation(noise, "cpu")["clear"]


def test_orientation_draws_and_stores_nothing(capture, tmp_path):
    result = fieldscope("calibrate", capture, "--orientation", "--picture", tmp_path / "a.png")
    assert isinstance(result.exception, OperatorError)
