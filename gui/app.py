"""Start of the window: checks the Python and Qt pair, catches what nobody caught, and runs.

Qt is imported inside the functions: the spawned reconstruction process imports the main module again, without Qt.
"""

from __future__ import annotations

import argparse
import logging
import logging.handlers
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from acquisition.errors import OperatorError
from gui.commands.end_signals import end_signals

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from gui.main_window import MainWindow

log = logging.getLogger(__name__)

STOOD_STILL_MS, BEAT_MS = 250.0, 50
"""A window that stands still for longer is noted in the log, with the place where it did."""
DARK_WITHIN_S = 5.0
"""Two silences of the LED board: of the command it may be busy with, and of the last one."""


def check_versions(python: tuple[int, ...], pyside: tuple[int, ...]) -> None:
    """Refuse the pair that aborts after some hundred signals.

    Raises
    ------
    OperatorError
        PySide6 6.12 or newer on Python 3.11 or older.
    """
    if python[:2] < (3, 12) and pyside[:2] >= (6, 12):
        raise OperatorError(
            f"PySide6 {'.'.join(map(str, pyside))} aborts on Python {'.'.join(map(str, python[:2]))} after some hundred"
            " signals (6.11 and older do not).",
            'Install a matching one: pip install "PySide6-Essentials<6.12", or use Python 3.12 or newer.',
        )


def start_logging() -> logging.Handler:
    """Log to a file of this user (1 MB, three old ones kept); a folder that cannot be written stops nothing."""
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    handler: logging.Handler
    try:
        folder = platformdirs.user_log_path("fieldscope", appauthor=False, ensure_exists=True)
        handler = logging.handlers.RotatingFileHandler(
            folder / "window.log", maxBytes=2**20, backupCount=3, encoding="utf-8"
        )
    except OSError:
        handler = logging.NullHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(threadName)s %(name)s: %(message)s"))
    root.addHandler(handler)
    return handler


def install_exception_hooks(window: MainWindow) -> None:
    """Show, log and go on when an exception was caught by nobody, on any thread."""
    from PySide6.QtCore import QObject, Signal

    class Relay(QObject):
        caught = Signal(str)

    relay = Relay(window)
    relay.caught.connect(
        lambda text: window.panels.message.tell(
            f"Unexpected error: {text}.",
            "The program goes on. A problem report (menu Help) holds what is needed to find the cause.",
        )
    )

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            window.end()
            return
        log.critical("uncaught exception", exc_info=(kind, error, trace))
        relay.caught.emit(f"{kind.__name__}: {error}")

    def thread_hook(arguments: threading.ExceptHookArgs) -> None:
        if arguments.exc_value is not None:
            hook(arguments.exc_type, arguments.exc_value, arguments.exc_traceback)

    sys.excepthook = hook
    threading.excepthook = thread_hook


def close_on_signals(window: MainWindow) -> None:
    """End in good order on Ctrl+C, on a polite kill, and when the terminal is closed."""
    for number in end_signals():
        signal.signal(number, lambda *_: window.end())


def _log_qt_messages() -> None:
    from PySide6.QtCore import QtMsgType, qInstallMessageHandler

    levels = {
        QtMsgType.QtDebugMsg: logging.DEBUG,
        QtMsgType.QtInfoMsg: logging.DEBUG,
        QtMsgType.QtWarningMsg: logging.WARNING,
        QtMsgType.QtCriticalMsg: logging.ERROR,
        QtMsgType.QtFatalMsg: logging.CRITICAL,
    }

    def take(kind: QtMsgType, _context: object, text: str) -> None:
        logging.getLogger("qt").log(levels.get(kind, logging.WARNING), "%s", text)
        if kind == QtMsgType.QtFatalMsg:
            sys.stderr.write(f"{text}\n")  # Qt aborts next: no display, no platform plug-in

    qInstallMessageHandler(take)


def main(argv: Sequence[str] | None = None) -> int:
    """Open the window and return the exit code.

    Parameters
    ----------
    argv
        Arguments after the program's name: a capture or field to open, ``--profile NAME``.
    """
    parser = argparse.ArgumentParser(prog="fieldscope", description="Live 3D refractive-index microscopy: the window.")
    parser.add_argument("file", nargs="?", type=Path, help="capture or field to open")
    parser.add_argument("--profile", help="hardware profile: a shipped name or a TOML file")
    arguments = parser.parse_args(argv)

    import PySide6

    try:
        check_versions(sys.version_info[:3], tuple(int(part) for part in PySide6.__version__.split(".")[:3]))
    except OperatorError as error:
        sys.stderr.write(f"{error}\n")
        return 2

    import pyqtgraph as pg
    from PySide6.QtWidgets import QApplication

    from gui.going_on import GoingOnOffer
    from gui.instrument_service import InstrumentService
    from gui.log_panel import WindowLogHandler
    from gui.main_window import MainWindow
    from gui.recon_bridge import ReconBridge
    from gui.recovery import RecoveryOffer
    from gui.settings import load_settings, settings_path
    from gui.tasks import Task
    from gui.theme import apply_theme
    from gui.watchdog import Watchdog
    from gui.window_memory import fit_to_screen

    start_logging()
    _log_qt_messages()
    pg.setConfigOptions(antialias=True, background=None, imageAxisOrder="row-major")
    application = QApplication(["fieldscope"])
    application.setApplicationName("Fieldscope")
    application.setQuitOnLastWindowClosed(False)  # the window goes first, then what runs behind it ends
    handler = WindowLogHandler()
    logging.getLogger().addHandler(handler)

    settings = load_settings(settings_path())
    apply_theme(application, settings.theme)
    if arguments.profile:
        settings.profile = arguments.profile
    window = MainWindow(settings, settings_path(), InstrumentService(), ReconBridge(), handler)
    install_exception_hooks(window)
    window.ended.connect(application.quit)
    application.commitDataRequest.connect(lambda manager: window.expect_end())
    close_on_signals(window)
    fit_to_screen(window)
    window.show()
    watchdog = Watchdog(STOOD_STILL_MS, BEAT_MS)
    window.bridge.start()
    window.service.warm_up()
    scans = RecoveryOffer(window.panels.message, window).look(window.workflow.folder)
    going_on = GoingOnOffer(window.panels.message, window.workflow)
    going_on.went_on.connect(lambda: window.bench.show_task(Task.RECONSTRUCT))
    going_on.look(scans)
    if arguments.file is not None:
        window.files.open(arguments.file.absolute())
    code = application.exec()
    watchdog.stop()
    logging.getLogger().removeHandler(handler)
    stuck = not (window.service.is_stopped and window.bridge.is_stopped)
    if stuck:
        darkening = window.service.darken()
        darkening.join(DARK_WITHIN_S)
        if darkening.is_alive():
            sys.stderr.write("The LEDs may still be on: the LED board does not answer. Switch it off.\n")
    if window.service.left_on is not None:
        sys.stderr.write(f"{window.service.left_on}\n")
    if stuck:
        sys.stderr.flush()
        logging.shutdown()
        os._exit(code)  # a driver that never answers holds its thread; nothing is left to be saved
    return code


if __name__ == "__main__":
    sys.exit(main())
