"""The volume panel alone: what it asks for, and what hand, keys and controls do to it."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt

from gui.contrast_panel import ContrastPanel
from gui.cut_panel import CutPanel
from gui.opacity_editor import OpacityEditor, moved_point
from gui.volume_marks import box_edges
from gui.volume_panel import MODES, VolumePanel
from gui.volume_view import FIRST_LOOK
from recon.messages import FieldReady, Picture
from recon.scene import COLOURED_MODES, Camera
from recon.view_requests import CloseView, RequestVolume
from tests.gui.fakes import BOUNDS_UM, MEDIUM_INDEX

READY = FieldReady(1, BOUNDS_UM, MEDIUM_INDEX, (0.0, 0.018), (1.0, 4.0))


def painted(asked):
    if asked.scene.mode in COLOURED_MODES:
        clouds = np.zeros((*asked.shape, 4), np.uint8)
        clouds[asked.shape[0] // 3 : -asked.shape[0] // 3, asked.shape[1] // 3 : -asked.shape[1] // 3] = 200
        return clouds
    return np.full(asked.shape, 0.5, np.float32)


@pytest.fixture
def panel(qtbot):
    panel = VolumePanel(ContrastPanel())
    panel.resize(400, 300)
    panel.asked = []
    panel.picture_wanted.connect(panel.asked.append)
    qtbot.addWidget(panel)
    for section in panel.controls:
        qtbot.addWidget(section)
    with qtbot.waitExposed(panel):
        panel.show()
    return panel


@pytest.fixture
def shown(panel):
    panel.show_field(READY)
    return panel


def answer_all(panel):
    """Paint what is asked until nothing more is."""
    seen = None
    while panel.asked and panel.asked[-1] is not seen:
        seen = panel.asked[-1]
        panel.show_picture(Picture(seen, painted(seen), 1), painted(seen))


def answer_until_sharp(panel, qtbot):
    """Go on painting as the process does, whatever is asked meanwhile: behind a picture that is due nothing is sent."""

    def is_sharp():
        answer_all(panel)
        return panel.view.is_sharp

    qtbot.waitUntil(is_sharp)


def camera(panel):
    return panel.view.scene.camera


def test_nothing_is_asked_before_there_is_a_field_nor_after_it_is_gone(panel, qtbot):
    panel.mode.setCurrentText("Surface")
    panel.view.zoom_by(2.0)
    assert not panel.asked and panel.hint.isVisible()
    panel.show_field(READY)
    assert panel.asked and not panel.hint.isVisible()
    panel.clear()
    count = len(panel.asked)
    qtbot.keyClick(panel.view, Qt.Key.Key_Left)
    assert len(panel.asked) == count and panel.hint.isVisible()


def test_coarse_while_moving_and_sharp_in_steps_at_rest(shown, qtbot):
    answer_all(shown)
    assert shown.view.is_sharp
    shown.asked.clear()
    qtbot.keyClick(shown.view, Qt.Key.Key_Left)
    assert [asked.quality for asked in shown.asked] == ["moving"]
    assert max(shown.asked[0].shape) <= 256
    answer_all(shown)
    answer_until_sharp(shown, qtbot)
    sizes = [asked.shape[1] for asked in shown.asked if asked.quality == "rest"]
    assert sizes == sorted(sizes) and sizes[-1] == 400 * shown.devicePixelRatioF()
    assert shown.view.is_sharp
    widths = {round(asked.shape[1] * asked.scene.camera.um_per_px, 6) for asked in shown.asked}
    assert len(widths) == 1  # all of the same part of the sample


def test_move_does_not_wait_for_a_slow_picture(shown, qtbot):
    answer_all(shown)
    shown.view.ask_sharp()
    slow = shown.asked[-1]
    assert slow.quality == "rest"  # in flight, unanswered
    qtbot.keyClick(shown.view, Qt.Key.Key_Up)
    assert shown.asked[-1].quality == "moving"
    newest = shown.asked[-1]
    shown.show_picture(Picture(newest, painted(newest), 1), painted(newest))
    shown.show_picture(Picture(slow, painted(slow), 1), painted(slow))
    assert shown.view._picture[0] is newest


def test_drag_turns_the_near_side_with_the_hand_and_shift_pans(shown, qtbot):
    near = -10.0 * camera(shown).axes[2] + camera(shown).centre_um
    middle = QPoint(200, 150)

    def drag(button, by, modifier=Qt.KeyboardModifier.NoModifier):
        qtbot.mousePress(shown.view, button, modifier, middle)
        from PySide6.QtGui import QMouseEvent

        move = QMouseEvent(
            QMouseEvent.Type.MouseMove, QPointF(middle + by), QPointF(middle + by), button, button, modifier
        )
        shown.view.mouseMoveEvent(move)
        qtbot.mouseRelease(shown.view, button, modifier, middle + by)

    drag(Qt.MouseButton.LeftButton, QPoint(30, 0))
    assert camera(shown).project(near)[0] > 1
    before = camera(shown)
    drag(Qt.MouseButton.RightButton, QPoint(20, 10))
    assert camera(shown).rotation == before.rotation
    assert np.allclose((camera(shown).project(near) - before.project(near))[:2], [20, 10])
    drag(Qt.MouseButton.LeftButton, QPoint(-20, -10), Qt.KeyboardModifier.ShiftModifier)
    assert np.allclose(camera(shown).centre_um, before.centre_um)
    shown.view.zoom_by(3.0, QPointF(50, 60))
    assert shown.view.zoom == pytest.approx(3.0)
    qtbot.keyClick(shown.view, Qt.Key.Key_Home)
    assert shown.view.zoom == pytest.approx(1.0) and camera(shown).rotation == FIRST_LOOK


@pytest.mark.parametrize("name", list(MODES))
def test_every_mode_is_asked_for_and_painted(shown, name):
    shown.mode.setCurrentText(name)
    answer_all(shown)
    shown.view.ask_sharp()
    answer_all(shown)
    asked = shown.asked[-1]
    assert isinstance(asked, RequestVolume) and asked.scene.mode == MODES[name] and shown.view.is_sharp
    grab = shown.view.grab().toImage()
    assert grab.pixelColor(200, 150) != grab.pixelColor(2, 2) or MODES[name] not in COLOURED_MODES


def test_new_colours_of_values_need_no_new_picture(shown):
    shown.mode.setCurrentText("Largest Δn")
    answer_all(shown)
    shown.view._rest.stop()
    count = len(shown.asked)
    shown.contrast.choose_map("viridis")
    assert len(shown.asked) == count
    assert shown.scene.colours == shown.contrast.lookup_table.tobytes()
    shown.mode.setCurrentText("Clouds")
    count = len(shown.asked)
    shown.contrast.choose_map("magma")
    assert len(shown.asked) > count or shown.view.channel._waiting is not None


def test_curve_and_surface_follow_the_levels_until_they_are_drawn(shown):
    shown.contrast.start_with((0.0, 0.04))
    assert shown.curve.points[-1][0] == pytest.approx(0.04)
    shown.curve.changed.emit(shown.curve.points)
    shown.contrast.start_with((0.0, 0.02))
    assert shown.curve.points[-1][0] == pytest.approx(0.04)
    shown.new_curve.click()
    assert shown.curve.points[-1][0] == pytest.approx(0.02)
    shown.mode.setCurrentText("Surface")
    shown.surface.setValue(100)
    assert shown.scene.surface_dn == pytest.approx(shown.surface_dn)


def test_hidden_panel_costs_the_fit_nothing(shown, qtbot):
    shown.hide()
    assert isinstance(shown.asked[-1], CloseView)
    count = len(shown.asked)
    shown.view._spin_on()
    shown.view.ask_sharp()
    assert len(shown.asked) == count
    with qtbot.waitExposed(shown):
        shown.show()
    assert shown.asked[-1].quality == "rest"


def test_spin_turns_like_a_top(shown):
    shown.spin.setChecked(True)
    axis = camera(shown).axes[:, 2]
    shown.view._spin_on()
    assert np.allclose(camera(shown).axes[:, 2], axis)  # z stays where it is on the screen
    assert not np.allclose(camera(shown).axes[:, 0], Camera(FIRST_LOOK).axes[:, 0])
    shown.clear()
    assert not shown.view.spinning


def test_cut_faces_the_viewer_and_moves_through_the_box(qtbot):
    cuts = CutPanel()
    qtbot.addWidget(cuts)
    cuts.set_box(BOUNDS_UM)
    assert cuts.cut is None and cuts.crop_um is None
    cuts.face(np.array([1.0, 0.0, 0.0]))
    assert cuts.cut.point_um == (0.0, 0.0, 0.0)
    cuts.position.setValue(cuts.position.maximum())
    assert cuts.cut.point_um[0] == pytest.approx(40.0)
    cuts.crop.setChecked(True)
    cuts.ends[2][1].setValue(3.0)
    assert cuts.crop_um[1] == pytest.approx((40.0, 40.0, 3.0))


def test_points_of_the_curve_are_dragged_added_and_removed(qtbot):
    editor = OpacityEditor()
    qtbot.addWidget(editor)
    editor.resize(300, 130)
    with qtbot.waitExposed(editor):
        editor.show()
    editor.set_points([(0.0, 0.0), (0.01, 0.2), (0.02, 0.5)])
    drawn = []
    editor.changed.connect(drawn.append)
    qtbot.mouseClick(editor.viewport(), Qt.MouseButton.RightButton, pos=editor.position_of(1).toPoint())
    assert len(drawn[-1]) == 2
    halfway = (editor.position_of(0) + editor.position_of(1)) / 2
    qtbot.mouseDClick(editor.viewport(), Qt.MouseButton.LeftButton, pos=halfway.toPoint())
    assert len(editor.points) == 3 and 0.0 < editor.points[1][0] < 0.02
    points = moved_point(editor.points, 1, 5.0, 3.0)
    assert points[1] == (editor.points[2][0], 1.0)


def test_edges_of_a_box_seen_from_a_side():
    edges = box_edges(BOUNDS_UM, Camera(FIRST_LOOK))
    assert len(edges) == 12 and sum(hidden for _, hidden in edges) == 3
