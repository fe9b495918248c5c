"""The window: tasks, actions, file dialogs, and an orderly end."""

from __future__ import annotations

import logging
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtWidgets import (
    QAbstractSpinBox,
    QApplication,
    QGraphicsView,
    QLabel,
    QLineEdit,
    QMainWindow,
    QMenu,
    QMessageBox,
)

from gui.actions import make_actions
from gui.autosave import Autosave
from gui.export.job import VolumeLook
from gui.export_choice import Seen
from gui.export_dialog import ExportDialog
from gui.field_names import capture_stem, free_field_name
from gui.history import History
from gui.leaving import Leaving
from gui.log_panel import LogPanel, WindowLogHandler
from gui.open_files import FIELDS, OpenFiles
from gui.panels import arrangements, make_panels
from gui.problem_report import ProblemReport
from gui.settings import WindowSettings, captures_folder, save_settings
from gui.shortcut_sheet import ShortcutSheet
from gui.tasks import Task
from gui.theme import apply_theme
from gui.undoable import watch_panels
from gui.window_memory import remember, restore
from gui.workbench import Workbench
from gui.workflow import Workflow

if TYPE_CHECKING:
    from collections.abc import Callable

    from PySide6.QtGui import QAction, QCloseEvent, QDragEnterEvent, QDropEvent

    from acquisition.errors import OperatorError
    from gui.instrument_service import InstrumentService
    from gui.recon_bridge import ReconBridge
    from recon.messages import Saved

log = logging.getLogger(__name__)

SAVED_SHOWN_MS = 15_000
NUMBER_MARGINS_PX = 5, 0, 0, 0
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
        self.history = History(self)
        self.actions_by_key = make_actions(self, self._callbacks())
        self.panels = make_panels(self.actions_by_key)
        self._lay_out()
        self.workflow = Workflow(
            self.panels, service, bridge, Path(settings.folder) if settings.folder else captures_folder()
        )
        self.workflow.setParent(self)
        self.autosave = Autosave(bridge, lambda: self.workflow.capture_path, self)
        recent_menu = self.actions_by_key["open_recent"].menu()
        assert isinstance(recent_menu, QMenu)
        self.files = OpenFiles(self, self.workflow, self.bench, recent_menu, settings.recent)
        bridge.saved.connect(self._tell_saved)
        self.workflow.changed.connect(self._refresh)
        self.export_dialog = ExportDialog(bridge, self._seen, self)
        service.opened.connect(self._opened)
        self.leaving = Leaving(self, self.workflow)
        self.problem_report = ProblemReport(self.workflow, settings, log_handler, self)
        self.leaving.agreed.connect(self._leave)
        self.panels.instrument.profile_chosen.connect(self.workflow.choose_profile)
        self.panels.instrument.browse_wanted.connect(self._browse_profile)
        self.panels.acquire.folder_wanted.connect(self._choose_folder)
        self.panels.slices.read_out.connect(self.read_out.setText)
        self.panels.lights.read_out.connect(self.read_out.setText)
        self.panels.views.currentChanged.connect(self._offer_marks)
        self.log_panel.visibilityChanged.connect(self._log_visibility)
        self._restore()
        start_with = self.panels.instrument.connect_button
        (start_with if self.bench.task is Task.INSTRUMENT else self.bench.bar.buttons[self.bench.task]).setFocus()
        self._end_timer = QTimer(self)
        self._end_timer.setInterval(30)
        self._end_timer.timeout.connect(self._end_when_quiet)
        self._refresh()

    # --- construction -------------------------------------------------------------------------------------------------

    def _callbacks(self) -> dict[str, Callable[..., object]]:
        """One callable per action; the panels exist by the time they are called."""
        return {
            "open_capture": lambda: self.files.ask_capture(),
            "open_field": lambda: self.files.ask_field(),
            "import_stack": lambda: self.files.ask_stack(),
            "import_folder": lambda: self.files.ask_image_folder(),
            "autosave": self._choose_autosave,
            "undo": self.history.stack.undo,
            "redo": self.history.stack.redo,
            "save_field": self._save_field,
            "export": lambda: self.export_dialog.open_beside(self._origin().parent, capture_stem(self._origin())),
            "quit": self.close,
            "connect": lambda: self.workflow.connect_instrument(),
            "disconnect": lambda: self.workflow.disconnect_instrument(),
            "live": lambda on: self.workflow.live_image.set_wanted(on),
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
            "reset_view": lambda: self.panels.in_front.reset_view(),
            "zoom_in": lambda: self.panels.in_front.zoom(+1),
            "zoom_out": lambda: self.panels.in_front.zoom(-1),
            "centre": lambda: self.panels.slices.centre_on_cursor(),
            "auto_contrast": lambda: self.panels.in_front.choose_contrast(),
            "cross_hair": lambda on: self.panels.slices.set_mark("cross_hair", on),
            "scale_bar": lambda on: self.panels.show_scale_bar(on),
            "oblique": lambda on: self.panels.slices.set_mark("oblique", on),
            "light_theme": self._choose_theme,
            "log": self.log_panel.setVisible,
            "shortcuts": lambda: ShortcutSheet(self).show(),
            "problem_report": lambda: self.problem_report.write(),
        }

    def _lay_out(self) -> None:
        panels = self.panels
        self.bench = Workbench(arrangements(panels), panels.message)
        self.setCentralWidget(self.bench)
        panels.live.setParent(self.bench)
        self.setAcceptDrops(True)
        for view in self.findChildren(QGraphicsView):  # they would take a drop and let it fall
            view.setAcceptDrops(False)
            view.viewport().setAcceptDrops(False)
        for line in self.findChildren(QLineEdit):  # they would write its path
            line.setAcceptDrops(False)
        for number in self.findChildren(QAbstractSpinBox):  # the style sheet's padding does not reach their text
            number.lineEdit().setTextMargins(*NUMBER_MARGINS_PX)
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
        restore(self)
        self.workflow.choose_profile(self.settings.profile)
        if self.workflow.profile is None:
            self.workflow.choose_profile(WindowSettings().profile)
        watch_panels(self.history, self.panels)
        self.bridge.field_ready.connect(self.history.settle)
        stack = self.history.stack
        for key, able, text in (
            ("undo", stack.canUndoChanged, stack.undoTextChanged),
            ("redo", stack.canRedoChanged, stack.redoTextChanged),
        ):
            action = self.actions_by_key[key]
            action.setEnabled(False)
            able.connect(action.setEnabled)
            text.connect(partial(_name_step, action, action.text()))

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
            "export": bridge.has_field and not bridge.is_lost,
            "open_capture": not scanning,
            "open_field": not scanning,
        }
        for key, on in enabled.items():
            self.actions_by_key[key].setEnabled(on)
        if not bridge.has_field:
            self.bench.bar.say(Task.VIEW, "no volume yet", "quiet")
        else:
            forming = bridge.fitting and not bridge.is_lost
            state = "as it was" if bridge.is_lost else "forming" if forming else "ready"
            self.bench.bar.say(Task.VIEW, state, "warn" if bridge.is_lost else "busy" if forming else "good")
        name = flow.shown_path.name if flow.shown_path is not None else ""
        self.setWindowTitle(f"{name} – Fieldscope" if name else "Fieldscope")

    def _offer_marks(self) -> None:
        """Only slices have a cross-hair; what the mouse told of the tab before is over."""
        for key in ("centre", "cross_hair", "oblique"):
            self.actions_by_key[key].setEnabled(self.panels.in_front is self.panels.slices)
        self.read_out.clear()

    # --- files and dialogs --------------------------------------------------------------------------------------------

    def _opened(self) -> None:
        """With an instrument the next thing is to acquire; whoever went elsewhere meanwhile stays there."""
        if self.bench.task is Task.INSTRUMENT:
            self.bench.show_task(Task.ACQUIRE)

    def _save_field(self) -> None:
        name = self._free_field_name().name
        self.files.ask("Save the field", FIELDS, self.bridge.save, save_as=name)

    def _free_field_name(self) -> Path:
        """Where the field would be saved: beside its capture."""
        return free_field_name(self._origin(), self._origin().parent)

    def _origin(self) -> Path:
        """The capture or field whose volume is shown."""
        return self.workflow.shown_path or self.workflow.folder / "reconstruction.h5"

    def _seen(self) -> Seen:
        """What an export of pictures is to show."""
        view = self.panels.volume.view
        volume = VolumeLook(view.scene, (view.height(), view.width())) if self.bridge.has_field else None
        return Seen(self.panels.slices.seen(), self.panels.slices.chosen, volume)

    def _browse_profile(self) -> None:
        self.panels.instrument.profile.setCurrentIndex(
            max(0, self.panels.instrument.profile.findData(self.workflow.profile_name))
        )
        self.files.ask(
            "Choose a hardware profile", "Profiles (*.toml)", lambda path: self.workflow.choose_profile(str(path))
        )

    def _choose_folder(self) -> None:
        def chosen(folder: Path) -> None:
            self.workflow.folder = folder
            self.settings.folder = str(folder)
            self.panels.acquire.set_folder(folder)

        self.files.ask_folder("Folder of the captures", chosen)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Take files."""
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Open what was dropped."""
        urls = event.mimeData().urls()
        self.files.open_dropped([Path(url.toLocalFile()) for url in urls if url.isLocalFile()])

    def _tell_saved(self, saved: Saved) -> None:
        self.statusBar().showMessage(f"Saved: {saved.field_path}, {saved.file_bytes / 1e6:.1f} MB", SAVED_SHOWN_MS)

    def _choose_autosave(self, on: bool) -> None:
        self.autosave.on = on

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
        """Ask where something would be lost, unless the system wants the end."""
        event.ignore()
        if self._closing_since_s is not None:
            return
        if self._asked_to_end:
            self._leave()
        else:
            self.leaving.ask()

    def _leave(self) -> None:
        """Hide at once, then end scan, instrument and reconstruction without waiting for them here."""
        self._closing_since_s = time.monotonic()
        remember(self)
        save_settings(self.settings, self._settings_file)
        self.hide()
        self.export_dialog.shut_down()
        self.service.shut_down()
        self.bridge.shut_down()
        self._end_timer.start()

    def end(self) -> None:
        """Close because the system asks for it: nobody may be there to answer a question."""
        self.expect_end()
        self.close()

    def expect_end(self) -> None:
        """Ask nothing any more: the session ends."""
        self._asked_to_end = True

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
        left_on = self.service.left_on
        if left_on is not None and left_on is not self.leaving.told_left_on and not self._asked_to_end:
            self._tell_left_on(left_on)
        else:
            self.ended.emit()

    def _tell_left_on(self, problem: OperatorError) -> None:
        """The last thing the operator has to know; the program ends when it was read."""
        box = self._last_word = QMessageBox(QMessageBox.Icon.Warning, "Fieldscope", problem.message)
        box.setObjectName("left_on")
        box.setInformativeText(problem.remedy)
        box.finished.connect(lambda: self.ended.emit())
        box.open()


def _name_step(action: QAction, verb: str, what: str) -> None:
    action.setText(f"{verb} {what}".strip())
