"""Images of other programs, dropped on the window or opened: offered for import, made a capture on a thread, opened."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from acquisition.errors import OperatorError
from acquisition.importers import import_images

if TYPE_CHECKING:
    from pathlib import Path

    from acquisition.profile import Profile
    from gui.messages import MessageBar

log = logging.getLogger(__name__)

IMAGE_ENDINGS = (".tif", ".tiff", ".btf", ".mat")


def _free_name(folder: Path, stem: str) -> Path:
    """Capture file of that name, numbered where one is there already, or being written."""
    path, number = folder / f"{stem}.h5", 1
    while path.exists() or path.with_name(f"{path.name}.part").exists():
        number += 1
        path = folder / f"{stem}-{number}.h5"
    return path


class ImageImport(QObject):
    """One import at a time; `imported(path)` is emitted with the capture it made.

    Parameters
    ----------
    bar
        Where it is offered, and where progress and errors are told.
    """

    imported = Signal(object)
    _progressed = Signal(str, int, int)
    _ended = Signal(str, str, object)

    def __init__(self, bar: MessageBar, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._bar = bar
        self._running = False
        self._progressed.connect(self._tell_progress)
        self._ended.connect(self._end)

    def offer(self, source: Path, profile: Profile, folder: Path) -> None:
        """Ask whether the images become a capture in `folder`."""
        if self._running:
            self._bar.tell("An import is running.", f"Drop {source.name} again when it has ended.")
            return
        self._bar.tell(
            f"Make a capture of {source.name}?",
            f"Its images are taken as those of the LEDs that the profile “{profile.title}” lights, in the order of"
            " their numbers. Otherwise choose another profile first, or use fieldscope import.",
            "Import",
            lambda: self._begin(source, profile, folder),
            error=False,
        )

    def _begin(self, source: Path, profile: Profile, folder: Path) -> None:
        self._running = True
        self._bar.tell(f"Reading {source.name}…", error=False)
        # A daemon: a capture that is not complete has no proper name yet.
        arguments = (source, profile, folder)
        threading.Thread(target=self._run, args=arguments, name="image import", daemon=True).start()

    def _run(self, source: Path, profile: Profile, folder: Path) -> None:
        def tell(done: int, total: int) -> None:
            self._progressed.emit(source.name, done, total)

        path: Path | None = None
        try:
            folder.mkdir(parents=True, exist_ok=True)
            output = _free_name(folder, source.stem)
            path, remedy = import_images(source, profile, output, on_progress=tell)
            message = f"Imported: {path}"
        except OperatorError as error:
            message, remedy = error.message, error.remedy
        except OSError as error:
            message = f"{source.name} cannot be imported: {error}"
            remedy = "Look whether the disk is there and has room."
        except RuntimeError:  # the window is gone, and with it the listener; half a capture was removed
            log.info("import of %s ended with the window", source)
            return
        self._ended.emit(message, remedy, path)

    def _tell_progress(self, name: str, done: int, total: int) -> None:
        self._bar.tell(f"Importing {name}: {done} of {total} images", error=False)

    def _end(self, message: str, remedy: str, path: Path | None) -> None:
        self._running = False
        self._bar.tell(message, remedy, error=path is None)
        if path is not None:
            self.imported.emit(path)
