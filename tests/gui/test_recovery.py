"""The window's offer to finish what an interrupted scan has left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest

from acquisition.capture import CaptureHeader, CaptureWriter, Frame, Optics, read_capture
from gui.messages import MessageBar
from gui.recovery import RecoveryOffer

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """What a killed scan has left after three frames."""
    header = CaptureHeader(
        optics=Optics(0.515, 0.65, 40, 6.5, 0.1625, 1.33),
        led_position_mm_l3=np.column_stack([np.arange(8.0), np.zeros(8), np.full(8, 50.0)]),
        led_na_l2=np.column_stack([np.linspace(0, 0.3, 8), np.zeros(8)]),
        patterns_pl=np.eye(8, dtype=np.float32),
        image_shape=(16, 16),
    )
    path = tmp_path / "cells.h5"
    with CaptureWriter(path, header) as writer:
        for number in range(3):
            writer.write_frame(Frame(number, number, np.full((16, 16), 100, np.uint16), exposure_ms=1.0))
        writer.finish("complete")
    with h5py.File(path, "r+") as file:
        file["entry"].attrs["status"] = "running"
    return path.rename(tmp_path / "cells.h5.part")


@pytest.fixture
def bar(qtbot: Any) -> MessageBar:
    made = MessageBar()
    qtbot.addWidget(made)
    return made


def test_an_interrupted_scan_is_offered_and_recovered(left: Path, bar: MessageBar, qtbot: Any) -> None:
    offer = RecoveryOffer(bar)
    with qtbot.waitSignal(offer.found):
        offer.look(left.parent)
    assert bar.isVisible()
    assert bar.property("tone") == "info"
    assert "cells.h5.part was interrupted: 3 frames" in bar.message.text()
    assert left.exists(), "nothing is touched before the operator says so"
    with qtbot.waitSignal(offer.ended):
        bar.action.click()
    assert "cells.h5" in bar.message.text()
    assert not left.exists()
    assert len(read_capture(left.with_name("cells.h5")).images_nyx) == 3


def test_what_cannot_be_recovered_is_told(left: Path, bar: MessageBar, qtbot: Any) -> None:
    offer = RecoveryOffer(bar)
    with qtbot.waitSignal(offer.found):
        offer.look(left.parent)
    left.write_bytes(b"overwritten")
    with qtbot.waitSignal(offer.ended):
        bar.action.click()
    assert bar.property("tone") == "error"


def test_nothing_is_said_where_nothing_was_left(tmp_path: Path, bar: MessageBar, qtbot: Any) -> None:
    (tmp_path / "broken.h5.part").write_bytes(b"no capture")
    for folder in (tmp_path, tmp_path / "not there"):
        offer = RecoveryOffer(bar)
        with qtbot.assertNotEmitted(offer.found):
            offer.look(folder).join()
    assert not bar.isVisible()


def test_an_offer_does_not_hide_what_is_urgent(left: Path, bar: MessageBar, qtbot: Any) -> None:
    bar.tell("The board is gone.", "Plug it in.")
    offer = RecoveryOffer(bar)
    with qtbot.waitSignal(offer.found):
        offer.look(left.parent)
    assert bar.message.text() == "The board is gone."
