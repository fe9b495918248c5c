"""A tour of the real window with the simulated instrument and the real reconstruction process, driven by the mouse.

Connect, acquire, see slices before the scan has ended, zoom by 20, cancel, acquire again, close while fitting.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from acquisition.capture import read_capture
from acquisition.profile import shipped_profiles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MISSING = [tool for tool in ("Xvfb", "xdotool", "import") if shutil.which(tool) is None]
PICTURES = os.environ.get("FIELDSCOPE_TOUR_PICTURES")
"""Folder for screenshots; without it none are kept."""

pytestmark = [
    pytest.mark.skipif(bool(MISSING), reason=f"apt install xvfb xdotool imagemagick ({', '.join(MISSING)} missing)"),
    pytest.mark.timeout(400),
]


@pytest.fixture
def display() -> Iterator[str]:
    """An X server of its own on a free display."""
    reading, writing = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writing), "-screen", "0", "1400x900x24", "-nolisten", "tcp"],
        pass_fds=[writing],
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    with os.fdopen(reading) as answer:
        number = answer.readline().strip()
    yield f":{number}"
    server.terminate()
    server.wait()


class Tour:
    """The running window: what it says, and a mouse."""

    def __init__(self, display: str, folder: Path, profile: Path) -> None:
        self.folder = folder
        self.state_file = folder / "state.json"
        self.environment = {
            **os.environ,
            "DISPLAY": display,
            "QT_QPA_PLATFORM": "xcb",
            "HOME": str(folder),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "XDG_STATE_HOME": str(folder / "state"),
            "XDG_DOCUMENTS_DIR": str(folder / "documents"),
            "OMP_NUM_THREADS": "1",
        }
        self.stderr = (folder / "stderr.txt").open("wb")
        app = Path(__file__).with_name("tour_app.py")
        self.process = subprocess.Popen(
            [sys.executable, str(app), str(self.state_file), "--profile", str(profile)],
            env=self.environment,
            stderr=self.stderr,
            cwd=folder,
        )

    def state(self) -> dict[str, Any]:
        return dict(json.loads(self.state_file.read_text())) if self.state_file.exists() else {}

    def wait_for(self, what: str, is_so: Callable[[dict[str, Any]], bool], timeout_s: float) -> dict[str, Any]:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            state = self.state()
            if state and is_so(state):
                return state
            assert self.process.poll() is None, f"the window ended: {(self.folder / 'stderr.txt').read_text()}"
            time.sleep(0.05)
        raise AssertionError(f"not within {timeout_s} s: {what}; the window says {self.state()}")

    def xdotool(self, *arguments: object) -> str:
        command = ["xdotool", *map(str, arguments)]
        return subprocess.run(command, env=self.environment, check=True, capture_output=True, text=True).stdout

    def click(self, button: str) -> None:
        state = self.wait_for(f"{button} can be clicked", lambda state: button in state["buttons"], 20)
        self.xdotool("mousemove", *state["buttons"][button], "sleep", 0.1, "click", 1)

    def picture(self, name: str) -> Path:
        path = Path(PICTURES or self.folder) / f"{name}.png"
        subprocess.run(["import", "-window", "root", str(path)], env=self.environment, check=True)
        return path

    def descendants(self) -> set[int]:
        """Process ids below the window's."""
        parents: dict[int, int] = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                except OSError:
                    continue
        found = {self.process.pid}
        while more := {child for child, parent in parents.items() if parent in found} - found:
            found |= more
        return found - {self.process.pid}


@pytest.fixture
def tour(display: str, tmp_path: Path) -> Iterator[Tour]:
    """The window with a slow simulated scan of a small image."""
    text = shipped_profiles()["simulated"].read_text(encoding="utf-8")
    lines = []
    for line in text.splitlines():
        key = line.split("=")[0].strip()
        lines.append({"settle_ms": "settle_ms = 500.0", "image_px": "image_px = 128"}.get(key, line))
    profile = tmp_path / "tour.toml"
    profile.write_text("\n".join(lines), encoding="utf-8")
    tour = Tour(display, tmp_path, profile)
    yield tour
    if tour.process.poll() is None:
        tour.process.kill()
    tour.process.wait()
    tour.stderr.close()


def test_tour(tour: Tour) -> None:
    tour.wait_for("reconstruction process ready", lambda state: state["fit"] == "ready", 60)
    tour.picture("1-start")
    tour.click("connect_button")
    tour.wait_for("connected", lambda state: state["instrument"] == "connected", 40)
    tour.wait_for("live image", lambda state: state["camera"] == "live", 30)
    tour.picture("2-live")

    tour.click("start_scan_button")
    tour.wait_for("scanning", lambda state: state["scanning"], 10)
    tour.wait_for("slices before the scan has ended", lambda state: state["slices"] and state["scanning"], 60)
    tour.picture("3-slices-while-scanning")

    x, y = tour.state()["xy"]
    tour.xdotool("mousemove", x, y, "click", "--repeat", 18, "--delay", 15, 4)
    state = tour.wait_for("zoomed", lambda state: state["zoom"] > 20 and state["sharp"], 30)
    (left, right), (top, bottom) = state["range"]
    rows, columns = state["shape"]
    assert (right - left) / columns == pytest.approx((bottom - top) / rows, rel=0.01)
    assert columns > 300, "evaluated at the screen's pixels"
    tour.picture("4-zoomed")

    tour.click("cancel_scan_button")
    state = tour.wait_for("cancelled", lambda state: not state["scanning"], 20)
    assert state["acquire"].startswith("cancelled")
    tour.wait_for("fit ended", lambda state: not state["fitting"], 30)
    tour.picture("5-cancelled")

    time.sleep(1.1)  # file names count seconds
    tour.click("start_scan_button")
    tour.wait_for("second scan", lambda state: state["scanning"], 10)
    tour.wait_for("second scan complete", lambda state: not state["scanning"], 90)
    tour.wait_for("fitting", lambda state: state["fitting"] and state["detail"].startswith("step"), 90)
    tour.wait_for("live again", lambda state: state["camera"] == "live", 20)
    state = tour.state()
    assert state["message"] == ""
    assert not state["torch"], "the window's process never loads torch, not even to unpickle a message"
    print(f"longest gap of the window's event loop {state['longest_gap_ms']:.0f} ms")
    tour.picture("6-fitting")

    children = tour.descendants()
    assert children, "the reconstruction runs in a process of its own"
    window = tour.xdotool("search", "--onlyvisible", "--name", "Fieldscope").split()[-1]
    closed_s = time.monotonic()
    tour.xdotool("windowfocus", window, "sleep", 0.2, "key", "--clearmodifiers", "ctrl+q")
    tour.wait_for("asked, for the volume is not saved", lambda state: "leave_quit" in state["buttons"], 10)
    tour.picture("7-asked")
    tour.click("leave_quit")
    assert tour.process.wait(20) == 0
    print(f"ended {time.monotonic() - closed_s:.1f} s after Ctrl+Q")
    children_end_s = time.monotonic() + 3  # the tracker of shared memory outlives its parent by a moment
    while any(Path(f"/proc/{pid}").exists() for pid in children) and time.monotonic() < children_end_s:
        time.sleep(0.05)
    assert [pid for pid in children if Path(f"/proc/{pid}").exists()] == []
    assert (tour.folder / "stderr.txt").read_text() == ""

    fields = sorted(tour.folder.rglob("*.field.h5"))
    first, second = sorted(set(tour.folder.rglob("2*.h5")) - set(fields))
    assert [field.name for field in fields] == [f"{first.stem}.field.h5"], "only the first fit has finished"
    assert read_capture(first).header.image_shape == (128, 128)
    assert read_capture(first).status == "aborted"
    assert 8 <= len(read_capture(first).images_nyx) < 33
    assert read_capture(second).status == "complete"
    assert len(read_capture(second).images_nyx) == 33
    assert not list(tour.folder.rglob("*.part"))
    assert np.all(read_capture(second).images_nyx.std(axis=(1, 2)) > 0)
