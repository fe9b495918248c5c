"""The reconstruction on a server that has torch, numpy and h5py, and nothing of the window or the instrument."""

from __future__ import annotations

import subprocess
import sys

IMPORT_ALL = """
import importlib, pkgutil, sys

for name in (
    "PySide6", "pyqtgraph", "pydantic", "scipy", "tifffile", "matplotlib", "platformdirs", "PIL", "typer", "rich",
    "serial", "pycromanager", "pymmcore", "gui",
):
    sys.modules[name] = None
import recon

for module in pkgutil.walk_packages(recon.__path__, "recon."):
    importlib.import_module(module.name)
assert "recon.render.render" in sys.modules and "recon.process" in sys.modules
"""


def test_every_module_is_imported_without_the_rest() -> None:
    ended = subprocess.run([sys.executable, "-c", IMPORT_ALL], capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr
