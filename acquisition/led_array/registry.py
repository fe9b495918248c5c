"""Which driver speaks which protocol. Others come from outside, by entry points of the group `fieldscope.led_array`.

Such an entry point has the protocol's name and loads a function like `_illuminate` here. It is called once when the
instrument is opened, with the table [led_board] of the profile (whose `options` are the driver's own) and the port;
it opens the port and returns a `LedArray`. What it raises as `LedArrayError` ends the opening and is shown.
"""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from acquisition.led_array.protocol import LedArrayError

if TYPE_CHECKING:
    from collections.abc import Callable

    from acquisition.led_array.protocol import LedArray
    from acquisition.profile_board import LedBoardSettings

ENTRY_POINT_GROUP = "fieldscope.led_array"


def _illuminate(settings: LedBoardSettings, port: str) -> LedArray:
    from acquisition.led_array.illuminate import IlluminateBoard

    return IlluminateBoard(port, settings.baud, settings.brightness, settings.color)


def _template(settings: LedBoardSettings, port: str) -> LedArray:
    from acquisition.led_array.template import TemplateBoard
    from acquisition.leds import led_positions_mm

    assert settings.template is not None, "the profile's check"
    led_count = len(led_positions_mm(settings.geometry))
    return TemplateBoard(port, settings.baud, settings.template, led_count, settings.brightness, settings.color)


def _uc2(settings: LedBoardSettings, port: str) -> LedArray:
    from acquisition.led_array.uc2 import Uc2Board

    return Uc2Board(port, settings.baud, settings.brightness, settings.color)


BUILT_IN: dict[str, Callable[[LedBoardSettings, str], LedArray]] = {
    "illuminate": _illuminate,
    "template": _template,
    "uc2": _uc2,
}


def known_protocols() -> list[str]:
    """Names that led_board.protocol may have: those built in, and those of installed packages."""
    return [*BUILT_IN, *sorted({entry.name for entry in entry_points(group=ENTRY_POINT_GROUP)} - set(BUILT_IN))]


def open_board(settings: LedBoardSettings, port: str) -> LedArray:
    """Open the board of a profile on a port.

    Raises
    ------
    LedArrayError
        The port cannot be opened, or the driver from outside cannot be loaded.
    acquisition.leds.GeometryError
        The board must be told its LEDs, and the profile leaves them to the board.
    """
    factory = BUILT_IN.get(settings.protocol)
    return (factory or _from_outside(settings.protocol))(settings, port)


def _from_outside(name: str) -> Callable[[LedBoardSettings, str], LedArray]:
    for entry in entry_points(group=ENTRY_POINT_GROUP, name=name):
        try:
            factory: Callable[[LedBoardSettings, str], LedArray] = entry.load()
        except Exception as error:  # whatever a package from outside may do
            raise LedArrayError(
                f"The driver of the LED board protocol '{name}' ({entry.value}) cannot be loaded: {error!r}.",
                "Install or update the package that brings it.",
            ) from error
        return factory
    raise LedArrayError(
        f"There is no driver for the LED board protocol '{name}'; known are {', '.join(known_protocols())}.",
        "Correct led_board.protocol in the hardware profile, or install the package that brings the driver.",
    )
