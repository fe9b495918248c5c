"""The reconstruction process: takes messages, fits, answers with pictures. Imports torch, never Qt.

One loop, no threads: messages first, then a share of the time for pictures, then one portion of the fit. So a message
waits at most one portion, and pictures cannot starve the fit nor the fit the pictures.
"""

from __future__ import annotations

import logging
import time
import traceback
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from acquisition.errors import OperatorError
from recon import messages, shared
from recon.device import choose_device, memory_mb
from recon.field_file import program_versions, write_field
from recon.opened import OpenedFields
from recon.pictures import paint
from recon.reconstruct import State, field_ready
from recon.start import start_live, start_stored

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from recon.messages import Event, PictureRequest
    from recon.reconstruct import Reconstruction
    from recon.result import Field
    from recon.tiled import TiledReconstruction
    from recon.tiles import TiledField

log = logging.getLogger(__name__)

ENDING = (
    messages.FinishNow, messages.Cancel, messages.Shutdown,
    messages.StartLive, messages.StartStored, messages.OpenField,
)  # fmt: skip
"""Messages for which a portion of work is broken off."""

HEARTBEAT_S = 0.5
IDLE_WAIT_S = 0.05
DEFAULT_VIEW_BUDGET = 0.3
MAX_CREDIT_S = 1.0
"""Neither pictures nor fit can save up more time than this."""


class _Stop(Exception):
    """A message ended what was being computed."""


@dataclass
class _View:
    """The plane one view shows, and which state of the field it was last painted from."""

    request: PictureRequest
    painted_step: int = -1
    answered: bool = False


@dataclass
class _Clock:
    """Shares time between pictures and fit: pictures may take `fraction` of what both take together."""

    fraction: float = DEFAULT_VIEW_BUDGET
    credit_s: float = 0.0

    def fitted(self, seconds: float) -> None:
        earned = seconds * self.fraction / (1.0 - self.fraction)
        self.credit_s = min(self.credit_s + earned, MAX_CREDIT_S)

    def painted(self, seconds: float) -> None:
        self.credit_s = max(self.credit_s - seconds, -MAX_CREDIT_S)


@dataclass
class Worker:
    """Serves one window over one connection.

    Parameters
    ----------
    connection
        Messages come and go here.
    device
        ``auto``, ``cpu`` or ``cuda``; the device of opened fields.
    """

    connection: Connection
    device: str = "auto"
    run: int = -1
    reconstruction: Reconstruction | TiledReconstruction | None = None
    opened: Field | TiledField | None = None
    looked_at: Field | TiledField | None = None
    views: dict[str, _View] = field(default_factory=dict)
    clock: _Clock = field(default_factory=_Clock)
    closing: bool = False
    _files: OpenedFields = field(init=False)
    _heartbeat_s: float = 0.0
    _looks: int = 0
    _next_path: str = ""
    _waiting: list[messages.Command] = field(default_factory=list)
    _painting: bool = False
    _painted_s: float = 0.0

    def serve(self) -> None:
        """Work until told to shut down or until the other side is gone."""
        device = choose_device(self.device)
        self._files = OpenedFields(device)
        self.emit(messages.Ready(str(device), program_versions()))
        busy = False
        while not self.closing:
            self._take_messages(0.0 if busy else IDLE_WAIT_S)
            self._beat()
            try:
                busy = self._work()
            except _Stop:
                busy = True
            except OperatorError as error:
                self._fail(error.message, error.remedy)
                busy = False
            except torch.OutOfMemoryError as error:
                self._fail(
                    "The graphics card has too little memory for this volume.",
                    "Choose a smaller region or depth range, or --device cpu.",
                    str(error),
                )
                busy = False
            except Exception as error:  # the process must live on and tell
                log.exception("run %d failed", self.run)
                self._fail(
                    f"The reconstruction failed unexpectedly: {error}",
                    "Start it again; if it repeats, keep the capture and report the log.",
                    traceback.format_exc(),
                )
                busy = False

    def emit(self, event: Event) -> None:
        """Send an event; a window that is gone ends the process."""
        try:
            self.connection.send(event)
        except (OSError, ValueError):
            self.closing = True

    # --- messages -----------------------------------------------------------------------------------------------------

    def _take_messages(self, wait_s: float) -> None:
        pending, self._waiting = self._waiting, []
        for command in pending:
            self._handle_safely(command)
        for command in self._receive(0.0 if pending else wait_s):
            self._handle_safely(command)

    def _receive(self, wait_s: float) -> list[messages.Command]:
        received: list[messages.Command] = []
        try:
            while self.connection.poll(wait_s):
                wait_s = 0.0
                received.append(self.connection.recv())
        except (EOFError, OSError):
            self.closing = True
        return received

    def _pulse(self) -> None:
        """Stay responsive within a long portion of work: answer views at once, stop for a message that ends it."""
        if self._painting:  # evaluates the field, which pulses too
            return
        self._beat()
        for command in self._receive(0.0):
            if isinstance(command, messages.PictureRequest) and command.run == self.run:
                self._handle_safely(command)
            else:
                self._waiting.append(command)
        if self.closing or any(isinstance(command, ENDING) for command in self._waiting):
            raise _Stop
        self._paint_waiting()

    def _handle_safely(self, command: messages.Command) -> None:
        try:
            self._handle(command)
        except OperatorError as error:
            self._fail(error.message, error.remedy)
        except Exception as error:  # one bad message must not end the process
            log.exception("%s failed", type(command).__name__)
            self._fail(f"{type(command).__name__} failed: {error}", "Start the run again.", traceback.format_exc())

    def _handle(self, command: messages.Command) -> None:
        match command:
            case messages.Shutdown():
                self.closing = True
            case messages.SetViewBudget(fraction=fraction):
                self.clock.fraction = min(max(fraction, 0.05), 0.9)
            case messages.StartLive():
                self._begin(command.run)
                self.reconstruction = start_live(
                    command.run, command.header, command.settings, self.emit, command.capture_name, self._pulse,
                    command.reference,
                )  # fmt: skip
                self.emit(messages.Phase(command.run, "collecting", "waiting for frames"))
            case messages.StartStored():
                self._begin(command.run)
                self.emit(messages.Phase(command.run, "collecting", "reading the capture"))
                self.reconstruction = start_stored(
                    command.run, command.capture_path, command.settings, self.emit, self._pulse
                )
            case messages.OpenField():
                self._begin(command.run)
                self._open(command.field_path)
            case messages.AddFrame(image=image) if command.run != self.run:
                shared.discard(image)
            case _ if command.run != self.run:
                log.info("%s of run %d dropped, run is %d", type(command).__name__, command.run, self.run)
            case messages.PictureRequest():
                known = self.views.get(command.view)
                if known is None or command.request >= known.request.request:
                    self.views[command.view] = _View(command)
            case messages.LookAt():
                self._look_at(command)
            case messages.AddFrame():
                counts_yx = shared.take(command.image)
                if self.reconstruction is not None:
                    self.reconstruction.add_frame(command.pattern, counts_yx)
            case messages.FramesDone():
                if self.reconstruction is not None:
                    self.reconstruction.frames_done(command.capture_path)
            case messages.FinishNow():
                if self.reconstruction is not None:
                    self.reconstruction.finish("finished by the operator")
            case messages.Cancel():
                self._begin(-1)
            case messages.SaveField():
                try:
                    self._save(command.field_path)
                except OperatorError as error:  # no reason to lose the run
                    self.emit(messages.Failed(self.run, error.message, error.remedy, ends_run=False))

    def _begin(self, run: int) -> None:
        self.run = run
        self.reconstruction = None
        self.opened = self.looked_at = None
        self._next_path = ""
        self.views.clear()

    def _open(self, path: str) -> None:
        opened = self._files.get(path)
        sample = opened.volume((16, 64, 64)).real - opened.medium_index
        history = opened.history
        self.opened = opened
        self.emit(field_ready(self.run, opened.bounds, opened.optics, sample))
        self.emit(
            messages.Finished(
                self.run, "opened from file", history.held_out_error, history.seconds, history.steps,
                opened.parameter_bytes,
            )
        )  # fmt: skip

    def _look_at(self, command: messages.LookAt) -> None:
        try:
            self.looked_at = self._files.get(command.field_path) if command.field_path else None
        except OperatorError as error:  # what was looked at before stays
            self.emit(messages.Failed(self.run, error.message, error.remedy, ends_run=False))
            return
        self._looks += 1
        self._next_path = command.next_path
        for view in self.views.values():
            view.answered = False
        held_out_error = None if self.looked_at is None else self.looked_at.history.held_out_error
        self.emit(messages.Looking(self.run, command.field_path, held_out_error))

    def _read_ahead(self) -> None:
        """Read the field that is likely to be looked at next."""
        path, self._next_path = self._next_path, ""
        try:
            self._files.get(path)
        except OperatorError as error:  # whoever asks for it is told
            log.info("%s", error)

    def _save(self, path: str) -> None:
        result = self._field()
        if result is None:
            raise OperatorError("There is no field to save yet.", "Wait for the first volume, then save.")
        self.emit(messages.Saved(self.run, path, write_field(path, result)))

    def _fail(self, message: str, remedy: str, detail: str = "") -> None:
        self.emit(messages.Failed(self.run, message, remedy, detail))
        if self.reconstruction is not None and self.reconstruction.state is not State.FINISHED:
            self.reconstruction = None

    # --- work ---------------------------------------------------------------------------------------------------------

    def _beat(self) -> None:
        now = time.monotonic()
        if now - self._heartbeat_s >= HEARTBEAT_S:
            self._heartbeat_s = now
            device = self.reconstruction.device if self.reconstruction else torch.device("cpu")
            self.emit(messages.Heartbeat(time.time(), memory_mb(device)))

    def _work(self) -> bool:
        painted = self._paint_waiting() or self._paint_changed()
        start, painted_before_s = time.monotonic(), self._painted_s
        advanced = self.reconstruction is not None and self.reconstruction.advance()
        if advanced:
            self.clock.fitted(time.monotonic() - start - (self._painted_s - painted_before_s))
        if self._next_path and not painted and not self._waiting:
            self._read_ahead()
        return painted or advanced

    def _field(self) -> Field | TiledField | None:
        if self.opened is not None:
            return self.opened
        if self.reconstruction is not None and self.reconstruction.has_field:
            return self.reconstruction.field()
        return None

    def _shown(self) -> Field | TiledField | None:
        return self._field() if self.looked_at is None else self.looked_at

    def _field_step(self) -> int:
        if self.looked_at is not None:
            return -2 - self._looks  # as long as nobody looks elsewhere it stays what it is
        return self.reconstruction.changes if self.reconstruction is not None else 0

    def _paint_waiting(self) -> bool:
        """Answer the views that wait for their first picture; whether there were any."""
        due = [view for view in self.views.values() if view.request.run == self.run and not view.answered]
        return self._paint(due)

    def _paint_changed(self) -> bool:
        """Within the budget, paint again what the fit has changed, the view that is farthest behind first."""
        fitting = self.reconstruction is not None and self.reconstruction.state is State.FITTING
        if fitting and self.clock.credit_s <= 0.0:
            return False
        step = self._field_step()
        behind = [v for v in self.views.values() if v.request.run == self.run and v.painted_step != step]
        return self._paint(sorted(behind, key=lambda view: view.painted_step)[:1])

    def _paint(self, due: list[_View]) -> bool:
        shown = self._shown() if due else None
        if shown is None:
            return False
        self._painting = True
        try:
            for view in due:
                start = time.monotonic()
                try:
                    self._answer(view, shown)
                except Exception as error:  # a picture that fails must not cost the fit
                    log.exception("painting %s failed", view.request.view)
                    self.views.pop(view.request.view, None)
                    self.emit(messages.Notice(self.run, f"The view {view.request.view} could not be painted: {error}"))
                self.clock.painted(time.monotonic() - start)
                self._painted_s += time.monotonic() - start
        finally:
            self._painting = False
        return True

    def _answer(self, view: _View, shown: Field | TiledField) -> None:
        picture = paint(view.request, shown)
        view.answered = True
        view.painted_step = self._field_step()
        self.emit(messages.Picture(view.request, shared.share(picture), view.painted_step))


def main(connection: Connection, device: str) -> None:
    """Entry point of the process."""
    import signal

    # Ctrl-C goes to the whole group; the window decides when this process ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(level=logging.WARNING)
    try:
        Worker(connection, device).serve()
    finally:
        connection.close()
