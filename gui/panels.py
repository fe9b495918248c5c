"""The parts of the window, under one name each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PySide6.QtWidgets import QLabel

    from gui.acquire_panel import AcquirePanel
    from gui.fit_panel import FitPanel
    from gui.instrument_panel import InstrumentPanel
    from gui.live_panel import LivePanel
    from gui.messages import MessageBar
    from gui.slices_panel import SlicesPanel


@dataclass(frozen=True)
class Panels:
    """The parts of the window that the workflow writes to."""

    instrument: InstrumentPanel
    acquire: AcquirePanel
    fit: FitPanel
    live: LivePanel
    slices: SlicesPanel
    message: MessageBar
    device: QLabel
