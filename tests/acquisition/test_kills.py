"""Killing a time-lapse at any moment loses no frame that was stored; many more: python -m tests.benchmarks.kills."""

from __future__ import annotations

import random
import signal
from typing import TYPE_CHECKING

import pytest

from tests.benchmarks.kills import kill_once

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_a_killed_time_lapse_keeps_every_frame_reported(tmp_path: Path) -> None:
    draw, reported = random.Random(), 0
    for number in range(6):
        folder = tmp_path / str(number)
        folder.mkdir()
        kill = kill_once(folder, draw.uniform(0.0, 1.5))
        assert (kill.lost, kill.lost_after, kill.unreadable) == (0, 0, ""), kill
        assert kill.reported <= kill.stored <= kill.reported + 1
        reported += kill.reported
    assert reported > 0
