"""What whoever is to help needs to know, in one file: versions, instrument, settings, the last of the log; no images.

What the window knows is put together on its thread, in a moment; the logs are read and the file is written on another.
"""

from __future__ import annotations

import logging
import platform
import threading
import zipfile
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal, qVersion

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gui.log_panel import WindowLogHandler
    from gui.settings import WindowSettings
    from gui.workflow import Workflow
    from recon.messages import Ready

log = logging.getLogger(__name__)

LIBRARIES = (
    "fieldscope", "torch", "numpy", "h5py", "pycromanager", "pymmcore", "mm-test-adapters", "pyserial", "pydantic",
    "PySide6-Essentials", "pyqtgraph",
)  # fmt: skip
LAST_ERRORS = 20


class ProblemReport(QObject):
    """Writes reports.

    Parameters
    ----------
    flow, settings, handler
        What there is to tell.
    """

    written = Signal(object)
    failed = Signal(str)

    def __init__(
        self, flow: Workflow, settings: WindowSettings, handler: WindowLogHandler, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._flow, self._settings, self._handler = flow, settings, handler
        self._ready: Ready | None = None
        flow.bridge.ready.connect(self._note_ready)
        self.written.connect(self._tell_written)
        self.failed.connect(self._tell_failed)

    def _note_ready(self, ready: Ready) -> None:
        self._ready = ready

    def write(self) -> threading.Thread:
        """Write a report into the folder of the captures; `written` tells its path, `failed` why not."""
        now = datetime.now()
        path = self._flow.folder / f"fieldscope-problem-{now:%Y%m%d-%H%M%S}.zip"
        profile = self._flow.profile
        parts = {"report.txt": self.text(now), "log.txt": "\n".join(text for _, _, text in list(self._handler.kept))}
        if profile is not None:
            parts["profile.toml"] = profile.toml_text
        thread = threading.Thread(target=self._write, args=(path, parts, _log_files()), name="problem report")
        thread.start()
        return thread

    def _write(self, path: Path, parts: dict[str, str], logs: Iterable[Path]) -> None:
        fresh = path.with_suffix(".part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with zipfile.ZipFile(fresh, "w", zipfile.ZIP_DEFLATED) as archive:
                for name, text in parts.items():
                    archive.writestr(name, text)
                for file in logs:
                    archive.write(file, file.name)
            fresh.rename(path)
        except OSError as error:
            log.warning("no problem report", exc_info=True)
            self.failed.emit(f"{path} cannot be written: {error.strerror or error}.")
        else:
            self.written.emit(path)

    def _tell_written(self, path: Path) -> None:
        self._flow.panels.message.tell(
            f"Problem report: {path}",
            "Attach it to your question. It has no images in it; names of files and samples are in its log.",
            error=False,
        )

    def _tell_failed(self, message: str) -> None:
        self._flow.panels.message.tell(message, "Choose another folder for the captures, and write the report again.")

    def text(self, now: datetime) -> str:
        """All that fits on a page or two."""
        flow, bridge = self._flow, self._flow.bridge
        errors = [text for _, level, text in list(self._handler.kept) if level >= logging.ERROR][-LAST_ERRORS:]
        board = None if flow.instrument is None else flow.instrument.board_info
        camera = None if flow.instrument is None else flow.instrument.camera
        sections = {
            "Fieldscope problem report": [f"written {now:%Y-%m-%d %H:%M:%S}"],
            "Versions": [
                f"python {platform.python_version()}, Qt {qVersion()}, {platform.platform()}",
                *(f"{name} {_version(name)}" for name in LIBRARIES),
            ],
            "Reconstruction process": [
                "not started"
                if self._ready is None
                else f"computes on {self._ready.device}; "
                + ", ".join(f"{name} {number}" for name, number in self._ready.versions.items()),
                f"fitting {bridge.fitting}, field {bridge.has_field}, unsaved {bridge.unsaved}, lost {bridge.is_lost}",
                f"capture {flow.capture_path or 'none'}",
            ],
            "Instrument": [
                f"profile {flow.profile_name or 'none'}",
                "not connected" if board is None else f"board {board.name}, firmware {board.firmware or 'unnamed'}",
                "" if camera is None else f"camera {camera.label}, {camera.image_shape[1]} x {camera.image_shape[0]}",
                f"scanning {flow.service.scanning}",
            ],
            "Settings": [self._settings.model_dump_json(indent=1, exclude={"geometry_hex"})],
            "Last errors": errors or ["none"],
        }
        return "\n\n".join("\n".join([title, *filter(None, lines)]) for title, lines in sections.items()) + "\n"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "(not installed)"


def _log_files() -> list[Path]:
    """Files that the window's log goes to at present."""
    handlers = logging.getLogger().handlers
    paths = [Path(handler.baseFilename) for handler in handlers if isinstance(handler, logging.FileHandler)]
    return [path for path in paths if path.is_file()]
