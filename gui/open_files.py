"""Files that come in: by the menu, from the list of recent ones, dropped on the window, or named at the start."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Qt
from PySide6.QtWidgets import QFileDialog, QMenu, QWidget

from acquisition.scan import ScanState
from gui.image_import import IMAGE_ENDINGS, ImageImport
from gui.recent_files import RecentFiles
from gui.tasks import Task

if TYPE_CHECKING:
    from collections.abc import Callable

    from acquisition.scan import ScanStatus
    from gui.workbench import Workbench
    from gui.workflow import Workflow
    from recon.messages import Saved

FIELDS = "Fields (*.field.h5);;All files (*)"
CAPTURES = "Captures (*.h5 *.h5.part);;All files (*)"
STACKS = "Images (*.tif *.tiff *.btf *.mat);;All files (*)"


class OpenFiles(QObject):
    """Opens what there is, and keeps the list of recent files.

    Parameters
    ----------
    window
        Parent of the dialogs.
    workflow, bench
        What reconstructs and shows, and the tasks in which that is watched.
    menu
        Where the recent files are listed.
    recent
        The list that was remembered.
    """

    def __init__(self, window: QWidget, workflow: Workflow, bench: Workbench, menu: QMenu, recent: list[str]) -> None:
        super().__init__(window)
        self._window, self._workflow, self._bench, self._menu = window, workflow, bench, menu
        self._panels = workflow.panels
        self.recent = RecentFiles(recent, self)
        self.images = ImageImport(self._panels.message, self)
        self.images.imported.connect(self.open)
        self.recent.changed.connect(self._list)
        menu.aboutToShow.connect(self.recent.look)
        self._panels.recent.chosen.connect(self.open)
        workflow.bridge.saved.connect(self._field_saved)
        workflow.service.scan_changed.connect(self._scan_changed)
        self._list()
        self.recent.look()

    def open(self, path: Path) -> None:
        """Show a field, reconstruct a capture, or offer to import images; go where it can be watched."""
        name = path.name.lower()
        if self._workflow.service.scanning:
            self._panels.message.tell("An acquisition is running.", f"Open {path.name} when it has ended.")
        elif name.endswith(IMAGE_ENDINGS) or path.is_dir():
            if self._workflow.profile is not None:
                self.images.offer(path, self._workflow.profile, self._workflow.folder)
        elif ".field." in name:
            self._workflow.open_field(path)
            self.recent.add(path)
            self._bench.show_task(Task.VIEW)
        elif name.endswith((".h5", ".hdf5", ".h5.part")):
            self._workflow.reconstruct(path)
            self.recent.add(path)
            self._bench.show_task(Task.RECONSTRUCT)
        else:
            self._panels.message.tell(
                f"{path.name} is none of the files that can be opened here.",
                "Captures end in .h5, fields in .field.h5; images are a folder of TIFFs, a TIFF stack or a .mat file.",
            )

    def open_dropped(self, paths: list[Path]) -> None:
        """Open what was dropped on the window."""
        if len(paths) == 1:
            self.open(paths[0])
        elif paths:
            self._panels.message.tell(
                f"{len(paths)} files were dropped; one is opened at a time.",
                "Drop one, or the folder in which the TIFFs are.",
            )

    # --- dialogs, none of them modal to the program -------------------------------------------------------------------

    def ask_capture(self) -> None:
        """Let the operator choose a capture."""
        self.ask("Open a capture", CAPTURES, self.open)

    def ask_field(self) -> None:
        """Let the operator choose a field."""
        self.ask("Open a field", FIELDS, self.open)

    def ask_stack(self) -> None:
        """Let the operator choose a file with many images."""
        self.ask("Import images", STACKS, self.open)

    def ask_image_folder(self) -> None:
        """Let the operator choose a folder of images."""
        self.ask_folder("Import a folder of images", self.open)

    def ask(self, title: str, filters: str, chosen: Callable[[Path], None], save_as: str = "") -> None:
        """Let the operator choose a file to read, or the name of one to write."""
        dialog = self._dialog(title, chosen)
        dialog.setNameFilter(filters)
        dialog.setFileMode(QFileDialog.FileMode.AnyFile if save_as else QFileDialog.FileMode.ExistingFile)
        if save_as:
            dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
            dialog.selectFile(save_as)
        dialog.open()

    def ask_folder(self, title: str, chosen: Callable[[Path], None]) -> None:
        """Let the operator choose a folder."""
        dialog = self._dialog(title, chosen)
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.open()

    def _dialog(self, title: str, chosen: Callable[[Path], None]) -> QFileDialog:
        dialog = QFileDialog(self._window, title, str(self._workflow.folder))
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.fileSelected.connect(lambda name: chosen(Path(name)))
        return dialog

    # --- recent files -------------------------------------------------------------------------------------------------

    def _list(self) -> None:
        self._menu.clear()
        for path in self.recent.paths:
            action = self._menu.addAction(path.name)
            action.setToolTip(str(path))
            action.triggered.connect(lambda _checked=False, path=path: self.open(path))
        if not self.recent.paths:
            self._menu.addAction("Nothing yet").setEnabled(False)
        self._panels.recent.show_files(self.recent.paths)

    def _field_saved(self, saved: Saved) -> None:
        self.recent.add(Path(saved.field_path))

    def _scan_changed(self, status: ScanStatus) -> None:
        path = self._workflow.capture_path
        if status.state is ScanState.FINISHED and status.frames_done and path is not None:
            self.recent.add(path)
