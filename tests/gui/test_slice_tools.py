"""The oblique plane, measuring and certainty: what they ask for, and what they make of the answers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication

from gui.lookup_tables import DIVERGING, bent, colour_maps
from gui.navigator import OBLIQUE
from gui.slices_panel import SlicesPanel
from recon import messages, view_requests
from recon.figures import PROTEIN_ML_G
from tests.gui import fakes

if TYPE_CHECKING:
    from gui.slice_tools import SliceTools

READY = messages.FieldReady(1, fakes.BOUNDS_UM, fakes.MEDIUM_INDEX, (0.0, 0.02), (0.5, 3.0))


class Answering:
    """A panel whose requests are answered at once, as by a reconstruction process."""

    def __init__(self, panel: SlicesPanel) -> None:
        self.panel = panel
        self.asked: list[object] = []
        self.known = True
        panel.picture_wanted.connect(self.answer)

    def answer(self, asked: object) -> None:
        self.asked.append(asked)
        if isinstance(asked, view_requests.PictureRequest):
            picture = fakes.answer_to(asked)
            if not self.known and isinstance(asked, view_requests.RequestLine):
                picture[2] = math.nan
            elif not self.known and isinstance(asked, view_requests.RequestFigures):
                picture = picture[:0]
            self.panel.show_picture(messages.Picture(asked, picture, 1), picture)

    def last(self, kind: type) -> object:
        return next(asked for asked in reversed(self.asked) if isinstance(asked, kind))

    def slices(self, view: str) -> list[view_requests.RequestSlice]:
        return [asked for asked in self.asked if isinstance(asked, view_requests.RequestSlice) and asked.view == view]


@pytest.fixture
def panel(qtbot) -> SlicesPanel:
    panel = SlicesPanel()
    for widget in (panel, panel.tools):
        qtbot.addWidget(widget)
        widget.resize(900, 700)
        widget.show()
    return panel


@pytest.fixture
def process(panel: SlicesPanel) -> Answering:
    process = Answering(panel)
    panel.show_field(READY)
    panel.refresh()
    return process


@pytest.fixture
def tools(panel: SlicesPanel, process: Answering) -> SliceTools:
    return panel.tools


# --- oblique plane ----------------------------------------------------------------------------------------------------


def test_the_oblique_plane_goes_through_the_cross_hair_and_is_sharp_at_rest(panel, process, qtbot) -> None:
    view = panel.views[OBLIQUE]
    panel.navigator.set_cursor((-6.0, 2.0, 1.0))
    process.asked.clear()
    view.box.turned.emit(QPointF(0.0, 0.0), QPointF(4.0, 3.0), False)
    assert not process.slices("xy"), "the upright slices have not changed"
    coarse = process.slices(OBLIQUE)[-1]
    normal = np.cross(coarse.u_um, coarse.v_um) / np.linalg.norm(np.cross(coarse.u_um, coarse.v_um))
    np.testing.assert_allclose(normal, panel.navigator.directions[2], atol=1e-9)
    assert normal @ (np.array(coarse.origin_um) - panel.navigator.cursor_um) == pytest.approx(0.0, abs=1e-9)
    qtbot.waitUntil(lambda: view.shown_plane() == view.visible(), timeout=3000)
    assert process.slices(OBLIQUE)[-1].shape[1] > 3 * coarse.shape[1]


def test_a_drag_moves_the_oblique_plane_along_its_normal_and_keys_turn_it(panel, process, qtbot) -> None:
    view, navigator = panel.views[OBLIQUE], panel.navigator
    normal, before = navigator.directions[2].copy(), np.array(navigator.cursor_um)
    view.box.lifted.emit(2.5)
    assert normal @ (np.array(navigator.cursor_um) - before) == pytest.approx(2.5)
    np.testing.assert_allclose(navigator.directions[2], normal)
    qtbot.keyClick(view, Qt.Key.Key_Up, Qt.KeyboardModifier.ShiftModifier)
    assert math.degrees(math.acos(navigator.directions[2] @ normal)) == pytest.approx(5.0)
    qtbot.keyClick(view, Qt.Key.Key_Right, Qt.KeyboardModifier.ControlModifier)
    assert math.degrees(math.acos(navigator.directions[2] @ normal)) == pytest.approx(5.0), "turned in its plane"
    qtbot.keyClick(view, Qt.Key.Key_Space)
    np.testing.assert_allclose(navigator.directions[2], normal)


@pytest.mark.parametrize("name", ["xy", "xz", "yz"])
def test_its_trace_in_an_upright_slice_lies_on_both(panel, process, name) -> None:
    panel.navigator.set_cursor((-6.0, 2.0, 1.0))
    panel.navigator.turn_plane(0, 0.7)
    panel.navigator.turn_plane(1, -0.4)
    view = panel.views[name]
    angle = math.radians(view.marks.trace.angle)
    there = view.marks.trace.pos() + QPointF(7.0 * math.cos(angle), 7.0 * math.sin(angle))
    point = np.array(view.frame().point(there.x(), there.y()))
    assert panel.navigator.directions[2] @ (point - panel.navigator.cursor_um) == pytest.approx(0.0, abs=1e-9)
    # dragged, it takes the plane with it
    dragged = np.array(view.frame().point(3.0, -4.0))
    view.marks.trace.setPos((3.0, -4.0))
    view.marks.trace.sigDragged.emit(view.marks.trace)
    frame = panel.navigator.frame(OBLIQUE)
    assert np.array(frame.normal) @ (dragged - frame.origin_um) == pytest.approx(0.0, abs=1e-6)


def test_one_view_takes_all_the_room_and_the_others_ask_for_nothing(panel, process, qtbot) -> None:
    panel.enlarge(OBLIQUE)
    assert [name for name, view in panel.views.items() if view.isVisible()] == [OBLIQUE]
    forgotten = {asked.view for asked in process.asked if isinstance(asked, view_requests.CloseView)}
    assert {"xy", "xy whole", "xz", "yz"} <= forgotten, "a fit need not paint them"
    process.asked.clear()
    panel.zoom(3)
    assert process.slices(OBLIQUE) and not process.slices("xy")
    panel.enlarge(OBLIQUE)
    assert all(view.isVisible() for view in panel.views.values())
    assert process.slices("xy")


# --- contrast ---------------------------------------------------------------------------------------------------------


def test_percentiles_and_a_diverging_table_about_zero(panel, process) -> None:
    contrast = panel.contrast
    wide = contrast.levels
    contrast.percentile_spins[1].setValue(90.0)
    assert contrast.levels[1] < wide[1]
    contrast.map.setCurrentText(DIVERGING)
    low, high = contrast.levels
    assert low == pytest.approx(-high, abs=1e-4)
    assert contrast.lookup_table[127:129].max() < 5, "the medium is dark"
    contrast.levels_spin[1].setValue(0.03)
    assert not contrast.auto.isChecked()


def test_gamma_opens_up_what_is_dark_and_keeps_the_ends() -> None:
    grey = colour_maps()["grey"]
    opened = bent(grey, 0.5, about_middle=False)
    assert (opened[1:-1].astype(int) >= grey[1:-1]).all() and opened[64, 0] == pytest.approx(128, abs=1)
    assert (opened[[0, -1]] == grey[[0, -1]]).all()
    even = bent(grey, 2.0, about_middle=True)
    np.testing.assert_allclose(even[:, 0].astype(int) + even[::-1, 0], 255, atol=1)


# --- measuring --------------------------------------------------------------------------------------------------------


def test_a_line_is_drawn_asked_and_copied(panel, process, tools) -> None:
    view = panel.views["xy"]
    tools.profile.draw.setChecked(True)
    for share in (0.5, 1.0):
        view.box.drawn.emit(QPointF(-20.0, 0.0), QPointF(-20.0 + 30.0 * share, 0.0), share == 1.0)
    assert not tools.profile.draw.isChecked() and not view.box.draws
    asked = process.last(view_requests.RequestLine)
    assert asked.view == "line profile"
    z_um = panel.navigator.cursor_um[2]
    assert asked.start_um == pytest.approx((-20.0, 0.0, z_um)) and asked.end_um == pytest.approx((10.0, 0.0, z_um))
    x_um, dn = tools.profile.curve.getData()
    assert x_um[-1] == pytest.approx(30.0) and dn.max() > 0.01
    tools.profile.copy.click()
    lines = QGuiApplication.clipboard().text().splitlines()
    assert lines[0] == "distance_um,x_um,y_um,z_um,n,dn,sigma_dn,kappa" and len(lines) == asked.count + 1
    row = [float(value) for value in lines[200].split(",")]
    assert row[4] == pytest.approx(fakes.MEDIUM_INDEX + row[5], abs=2e-6) and row[6] == pytest.approx(fakes.SIGMA)
    # it follows the slice, and an end that is dragged
    panel.navigator.set_cursor((0.0, 0.0, 5.0))
    assert process.last(view_requests.RequestLine).start_um[2] == pytest.approx(5.0)
    tools.profile.mark._item.movePoint(1, (10.0, 8.0))
    assert process.last(view_requests.RequestLine).end_um == pytest.approx((10.0, 8.0, 5.0))
    tools.profile.erase.click()
    assert process.last(view_requests.CloseView).view == "line profile" and tools.profile.csv() == ""


def test_while_fitting_it_says_that_nothing_is_known_of_certainty(panel, process, tools) -> None:
    process.known = False
    panel.show_field(READY)
    assert "not known yet" in tools.point.values["Δn"].text()
    tools.profile.mark.put(panel.views["xy"], QPointF(-5.0, 0.0), QPointF(5.0, 0.0))
    assert tools.profile.state.text() == "σ not known"
    assert ",," in tools.profile.csv().splitlines()[1]
    tools.show_page("Certainty")
    assert tools.certainty.state.text() == "not known"
    process.known = True
    panel.refresh()
    assert tools.point.values["Δn"].text().endswith(f"± {fakes.SIGMA:.5f}")
    texts = [label.text() for label in tools.certainty.figures.values()]
    assert texts == ["500 nm", "3 µm, the limit of light", "90%", "80%"]


@pytest.mark.parametrize(("shape", "corners"), [("rectangle", 4), ("ellipse", 48), ("polygon", 8)])
def test_a_region_on_any_slice(panel, process, tools, shape, corners) -> None:
    tools.show_page("Measure")
    assert process.last(view_requests.RequestRegion).outline_um == (), "without an outline the whole box counts"
    assert tools.region.threshold.value() == pytest.approx(0.002)
    tools.region.shape.setCurrentText(shape)
    tools.region.mark.put(panel.views["xz"], QPointF(-8.0, -2.0), QPointF(4.0, 6.0))
    asked = process.last(view_requests.RequestRegion)
    outline = np.array(asked.outline_um)
    assert len(outline) == corners
    area = 0.5 * abs(np.sum(outline[:, 0] * np.roll(outline[:, 1], -1) - outline[:, 1] * np.roll(outline[:, 0], -1)))
    if shape != "polygon":
        assert area == pytest.approx(96.0 if shape == "rectangle" else 96.0 * math.pi / 4)
    np.testing.assert_allclose(outline.mean(axis=0), (-2.0, 2.0), atol=1e-6)
    assert (asked.across, asked.down) == ((1.0, 0.0, 0.0), (0.0, 0.0, 1.0))
    assert tools.region.values["Dry mass"].text() == f"{fakes.REGION.integral_um3 / PROTEIN_ML_G:.4g} pg ± 0.5"
    before = len(process.asked)
    tools.region.increment.setValue(0.19)
    assert tools.region.values["Dry mass"].text().startswith(f"{fakes.REGION.integral_um3 / 0.19:.4g} pg")
    assert len(process.asked) == before, "another increment needs no new measurement"


def test_a_page_that_is_not_in_front_asks_for_nothing(panel, process, tools) -> None:
    tools.show_page("Measure")
    tools.show_page("View")
    process.asked.clear()
    panel.refresh()
    kinds = {type(asked) for asked in process.asked}
    assert view_requests.RequestRegion not in kinds and view_requests.RequestCoverage not in kinds


# --- certainty --------------------------------------------------------------------------------------------------------


def test_the_tint_asks_for_the_uncertainty_of_what_is_seen(panel, process, tools) -> None:
    assert not process.slices("xy sigma")
    tools.certainty.tint.setCurrentText("in colour")
    asked, shown = process.slices("xy sigma")[-1], panel.views["xy"].visible()
    assert asked.part == "sigma" and asked.origin_um == shown.origin_um and asked.u_um == shown.u_um
    assert panel.views["xy"].sigma.image.isVisible()
    tools.certainty.tint.setCurrentText("none")
    assert not panel.views["xy"].sigma.image.isVisible()
    assert process.last(view_requests.CloseView).view.endswith("sigma")


def test_the_missing_cone_is_turned(panel, process, tools) -> None:
    tools.show_page("Certainty")
    tools.certainty.azimuth.setValue(45)
    assert process.last(view_requests.RequestCoverage).azimuth_deg == 45.0


@pytest.mark.parametrize("width_px", [1400, 760, 640, 520])
def test_captions_are_whole_in_narrow_views(panel, process, width_px: int) -> None:
    panel.resize(width_px, 600)
    QApplication.processEvents()
    for name, view in panel.views.items():
        caption = view.marks.caption
        assert caption.isVisible() and caption.geometry().right() < view.canvas.width(), name
    words = panel.views[OBLIQUE].marks.caption.text()
    assert ("oblique" in words) == (width_px == 1400) and words.endswith("°")


def test_the_scale_bar_says_where_zoom_passes_the_light(panel, process) -> None:
    bar = {name: view.marks.scale_bar.resolution_um for name, view in panel.views.items()}
    assert bar["xy"] == bar["xz"] == pytest.approx(0.5) and bar["yz"] == pytest.approx(3.0)
    panel.navigator.turn_plane(2, math.radians(30.0))
    assert 0.5 < panel.views[OBLIQUE].marks.scale_bar.resolution_um < 3.0


def test_the_picture_of_a_view_is_copied_as_seen(panel, process, qtbot) -> None:
    qtbot.keyClick(panel.views["xz"], Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert QGuiApplication.clipboard().pixmap().size() == panel.views["xz"].canvas.grab().size()
