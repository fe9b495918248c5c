"""The window as it is, plus a file that tells where its buttons are and what it shows; for `test_xvfb_tour`.

Usage: python tour_app.py STATE.json [arguments of the window]
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))


def state_of(window: Any) -> dict[str, Any]:
    """Positions on the screen (only of what can be clicked) and what the operator sees."""
    from PySide6.QtWidgets import QAbstractButton, QComboBox, QLineEdit, QTabBar

    def centre(widget: Any, rect: Any = None) -> tuple[int, int]:
        point = widget.mapToGlobal((rect or widget.visibleRegion().boundingRect()).center())
        return point.x(), point.y()

    panels, slices, volume = window.panels, window.panels.slices, window.panels.volume
    view = slices.views["xy"]
    within_reach = [
        widget
        for kind in (QAbstractButton, QComboBox, QLineEdit, QTabBar)
        for widget in window.findChildren(kind)
        if widget.isEnabled() and not widget.visibleRegion().isEmpty()
    ]
    tabs = [widget for widget in within_reach if isinstance(widget, QTabBar)]
    return {
        "buttons": {widget.objectName(): centre(widget) for widget in within_reach if widget.objectName()}
        | {f"tab {bar.tabText(i)}": centre(bar, bar.tabRect(i)) for bar in tabs for i in range(bar.count())},
        "xy": centre(view.canvas, view.canvas.rect()),
        "task": window.bench.task.name,
        "tab": panels.views.tabText(panels.views.currentIndex()),
        "theme": window.settings.theme,
        "title": window.windowTitle(),
        "instrument": panels.instrument.state.text(),
        "acquire": panels.acquire.state.text(),
        "fit": panels.fit.state.text(),
        "detail": panels.fit.detail.text(),
        "camera": panels.live.camera.state.text(),
        "scanning": window.service.scanning,
        "fitting": window.bridge.fitting,
        "zoom": slices.navigator.zoom,
        "slices": all(v.shown_plane() is not None for v in slices.views.values()),
        "sharp": all(v.shown_plane() == v.visible() for v in slices.views.values()),
        "shape": view.shown_plane().shape if view.shown_plane() else None,
        "range": view.box.viewRange(),
        "normal": slices.navigator.directions[2].tolist(),
        "profile": slices.tools.profile.state.text(),
        "mode": volume.mode.currentText(),
        "volume": volume.view._picture[0].scene.mode if volume.view._picture else "",
        "volume_zoom": volume.view.zoom,
        "light": panels.lights.heading.text(),
        "residual": panels.lights.images.residual.figure.text(),
        "export": window.export_dialog.kind.currentText(),
        "exported": window.export_dialog.state.text(),
        "message": panels.message.message.text() if panels.message.isVisible() else "",
        "torch": "torch" in sys.modules,
        "longest_gap_ms": window.longest_gap_ms,
    }


def main() -> int:
    """Run the window and write its state ten times a second."""
    state_file = Path(sys.argv[1])
    from gui import app, main_window

    class ToldWindow(main_window.MainWindow):
        def show(self) -> None:
            from PySide6.QtCore import QTimer

            super().show()
            self.longest_gap_ms = 0.0
            self.beat_s = time.monotonic()
            self.beat = QTimer(self)
            self.beat.timeout.connect(self.watch)
            self.beat.start(10)
            self.told = QTimer(self)
            self.told.timeout.connect(self.tell)
            self.told.start(100)

        def watch(self) -> None:
            now_s = time.monotonic()
            self.longest_gap_ms = max(self.longest_gap_ms, 1000 * (now_s - self.beat_s))
            self.beat_s = now_s

        def tell(self) -> None:
            fresh = state_file.with_suffix(".new")
            fresh.write_text(json.dumps(state_of(self)))
            os.replace(fresh, state_file)

    main_window.MainWindow = ToldWindow  # type: ignore[misc]
    return app.main(sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
