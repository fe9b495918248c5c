"""What an LED board can do, whatever language it speaks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from acquisition.errors import OperatorError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class LedArrayError(OperatorError):
    """The LED board does not do what it was told: refused, silent, garbled or gone."""


@dataclass(frozen=True)
class BoardInfo:
    """How the board introduces itself.

    Attributes
    ----------
    name
        Device name as the firmware gives it.
    firmware
        Firmware version, e.g. ``2.32``.
    led_count
        Number of LEDs it can address.
    serial_number
        As printed by the board; empty where it has none.
    color_channels
        Names of the colours of each LED.
    """

    name: str
    firmware: str
    led_count: int
    serial_number: str = ""
    color_channels: tuple[str, ...] = ()


class LedArray(Protocol):
    """A board of LEDs that are lit from the computer.

    Used from one thread at a time: `identify` and `positions_mm` once while the instrument is opened, `show` before
    every exposure, `off` after the last one and whenever anything went wrong, `close` at the end. Every method blocks
    until the board has confirmed, and raises `LedArrayError` when it has not; the scan then ends as failed and calls
    `off`.
    """

    @property
    def port(self) -> str:
        """Name of the serial port, for messages."""

    def identify(self) -> BoardInfo:
        """Ask the board who it is."""

    def positions_mm(self) -> NDArray[np.float64] | None:
        """Where the LEDs are, (L, 3): x, y and distance below the sample, board frame; None: the board cannot tell."""

    def show(self, brightness_l: NDArray[np.float32]) -> None:
        """Light the LEDs, (L,) brightness 0 to 1 as a part of the profile's full brightness, and no others."""

    def off(self) -> None:
        """Switch every LED off."""

    def close(self) -> None:
        """Let go of the port; safe to call twice. Does not switch off: the caller has done that."""
