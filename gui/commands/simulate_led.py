"""`fieldscope simulate-led`: an emulated LED board alone on a serial port."""

from __future__ import annotations

import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from acquisition.errors import OperatorError
from acquisition.leds import led_positions_mm
from acquisition.profile import load_profile
from acquisition.profile_faults import nearest
from acquisition.simulated.board import BoardFault
from acquisition.simulated.boards import SIMULATED_PROTOCOLS, make_board
from acquisition.simulated.illuminate_board import VERSIONS
from acquisition.simulated.transport import EmulatedPort

if TYPE_CHECKING:
    from collections.abc import Callable

FAULTS = {fault.name.lower().replace("_", "-"): fault for fault in BoardFault}
_LOOK_S, _LOOK_AT_LIGHT_S = 0.2, 0.01


def serve(
    protocol: str | None,
    profile_name: str,
    fault_name: str | None,
    after: int,
    firmware: str,
    tcp: bool,
    announce: Callable[[dict[str, Any]], None],
    on_light: Callable[[list[int]], None] | None = None,
) -> None:
    """Serve an emulated board with the LEDs of a profile until Ctrl-C or what else ends a program, or it is unplugged.

    Parameters
    ----------
    announce
        Called with what there is, for the operator and for --json, as soon as the port can be opened.
    on_light
        Called with the LEDs that are lit now, whenever others are.

    Raises
    ------
    OperatorError
        No such protocol, fault, firmware or profile.
    """
    with suppress(KeyboardInterrupt):
        profile = load_profile(profile_name)
        if protocol is not None:
            _check(protocol, "protocol", SIMULATED_PROTOCOLS)
        if fault_name is not None:
            _check(fault_name, "fault", tuple(FAULTS))
        _check(firmware, "firmware", VERSIONS)
        positions_mm = led_positions_mm(profile.led_board.geometry)
        board = make_board(profile.led_board, positions_mm, profile.illumination.wavelength_um, protocol, firmware)
        if fault_name is not None:
            board.inject(FAULTS[fault_name], after)
        with closing(EmulatedPort(board, "socket" if tcp else None)) as port:
            announce(
                {
                    "port": port.port,
                    "protocol": protocol or profile.led_board.protocol,
                    "leds": board.led_count,
                    "fault": fault_name,
                }
            )
            lit: list[int] = []
            while port.alive:
                time.sleep(_LOOK_S if on_light is None else _LOOK_AT_LIGHT_S)
                if on_light is not None and (now := np.flatnonzero(board.brightness()).tolist()) != lit:
                    lit = now
                    on_light(lit)


def _check(value: str, what: str, known: tuple[str, ...]) -> None:
    if value not in known:
        near = nearest(value, known)
        meant = f"Did you mean {near}? " if near else ""
        raise OperatorError(f"There is no simulated {what} {value!r}.", f"{meant}Choose one of: {', '.join(known)}.")
