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

import numpy as np
import torch

from acquisition.errors import OperatorError
from recon import messages, shared
from recon.checkpoint import CheckpointFile, read_checkpoint
from recon.device import choose_device, memory_mb
from recon.field_file import program_versions, write_field
from recon.lights import ErrorSurvey, NothingMeasured, lights_of
from recon.opened import OpenedFields
from recon.pictures import paint
from recon.reconstruct import TELL_LIGHTS_S, State, field_ready
from recon.render import Previews
from recon.result import Field
from recon.start import resume_live, start_live, start_stored
from recon.stored_images import beside
from recon.tiles import TiledField

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from recon.checkpoint import Checkpoint
    from recon.lights import MeasuredImages
    from recon.messages import Event, PictureRequest
    from recon.reconstruct import Reconstruction
    from recon.tiled import TiledReconstruction

log = logging.getLogger(__name__)

ENDING = (
    messages.FinishNow, messages.Cancel, messages.Shutdown,
    messages.StartLive, messages.StartStored, messages.OpenField, messages.Resume,
)  # fmt: skip
"""Messages for which a portion of work is broken off."""

HEARTBEAT_S = 0.5
IDLE_WAIT_S = 0.05
DEFAULT_VIEW_BUDGET = 0.3
SHOWN_WITHIN_S = 0.3
"""So long a run that goes on waits for a view to show its field, before it reads the frames."""
MAX_CREDIT_S = 1.0
"""Neither pictures nor fit can save up more time than this."""


class _Stop(Exception):
    """A message ended what was being computed."""


class _Superseded(Exception):
    """The view wants another picture than the one that is being painted."""


@dataclass
class _View:
    """The plane one view shows, and which state of the field it was last painted from."""

    request: PictureRequest
    painted_step: int = -1
    answered: bool = False

    @property
    def slow(self) -> bool:
        """Whether its picture may take seconds: others are painted in between, and a newer request ends it."""
        asked = self.request
        at_rest = isinstance(asked, messages.RequestVolume) and asked.quality == "rest"
        return at_rest or isinstance(asked, messages.RequestLight)


@dataclass
class _Clock:
    """Shares time between pictures and fit: pictures may take `fraction` of what both take together."""

    fraction: float = DEFAULT_VIEW_BUDGET
    credit_s: float = 0.0

    def fitted(self, seconds: float) -> None:
        earned = seconds * self.fraction / (1.0 - self.fraction)
        self.credit_s = min(self.credit_s + earned, MAX_CREDIT_S)

    def painted(self, seconds: float) -> None:
        # A picture that takes longer is paid for in full before the next.
        self.credit_s = max(self.credit_s - seconds, -max(MAX_CREDIT_S, seconds))


@dataclass(frozen=True, eq=False)
class _GoingOn:
    """A run of a lost process whose field is shown, and whose frames are read next."""

    asked: messages.Resume
    checkpoint: Checkpoint | None
    since_s: float


@dataclass
class Worker:
    """Serves one window over one connection.

    Parameters
    ----------
    connection
        Messages come and go here.
    device
        ``auto``, ``cpu`` or ``cuda``; the device of opened fields.
    checkpoint
        Where the state of the run is kept for the case that this process is lost.
    """

    connection: Connection
    device: str = "auto"
    checkpoint: CheckpointFile = field(default_factory=CheckpointFile)
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
    _going_on: _GoingOn | None = None
    _previews: Previews = field(default_factory=Previews)
    _measured: MeasuredImages = field(default_factory=NothingMeasured)
    _looked_measured: MeasuredImages = field(default_factory=NothingMeasured)
    _told: str = ""
    _survey: ErrorSurvey | None = None
    _wants_lights: bool = False
    _lights_told_s: float = 0.0
    _painting: list[_View] = field(default_factory=list)
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
                    "Start it again; if it repeats, keep the capture and write a problem report (menu Help).",
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
        if self._painting and not self._painting[-1].slow:  # evaluates the field, which pulses too
            return
        self._beat()
        for command in self._receive(0.0):
            if isinstance(command, messages.PictureRequest | messages.CloseView) and command.run == self.run:
                self._handle_safely(command)
            else:
                self._waiting.append(command)
        if self.closing or any(isinstance(command, ENDING) for command in self._waiting):
            raise _Stop
        if self._painting and self.views.get(self._painting[-1].request.view) is not self._painting[-1]:
            raise _Superseded
        self._paint_waiting()

    def _handle_safely(self, command: messages.Command) -> None:
        try:
            self._handle(command)
        except OperatorError as error:
            self._fail(error.message, error.remedy)
        except Exception as error:  # one bad message must not end the process
            log.exception("%s failed", type(command).__name__)
            remedy = "Start the run again; if it repeats, write a problem report (menu Help)."
            self._fail(f"{type(command).__name__} failed: {error}", remedy, traceback.format_exc())

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
            case messages.Resume():
                self._resume(command)
            case messages.AddFrame(image=image) if command.run != self.run:
                shared.discard(image)
            case _ if command.run != self.run:
                log.info("%s of run %d dropped, run is %d", type(command).__name__, command.run, self.run)
            case _ if isinstance(command, messages.PictureRequest):
                self._wants_lights |= isinstance(command, messages.RequestLight)
                known = self.views.get(command.view)
                if known is None or command.request >= known.request.request:
                    self.views[command.view] = _View(command)
            case messages.CloseView(view=view):
                self.views.pop(view, None)
            case messages.LookAt():
                self._look_at(command)
            case messages.AddFrame():
                counts_yx = shared.take(command.image)
                if self.reconstruction is not None:
                    self.reconstruction.add_frame(command.pattern, counts_yx, command.exposure_ms)
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

    def _begin(self, run: int, forget: bool = True) -> None:
        self.run = run
        self.reconstruction = None
        self.opened = self.looked_at = None
        self._measured, self._told, self._survey, self._wants_lights = NothingMeasured(), "", None, False
        self._going_on = None
        self._next_path = ""
        self.views.clear()
        if forget:
            self.checkpoint.forget()

    def _open(self, path: str) -> None:
        opened = self._files.get(path)
        self._show(opened)
        stored, self._told = beside(path, opened)
        self._measured = stored or NothingMeasured()
        unknown_p = np.full(len(self._measured.patterns_pl), np.nan, np.float32)
        self.emit(lights_of(self.run, opened, self._measured.patterns_pl, unknown_p, self._told))
        self._tell_finished(opened, "opened from file")

    def _show(self, opened: Field | TiledField) -> None:
        sample = opened.volume((16, 64, 64)).real - np.float32(opened.medium_index)
        for tile in opened.tiles if isinstance(opened, TiledField) else (opened,):
            if tile is not None:
                tile.network.pulse = self._pulse
        self.opened = opened
        self.emit(field_ready(self.run, opened.bounds, opened.optics, sample))

    def _tell_finished(self, shown: Field | TiledField, reason: str) -> None:
        history = shown.history
        self.emit(
            messages.Finished(
                self.run, reason, history.held_out_error, history.seconds, history.steps, shown.parameter_bytes
            )
        )

    def _resume(self, asked: messages.Resume) -> None:
        self._begin(asked.run, forget=False)  # should this process be lost as well, the next one needs it again
        found: Checkpoint | None = None
        try:
            found = read_checkpoint(asked.checkpoint_path, choose_device(self.device))
        except OperatorError as error:
            log.warning("%s", error)
            self.emit(messages.Notice(self.run, f"Nothing can be gone on with, the run begins anew: {error.message}"))
        if found is not None:
            self._show(found.field)
            if found.finished:
                self._tell_finished(found.field, found.field.history.reason)
                return
        if asked.capture_path:
            self._going_on = _GoingOn(asked, found, time.monotonic())
        elif found is not None:
            self._tell_finished(found.field, "interrupted, and its frames are in no file")
        else:
            raise OperatorError("Nothing is left of the run: its frames are in no file.", "Capture again.")

    def _read_on(self, going_on: _GoingOn) -> None:
        """Read the frames of a run that goes on."""
        self._going_on, asked = None, going_on.asked
        self.emit(messages.Phase(self.run, "collecting", "reading the capture"))
        if asked.live:
            self.reconstruction = resume_live(
                self.run, asked.capture_path, asked.settings, self.emit, self._pulse, asked.reference
            )
        else:
            self.reconstruction = start_stored(
                self.run, asked.capture_path, asked.settings, self.emit, self._pulse, going_on.checkpoint
            )

    def _look_at(self, command: messages.LookAt) -> None:
        try:
            self.looked_at = self._files.get(command.field_path) if command.field_path else None
        except OperatorError as error:  # what was looked at before stays
            self.emit(messages.Failed(self.run, error.message, error.remedy, ends_run=False))
            return
        stored = None if self.looked_at is None else beside(command.field_path, self.looked_at)[0]
        self._looked_measured = stored or NothingMeasured()
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
        going_on = self._going_on
        if going_on is not None and (painted or time.monotonic() - going_on.since_s > SHOWN_WITHIN_S):
            self._read_on(going_on)
        start, painted_before_s = time.monotonic(), self._painted_s
        advanced = self.reconstruction is not None and self.reconstruction.advance()
        if advanced:
            self.clock.fitted(time.monotonic() - start - (self._painted_s - painted_before_s))
        if self.reconstruction is not None and (problem := self.checkpoint.follow(self.reconstruction)):
            self.emit(messages.Notice(self.run, problem))
        if self._next_path and not painted and not self._waiting:
            self._read_ahead()
        return painted or advanced or self._find_error()

    def _field(self) -> Field | TiledField | None:
        if self.reconstruction is not None and self.reconstruction.has_field:
            self.opened = None  # what a lost process had left was shown until now
            return self.reconstruction.field()
        return self.opened

    @property
    def _fitting(self) -> bool:
        return self.reconstruction is not None and self.reconstruction.state is State.FITTING

    def _shown(self) -> Field | TiledField | None:
        return self._field() if self.looked_at is None else self.looked_at

    def _field_step(self) -> int:
        if self.looked_at is not None:
            return -2 - self._looks  # as long as nobody looks elsewhere it stays what it is
        return self.reconstruction.changes if self.reconstruction is not None else 0

    def _measured_images(self) -> MeasuredImages:
        """Those of the run's own field."""
        if self.reconstruction is None:
            return self._measured
        try:
            return self.reconstruction.measured
        except OperatorError as error:
            log.info("%s", error)
            return NothingMeasured()

    def _find_error(self) -> bool:
        """Find the error of one more pattern of a field that no longer changes; whether there was one.

        Of a field in tiles that would take hours: there those found while fitting must do.
        """
        over = self.opened is not None or (
            self.reconstruction is not None and self.reconstruction.state is State.FINISHED
        )
        shown = self._field() if over else None
        if not isinstance(shown, Field) or (self.opened is not None and not self._wants_lights):
            return False
        measured = self._measured_images()
        if self._survey is None:
            unknown_p = np.full(len(measured.patterns_pl), np.nan, np.float32)
            self._survey = ErrorSurvey(unknown_p if self.reconstruction is None else self.reconstruction.error_p)
        if self._survey.done:
            return False
        try:
            self._survey.advance(shown, measured, self._pulse)
        except _Stop:
            raise
        except Exception:  # nobody has asked for it, and it would fail again
            log.exception("the errors of all patterns could not be found")
            self._survey.give_up()
        if self._survey.done or time.monotonic() - self._lights_told_s > TELL_LIGHTS_S:
            self._lights_told_s = time.monotonic()
            self.emit(lights_of(self.run, shown, measured.patterns_pl, self._survey.error_p, self._told))
        return True

    def _paint_waiting(self) -> bool:
        """Answer the views that wait for their first picture, the quick ones first, the slow ones within the budget.

        Returns whether there were any.
        """
        waiting = [view for view in self.views.values() if view.request.run == self.run and not view.answered]
        may_be_slow = not self._painting and (self.clock.credit_s >= 0.0 or not self._fitting)
        return self._paint([view for view in waiting if may_be_slow or not view.slow])

    def _paint_changed(self) -> bool:
        """Within the budget, paint again what the fit has changed, the view that is farthest behind first."""
        if self._fitting and self.clock.credit_s <= 0.0:
            return False
        step = self._field_step()
        behind = [v for v in self.views.values() if v.request.run == self.run and v.painted_step != step]
        return self._paint(sorted(behind, key=lambda view: view.painted_step)[:1])

    def _paint(self, due: list[_View]) -> bool:
        shown = self._shown() if due else None
        if shown is None:
            return False
        for view in sorted(due, key=lambda view: view.slow):  # the quick ones are painted within the slow ones
            start, painted_before_s = time.monotonic(), self._painted_s
            self._painting.append(view)
            try:
                self._answer(view, shown)
            except _Stop:
                raise
            except _Superseded:
                log.debug("%s is wanted otherwise", view.request.view)
            except Exception as error:  # a picture that fails must not cost the fit
                log.exception("painting %s failed", view.request.view)
                self.views.pop(view.request.view, None)
                text = f"The view {view.request.view} could not be painted: {error}. Move or zoom it to try again."
                self.emit(messages.Notice(self.run, text))
            finally:
                self._painting.pop()
                own_s = time.monotonic() - start - (self._painted_s - painted_before_s)
                self.clock.painted(own_s)
                self._painted_s += own_s
        return True

    def _answer(self, view: _View, shown: Field | TiledField) -> None:
        step = self._field_step()
        measured: MeasuredImages = NothingMeasured()
        if isinstance(view.request, messages.RequestLight):
            measured = self._measured_images() if self.looked_at is None else self._looked_measured
        picture = paint(view.request, shown, measured, self._previews, (self.run, step), self._pulse)
        view.answered, view.painted_step = True, step
        self.emit(messages.Picture(view.request, shared.share(picture), step))
