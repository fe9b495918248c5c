"""Undo and redo of view and settings: what the operator has changed goes back, in the order in which it was done.

A thing that can be undone is told by three: a signal that it may have changed, a way to read it, a way to put it back.
It is read after the event is over, and what was read before stands for where it came from.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, Qt, QTimer
from PySide6.QtGui import QGuiApplication, QUndoCommand, QUndoStack

if TYPE_CHECKING:
    from collections.abc import Callable

    from PySide6.QtCore import SignalInstance

ONE_STEP_S = 0.8
"""Changes of one thing that follow each other sooner, or while a mouse button is held, are undone together."""
MOST_STEPS = 200


class History(QObject):
    """Watches things that can be undone."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.stack = QUndoStack(self)
        self.stack.setUndoLimit(MOST_STEPS)
        self._read: dict[str, Callable[[], Any]] = {}
        self._write: dict[str, Callable[[Any], None]] = {}
        self._known: dict[str, Any] = {}
        self._touched: set[str] = set()
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(0)
        self._timer.timeout.connect(self._take)

    def watch(self, name: str, changed: SignalInstance, read: Callable[[], Any], write: Callable[[Any], None]) -> None:
        """Make a thing undoable; `name` tells it in the menu ("Undo contrast")."""
        self._read[name], self._write[name], self._known[name] = read, write, read()
        changed.connect(partial(self._touch, name))

    def settle(self) -> None:
        """Take everything as it is now: what has changed was not the operator's doing."""
        self._touched.clear()
        self._known = {name: read() for name, read in self._read.items()}

    def put(self, name: str, state: Any) -> None:
        """Bring a thing into a state, without making a step of it."""
        self._write[name](state)
        self._known[name] = self._read[name]()

    def _touch(self, name: str, *_: object) -> None:
        self._touched.add(name)
        self._timer.start()

    def _take(self) -> None:
        touched, self._touched = self._touched, set()
        for name in touched:
            before, now = self._known[name], self._read[name]()
            if now != before:
                self._known[name] = now
                self.stack.push(_Change(self, name, before, now))


class _Change(QUndoCommand):
    """One step; the thing is in its new state already when the step is made."""

    def __init__(self, history: History, name: str, before: Any, after: Any) -> None:
        super().__init__(name)
        self._history, self._name = history, name
        self._before, self.after = before, after
        self.last_s = time.monotonic()
        self._held = QGuiApplication.mouseButtons() != Qt.MouseButton.NoButton
        self._done = True

    def id(self) -> int:
        """Only changes of one thing are joined."""
        return hash(self._name) % 2**31

    def mergeWith(self, other: QUndoCommand) -> bool:
        """Join what was changed in one go."""
        assert isinstance(other, _Change)
        held = QGuiApplication.mouseButtons() != Qt.MouseButton.NoButton
        if other.last_s - self.last_s > ONE_STEP_S and not (self._held and held):
            return False
        self.after, self.last_s, self._held = other.after, other.last_s, held
        self.setObsolete(self.after == self._before)
        return True

    def redo(self) -> None:
        """Bring the new state back; pushing the step calls it once, when there is nothing to do."""
        if self._done:
            self._done = False
        else:
            self._history.put(self._name, self.after)

    def undo(self) -> None:
        """Bring the old state back."""
        self._history.put(self._name, self._before)
