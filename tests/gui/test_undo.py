"""Undo of what the views show and of the settings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt

from tests.gui import fakes

if TYPE_CHECKING:
    from gui.main_window import MainWindow


@pytest.fixture
def viewing(window: MainWindow, qtbot: Any) -> MainWindow:
    window.files.open(Path("some.field.h5"))
    fakes.process_of(window).show_field(window.bridge.run or 0)
    qtbot.waitUntil(lambda: window.panels.slices.views["xy"].shown_plane() is not None)
    return window


def test_view_and_settings_are_undone_in_their_order(
    viewing: MainWindow, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    slices, fit_panel, stack = viewing.panels.slices, viewing.panels.fit, viewing.history.stack
    act = viewing.actions_by_key
    assert not act["undo"].isEnabled(), "what the program did by itself is no step"
    zoom = slices.navigator.zoom
    for step, change in enumerate(
        (
            lambda: slices.zoom(+3),
            lambda: slices.contrast.levels_spin[1].setValue(0.05),
            lambda: slices.contrast.map.setCurrentText("viridis"),
            lambda: fit_panel.seconds.setValue(77),
        )
    ):
        change()
        qtbot.waitUntil(lambda step=step: stack.count() == step + 1)
    assert act["undo"].text() == "Undo time limit"
    act["undo"].trigger()
    assert fit_panel.seconds.value() == 300
    act["undo"].trigger()
    assert slices.contrast.map.currentText() == "inferno"
    act["undo"].trigger()
    assert slices.contrast.auto.isChecked()
    act["undo"].trigger()
    assert slices.navigator.zoom == pytest.approx(zoom)
    assert slices.shows_whole
    for _ in range(4):
        act["redo"].trigger()
    qtbot.wait(20)
    assert stack.count() == 4, "undo and redo make no steps of their own"
    assert slices.contrast.levels[1] == pytest.approx(0.05)
    assert slices.navigator.zoom > 1.9 * zoom
    assert fit_panel.seconds.value() == 77


def test_a_dragged_level_is_one_step(viewing: MainWindow, qtbot: Any) -> None:
    region, stack = viewing.panels.slices.contrast.region, viewing.history.stack
    for high in np.linspace(0.02, 0.04, 12):
        region.setRegion((0.0, float(high)))
        qtbot.wait(2)
    qtbot.waitUntil(lambda: viewing.panels.slices.contrast.levels[1] == pytest.approx(0.04))
    qtbot.wait(5)
    assert stack.count() == 1
    stack.undo()
    assert viewing.panels.slices.contrast.auto.isChecked()


def test_the_look_of_the_volume_is_undone(viewing: MainWindow, qtbot: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gui.history.ONE_STEP_S", 0.0)  # drawn and taken back in one go would be no step at all
    volume, stack = viewing.panels.volume, viewing.history.stack
    viewing.panels.views.setCurrentWidget(volume)
    first, first_curve, first_surface = volume.scene.camera, volume.curve.points, volume.surface.value()
    drawn = ((0.0, 0.1), (0.02, 0.9))
    for step, change in enumerate(
        (
            lambda: volume.mode.setCurrentText("Surface"),
            lambda: volume.surface.setValue(333),
            lambda: volume.curve._take(drawn),
            lambda: volume.new_curve.click(),
            lambda: volume.zoom(+2),
        )
    ):
        change()
        qtbot.waitUntil(lambda step=step: stack.count() == step + 1)
    turned = volume.scene.camera
    stack.undo()
    assert volume.scene.camera == first and volume.view.shows_whole
    stack.undo()
    assert volume.curve.points == drawn == volume.scene.opacity.points
    stack.undo()
    assert volume.curve.points == first_curve
    stack.undo()
    assert volume.surface.value() == first_surface
    assert volume.scene.mode == "surface"
    stack.undo()
    assert volume.mode.currentText() == "Clouds"
    viewing.panels.slices.contrast.levels_spin[1].setValue(0.05)
    assert volume.curve.points[-1][0] == pytest.approx(0.05), "a curve that nobody has drawn follows the levels again"
    stack.undo()
    for _ in range(5):
        stack.redo()
    qtbot.wait(20)
    assert volume.scene.camera == turned


def test_a_turn_by_hand_is_one_step_and_a_spin_ends_when_undone(viewing: MainWindow, qtbot: Any) -> None:
    volume, stack = viewing.panels.volume, viewing.history.stack
    viewing.panels.views.setCurrentWidget(volume)
    rotation = volume.scene.camera.rotation
    middle = volume.view.rect().center()
    qtbot.mousePress(volume.view, Qt.MouseButton.LeftButton, pos=middle)
    for moved in range(12):
        qtbot.mouseMove(volume.view, middle + QPoint(5 * moved, moved))
        qtbot.wait(2)
    qtbot.mouseRelease(volume.view, Qt.MouseButton.LeftButton)
    volume.spin.setChecked(True)
    turned = volume.scene.camera.rotation
    qtbot.waitUntil(lambda: volume.scene.camera.rotation != turned)
    qtbot.waitUntil(stack.canUndo)
    assert stack.count() == 1
    stack.undo()
    assert not volume.view.spinning
    assert volume.scene.camera.rotation == rotation
