"""A reconstruction in tiles: one ordinary reconstruction after the other, in the memory of one.

    live: the middle of the images alone --capture complete--> survey: LEDs, contrast of each tile (`recon.survey`)
    --> tile with the strongest contrast: decides the forward model --> the other tiles, strongest first --> finished

Each tile is read from the capture file when its turn comes, and of a finished one only its network is kept. All tiles
have the same depths, held-out patterns and forward model; each sees the LEDs from its own place. Time that one leaves
goes to those after it.
"""

from __future__ import annotations

import gc
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from acquisition.capture import sha256_of
from acquisition.errors import OperatorError
from recon import messages
from recon.account import NOT_FINISHED, Account, check_time_limit, tell_missing
from recon.checkpoint import Checkpoint
from recon.device import choose_device
from recon.lights import NothingMeasured, lights_of
from recon.reconstruct import Reconstruction, State
from recon.side_by_side import no_pulse
from recon.stored_images import StoredImages
from recon.survey import survey_capture
from recon.tiles import TiledField, central_window
from recon.visit import read_visit
from recon.whole import detached, joint_history, mean_of_known, whole_bounds_um

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from acquisition.capture import CaptureHeader
    from recon.lights import MeasuredImages
    from recon.messages import Event, FitSettings
    from recon.result import Field
    from recon.survey import Survey

EMPTY_TIME = 0.1
"""Share of time of a tile with nothing in it, in that of others."""
LEAST_SECONDS = 0.05
"""Of the fit of a tile for which no time is left; its closed form is solved all the same."""


class TiledReconstruction:
    """Driven as a `recon.reconstruct.Reconstruction` is.

    Parameters
    ----------
    run, header, settings, emit, capture_name, pulse, last
        As there.
    largest
        Side of tiles at most, in pixels.
    capture_path
        The capture file; empty while it is being written: until `frames_done`, frames are added one by one, and only
        the middle of them is looked at.
    resumed
        Where a process that was lost had come to: of its tiles those that were finished are kept.

    Raises
    ------
    OperatorError
        The capture or the settings do not allow a reconstruction.
    """

    def __init__(
        self,
        run: int,
        header: CaptureHeader,
        settings: FitSettings,
        emit: Callable[[Event], None],
        largest: int,
        capture_path: str = "",
        capture_name: str = "",
        pulse: Callable[[], None] = no_pulse,
        resumed: Checkpoint | None = None,
        last: Field | TiledField | None = None,
    ) -> None:
        self.run = run
        self.settings = settings
        self.state = State.COLLECTING
        self.capture_path = capture_path
        self.device = choose_device(settings.device)
        check_time_limit(settings)
        self._header, self._largest = header, largest
        self._emit, self._pulse = emit, pulse
        self._account = Account(run, emit, 0.0 if resumed is None else resumed.field.history.seconds)
        self._resumed = resumed
        self._survey: Survey | None = None
        self._to_do: list[int] = []
        self._tiles: list[Field | None] = []
        self._number = -1
        self._tile: Reconstruction | None = None
        self._model = settings.model
        self._changes_before = 0
        self._steps_before = 0
        self._announced = False
        self._middle: Reconstruction | None = None
        self._middle_field: Field | None = None
        self._window = central_window(header.image_shape, largest)
        if not capture_path:
            rows, columns = ((part.stop - part.start) for part in self._window)
            seen = replace(header, image_shape=(rows, columns))
            self._middle = Reconstruction(run, seen, settings, emit, (), None, capture_name, pulse)
            self._account.notify(
                f"While frames come, only the middle {rows} x {columns} pixels are reconstructed; the whole follows"
                " in tiles."
            )
        self._last = last if isinstance(last, TiledField) else None
        self._ending = ""
        self._reasons: list[str] = []
        self._errors: list[NDArray[np.float64]] = []
        self._stored: StoredImages | None = None
        self._sha256 = ""

    # --- input, as in Reconstruction ----------------------------------------------------------------------------------

    def add_frame(
        self, pattern: int, counts_yx: NDArray[np.uint16] | NDArray[np.float32], exposure_ms: float | None = None
    ) -> None:
        """Take a frame of camera counts; pattern -1 is a dark frame."""
        assert self._middle is not None
        if counts_yx.shape == tuple(self._header.image_shape):  # any other is for the reconstruction to refuse
            counts_yx = counts_yx[self._window]
        self._middle.add_frame(pattern, counts_yx, exposure_ms)

    def frames_done(self, capture_path: str = "") -> None:
        """No frame will follow."""
        self.capture_path = capture_path
        self._account.restart()
        if self._middle is None:
            return
        if not capture_path:
            self._account.notify("The frames are in no file: the middle is all that can be reconstructed.")
            self._middle.frames_done()
            return
        self._changes_before = self.changes
        if self._middle.has_field:
            self._middle_field = detached(self._middle.field())
        self._middle = None

    # --- steering, as in Reconstruction -------------------------------------------------------------------------------

    @property
    def changes(self) -> int:
        """Changes of the field so far."""
        return self._changes_before + sum(part.changes for part in (self._tile, self._middle) if part is not None)

    @property
    def has_field(self) -> bool:
        """Whether there is something to look at."""
        under_way = (part.has_field for part in (self._tile, self._middle) if part is not None)
        return any(self._tiles) or self._middle_field is not None or any(under_way)

    def finish(self, reason: str) -> None:
        """Stop fitting and keep what there is."""
        if self.state is State.FINISHED:
            return
        if self._middle is not None:
            self._middle.finish(reason)
            self.state = self._middle.state
            return
        if self._tile is not None and self._tile.has_field:
            self._tile.finish(reason)
            self._keep_tile()
        if any(self._tiles):
            self._tile = None
            self._end(reason)
        else:
            self._ending = reason
            self._account.notify("There is no volume of the whole to keep yet: the first one ends the fit.")

    def advance(self) -> bool:
        """Do a portion of the work; whether there was any.

        Raises
        ------
        OperatorError
            The frames do not allow a reconstruction.
        """
        if self.state is State.FINISHED:
            return False
        if not self.capture_path:
            assert self._middle is not None
            worked = self._middle.advance()
            self.state = self._middle.state
            return worked
        if self._survey is None:
            self._account.phase("surveying", "LEDs and contrast of all tiles")
            glance = read_visit(self.capture_path, self.settings, central_window(self._header.image_shape, 1))
            tell_missing(self.run, glance, self._emit)
            self._survey = survey_capture(
                glance, self._header, self.settings, self._largest, self._account.notify, self._pulse
            )
            order = np.lexsort([-self._survey.contrast_t, self._survey.empty_t])
            self._tiles, self._to_do = [None] * len(order), order.tolist()
            self._take_up(self._survey)
            return True
        try:
            if self._tile is not None:
                return self._advance_tile(self._tile)
            self._begin_tile(self._survey)
        except OperatorError as error:
            if not any(self._tiles):  # the strongest came first: what it lacks, the others lack too
                raise
            self._account.notify(f"There is nothing at {self._tile_text()}: {error.message}")
            self._next_tile()
        return True

    # --- work ---------------------------------------------------------------------------------------------------------

    def _take_up(self, survey: Survey) -> None:
        """Keep the tiles that a lost process had finished."""
        if self._resumed is None:
            return
        before = self._resumed.field
        if not isinstance(before, TiledField):
            self._middle_field = before
            return
        if before.tiling != survey.tiling:
            self._account.notify("The images are cut into other tiles than before: all of them begin anew.")
            return
        for number, tile in enumerate(before.tiles):
            if tile is not None and tile.history.reason != NOT_FINISHED:
                self._number = number
                self._keep(tile, np.full(len(self._header.patterns_pl), np.nan))

    def _begin_tile(self, survey: Survey) -> None:
        """Read the next tile and make its reconstruction."""
        gc.collect()  # a reconstruction and its fit refer to each other: those before would wait for their end
        self._number = self._to_do[0]
        part = read_visit(self.capture_path, self.settings, survey.tiling.window(self._number))
        share = np.where(survey.empty_t[self._to_do], EMPTY_TIME, 1.0)
        seconds = max(LEAST_SECONDS, self._left_s() * float(share[0] / share.sum()))
        light = replace(survey.light, led_na_l2=survey.led_na_l2(self._number))
        tile = Reconstruction(
            self.run,
            part.header,
            replace(survey.settings, model=self._model, max_seconds=seconds),
            self._tell_of_tile,
            part.darks,
            part.background_pyx,
            pulse=self._pulse,
            available=part.pattern_n,
            calibration=light.calibration(),
            last=self._last_of_tile(survey),
        )
        for frame in part.frames():
            tile.add_frame(*frame)
        tile.frames_done()
        self._tile = tile

    def _last_of_tile(self, survey: Survey) -> Field | None:
        """The tile under way as it was at the earlier time from which the fit begins."""
        last = self._last
        return last.tiles[self._number] if last is not None and last.tiling == survey.tiling else None

    def _advance_tile(self, tile: Reconstruction) -> bool:
        worked = tile.advance()
        if tile.has_field:
            self.state = State.FITTING
            if self._ending:
                self.finish(self._ending)
                return worked
        if tile.state is State.FINISHED:
            self._keep_tile()
        return worked

    def _keep_tile(self) -> None:
        """Keep the network of the tile under way, and nothing else of it."""
        assert self._tile is not None
        self._middle_field = None
        self._keep(detached(self._tile.field()), self._tile.error_p.astype(np.float64))

    def _keep(self, field: Field, error_p: NDArray[np.float64]) -> None:
        self._tiles[self._number] = field
        self._reasons.append(field.history.reason)
        self._errors.append(error_p)
        self._model = field.history.forward_model  # type: ignore[assignment]
        self._steps_before += field.history.steps
        self._next_tile()

    def _next_tile(self) -> None:
        self._changes_before = self.changes
        self._tile = None
        self._tell_lights()
        self._to_do.remove(self._number)
        if not self._to_do:
            last = self._reasons[-1]
            self._end("time limit" if last == "converged" and "time limit" in self._reasons else last)

    def _end(self, reason: str) -> None:
        if self.state is State.FINISHED:
            return
        if self._to_do:
            of = f"{len(self._to_do)} of {len(self._tiles)}"
            self._account.notify(f"{of} tiles were not begun: the medium stands there.")
        self._changes_before += 1
        self._account.end(reason)
        self.state = State.FINISHED
        if Path(self.capture_path).is_file():  # one that was moved meanwhile must not cost the field
            self._sha256 = sha256_of(self.capture_path)
        field = self.field()
        self._account.tell_end(field.history.held_out_error, self._steps_before, field.parameter_bytes)

    def _left_s(self) -> float:
        return max(0.0, self.settings.max_seconds - self._account.seconds)

    # --- what is told -------------------------------------------------------------------------------------------------

    def _tile_text(self) -> str:
        return f"tile {len(self._tiles) - len(self._to_do) + 1} of {len(self._tiles)}"

    def _tell_of_tile(self, event: Event) -> None:
        """Pass on what a tile tells, as part of the whole."""
        match event:
            case messages.FieldReady() if not self._announced:
                self._announced = True
                self._emit(replace(event, bounds_um=whole_bounds_um(self._header, event.bounds_um)))
            case messages.Phase(name="finished") | messages.Finished() | messages.Lights() | messages.FieldReady():
                pass
            case messages.Phase(name=name, detail=detail):
                self._account.phase(name, f"{self._tile_text()}: {detail}")
            case messages.FitProgress(step=step):
                step, seconds = self._steps_before + step, self._account.seconds
                self._emit(replace(event, step=step, elapsed_s=seconds, eta_s=self._left_s()))
            case messages.Notice(text=text):
                self._account.notify(text, f"{self._tile_text()}: ")
            case _:
                self._emit(event)

    def _tell_lights(self) -> None:
        """Tell the errors of the patterns, each the mean over the tiles done."""
        if any(self._tiles):
            self._emit(lights_of(self.run, self.field(), self._header.patterns_pl, self.error_p))

    # --- output -------------------------------------------------------------------------------------------------------

    @property
    def measured(self) -> MeasuredImages:
        """The measured images: of the middle while frames come, then of the whole, from the file.

        Raises
        ------
        OperatorError
            The file cannot be read any more.
        """
        if self._middle is not None:
            return self._middle.measured
        if not any(self._tiles) and (self._tile is None or not self._tile.has_field):
            return NothingMeasured()
        if self._stored is None:
            self._stored = StoredImages(self.capture_path, self.field())
        return self._stored

    @property
    def error_p(self) -> NDArray[np.float32]:
        """Relative error of each pattern's image, the mean over the tiles done, (P,)."""
        if self._middle is not None:
            return self._middle.error_p
        return mean_of_known(self._errors).astype(np.float32)

    @property
    def reached(self) -> tuple[object, ...]:
        """As in Reconstruction."""
        return self.state, self.kept_changes

    @property
    def kept_changes(self) -> int:
        """As in Reconstruction: of what a checkpoint holds, only finished tiles are of use later."""
        return self._middle.changes if self._middle is not None else len(self._reasons) + (self.state is State.FINISHED)

    def checkpoint(self) -> Checkpoint:
        """As in Reconstruction."""
        return Checkpoint(self.field(), self.settings, self.state is State.FINISHED)

    def field(self) -> Field | TiledField:
        """Return the field as it is now, with its history."""
        if self._middle is not None:
            return self._middle.field()
        tiles = list(self._tiles)
        if self._tile is not None and self._tile.has_field:
            tiles[self._number] = self._tile.field()
        if self._middle_field is not None and not any(tiles):
            return self._middle_field
        assert self._survey is not None
        survey, light = self._survey, self._survey.light
        run = self._account.history(self.settings, self._header, self.capture_path, self._sha256)
        whole = replace(run, held_out=survey.settings.hold_out, led_na_l2=light.led_na_l2)
        history = joint_history(tiles, survey.contrast_t, whole)
        height_mm = float(np.median(survey.height_mm_l))
        return TiledField(tuple(tiles), survey.tiling, light.optics, history, height_mm)
