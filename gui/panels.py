"""The parts of the window, under one name each, and where each task has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtWidgets import QLabel, QVBoxLayout, QWidget

from acquisition.profile import shipped_profiles
from gui.acquire_panel import AcquirePanel
from gui.fit_panel import FitPanel
from gui.instrument_panel import InstrumentPanel
from gui.live_panel import LivePanel
from gui.marks_panel import MarksPanel
from gui.messages import MessageBar
from gui.section import Section
from gui.slices_panel import SlicesPanel
from gui.tasks import Arrangement, Task
from gui.time_bar import TimeBar
from gui.view_tabs import ViewTabs

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
    views: ViewTabs
    stage: QWidget
    time: TimeBar
    message: MessageBar
    device: QLabel


def make_panels(act: Mapping[str, QAction]) -> Panels:
    """Make every part of the window once; `act` holds the actions whose buttons stand in them."""
    slices = SlicesPanel()
    contrast = Section("Contrast", "contrast_section")
    contrast.body.addWidget(slices.contrast)
    views = ViewTabs()
    views.add("Slices", slices, contrast, MarksPanel(act))
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
        views=views,
        stage=stage,
        time=time,
        message=MessageBar(),
        device=QLabel("starting the reconstruction…"),
    )


def arrangements(panels: Panels) -> dict[Task, Arrangement]:
    """What each task shows: column, stage, side."""
    live, fit, views, stage = panels.live, panels.fit, panels.views, panels.stage
    return {
        Task.INSTRUMENT: Arrangement((panels.instrument,), live.camera, (live.lighting, live.leds)),
        Task.ACQUIRE: Arrangement((panels.acquire, views.controls), stage, (live.camera, live.leds)),
        Task.RECONSTRUCT: Arrangement((fit, views.controls), stage, (fit.curves,)),
        Task.VIEW: Arrangement((views.controls,), stage),
    }
