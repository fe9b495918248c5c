"""The window as a whole: tasks, themes, what is remembered, files that come in, and who cannot use a mouse."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QColor, QDragEnterEvent, QDropEvent
from PySide6.QtWidgets import QAbstractItemView, QAbstractSpinBox, QApplication, QComboBox, QWidget

from acquisition.capture import read_capture
from acquisition.scan import FinishReason, ScanState, ScanStatus
from gui import theme
from gui.actions import ACTIONS
from gui.instrument_service import Check
from gui.settings import WindowSettings, load_settings, settings_path
from gui.shortcut_sheet import shortcut_groups
from gui.tasks import Task
from gui.theme import COLOURS, apply_theme
from gui.window_memory import fit_to_screen, remember, restore
from recon import messages
from tests.gui import fakes

if TYPE_CHECKING:
    from gui.main_window import MainWindow


# --- tasks ------------------------------------------------------------------------------------------------------------


def test_the_menu_acts_on_the_tab_in_front(window: MainWindow, qtbot: Any) -> None:
    act, panels = window.actions_by_key, window.panels
    window.files.open(Path("some.field.h5"))
    fakes.process_of(window).show_field(window.bridge.run or 0)
    qtbot.waitUntil(lambda: panels.slices.seen() is not None)
    panels.slices.views["yz"].setFocus()
    before = panels.slices.navigator.zoom
    panels.views.choose("Volume")
    act["zoom_in"].trigger()
    assert panels.volume.view.zoom == pytest.approx(1.25) and panels.slices.navigator.zoom == before
    act["reset_view"].trigger()
    assert panels.volume.view.zoom == pytest.approx(1.0)
    act["scale_bar"].setChecked(False)
    assert not panels.volume.view.marks["scale_bar"]
    assert not panels.slices.views["xy"].marks.scale_bar.isVisible()
    panels.views.choose("Lights")
    width = panels.lights.images.predicted.box.viewRect().width()
    act["zoom_out"].trigger()
    assert panels.lights.images.predicted.box.viewRect().width() == pytest.approx(1.25 * width)
    assert not act["centre"].isEnabled() and not act["oblique"].isEnabled()
    panels.views.choose("Slices")
    assert act["centre"].isEnabled() and panels.slices.chosen == "yz"
    act["oblique"].setChecked(False)
    assert not panels.slices.views["xy"].marks.trace.isVisible()
    assert window.windowTitle().startswith("some.field.h5")


def test_each_task_shows_its_own(window: MainWindow) -> None:
    panels = window.panels
    shown = {
        Task.INSTRUMENT: (panels.instrument, panels.live.camera, panels.live.leds),
        Task.ACQUIRE: (panels.acquire, panels.slices, panels.live.camera, panels.live.leds),
        Task.RECONSTRUCT: (panels.fit, panels.slices, panels.fit.curves),
        Task.VIEW: (panels.slices.contrast, panels.slices),
    }
    everything = {widget for widgets in shown.values() for widget in widgets}
    for number, task in enumerate(Task, 1):
        window.actions_by_key[f"go_{task.name.lower()}"].trigger()
        assert window.bench.bar.buttons[task].isChecked()
        visible = {widget for widget in everything if widget.isVisible()}
        assert visible >= set(shown[task])
        if task in (Task.INSTRUMENT, Task.VIEW):
            assert panels.acquire not in visible
        assert window.actions_by_key[f"go_{task.name.lower()}"].shortcut().toString() == f"Ctrl+{number}"


def test_the_focus_ring_goes_with_the_task(window: MainWindow, qtbot: Any) -> None:
    bar = window.bench.bar
    bar.buttons[Task.INSTRUMENT].setFocus()
    for task in (Task.VIEW, Task.INSTRUMENT, Task.RECONSTRUCT):
        window.actions_by_key[f"go_{task.name.lower()}"].trigger()
        assert window.focusWidget() is bar.buttons[task]
    sample = window.panels.acquire.sample
    window.bench.show_task(Task.ACQUIRE)
    sample.setFocus()
    window.bench.show_task(Task.ACQUIRE)
    assert window.focusWidget() is sample, "nobody went anywhere"


def test_the_bar_tells_the_state_of_each_task(window: MainWindow, qtbot: Any) -> None:
    states = {task: button.state for task, button in window.bench.bar.buttons.items()}
    assert states[Task.INSTRUMENT].text() == "not connected"
    assert states[Task.VIEW].text() == "no volume yet"
    window.panels.acquire.show_progress(12, 33, None)
    assert states[Task.ACQUIRE].text() == "12 of 33"
    assert window.bench.bar.buttons[Task.ACQUIRE].accessibleName() == "Acquire: 12 of 33"
    window.files.open(Path("capture.h5"))
    fakes.process_of(window).show_field(window.bridge.run or 0)
    qtbot.waitUntil(lambda: states[Task.VIEW].text() == "forming")


def test_a_scan_does_not_throw_the_operator_around(window: MainWindow) -> None:
    window.bench.show_task(Task.VIEW)
    window._opened()
    assert window.bench.task is Task.VIEW
    window.bench.show_task(Task.INSTRUMENT)
    window._opened()
    assert window.bench.task is Task.ACQUIRE


# --- themes -----------------------------------------------------------------------------------------------------------


def contrast(one: str, other: str) -> float:
    """Ratio of luminance after WCAG 2.2: 4.5 is legible, 21 black on white."""

    def luminance(colour: str) -> float:
        channels = np.array(QColor(colour).getRgbF()[:3])
        linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
        return float(linear @ (0.2126, 0.7152, 0.0722))

    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("text", ["TEXT", "MUTED", "ACCENT", "GOOD", "WARN", "BAD"])
def test_words_are_legible_in_both_themes(index: int, text: str) -> None:
    for ground in ("WINDOW", "PANEL"):
        assert contrast(COLOURS[text][index], COLOURS[ground][index]) >= 4.5, ground
    assert contrast(COLOURS["ON_PRIMARY"][index], COLOURS["PRIMARY"][index]) >= 4.5


def test_the_theme_follows_at_once_and_is_remembered(window: MainWindow, qtbot: Any) -> None:
    application = QApplication.instance()
    assert isinstance(application, QApplication)
    apply_theme(application, "dark")
    window.bench.show_task(Task.VIEW)
    qtbot.waitUntil(lambda: window.panels.slices.views["xy"].width() > 100)

    def lightness() -> dict[str, int]:
        picture = window.grab().toImage()
        view = window.panels.slices.views["xy"]
        inside = view.mapTo(window, QPoint(view.width() // 2, 20))
        return {
            "window": picture.pixelColor(3, window.height() // 2).lightness(),
            "canvas": picture.pixelColor(inside).lightness(),
            "axis": QColor(view.plot.getAxis("left").textPen().color()).lightness(),
            "curve": window.panels.fit.curves.held_curve.opts["pen"].color().lightness(),
            "plot": window.panels.slices.tools.profile.plot.backgroundBrush().color().lightness(),
            "outline": region._item.pen.color().lightness(),
        }

    region = window.panels.slices.tools.region.mark
    region.put(window.panels.slices.views["xy"], QPointF(0, 0), QPointF(5, 5))
    dark = lightness()
    window.actions_by_key["light_theme"].setChecked(True)
    try:
        light = lightness()
        assert light["window"] > dark["window"] + 100
        assert light["canvas"] > dark["canvas"] + 100
        assert light["axis"] < dark["axis"]
        assert light["curve"] < dark["curve"]
        assert light["plot"] > dark["plot"] + 100
        assert light["outline"] < dark["outline"]
        assert theme.TEXT == COLOURS["TEXT"][1]
        assert window.settings.theme == "light"
    finally:
        window.actions_by_key["light_theme"].setChecked(False)
    assert lightness() == dark


# --- what is remembered -----------------------------------------------------------------------------------------------


def test_the_layout_is_found_again(window: MainWindow, qtbot: Any) -> None:
    window.bench.show_task(Task.RECONSTRUCT)
    window.bench.splitter.setSizes([380, 620, 360])
    window.actions_by_key["log"].setChecked(True)
    window.actions_by_key["cross_hair"].setChecked(False)
    window.actions_by_key["autosave"].setChecked(False)
    qtbot.waitUntil(lambda: window.log_panel.isVisible())
    widths = window.bench.widths()
    remember(window)
    saved = WindowSettings.model_validate_json(window.settings.model_dump_json())
    saved.geometry_hex = ""  # the screen of a test is smaller than its window
    window.bench.show_task(Task.VIEW)
    window.bench.set_widths([310, 700, 240])
    window.actions_by_key["log"].setChecked(False)
    window.actions_by_key["cross_hair"].setChecked(True)
    window.actions_by_key["autosave"].setChecked(True)
    window.settings = saved
    restore(window)
    assert window.bench.task is Task.RECONSTRUCT
    qtbot.waitUntil(lambda: np.allclose(window.bench.widths(), widths, atol=12))
    assert window.log_panel.isVisible()
    assert not window.actions_by_key["cross_hair"].isChecked()
    assert not window.autosave.on


def test_closing_writes_what_is_remembered(window: MainWindow, qtbot: Any) -> None:
    window.bench.show_task(Task.ACQUIRE)
    with qtbot.waitSignal(window.ended, timeout=10_000):
        window.close()
    assert load_settings(settings_path()).task == "Acquire"
    window._closing_since_s = None  # the fixture closes it once more


# --- files ------------------------------------------------------------------------------------------------------------


def fit(window: MainWindow, qtbot: Any, capture: Path) -> int:
    window.files.open(capture)
    run = window.bridge.run or 0
    fakes.process_of(window).show_field(run)
    fakes.process_of(window).tell(messages.FitProgress(run, 1, 0.1, 0.5, 33, 1.0, None, 100.0))
    fakes.process_of(window).tell(messages.Finished(run, "converged", 0.1, 1.0, 5, 1000))
    qtbot.waitUntil(lambda: not window.bridge.fitting)
    return run


def saves(window: MainWindow) -> list[str]:
    return [call[1] for call in fakes.process_of(window).calls if call[0] == "save"]


def test_a_finished_field_is_saved_once_and_overwrites_nothing(window: MainWindow, qtbot: Any, tmp_path: Path) -> None:
    capture = tmp_path / "cells.h5"
    run = fit(window, qtbot, capture)
    assert saves(window) == [str(tmp_path / "cells.field.h5")]
    fakes.process_of(window).tell(messages.Finished(run, "converged", 0.1, 1.0, 5, 1000))
    fakes.process_of(window).tell(messages.Saved(run, str(tmp_path / "cells.field.h5"), 2_100_000))
    qtbot.waitUntil(window.panels.fit.kept.isVisible)
    assert window.panels.fit.kept.text() == "Saved: cells.field.h5, 2.1 MB"
    assert "2.1 MB" in window.statusBar().currentMessage()
    assert len(saves(window)) == 1, "not twice for one run"
    assert window.files.recent.paths[0].name == "cells.field.h5"

    (tmp_path / "cells.field.h5").write_bytes(b"the first one")
    fit(window, qtbot, capture)
    assert saves(window)[1:] == [str(tmp_path / "cells-2.field.h5")]


def test_fields_are_not_saved_where_nobody_asked(window: MainWindow, qtbot: Any, tmp_path: Path) -> None:
    window.actions_by_key["autosave"].setChecked(False)
    fit(window, qtbot, tmp_path / "cells.h5")
    window.actions_by_key["autosave"].setChecked(True)
    window.files.open(tmp_path / "cells.field.h5")
    run = window.bridge.run or 0
    fakes.process_of(window).show_field(run)
    fakes.process_of(window).tell(messages.Finished(run, "opened from file", 0.1, 1.0, 5, 1000))
    qtbot.waitUntil(lambda: window.panels.fit.state.text() == "finished")
    assert saves(window) == []


def test_recent_files_that_are_gone_are_dropped(window: MainWindow, qtbot: Any, tmp_path: Path) -> None:
    there, gone = tmp_path / "there.field.h5", tmp_path / "gone.h5"
    there.touch()
    for path in (there, gone, there):
        window.files.recent.add(path)
    assert [path.name for path in window.files.recent.paths] == ["there.field.h5", "gone.h5"]
    window.files.recent.look()
    qtbot.waitUntil(lambda: window.files.recent.paths == [there])
    menu = window.actions_by_key["open_recent"].menu()
    assert [action.text() for action in menu.actions()] == ["there.field.h5"]
    menu.actions()[0].trigger()
    assert fakes.process_of(window).calls[-1][:2] == ("open_field", str(there))
    assert window.bench.task is Task.VIEW
    remember(window)
    assert window.settings.recent == [str(there)]


def test_a_capture_that_was_made_is_recent(window: MainWindow, tmp_path: Path) -> None:
    window.workflow.capture_path = tmp_path / "new.h5"
    window.service.scan_changed.emit(ScanStatus(ScanState.FINISHED, FinishReason.COMPLETE, 9, 9))
    assert window.files.recent.paths == [tmp_path / "new.h5"]


def drop(window: MainWindow, *paths: Path) -> None:
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    how = (Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier)
    target = window.panels.slices.views["xy"].canvas.viewport()  # has drops of its own, unless told not to
    QApplication.sendEvent(target, QDragEnterEvent(target.rect().center(), *how))
    QApplication.sendEvent(target, QDropEvent(target.rect().center(), *how))


def test_dropped_images_become_a_capture(window: MainWindow, qtbot: Any, tmp_path: Path) -> None:
    folder = tmp_path / "my images"
    folder.mkdir()
    for number in range(33):
        tifffile.imwrite(folder / f"led_{number}.tif", np.full((32, 32), 100 + number, np.uint16))
    window.workflow.folder = tmp_path / "captures"
    for expected in ("my images.h5", "my images-2.h5"):
        drop(window, folder)
        assert window.panels.message.action.text() == "Import"
        window.panels.message.action.click()
        qtbot.waitUntil(lambda: window.panels.message.message.text().startswith("Imported"), timeout=10_000)
        assert fakes.process_of(window).calls[-1][:2] == ("start_stored", str(tmp_path / "captures" / expected))
        assert window.bench.task is Task.RECONSTRUCT
    capture = read_capture(tmp_path / "captures" / "my images.h5")
    assert capture.images_nyx[:, 0, 0].tolist() == list(range(100, 133))


def test_images_that_do_not_fit_are_told_with_the_remedy(window: MainWindow, qtbot: Any, tmp_path: Path) -> None:
    stack = tmp_path / "stack.tif"
    tifffile.imwrite(stack, np.zeros((3, 16, 16), np.uint16), photometric="minisblack")
    drop(window, stack)
    window.panels.message.action.click()
    qtbot.waitUntil(lambda: window.panels.message.property("tone") == "error", timeout=10_000)
    assert "3" in window.panels.message.message.text()
    assert window.panels.message.remedy.text()
    assert not list(tmp_path.rglob("*.h5*"))
    drop(window, stack, tmp_path)
    assert "one is opened at a time" in window.panels.message.message.text()
    drop(window, tmp_path / "notes.docx")
    assert "none of the files" in window.panels.message.message.text()


# --- without a mouse --------------------------------------------------------------------------------------------------


def focusable(window: QWidget) -> list[QWidget]:
    """Every widget that Tab reaches, whichever task shows it; parts inside a spin box or a list are the box's own."""
    return [
        widget
        for widget in window.findChildren(QWidget)
        if widget.focusPolicy() & Qt.FocusPolicy.TabFocus
        and widget.focusProxy() is None
        and not isinstance(widget.parent(), QAbstractSpinBox | QComboBox)
        and not isinstance(widget, QAbstractItemView)
        and not widget.objectName().startswith("qt_")
    ]


def test_everything_that_takes_focus_has_a_name(window: MainWindow) -> None:
    widgets = focusable(window)
    assert len(widgets) > 25
    nameless = [
        f"{type(widget).__name__} {widget.objectName()!r} in {widget.parent()}"
        for widget in widgets
        if not widget.accessibleName() and widget is not window.panels.message.action  # has its text as a name
    ]
    assert nameless == []


def test_tab_goes_through_each_task_from_left_to_right(window: MainWindow) -> None:
    for task in Task:
        window.bench.show_task(task)
        first: QWidget = window.bench.bar.buttons[Task.INSTRUMENT]
        whole = [first]
        while (following := whole[-1].nextInFocusChain()) is not first:
            whole.append(following)
        wanted = {widget for widget in focusable(window.bench) if widget.isVisible() and widget.isEnabled()}
        chain = [widget for widget in whole if widget in wanted]
        assert set(chain) == wanted
        order = [n for widget in chain for n, part in enumerate(window.bench.places()) if part.isAncestorOf(widget)]
        assert order == sorted(order), [widget.objectName() for widget in chain]


def test_the_sheet_of_keys_has_every_action(window: MainWindow, qtbot: Any) -> None:
    told = {keys for rows in shortcut_groups().values() for keys, _ in rows}
    assert {spec.shortcut for spec in ACTIONS if spec.shortcut} <= told
    shown = {action.shortcut().toString() for action in window.actions_by_key.values()} - {""}
    assert len(shown) == len([spec for spec in ACTIONS if spec.shortcut]), "no key twice"
    window.actions_by_key["shortcuts"].trigger()
    sheet = window.findChild(QWidget, "shortcut_sheet")
    assert sheet is not None
    sheet.close()


def test_a_section_that_came_back_grows_with_its_contents(window: MainWindow, qtbot: Any) -> None:
    checks = window.panels.instrument.checks
    window.bench.show_task(Task.ACQUIRE)
    window.bench.show_task(Task.INSTRUMENT)
    for number in range(6):
        window.panels.instrument.add_check(Check(f"part {number}", True, "found"))
    qtbot.waitUntil(lambda: checks.height() >= checks.sizeHint().height())


def test_a_long_path_loses_its_middle_not_its_end(window: MainWindow, qtbot: Any) -> None:
    window.bench.show_task(Task.ACQUIRE)
    button = window.panels.acquire.folder
    button.show_path("/somewhere/" + 20 * "deep/" + "captures of today")
    assert button.text().startswith("/some") and button.text().endswith("today") and "…" in button.text()
    button.show_path("~/captures")
    assert button.text() == "~/captures"


def test_the_first_start_stays_within_a_small_screen(window: MainWindow) -> None:
    screen = window.screen().availableSize()
    fit_to_screen(window)
    assert screen.width() < 1400 and screen.height() < 900
    assert window.width() <= max(screen.width(), window.minimumSizeHint().width())
    assert window.height() <= screen.height()


def test_the_window_fits_a_small_screen_in_every_task(window: MainWindow) -> None:
    for task in Task:
        window.bench.show_task(task)
        QApplication.processEvents()
        assert window.minimumSizeHint().height() <= 700, task
