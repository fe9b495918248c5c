"""From a request to its picture on the screen, while fitting and at rest: one command, a table, JSON.

    python -m tests.benchmarks.view_pictures CAPTURE [--pixels 512] [--count 60] [--out view_pictures.json]

The window offscreen with a real reconstruction process. CAPTURE is reconstructed; while that goes on, one view after
the other, alone and with so many pixels on a side, asks for slices, each at another place. Then the volume is turned by
the mouse, in each of its modes. Then the fit is ended, and the same is done at rest.

    median_ms, p95_ms   from the request to the end of the paint event that shows its answer
    frames_per_s        paint events that show another picture, while the mouse drags for some seconds
    median_ms, p95_ms   of a drag: from one such paint event to the next
    gap_ms              longest time in which the event loop did nothing else
"""

from __future__ import annotations

import argparse
import json
import math
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.pop("DISPLAY", None)  # offscreen with a display set, GL aborts
os.environ["QT_QPA_PLATFORM"] = "offscreen"

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QCoreApplication, QEvent, QEventLoop, QObject, QPointF, Qt, QTimer
from PySide6.QtGui import QMouseEvent
from PySide6.QtWidgets import QApplication

from gui.instrument_service import InstrumentService
from gui.log_panel import WindowLogHandler
from gui.main_window import MainWindow
from gui.recon_bridge import ReconBridge
from gui.settings import WindowSettings
from gui.tasks import Task
from gui.theme import apply_theme
from gui.volume_panel import MODES
from tests.benchmarks.machine import processor
from tests.benchmarks.table import table

if TYPE_CHECKING:
    from collections.abc import Callable

    from PySide6.QtWidgets import QWidget

    from gui.slice_view import SliceView
    from gui.volume_view import VolumeView

COLUMNS = ("view", "when", "pixels", "median_ms", "p95_ms", "gap_ms", "pictures")
DRAG_COLUMNS = ("mode", "when", "pixels", "frames_per_s", "median_ms", "p95_ms", "gap_ms")
PATIENCE_S = 120.0
BEAT_MS = 2
MOUSE_MS = 8
"""A mouse tells where it is 125 times a second."""
DRAG_S = 3.0
VOLUME_PX = (960, 720)
TURNS = (0.5, 0.4)
"""Radians by which the oblique plane, which stands upright at first, is turned to lie anyhow."""


def wait_for(what: str, condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {PATIENCE_S:.0f} s for {what}")
        QCoreApplication.processEvents(QEventLoop.ProcessEventsFlag.WaitForMoreEvents, 50)


class Beat(QObject):
    """Notes the longest time in which the event loop did nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.gap_s = 0.0
        self._beat_s = time.perf_counter()
        self._timer = QTimer(self)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._beat)
        self._timer.start(BEAT_MS)

    def _beat(self) -> None:
        now_s = time.perf_counter()
        self.gap_s, self._beat_s = max(self.gap_s, now_s - self._beat_s), now_s


class Painted(QObject):
    """Calls `note` after each paint event of a widget."""

    def __init__(self, widget: QWidget, note: Callable[[], None]) -> None:
        super().__init__(widget)
        self._note = note
        widget.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Paint:
            QTimer.singleShot(0, self._note)
        return super().eventFilter(watched, event)


def measure(window: MainWindow, view: SliceView, when: str, count: int) -> dict[str, Any]:
    """Ask for `count` slices at different depths, each when the one before was painted."""
    beat = Beat()
    seen: list[object] = [None]
    watch = Painted(view.canvas.viewport(), lambda: seen.__setitem__(0, view.shown_plane()))
    navigator = window.panels.slices.navigator
    normal = np.array(view.frame().normal)
    reach_um = 0.3 * float(np.abs(normal) @ np.ptp(navigator.bounds_um, axis=0))
    middle = navigator.bounds_um.mean(axis=0)
    took_ms = []
    for place in np.random.default_rng(0).uniform(-reach_um, reach_um, count):
        navigator.cursor_um = tuple((middle + place * normal).tolist())  # without the coarse picture of a moving hand
        wanted = view.visible()
        assert wanted is not None
        start_s = time.perf_counter()
        view.sharp.ask(wanted)
        wait_for("a slice", lambda wanted=wanted: seen[0] == wanted)
        took_ms.append(1000 * (time.perf_counter() - start_s))
    view.canvas.viewport().removeEventFilter(watch)
    plane = view.shown_plane()
    assert plane is not None
    return {
        "view": view.name, "when": when, "pixels": f"{plane.shape[0]} x {plane.shape[1]}",
        "median_ms": float(np.median(took_ms)), "p95_ms": float(np.percentile(took_ms, 95)),
        "gap_ms": 1000 * beat.gap_s, "pictures": count,
    }  # fmt: skip


def drag(view: VolumeView, mode: str, when: str) -> dict[str, Any]:
    """Turn the volume by the mouse, and count the pictures that reach the screen."""
    wait_for("a volume", lambda: view.scene.mode == mode and not view._image.isNull())
    shown_at_s: dict[object, float] = {}
    watch = Painted(view, lambda: shown_at_s.setdefault(view.channel.shown, time.perf_counter()))
    middle = QPointF(0.5 * view.width(), 0.5 * view.height())
    start_s = time.perf_counter()

    def mouse(kind: QEvent.Type) -> None:
        angle = 2.0 * math.pi * (time.perf_counter() - start_s) / DRAG_S
        at = middle + 0.2 * view.height() * QPointF(math.cos(angle), math.sin(angle))
        left = Qt.MouseButton.LeftButton
        event = QMouseEvent(kind, at, view.mapToGlobal(at), left, left, Qt.KeyboardModifier.NoModifier)
        QCoreApplication.sendEvent(view, event)

    mouse(QEvent.Type.MouseButtonPress)
    hand = QTimer(view)
    hand.setTimerType(Qt.TimerType.PreciseTimer)
    hand.timeout.connect(lambda: mouse(QEvent.Type.MouseMove))
    hand.start(MOUSE_MS)
    wait_for("the hand", lambda: time.perf_counter() - start_s > 0.2 * DRAG_S)  # until all is as it goes on
    shown_at_s.clear()
    beat, from_s = Beat(), time.perf_counter()
    wait_for("the hand", lambda: time.perf_counter() - start_s > DRAG_S)
    took_s = time.perf_counter() - from_s
    pictures, gap_s = list(shown_at_s.values()), beat.gap_s
    hand.stop()
    mouse(QEvent.Type.MouseButtonRelease)
    view.removeEventFilter(watch)
    between_ms = 1000 * np.diff(pictures)
    return {
        "mode": mode, "when": when, "pixels": f"{view.width()} x {view.height()}",
        "frames_per_s": len(pictures) / took_s,
        "median_ms": float(np.median(between_ms)), "p95_ms": float(np.percentile(between_ms, 95)),
        "gap_ms": 1000 * gap_s,
    }  # fmt: skip


def drag_all(window: MainWindow, when: str) -> list[dict[str, Any]]:
    """Turn the volume in each of its modes."""
    panel = window.panels.volume
    window.panels.views.setCurrentWidget(panel)
    for _ in range(3):
        sizes = panel.view.width(), panel.view.height()
        width, height = (wanted - have for wanted, have in zip(VOLUME_PX, sizes, strict=True))
        window.resize(window.width() + width, window.height() + height)
        wait_for("the new size", lambda: not window.panels.slices.layout().isEmpty())
    rows = []
    for title, mode in MODES.items():
        panel.mode.setCurrentText(title)
        rows.append(drag(panel.view, mode, when))
    window.panels.views.setCurrentWidget(window.panels.slices)
    return rows


def show_alone(window: MainWindow, name: str, pixels: int) -> SliceView:
    """Give a view so many pixels on a side, filled by the box."""
    panel = window.panels.slices
    if any(view.isHidden() for view in panel.views.values()):
        panel.enlarge(name)
    panel.enlarge(name)
    view = panel.views[name]
    for _ in range(3):
        width, height = view.size_px()
        window.resize(window.width() + pixels - round(width), window.height() + pixels - round(height))
        wait_for("the new size", lambda: not window.panels.slices.layout().isEmpty())
    panel.navigator.zoom_by(3.0, {})
    wait_for("the first slice", lambda: view.shown_plane() is not None)
    return view


def run(capture: Path, pixels: int, count: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    pg.setConfigOptions(antialias=True, background=None, imageAxisOrder="row-major")
    application = QApplication.instance() or QApplication(["fieldscope"])
    assert isinstance(application, QApplication)
    apply_theme(application)
    rows, drags = [], []
    with tempfile.TemporaryDirectory() as folder:
        bridge = ReconBridge()
        settings = WindowSettings(max_seconds=3600.0)
        window = MainWindow(settings, Path(folder) / "window.json", InstrumentService(), bridge, WindowLogHandler())
        ended: list[bool] = []
        window.ended.connect(lambda: ended.append(True))
        try:
            window.show()
            bridge.start()
            window.files.open(capture)
            window.bench.show_task(Task.VIEW)
            steps: list[int] = []
            bridge.progress.connect(lambda progress: steps.append(progress.step))
            wait_for("steps of the fit", lambda: len(steps) > 3)
            for when in ("fitting", "idle"):
                if when == "idle":
                    bridge.finish_now()
                    wait_for("the end of the fit", lambda: not bridge.fitting)
                for name, turns in (("xy", ()), ("oblique", ()), ("oblique", TURNS)):
                    view = show_alone(window, name, pixels)
                    for about, angle in enumerate(turns):
                        window.panels.slices.navigator.turn_plane(about, angle)
                    wait_for("a quiet view", lambda view=view: view.shown_plane() == view.visible())
                    rows.append(measure(window, view, when, count))
                    if turns:
                        rows[-1]["view"] = "oblique, tilted"
                        window.panels.slices.navigator.reset_plane()
                drags += drag_all(window, when)
                if when == "fitting" and not bridge.fitting:
                    raise RuntimeError("the fit ended before everything was measured: take fewer pictures")
        finally:
            window.close()
            wait_for("the end", lambda: bool(ended))
    return rows, drags


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("capture", type=Path)
    parser.add_argument("--pixels", type=int, default=512, help="of the view, on a side")
    parser.add_argument("--count", type=int, default=60, help="slices of each kind")
    parser.add_argument("--out", type=Path, default=Path("view_pictures.json"))
    chosen = parser.parse_args(arguments)
    slices, drags = run(chosen.capture, chosen.pixels, chosen.count)
    print(table(slices, COLUMNS), table(drags, DRAG_COLUMNS), sep="\n\n")
    result = {"processor": processor(), "slices": slices, "drags": drags}
    chosen.out.write_text(json.dumps(result, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
