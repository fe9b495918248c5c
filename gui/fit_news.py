"""What the reconstruction tells, in the panels: where it stands, its field and its lights, and what has failed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

if TYPE_CHECKING:
    from collections.abc import Callable

    from gui.panels import Panels
    from gui.recon_bridge import ReconBridge
    from gui.time_series import TimeSeries
    from recon.messages import Failed, FieldReady, Finished, Lights, Notice, Phase, Ready, Saved

log = logging.getLogger(__name__)


class FitNews(QObject):
    """Emits `changed` whenever what can be done next may have changed.

    Parameters
    ----------
    panels, bridge, series
        Of the window.
    restart
        Puts a fresh process in place of one that was lost.

    Attributes
    ----------
    scan_run
        Run of the last scan of the instrument that is connected; None: there was none.
    views_empty
        Whether nothing is shown, so that the next field brings its own view and contrast.
    """

    changed = Signal()

    def __init__(
        self, panels: Panels, bridge: ReconBridge, series: TimeSeries, restart: Callable[[], None], parent: QObject
    ) -> None:
        super().__init__(parent)
        self._panels, self._bridge, self._series, self._restart = panels, bridge, series, restart
        self.scan_run: int | None = None
        self.views_empty = True
        for view in panels.looking:
            view.picture_wanted.connect(bridge.request_picture)
            bridge.picture.connect(view.show_picture)
            series.shown.connect(view.refresh)
        panels.fit.view_budget_chosen.connect(bridge.set_view_budget)
        bridge.ready.connect(self._ready)
        bridge.phase.connect(self._phase)
        bridge.progress.connect(panels.fit.show_progress)
        bridge.field_ready.connect(self._field_ready)
        bridge.lights.connect(self._lights)
        bridge.finished.connect(self._finished)
        bridge.saved.connect(self._saved)
        bridge.notice.connect(self._notice)
        bridge.failed.connect(self._failed)
        bridge.lost.connect(self._lost)
        bridge.recovered.connect(self._recovered)

    def clear_views(self, expecting: str = "") -> None:
        """Forget the field; `expecting` says what the next one waits for."""
        self.views_empty = True
        for view in self._panels.looking:
            view.clear(expecting)
        self._panels.errors.clear()

    def _ready(self, ready: Ready) -> None:
        if self._bridge.run is None:
            self._panels.fit.say("ready", "good")
        self._panels.fit.detail.setToolTip("\n".join(f"{name} {version}" for name, version in ready.versions.items()))
        self._panels.device.setText(f"computes on {ready.device.upper()}")

    def _phase(self, phase: Phase) -> None:
        self._panels.fit.say(phase.name, "busy" if self._bridge.fitting else "good")
        if phase.detail:
            self._panels.fit.detail.setText(phase.detail)

    def _field_ready(self, ready: FieldReady) -> None:
        for view in self._panels.looking:
            if self._series.fields and not self.views_empty:  # of a time-lapse: view and contrast stay what they are
                view.refresh()
            else:
                view.show_field(ready)
        self.views_empty = False
        self.changed.emit()

    def _lights(self, lights: Lights) -> None:
        self._panels.errors.show_lights(lights)
        self._panels.lights.show_lights(lights)
        if lights.run == self.scan_run:  # any other capture may be of a board that stood elsewhere
            self._panels.spectrum.set_calibrated(lights.led_na_l2, lights.objective_na)

    def _finished(self, finished: Finished) -> None:
        self._panels.fit.say("finished", "good")
        self._panels.fit.show_finished(finished)
        for view in self._panels.looking:
            view.refresh()
        self.changed.emit()

    def _saved(self, saved: Saved) -> None:
        if self._series.at_work:
            log.info("saved %s", saved.field_path)
        else:
            self._panels.fit.show_saved(saved)

    def _notice(self, notice: Notice) -> None:
        log.info("%s", notice.text)
        self._panels.fit.detail.setText(notice.text)

    def _failed(self, failed: Failed) -> None:
        log.error("%s %s\n%s", failed.message, failed.remedy, failed.detail)
        self._panels.message.tell(failed.message, failed.remedy)
        if not failed.ends_run:
            return
        was_fitting, self._bridge.fitting = self._bridge.fitting, False
        if was_fitting or not self._bridge.has_field:
            self._panels.fit.say("failed", "bad")
        self.changed.emit()

    def _lost(self, reason: str, remedy: str) -> None:
        self._panels.fit.say("lost", "bad")
        self._panels.message.tell(reason, remedy, "Restart", self._restart)
        self.changed.emit()

    def _recovered(self) -> None:
        self._panels.message.hide()
        self._panels.fit.say("running again", "busy")
        self.changed.emit()
