"""The camera's benchmark on thumbnails."""

from __future__ import annotations

import json

from tests.benchmarks import camera_rate


def test_command_compares_both_ways(tmp_path, capsys):
    out = tmp_path / "rate.json"
    camera_rate.main(f"--sizes 64 --exposures-ms 1 --seconds 0.05 --rounds 1 --out {out}".split())
    rows = json.loads(out.read_text(encoding="utf-8"))["rows"]
    assert [row["way"] for row in rows] == ["snap", "sequence"]
    for row in rows:
        assert 0 < row["own_per_s"] < 1000
        assert row["over_exposure_ms"] > -0.1
    assert "own_per_s" in capsys.readouterr().out
