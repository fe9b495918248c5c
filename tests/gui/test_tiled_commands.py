"""Commands with images that are reconstructed in tiles: one field comes out, and the others take it as any."""

from __future__ import annotations

import json

import pytest
import tifffile

from gui.commands.describe import describe
from gui.commands.export import export
from gui.commands.export_look import LookOptions
from gui.export.job import Region
from tests.gui.test_cli import fieldscope
from tests.recon.simulate import photograph


def test_reconstruct_info_and_export(tmp_path):
    capture = photograph("cells", dn_max=0.012, shape=(80, 96)).write(tmp_path / "wide.h5", calibrated=True)
    done = fieldscope(
        "reconstruct", capture, "--tile", 64, "--model", "born", "--max-seconds", 2, "--json", folder=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "4 tiles of 64 x 64" in done.stderr and "tile 4 of 4" in done.stderr
    figures = json.loads(done.stdout)
    assert 0 < figures["held_out_error"] < 1
    field = tmp_path / "wide.field.h5"
    told = describe(field)
    assert told["kind"] == "field" and told["model"] == "born" and told["capture"] == "wide.h5"
    assert told["parameter_bytes"] > 10**5
    assert told["upper_corner_um"][0] - told["lower_corner_um"][0] == pytest.approx(96 * 0.1625, abs=1e-3)
    exported = export((field,), tmp_path / "wide.ome.tif", "ome-tiff", Region(), False, LookOptions(), False)
    assert exported["shape_zyx"][1:] == [80, 96]
    assert tifffile.imread(tmp_path / "wide.ome.tif").shape[-2:] == (80, 96)


def test_tiles_that_are_too_small(tmp_path):
    capture = photograph("cells", dn_max=0.012, shape=(64, 64)).write(tmp_path / "a.h5")
    done = fieldscope("reconstruct", capture, "--tile", 8, folder=tmp_path)
    assert done.returncode == 2
    assert "48 is the least" in done.stderr
