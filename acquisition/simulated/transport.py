"""A serial port made of software: what is written to it goes through a function, what that returns is read from it.

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


class _End(Protocol):
    """The far end of the line."""

    def fileno(self) -> int: ...
    def read(self) -> bytes: ...
    def write(self, data: bytes) -> int: ...
    def close(self) -> None: ...


class _PtyEnd:
    def __init__(self) -> None:
        import tty

        self._master, self._slave = os.openpty()  # the open slave keeps the line up while nobody has opened it
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.port = os.ttyname(self._slave)

    def fileno(self) -> int:
        return self._master

    def read(self) -> bytes:
        return os.read(self._master, _BLOCK)

    def write(self, data: bytes) -> int:
        return os.write(self._master, data)

    def close(self) -> None:
        os.close(self._slave)
        os.close(self._master)


class _SocketEnd:
    """Listens; one program at a time is connected."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._peer: socket.socket | None = None
        self.port = f"socket://127.0.0.1:{self._listener.getsockname()[1]}"

    def fileno(self) -> int:
        return (self._peer or self._listener).fileno()

    def read(self) -> bytes:
        if self._peer is None:
            self._peer, _ = self._listener.accept()
            self._peer.setblocking(False)
            self._peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return b""
        try:
            data = self._peer.recv(_BLOCK)
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
    feed
        Called on the port's own thread with what was written; returns the answer, or raises
        `acquisition.simulated.board.UnpluggedError`, after which the port is gone.
    kind
        ``pty``, ``socket``, or None for what the system has.
    """

    def __init__(self, feed: Callable[[bytes], bytes], kind: Literal["pty", "socket"] | None = None) -> None:
        end = _PtyEnd() if kind == "pty" or (kind is None and hasattr(os, "openpty")) else _SocketEnd()
        self.port: str = end.port
        self._feed = feed
        self._wake, self._woken = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, args=(end,), name="emulated-port", daemon=True)
        self._thread.start()

    def _serve(self, end: _End) -> None:
        unread, woken = b"", self._woken.fileno()
        try:
            while True:
                readable, writable, _ = select.select([end.fileno(), woken], [end.fileno()] if unread else [], [])
                if woken in readable:
                    return
                if writable:
                    unread = unread[end.write(unread) :]
                elif readable:
                    with contextlib.suppress(BlockingIOError):
                        if data := end.read():
                            unread += self._feed(data)
        except UnpluggedError:
            _log.info("emulated port %s unplugged", self.port)
        except OSError as error:
            _log.warning("emulated port %s: %s", self.port, error)
        finally:
            end.close()

    def close(self) -> None:
        """End the device; safe to call twice."""
        if self._wake.fileno() < 0:
            return
        self._wake.send(b"x")
        self._thread.join()
        self._wake.close()
        self._woken.close()
