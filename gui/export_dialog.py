"""The export dialog: what, how fine, where to; then progress and result. The work is done in a process of its own."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, QTimer, QUrl
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QDoubleSpinBox,
    QFileDialog,
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QMessageBox,
    QProgressBar,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from acquisition.errors import OperatorError
from acquisition.estimate import duration_text
from gui.export.job import Written
from gui.export_choice import VOLUME_FORMATS, Choice, Kind, job_of, pixels_of, sampling_of, suffix_of
from gui.export_process import ExportProcess
from gui.section import set_tone

if TYPE_CHECKING:
    from collections.abc import Callable

    from gui.export.job import ExportJob, NotWritten, Progress, VolumeFormat
    from gui.export_choice import Seen
    from gui.recon_bridge import ReconBridge
    from recon.messages import Failed, FieldReady, Saved

ENLARGED = {"As on the screen": 1, "Twice as fine": 2, "Four times as fine": 4}
RESOLVED = 4.0
"""Voxels for each period that the light resolves, at first."""


class ExportDialog(QDialog):
    """Stays open beside the window, which goes on; `see` tells what the window shows when the dialog asks.

    Parameters
    ----------
    bridge
        Saves the field as it is at the moment, for the export to read.
    see
        What the views show now.
    """

    def __init__(self, bridge: ReconBridge, see: Callable[[], Seen], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._bridge, self._see = bridge, see
        self._ready: FieldReady | None = None
        self._copy: Path | None = None
        self._job: ExportJob | None = None
        self._written: Path | None = None
        self._began_s = 0.0
        self.process = ExportProcess(self)
        self.setObjectName("export_dialog")
        self.setAccessibleName("Export")
        self.setWindowTitle("Export")
        self._build()
        bridge.field_ready.connect(self._take_field)
        bridge.copied.connect(self._copied)
        bridge.failed.connect(self._not_copied)
        bridge.lost.connect(lambda *_: self._not_copied(None))
        self.process.progress.connect(self._show_progress)
        self.process.ended.connect(self._show_end)
        self._look_again = QTimer(self)
        self._look_again.setInterval(500)  # the views go on while the dialog is open
        self._look_again.timeout.connect(self._tell_size)
        self._offer()

    # --- construction -------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        self.kind, self.format, self.enlarged = QComboBox(), QComboBox(), QComboBox()
        for kind in Kind:
            self.kind.addItem(kind.value, kind)
        for format_, (text, _) in VOLUME_FORMATS.items():
            self.format.addItem(text, format_)
        for text, times in ENLARGED.items():
            self.enlarged.addItem(text, times)
        self.lateral, self.axial = QDoubleSpinBox(), QDoubleSpinBox()
        for spin in (self.lateral, self.axial):
            spin.setRange(0.001, 1000.0)
            spin.setDecimals(3)
            spin.setSuffix(" µm")
        self.only_seen = QCheckBox("Only what the slice shows")
        self.uncertainty = QCheckBox("Uncertainty as one more channel")
        self.scale_bar = QCheckBox("Scale bar burnt in")
        self.scale_bar.setChecked(True)
        self.draft = QCheckBox("Draft: many times faster, and coarser")
        self.frames, self.rate = QSpinBox(), QSpinBox()
        self.frames.setRange(2, 10000)
        self.frames.setValue(120)
        self.frames.setSuffix(" frames")
        self.rate.setRange(1, 120)
        self.rate.setValue(25)
        self.rate.setSuffix(" a second")
        self.place = QLineEdit()
        self.browse = QPushButton("Browse…")
        self.figures, self.state = QLabel(), QLabel()
        self.figures.setProperty("role", "hint")
        self.state.setProperty("role", "state")
        self.state.setWordWrap(True)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.show_folder, self.close_button = QPushButton("Show in folder"), QPushButton("Close")
        self.start_button = QPushButton("Export")
        self.start_button.setProperty("primary", "true")
        self.start_button.setDefault(True)
        for widget, name, spoken in (
            (self.kind, "export_kind", "What to export"),
            (self.format, "export_format", "Format"),
            (self.lateral, "export_lateral", "Size of a voxel along x and y"),
            (self.axial, "export_axial", "Size of a voxel along z"),
            (self.only_seen, "export_only_seen", "Only what the slice shows"),
            (self.uncertainty, "export_uncertainty", "Uncertainty as one more channel"),
            (self.enlarged, "export_enlarged", "Pixels of the picture"),
            (self.scale_bar, "export_scale_bar", "Scale bar burnt in"),
            (self.draft, "export_draft", "Draft: many times faster, and coarser"),
            (self.frames, "export_frames", "Frames of the movie"),
            (self.rate, "export_rate", "Frames a second"),
            (self.place, "export_place", "File"),
            (self.browse, "export_browse", "Choose the file"),
            (self.figures, "export_size", "Size of the export"),
            (self.state, "export_state", "State of the export"),
            (self.bar, "export_bar", "Progress of the export"),
            (self.show_folder, "export_show_folder", "Show the file in its folder"),
            (self.close_button, "export_close", "Close"),
            (self.start_button, "export_start", "Export, or cancel the export"),
        ):
            widget.setObjectName(name)
            widget.setAccessibleName(spoken)
        self._form = QFormLayout()
        self._form.setVerticalSpacing(7)
        self._form.setHorizontalSpacing(14)
        self._form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self._voxels, self._movie = _beside(self.lateral, self.axial), _beside(self.frames, self.rate)
        self._form.addRow("What", self.kind)
        self._form.addRow("Format", self.format)
        self._form.addRow("Voxels, xy and z", self._voxels)
        self._form.addRow("", self.only_seen)
        self._form.addRow("", self.uncertainty)
        self._form.addRow("Pixels", self.enlarged)
        self._form.addRow("", self.scale_bar)
        self._form.addRow("", self.draft)
        self._form.addRow("Length", self._movie)
        self._form.addRow("File", _beside(self.place, self.browse))
        self._form.addRow("", self.figures)
        buttons = QHBoxLayout()
        buttons.addWidget(self.show_folder)
        buttons.addStretch(1)
        buttons.addWidget(self.close_button)
        buttons.addWidget(self.start_button)
        frame = QFrame()
        frame.setObjectName("section")
        frame.setLayout(self._form)
        self._form.setContentsMargins(14, 12, 14, 12)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(14, 14, 14, 14)
        layout.setSpacing(10)
        layout.addWidget(frame)
        layout.addWidget(self.bar)
        layout.addWidget(self.state)
        layout.addStretch(1)
        layout.addLayout(buttons)
        self.setMinimumWidth(470)
        for box in (self.kind, self.format):
            box.currentIndexChanged.connect(lambda _: self._offer(rename=True))
        self.enlarged.currentIndexChanged.connect(lambda _: self._tell_size())
        for changed in (
            self.lateral.valueChanged,
            self.axial.valueChanged,
            self.frames.valueChanged,
            self.rate.valueChanged,
        ):
            changed.connect(lambda _: self._tell_size())
        for check in (self.only_seen, self.uncertainty):
            check.toggled.connect(lambda _: self._tell_size())
        self.browse.clicked.connect(self._browse)
        self.show_folder.clicked.connect(self._show_folder)
        self.close_button.clicked.connect(self.close)
        self.start_button.clicked.connect(self._start_or_cancel)

    # --- what is offered ----------------------------------------------------------------------------------------------

    def open_beside(self, folder: Path, stem: str) -> None:
        """Show the dialog with a name for the file; one that is open already only comes to the front."""
        if not self.isVisible():
            self.place.setText(str(_free(folder, stem, suffix_of(self.choice()))))
            self._look_again.start()
            self._offer()
        self.show()
        self.raise_()
        self.activateWindow()

    def hideEvent(self, event: object) -> None:
        """Look at nothing while hidden; an export goes on."""
        self._look_again.stop()
        super().hideEvent(event)  # type: ignore[arg-type]

    def _take_field(self, ready: FieldReady) -> None:
        """A quarter of what the light resolves is fine enough for a voxel of a new field."""
        new = self._ready is None or ready.run != self._ready.run
        self._ready = ready
        if new:
            self.lateral.setValue(ready.resolution_um[0] / RESOLVED)
            self.axial.setValue(ready.resolution_um[1] / RESOLVED)
        self._tell_size()

    def choice(self) -> Choice:
        """What is set."""
        kind: Kind = self.kind.currentData()
        format_: VolumeFormat = self.format.currentData()
        return Choice(
            kind,
            format_,
            (self.lateral.value(), self.axial.value()),
            self.only_seen.isChecked(),
            self.uncertainty.isChecked(),
            int(self.enlarged.currentData()),
            self.draft.isChecked(),
            self.scale_bar.isChecked(),
            self.frames.value(),
            float(self.rate.value()),
        )

    def _offer(self, rename: bool = False) -> None:
        """Show what the choice needs, and give the file the end that goes with it."""
        choice = self.choice()
        volume, movie = choice.kind is Kind.VOLUME, choice.kind in (Kind.SWEEP, Kind.SPIN)
        for widget in (self.format, self._voxels, self.only_seen, self.uncertainty):
            self._form.setRowVisible(widget, volume)
        for widget in (self.enlarged, self.scale_bar):
            self._form.setRowVisible(widget, not volume)
        self._form.setRowVisible(self.draft, choice.kind in (Kind.VIEW, Kind.SPIN))
        self._form.setRowVisible(self._movie, movie)
        self.resize(self.width(), self.sizeHint().height())
        if rename and self.place.text():
            place = Path(self.place.text())
            self.place.setText(str(_free(place.parent, _stem(place), suffix_of(choice))))
        self._tell_size()

    def _tell_size(self) -> None:
        busy = self.process.running or self._copy is not None
        text, possible = self._size_text()
        self.figures.setText(text)
        self.start_button.setText("Cancel" if busy else "Export")
        self.start_button.setEnabled(busy or possible)
        self.show_folder.setVisible(self._written is not None and not busy)
        self.bar.setVisible(busy)

    def _size_text(self) -> tuple[str, bool]:
        choice, seen = self.choice(), self._see()
        if self._ready is None or not self._bridge.has_field:
            return "There is no volume yet.", False
        if choice.kind is Kind.VOLUME:
            try:
                sampling = sampling_of(choice, seen, self._ready)
            except OperatorError as error:
                return error.message, False
            z, y, x = sampling.shape_zyx
            size = sampling.size_bytes(2 if choice.uncertainty else 1)
            return f"{x} × {y} × {z} voxels (x, y, z), {size / 1e6:.3g} MB", True
        pixels = pixels_of(choice, seen)
        if pixels is None:
            return "Look at it first: it is exported as it is seen.", False
        length = f", {choice.frames / choice.frames_per_second:.3g} s" if suffix_of(choice) == ".mp4" else ""
        slice_ = f"{seen.slice_name} slice, " if choice.kind in (Kind.SLICE, Kind.SWEEP) else ""
        return f"{slice_}{pixels[1]} × {pixels[0]} pixels{length}", True

    # --- the work -----------------------------------------------------------------------------------------------------

    def _start_or_cancel(self) -> None:
        if self.process.running:
            self.process.cancel()
            self._say("cancelling…", "busy")
        elif self._copy is not None:
            self._forget_copy()
            self._say("Cancelled; nothing was written.")
        elif Path(self.place.text()).exists():
            self._ask_to_replace(Path(self.place.text()))
        else:
            self.start()

    def _ask_to_replace(self, output: Path) -> None:
        box = QMessageBox(QMessageBox.Icon.Question, "Export", f"{output.name} exists already.", parent=self)
        box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        box.setObjectName("export_replace")
        replace = box.addButton("Replace", QMessageBox.ButtonRole.AcceptRole)
        box.addButton(QMessageBox.StandardButton.Cancel)
        replace.clicked.connect(self.start)
        box.open()

    def start(self) -> None:
        """Save the field as it is now, and export that."""
        if self._ready is None:
            return
        folder = Path(tempfile.mkdtemp(prefix="fieldscope-export-"))
        self._copy = folder / "copy.field.h5"
        output = Path(self.place.text()).expanduser().absolute()
        self._job = job_of(self.choice(), self._see(), self._ready, self._copy, output)
        if self._job is None:
            self._forget_copy()
            return
        self._written = None
        self.bar.setRange(0, 0)
        self._say("taking the volume as it is…", "busy")
        self._bridge.save_copy(self._copy)

    def _copied(self, saved: Saved) -> None:
        if self._copy is not None and self._job is not None and saved.field_path == str(self._copy):
            self.process.start(self._job)
            self._say("reading…", "busy")

    def _not_copied(self, failed: Failed | None) -> None:
        if self._copy is not None and not self.process.running:
            self._forget_copy()
            self._say(f"{failed.message} {failed.remedy}" if failed else "The reconstruction process is lost.", "bad")

    def _show_progress(self, told: Progress) -> None:
        if self.bar.maximum() == 0:
            self._began_s = time.monotonic()
        self.bar.setRange(0, told.total)
        self.bar.setValue(told.done)
        passed_s = time.monotonic() - self._began_s
        left_s = passed_s * (told.total - told.done) / max(1, told.done)
        left = f", about {duration_text(left_s)} left" if 0 < told.done < told.total else ""
        self._say(f"{told.unit} {told.done} of {told.total}{left}", "busy")

    def _show_end(self, told: Written | NotWritten) -> None:
        self._forget_copy()
        if isinstance(told, Written):
            self._written = told.output
            self._say(f"Written: {told.output.name}, {told.size_bytes / 1e6:.3g} MB", "good")
        elif told.message:
            self._say(f"{told.message} {told.remedy}", "bad")
        else:
            self._say("Cancelled; nothing was written.")

    def _forget_copy(self) -> None:
        if self._copy is not None:
            shutil.rmtree(self._copy.parent, ignore_errors=True)
        self._copy = self._job = None

    def _say(self, text: str, tone: str = "quiet") -> None:
        set_tone(self.state, text, tone)  # type: ignore[arg-type]  # a tone
        self._tell_size()

    def shut_down(self) -> None:
        """End an export that runs; the window closes."""
        self.hide()
        self.process.cancel()
        if not self.process.running:
            self._forget_copy()

    # --- the file -----------------------------------------------------------------------------------------------------

    def _browse(self) -> None:
        dialog = QFileDialog(self, "Export to", self.place.text())
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
        dialog.setOption(QFileDialog.Option.DontConfirmOverwrite)  # asked for when it is written
        dialog.fileSelected.connect(self.place.setText)
        dialog.open()

    def _show_folder(self) -> None:
        if self._written is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(self._written.parent)))


def _beside(*widgets: QWidget) -> QWidget:
    row = QWidget()
    layout = QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    for number, widget in enumerate(widgets):
        layout.addWidget(widget, 1 if number == 0 or not isinstance(widget, QPushButton) else 0)
    return row


def _stem(path: Path) -> str:
    return path.name.removesuffix(path.suffix).removesuffix(".ome")


def _free(folder: Path, stem: str, suffix: str) -> Path:
    """A name that is not taken, with a number where need be."""
    path, number = folder / f"{stem}{suffix}", 2
    while path.exists():
        path, number = folder / f"{stem}-{number}{suffix}", number + 1
    return path
