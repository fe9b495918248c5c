"""What happened, line by line: the last two thousand lines of the log, by weight and by what they say."""

from __future__ import annotations

import logging
from collections import deque
from itertools import count

from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import (
    QApplication,
    QComboBox,
    QDockWidget,
    QHBoxLayout,
    QLineEdit,
    QPlainTextEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

LINES = 2000
LEVELS = {"everything": logging.NOTSET, "warnings and errors": logging.WARNING, "errors": logging.ERROR}


class _LogLines(QObject):
    came = Signal()


class WindowLogHandler(logging.Handler):
    """Brings log records of any thread to the log panel, queued, and keeps the last ones.

    Attributes
    ----------
    kept
        Number, level and text of each, oldest first.
    """

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines = _LogLines()
        self.kept: deque[tuple[int, int, str]] = deque(maxlen=LINES)
        self._number = count(1)
        self.setFormatter(logging.Formatter("%(asctime)s  %(levelname)-7s  %(name)s: %(message)s", "%H:%M:%S"))

    def emit(self, record: logging.LogRecord) -> None:
        """Send the record on."""
        self.kept.append((next(self._number), record.levelno, self.format(record)))
        try:
            self.lines.came.emit()
        except RuntimeError:  # the window is gone; the log file has the record
            pass


class LogPanel(QDockWidget):
    """Shows what a handler has kept."""

    def __init__(self, handler: WindowLogHandler, parent: QWidget | None = None) -> None:
        super().__init__("Log", parent)
        self.setObjectName("log_panel")
        self._handler = handler
        self.level = QComboBox()
        self.level.setObjectName("log_level")
        self.level.setAccessibleName("Which lines are shown")
        for text, level in LEVELS.items():
            self.level.addItem(text, level)
        self.search = QLineEdit()
        self.search.setObjectName("log_search")
        self.search.setAccessibleName("Search the log")
        self.search.setPlaceholderText("only lines with…")
        self.search.setClearButtonEnabled(True)
        self.copy = QPushButton("Copy")
        self.copy.setObjectName("log_copy")
        self.copy.setAccessibleName("Copy the lines shown")
        self.copy.setToolTip("Copy the lines shown")
        self.text = QPlainTextEdit()
        self.text.setObjectName("log_text")
        self.text.setAccessibleName("Log")
        self.text.setReadOnly(True)
        self.text.setMaximumBlockCount(LINES)
        self.text.setStyleSheet("font-family: monospace; font-size: 8.5pt;")
        bar = QHBoxLayout()
        bar.addWidget(self.level)
        bar.addWidget(self.search, 1)
        bar.addWidget(self.copy)
        whole = QWidget()
        layout = QVBoxLayout(whole)
        layout.setContentsMargins(6, 4, 6, 6)
        layout.addLayout(bar)
        layout.addWidget(self.text, 1)
        self.setWidget(whole)
        self.level.currentIndexChanged.connect(self._show_all)
        self.search.textChanged.connect(self._show_all)
        self.copy.clicked.connect(lambda: QApplication.clipboard().setText(self.text.toPlainText()))
        self._shown = 0
        handler.lines.came.connect(self._show_new)
        self._show_new()
        self.hide()

    def _show_new(self) -> None:
        least, wanted = int(self.level.currentData()), self.search.text().lower()
        new = [line for line in list(self._handler.kept) if line[0] > self._shown]
        shown = [text for _, level, text in new if level >= least and wanted in text.lower()]
        if new:
            self._shown = new[-1][0]
        if shown:
            self.text.appendPlainText("\n".join(shown))

    def _show_all(self) -> None:
        self.text.clear()
        self._shown = 0
        self._show_new()
