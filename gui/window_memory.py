"""What the window finds again at its next start: place, task, tab, widths, marks, settings of fit and contrast."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QByteArray, QSize, Qt

from gui.tasks import Task

if TYPE_CHECKING:
    from gui.main_window import MainWindow

SWITCHES = ("cross_hair", "scale_bar")
TITLE_BAR_PX = 40


def restore(window: MainWindow) -> None:
    """Bring the window into the state of its settings; what no longer exists is left as it starts."""
    settings, panels, act = window.settings, window.panels, window.actions_by_key
    window.resize(1400, 900)
    if settings.geometry_hex:
        window.restoreGeometry(QByteArray.fromHex(settings.geometry_hex.encode()))
    window.bench.set_widths(settings.columns_px)
    window.log_panel.setVisible(settings.log_shown)
    window.resizeDocks([window.log_panel], [settings.log_px], Qt.Orientation.Vertical)
    if settings.task in (task.value for task in Task):
        window.bench.show_task(Task(settings.task))
    panels.views.choose(settings.view)
    panels.slices.contrast.choose_map(settings.colour_map)
    panels.fit.seconds.setValue(int(settings.max_seconds))
    panels.fit.device.setCurrentIndex(max(0, panels.fit.device.findData(settings.device)))
    panels.fit.model.setCurrentIndex(max(0, panels.fit.model.findData(settings.model)))
    panels.fit.view_share.setValue(settings.view_percent)
    panels.acquire.set_folder(window.workflow.folder)
    act["live"].setChecked(True)
    act["autosave"].setChecked(settings.autosave)
    act["light_theme"].setChecked(settings.theme == "light")
    for key, on in settings.marks.items():
        if key in SWITCHES:
            act[key].setChecked(on)


def fit_to_screen(window: MainWindow) -> None:
    """Make the window no larger than its screen; one that was placed before is brought there by Qt."""
    if not window.settings.geometry_hex:
        room = window.screen().availableSize() - QSize(0, TITLE_BAR_PX)
        window.resize(window.size().boundedTo(room))


def remember(window: MainWindow) -> None:
    """Put the state of the window into its settings."""
    settings, panels, act = window.settings, window.panels, window.actions_by_key
    settings.profile = window.workflow.profile_name or settings.profile
    settings.colour_map = panels.slices.contrast.map.currentText()
    settings.max_seconds = float(panels.fit.seconds.value())
    settings.device = str(panels.fit.device.currentData())
    settings.model = panels.fit.model.currentData()
    settings.view_percent = panels.fit.view_share.value()
    settings.autosave = act["autosave"].isChecked()
    settings.recent = [str(path) for path in window.files.recent.paths]
    settings.task = window.bench.task.value
    settings.view = panels.views.tabText(panels.views.currentIndex())
    settings.columns_px = window.bench.widths()
    settings.log_shown = window.log_panel.isVisible()
    if settings.log_shown:
        settings.log_px = min(max(window.log_panel.height(), 50), 2000)
    settings.marks = {key: act[key].isChecked() for key in SWITCHES}
    settings.geometry_hex = bytes(window.saveGeometry().toHex().data()).decode()
