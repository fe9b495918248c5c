"""The window's choice of a plan: kinds that can be had, what they mean, and why one cannot be."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from PySide6.QtCore import Qt

from acquisition.led_array.protocol import BoardInfo, Capability
from acquisition.leds import led_na, led_positions_mm
from acquisition.pacing import possible_paces
from acquisition.plan import Pace
from acquisition.profile import load_profile
from gui.acquire_panel import PACES
from gui.scan_time import ScanTime

if TYPE_CHECKING:
    from gui.main_window import MainWindow


@pytest.fixture
def planning(window: MainWindow) -> MainWindow:
    """Return a window that plans for the simulated board, without opening it."""
    profile = load_profile("simulated")
    na_l2 = led_na(led_positions_mm(profile.led_board.geometry), profile.led_board.orientation)
    camera = SimpleNamespace(image_shape=(256, 256), exposure_out=True, has_external_trigger=False)
    can = Capability.SEQUENCE | Capability.TRIGGER_IN | Capability.TRIGGER_OUT
    board_info = BoardInfo("round", "2.32", 33, capabilities=can)
    instrument: Any = SimpleNamespace(profile=profile, led_na_l2=na_l2, camera=camera, board_info=board_info)
    window.workflow.instrument, window.workflow._scan_time = instrument, ScanTime(instrument)
    window.panels.live.set_instrument(na_l2, profile.objective.na, (1.0, 1000.0, 10.0))
    window.panels.acquire.set_profile(profile)
    window.panels.acquire.set_paces(possible_paces(instrument))
    window.panels.acquire.set_connected(True)
    window.workflow.make_plan()
    return window


def test_kinds_are_planned_as_chosen(planning: MainWindow) -> None:
    acquire = planning.panels.acquire
    assert acquire.kind.currentData() == "brightfield"
    offered = [acquire.kind.itemData(index) for index in range(acquire.kind.count())]
    assert offered == ["brightfield", "darkfield", "dpc", "multiplexed"]
    acquire.kind.setCurrentIndex(offered.index("dpc"))
    assert planning.workflow.plan is not None
    assert planning.workflow.plan.pattern_count == 4
    assert "4 LED patterns, 10 ms each after 4 dark frames" in acquire.summary.text()
    assert "MB" in acquire.summary.text()
    assert "LEDs shine" in acquire.summary.toolTip()
    acquire.kind.setCurrentIndex(offered.index("multiplexed"))
    assert planning.workflow.plan.pattern_count == 9


def test_a_kind_that_the_board_cannot_do_is_told(planning: MainWindow) -> None:
    acquire = planning.panels.acquire
    acquire.kind.setCurrentIndex(acquire.kind.findData("darkfield"))
    assert planning.workflow.plan is None
    assert "No LED of 33" in acquire.summary.text()


def test_ways_that_the_cables_do_not_allow_are_grey_and_say_why(planning: MainWindow) -> None:
    pace = planning.panels.acquire.pace
    assert pace.currentData() == "software"
    model: Any = pace.model()
    enabled = {pace for index, pace in enumerate(PACES) if model.item(index).isEnabled()}
    assert enabled == {Pace.SOFTWARE, Pace.CAMERA}
    assert "camera.trigger.external" in pace.itemData(pace.findData("board"), Qt.ItemDataRole.ToolTipRole)
    pace.setCurrentIndex(pace.findData("camera"))
    assert planning.workflow.plan is not None
    assert planning.workflow.plan.pace is Pace.CAMERA
    pace.setCurrentIndex(pace.findData("handshake"))
    assert planning.workflow.plan is None
    assert "not possible" in planning.panels.acquire.summary.text()


def test_settings_of_the_profiles_own_kind_are_offered(window: MainWindow) -> None:
    window.panels.acquire.set_profile(load_profile("aidt_ring24"))
    assert window.panels.acquire.kind.currentData() == "annular"
