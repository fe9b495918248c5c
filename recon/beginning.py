"""How a fit begins: where a lost process had come to, from the field of an earlier time, or anew.

checkpoint of a fit of the same volume                      --> goes on there, in its light
earlier field of the place that predicts the images better  --> goes on from it, in its light (`recon.earlier`)
neither                                                     --> closed form of the images
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from acquisition.errors import OperatorError
from recon.earlier import light_of, same_box
from recon.fit import Fit
from recon.prepare import prepare
from recon.result import Field

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import torch
    from numpy.typing import NDArray

    from acquisition.capture import CaptureHeader
    from recon.account import Account
    from recon.checkpoint import Checkpoint
    from recon.illumination import Illumination
    from recon.measurement import Images
    from recon.messages import FitSettings


@dataclass(frozen=True, eq=False)
class Begun:
    """A fit that has begun.

    Attributes
    ----------
    fit
        Ready for its next step.
    dn_zyx
        Samples of what it begins from, (Z, Y, X), however coarse.
    steps
        That its field has behind it.
    started_from
        Name of the earlier field's file; empty: there is none.
    """

    fit: Fit
    dn_zyx: NDArray[np.float32]
    steps: int = 0
    started_from: str = ""


def no_notice(text: str) -> None:
    """Not told: while frames still come, all of it may change."""


class Beginnings:
    """The ways for one run.

    Parameters
    ----------
    header, settings
        Head of the capture, and the operator's choices.
    device, pulse
        As `Fit`.
    account
        Tells the operator.
    """

    def __init__(
        self,
        header: CaptureHeader,
        settings: FitSettings,
        device: torch.device,
        pulse: Callable[[], None],
        account: Account,
    ) -> None:
        self._header, self._settings = header, settings
        self._device, self._pulse = device, pulse
        self._account = account

    def go_on(self, left: Checkpoint, images: Images, light: Illumination) -> Begun | None:
        """Go on where a lost process had come to; None where that is not known, or was of another volume."""
        if left.standing is None or not isinstance(left.field, Field):
            return None
        fit = self._fit(images, light, self._settings, self._account.notify)
        if (left.field.grid, left.field.pad) != (fit.setup.grid, fit.setup.pad):
            self._account.notify("The frames ask for another volume than before: the fit begins anew.")
            return None
        history = left.field.history
        self._account.phase("going on", f"from step {history.steps}, where the lost process had come to")
        fit.go_on(left.field.network, left.standing)
        return Begun(fit, left.field.coarse_dn(), history.steps, history.started_from)

    def from_earlier(self, last: Field, images: Images) -> Begun | None:
        """Begin from an earlier field; None where a fit of these images alone begins better."""
        self._account.phase("first volume", "from the field before")
        told: list[str] = []
        try:
            fit = self._fit(images, light_of(last), self._settings, told.append)
        except OperatorError:  # of the light as it was; whoever starts anew says what is wrong with the images
            return None
        if not same_box(fit.setup, last):
            self._account.notify("The field before fills another box: the fit starts anew.")
            return None
        fit.first_volume()
        start = fit.take_up(last)
        if start is None or not start.is_better:
            self._account.notify(start.text if start else "The field before is built otherwise: the fit starts anew.")
            return None
        for text in (start.text, *told):
            self._account.notify(text)
        fit.notify = self._account.notify
        return Begun(fit, fit.volume().real.cpu().numpy(), started_from=Path(self._settings.start_from).name)

    def anew(self, images: Images, light: Illumination, complete: bool) -> Begun:
        """Solve the closed form of the images; of those so far, where they are not `complete`.

        Raises
        ------
        OperatorError
            The frames do not allow a reconstruction.
        """
        # While frames still come, only the linear model is quick enough to follow.
        settings = self._settings if complete else replace(self._settings, model="born")
        fit = self._fit(images, light, settings, self._account.notify if complete else no_notice)
        fitted = len(fit.setup.bright_field) - len(fit.setup.held_out)
        self._account.phase("first volume", f"first estimate from {fitted} LED patterns")
        return Begun(fit, fit.first_volume().real.cpu().numpy())

    def _fit(
        self, images: Images, light: Illumination, settings: FitSettings, notify: Callable[[str], None]
    ) -> Fit:
        setup = prepare(self._header, light, images, settings, notify)
        fit = Fit(setup, self._device, settings.seed, self._pulse, notify)
        fit.set_images(images)
        return fit
