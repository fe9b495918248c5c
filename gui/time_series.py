"""The time-lapse in the window: which fields there are, which one is shown, and the runs that make more of them."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from acquisition.capture import read_visits
from acquisition.errors import OperatorError
from gui.field_names import free_names_of_visits, siblings
from gui.visit_runs import VisitRuns

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gui.field_names import Visit
    from gui.recon_bridge import ReconBridge
    from gui.time_bar import TimeBar
    from recon.messages import FitSettings, Looking

log = logging.getLogger(__name__)


class TimeSeries(QObject):
    """Keeps the time bar and the reconstruction process at the same visit.

    Whoever looks at the newest visit follows: he sees the next one as soon as its run has begun. Whoever went back
    stays where he is. `run_began(visit)` is emitted when the run of another visit has begun, `shown` when pictures come
    from another field than before.

    Parameters
    ----------
    bridge
        The reconstruction process.
    bar
        Shows and chooses the visit.
    settings
        The operator's choices for a fit.
    """

    run_began = Signal(object)
    shown = Signal()
    _visits_found = Signal(object, object)
    _siblings_found = Signal(object, object)

    def __init__(
        self, bridge: ReconBridge, bar: TimeBar, settings: Callable[[], FitSettings], parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._bridge, self._bar, self._settings = bridge, bar, settings
        self.runs: VisitRuns | None = None
        self.fields: dict[Visit, Path] = {}
        self._own: Visit | None = None
        self._asked: Path | None = None
        bar.chosen.connect(self._look_at)
        bridge.looking.connect(self._looking)
        self._visits_found.connect(self._reconstruct_all)
        self._siblings_found.connect(self._show_siblings)

    @property
    def at_work(self) -> bool:
        """Whether runs of a time-lapse are under way or to come."""
        return self.runs is not None and self.runs.busy

    # --- where visits come from ---------------------------------------------------------------------------------------

    def clear(self) -> None:
        """Forget the time-lapse: something else is to be shown. What was saved stays on disk."""
        if self.runs is not None:
            self.runs.stop()
            self.runs.deleteLater()
        self.runs, self._own, self._asked = None, None, None
        self.fields = {}
        self._bar.show_visits([], None)

    def begin_scan(self, capture: Path, visits: list[Visit]) -> VisitRuns:
        """Make runs for the visits of a scan that is about to start."""
        self.clear()
        return self._make_runs(capture, visits)

    def look_for_visits(self, capture: Path) -> threading.Thread:
        """See whether a stored capture has several visits, and if so reconstruct them all; on a thread of its own."""
        self.clear()
        self._asked = capture

        def look() -> None:
            try:
                visits = list(read_visits(capture))
            except OperatorError as error:  # the run on this capture says so
                log.debug("%s", error)
                return
            if len(visits) > 1:
                self._visits_found.emit(capture, visits)

        return _on_thread(look, "visits of a capture")

    def look_for_siblings(self, field: Path) -> threading.Thread:
        """See whether an opened field is one of a time-lapse; on a thread of its own."""
        self.clear()
        self._asked = field

        def look() -> None:
            try:
                found = siblings(field)
            except OSError as error:
                log.warning("the folder of %s cannot be read: %s", field, error)
                return
            if len(found) > 1:
                self._siblings_found.emit(field, found)

        return _on_thread(look, "fields of a time-lapse")

    def _make_runs(self, capture: Path, visits: list[Visit]) -> VisitRuns:
        names = free_names_of_visits(capture, capture.parent, visits)
        self.runs = VisitRuns(self._bridge, names, self._settings, self)
        self.runs.began.connect(self._began)
        self.runs.saved.connect(self._saved)
        return self.runs

    def _reconstruct_all(self, capture: Path, visits: list[Visit]) -> None:
        if capture == self._asked:
            self._make_runs(capture, visits).begin_stored(capture)

    def _show_siblings(self, field: Path, found: dict[Visit, Path]) -> None:
        if field == self._asked:
            self.fields = found
            self._own = next(visit for visit, path in found.items() if path == field)
            self._bar.show_visits(found, self._own)

    # --- what is shown ------------------------------------------------------------------------------------------------

    def _began(self, visit: Visit) -> None:
        follows = self._own is None or self._bar.shown in (None, self._own)
        self._own = visit
        shown = visit if follows else self._bar.shown
        self._offer(shown)
        self.run_began.emit(visit)
        if not follows and shown is not None:
            self._look_at(shown)

    def _saved(self, visit: Visit, path: Path) -> None:
        self.fields[visit] = path
        self._offer(self._bar.shown)

    def _offer(self, shown: Visit | None) -> None:
        self._bar.show_visits({*self.fields, *([] if self._own is None else [self._own])}, shown)

    def _look_at(self, visit: Visit) -> None:
        """Show the run's own field, or that of another visit from its file; the one after it is read ahead."""
        if visit == self._own:
            self._bridge.look_at(None)
            return
        later = [path for (time, place), path in self.fields.items() if place == visit[1] and time > visit[0]]
        self._bridge.look_at(self.fields[visit], later[0] if later else None)

    def _looking(self, looking: Looking) -> None:
        self._bar.answered()
        error = looking.held_out_error
        self._bar.say("" if error is None else f"held-out error {error:.3f}")
        self.shown.emit()


def _on_thread(work: Callable[[], None], name: str) -> threading.Thread:
    thread = threading.Thread(target=work, name=name, daemon=True)
    thread.start()
    return thread
