"""Lights: the map of errors, predicted beside measured, stepping and playing; spectra; LEDs lit by a click."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QColor

from acquisition.capture import Optics
from acquisition.simulated.optics import AngledImager
from acquisition.simulated.phantoms import make_phantom
from gui import theme
from gui.lights_panel import LightsPanel
from gui.live_panel import LivePanel
from gui.pupil_view import PupilView
from gui.residual_map import ResidualMap
from gui.spectrum import Spectrum, SpectrumService, spectrum_of
from gui.spectrum_panel import SpectrumPanel
from gui.tasks import Task
from recon.messages import FieldReady, Picture
from recon.view_requests import NO_PATTERN, CloseView, RequestLight
from tests.gui import fakes

if TYPE_CHECKING:
    from gui.main_window import MainWindow
    from gui.pupil_canvas import PupilCanvas

READY = FieldReady(1, fakes.BOUNDS_UM, 1.33, (0.0, 0.02), (1.0, 4.0))


class Answering:
    """A panel whose requests are answered at once, or when `hold` is off again."""

    def __init__(self, panel: LightsPanel) -> None:
        self.panel = panel
        self.requests: list[RequestLight] = []
        self.hold = False
        self.forgotten = 0
        panel.picture_wanted.connect(self.take)

    def take(self, asked: RequestLight | CloseView) -> None:
        if isinstance(asked, CloseView):
            self.forgotten += 1
            return
        self.requests.append(asked)
        if not self.hold:
            self.answer(asked)

    def answer(self, asked: RequestLight) -> None:
        picture = fakes.light_picture(asked)
        self.panel.show_picture(Picture(asked, picture, 1), picture)

    @property
    def last(self) -> RequestLight:
        return self.requests[-1]


@pytest.fixture
def panel(qtbot: Any) -> LightsPanel:
    panel = LightsPanel()
    qtbot.addWidget(panel)
    qtbot.addWidget(panel.controls)
    panel.controls.resize(330, 420)
    panel.resize(900, 400)
    panel.show()
    panel.controls.show()
    return panel


@pytest.fixture
def answering(panel: LightsPanel) -> Answering:
    """The panel with a field and its lights."""
    answering = Answering(panel)
    panel.show_field(READY)
    panel.show_lights(fakes.lights(1))
    return answering


def point(canvas: PupilCanvas, na: tuple[float, float]) -> QPoint:
    """Where a direction lies on a map."""
    return canvas._point(np.array(na)).toPoint()


def click(qtbot: Any, canvas: PupilCanvas, na: tuple[float, float]) -> None:
    qtbot.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=point(canvas, na))


# --- predicted, measured, residual ------------------------------------------------------------------------------------


def test_it_begins_with_an_led_that_was_kept_from_the_fit(panel: LightsPanel, answering: Answering) -> None:
    assert answering.last.pattern == 2
    assert "LED 2" in panel.heading.text() and "kept from the fit" in panel.heading.text()
    predicted, measured, residual = fakes.light_picture(answering.last)
    assert np.array_equal(panel.images.predicted.picture, predicted)
    assert np.array_equal(panel.images.measured.picture, measured)
    assert np.array_equal(panel.images.residual.picture, residual)
    error = np.linalg.norm(residual) / np.linalg.norm(measured - 1)
    assert panel.images.residual.figure.text() == f"error {error:.3f}"
    assert f"{error:.3f}" in panel.map.describe(2)


def test_both_images_have_one_contrast_and_the_residual_as_many_units_to_a_grey(
    panel: LightsPanel, answering: Answering
) -> None:
    images = panel.images
    low, high = images.measured.image.levels
    assert tuple(images.predicted.image.levels) == (low, high)
    assert np.diff(images.residual.image.levels) == pytest.approx(high - low)
    assert images.residual.image.levels[0] == -images.residual.image.levels[1]
    panel.magnified.setCurrentIndex(panel.magnified.findData(5))
    assert np.diff(images.residual.image.levels) == pytest.approx((high - low) / 5)
    panel.levels[1].setValue(3.0)
    assert panel.hold.isChecked()
    panel.show_pattern(4)
    assert images.measured.image.levels[1] == 3.0
    panel.hold.setChecked(False)
    assert images.measured.image.levels[1] < 2.0


def test_zoom_and_mouse_are_shared(panel: LightsPanel, answering: Answering, qtbot: Any) -> None:
    images = panel.images
    images.measured.box.zoomed.emit(4.0, QPointF(10.0, -5.0))
    images.residual.box.panned.emit(QPointF(1.0, 2.0))
    ranges = [np.array(part.box.viewRange()) for part in images.parts]
    assert np.allclose(ranges[0], ranges[1]) and np.allclose(ranges[0], ranges[2])
    assert np.ptp(ranges[0][0]) < 40
    panel.show_pattern(1)
    assert np.allclose(images.predicted.box.viewRange(), ranges[0]), "stays from LED to LED"
    said: list[str] = []
    panel.read_out.connect(said.append)
    images._hover(images.predicted, images.predicted.box.mapViewToScene(QPointF(-10.0, 0.0)))
    column = 15
    predicted, measured, residual = fakes.light_picture(answering.last)[:, 0, column]
    assert f"predicted {predicted:.3f}" in said[-1] and f"measured {measured:.3f}" in said[-1]
    assert f"residual {residual:+.3f}" in said[-1]
    qtbot.keyClick(panel, Qt.Key.Key_Home)
    assert np.ptp(images.predicted.box.viewRange()[0]) >= 80


def test_narrow_space_puts_the_residual_below(panel: LightsPanel, answering: Answering) -> None:
    places = panel.images._places
    assert places.getItemPosition(places.indexOf(panel.images.residual))[:2] == (0, 2)
    panel.resize(700, 800)
    panel.grab()
    assert places.getItemPosition(places.indexOf(panel.images.residual))[:2] == (1, 0)


# --- choosing ---------------------------------------------------------------------------------------------------------


def test_a_click_on_an_led_shows_its_image(panel: LightsPanel, answering: Answering, qtbot: Any) -> None:
    click(qtbot, panel.map, (-0.2, 0.0))
    assert answering.last.pattern == 3
    assert "LED 3" in panel.heading.text() and "bright field" in panel.heading.text()


def test_a_direction_without_an_led_is_predicted_alone(panel: LightsPanel, answering: Answering, qtbot: Any) -> None:
    click(qtbot, panel.map, (0.1, 0.1))
    assert answering.last.pattern == NO_PATTERN and answering.last.na == pytest.approx((0.1, 0.1), abs=0.01)
    assert panel.images.predicted.picture is not None
    assert panel.images.measured.picture is None and panel.images.residual.picture is None
    assert "No LED shines from here" in panel.images.measured.words.text()
    assert panel.heading.text().startswith("No LED")
    before = len(answering.requests)
    qtbot.mousePress(panel.map, Qt.MouseButton.LeftButton, pos=point(panel.map, (0.1, 0.1)))
    qtbot.mouseMove(panel.map, point(panel.map, (-0.1, 0.1)))
    qtbot.mouseRelease(panel.map, Qt.MouseButton.LeftButton, pos=point(panel.map, (-0.1, 0.1)))
    assert len(answering.requests) > before


def test_what_the_model_cannot_predict_is_told_in_words(panel: LightsPanel, answering: Answering, qtbot: Any) -> None:
    click(qtbot, panel.map, (0.4, 0.0))
    assert answering.last.na == (0.4, 0.0) and "LED 5" in panel.heading.text()
    assert panel.images.predicted.picture is None
    words = panel.images.predicted.words.text()
    assert "bright field alone" in words and "0.300" in words


def test_without_a_capture_the_reason_is_told(panel: LightsPanel) -> None:
    answering = Answering(panel)
    panel.show_field(READY)
    told = "No measured images: there is no c.h5 in /data."
    empty = np.empty((0, 2), np.int32)
    panel.show_lights(fakes.lights(1, lit_k2=empty, error_p=np.empty(0, np.float32), told=told))
    assert answering.last.pattern == NO_PATTERN and answering.last.na == (0.0, 0.0)
    assert panel.note.isHidden(), "it is told once, in place of the image"
    assert panel.images.measured.words.text() == told
    panel.step(+1)
    panel.show_worst()


def test_keys_go_from_led_to_led(panel: LightsPanel, answering: Answering, qtbot: Any) -> None:
    panel.show_led(0)
    for key, led in ((Qt.Key.Key_Right, 1), (Qt.Key.Key_Left, 0), (Qt.Key.Key_Up, 4), (Qt.Key.Key_Down, 0)):
        qtbot.keyClick(panel, key)
        assert answering.last.pattern == led
    before = len(answering.requests)
    panel.show_led(4)
    qtbot.keyClick(panel, Qt.Key.Key_Up)
    assert len(answering.requests) == before + 1, "there is nothing further up"
    qtbot.keyClick(panel, Qt.Key.Key_PageDown)
    qtbot.keyClick(panel, Qt.Key.Key_PageUp)
    assert answering.last.pattern == 4


def test_playing_shows_every_pattern_from_the_middle_outwards(
    panel: LightsPanel, answering: Answering, qtbot: Any
) -> None:
    panel._next.setInterval(1)
    panel.show_pattern(3)
    answering.requests.clear()
    qtbot.keyClick(panel, Qt.Key.Key_Space)
    qtbot.waitUntil(lambda: len(answering.requests) >= 10, timeout=5000)
    panel.play.setChecked(False)
    shown = [asked.pattern for asked in answering.requests]
    assert set(shown[:5]) == {0, 1, 2, 3, 4} and shown[:5] == shown[5:10]
    panel.play.setChecked(True)
    panel.hide()
    assert not panel.play.isChecked()


def test_an_led_of_several_patterns_shows_one_after_the_other(panel: LightsPanel) -> None:
    answering = Answering(panel)
    panel.show_field(READY)
    lit = np.array([[0, 0], [0, 1], [1, 1], [1, 2], [2, 3]], np.int32)
    panel.show_lights(fakes.lights(1, lit_k2=lit, error_p=np.array([0.1, 0.3, 0.2], np.float32), held_out=()))
    assert answering.last.pattern == 0 and "2 LEDs together" in panel.heading.text()
    panel.show_led(1)
    assert answering.last.pattern == 1
    panel.show_led(1)
    assert answering.last.pattern == 0
    panel.map.note_error(1, 0.9)
    panel.show_led(3)
    panel.worst.click()
    assert answering.last.pattern == 1


def test_the_latest_choice_wins(panel: LightsPanel, answering: Answering) -> None:
    answering.hold = True
    answering.requests.clear()
    for pattern in (0, 1, 3, 4):
        panel.show_pattern(pattern)
    assert [asked.pattern for asked in answering.requests] == [0], "one in flight"
    answering.hold = False
    answering.answer(answering.last)
    assert [asked.pattern for asked in answering.requests] == [0, 4], "the latest waits, not the next"


def test_nothing_is_asked_while_nobody_looks(panel: LightsPanel, answering: Answering) -> None:
    panel.hide()
    assert answering.forgotten == 1
    answering.requests.clear()
    panel.show_pattern(1)
    panel.refresh()
    assert not answering.requests
    panel.show()
    assert answering.last.pattern == 1
    panel.clear()
    assert panel.images.predicted.picture is None and not panel.controls.isEnabled()
    late = Picture(answering.last, fakes.light_picture(answering.last), 1)
    panel.show_picture(late, fakes.light_picture(answering.last))
    assert panel.images.predicted.picture is None


# --- the map ----------------------------------------------------------------------------------------------------------


def test_the_map_tells_good_from_bad_and_what_was_held_out_and_never_lit(qtbot: Any) -> None:
    view = ResidualMap()
    qtbot.addWidget(view)
    view.resize(300, 318)
    view.show_lights(fakes.lights(1, error_p=np.array([0.1, 0.5, 0.3, np.nan, 0.3], np.float32)))
    seen = view.grab().toImage()

    def colour(na: tuple[float, float]) -> QColor:
        return seen.pixelColor(point(view, na))

    assert colour((0.0, 0.0)) == QColor(theme.ACCENT)
    assert colour((0.2, 0.0)) == QColor(theme.BAD)
    assert colour((0.0, -0.2)) == QColor(theme.LIGHT)
    assert colour((-0.2, 0.0)) == QColor(theme.FAINT)
    assert "kept from the fit" in view.describe(2) and "never lit" in view.describe(5)
    assert "dark field" in view.describe(5)
    assert "worst is LED 1" in view.accessibleDescription()
    view.note_error(1, 0.2)
    assert view.worst() == 2 and "worst is LED 2" in view.accessibleDescription()
    view.note_error(3, 7.0)
    view.note_error(0, 0.2)
    assert view.colour(3) == QColor(theme.BAD) and view.colour(0) == QColor(theme.ACCENT), "one far off hides none"
    view.clear()
    view.grab()


def test_the_map_beside_the_fit_opens_the_lights(window: MainWindow, qtbot: Any) -> None:
    process = fakes.process_of(window)
    window.bench.show_task(Task.RECONSTRUCT)
    window.workflow.open_field(Path("some.field.h5"))
    run = window.bridge.run or 0
    process.show_field(run)
    process.tell(fakes.lights(run))
    panels = window.panels
    qtbot.waitUntil(lambda: "mean 0.27" in panels.errors.state.text())
    assert not process.light_requests
    click(qtbot, panels.errors.map, (0.0, -0.2))
    assert panels.views.currentWidget() is panels.lights
    qtbot.waitUntil(lambda: panels.lights.images.predicted.picture is not None)
    assert process.light_requests[-1].pattern == 4 and process.light_requests[-1].run == run
    assert panels.errors.map.here() == 4
    window.workflow.open_field(Path("other.field.h5"))
    assert panels.lights.images.predicted.picture is None and panels.errors.map.here() is None


# --- spectra ----------------------------------------------------------------------------------------------------------

OPTICS = Optics(
    wavelength_um=0.515, objective_na=0.4, magnification=20, camera_pixel_um=6.5, pixel_um=0.325, medium_index=1.33
)
NA = np.array([[0.25, 0.1]])


@pytest.fixture(scope="module")
def frame() -> np.ndarray:
    """Counts of cells in the light of one LED."""
    size_um = 128 * OPTICS.pixel_um
    phantom = make_phantom("cells", 0, 0.02, (size_um, size_um), (-4.0, 4.0))
    image_yx = AngledImager.of_phantom(phantom, OPTICS, (128, 128), (-4.0, 4.0)).intensity(NA[0])
    noise = np.random.default_rng(0).normal(0, 10, image_yx.shape)
    return (10_000 * image_yx + noise).astype(np.uint16)


def inside_circles(spectrum: Spectrum, panel: SpectrumPanel, geometry: Any) -> float:
    """Mean of the logarithm inside the circles drawn, less that outside."""
    path = panel._discs(geometry, np.array([0]))
    step = 1 / (128 * OPTICS.pixel_um)
    inside = np.array(
        [[path.contains(QPointF((j - 64) * step, (i - 64) * step)) for j in range(128)] for i in range(128)]
    )
    return float(spectrum.log_yx[inside].mean() - spectrum.log_yx[~inside].mean())


def test_the_discs_of_a_spectrum_lie_in_the_circles_of_the_right_geometry_alone(frame: np.ndarray, qtbot: Any) -> None:
    panel = SpectrumPanel()
    qtbot.addWidget(panel)
    panel.set_geometry(NA, OPTICS.objective_na, OPTICS.wavelength_um, OPTICS.pixel_um)
    spectrum = spectrum_of(frame, np.ones(1, np.float32))
    assert spectrum.log_yx.shape == (128, 128)
    panel._show(spectrum)
    path = panel.circles[0].path()
    radius = OPTICS.objective_na / OPTICS.wavelength_um
    assert path.boundingRect().right() == pytest.approx(NA[0, 0] / OPTICS.wavelength_um + radius)
    assert panel.circles[1].path().isEmpty()
    right = inside_circles(spectrum, panel, (NA, OPTICS.objective_na))
    assert right > 0.5
    for wrong in ((NA * [[1, -1]], 0.4), (NA[:, ::-1], 0.4), (1.4 * NA, 0.4), (NA, 0.5)):
        assert inside_circles(spectrum, panel, wrong) < right - 0.05
    panel.set_calibrated(NA + 0.02, 0.41)
    panel._show(spectrum)
    assert not panel.circles[1].path().isEmpty() and "calibrated" in panel.legend.text()
    panel.set_calibrated(np.zeros((7, 2)), 0.41)
    panel.clear()
    panel.offer(frame, np.ones(1, np.float32))


def test_large_frames_are_cut_and_many_leds_get_no_circles(qtbot: Any) -> None:
    panel = SpectrumPanel()
    qtbot.addWidget(panel)
    panel.set_geometry(np.zeros((50, 2)), 0.4, 0.5, 0.3)
    frame = np.random.default_rng(0).integers(0, 4096, (700, 600), np.uint16)
    spectrum = spectrum_of(frame, np.ones(50, np.float32))
    assert spectrum.log_yx.shape == (512, 512)
    panel._show(spectrum)
    assert panel.circles[0].path().isEmpty() and "Too many LEDs" in panel.legend.text()


def test_the_newest_frame_is_transformed_and_those_between_are_left_out(qtbot: Any) -> None:
    service = SpectrumService()
    heard: list[int] = []
    service.ready.connect(lambda spectrum: heard.append(int(spectrum.brightness_l[0])))
    frame = np.random.default_rng(0).integers(0, 4096, (512, 512), np.uint16)
    for number in range(1, 41):
        service.offer(frame, np.array([number], np.float32))
    qtbot.waitUntil(lambda: bool(heard) and heard[-1] == 40, timeout=5000)
    assert len(heard) < 20 and heard == sorted(heard)
    service.end()
    service._thread.join(5)
    assert not service._thread.is_alive()


# --- lighting LEDs ----------------------------------------------------------------------------------------------------


def test_a_click_on_the_map_lights_that_led(qtbot: Any) -> None:
    live = LivePanel()
    qtbot.addWidget(live.camera)
    qtbot.addWidget(live.lighting)
    qtbot.addWidget(live.leds)
    live.leds.resize(320, 360)
    live.leds.show()
    lit: list[list[int]] = []
    live.light_chosen.connect(lambda brightness_l: lit.append(np.flatnonzero(brightness_l).tolist()))
    live.light_chosen.connect(live.pupil.set_lit)
    live.set_instrument(fakes.LED_NA, 0.3, (1.0, 100.0, 10.0))
    click(qtbot, live.pupil, (0.0, 0.2))
    assert lit == [[2]] and live.light.currentText() == "LED of the map"
    qtbot.keyClick(live.pupil, Qt.Key.Key_Up)
    assert lit[-1] == [0]
    click(qtbot, live.pupil, (0.1, 0.1))
    assert len(lit) == 2, "there is no LED"
    live.light.setCurrentText("Bright field")
    assert np.flatnonzero(live.chosen_light()).tolist() == [0, 1, 2, 3, 4]
    live.set_connected(False)
    click(qtbot, live.pupil, (0.0, 0.2))
    assert len(lit) == 2


def test_leds_of_the_dark_field_are_rings(qtbot: Any) -> None:
    view = PupilView()
    qtbot.addWidget(view)
    view.resize(300, 318)
    view.set_leds(fakes.LED_NA, 0.3)
    seen = view.grab().toImage()
    assert seen.pixelColor(point(view, (0.2, 0.0))) == QColor(theme.FAINT)
    assert seen.pixelColor(point(view, (0.4, 0.0))) != QColor(theme.FAINT)
    assert "dark field" in view.describe(5) and "bright field" in view.describe(1)
