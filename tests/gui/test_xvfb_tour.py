"""A tour of the real window with the simulated instrument and the real reconstruction process, driven by the mouse.

Connect, acquire, see slices before the scan has ended, zoom by 20, cancel; turn the oblique slice, measure, every mode
of the volume, lights, export; all again in the light theme; save, open what was saved, acquire again, close while
fitting.
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
TASKS = ("INSTRUMENT", "ACQUIRE", "RECONSTRUCT", "VIEW")
MODES = ("composite", "surface", "mip", "minip", "phase")
SAVED = "kept.field.h5"
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

    def keys(self, *keys: str, window: str = "Fieldscope") -> None:
        """Press keys in a window; there is no window manager to give it the keyboard."""
        found = self.xdotool("search", "--onlyvisible", "--name", window).split()[-1]
        self.xdotool("windowfocus", "--sync", found, "key", "--clearmodifiers", *keys)

    def go(self, task: str, tab: str = "") -> None:
        """Show a task, and one of the tabs on its stage."""
        self.keys(f"ctrl+{TASKS.index(task) + 1}")
        self.wait_for(task, lambda state: state["task"] == task, 20)
        if tab:
            self.click(f"tab {tab}")
            self.wait_for(tab, lambda state: state["tab"] == tab, 20)

    def drag(self, button: int, start: tuple[int, int], *way: tuple[int, int]) -> None:
        """Drag with a button, at the pace of a hand."""
        moves = [word for place in way for word in ("mousemove", *place, "sleep", 0.05)]
        self.xdotool("mousemove", *start, "mousedown", button, "sleep", 0.05, *moves, "mouseup", button)

    def choose(self, box: str, steps: int) -> None:
        """Go down in a list that has the keyboard by a click."""
        self.click(box)
        self.xdotool("key", *["Down"] * steps, "Return")

    def picture(self, name: str) -> None:
        """Keep what the screen shows, where that is wanted."""
        if PICTURES:
            path = Path(PICTURES) / f"{name}.png"
            subprocess.run(["import", "-window", "root", str(path)], env=self.environment, check=True)

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
        lines.append({"settle_ms": "settle_ms = 400.0", "image_px": "image_px = 128"}.get(key, line))
    profile = tmp_path / "tour.toml"
    profile.write_text("\n".join(lines), encoding="utf-8")
    tour = Tour(display, tmp_path, profile)
    yield tour
    if tour.process.poll() is None:
        tour.process.kill()
    tour.process.wait()
    tour.stderr.close()


def look_round(tour: Tour) -> None:
    """Every tab of the task View."""
    tour.go("VIEW", "Slices")
    tour.keys("Home")
    tour.wait_for("the whole box", lambda state: state["zoom"] == pytest.approx(1, abs=0.1), 20)
    before = tour.state()["normal"]
    x, y = tour.state()["xy"]
    tour.drag(3, (x + 90, y - 40), (x + 80, y), (x + 60, y + 60), (x + 40, y + 90))
    tour.wait_for("the oblique plane turned", lambda state: state["normal"] != before and state["sharp"], 20)
    tour.picture("6-oblique")
    tour.click("tab Measure")
    tour.xdotool("mousemove", x, y, "click", 1)
    tour.keys("l", "r")
    tour.wait_for("a profile", lambda state: "µm" in state["profile"], 20)
    tour.picture("7-measure")
    tour.click("tab Certainty")
    tour.wait_for("sharp", lambda state: state["sharp"], 20)
    tour.picture("8-certainty")
    tour.click("tab View")

    tour.go("VIEW", "Volume")
    for number, mode in enumerate(MODES):
        if number:
            tour.choose("volume_mode", 1)
        tour.wait_for(mode, lambda state, mode=mode: state["volume"] == mode, 30)
        tour.picture(f"9-volume-{mode}")
    tour.keys(*["ctrl+plus"] * 4)
    tour.wait_for("the menu zooms what is in front", lambda state: state["volume_zoom"] > 2, 20)
    assert tour.state()["zoom"] < 2
    tour.keys("Home")
    tour.wait_for("and shows all of it", lambda state: state["volume_zoom"] == pytest.approx(1, abs=0.01), 20)

    tour.go("VIEW", "Lights")
    shown = tour.wait_for("a residual", lambda state: state["residual"].startswith("error"), 30)["light"]
    tour.click("next_light")
    tour.wait_for("the next LED", lambda state: state["light"] != shown, 30)
    tour.picture("10-lights")


def export_the_slice(tour: Tour) -> None:
    tour.keys("ctrl+e")
    tour.choose("export_kind", 1)
    tour.wait_for("the slice is chosen", lambda state: state["export"] == "Picture of the slice", 20)
    tour.picture("11-export")
    tour.click("export_start")
    tour.wait_for("exported", lambda state: state["exported"].startswith("Written"), 60)
    tour.click("export_close")
    (png,) = tour.folder.rglob("2*.png")
    assert png.read_bytes().startswith(b"\x89PNG")


def the_other_theme(tour: Tour) -> None:
    """All tasks and tabs in the light theme, and back."""
    tour.keys("ctrl+t")
    tour.wait_for("light", lambda state: state["theme"] == "light", 20)
    for task in TASKS[:3]:
        tour.go(task)
        tour.picture(f"12-light-{task.lower()}")
    for tab in ("Slices", "Volume", "Lights"):
        tour.go("VIEW", tab)
        tour.wait_for(f"{tab} in the light theme", lambda state: state["sharp"] and state["volume"], 20)
        tour.picture(f"13-light-{tab.lower()}")
    tour.keys("ctrl+t")
    tour.wait_for("dark", lambda state: state["theme"] == "dark", 20)


def save_and_open(tour: Tour) -> None:
    """Save the field under a name, and open that file."""
    saved = tour.folder / SAVED
    for keys, title, done in (
        ("ctrl+s", "Save the field", lambda state: saved.exists()),
        ("ctrl+shift+o", "Open a field", lambda state: SAVED in state["title"] and state["slices"] and state["sharp"]),
    ):
        tour.keys(keys)
        tour.click("fileNameEdit")
        tour.keys("ctrl+a", window=title)
        tour.xdotool("type", "--delay", 5, saved)
        tour.picture(f"14-{keys.replace('+', '-')}")
        tour.keys("Return", window=title)
        tour.wait_for(title, done, 30)
        tour.go("VIEW", "Slices")
    tour.picture("15-opened")


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

    look_round(tour)
    export_the_slice(tour)
    the_other_theme(tour)
    save_and_open(tour)

    tour.go("ACQUIRE", "Slices")
    tour.click("start_scan_button")
    tour.wait_for("second scan", lambda state: state["scanning"], 10)
    tour.wait_for("second scan complete", lambda state: not state["scanning"], 90)
    tour.wait_for("fitting", lambda state: state["fitting"] and state["detail"].startswith("step"), 90)
    tour.wait_for("live again", lambda state: state["camera"] == "live", 20)
    state = tour.state()
    assert state["message"] == ""
    assert not state["torch"], "the window's process never loads torch, not even to unpickle a message"
    print(f"longest gap of the window's event loop {state['longest_gap_ms']:.0f} ms")
    tour.picture("20-fitting")

    children = tour.descendants()
    assert children, "the reconstruction runs in a process of its own"
    closed_s = time.monotonic()
    tour.keys("ctrl+q")
    tour.wait_for("asked, for the volume is not saved", lambda state: "leave_quit" in state["buttons"], 10)
    tour.picture("21-asked")
    tour.click("leave_quit")
    assert tour.process.wait(20) == 0
    print(f"ended {time.monotonic() - closed_s:.1f} s after Ctrl+Q")
    children_end_s = time.monotonic() + 3  # the tracker of shared memory outlives its parent by a moment
    while any(Path(f"/proc/{pid}").exists() for pid in children) and time.monotonic() < children_end_s:
        time.sleep(0.05)
    assert [pid for pid in children if Path(f"/proc/{pid}").exists()] == []
    assert (tour.folder / "stderr.txt").read_text() == ""

    fields = sorted(set(tour.folder.rglob("*.field.h5")) - {tour.folder / SAVED})
    first, second = sorted(set(tour.folder.rglob("2*.h5")) - set(fields))
    assert [field.name for field in fields] == [f"{first.stem}.field.h5"], "only the first fit has finished"
    assert read_capture(first).header.image_shape == (128, 128)
    assert read_capture(first).status == "aborted"
    assert 8 <= len(read_capture(first).images_nyx) < 33
    assert read_capture(second).status == "complete"
    assert len(read_capture(second).images_nyx) == 33
    assert not list(tour.folder.rglob("*.part"))
    assert np.all(read_capture(second).images_nyx.std(axis=(1, 2)) > 0)
