"""How long the window stands still: every action once, with the simulated instrument and the real reconstruction.

    python -m tests.benchmarks.window_gaps [--profile simulated] [--rounds 1] [--limit-ms 50]

For each action the longest turn of the event loop: by the clock; without what the window's thread waited for a
processor (Linux); and what it computed itself. Between the last two lies waiting for the interpreter, which other
threads of the program hold. Gaps above the limit are printed with the place where the thread was.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.benchmarks.table import table

if TYPE_CHECKING:
    from collections.abc import Callable


def measure(profile: str, limit_ms: float) -> list[dict[str, Any]]:
    """One row for each action: its longest turns in milliseconds, and the place of the longest gap."""
    from PySide6.QtCore import QEventLoop, QTimer
    from PySide6.QtWidgets import QApplication

    from gui.instrument_service import InstrumentService
    from gui.log_panel import WindowLogHandler
    from gui.main_window import MainWindow
    from gui.recon_bridge import ReconBridge
    from gui.settings import WindowSettings, settings_path
    from gui.watchdog import Watchdog
    from tests.gui.every_action import every_action

    application = QApplication.instance() or QApplication(["fieldscope"])

    def turn(for_ms: int) -> None:
        loop = QEventLoop()
        QTimer.singleShot(for_ms, loop.quit)
        loop.exec()

    def wait(is_so: Callable[[], bool]) -> None:
        for _ in range(12000):
            if is_so():
                return
            turn(10)
        raise TimeoutError

    field = Path(tempfile.gettempdir()) / "window_gaps.field.h5"
    _write_field(field)
    handler = WindowLogHandler()
    window = MainWindow(WindowSettings(profile=profile), settings_path(), InstrumentService(), ReconBridge(), handler)
    ended: list[bool] = []
    window.ended.connect(lambda: ended.append(True))
    ready: list[object] = []
    window.bridge.ready.connect(ready.append)
    watchdog = Watchdog(limit_ms)
    rows: list[dict[str, Any]] = []

    def note() -> None:
        gaps = [gap for gap in watchdog.gaps if gap.during == watchdog.during]
        worst = max(gaps, key=lambda gap: gap.wall_ms - gap.queued_ms, default=None)
        rows.append(
            {
                "action": watchdog.during,
                "by the clock": round(watchdog.longest_wall_ms),
                "its own": round(watchdog.longest_own_ms),
                "computing": round(watchdog.longest_cpu_ms),
                "where": worst.stack if worst else "",
            }
        )

    watchdog.during = "start"
    window.resize(1400, 900)
    window.show()
    window.bridge.start()
    window.service.warm_up()
    wait(lambda: bool(ready) and "pycromanager" in sys.modules)
    turn(500)
    for action in every_action(window, field, wait, turn):
        note()
        watchdog.during = action
        watchdog.reset()
    wait(lambda: bool(ended))
    note()
    watchdog.stop()
    field.unlink()
    application.processEvents()
    return rows


def _write_field(path: Path) -> None:
    """In another process: the window's never loads torch."""
    import subprocess

    text = (
        "import sys; from recon.field_file import write_field; from tests.recon.fields import rough_field;"
        " write_field(sys.argv[1], rough_field())"
    )
    subprocess.run([sys.executable, "-c", text, str(path)], check=True)


def main(arguments: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", default="simulated")
    parser.add_argument("--limit-ms", type=float, default=50.0)
    options = parser.parse_args(arguments)
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    with tempfile.TemporaryDirectory() as folder:
        for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_DOCUMENTS_DIR", "HOME"):
            os.environ[name] = folder
        logging.getLogger("gui.watchdog").setLevel(logging.ERROR)
        rows = measure(options.profile, options.limit_ms)
    print("longest turns of the event loop (ms), load", *(f"{load:.1f}" for load in os.getloadavg()))
    print(table(rows, ["action", "by the clock", "its own", "computing"]))
    for row in rows:
        if row["its own"] > options.limit_ms:
            print(f"\n{row['action']}: {row['its own']} ms\n{row['where'] or '(the interpreter was held)'}")


if __name__ == "__main__":
    main()
