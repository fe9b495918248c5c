"""The way of the stages through an experiment: from position to position, at the height that was in focus last."""

from __future__ import annotations

from typing import TYPE_CHECKING

from acquisition.stage import StageError

if TYPE_CHECKING:
    from acquisition.experiment import Experiment, Visit
    from acquisition.stage import Stages


class Travel:
    """Moves the stages for one run of an experiment.

    Parameters
    ----------
    stages
        Of the open instrument.
    experiment
        Whose positions are visited.

    Raises
    ------
    StageError
        A stage is missing, or a position lies outside the limits; nothing has moved.
    """

    def __init__(self, stages: Stages, experiment: Experiment) -> None:
        self._stages = stages
        self._focus_um: dict[int, float] = {}
        places = experiment.positions
        self._moves_xy = bool(stages.xy_device) or len({(place.x_um, place.y_um) for place in places}) > 1
        self._moves_z = bool(stages.z_device) or len({place.z_um for place in places}) > 1
        autofocus = experiment.autofocus
        if autofocus is not None and autofocus.method == "stack":
            stages.z_um()  # there has to be one
        if places and self._moves_xy:
            stages.xy_um()
        if places and self._moves_z:
            stages.z_um()
        if places and not (self._moves_xy or self._moves_z):
            raise StageError(
                f"There is no stage to move to {places[0].name}.",
                "Add one to Micro-Manager's configuration, or leave out the positions.",
            )
        for place in places:
            stages.check_reach(place.x_um, place.y_um, place.z_um if self._moves_z else None)

    def go_to(self, visit: Visit) -> None:
        """Move to where a scan is made, and wait for the arrival; nothing moves where the experiment has no positions.

        Raises
        ------
        StageError
            A stage did not arrive, or does not answer.
        """
        place = visit.place
        if place is None:
            return
        if self._moves_xy:
            self._stages.move_xy_um(place.x_um, place.y_um)
        if self._moves_z:
            self._stages.move_z_um(self._focus_um.get(visit.position, place.z_um))

    def note_focus(self, visit: Visit, z_um: float) -> None:
        """Remember the height in focus: later scans of this position start from there."""
        self._focus_um[visit.position] = z_um
