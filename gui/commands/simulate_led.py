"""`fieldscope simulate-led`: an emulated LED board alone on a serial port."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from acquisition.errors import OperatorError
from acquisition.leds import led_positions_mm
from acquisition.profile import load_profile
from acquisition.profile_faults import nearest
from acquisition.simulated.board import BoardFault
from acquisition.simulated.boards import SIMULATED_PROTOCOLS, make_board
from acquisition.simulated.illuminate_board import VERSIONS
from acquisition.simulated.transport import EmulatedPort

if TYPE_CHECKING:
    from collections.abc import Iterator

FAULTS = {fault.name.lower().replace("_", "-"): fault for fault in BoardFault}
_LOOK_S = 0.2


@contextmanager
def served_board(
    protocol: str | None, profile_name: str, fault_name: str | None, after: int, firmware: str, tcp: bool
) -> Iterator[tuple[dict[str, Any], EmulatedPort]]:
    """An emulated board with the LEDs of a profile; what it is, for the operator and for --json, and its port.

    Raises
    ------
    OperatorError
        No such protocol, fault, firmware or profile.
    """
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
    port = EmulatedPort(board, "socket" if tcp else None)
    about = {
        "port": port.port,
        "protocol": protocol or profile.led_board.protocol,
        "leds": board.led_count,
        "fault": fault_name,
    }
    try:
        yield about, port
    finally:
        port.close()


def serve(port: EmulatedPort) -> None:
    """Return when Ctrl-C or what else ends a program has come, or the board was unplugged."""
    try:
        while port.alive:
            time.sleep(_LOOK_S)
    except KeyboardInterrupt:
        pass


def _check(value: str, what: str, known: tuple[str, ...]) -> None:
    if value not in known:
        near = nearest(value, known)
        meant = f"Did you mean {near}? " if near else ""
        raise OperatorError(f"There is no simulated {what} {value!r}.", f"{meant}Choose one of: {', '.join(known)}.")
