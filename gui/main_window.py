"""The window: tasks, actions, file dialogs, and an orderly end."""

from __future__ import annotations

import logging
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QByteArray, Qt, QTimer, Signal
from PySide6.QtWidgets import QApplication, QDialog, QFileDialog, QGridLayout, QLabel, QMainWindow, QMessageBox

from gui.actions import make_actions, shortcut_rows
from gui.messages import LogPanel, WindowLogHandler
from gui.panels import arrangements, make_panels
from gui.settings import WindowSettings, captures_folder, save_settings
from gui.tasks import Task
from gui.theme import apply_theme
from gui.workbench import Workbench
from gui.workflow import Workflow

if TYPE_CHECKING:
    from collections.abc import Callable

    from PySide6.QtGui import QCloseEvent

    from acquisition.errors import OperatorError
    from gui.instrument_service import InstrumentService
    from gui.recon_bridge import ReconBridge

log = logging.getLogger(__name__)

END_WITHIN_S = 8.0
"""A camera driver that never answers does not keep the program longer than this beyond its longest exposure."""


class MainWindow(QMainWindow):
    """Owns services and panels; `ended` is emitted when after closing nothing of ours runs any more.

    Parameters
    ----------
    settings, settings_file
        What was remembered, and where to write it on closing.
    service, bridge
        The instrument and the reconstruction process.
    log_handler
        Source of the log panel.
    """

    ended = Signal()

    def __init__(
        self,
        settings: WindowSettings,
        settings_file: Path,
        service: InstrumentService,
        bridge: ReconBridge,
        log_handler: WindowLogHandler,
    ) -> None:
        super().__init__()
        self.setObjectName("main_window")
        self.setWindowTitle("Fieldscope")
        self.settings, self._settings_file = settings, settings_file
        self.service, self.bridge = service, bridge
        self._closing_since_s: float | None = None
        self._asked_to_end = False
        self._last_word: QMessageBox | None = None
        self.log_panel = LogPanel(log_handler, self)
        self.addDockWidget(Qt.DockWidgetArea.BottomDockWidgetArea, self.log_panel)
        self.actions_by_key = make_actions(self, self._callbacks())
        self.panels = make_panels(self.actions_by_key)
        self._lay_out()
        self.workflow = Workflow(
            self.panels, service, bridge, Path(settings.folder) if settings.folder else captures_folder()
        )
        self.workflow.setParent(self)
        self.workflow.changed.connect(self._refresh)
        service.opened.connect(self._opened)
        self.panels.instrument.profile_chosen.connect(self.workflow.choose_profile)
        self.panels.instrument.browse_wanted.connect(self._browse_profile)
        self.panels.acquire.folder_wanted.connect(self._choose_folder)
        self.panels.slices.read_out.connect(self.read_out.setText)
        self.log_panel.visibilityChanged.connect(self._log_visibility)
        self._restore()
        self._end_timer = QTimer(self)
        self._end_timer.setInterval(30)
        self._end_timer.timeout.connect(self._end_when_quiet)
        self._refresh()

    # --- construction -------------------------------------------------------------------------------------------------

    def _callbacks(self) -> dict[str, Callable[..., object]]:
        """One callable per action; the panels exist by the time they are called."""
        return {
            "open_capture": self._open_capture,
            "open_field": self._open_field,
            "save_field": self._save_field,
            "quit": self.close,
            "connect": lambda: self.workflow.connect_instrument(),
            "disconnect": lambda: self.workflow.disconnect_instrument(),
            "live": lambda on: self.workflow.set_live(on),
            "start_scan": lambda: self.workflow.start_scan(),
            "pause_scan": lambda: self.workflow.pause_or_resume_scan(),
            "cancel_scan": lambda: self.workflow.cancel_scan(),
            "finish_fit": lambda: self.workflow.finish_fit(),
            "cancel_fit": lambda: self.workflow.discard_fit(),
            "fit_again": lambda: self.workflow.reconstruct_again(),
            "restart_process": lambda: self.workflow.restart_process(),
            **{f"go_{task.name.lower()}": lambda task=task: self.bench.show_task(task) for task in Task},
            "next_view": lambda: self.panels.views.step(+1),
            "previous_view": lambda: self.panels.views.step(-1),
            "earlier": lambda: self.panels.time.step(-1),
            "later": lambda: self.panels.time.step(+1),
            "play": lambda: self.panels.time.toggle_play(),
            "reset_view": lambda: self.panels.slices.reset_view(),
            "zoom_in": lambda: self.panels.slices.zoom(+1),
            "zoom_out": lambda: self.panels.slices.zoom(-1),
            "centre": lambda: self.panels.slices.centre_on_cursor(),
            "auto_contrast": lambda: self.panels.slices.contrast.auto.setChecked(True),
            "cross_hair": lambda on: self.panels.slices.set_mark("cross_hair", on),
            "scale_bar": lambda on: self.panels.slices.set_mark("scale_bar", on),
            "light_theme": self._choose_theme,
            "log": self.log_panel.setVisible,
            "shortcuts": self._show_shortcuts,
        }

    def _lay_out(self) -> None:
        panels = self.panels
        self.bench = Workbench(arrangements(panels), panels.message)
        self.setCentralWidget(self.bench)
        panels.live.setParent(self.bench)
        for task, section in (
            (Task.INSTRUMENT, panels.instrument),
            (Task.ACQUIRE, panels.acquire),
            (Task.RECONSTRUCT, panels.fit),
        ):
            section.said.connect(partial(self.bench.bar.say, task))
            section.say(section.state.text(), section.state.property("tone") or "quiet")
        self.read_out = QLabel()
        self.read_out.setObjectName("read_out")
        self.read_out.setAccessibleName("Value under the mouse")
        self.panels.device.setObjectName("recon_device")
        self.panels.device.setAccessibleName("Device of the reconstruction")
        self.statusBar().addWidget(self.read_out, 1)
        self.statusBar().addPermanentWidget(self.panels.device)
        self.statusBar().setSizeGripEnabled(False)

    def _restore(self) -> None:
        self.resize(1400, 900)
        self.resizeDocks([self.log_panel], [150], Qt.Orientation.Vertical)
        if self.settings.geometry_hex:
            self.restoreGeometry(QByteArray.fromHex(self.settings.geometry_hex.encode()))
        self.panels.slices.contrast.choose_map(self.settings.colour_map)
        self.panels.fit.seconds.setValue(int(self.settings.max_seconds))
        self.panels.fit.device.setCurrentIndex(max(0, self.panels.fit.device.findData(self.settings.device)))
        self.panels.fit.model.setCurrentIndex(max(0, self.panels.fit.model.findData(self.settings.model)))
        self.panels.acquire.set_folder(self.workflow.folder)
        self.actions_by_key["live"].setChecked(True)
        self.actions_by_key["light_theme"].setChecked(self.settings.theme == "light")
        self.workflow.choose_profile(self.settings.profile)
        if self.workflow.profile is None:
            self.workflow.choose_profile(WindowSettings().profile)

    def _refresh(self) -> None:
        """Offer what can be done now."""
        flow, bridge = self.workflow, self.bridge
        connected, scanning = flow.instrument is not None, self.service.scanning
        enabled = {
            "connect": not connected and not flow.connecting and flow.profile is not None,
            "disconnect": connected and not scanning and not flow.measuring,
            "live": connected and not scanning,
            "start_scan": connected and not scanning and not flow.measuring and flow.plan is not None,
            "pause_scan": scanning,
            "cancel_scan": scanning,
            "finish_fit": bridge.fitting and bridge.has_field and not bridge.is_lost,
            "cancel_fit": bridge.fitting and not bridge.is_lost,
            "fit_again": flow.capture_path is not None and not scanning,
            "save_field": bridge.has_field and not bridge.is_lost,
            "open_capture": not scanning,
            "open_field": not scanning,
        }
        for key, on in enabled.items():
            self.actions_by_key[key].setEnabled(on)
        if not bridge.has_field:
            self.bench.bar.say(Task.VIEW, "no volume yet", "quiet")
        else:
            forming = bridge.fitting
            self.bench.bar.say(Task.VIEW, "forming" if forming else "ready", "busy" if forming else "good")
        name = flow.capture_path.name if flow.capture_path is not None else ""
        self.setWindowTitle(f"{name} – Fieldscope" if name else "Fieldscope")

    # --- dialogs, none of them modal to the program -------------------------------------------------------------------

    def _ask_file(self, title: str, filters: str, chosen: Callable[[Path], None], save_as: str = "") -> None:
        dialog = QFileDialog(self, title, str(self.workflow.folder), filters)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setFileMode(QFileDialog.FileMode.AnyFile if save_as else QFileDialog.FileMode.ExistingFile)
        if save_as:
            dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
            dialog.selectFile(save_as)
        dialog.fileSelected.connect(lambda name: chosen(Path(name)))
        dialog.open()

    def open_path(self, path: Path) -> None:
        """Show a saved field, or reconstruct a capture, and go where it can be watched."""
        if ".field." in path.name:
            self.workflow.open_field(path)
            self.bench.show_task(Task.VIEW)
        else:
            self.workflow.reconstruct(path)
            self.bench.show_task(Task.RECONSTRUCT)

    def _opened(self) -> None:
        """With an instrument the next thing is to acquire; whoever went elsewhere meanwhile stays there."""
        if self.bench.task is Task.INSTRUMENT:
            self.bench.show_task(Task.ACQUIRE)

    def _open_capture(self) -> None:
        self._ask_file("Open a capture", "Captures (*.h5 *.h5.part);;All files (*)", self.open_path)

    def _open_field(self) -> None:
        self._ask_file("Open a field", "Fields (*.field.h5);;All files (*)", self.open_path)

    def _save_field(self) -> None:
        capture = self.workflow.capture_path
        stem = capture.name.split(".h5")[0] if capture is not None else "reconstruction"
        self._ask_file("Save the field", "Fields (*.field.h5)", self.bridge.save, save_as=f"{stem}.field.h5")

    def _browse_profile(self) -> None:
        self.panels.instrument.profile.setCurrentIndex(
            max(0, self.panels.instrument.profile.findData(self.workflow.profile_name))
        )
        self._ask_file(
            "Choose a hardware profile", "Profiles (*.toml)", lambda path: self.workflow.choose_profile(str(path))
        )

    def _choose_folder(self) -> None:
        def chosen(name: str) -> None:
            self.workflow.folder = Path(name)
            self.settings.folder = name
            self.panels.acquire.set_folder(Path(name))

        dialog = QFileDialog(self, "Folder of the captures", str(self.workflow.folder))
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.fileSelected.connect(chosen)
        dialog.open()

    def _show_shortcuts(self) -> None:
        sheet = QDialog(self)
        sheet.setObjectName("shortcut_sheet")
        sheet.setWindowTitle("Keys and mouse")
        sheet.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        rows = QGridLayout(sheet)
        rows.setContentsMargins(20, 16, 24, 18)
        rows.setHorizontalSpacing(26)
        for row, (keys, meaning) in enumerate(shortcut_rows()):
            label = QLabel(keys)
            label.setProperty("role", "hint")
            rows.addWidget(label, row, 0)
            rows.addWidget(QLabel(meaning), row, 1)
        sheet.show()

    def _choose_theme(self, light: bool) -> None:
        self.settings.theme = "light" if light else "dark"
        application = QApplication.instance()
        assert isinstance(application, QApplication)
        apply_theme(application, self.settings.theme)

    def _log_visibility(self, visible: bool) -> None:
        if self._closing_since_s is None:
            self.actions_by_key["log"].setChecked(visible or self.log_panel.isVisible())

    # --- the end ------------------------------------------------------------------------------------------------------

    def closeEvent(self, event: QCloseEvent) -> None:
        """Hide at once, then end scan, instrument and reconstruction without waiting for them here."""
        event.ignore()
        if self._closing_since_s is not None:
            return
        self._closing_since_s = time.monotonic()
        self._remember()
        self.hide()
        self.service.shut_down()
        self.bridge.shut_down()
        self._end_timer.start()

    def end(self) -> None:
        """Close because the system asks for it: nobody may be there to answer a question."""
        self._asked_to_end = True
        self.close()

    def _end_when_quiet(self) -> None:
        assert self._closing_since_s is not None
        quiet = self.service.is_stopped and self.bridge.is_stopped
        took_s = time.monotonic() - self._closing_since_s
        if not quiet and took_s < END_WITHIN_S + self.service.longest_exposure_s:
            return
        self._end_timer.stop()
        if quiet:
            log.info("everything has ended, %.1f s after closing", took_s)
        else:
            log.error("leaving after %.0f s although something still runs", took_s)
        if self.service.left_on is not None and not self._asked_to_end:
            self._tell_left_on(self.service.left_on)
        else:
            self.ended.emit()

    def _tell_left_on(self, problem: OperatorError) -> None:
        """The last thing the operator has to know; the program ends when it was read."""
        box = self._last_word = QMessageBox(QMessageBox.Icon.Warning, "Fieldscope", problem.message)
        box.setObjectName("left_on")
        box.setInformativeText(problem.remedy)
        box.finished.connect(lambda: self.ended.emit())
        box.open()

    def _remember(self) -> None:
        self.settings.profile = self.workflow.profile_name or self.settings.profile
        self.settings.colour_map = self.panels.slices.contrast.map.currentText()
        self.settings.max_seconds = float(self.panels.fit.seconds.value())
        self.settings.device = str(self.panels.fit.device.currentData())
        self.settings.model = self.panels.fit.model.currentData()
        self.settings.geometry_hex = bytes(self.saveGeometry().toHex().data()).decode()
        save_settings(self.settings, self._settings_file)
