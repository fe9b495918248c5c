"""The one place that touches pyserial: open, write, read, and what to say when the cable is pulled."""

from __future__ import annotations

import logging
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import serial
from serial.tools import list_ports

from acquisition.led_array.protocol import LedArrayError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_log = logging.getLogger(__name__)

# Pulling the plug shows as any of these; termios.error is neither an OSError nor a SerialException.
# SerialException is an OSError.
_LINE_LOST: tuple[type[Exception], ...] = (OSError,)
if sys.platform != "win32":
    import termios

    _LINE_LOST = (OSError, termios.error)

_POLL_S = 0.05
_WRITE_TIMEOUT_S = 2.0
_DRAIN_LIMIT_S = 2.0


def find_port(usb_ids: Iterable[tuple[int, int]]) -> str:
    """Name of the only serial port whose USB device has one of these identities. Nothing is written to any port.

    Parameters
    ----------
    usb_ids
        Pairs (vendor, product).

    Raises
    ------
    LedArrayError
        No such port, or more than one; the text lists the ports that there are.
    """
    wanted = set(usb_ids)
    ports = sorted(list_ports.comports(), key=lambda port: port.device)
    found = [port.device for port in ports if (port.vid, port.pid) in wanted]
    if len(found) == 1:
        return str(found[0])
    identities = ", ".join(f"{vendor:04X}:{product:04X}" for vendor, product in sorted(wanted))
    if found:
        raise LedArrayError(
            f"More than one LED board is connected: {', '.join(found)} (USB {identities}).",
            "Write the right one as led_board.port in the hardware profile.",
        )
    present = ", ".join(f"{port.device} ({port.description})" for port in ports) or "none"
    raise LedArrayError(
        f"No LED board found: no serial port with USB identity {identities}. Ports present: {present}.",
        "Connect the board and switch it on, or write its port as led_board.port in the hardware profile.",
    )


class SerialLine:
    """An open serial port that tells every loss of the line as a `LedArrayError` and is closed by it.

    Parameters
    ----------
    port
        Device name or a pyserial URL such as ``socket://127.0.0.1:5000``.
    baud
        Bits per second.

    Raises
    ------
    LedArrayError
        The port does not exist, is in use, or may not be opened.
    """

    def __init__(self, port: str, baud: int) -> None:
        self.port = port
        try:
            self._serial = serial.serial_for_url(
                port, baudrate=baud, timeout=_POLL_S, write_timeout=_WRITE_TIMEOUT_S, exclusive=True
            )
        except (OSError, ValueError) as error:
            raise LedArrayError(
                f"The serial port {port} of the LED board cannot be opened: {error}",
                "Check that the board is connected, that no other program uses the port, and that you may use it "
                "(Linux: be a member of the group dialout).",
            ) from error

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            if not self._serial.is_open:  # pyserial itself answers with all kinds of errors
                raise OSError("the port is closed")
            yield
        except Exception as error:
            # Where another thread has closed the port meanwhile, pyserial stumbles over what it has no longer.
            if self._serial.is_open and not isinstance(error, _LINE_LOST):
                raise
            self.close()
            raise LedArrayError(
                f"The LED board on {self.port} is gone: {error}",
                "Check cable and power of the board, then connect the instrument again.",
            ) from error

    def write(self, data: bytes) -> None:
        """Send bytes in one call (the firmware reads a whole line at once)."""
        with self._guarded():
            self._serial.write(data)
            self._serial.flush()

    def read(self) -> bytes:
        """Whatever has arrived; waits at most 50 ms for the first byte, empty when none came."""
        with self._guarded():
            first = self._serial.read(1)
            return bytes(first + self._serial.read(self._serial.in_waiting)) if first else b""

    def check(self) -> None:
        """Notice a pulled plug, without a byte sent or taken: may come from another thread than all else."""
        with self._guarded():
            _ = self._serial.in_waiting

    def drain(self, quiet_s: float = 0.0) -> bytes:
        """Take what nobody asked for out of the line, until it is quiet for `quiet_s`; at most two seconds."""
        stray = b""
        quiet_since = time.monotonic()
        end = quiet_since + _DRAIN_LIMIT_S
        while time.monotonic() < end:
            with self._guarded():
                data = bytes(self._serial.read(self._serial.in_waiting))
            if not data and quiet_s:
                data = self.read()
            if data:
                stray += data
                quiet_since = time.monotonic()
            elif time.monotonic() - quiet_since >= quiet_s:
                break
        if stray:
            _log.debug("unasked from %s: %r", self.port, stray[:200])
        return stray

    def close(self) -> None:
        """Close the port; safe to call twice and on a lost line."""
        # Of a socket:// port whose other end is gone pyserial forgets the socket without closing it.
        behind = getattr(self._serial, "_socket", None)
        try:
            self._serial.close()
            if behind is not None:
                behind.close()
        except _LINE_LOST as error:
            _log.debug("closing %s: %s", self.port, error)
