"""The LED board is unplugged while nobody talks to it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from acquisition.led_array.protocol import LedArrayError
from gui.instrument_service import InstrumentService

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gui.main_window import MainWindow

GONE = LedArrayError("The LED board on /dev/ttyACM0 is gone: no such device", "Check cable and power of the board.")


@pytest.fixture
def service(qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[InstrumentService]:
    """A service that looks often at an instrument whose board is there."""
    monkeypatch.setattr("gui.instrument_service.BOARD_LOOK_S", 0.01)
    service = InstrumentService()
    service.instrument = SimpleNamespace(  # type: ignore[assignment]
        check_board=lambda: None, close=lambda: GONE, darken=lambda: GONE, profile=None
    )
    yield service
    service.shut_down()
    qtbot.waitUntil(lambda: service.is_stopped)


def test_it_is_told_once_and_not_again_when_it_is_closed(service: InstrumentService, qtbot: Any) -> None:
    told: list[str] = []
    service.board_lost.connect(lambda message, remedy: told.append(message))
    service.problem.connect(lambda message, remedy: told.append(f"problem: {message}"))
    instrument: Any = service.instrument
    instrument.check_board = lambda: GONE
    qtbot.waitUntil(lambda: bool(told))
    service._live_ended(GONE)
    with qtbot.waitSignal(service.released):
        service.release()
    qtbot.wait(50)
    assert told == [GONE.message]


def test_a_scan_notices_by_itself(service: InstrumentService, qtbot: Any) -> None:
    service._scan = SimpleNamespace(wait=lambda *_: None, cancel=lambda: None, abandon=lambda: None)  # type: ignore[assignment]
    instrument: Any = service.instrument
    instrument.check_board = lambda: GONE
    with qtbot.assertNotEmitted(service.board_lost, wait=100):
        pass


def test_one_click_connects_again(window: MainWindow, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[object] = []
    monkeypatch.setattr(window.service, "open", opened.append)
    window.service.board_lost.emit(GONE.message, GONE.remedy)
    bar = window.panels.message
    assert (bar.message.text(), bar.remedy.text()) == (GONE.message, GONE.remedy)
    assert window.panels.instrument.state.text() == "LED board lost"
    bar.action.click()
    assert opened == [window.workflow.profile]
    window.service.released.emit()
    assert window.panels.instrument.state.text() == "connecting…"
    assert not window.panels.instrument.profile.isEnabled()
