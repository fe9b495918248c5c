"""Captures and fields that were opened or made, the latest first; those that are gone are dropped.

Whether they are there is looked up on a thread: a folder on a network may answer late or never.
"""

from __future__ import annotations

import threading
from pathlib import Path

from PySide6.QtCore import QObject, Signal

MOST = 10


class RecentFiles(QObject):
    """Emits `changed` when the list is another one.

    Parameters
    ----------
    paths
        What was remembered.
    """

    changed = Signal()
    _looked = Signal(object)

    def __init__(self, paths: list[str], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.paths = [Path(path) for path in paths[:MOST]]
        self._looked.connect(self._drop)

    def add(self, path: Path) -> None:
        """Put a file at the top."""
        path = path.absolute()
        self.paths = [path, *(other for other in self.paths if other != path)][:MOST]
        self.changed.emit()

    def look(self) -> threading.Thread:
        """Drop those that are gone, as soon as it is known."""
        paths = list(self.paths)

        def search() -> None:
            gone = {path for path in paths if not path.exists()}
            try:
                self._looked.emit(gone)
            except RuntimeError:  # the window is gone
                pass

        thread = threading.Thread(target=search, name="recent files", daemon=True)
        thread.start()
        return thread

    def _drop(self, gone: set[Path]) -> None:
        if gone:
            self.paths = [path for path in self.paths if path not in gone]
            self.changed.emit()
