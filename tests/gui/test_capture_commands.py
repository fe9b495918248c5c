"""Checking, recovering, exporting and importing captures as an operator does it: through the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from acquisition.capture import part_path, read_capture
from tests.gui.test_cli import fieldscope

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a capture of the simulated microscope, cells.h5."""
    folder = tmp_path_factory.mktemp("captures")
    result = fieldscope("capture", "-o", "cells.h5", folder=folder)
    assert result.returncode == 0, result.stderr
    return folder


def test_from_capture_to_images_and_back(folder: Path) -> None:
    """Captured, checked, exported, imported: the same measurement."""
    checked = fieldscope("check", "cells.h5", folder=folder)
    assert checked.returncode == 0, checked.stdout
    assert "0 errors, 0 warnings" in checked.stdout
    exported = fieldscope("export", "cells.h5", "-o", "images", "--json", folder=folder)
    assert json.loads(exported.stdout)["frames"] == 33
    imported = fieldscope(
        "import", "images", "--order", "images/frames.csv", "--dark", "images/dark", "-p", "images/profile.toml",
        "-o", "back.h5", "--json", folder=folder,
    )  # fmt: skip
    assert imported.returncode == 0, imported.stderr
    assert json.loads(imported.stdout)["frames"] == 33
    one, other = read_capture(folder / "cells.h5"), read_capture(folder / "back.h5")
    assert np.array_equal(one.images_nyx, other.images_nyx)
    lit = [capture.header.patterns_pl[capture.pattern_n].argmax(axis=1) for capture in (one, other)]
    assert np.array_equal(*lit)
    assert np.array_equal(one.exposure_ms_n, other.exposure_ms_n)
    assert np.array_equal(one.host_time_s_n, other.host_time_s_n)
    assert one.header.optics == other.header.optics
    assert one.dark_yx is not None
    assert other.dark_yx is not None
    assert np.array_equal(one.dark_yx, other.dark_yx)
    by_name = fieldscope(
        "import", "images", "--names", "frame_*_led_{led}.tif", "-p", "simulated", "-o", "named.h5", folder=folder
    )
    assert by_name.returncode == 0, by_name.stderr
    assert read_capture(folder / "named.h5").images_nyx.sum() == one.images_nyx.sum()


def test_compressed_copy(folder: Path) -> None:
    result = json.loads(fieldscope("export", "cells.h5", "-o", "copy.h5", "--json", folder=folder).stdout)
    assert result["verified"]
    assert result["share_of_original"] < 0.8
    assert fieldscope("check", "copy.h5", folder=folder).returncode == 0
    again = fieldscope("export", "cells.h5", "-o", "copy.h5", "--overwrite", folder=folder)
    assert again.returncode == 2
    assert "never overwritten" in again.stderr


@pytest.fixture
def killed(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    """Folder with what a killed scan left, and how many frames it had told of."""
    process = subprocess.Popen(
        [sys.executable, "-m", "gui.cli", "capture", "-o", "cells.h5"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "dumb"}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    told = 0
    for line in process.stderr:
        if "frames stored" in line:
            told = int(line.split("scan:")[1].split()[0])
            if told > 8:
                busy = fieldscope("recover", "cells.h5.part", folder=tmp_path)
                assert busy.returncode == 2
                assert "in use" in busy.stderr
                process.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
                break
    process.stderr.read()
    process.wait()
    process.stderr.close()
    yield tmp_path, told - 4  # dark frames are told of as well


def test_a_killed_scan_is_recovered(killed: tuple[Path, int]) -> None:
    folder, told = killed
    checked = fieldscope("check", "cells.h5.part", folder=folder)
    assert checked.returncode == 1
    assert "fieldscope recover" in " ".join(checked.stdout.split())
    result = fieldscope("recover", folder=folder)
    assert result.returncode == 0, result.stderr
    assert "frames saved, status aborted" in result.stdout
    capture = read_capture(folder / "cells.h5")
    assert len(capture.images_nyx) >= told
    assert not part_path(folder / "cells.h5").exists()
    after = json.loads(fieldscope("check", "cells.h5", "--json", folder=folder).stdout)
    assert after["ok"]
    assert {f["name"] for f in after["findings"] if f["level"] == "warning"} == {"status", "frames", "patterns"}


def test_a_folder_of_several(folder: Path, tmp_path: Path) -> None:
    whole = (folder / "cells.h5").read_bytes()
    (tmp_path / "a.h5.part").write_bytes(whole[: len(whole) - 100_000])
    (tmp_path / "b.h5.part").write_bytes(b"nothing")
    result = json.loads(fieldscope("recover", "--json", folder=tmp_path).stdout)
    (one,) = result["recovered"]
    assert 20 < one["frames_saved"] < 33
    assert one["frames_saved"] + one["frames_lost"] == 33
    assert one["kept"] == "a.h5.damaged"
    assert [other["file"] for other in result["not_recovered"]] == ["b.h5.part"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.h5", "a.h5.damaged", "b.h5.part"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["check", "missing.h5"], "no capture"),
        (["recover", "missing.h5.part"], "no file"),
        (["recover", "."], "holds no NAME.h5.part"),
        (["recover", ".", "-o", "x.h5"], "names one file"),
        (["import", "missing", "-p", "simulated", "-o", "x.h5"], "no folder or file"),
        (["import", "missing.mat", "-p", "simulated", "-o", "x.h5"], "no folder or file"),
        (["export", "x.field.h5", "-o", "x.tif", "--compression", "gzip"], "copies of captures"),
    ],
)
def test_mistakes_are_told_with_a_remedy(arguments: list[str], said: str, tmp_path: Path) -> None:
    result = fieldscope(*arguments, folder=tmp_path)
    assert result.returncode == 2
    assert said in result.stderr
    assert "Remedy" in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["-o", "x.tif"], "a capture has many"),
        (["-o", "x.h5", "--compression", "zip"], "no compression 'zip'"),
        (["-o", "x", "--shape", "1,2,3"], "has no voxels"),
    ],
)
def test_exports_of_a_capture_that_are_refused(folder: Path, options: list[str], said: str) -> None:
    result = fieldscope("export", "cells.h5", *options, folder=folder)
    assert result.returncode == 2
    assert said in result.stderr
    assert not list(folder.glob("x*"))
