"""Which emulated board speaks which protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING

from acquisition.errors import OperatorError
from acquisition.profile_template import TemplateSettings
from acquisition.simulated.board import EmulatedBoard, Firmware
from acquisition.simulated.illuminate_board import VERSIONS, IlluminateFirmware
from acquisition.simulated.template_board import TemplateFirmware
from acquisition.simulated.uc2_board import Uc2Firmware

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from acquisition.profile_board import LedBoardSettings

SIMULATED_PROTOCOLS = ("illuminate", "template", "uc2")
_ANY_SKETCH = TemplateSettings(on="{index},{r},{g},{b}", clear="clear", error="^error", opening_delay_s=0.0)


def make_board(
    settings: LedBoardSettings,
    position_mm_l3: NDArray[np.float64],
    wavelength_um: float,
    protocol: str | None = None,
    version: str = VERSIONS[0],
) -> EmulatedBoard:
    """The board of a profile, or with the same LEDs one of another `protocol`.

    Parameters
    ----------
    settings
        The table [led_board]; its template is that of the board, where there is one.
    position_mm_l3
        (L, 3) x, y and distance below the sample.
    version
        Of the illuminate firmware.

    Raises
    ------
    OperatorError
        The protocol has no emulated board.
    """
    protocol = protocol or settings.protocol
    led_count = len(position_mm_l3)
    firmware: Firmware
    match protocol:
        case "illuminate":
            colors = ("mono",) if settings.color is None else ("r", "g", "b")
            firmware = IlluminateFirmware(position_mm_l3, wavelength_um, version, colors)
        case "template":
            firmware = TemplateFirmware(settings.template or _ANY_SKETCH, led_count)
        case "uc2":
            firmware = Uc2Firmware(led_count)
        case _:
            raise OperatorError(
                f"There is no simulated board for the protocol '{protocol}'.",
                f"Simulate one of {', '.join(SIMULATED_PROTOCOLS)}.",
            )
    return EmulatedBoard(firmware)
