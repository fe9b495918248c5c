"""The command line as the operator runs it: in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "2", "TERM": "dumb"}
COMMAND = (sys.executable, "-m", "gui.cli")


def fieldscope(*arguments, folder, code=0):
    """Run a command in a folder; it must end with this code."""
    result = subprocess.run(
        [*COMMAND, *map(str, arguments)], cwd=folder, env=ENVIRONMENT, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert result.returncode == code, result.stderr
    return result
