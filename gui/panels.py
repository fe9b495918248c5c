"""The parts of the window, under one name each, and where each task has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtWidgets import QLabel, QVBoxLayout, QWidget

from acquisition.profile import shipped_profiles
from gui.acquire_panel import AcquirePanel
from gui.actions import check_box_for
from gui.fit_panel import FitPanel
from gui.instrument_panel import InstrumentPanel
from gui.lights_panel import LightsPanel
from gui.live_panel import LivePanel
from gui.marks_panel import MarksPanel
from gui.messages import MessageBar
from gui.recent_panel import RecentPanel
from gui.residual_map import ErrorSection
from gui.slices_panel import SlicesPanel
from gui.spectrum_panel import SpectrumPanel
from gui.tasks import Arrangement, Task
from gui.time_bar import TimeBar
from gui.view_tabs import ViewTabs
from gui.volume_panel import VolumePanel

if TYPE_CHECKING:
    from collections.abc import Mapping

    from PySide6.QtGui import QAction


@dataclass(frozen=True)
class Panels:
    """The parts of the window that the workflow writes to.

    `views` holds all that show the field, `stage` holds them and the time bar.
    """

    instrument: InstrumentPanel
    acquire: AcquirePanel
    fit: FitPanel
    live: LivePanel
    slices: SlicesPanel
    volume: VolumePanel
    lights: LightsPanel
    errors: ErrorSection
    spectrum: SpectrumPanel
    views: ViewTabs
    recent: RecentPanel
    stage: QWidget
    time: TimeBar
    message: MessageBar
    device: QLabel

    @property
    def looking(self) -> tuple[SlicesPanel, VolumePanel, LightsPanel]:
        """All that show the field: they ask for pictures and take them, each its own."""
        return self.slices, self.volume, self.lights

    @property
    def in_front(self) -> SlicesPanel | VolumePanel | LightsPanel:
        """The one whose tab is in front: what the menu View acts on."""
        return next(panel for panel in self.looking if panel is self.views.currentWidget())

    def show_scale_bar(self, shown: bool) -> None:
        """Show or hide it wherever there is one."""
        self.slices.set_mark("scale_bar", shown)
        self.volume.set_mark("scale_bar", shown)
        self.lights.images.show_scale_bar(shown)


def make_panels(act: Mapping[str, QAction]) -> Panels:
    """Make every part of the window once; `act` holds the actions whose buttons stand in them."""
    slices = SlicesPanel()
    slices.tools.add("View", MarksPanel(act))
    views = ViewTabs()
    volume, lights, errors = VolumePanel(slices.contrast), LightsPanel(), ErrorSection()
    volume.marks.addWidget(check_box_for(act["scale_bar"]))
    views.add("Slices", slices, slices.tools)
    views.add("Volume", volume, *volume.controls, slices.contrast)
    views.add("Lights", lights, lights.controls)
    lights.marked.connect(errors.map.mark)
    lights.error_found.connect(errors.map.note_error)
    for chosen, show in ((errors.map.picked, lights.show_led), (errors.map.pointed, lights.show_direction)):
        chosen.connect(lambda *_: views.setCurrentWidget(lights))
        chosen.connect(show)
    time = TimeBar()
    stage = QWidget()
    stage.setObjectName("view_stage")
    layout = QVBoxLayout(stage)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(6)
    layout.addWidget(views, 1)
    layout.addWidget(time)
    return Panels(
        instrument=InstrumentPanel(shipped_profiles(), act["connect"], act["disconnect"]),
        acquire=AcquirePanel(act["start_scan"], act["pause_scan"], act["cancel_scan"]),
        fit=FitPanel(act["finish_fit"], act["cancel_fit"], act["save_field"]),
        live=LivePanel(),
        slices=slices,
        volume=volume,
        lights=lights,
        errors=errors,
        spectrum=SpectrumPanel(),
        views=views,
        recent=RecentPanel(act["open_capture"], act["open_field"]),
        stage=stage,
        time=time,
        message=MessageBar(),
        device=QLabel("starting the reconstruction…"),
    )


def arrangements(panels: Panels) -> dict[Task, Arrangement]:
    """What each task shows: column, stage, side."""
    live, fit, views, stage = panels.live, panels.fit, panels.views, panels.stage
    return {
        Task.INSTRUMENT: Arrangement((panels.instrument, panels.recent), live.camera, (live.lighting, live.leds)),
        Task.ACQUIRE: Arrangement((panels.acquire, live.leds), stage, (live.camera, panels.spectrum)),
        Task.RECONSTRUCT: Arrangement((fit, views.controls), stage, (fit.curves, panels.errors)),
        Task.VIEW: Arrangement((views.controls,), stage),
    }
