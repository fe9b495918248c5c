"""From a request to its picture on the screen, while fitting and at rest: one command, a table, JSON.

    python -m tests.benchmarks.slice_pictures CAPTURE [--pixels 512] [--count 60] [--out slice_pictures.json]

The window offscreen with a real reconstruction process. CAPTURE is reconstructed; while that goes on, one view after
the other, alone and with so many pixels on a side, asks for slices, each at another place. Then the fit is ended, and
the same is done at rest.

    median_ms, p95_ms   from the request to the end of the paint event that shows its answer
    gap_ms              longest time in which the event loop did nothing else
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.pop("DISPLAY", None)  # offscreen with a display set, GL aborts
os.environ["QT_QPA_PLATFORM"] = "offscreen"

import numpy as np

from tests.benchmarks.machine import processor
from tests.benchmarks.table import table

if TYPE_CHECKING:
    from collections.abc import Callable

    from gui.main_window import MainWindow
    from gui.slice_view import SliceView

COLUMNS = ("view", "when", "pixels", "median_ms", "p95_ms", "gap_ms", "pictures")
PATIENCE_S = 120.0
BEAT_MS = 2


def wait_for(what: str, condition: Callable[[], bool]) -> None:
    from PySide6.QtCore import QCoreApplication, QEventLoop

    end = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {PATIENCE_S:.0f} s for {what}")
        QCoreApplication.processEvents(QEventLoop.ProcessEventsFlag.WaitForMoreEvents, 50)


def measure(window: MainWindow, view: SliceView, when: str, count: int) -> dict[str, Any]:
    """Ask for `count` slices at different depths, each when the one before was painted."""
    from PySide6.QtCore import QEvent, QObject, Qt, QTimer

    class Watch(QObject):
        """Notes paint events of the view, and how long the event loop was away."""

        def __init__(self) -> None:
            super().__init__()
            self.painted = False
            self.wanted = view.shown_plane()
            self.gap_s = 0.0
            self._beat_s = time.perf_counter()
            self._timer = QTimer(self)
            self._timer.setTimerType(Qt.TimerType.PreciseTimer)
            self._timer.timeout.connect(self.beat)
            self._timer.start(BEAT_MS)

        def beat(self) -> None:
            now_s = time.perf_counter()
            self.gap_s, self._beat_s = max(self.gap_s, now_s - self._beat_s), now_s

        def eventFilter(self, watched: QObject, event: QEvent) -> bool:
            if event.type() == QEvent.Type.Paint and view.shown_plane() == self.wanted:
                QTimer.singleShot(0, self.note)  # after this event
            return super().eventFilter(watched, event)

        def note(self) -> None:
            self.painted = True

    watch = Watch()
    view.canvas.viewport().installEventFilter(watch)
    navigator = window.panels.slices.navigator
    normal = np.array(view.frame().normal)
    reach_um = 0.3 * float(np.abs(normal) @ np.ptp(navigator.bounds_um, axis=0))
    middle = navigator.bounds_um.mean(axis=0)
    took_ms = []
    for place in np.random.default_rng(0).uniform(-reach_um, reach_um, count):
        navigator.cursor_um = tuple((middle + place * normal).tolist())  # without the coarse picture of a moving hand
        wanted = view.visible()
        assert wanted is not None
        watch.wanted, watch.painted = wanted, False
        start_s = time.perf_counter()
        view.sharp.ask(wanted)
        wait_for("a slice", lambda: watch.painted)
        took_ms.append(1000 * (time.perf_counter() - start_s))
    view.canvas.viewport().removeEventFilter(watch)
    plane = view.shown_plane()
    assert plane is not None
    return {
        "view": view.name, "when": when, "pixels": f"{plane.shape[0]} x {plane.shape[1]}",
        "median_ms": float(np.median(took_ms)), "p95_ms": float(np.percentile(took_ms, 95)),
        "gap_ms": 1000 * watch.gap_s, "pictures": count,
    }  # fmt: skip


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


def run(capture: Path, pixels: int, count: int) -> list[dict[str, Any]]:
    import pyqtgraph as pg
    from PySide6.QtWidgets import QApplication

    from gui.instrument_service import InstrumentService
    from gui.log_panel import WindowLogHandler
    from gui.main_window import MainWindow
    from gui.recon_bridge import ReconBridge
    from gui.settings import WindowSettings
    from gui.tasks import Task
    from gui.theme import apply_theme

    pg.setConfigOptions(antialias=True, background=None, imageAxisOrder="row-major")
    application = QApplication.instance() or QApplication(["fieldscope"])
    assert isinstance(application, QApplication)
    apply_theme(application)
    rows = []
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
            names = ("xy", "oblique")
            for when in ("fitting", "idle"):
                if when == "idle":
                    bridge.finish_now()
                    wait_for("the end of the fit", lambda: not bridge.fitting)
                for name in names:
                    view = show_alone(window, name, pixels)
                    wait_for("a quiet view", lambda view=view: view.shown_plane() == view.visible())
                    rows.append(measure(window, view, when, count))
                if when == "fitting" and not bridge.fitting:
                    raise RuntimeError("the fit ended before everything was measured: take fewer pictures")
        finally:
            window.close()
            wait_for("the end", lambda: bool(ended))
    return rows


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("capture", type=Path)
    parser.add_argument("--pixels", type=int, default=512, help="of the view, on a side")
    parser.add_argument("--count", type=int, default=60, help="slices of each kind")
    parser.add_argument("--out", type=Path, default=Path("slice_pictures.json"))
    chosen = parser.parse_args(arguments)
    rows = run(chosen.capture, chosen.pixels, chosen.count)
    print(table(rows, COLUMNS))
    chosen.out.write_text(json.dumps({"processor": processor(), "rows": rows}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
