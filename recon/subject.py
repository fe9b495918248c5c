"""What the views of a run show: the field of the run itself, or another that is looked at meanwhile; and its images.

opened file --> `opened`                                        stays what it is
fit         --> `reconstruction`                                changes with each step
lost fit    --> `opened`, until `reconstruction` has a field    what a lost process has left is shown at once
`look_at`   --> another field in place of all these, until looked elsewhere
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from acquisition.errors import OperatorError
from recon.lights import ErrorSurvey, NothingMeasured, lights_of, unknown_errors
from recon.reconstruct import TELL_LIGHTS_S, State
from recon.result import Field
from recon.side_by_side import Interrupted

if TYPE_CHECKING:
    from collections.abc import Callable

    from recon.lights import MeasuredImages
    from recon.messages import Event
    from recon.reconstruct import Reconstruction
    from recon.tiled import TiledReconstruction
    from recon.tiles import TiledField

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Opened:
    """A field that stays what it is, and the images that it was made from; `told`: why there are none."""

    field: Field | TiledField
    measured: MeasuredImages
    told: str = ""


class Subject:
    """Of one run; another run has a new one.

    Parameters
    ----------
    run
        Its number.

    Attributes
    ----------
    opened, reconstruction
        See the module's text.
    lights_wanted
        Whether somebody looks at lights: before, the errors of an opened field are not worth the work.
    """

    def __init__(self, run: int) -> None:
        self.run = run
        self.opened: Opened | None = None
        self.reconstruction: Reconstruction | TiledReconstruction | None = None
        self.lights_wanted = False
        self._looked_at: Opened | None = None
        self._looks = 0
        self._survey: ErrorSurvey | None = None
        self._lights_told_s = 0.0

    def look_at(self, other: Opened | None) -> None:
        """Show another field; None: the run's own again."""
        self._looked_at = other
        self._looks += 1

    def own(self) -> Field | TiledField | None:
        """Return the field of the run itself."""
        if self.reconstruction is not None and self.reconstruction.has_field:
            self.opened = None
            return self.reconstruction.field()
        return None if self.opened is None else self.opened.field

    def shown(self) -> Field | TiledField | None:
        """Return the field to be painted."""
        return self.own() if self._looked_at is None else self._looked_at.field

    def measured(self) -> MeasuredImages:
        """Return the images of the field to be painted."""
        return self._own_measured() if self._looked_at is None else self._looked_at.measured

    @property
    def step(self) -> int:
        """Number of the state in which the field to be painted is; each change brings another."""
        if self._looked_at is not None:
            return -2 - self._looks  # as long as nobody looks elsewhere it stays what it is
        return self.reconstruction.changes if self.reconstruction is not None else 0

    @property
    def fitting(self) -> bool:
        """Whether a fit is under way that pictures hold up."""
        return self.reconstruction is not None and self.reconstruction.state is State.FITTING

    def _own_measured(self) -> MeasuredImages:
        try:
            if self.reconstruction is not None:
                return self.reconstruction.measured
        except OperatorError as error:
            log.info("%s", error)
        return NothingMeasured() if self.opened is None else self.opened.measured

    def find_error(self, emit: Callable[[Event], None], pulse: Callable[[], None]) -> bool:
        """Find the error of one more pattern of the run's own field, once it no longer changes.

        Of a field in tiles that would take hours: there those found while fitting must do.

        Parameters
        ----------
        emit
            Told now and then what was found.
        pulse
            Called often; whatever it raises leaves the pattern to be done.

        Returns
        -------
        Whether there was one.
        """
        if self.reconstruction is None:
            over = self.opened is not None and self.lights_wanted
        else:
            over = self.reconstruction.state is State.FINISHED
        settled = self.own() if over else None
        if not isinstance(settled, Field):
            return False
        measured = self._own_measured()
        if self._survey is None:
            known_p = unknown_errors(measured) if self.reconstruction is None else self.reconstruction.error_p
            self._survey = ErrorSurvey(known_p)
        if self._survey.done:
            return False
        try:
            self._survey.advance(settled, measured, pulse)
        except Interrupted:
            raise
        except Exception:  # nobody has asked for it, and it would fail again
            log.exception("the errors of all patterns could not be found")
            self._survey.give_up()
        if self._survey.done or time.monotonic() - self._lights_told_s > TELL_LIGHTS_S:
            self._lights_told_s = time.monotonic()
            told = "" if self.opened is None else self.opened.told
            emit(lights_of(self.run, settled, measured.patterns_pl, self._survey.error_p, told))
        return True
