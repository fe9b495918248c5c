"""Stages behind Micro-Manager: the z drive and the xy stage.

A move is checked against the limits of the profile, sent, waited for, and read back. Positions are Micro-Manager's, in
micrometres; which way z counts is a matter of the stand.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TypeVar

from acquisition.micromanager import MicroManagerError, tell

if TYPE_CHECKING:
    from collections.abc import Callable

    from acquisition.micromanager import MicroManager
    from acquisition.profile_camera import StageSettings

_T = TypeVar("_T")

_MOVE_TIMEOUT_S = 60.0
_POLL_S = 0.005
_ANYWHERE = (-1e6, 1e6)  # where the profile gives no limits: a metre


class StageError(MicroManagerError):
    """A stage is not there, may not go there, or did not arrive."""


class Stages:
    """The stages of an open Micro-Manager; those of the profile, else those that its configuration names.

    Falsy when there is none at all. Callable from any thread. Every method that asks for a stage raises `StageError`
    when there is none, and `MicroManagerError` when Micro-Manager does not answer.

    Attributes
    ----------
    z_device, xy_device
        Labels in Micro-Manager; empty where there is none.

    Raises
    ------
    StageError
        The profile names a device that Micro-Manager does not have.
    """

    def __init__(self, micromanager: MicroManager, settings: StageSettings) -> None:
        self._micromanager = micromanager
        self._core = micromanager.core
        self._settings = settings
        self.z_device, self.xy_device = micromanager.call(self._find)

    def _find(self) -> tuple[str, str]:
        devices = self._micromanager.devices()
        for key, label in (("z_device", self._settings.z_device), ("xy_device", self._settings.xy_device)):
            if label is not None and label not in devices:
                raise StageError(
                    f"Micro-Manager has no device {label!r} of stage.{key}.",
                    f"Devices: {', '.join(devices)}. Correct stage.{key} in the profile, or leave it out.",
                )
        return (
            self._settings.z_device or str(self._core.get_focus_device()),
            self._settings.xy_device or str(self._core.get_xy_stage_device()),
        )

    def __bool__(self) -> bool:
        return bool(self.z_device or self.xy_device)

    def z_um(self) -> float:
        """Position of the z drive."""
        label = _present(self.z_device, "z drive", "z_device")
        return self._read(label, lambda: float(self._core.get_position(label)))

    def xy_um(self) -> tuple[float, float]:
        """Position of the xy stage."""
        label = _present(self.xy_device, "xy stage", "xy_device")
        # Two calls: the point that one would give is an object over the Java bridge.
        return self._read(
            label, lambda: (float(self._core.get_x_position(label)), float(self._core.get_y_position(label)))
        )

    def move_z_um(self, z_um: float) -> float:
        """Move the z drive, wait until it rests, and return where it is.

        Raises
        ------
        StageError
            Outside stage.z_limits_um, refused, or it rests further than stage.tolerance_um from there.
        """
        label = _present(self.z_device, "z drive", "z_device")
        settings = self._settings
        limits = settings.z_limits_um or _ANYWHERE
        _check_limits("z", z_um, limits, "z_limits_um")
        if settings.backlash_um:
            below_um = max(limits[0], z_um - settings.backlash_um)
            self._move(label, lambda: self._core.set_position(label, below_um))
        self._move(label, lambda: self._core.set_position(label, float(z_um)))
        found_um = self.z_um()
        self._check_arrived(label, (z_um,), (found_um,))
        return found_um

    def move_xy_um(self, x_um: float, y_um: float) -> tuple[float, float]:
        """Move the xy stage, wait until it rests, and return where it is.

        Raises
        ------
        StageError
            Outside stage.xy_limits_um, refused, or it rests further than stage.tolerance_um from there.
        """
        label = _present(self.xy_device, "xy stage", "xy_device")
        settings = self._settings
        limits = settings.xy_limits_um or (_ANYWHERE, _ANYWHERE)
        for axis, value_um, span in zip("xy", (x_um, y_um), limits, strict=True):
            _check_limits(axis, value_um, span, "xy_limits_um")
        if settings.backlash_um:
            below_x_um = max(limits[0][0], x_um - settings.backlash_um)
            below_y_um = max(limits[1][0], y_um - settings.backlash_um)
            self._move(label, lambda: self._core.set_xy_position(label, below_x_um, below_y_um))
        self._move(label, lambda: self._core.set_xy_position(label, float(x_um), float(y_um)))
        found_um = self.xy_um()
        self._check_arrived(label, (x_um, y_um), found_um)
        return found_um

    def check_reach(self, x_um: float, y_um: float, z_um: float | None) -> None:
        """Refuse a place, before any move, that `move_xy_um` and `move_z_um` (None: z is left alone) would refuse.

        Raises
        ------
        StageError
            It is outside the limits of the profile.
        """
        for axis, value_um, span in zip("xy", (x_um, y_um), self._settings.xy_limits_um or (), strict=False):
            _check_limits(axis, value_um, span, "xy_limits_um")
        if z_um is not None and self._settings.z_limits_um:
            _check_limits("z", z_um, self._settings.z_limits_um, "z_limits_um")

    def _move(self, label: str, send: Callable[[], Any]) -> None:
        # Some adapters return at once, others when the stage has arrived.
        self._micromanager.call(lambda: tell(StageError, f"The stage {label} does not move", send), _MOVE_TIMEOUT_S)
        until = time.monotonic() + _MOVE_TIMEOUT_S
        while self._read(label, lambda: bool(self._core.device_busy(label))):
            if time.monotonic() > until:
                raise StageError(
                    f"The stage {label} is still moving after {_MOVE_TIMEOUT_S:g} s.",
                    "Check the stage and its controller, then try again.",
                )
            time.sleep(_POLL_S)

    def _read(self, label: str, ask: Callable[[], _T]) -> _T:
        return self._micromanager.call(lambda: tell(StageError, f"The stage {label} does not answer", ask))

    def _check_arrived(self, label: str, asked_um: tuple[float, ...], found_um: tuple[float, ...]) -> None:
        off_um = max(abs(found - asked) for found, asked in zip(found_um, asked_um, strict=True))
        if off_um > self._settings.tolerance_um:
            raise StageError(
                f"The stage {label} was sent to {place_in_words(asked_um)} and is at {place_in_words(found_um)}.",
                "Check for an end switch or an obstacle; if the stage is only coarse, increase stage.tolerance_um.",
            )


def _present(label: str, what: str, key: str) -> str:
    if not label:
        raise StageError(
            f"Micro-Manager's configuration has no {what}.",
            f"Add it to the configuration, or name it as stage.{key} in the hardware profile.",
        )
    return label


def _check_limits(axis: str, value_um: float, limits: tuple[float, float], key: str) -> None:
    if not limits[0] <= value_um <= limits[1]:
        raise StageError(
            f"{axis} = {value_um:g} um is outside {limits[0]:g} to {limits[1]:g} um.",
            f"Choose a place within the limits, or change stage.{key} in the hardware profile.",
        )


def place_in_words(place_um: tuple[float, ...]) -> str:
    """Write coordinates for the operator, without a minus before zero."""
    return ", ".join(f"{round(value, 2) + 0.0:.2f}" for value in place_um) + " um"
