"""One reconstruction from its first frame to its field, advanced in small portions.

    collecting --enough frames--> first volume --> fitting --converged, time, finish--> finished
                                      ^                |
                                      +-- many more frames have come, or all

Whoever drives it calls `advance` again and again, each call a fraction of a second to a few, and may look at the
field, add frames or stop in between: the background process does so between messages, the command line in a plain
loop. While frames still come, the closed form is solved anew each time their number has grown by half, so that the
first volume is there early and follows the scan.
"""

from __future__ import annotations

import enum
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from acquisition.capture import Calibration, sha256_of
from acquisition.errors import OperatorError
from recon import messages
from recon.account import Account, check_time_limit, field_ready
from recon.beginning import Beginnings
from recon.checkpoint import Checkpoint
from recon.device import choose_device, memory_mb
from recon.grid import choose_grid, inner_bounds_um
from recon.illumination import from_rims, held_out_by_profile, led_gain_l, nominal, stored
from recon.lights import lights_of
from recon.measurement import SATURATED_MOST, Measurement
from recon.prepare import depths_um
from recon.result import Field
from recon.side_by_side import no_pulse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from acquisition.capture import CaptureHeader, DarkFrame
    from recon.assessment import Assessment
    from recon.beginning import Begun
    from recon.fit import Fit
    from recon.lights import MeasuredImages
    from recon.measurement import Images
    from recon.messages import Event, FitSettings

FIRST_VOLUME_PATTERNS = 8
"""Patterns after which the first volume is tried; it is also tried when no more will come."""

RENEW_GROWTH = 1.5
"""The closed form is solved anew when this many times as many patterns are there as when it was solved last."""

TELL_LIGHTS_S = 2.0
"""So often at most the errors of all patterns are told while fitting."""

STAGE_TEXT = {
    "coarse": "all images at half their resolution, linear model",
    "linear": "all images, linear model",
    "wave": "a few images at a time, {model} model",
}
"""What the stages of a fit do, in the operator's words."""


class State(enum.Enum):
    """Where a reconstruction stands; the module's text shows the ways between."""

    COLLECTING = "collecting"
    FITTING = "fitting"
    FINISHED = "finished"


class Reconstruction:
    """One run. Not to be shared between threads.

    Parameters
    ----------
    run
        Number that its events carry.
    header
        Head of the capture.
    settings
        The operator's choices.
    emit
        Called with each event (`recon.messages`), in the thread that calls `advance`.
    darks, background_pyx
        Of a stored capture.
    capture_name
        Shown and stored with the field.
    pulse
        Called often within long work, in the same thread; whatever it raises ends that portion and changes nothing.
    available
        Patterns that there are or will be frames of; None: all.
    calibration
        Where the LEDs are; None: found from the images when all are there.
    resumed
        Where a process that was lost had come to with these frames; None: the run begins.
    last
        Field of the same place at an earlier time, from which the fit begins where that is worth it.

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
        darks: Sequence[DarkFrame] = (),
        background_pyx: NDArray[np.float32] | None = None,
        capture_name: str = "",
        pulse: Callable[[], None] = no_pulse,
        available: NDArray[np.int32] | None = None,
        calibration: Calibration | None = None,
        resumed: Checkpoint | None = None,
        last: Field | None = None,
    ) -> None:
        self.run = run
        self.settings = settings
        self.state = State.COLLECTING
        self.capture_path = ""
        self._emit = emit
        self._account = Account(run, emit, 0.0 if resumed is None else resumed.field.history.seconds)
        self._resumed = resumed
        self._header = header
        self._capture_name = capture_name
        self.device = choose_device(settings.device)
        check_time_limit(settings)
        # What cannot work is told before the first frame; the light may turn out otherwise than the profile has it.
        choose_grid(header.image_shape, header.optics, depths_um(header, header.optics, settings))
        expected = np.arange(len(header.patterns_pl)) if available is None else np.unique(available)
        held_out_by_profile(header, expected, settings.hold_out)
        bright_field = np.intersect1d(nominal(header).bright_field(header.patterns_pl), expected)
        self._first_volume_patterns = min(FIRST_VOLUME_PATTERNS, len(bright_field))
        self._measurement = Measurement(header, darks, background_pyx)
        self._light = nominal(header) if calibration is None else stored(header, calibration)
        self._calibrated = calibration is not None
        self._last = last
        self._started_from = ""
        self._beginnings = Beginnings(header, settings, self.device, pulse, self._account)
        self._ending = ""
        self._fit: Fit | None = None
        self._stage = ""
        self._complete = False
        self._final = False
        self._patterns_in_fit = 0
        self._frames_in_fit = 0
        self._complete_s: float | None = None
        self._steps = 0
        self._changes = 0
        self._last_loss = float("nan")
        self._lights_told_s = -math.inf
        self._sha256 = ""
        self._held_out_error: float | None = None
        self._assessment: Assessment | None = None

    # --- input --------------------------------------------------------------------------------------------------------

    def add_frame(
        self, pattern: int, counts_yx: NDArray[np.uint16] | NDArray[np.float32], exposure_ms: float | None = None
    ) -> None:
        """Take a frame of camera counts; pattern -1 is a dark frame. `exposure_ms` chooses what is subtracted."""
        if pattern < 0:
            self._measurement.add_dark(counts_yx, exposure_ms)
        else:
            before, overexposed = len(self._measurement.skipped), len(self._measurement.overexposed)
            self._measurement.add(pattern, counts_yx, exposure_ms)
            if len(self._measurement.overexposed) > overexposed:
                self._account.notify(
                    f"A frame of pattern {pattern} is left out: {self._measurement.saturated[pattern]:.1%} of its"
                    f" pixels are saturated, {SATURATED_MOST:.0%} is the limit. Expose it for a shorter time."
                )
            if len(self._measurement.skipped) > before:
                text = f"The frame of pattern {pattern} has no light in it and is left out: check that LED."
                self._account.notify(text)

    def frames_done(self, capture_path: str = "") -> None:
        """No frame will follow."""
        self.capture_path = capture_path
        self._complete = True
        self._complete_s = time.monotonic() - (0.0 if self._resumed is None else self._resumed.fit_s)

    def finish(self, reason: str) -> None:
        """Stop fitting and keep what there is; where all frames are there, a volume that is made of all of them."""
        if self._complete and not self._final:
            self._ending = reason
        elif self.state is State.FITTING:
            self._end(reason)
        elif self.state is State.COLLECTING:
            self._account.notify("There is no volume to keep yet: wait for the first one, or cancel.")

    # --- work ---------------------------------------------------------------------------------------------------------

    @property
    def changes(self) -> int:
        """Changes of the field so far: steps of the fit and renewals of the first volume."""
        return self._changes

    @property
    def has_field(self) -> bool:
        """Whether there is something to look at."""
        return self._fit is not None and self._fit.field is not None

    def advance(self) -> bool:
        """Do a portion of the work that can be done now; whether there was any.

        Raises
        ------
        OperatorError
            The frames do not allow a reconstruction.
        """
        if self.state is State.FINISHED:
            return False
        ready = len(self._measurement)
        enough = ready >= self._first_volume_patterns or self._complete
        grown = ready > self._patterns_in_fit and ready >= RENEW_GROWTH * self._patterns_in_fit
        if enough and (grown or (self._complete and not self._final)):
            self._renew()
            return True
        if self.state is State.FITTING:
            self._fit_step()
            return True
        return False

    def _renew(self) -> None:
        images = self._measurement.images()
        self._patterns_in_fit, self._frames_in_fit = len(images.pattern_p), images.frames
        begun = self._from_before(images) if self._complete else None
        if begun is None:
            try:
                begun = self._beginnings.anew(images, self._light, self._complete)
            except OperatorError:
                if self._complete:
                    raise
                return  # too few frames yet
        self._fit, self._final = begun.fit, self._complete
        if self._complete:  # their memory is wanted
            self._resumed = self._last = None
        self._started_from = begun.started_from
        self._steps += begun.steps
        self._changes += 1 + begun.steps
        self.state = State.FITTING
        self._stage = ""
        setup = begun.fit.setup
        bounds_um = inner_bounds_um(setup.grid, setup.pad)
        self._emit(field_ready(self.run, bounds_um, self._header.optics, begun.dn_zyx))
        self._tell_lights()
        if self._final and self._ending:
            self._end(self._ending)

    def _from_before(self, images: Images) -> Begun | None:
        """All frames are there: begin from what is known of them already; None: anew, in the light that they show."""
        self._measurement.check(self._account.notify)
        begun = None
        if self._resumed is not None:
            begun = self._beginnings.go_on(self._resumed, images, self._light)
        if begun is None and self._last is not None:
            begun = self._beginnings.from_earlier(self._last, images)
        if begun is None and not self._calibrated:
            self._account.phase("calibrating", "where the LEDs are, from the images' spectra")
            held_out = held_out_by_profile(self._header, images.pattern_p, self.settings.hold_out)
            self._light = from_rims(self._header, images, self._account.notify, held_out)
            self._calibrated = True
        return begun

    def _fit_step(self) -> None:
        assert self._fit is not None
        used = 0.0
        if self._complete_s is not None:
            used = (time.monotonic() - self._complete_s) / self.settings.max_seconds
        state = self._fit.step(min(used, 1.0))
        if state.stage != self._stage:
            self._stage = state.stage
            self._account.phase("fitting", STAGE_TEXT[state.stage].format(model=self._fit.stage_model))
        self._steps += 1
        self._changes += 1
        self._last_loss, self._held_out_error = state.loss, state.held_out_error
        self._emit(
            messages.FitProgress(
                self.run, self._steps, state.loss, state.held_out_error, self._frames_in_fit, self._account.seconds,
                max(0.0, self.settings.max_seconds * (1.0 - used)) if self._complete else None, memory_mb(self.device),
            )
        )  # fmt: skip
        if time.monotonic() - self._lights_told_s > TELL_LIGHTS_S:
            self._tell_lights()
        if not np.isfinite(state.loss) and self._fit.has_best:
            text = f"The loss became {state.loss} after {self._steps} steps: the best field before is kept."
            self._account.notify(text)
            self._end("loss not finite")
        elif not np.isfinite(state.loss):
            raise OperatorError(
                f"The fit failed: its loss became {state.loss} after {self._steps} steps.",
                "Look at the images for saturation or stray light; a smaller depth range may help.",
            )
        elif self._complete and state.converged:
            self._end("converged")
        elif used >= 1.0:
            self._end("time limit")

    def _end(self, reason: str) -> None:
        assert self._fit is not None
        self._held_out_error, self._last_loss = self._fit.keep_best()
        self._changes += 1
        self._account.phase("assessing", "resolution and uncertainty")
        try:
            self._assessment = self._fit.assess()
        except RuntimeError as error:  # what is told about a field must not cost the field
            self._account.notify(
                f"Resolution and uncertainty could not be found: {error}. The volume is there; save it as usual."
            )
        self._account.end(reason)
        self.state = State.FINISHED
        assert self._fit.field is not None
        self._tell_lights()
        self._account.tell_end(self._held_out_error, self._steps, self._fit.field.parameter_bytes)

    def _tell_lights(self) -> None:
        self._lights_told_s = time.monotonic()
        self._emit(lights_of(self.run, self.field(), self._header.patterns_pl, self.error_p))

    # --- output -------------------------------------------------------------------------------------------------------

    @property
    def measured(self) -> MeasuredImages:
        """The measured images so far."""
        return self._measurement

    @property
    def error_p(self) -> NDArray[np.float32]:
        """Relative error of each pattern's image as it was last predicted, (P,); NaN where it was not."""
        assert self._fit is not None
        return self._fit.error_p

    @property
    def reached(self) -> tuple[object, ...]:
        """What this run has reached; a checkpoint is worth writing as soon as that changes."""
        return self.state, self._final, self._stage

    @property
    def kept_changes(self) -> int:
        """Changes so far of what a checkpoint would hold."""
        return self._changes

    def checkpoint(self) -> Checkpoint:
        """What another process needs to go on from here."""
        assert self._fit is not None
        finished, known = self.state is State.FINISHED, self._calibrated and self._final
        return Checkpoint(
            self.field(),
            self.settings,
            finished,
            0.0 if self._complete_s is None else time.monotonic() - self._complete_s,
            self._light.calibration() if known else None,
            self._fit.standing if self._final and not finished else None,
        )

    def field(self) -> Field:
        """Return the field as it is now, with its history; it shares its parameters with the fit."""
        assert self._fit is not None
        assert self._fit.field is not None
        setup = self._fit.setup
        if not self._sha256 and self.state is State.FINISHED and Path(self.capture_path).is_file():
            self._sha256 = sha256_of(self.capture_path)  # reads the whole file, and each picture asks for the field
        history = replace(
            self._account.history(self.settings, self._header, self.capture_path, self._sha256, self._capture_name),
            forward_model=self._fit.model,
            held_out_error=self._held_out_error,
            training_loss=self._last_loss,
            held_out=setup.held_out,
            steps=self._steps,
            led_na_l2=self._fit.leds.na_l2.cpu().numpy(),
            pattern_gain_p=self._fit.gain_p,
            led_gain_l=led_gain_l(setup.patterns_pl, self._fit.gain_p),
            started_from=self._started_from,
        )
        return Field(self._fit.field, setup.grid, setup.optics, history, setup.pad, self._assessment)
