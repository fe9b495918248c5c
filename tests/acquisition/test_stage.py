"""The stages, over a core in this program and over Micro-Manager's server: the same tests for both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from acquisition.micromanager import MicroManager
from acquisition.profile_camera import MicroManagerSettings, StageSettings
from acquisition.stage import StageError, Stages

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def micromanager(backend: MicroManagerSettings) -> Iterator[MicroManager]:
    opened = MicroManager.open(backend)
    yield opened
    opened.close()


def test_moves_and_says_where_it_is(micromanager: MicroManager) -> None:
    stages = Stages(micromanager, StageSettings())
    assert stages
    assert (stages.z_device, stages.xy_device) == ("Z", "XY")
    assert stages.move_z_um(12.5) == pytest.approx(12.5)
    assert stages.z_um() == pytest.approx(12.5)
    assert stages.move_xy_um(100.0, -50.0) == pytest.approx((100.0, -50.0), abs=0.1)
    assert stages.xy_um() == pytest.approx((100.0, -50.0), abs=0.1)
    stages.move_z_um(0)
    stages.move_xy_um(0, 0)


def test_limits_of_the_profile_are_kept(micromanager: MicroManager) -> None:
    stages = Stages(micromanager, StageSettings(z_limits_um=(-5.0, 5.0), xy_limits_um=((-10.0, 10.0), (-20.0, 20.0))))
    stages.move_z_um(5.0)
    stages.move_xy_um(0.0, -20.0)
    for z_um in (5.1, float("nan")):
        with pytest.raises(StageError, match="outside -5 to 5 um"):
            stages.move_z_um(z_um)
    for place_um in ((11.0, 0.0), (0.0, -21.0)):
        with pytest.raises(StageError, match="outside"):
            stages.move_xy_um(*place_um)
    assert stages.z_um() == pytest.approx(5.0)
    assert stages.xy_um() == pytest.approx((0.0, -20.0), abs=0.1)
    stages.move_xy_um(0.0, 0.0)


def test_a_refused_move_is_told(micromanager: MicroManager) -> None:
    with pytest.raises(StageError, match="does not move"):
        Stages(micromanager, StageSettings()).move_z_um(1e5)


def moves_of(micromanager: MicroManager, name: str, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    moves: list[Any] = []
    move = getattr(micromanager.core, name)

    def note(*arguments: Any) -> None:
        moves.append(arguments)
        move(*arguments)

    monkeypatch.setattr(micromanager.core, name, note, raising=False)
    return moves


def test_every_place_is_approached_from_below(micromanager: MicroManager, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = StageSettings(backlash_um=4.0, z_limits_um=(0.0, 50.0), xy_limits_um=((0.0, 50.0), (0.0, 50.0)))
    stages = Stages(micromanager, settings)
    z, xy = (moves_of(micromanager, name, monkeypatch) for name in ("set_position", "set_xy_position"))
    stages.move_z_um(10.0)
    stages.move_z_um(1.0)
    stages.move_xy_um(20.0, 2.0)
    assert z == [("Z", 6.0), ("Z", 10.0), ("Z", 0.0), ("Z", 1.0)]  # never below the limit
    assert xy == [("XY", 16.0, 0.0), ("XY", 20.0, 2.0)]


def test_a_stage_that_does_not_arrive_is_told(micromanager: MicroManager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(micromanager.core, "get_position", lambda device: 3.0, raising=False)
    with pytest.raises(StageError, match=r"sent to 10\.00 um and is at 3\.00 um"):
        Stages(micromanager, StageSettings()).move_z_um(10.0)


def test_a_stage_that_never_rests_is_told(micromanager: MicroManager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("acquisition.stage._MOVE_TIMEOUT_S", 0.1)
    monkeypatch.setattr(micromanager.core, "device_busy", lambda device: True, raising=False)
    with pytest.raises(StageError, match="still moving"):
        Stages(micromanager, StageSettings()).move_z_um(10.0)


def test_an_absent_stage_is_told_when_it_is_asked_for(
    micromanager: MicroManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("get_focus_device", "get_xy_stage_device"):
        monkeypatch.setattr(micromanager.core, name, lambda: "", raising=False)
    stages = Stages(micromanager, StageSettings())
    assert not stages
    for ask in (stages.z_um, stages.xy_um, lambda: stages.move_z_um(1.0), lambda: stages.move_xy_um(1.0, 1.0)):
        with pytest.raises(StageError, match="has no") as caught:
            ask()
        assert "hardware profile" in caught.value.remedy


def test_a_device_that_is_not_there_is_told(micromanager: MicroManager) -> None:
    with pytest.raises(StageError, match=r"'Piezo' of stage\.z_device"):
        Stages(micromanager, StageSettings(z_device="Piezo"))
