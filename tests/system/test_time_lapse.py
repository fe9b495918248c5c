"""A time-lapse at two positions through the command line, from the plan to a field for each scan."""

from __future__ import annotations

import json

import pytest

from acquisition.capture import read_capture
from recon import load_field
from tests.system.test_plans import fieldscope, folder  # noqa: F401  (a fixture)


@pytest.mark.usefixtures("folder")
def test_a_time_lapse_becomes_one_field_for_each_scan(tmp_path):
    (tmp_path / "wells.csv").write_text("name,x_um,y_um,z_um\nA1,0,0,0\nA2,3.25,0,0.5\n")
    lapse = ("--every", 0.5, "--count", 2, "--positions", "wells.csv", "--plan", "exposure_ms=2")
    done = fieldscope("capture", "-p", "small.toml", "-o", "c.h5", *lapse, "--json", folder=tmp_path)
    assert "scan 4 of 4" in done.stderr
    told = json.loads(done.stdout)
    assert [(visit["time_point"], visit["position"], visit["name"]) for visit in told["visits"]] == [
        (0, 0, "A1"), (0, 1, "A2"), (1, 0, "A1"), (1, 1, "A2"),
    ]  # fmt: skip
    assert told["visits"][2]["began_s"] >= told["visits"][2]["due_s"] == 0.5
    capture = read_capture(tmp_path / "c.h5")
    assert (capture.status, len(capture.images_nyx)) == ("complete", told["frames"])
    assert told["frames"] == 4 * told["patterns"]

    (tmp_path / "fields").mkdir()
    wanted = ("--all", "--position", 1, "--model", "born", "-o", "fields", "--max-seconds", 1, "--json")
    fields = json.loads(fieldscope("reconstruct", "c.h5", *wanted, folder=tmp_path).stdout)["fields"]
    assert [(field["time_point"], field["position"]) for field in fields] == [(0, 1), (1, 1)]
    for time_point, name in enumerate(("c-t0000-p1.field.h5", "c-t0001-p1.field.h5")):
        history = load_field(tmp_path / "fields" / name).history
        assert (history.capture_name, history.stage_um) == ("c.h5", (3.25, 0.0, 0.5))
        assert (history.time_point, history.position) == (time_point, 1)
    assert [field["started_from"] for field in fields] == [None, "c-t0000-p1.field.h5"]
    info = json.loads(fieldscope("info", "fields/c-t0001-p1.field.h5", "--json", folder=tmp_path).stdout)
    assert (info["time_point"], info["position"], info["stage_um"]) == (1, 1, [3.25, 0.0, 0.5])
    said = fieldscope("reconstruct", "c.h5", "--time-point", 7, folder=tmp_path, code=2).stderr
    assert "no frame of time point 7" in said
