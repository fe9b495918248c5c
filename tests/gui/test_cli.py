"""The command line: answers at once, says what is wrong and what to do, and only JSON where that was asked for."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile

from acquisition.capture import CaptureHeader, CaptureWriter, Frame, Optics, read_capture
from acquisition.errors import OperatorError
from gui.cli.arguments import numbers, whole_numbers
from gui.commands.demo import SUMMARY_NAME, TITLE, prepare_folder
from gui.commands.output_file import check_output
from gui.field_names import free_field_name

ROOT = Path(__file__).parents[2]
COMMANDS = (
    "demo", "plan", "capture", "import", "check", "recover", "calibrate", "reconstruct", "export", "view", "info",
    "simulate-led",
)  # fmt: skip


def fieldscope(*arguments, folder=None):
    """Run the command line as an operator does, in a folder."""
    return subprocess.run(
        [sys.executable, "-m", "gui.cli", *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "dumb", "COLUMNS": "120"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def capture(tmp_path):
    """A capture of noise from 12 LEDs around the axis."""
    rng = np.random.default_rng(0)
    angle = np.arange(12) * 2 * np.pi / 12 + 0.1
    na = 0.5 * np.stack([np.cos(angle), np.sin(angle)], 1)
    header = CaptureHeader(
        optics=Optics(0.515, 0.65, 40, 6.5, 0.1625, 1.33, camera_offset=100),
        led_position_mm_l3=np.column_stack([-na * 60, np.full(12, 50.0)]),
        led_na_l2=na,
        patterns_pl=np.eye(12, dtype=np.float32),
        image_shape=(32, 48),
        sample="noise",
        sample_z_um=(-2.0, 2.0),
    )
    path = tmp_path / "noise.h5"
    with CaptureWriter(path, header) as writer:
        for number in range(12):
            image = rng.normal(2000, 20, (32, 48)).astype(np.uint16)
            writer.write_frame(Frame(number, number, image, exposure_ms=10.0))
        writer.finish("complete")
    return path


def test_help_is_quick_and_loads_nothing_heavy():
    code = (
        "import sys, runpy; sys.argv = ['fieldscope', '--help']\n"
        "try: runpy.run_module('gui.cli', run_name='__main__')\n"
        "except SystemExit as end: assert not end.code\n"
        "heavy = {'torch', 'PySide6', 'numpy', 'h5py', 'pycromanager', 'matplotlib', 'pydantic'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    times = []
    for _ in range(3):
        start = os.times()
        result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
        end = os.times()
        assert result.returncode == 0, result.stderr
        times.append(end.children_user + end.children_system - start.children_user - start.children_system)
    assert all(command in result.stdout for command in COMMANDS)
    assert min(times) < 0.5, f"--help took {min(times):.2f} s of CPU time"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(command):
    result = fieldscope(command, "--help")
    assert result.returncode == 0
    assert f"fieldscope {command}" in " ".join(result.stdout.split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["info", "missing.h5"], ["missing.h5", "Remedy"]),
        (["reconstruct", "missing.h5"], ["missing.h5", "Remedy"]),
        (["export", "missing.field.h5", "-o", "x.tif"], ["missing.field.h5", "Remedy"]),
        (["capture", "-p", "simulatd", "-o", "x.h5"], ["simulatd", "simulated"]),
        (["import", ".", "-p", "aidt_ring24", "-o", "x.h5"], ["Remedy"]),
        (["reconstruct", "a.h5", "--hold-out", "1,x"], ["--hold-out", "1,x"]),
        (["reconstruct", "a.h5", "--z", "5,-5"], ["--z", "smaller one first"]),
        (["reconstruct", "a.h5", "--model", "exact"], ["exact", "born"]),
        (["export", "a.field.h5", "-o", "x.tif", "--shape", "1,2"], ["--shape", "3 numbers"]),
        (["demo", "--out", "out", "-p", "aidt_ring24"], ["aidt_ring24", "simulat"]),
        (["--profile", "simulated", "capture", "-o", "x.h5"], ["--profile", "capture --help"]),
        (["reconstruct", "a.h5", "--z", "nan,5"], ["nan,5", "--z -6,6"]),
        (["reconstruct", "a.h5", "--max-seconds", "nan"], ["--max-seconds"]),
        (["reconstruct", "a.h5", "--max-seconds", "inf"], ["inf", "Remedy"]),
        (["info", "."], ["is a folder"]),
        (["check"], ["nothing to check", "--profile"]),
        (["check", "a.h5", "-p", "simulated"], ["both"]),
        (["check", "a.h5", "--all-leds"], ["for instruments"]),
        (["check", "-p", "simulatd"], ["simulatd", "simulated"]),
    ],
)
def test_mistakes_are_told_with_a_remedy(arguments, said, tmp_path):
    result = fieldscope(*arguments, folder=tmp_path)
    assert result.returncode == 2
    assert all(part in result.stderr for part in said), result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.iterdir()), "a refused command leaves nothing behind"


def test_info_of_a_capture_in_words_and_json(capture):
    words = fieldscope("info", capture)
    assert words.returncode == 0
    assert "complete" in words.stdout
    as_json = json.loads(fieldscope("info", capture, "--json").stdout)
    assert as_json["kind"] == "capture"
    assert (as_json["frames"], as_json["image_shape"], as_json["sample"]) == (12, [32, 48], "noise")
    assert as_json["patterns_without_frame"] == []


def test_info_of_a_profile():
    result = json.loads(fieldscope("info", "ht_idt_grid32", "--json").stdout)
    assert result["kind"] == "hardware profile"
    assert result["wavelength_um"] == 0.63


def test_info_of_something_else(tmp_path):
    (tmp_path / "notes.txt").write_text("cells look fine")
    result = fieldscope("info", tmp_path / "notes.txt")
    assert result.returncode == 2
    assert "notes.txt" in result.stderr


def test_info_of_a_truncated_capture(capture):
    capture.write_bytes(capture.read_bytes()[:3000])
    result = fieldscope("info", capture)
    assert result.returncode == 2
    assert "truncated" in result.stderr


def test_version_answers():
    assert fieldscope("--version").stdout.startswith("fieldscope ")


def test_measured_data_are_never_overwritten(capture, tmp_path):
    before = capture.read_bytes()
    other = tmp_path / "other.h5"
    shutil.copy(capture, other)
    for output in (capture, other):
        result = fieldscope("reconstruct", capture, "-o", output, "--overwrite")
        assert result.returncode == 2
        assert "Remedy" in result.stderr
        assert output.read_bytes() == before
    field = tmp_path / "a.field.h5"
    field.write_text("a field")
    linked = tmp_path / "link.tif"
    linked.symlink_to(field)
    with pytest.raises(OperatorError, match="made from"):
        check_output(linked, True, field)
    with pytest.raises(OperatorError, match="is a folder"):
        check_output(tmp_path, True, field)
    check_output(field, True, capture)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.field.h5", "link.tif", "noise.h5", "other.h5"]


def test_capture_refuses_a_taken_name_before_it_opens_the_devices(capture):
    result = fieldscope("capture", "-o", capture)
    assert result.returncode == 2
    assert "exists already" in result.stderr
    assert "LED board" not in result.stderr


SCAN_WITH_DEAD_BOARD = """
import sys
import acquisition.led_array.illuminate as illuminate
from acquisition.led_array.protocol import LedArrayError
real = illuminate.IlluminateBoard.off
def off(self):
    if sys._getframe(1).f_code.co_name in {callers}:
        raise LedArrayError("board silent", "unplug it")
    real(self)
illuminate.IlluminateBoard.off = off
sys.argv = ["fieldscope", "capture", "-o", "a.h5"]
from gui.cli import main
main()
"""


@pytest.mark.parametrize("callers", [("_scan",), ("_switch_off",)])
def test_leds_that_may_still_be_on_are_told(callers, tmp_path):
    result = subprocess.run(
        [sys.executable, "-c", SCAN_WITH_DEAD_BOARD.format(callers=callers)],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 2, result.stderr
    assert "may still be on" in result.stderr
    assert "unplug it" in result.stderr
    assert "LEDs off" not in result.stderr
    assert read_capture(tmp_path / "a.h5").status == "complete"


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no such signal here")
def test_a_terminal_that_goes_away_ends_the_scan_properly(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "gui.cli", "capture", "-o", "a.h5"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    heard = ""
    while "frames stored" not in heard and process.poll() is None:
        heard = process.stderr.readline()
    process.send_signal(signal.SIGHUP)
    _, rest = process.communicate(timeout=60)
    assert process.returncode == 130, rest
    assert "LEDs off" in rest
    assert read_capture(tmp_path / "a.h5").status == "aborted"


def test_reconstruct_and_export(capture, tmp_path):
    """Without -o the field lies in this folder; a second one gets a number; the volume has its physical sizes."""
    arguments = ("reconstruct", capture, "--max-seconds", "1", "--hold-out", "2,7", "--json")
    first = fieldscope(*arguments, folder=tmp_path)
    assert first.returncode == 0, first.stderr
    figures = json.loads(first.stdout)
    assert figures["held_out"] == [2, 7]
    assert figures["held_out_error"] > 0
    field = tmp_path / "noise.field.h5"
    assert field.is_file()
    assert json.loads(fieldscope(*arguments, folder=tmp_path).stdout)["field"] == "noise-2.field.h5"

    refused = fieldscope(*arguments, "-o", field)
    assert refused.returncode == 2
    assert "--overwrite" in refused.stderr

    volume = tmp_path / "noise.ome.tif"
    result = json.loads(fieldscope("export", field, "-o", volume, "--voxel-um", "0.5,0.2,0.2", "--json").stdout)
    with tifffile.TiffFile(volume) as tiff:
        assert tiff.is_ome
        data = tiff.asarray()
        description = tiff.ome_metadata
    assert data.dtype == np.float32
    assert list(data.shape[-3:]) == result["shape_zyx"]
    assert abs(data.reshape(-1, *data.shape[-3:])[0].mean() - 1.33) < 0.05
    for axis, size in zip("XYZ", result["voxel_um_xyz"], strict=True):
        assert f'PhysicalSize{axis}="{size}"' in description
    assert result["voxel_um_xyz"] == pytest.approx([0.2, 0.2, 0.5], rel=0.1)
    assert fieldscope("export", field, "-o", volume).returncode == 2

    about = json.loads(fieldscope("info", field, "--json").stdout)
    assert about["kind"] == "field"
    assert about["capture"] == "noise.h5"


def test_import_of_tiffs(tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    for number in range(24):
        tifffile.imwrite(images / f"img_{number}.tif", np.full((20, 30), 100 + number, np.uint16))
    result = fieldscope("import", images, "-p", "aidt_ring24", "-o", tmp_path / "ring.h5", "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["frames"] == 24
    assert json.loads(fieldscope("info", tmp_path / "ring.h5", "--json").stdout)["image_shape"] == [20, 30]


def test_window_starts_where_no_command_is_given(tmp_path):
    """The window opens, and goes with the signal that ends a program."""
    environment = {
        **os.environ, "PYTHONPATH": str(ROOT), "QT_QPA_PLATFORM": "offscreen",
        "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path),
    }  # fmt: skip
    output = tmp_path / "output.txt"
    with output.open("w") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", "gui.cli"], env=environment, stdout=sink, stderr=subprocess.STDOUT
        )
    try:
        deadline = time.monotonic() + 60
        log = None
        while process.poll() is None and time.monotonic() < deadline and not log:
            time.sleep(0.2)
            log = next(tmp_path.rglob("window.log"), None)
        assert process.poll() is None, output.read_text()
        assert log, "the window has not begun its log"
        time.sleep(3)
        assert process.poll() is None, output.read_text()
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert process.returncode == 0


@pytest.mark.parametrize(("text", "counts"), [("", ()), ("1,,2", ()), ("a", ()), ("1", (2,)), ("1,2,3", (2,))])
def test_numbers_that_are_none(text, counts):
    with pytest.raises(OperatorError, match="--z"):
        numbers(text, "--z", counts)


def test_numbers():
    assert numbers("-6,6.5", "--z", (2,)) == (-6.0, 6.5)
    assert whole_numbers("4, 13", "--hold-out") == (4, 13)
    with pytest.raises(OperatorError, match=r"0\.5"):
        whole_numbers("1,0.5", "--hold-out")
    with pytest.raises(OperatorError, match="from 1 on"):
        whole_numbers("4,0,4", "--shape", (3,), least=1)


def test_demo_folder_is_never_emptied_of_other_things(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(OperatorError, match="--overwrite"):
        prepare_folder(tmp_path, overwrite=False)
    prepare_folder(tmp_path, overwrite=True)
    (tmp_path / SUMMARY_NAME).write_text('{"first_volume_before_scan_end": true}')
    (tmp_path / "demo.png").touch()
    prepare_folder(tmp_path, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_demo_replaces_only_a_capture_of_a_demo(capture, tmp_path):
    mine = tmp_path / "capture.h5"
    capture.rename(mine)
    with pytest.raises(OperatorError, match="earlier demo"):
        prepare_folder(tmp_path, overwrite=True)
    with h5py.File(mine, "r+") as file:
        file["entry"].attrs["title"] = TITLE
    prepare_folder(tmp_path, overwrite=True)
    assert not mine.exists()


def test_field_names(tmp_path):
    assert free_field_name(Path("a/cells.h5.part"), tmp_path).name == "cells.field.h5"
    (tmp_path / "cells.field.h5").touch()
    assert free_field_name(Path("a/cells.h5"), tmp_path).name == "cells-2.field.h5"
