"""The benchmark of time-lapses on thumbnails."""

from __future__ import annotations

import json

from tests.benchmarks import time_lapse


def test_command_compares_both_ways_to_begin(tmp_path, capsys):
    out = tmp_path / "lapse.json"
    time_lapse.main(f"--pixels 64 --drifts 0 --max-seconds 0.5 --out {out}".split())
    (row,) = json.loads(out.read_text(encoding="utf-8"))["rows"]
    assert row["start_error_warm"] < row["start_error_cold"]
    assert "factor" in capsys.readouterr().out
