"""Micro-Manager, through pycromanager's core: inside this program (python), or a running one over its server (java).

Two traps shape this file. A Micro-Manager that has died blocks every call for ever: so all calls are made by one worker
thread, and waiting for it has a limit. And the core is one per process: opening a second one while one is open is
refused, closing takes it down, so that it can be opened again.
"""

from __future__ import annotations

import atexit
import logging
import queue
import re
import socket
import threading
import time
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from acquisition.errors import OperatorError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from acquisition.profile_camera import MicroManagerSettings

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

OPEN_TIMEOUT_S = 60.0
CALL_TIMEOUT_S = 5.0
_CONNECT_TIMEOUT_S = 3.0
_LETTING_GO_S = 3.0
_LOOK_S = 0.1
_INTERFACE_MISMATCH = re.compile(r"interface version \(MMCore requires (\d+); \D*?(\d+)\)")


class MicroManagerError(OperatorError):
    """Micro-Manager, or a device behind it, does not do what it was told."""


class CoreThread:
    """The one thread that talks to Micro-Manager. Once a call has not returned in time, all later ones fail at once."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = queue.SimpleQueue()
        self._lost = False
        self._thread = threading.Thread(target=self._work, name="micro-manager", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> bool:
        """A call has not come back."""
        return self._lost

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            function, future = job
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(function())
            except BaseException as error:
                future.set_exception(error)
            del job, function, future  # an idle thread keeps no frame alive

    def call(self, function: Callable[[], _T], timeout_s: float) -> _T:
        """Run `function` on the thread and wait for it.

        Parameters
        ----------
        timeout_s
            For the function alone: waiting for its turn, while a stage moves, does not count.

        Raises
        ------
        MicroManagerError
            It did not return within `timeout_s`, or an earlier call did not.
        Exception
            Whatever `function` raises.
        """
        if not self._lost:
            future, begun = Future[_T](), threading.Event()

            def begin() -> _T:
                begun.set()
                return function()

            self._jobs.put((begin, future))
            while not begun.wait(_LOOK_S):
                if self._lost or not self._thread.is_alive():  # the call before hangs; or it was closed
                    raise self._hangs(timeout_s)
            try:
                return future.result(timeout_s)
            except TimeoutError:
                if future.done():  # the function's own TimeoutError, or just in time
                    return future.result()
                self._lost = True
                _log.error("Micro-Manager did not return within %.1f s", timeout_s)
        raise self._hangs(timeout_s)

    @staticmethod
    def _hangs(timeout_s: float) -> MicroManagerError:
        return MicroManagerError(
            f"Micro-Manager does not answer (waited {timeout_s:g} s).",
            "Close the instrument, restart Micro-Manager or this program, check the cables, and connect again.",
        )

    def stop(self, timeout_s: float | None = None) -> None:
        """End the thread; one in which a call hangs stays behind after `timeout_s`."""
        self._jobs.put(None)
        self._thread.join(timeout_s)


class MicroManager:
    """An open Micro-Manager; make one with `MicroManager.open`. Callable from any thread: calls are queued.

    Attributes
    ----------
    core
        pycromanager's core. Touch it only in functions given to `call`.
    patience_s
        How long a call may take beyond what the devices need, before Micro-Manager is given up.
    warnings
        What the devices did not obey when the properties of the profile were set, in words.
    """

    _open: MicroManager | None = None  # the core is one per process
    _open_lock = threading.Lock()

    def __init__(
        self,
        core: Any,
        thread: CoreThread,
        settings: MicroManagerSettings,
        patience_s: float,
        warnings: tuple[str, ...],
    ) -> None:
        self.core = core
        self.patience_s = patience_s
        self.warnings = warnings
        self._thread = thread
        self._settings = settings

    @classmethod
    def open(cls, settings: MicroManagerSettings, patience_s: float = CALL_TIMEOUT_S) -> MicroManager:
        """Start or reach Micro-Manager and set the profile's properties of its devices; takes some seconds.

        Raises
        ------
        MicroManagerError
            There is none, one is open already, or a property does not exist; nothing is left open.
        """
        with cls._open_lock:
            if cls._open is not None:
                raise MicroManagerError(
                    "Micro-Manager is open already in this program.", "Close the instrument first, then connect again."
                )
            thread, core = CoreThread(), None
            try:
                core = thread.call(lambda: _connect(settings), OPEN_TIMEOUT_S)
                warnings = thread.call(lambda: _set_properties(core, settings.properties), OPEN_TIMEOUT_S)
            except BaseException:
                _shut_down(thread, core, settings)
                raise
            cls._open = cls(core, thread, settings, patience_s, warnings)
            atexit.register(cls._open.close)  # before the bridge's own farewell, which a dead server would hold up
            return cls._open

    def call(self, function: Callable[[], _T], timeout_s: float | None = None) -> _T:
        """Run `function` on the core's thread and wait for it, at most `timeout_s` (None: `patience_s`).

        Raises
        ------
        MicroManagerError
            Micro-Manager does not answer.
        Exception
            Whatever `function` raises.
        """
        return self._thread.call(function, self.patience_s if timeout_s is None else timeout_s)

    def devices(self) -> list[str]:
        """Labels of all devices; on the core's thread."""
        return strings(self.core.get_loaded_devices())

    def version(self) -> str:
        """Version of the Micro-Manager core, and how it is reached."""
        core_version = self.call(lambda: str(self.core.get_version_info()))
        return f"{core_version} ({self._settings.backend})"

    def close(self) -> None:
        """Let go of the devices; safe to call twice, never waits longer than a call may take."""
        with self._open_lock:
            if MicroManager._open is self:
                MicroManager._open = None
                atexit.unregister(self.close)
                _shut_down(self._thread, self.core, self._settings)


def _set_properties(core: Any, properties: dict[str, str]) -> tuple[str, ...]:
    devices = strings(core.get_loaded_devices())
    told = []
    for name, value in properties.items():
        fitting = [device for device in devices if name.startswith(f"{device}.")]  # a label may have dots in it
        if not fitting:
            raise MicroManagerError(
                f"micromanager.properties names {name!r}, and Micro-Manager has no such device.",
                f"Devices: {', '.join(devices)}.",
            )
        device = max(fitting, key=len)
        told.append(set_property(core, device, name.removeprefix(f"{device}."), value))
    return warned(told)


def _connect(settings: MicroManagerSettings) -> Any:
    started = time.perf_counter()
    core = _reach_java(settings.port) if settings.backend == "java" else _start_python(settings)
    _log.info("Micro-Manager (%s) ready in %.1f s", settings.backend, time.perf_counter() - started)
    return core


def _start_python(settings: MicroManagerSettings) -> Any:
    """Make the core in this process: not through start_headless, whose acquisition engine cannot be started twice."""
    import mm_test_adapters
    from mmpycorex import create_core_instance, terminate_core_instances
    from pycromanager import Core  # 2 s; here, so that a window without instrument opens at once

    terminate_core_instances()
    adapters = settings.adapter_path or mm_test_adapters.device_adapter_path()
    config = settings.config_file or str(Path(mm_test_adapters.device_adapter_path()) / "MMConfig_demo.cfg")
    for path, key in ((adapters, "adapter_path"), (config, "config_file")):
        if not Path(path).exists():
            raise MicroManagerError(
                f"micromanager.{key} is {path}, which does not exist.", "Correct the path in the profile."
            )
    try:
        create_core_instance(adapters, str(Path(config).resolve()), buffer_size_mb=settings.buffer_mb)
    except Exception as error:
        raise MicroManagerError(
            f"Micro-Manager could not load {config}: {reason(error)}", _remedy_for_load(str(error))
        ) from error
    return Core()


def _remedy_for_load(text: str) -> str:
    mismatch = _INTERFACE_MISMATCH.search(text)
    if mismatch or "interface version" in text:
        number = f" ({mismatch[2]})" if mismatch else ""
        return (
            "The Micro-Manager installation and pymmcore do not fit together: install the pymmcore whose fourth "
            f"version number is the device interface of the installation{number}, see 'pip index versions pymmcore'; "
            "or use micromanager.backend = 'java'."
        )
    return "Check micromanager.adapter_path and config_file in the profile, and that every device in it is switched on."


def _reach_java(port: int) -> Any:
    try:
        # Where nobody listens, the bridge would only say so after leaving a thread and a socket behind.
        socket.create_connection(("127.0.0.1", port), _CONNECT_TIMEOUT_S).close()
        from mmpycorex import is_pymmcore_active, terminate_core_instances
        from pycromanager import Core

        if is_pymmcore_active():
            terminate_core_instances()  # otherwise Core() would hand out that one
        _log.info("frames come over Micro-Manager's server, at most some 100 MB/s")
        return Core(port=port, timeout=int(_CONNECT_TIMEOUT_S * 1000))
    except Exception as error:  # the bridge raises nothing more exact
        raise MicroManagerError(
            f"No Micro-Manager answers on port {port}: {reason(error)}",
            f"Start Micro-Manager, tick Tools > Options > Run server on port {port}, and connect again.",
        ) from error


def _shut_down(thread: CoreThread, core: Any, settings: MicroManagerSettings) -> None:
    """Unload the devices (python) or just let go (java), and end the thread."""
    from mmpycorex import terminate_core_instances

    java = settings.backend == "java"
    if not thread.lost:
        try:
            if not java:
                thread.call(terminate_core_instances, CALL_TIMEOUT_S)
                if core is not None:  # its own methods hold it, unseen by Python's collector: its buffer would stay
                    vars(core).clear()
            elif core is not None:
                thread.call(core._close, CALL_TIMEOUT_S)  # noqa: SLF001  nothing else tells the server
        except Exception as error:
            _log.warning("closing Micro-Manager: %s", error)
    if not thread.lost:
        thread.stop()
        return
    # What hangs now would hang again: neither the end of the program nor the next core may wait for it.
    if java:
        _abandon_bridge(core, settings.port)
    else:
        from mmpycorex.launcher import _PYMMCORES

        atexit.unregister(terminate_core_instances)
        _PYMMCORES.clear()
    thread.stop(_LETTING_GO_S if java else 0.0)


def _abandon_bridge(core: Any, port: int) -> None:
    """Make the bridge to a dead server give up the call that waits, and forget it: the next one starts afresh."""
    from pyjavaz.bridge import Bridge

    reference = Bridge._cached_bridges_by_port.pop(port, None)  # noqa: SLF001  it has no public way
    bridge = None if reference is None else reference()
    if bridge is not None:
        bridge._closed = True  # noqa: SLF001  seen by the waiting call within a second
        bridge._shutdown_event.set()  # noqa: SLF001
    if core is not None:
        core._closed = True  # noqa: SLF001  its destructor would ask the server


# --- what talks to the core, on its thread ----------------------------------------------------------------------------


def tell(error_type: type[OperatorError], what: str, function: Callable[[], _T], remedy: str = "") -> _T:
    """Run a core call; its bare exceptions become the operator's: `what` has failed, and why."""
    try:
        return function()
    except OperatorError:
        raise
    except Exception as error:  # pymmcore: RuntimeError and others; the Java bridge: bare Exception
        raise error_type(
            f"{what}: {reason(error)}", remedy or "Check the device in Micro-Manager itself, then try again."
        ) from error


def reason(error: BaseException) -> str:
    """Say what an exception of the core says, without the trace that Java adds."""
    text = str(error).strip()
    if text.startswith(("java.", "org.", "mmcorej.")):
        text = text.splitlines()[0].partition(": ")[2] or text
    return text or type(error).__name__


def set_property(core: Any, device: str, name: str, value: str) -> str:
    """Set a property and read it back; returns what to tell the operator where the device has another value, or "".

    Raises
    ------
    MicroManagerError
        There is no such property, or the device refuses the value.
    """
    if not core.has_property(device, name):
        known = ", ".join(strings(core.get_device_property_names(device)))
        raise MicroManagerError(f"The device {device} has no property {name!r}.", f"It has: {known}.")
    allowed = ", ".join(strings(core.get_allowed_property_values(device, name)))
    remedy = f"Allowed: {allowed}." if allowed else "Choose a value within the device's limits."
    tell(
        MicroManagerError,
        f"The device {device} does not take {name} = {value!r}",
        lambda: core.set_property(device, name, value),
        remedy,
    )
    found = str(core.get_property(device, name))
    return "" if same_value(found, value) else f"{device} was given {name} = {value!r} and has {found!r}. {remedy}"


def same_value(found: str, asked: str) -> bool:
    """Whether two texts are the same, or the same number to the digits that Micro-Manager shows."""
    try:
        return abs(float(found) - float(asked)) <= 1e-3 * max(1.0, abs(float(asked)))
    except ValueError:
        return found == asked


def warned(texts: Iterable[str]) -> tuple[str, ...]:
    """Log and return the texts that say something."""
    said = tuple(text for text in texts if text)
    for text in said:
        _log.warning("%s", text)
    return said


def strings(vector: Any) -> list[str]:
    """List of a core's string vector: a tuple here, an object with size and get over the Java bridge."""
    if hasattr(vector, "size") and hasattr(vector, "get"):
        return [str(vector.get(index)) for index in range(vector.size())]
    return [str(item) for item in vector]
