"""A serial port made of software: what is written to it goes to a device, what that says is read from it.

A raw pseudo-terminal where the system has one, else a TCP socket, which pyserial opens by the name
``socket://127.0.0.1:port``. The program's side cannot tell it from a cable.
"""

from __future__ import annotations

import contextlib
import logging
import os
import select
import socket
import threading
from typing import TYPE_CHECKING, Literal, Protocol

from acquisition.simulated.board import UnpluggedError

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger(__name__)

_BLOCK = 65536
_LOOK_S = 0.01  # how often a port is looked at that nobody has opened


class Device(Protocol):
    """What is behind the port; `acquisition.simulated.board.EmulatedBoard` is one. Called on the port's own thread.

    `feed` and `poll` may raise `acquisition.simulated.board.UnpluggedError`, after which the port is gone.
    """

    on_change: Callable[[], None]
    """Set by the port; the device calls it, on any thread, when `due_in_s` may have changed."""

    def opened(self) -> None:
        """A program has opened the port."""

    def feed(self, data: bytes) -> bytes:
        """Take what was written, return the answer."""

    def poll(self) -> bytes:
        """What the device sends without being asked, up to now."""

    def due_in_s(self) -> float | None:
        """After how many seconds it will have something to send; None: not before something else happens."""


class _End(Protocol):
    """The far end of the line."""

    def fileno(self) -> int | None:
        """What to wait for; None: nobody has opened the port, look at `opened` from time to time."""

    def opened(self) -> bool:
        """Whether a program has opened the port now; asked while `fileno` is None."""

    def read(self) -> bytes: ...
    def write(self, data: bytes) -> int: ...
    def close(self) -> None: ...


class _PtyEnd:
    def __init__(self) -> None:
        import tty

        self._master, slave = os.openpty()
        tty.setraw(slave)
        os.set_blocking(self._master, False)
        self.port = os.ttyname(slave)
        os.close(slave)  # so that it shows whether somebody has opened it
        self._open = False

    def fileno(self) -> int | None:
        return self._master if self._open else None

    def opened(self) -> bool:
        poll = select.poll()
        poll.register(self._master, select.POLLIN)
        events = dict(poll.poll(0)).get(self._master, 0)
        self._open = not events & select.POLLHUP or bool(events & select.POLLIN)
        return self._open

    def read(self) -> bytes:
        try:
            data = os.read(self._master, _BLOCK)
        except BlockingIOError:
            return b""
        except OSError:  # Linux says so when the last program has closed the port
            data = b""
        self._open = bool(data)
        return data

    def write(self, data: bytes) -> int:
        return os.write(self._master, data) if self._open else len(data)

    def close(self) -> None:
        os.close(self._master)


class _SocketEnd:
    """Listens; one program at a time is connected."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self._peer: socket.socket | None = None
        self.port = f"socket://127.0.0.1:{self._listener.getsockname()[1]}"

    def fileno(self) -> int | None:
        return None if self._peer is None else self._peer.fileno()

    def opened(self) -> bool:
        try:
            self._peer, _ = self._listener.accept()
        except BlockingIOError:
            return False
        self._peer.setblocking(False)
        self._peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return True

    def read(self) -> bytes:
        if self._peer is None:
            return b""
        try:
            data = self._peer.recv(_BLOCK)
        except BlockingIOError:
            return b""
        except ConnectionError:
            data = b""
        if not data:
            self._hang_up()
        return data

    def write(self, data: bytes) -> int:
        if self._peer is None:
            return len(data)
        try:
            return self._peer.send(data)
        except ConnectionError:
            self._hang_up()
            return len(data)

    def _hang_up(self) -> None:
        if self._peer is not None:
            self._peer.close()
            self._peer = None

    def close(self) -> None:
        self._hang_up()
        self._listener.close()


class EmulatedPort:
    """Serves a device on a port until closed or unplugged; `port` is the name to open.

    Parameters
    ----------
    device
        Behind the port.
    kind
        ``pty``, ``socket``, or None for what the system has.
    """

    def __init__(self, device: Device, kind: Literal["pty", "socket"] | None = None) -> None:
        end = _PtyEnd() if kind == "pty" or (kind is None and hasattr(os, "openpty")) else _SocketEnd()
        self.port: str = end.port
        self._device = device
        self._closing = False
        self._wake, self._woken = socket.socketpair()
        self._wake.setblocking(False)
        self._woken.setblocking(False)
        device.on_change = self._look
        self._thread = threading.Thread(target=self._serve, args=(end,), name="emulated-port", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the port is still served: neither closed nor unplugged."""
        return self._thread.is_alive()

    def _look(self) -> None:
        if threading.current_thread() is not self._thread:
            with contextlib.suppress(OSError):  # woken often enough, or closed
                self._wake.send(b"x")

    def _serve(self, end: _End) -> None:
        unread, woken = b"", self._woken.fileno()
        try:
            while not self._closing:
                number, due_s = end.fileno(), self._device.due_in_s()
                if number is None:
                    due_s = min(_LOOK_S, _LOOK_S if due_s is None else due_s)
                ends = [] if number is None else [number]
                readable, writable, _ = select.select([*ends, woken], ends if unread else [], [], due_s)
                if woken in readable:
                    self._woken.recv(_BLOCK)
                if writable:
                    unread = unread[end.write(unread) :]
                data = end.read() if number in readable else b""
                if number is None and end.opened():
                    self._device.opened()
                unread += self._device.feed(data) if data else self._device.poll()
                if end.fileno() is None:
                    unread = b""
        except UnpluggedError:
            _log.info("emulated port %s unplugged", self.port)
        except OSError as error:
            _log.warning("emulated port %s: %s", self.port, error)
        finally:
            end.close()

    def close(self) -> None:
        """End the device; safe to call twice."""
        if self._closing:
            return
        self._closing = True
        self._look()
        self._thread.join()
        self._device.on_change = lambda: None
        self._wake.close()
        self._woken.close()
