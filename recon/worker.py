"""The reconstruction process: takes messages, fits, answers with pictures. Imports torch, never Qt.

One loop, no threads: messages first, then a share of the time for pictures, then one portion of the fit. So a message
waits at most one portion, and pictures cannot starve the fit nor the fit the pictures.
"""

from __future__ import annotations

import logging
import time
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from acquisition.errors import OperatorError
from recon import messages, shared
from recon.account import field_ready
from recon.checkpoint import CheckpointFile, read_checkpoint
from recon.device import choose_device, memory_mb
from recon.field_file import program_versions, write_field
from recon.lights import NothingMeasured, lights_of, unknown_errors
from recon.memory import give_memory_back
from recon.opened import OpenedFields, set_pulse
from recon.painter import Painter
from recon.reconstruct import State
from recon.side_by_side import Interrupted
from recon.start import resume_live, start_live, start_stored
from recon.stored_images import beside
from recon.subject import Opened, Subject
from recon.view_requests import CloseView, PictureRequest, RequestLight

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from recon.checkpoint import Checkpoint
    from recon.messages import Event

log = logging.getLogger(__name__)

ENDING = (
    messages.FinishNow, messages.Cancel, messages.Shutdown,
    messages.StartLive, messages.StartStored, messages.OpenField, messages.Resume,
)  # fmt: skip
"""Messages for which a portion of work is broken off."""

HEARTBEAT_S = 0.5
IDLE_WAIT_S = 0.05
SHOWN_WITHIN_S = 0.3
"""So long a run that goes on waits for a view to show its field, before it reads the frames."""
QUIET_S = 0.5
"""What nobody waits for is done when no picture has been asked for so long: a hand that moves has asked long before."""
NOBODYS_RUN = -1
"""Number of the run where there is none."""


@dataclass(frozen=True, eq=False)
class _GoingOn:
    """A run of a lost process whose field is shown, and whose frames are read next."""

    asked: messages.Resume
    checkpoint: Checkpoint | None
    since_s: float


class Worker:
    """Serves one window over one connection.

    Parameters
    ----------
    connection
        Messages come and go here.
    device
        ``auto``, ``cpu`` or ``cuda``; the device of opened fields.
    checkpoint
        Where the state of the run is kept for the case that this process is lost; None: nowhere.

    Attributes
    ----------
    subject, painter
        What the run under way is about, and what paints it.
    closing
        Whether the process is to end.
    """

    def __init__(self, connection: Connection, device: str = "auto", checkpoint: CheckpointFile | None = None) -> None:
        self.subject = Subject(NOBODYS_RUN)
        self.painter = Painter(self.subject, self.emit, self._pulse)
        self.closing = False
        self._connection = connection
        self._device = choose_device(device)
        self._checkpoint = checkpoint or CheckpointFile()
        self._files = OpenedFields(self._device, self._pulse)
        self._next_path = ""
        self._going_on: _GoingOn | None = None
        self._waiting: list[messages.Command] = []
        self._handling = False
        self._heartbeat_s = 0.0

    def serve(self) -> None:
        """Work until told to shut down or until the other side is gone."""
        self.emit(messages.Ready(str(self._device), program_versions()))
        busy, tidy = False, True
        while not self.closing:
            self._take_messages(0.0 if busy else IDLE_WAIT_S)
            self._beat()
            tidy = tidy and not busy
            if not (busy or tidy) and self.painter.quiet_s > QUIET_S:
                give_memory_back()
                tidy = True
            try:
                busy = self._work()
            except Interrupted:
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
                log.exception("run %d failed", self.subject.run)
                self._fail(
                    f"The reconstruction failed unexpectedly: {error}",
                    "Start it again; if it repeats, keep the capture and write a problem report (menu Help).",
                    traceback.format_exc(),
                )
                busy = False

    def emit(self, event: Event) -> None:
        """Send an event; a window that is gone ends the process."""
        try:
            self._connection.send(event)
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
            while self._connection.poll(wait_s):
                wait_s = 0.0
                received.append(self._connection.recv())
        except (EOFError, OSError):
            self.closing = True
        return received

    def _pulse(self) -> None:
        """Stay responsive within a long portion of work: answer views at once, stop for a message that ends it."""
        if self._handling or self.painter.at_quick_picture:  # these too evaluate fields, which pulse
            return
        self._beat()
        for command in self._receive(0.0):
            if isinstance(command, PictureRequest | CloseView) and command.run == self.subject.run:
                self._handle_safely(command)
            else:
                self._waiting.append(command)
        if self.closing or any(isinstance(command, ENDING) for command in self._waiting):
            raise Interrupted
        self.painter.go_on()
        self.painter.paint_waiting()

    def _handle_safely(self, command: messages.Command) -> None:
        self._handling = True
        try:
            self._handle(command)
        except OperatorError as error:
            self._fail(error.message, error.remedy)
        except Exception as error:  # one bad message must not end the process
            log.exception("%s failed", type(command).__name__)
            remedy = "Start the run again; if it repeats, write a problem report (menu Help)."
            self._fail(f"{type(command).__name__} failed: {error}", remedy, traceback.format_exc())
        finally:
            self._handling = False

    def _handle(self, command: messages.Command) -> None:
        subject = self.subject
        match command:
            case messages.Shutdown():
                self.closing = True
            case messages.SetViewBudget(fraction=fraction):
                self.painter.clock.fraction = min(max(fraction, 0.05), 0.9)
            case messages.StartLive():
                subject = self._begin(command.run)
                subject.reconstruction = start_live(
                    command.run, command.header, command.settings, self.emit, command.capture_name, self._pulse,
                    command.reference,
                )  # fmt: skip
                self.emit(messages.Phase(command.run, "collecting", "waiting for frames"))
            case messages.StartStored():
                subject = self._begin(command.run)
                self.emit(messages.Phase(command.run, "collecting", "reading the capture"))
                subject.reconstruction = start_stored(
                    command.run, command.capture_path, command.settings, self.emit, self._pulse
                )
            case messages.OpenField():
                self._open(self._begin(command.run), command.field_path)
            case messages.Resume():
                # Should this process be lost as well, the next one needs the checkpoint again.
                self._resume(self._begin(command.run, forget=False), command)
            case messages.AddFrame(image=image) if command.run != subject.run:
                shared.discard(image)
            case _ if command.run != subject.run:
                log.info("%s of run %d dropped, run is %d", type(command).__name__, command.run, subject.run)
            case _ if isinstance(command, PictureRequest):
                subject.lights_wanted |= isinstance(command, RequestLight)
                self.painter.ask(command)
            case CloseView(view=view):
                self.painter.close(view)
            case messages.LookAt():
                self._look_at(command)
            case messages.AddFrame():
                counts_yx = shared.take(command.image)
                if subject.reconstruction is not None:
                    subject.reconstruction.add_frame(command.pattern, counts_yx, command.exposure_ms)
            case messages.FramesDone():
                if subject.reconstruction is not None:
                    subject.reconstruction.frames_done(command.capture_path)
            case messages.FinishNow():
                if subject.reconstruction is not None:
                    subject.reconstruction.finish("finished by the operator")
            case messages.Cancel():
                self._begin(NOBODYS_RUN)
            case messages.SaveField():
                try:
                    self._save(command.field_path)
                except OperatorError as error:  # no reason to lose the run
                    self.emit(messages.Failed(subject.run, error.message, error.remedy, ends_run=False))

    def _begin(self, run: int, forget: bool = True) -> Subject:
        self.subject = Subject(run)
        self.painter.begin(self.subject)
        self._going_on, self._next_path = None, ""
        if forget:
            self._checkpoint.forget()
        return self.subject

    def _read(self, path: str) -> Opened:
        """Read a field, and find the images that it was made from."""
        field = self._files.get(path)
        stored, told = beside(path, field)
        return Opened(field, stored or NothingMeasured(), told)

    def _open(self, subject: Subject, path: str) -> None:
        opened = self._read(path)
        self._show(subject, opened)
        measured = opened.measured
        self.emit(lights_of(subject.run, opened.field, measured.patterns_pl, unknown_errors(measured), opened.told))
        self._tell_finished(opened, "opened from file")

    def _show(self, subject: Subject, opened: Opened) -> None:
        subject.opened, field = opened, opened.field
        self.emit(field_ready(subject.run, field.bounds, field.optics, field.coarse_dn()))

    def _tell_finished(self, opened: Opened, reason: str) -> None:
        history, size = opened.field.history, opened.field.parameter_bytes
        self.emit(
            messages.Finished(self.subject.run, reason, history.held_out_error, history.seconds, history.steps, size)
        )

    def _resume(self, subject: Subject, asked: messages.Resume) -> None:
        found: Checkpoint | None = None
        try:
            found = read_checkpoint(asked.checkpoint_path, self._device)
        except OperatorError as error:
            log.warning("%s", error)
            text = f"Nothing can be gone on with, the run begins anew: {error.message}"
            self.emit(messages.Notice(subject.run, text))
        if found is not None:
            set_pulse(found.field, self._pulse)
            left = Opened(found.field, NothingMeasured())
            self._show(subject, left)
            if found.finished or not asked.capture_path:
                lost = "interrupted, and its frames are in no file"
                self._tell_finished(left, found.field.history.reason if found.finished else lost)
                return
        if not asked.capture_path:
            raise OperatorError("Nothing is left of the run: its frames are in no file.", "Capture again.")
        self._going_on = _GoingOn(asked, found, time.monotonic())

    def _read_on(self, going_on: _GoingOn) -> None:
        """Read the frames of a run that goes on."""
        self._going_on, asked, run = None, going_on.asked, self.subject.run
        self.emit(messages.Phase(run, "collecting", "reading the capture"))
        if asked.live:
            self.subject.reconstruction = resume_live(
                run, asked.capture_path, asked.settings, self.emit, self._pulse, asked.reference
            )
        else:
            self.subject.reconstruction = start_stored(
                run, asked.capture_path, asked.settings, self.emit, self._pulse, going_on.checkpoint
            )

    def _look_at(self, command: messages.LookAt) -> None:
        try:
            other = self._read(command.field_path) if command.field_path else None
        except OperatorError as error:  # what was looked at before stays
            self.emit(messages.Failed(command.run, error.message, error.remedy, ends_run=False))
            return
        self._next_path = command.next_path
        self.subject.look_at(other)
        self.painter.ask_again()
        held_out_error = None if other is None else other.field.history.held_out_error
        self.emit(messages.Looking(command.run, command.field_path, held_out_error))

    def _read_ahead(self) -> None:
        """Read the field that is likely to be looked at next."""
        path, self._next_path = self._next_path, ""
        try:
            self._files.get(path)
        except OperatorError as error:  # whoever asks for it is told
            log.info("%s", error)

    def _save(self, path: str) -> None:
        result = self.subject.own()
        if result is None:
            raise OperatorError("There is no field to save yet.", "Wait for the first volume, then save.")
        self.emit(messages.Saved(self.subject.run, path, write_field(path, result)))

    def _fail(self, message: str, remedy: str, detail: str = "") -> None:
        subject = self.subject
        self.emit(messages.Failed(subject.run, message, remedy, detail))
        if subject.reconstruction is not None and subject.reconstruction.state is not State.FINISHED:
            subject.reconstruction = None

    # --- work ---------------------------------------------------------------------------------------------------------

    def _beat(self) -> None:
        now = time.monotonic()
        if now - self._heartbeat_s >= HEARTBEAT_S:
            self._heartbeat_s = now
            run = self.subject.reconstruction
            self.emit(messages.Heartbeat(time.time(), memory_mb(run.device if run else torch.device("cpu"))))

    def _work(self) -> bool:
        """Do a portion of what there is to do; whether there was any."""
        painter, subject = self.painter, self.subject
        painted = painter.paint_waiting() or painter.paint_changed()
        going_on = self._going_on
        if going_on is not None:
            if painted or time.monotonic() - going_on.since_s > SHOWN_WITHIN_S:
                self._read_on(going_on)
            return painted or self._going_on is None
        start_s, painted_before_s = time.monotonic(), painter.painted_s
        advanced = subject.reconstruction is not None and subject.reconstruction.advance()
        if advanced:
            painter.clock.fitted(time.monotonic() - start_s - (painter.painted_s - painted_before_s))
        if subject.reconstruction is not None and (problem := self._checkpoint.follow(subject.reconstruction)):
            self.emit(messages.Notice(subject.run, problem))
        if self._next_path and not painted and not self._waiting:
            self._read_ahead()
        if painted or advanced:
            return True
        return painter.quiet_s > QUIET_S and subject.find_error(self.emit, self._pulse)
