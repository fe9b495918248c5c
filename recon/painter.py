"""Pictures of all views, each in its turn and within their share of the time.

    asked for --> waiting --painted--> answered --field has changed--> behind --painted--> answered
                     ^                                                   |
                     +------------------ a newer request ----------------+

Each view shows one picture. Those that wait are painted first, the quick ones before and within the slow ones, which
end when something else is wanted of them; while the field is fitted, slow ones and those behind keep to the budget.
"""

from __future__ import annotations

import logging
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recon import messages, shared, view_requests
from recon.lights import NothingMeasured
from recon.pictures import paint
from recon.render import Previews
from recon.side_by_side import Interrupted

if TYPE_CHECKING:
    from collections.abc import Callable

    from recon.messages import Event
    from recon.result import Field
    from recon.subject import Subject
    from recon.tiles import TiledField
    from recon.view_requests import PictureRequest

log = logging.getLogger(__name__)

DEFAULT_VIEW_BUDGET = 0.3
MAX_CREDIT_S = 1.0
"""Neither pictures nor fit can save up more time than this."""


class _Superseded(Interrupted):
    """The view wants another picture than the one that is being painted."""


@dataclass(eq=False)
class _View:
    """The picture one view shows, and which state of the field it was last painted from."""

    request: PictureRequest
    painted_step: int = -1
    answered: bool = False

    @property
    def slow(self) -> bool:
        """Whether its picture may take seconds: others are painted in between, and a newer request ends it."""
        asked = self.request
        at_rest = isinstance(asked, view_requests.RequestVolume) and asked.quality == "rest"
        return at_rest or isinstance(asked, view_requests.RequestLight)


@dataclass
class Clock:
    """Shares time between pictures and fit: pictures may take `fraction` of what both take together."""

    fraction: float = DEFAULT_VIEW_BUDGET
    credit_s: float = 0.0

    def fitted(self, seconds: float) -> None:
        """The fit has worked so long, pictures in between apart."""
        earned = seconds * self.fraction / (1.0 - self.fraction)
        self.credit_s = min(self.credit_s + earned, MAX_CREDIT_S)

    def painted(self, seconds: float) -> None:
        """A picture has taken so long; one that takes longer than there is credit is paid for before the next."""
        self.credit_s = max(self.credit_s - seconds, -max(MAX_CREDIT_S, seconds))


class Painter:
    """Paints the views of the run under way.

    Parameters
    ----------
    subject
        What they show.
    emit
        Called with each picture.
    pulse
        Called often by slow pictures. To call `go_on` and `paint_waiting` in it keeps the views responsive.

    Attributes
    ----------
    clock
        Shares the time; whoever fits tells it.
    painted_s
        How long all pictures have taken so far.
    """

    def __init__(self, subject: Subject, emit: Callable[[Event], None], pulse: Callable[[], None]) -> None:
        self._subject, self._emit, self._pulse = subject, emit, pulse
        self.clock = Clock()
        self.painted_s = 0.0
        self._views: dict[str, _View] = {}
        self._painting: list[_View] = []
        self._previews = Previews()
        self._asked_s = -math.inf

    def begin(self, subject: Subject) -> None:
        """Forget all views: there is another run."""
        self._subject, self._previews = subject, Previews()
        self._views.clear()

    def ask(self, request: PictureRequest) -> None:
        """Have a picture painted, in place of an older one of the same view."""
        self._asked_s = time.monotonic()
        known = self._views.get(request.view)
        if known is None or request.request >= known.request.request:
            self._views[request.view] = _View(request)

    def close(self, view: str) -> None:
        """Paint a view no more until it is asked for again."""
        self._views.pop(view, None)

    def ask_again(self) -> None:
        """Let all views wait for a picture: something else is looked at."""
        self._previews = Previews()
        for view in self._views.values():
            view.answered = False

    @property
    def quiet_s(self) -> float:
        """How long nobody has asked for a picture."""
        return time.monotonic() - self._asked_s

    @property
    def at_quick_picture(self) -> bool:
        """Whether a picture is being painted that nothing may interrupt."""
        return bool(self._painting) and not self._painting[-1].slow

    def go_on(self) -> None:
        """Raise where nobody wants the slow picture any more that is being painted."""
        if self._painting and self._views.get(self._painting[-1].request.view) is not self._painting[-1]:
            raise _Superseded

    def paint_waiting(self) -> bool:
        """Answer the views that wait for their first picture, the quick ones first, the slow ones within the budget.

        Returns whether there were any.
        """
        may_be_slow = not self._painting and (self.clock.credit_s >= 0.0 or not self._subject.fitting)
        waiting = [view for view in self._views.values() if not view.answered]
        return self._paint([view for view in waiting if may_be_slow or not view.slow])

    def paint_changed(self) -> bool:
        """Within the budget, paint again what the fit has changed, the view that is farthest behind first."""
        if self._subject.fitting and self.clock.credit_s <= 0.0:
            return False
        step = self._subject.step
        behind = [view for view in self._views.values() if view.painted_step != step]
        return self._paint(sorted(behind, key=lambda view: view.painted_step)[:1])

    def _paint(self, due: list[_View]) -> bool:
        shown = self._subject.shown() if due else None
        if shown is None:
            return False
        for view in sorted(due, key=lambda view: view.slow):  # the quick ones are painted within the slow ones
            start_s, painted_before_s = time.monotonic(), self.painted_s
            self._painting.append(view)
            try:
                self._answer(view, shown)
            except _Superseded:
                log.debug("%s is wanted otherwise", view.request.view)
            except Interrupted:
                raise
            except Exception as error:  # a picture that fails must not cost the fit
                log.exception("painting %s failed", view.request.view)
                self.close(view.request.view)
                text = f"The view {view.request.view} could not be painted: {error}. Move or zoom it to try again."
                self._emit(messages.Notice(self._subject.run, text))
            finally:
                self._painting.pop()
                own_s = time.monotonic() - start_s - (self.painted_s - painted_before_s)
                self.clock.painted(own_s)
                self.painted_s += own_s
        return True

    def _answer(self, view: _View, shown: Field | TiledField) -> None:
        subject, step = self._subject, self._subject.step
        of_light = isinstance(view.request, view_requests.RequestLight)
        measured = subject.measured() if of_light else NothingMeasured()
        picture = paint(view.request, shown, measured, self._previews, (subject.run, step), self._pulse)
        view.answered, view.painted_step = True, step
        self._emit(messages.Picture(view.request, shared.share(picture), step))
