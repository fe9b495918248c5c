"""The views ask for exactly what the screen shows and put answers where they belong."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtWidgets import QAbstractButton, QAbstractSpinBox, QApplication, QComboBox, QLabel, QLineEdit

from gui.tasks import Task
from tests.gui import fakes

if TYPE_CHECKING:
    from gui.main_window import MainWindow


@pytest.fixture
def process(window: MainWindow, qtbot) -> fakes.FakeProcess:
    """The fake process behind a window that shows a field; the slices have settled."""
    process = fakes.process_of(window)
    window.files.open(Path("some.field.h5"))
    process.show_field(window.bridge.run or 0)
    settle(window, qtbot)
    return process


def settle(window: MainWindow, qtbot) -> None:
    """Wait until every view shows its visible rectangle in full."""
    views = window.panels.slices.views.values()

    def settled() -> None:
        assert all(view.shown_plane() == view.visible() for view in views)

    qtbot.waitUntil(settled, timeout=5000)


def test_the_requested_plane_is_the_visible_rectangle(window: MainWindow, process: fakes.FakeProcess, qtbot) -> None:
    navigator = window.panels.slices.navigator
    before = navigator.zoom
    view = window.panels.slices.views["xy"]
    for _ in range(17):
        view.box.zoomed.emit(1.2, QPointF(2.0, -5.0))
    settle(window, qtbot)
    assert navigator.zoom / before == pytest.approx(1.2**17)
    (left, right), (top, bottom) = view.box.viewRange()
    asked = process.last("xy")
    assert asked.origin_um[:2] == pytest.approx((left, top))
    assert asked.origin_um[0] + asked.u_um[0] == pytest.approx(right)
    assert asked.origin_um[1] + asked.v_um[1] == pytest.approx(bottom)
    ratio = view.canvas.devicePixelRatioF()
    assert asked.shape == (round(view.box.height() * ratio), round(view.box.width() * ratio))


def test_zoom_by_20_shows_no_pixels(window: MainWindow, process: fakes.FakeProcess, qtbot) -> None:
    """What is painted has no block of equal pixels, although the structure was far below a pixel before the zoom."""
    panel = window.panels.slices
    panel.navigator.set_cursor((2.0, -5.0, 0.0))
    panel.centre_on_cursor()
    panel.navigator.zoom_by(20 / panel.navigator.zoom, {})
    settle(window, qtbot)
    view = panel.views["xy"]
    shown = np.asarray(view.sharp.image.image)
    assert shown.shape == view.visible().shape
    assert (np.diff(shown, axis=1) == 0).mean() < 0.02
    # what is on the screen is that picture, pixel for pixel
    panel.set_mark("cross_hair", False)
    low, high = panel.contrast.levels
    index = np.clip((shown - low) / (high - low) * 256, 0, 255).astype(int)
    expected = panel.contrast.lookup_table[index][60:-60, 20:-20].astype(int)
    corner = view.box.mapToScene(view.box.boundingRect().topLeft()).toPoint()
    grabbed = view.canvas.grab().toImage()
    painted = np.array(
        [
            [grabbed.pixelColor(corner.x() + x, corner.y() + y).getRgb()[:3] for x in range(20, shown.shape[1] - 20, 3)]
            for y in range(60, shown.shape[0] - 60, 7)
        ]
    )
    assert np.abs(painted - expected[::7, ::3]).mean() < 2.5


def test_coarse_while_moving_sharp_at_rest(window: MainWindow, process: fakes.FakeProcess, qtbot) -> None:
    view = window.panels.slices.views["xy"]
    process.requests.clear()
    view.box.panned.emit(QPointF(1.0, 0.5))
    coarse = process.last("xy")
    full = view.visible()
    assert full is not None
    assert coarse.shape == full.coarser(4).shape
    settle(window, qtbot)
    assert process.last("xy").shape == full.shape
    assert process.last("xy").origin_um == coarse.origin_um


def test_late_answers_are_placed_at_their_own_rectangle(window: MainWindow, process: fakes.FakeProcess, qtbot) -> None:
    view = window.panels.slices.views["xy"]
    process.hold = True
    process.requests.clear()
    view.box.zoomed.emit(3.0, QPointF(0.0, 0.0))
    for _ in range(10):
        view.box.panned.emit(QPointF(0.5, 0.0))
    asked = [request for request in process.requests if request.view == "xy"]
    assert len(asked) == 1, "one in flight"
    process.answer(asked[0])
    qtbot.waitUntil(lambda: len([r for r in process.requests if r.view == "xy"]) == 2)
    shown = view.shown_plane()
    assert shown is not None
    assert shown.origin_um == asked[0].origin_um
    rectangle = view.sharp.image.mapRectToParent(view.sharp.image.boundingRect())
    assert rectangle.left() == pytest.approx(asked[0].origin_um[0])
    assert rectangle.width() == pytest.approx(asked[0].u_um[0])
    assert process.last("xy").origin_um[0] == pytest.approx(asked[0].origin_um[0] + 5.0), (
        "the latest waits, not the next"
    )


def test_backdrop_covers_the_whole_box(window: MainWindow, process: fakes.FakeProcess, qtbot) -> None:
    view = window.panels.slices.views["xz"]
    view.box.zoomed.emit(8.0, QPointF(0.0, 0.0))
    settle(window, qtbot)
    whole = view.shown_plane(whole=True)
    assert whole is not None
    assert whole.width_um == pytest.approx(80)
    assert whole.height_um == pytest.approx(30)


def test_pictures_of_an_old_run_are_dropped(window: MainWindow, process: fakes.FakeProcess, qtbot) -> None:
    process.hold = True
    view = window.panels.slices.views["xy"]
    view.box.panned.emit(QPointF(1.0, 0.0))
    old = process.last("xy")
    window.files.open(Path("other.field.h5"))
    assert view.shown_plane() is None
    process.answer(old)
    qtbot.wait(50)
    assert view.shown_plane() is None
    process.hold = False
    process.show_field(window.bridge.run or 0)
    settle(window, qtbot)


def test_a_refresh_is_shown_unasked(window: MainWindow, process: fakes.FakeProcess, qtbot) -> None:
    view = window.panels.slices.views["xy"]
    before = np.array(view.sharp.image.image)
    process.answer(process.last("xy"), scale=0.5)
    qtbot.waitUntil(lambda: bool(np.allclose(view.sharp.image.image, 0.5 * before)), timeout=2000)


def test_linked_cross_hair(window: MainWindow, process: fakes.FakeProcess, qtbot) -> None:
    views = window.panels.slices.views
    views["xy"].box.pointed.emit(QPointF(-9.0, 3.0))
    assert views["xz"].marks.hair_column.value() == pytest.approx(-9.0)
    assert views["yz"].marks.hair_row.value() == pytest.approx(3.0)
    settle(window, qtbot)
    assert process.last("yz").origin_um[0] == pytest.approx(-9.0)
    assert process.last("xz").origin_um[1] == pytest.approx(3.0)
    views["xz"].marks.hair_row.setValue(1.0)
    views["xz"].marks.hair_row.sigDragged.emit(views["xz"].marks.hair_row)
    settle(window, qtbot)
    assert process.last("xy").origin_um[2] == pytest.approx(1.0)


def test_axes_of_neighbours_agree(window: MainWindow, process: fakes.FakeProcess, qtbot) -> None:
    views = window.panels.slices.views
    for _ in range(3):
        views["yz"].box.zoomed.emit(1.7, QPointF(1.0, 4.0))
    settle(window, qtbot)
    assert views["xy"].size_px()[0] == views["xz"].size_px()[0]
    assert views["xy"].size_px()[1] == views["yz"].size_px()[1]
    assert views["xy"].box.viewRange()[0] == pytest.approx(views["xz"].box.viewRange()[0])
    assert views["xy"].box.viewRange()[1] == pytest.approx(views["yz"].box.viewRange()[1])


def test_wheel_zooms_about_the_mouse_and_the_read_out_tells_the_field(
    window: MainWindow, process: fakes.FakeProcess, qtbot
) -> None:
    view = window.panels.slices.views["xy"]
    centre = view.box.mapViewToScene(QPointF(-9.0, 3.0))
    view._hover(centre)
    expected = float(fakes.dn_at(np.array(-9.0), np.array(3.0), np.array(0.0)))
    text = window.read_out.text()
    assert "x -9.00" in text
    assert float(text.split("Δn")[1].split()[0]) == pytest.approx(expected, abs=2e-4)
    assert float(text.split()[-1]) == pytest.approx(1.33 + expected, abs=2e-4)


def test_contrast_needs_no_new_picture(window: MainWindow, process: fakes.FakeProcess, qtbot) -> None:
    contrast = window.panels.slices.contrast
    assert contrast.auto.isChecked()
    low, high = contrast.levels
    assert high == pytest.approx(0.02, abs=0.006)
    count = len(process.requests)
    contrast.levels_spin[1].setValue(0.05)
    assert not contrast.auto.isChecked()
    contrast.map.setCurrentText("viridis")
    assert len(process.requests) == count
    assert tuple(window.panels.slices.views["xz"].sharp.image.levels) == pytest.approx((low, 0.05), abs=1e-4)
    contrast.auto.setChecked(True)
    assert contrast.levels == pytest.approx((low, high))
    contrast.part.setCurrentText("Absorption κ")
    assert {request.part for request in process.requests[-3:]} == {"kappa"}


def test_keys_step_through_slices(window: MainWindow, process: fakes.FakeProcess, qtbot) -> None:
    view = window.panels.slices.views["xy"]
    at_um = window.panels.slices.navigator.cursor_um[2]
    qtbot.keyClick(view, Qt.Key.Key_PageUp)
    assert window.panels.slices.navigator.cursor_um[2] > at_um
    qtbot.keyClick(view, Qt.Key.Key_PageDown)
    assert window.panels.slices.navigator.cursor_um[2] == pytest.approx(at_um)


def test_every_control_has_a_name(window: MainWindow) -> None:
    nameless = [
        (type(widget).__name__, widget.objectName())
        for kind in (QAbstractButton, QAbstractSpinBox, QComboBox, QLineEdit)
        for widget in window.centralWidget().findChildren(kind)
        if not widget.accessibleName()
        and not isinstance(widget.parent(), QAbstractSpinBox | QComboBox)
        and not widget.objectName().startswith("qt_")
    ]
    assert nameless == []
    keys = [
        action.shortcut().toString() for action in window.actions_by_key.values() if not action.shortcut().isEmpty()
    ]
    assert len(keys) == len(set(keys)) > 15


def test_what_to_do_first_is_whole_on_small_screens(window: MainWindow, qtbot) -> None:
    window.resize(1280, 720)
    window.bench.show_task(Task.ACQUIRE)
    QApplication.processEvents()
    hint = window.panels.slices.hint
    for expecting in ("", "Waiting for frames: " + 12 * "one more word "):
        window.panels.slices.clear(expecting)
        assert window.panels.slices.views["xy"].rect().contains(hint.geometry())
        QApplication.processEvents()
        for label in hint.findChildren(QLabel):
            assert label.height() >= label.heightForWidth(label.width()), label.text()


def test_the_window_fits_small_screens(window: MainWindow, qtbot) -> None:
    for task in Task:
        window.bench.show_task(task)
        assert window.minimumSizeHint().width() <= 1280, task
        assert window.minimumSizeHint().height() <= 720, task
    assert window.panels.slices.views["xy"].mapTo(window, QPoint(0, 0)).x() > 300
