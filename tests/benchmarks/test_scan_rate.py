"""The scan's benchmark on thumbnails."""

from __future__ import annotations

import json

from acquisition.plan import Pace
from tests.benchmarks import scan_rate


def test_command_measures_every_way(tmp_path, capsys):
    out = tmp_path / "rate.json"
    scan_rate.main(f"--sizes 32 --exposures-ms 5 --frames 12 --rounds 1 --out {out}".split())
    rows = json.loads(out.read_text(encoding="utf-8"))["rows"]
    assert [row["way"] for row in rows] == [pace.value for pace in Pace]
    for row in rows:
        assert row["scan_ms"] > 0
        assert row["bare_ms"] > 4.9
    assert "begin_ms" in capsys.readouterr().out
