"""The camera, through pycromanager's core: Micro-Manager in this program, or a running Micro-Manager over its server.

Two traps shape this file. A Micro-Manager that has died blocks every call for ever: so all calls are made by one worker
thread, and waiting for it has a limit. And the core is one per process: opening a second camera while one is open is
refused, closing takes the core down, so that it can be opened again.
"""

from __future__ import annotations

import atexit
import logging
import queue
import re
import threading
import time
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from acquisition.errors import OperatorError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from acquisition.profile import CameraSettings, MicroManagerSettings

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

OPEN_TIMEOUT_S = 60.0
CALL_TIMEOUT_S = 5.0
_EXPOSURE_TOLERANCE = 0.01
_INTERFACE_MISMATCH = re.compile(r"interface version \(MMCore requires (\d+); \D*?(\d+)\)")


class CameraError(OperatorError):
    """The camera or Micro-Manager does not do what it was told."""


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

    def call(self, function: Callable[[], _T], timeout_s: float) -> _T:
        """Run `function` on the thread and wait for it.

        Raises
        ------
        CameraError
            It did not return within `timeout_s`, or an earlier call did not.
        Exception
            Whatever `function` raises.
        """
        if not self._lost:
            future: Future[_T] = Future()
            self._jobs.put((function, future))
            try:
                return future.result(timeout_s)
            except TimeoutError:
                if future.done() and not future.cancelled():  # the function's own TimeoutError, or just in time
                    return future.result()
                self._lost = True
                _log.error("Micro-Manager did not return within %.1f s", timeout_s)
        raise CameraError(
            f"Micro-Manager does not answer (waited {timeout_s:g} s).",
            "Close the instrument, restart Micro-Manager or this program, check the camera's cable, and connect again.",
        )

    def stop(self) -> None:
        """End the thread, unless a call hangs in it: then it stays behind."""
        self._jobs.put(None)
        if not self._lost:
            self._thread.join()


class Camera:
    """An open camera; make one with `Camera.open`. Callable from any thread: calls are queued one after the other."""

    _open_camera: Camera | None = None  # the core is one per process
    _open_lock = threading.Lock()

    def __init__(
        self, core_thread: CoreThread, core: Any, settings: CameraSettings, label: str, java: bool, patience_s: float
    ) -> None:
        self._thread = core_thread
        self._core = core
        self._settings = settings
        self._java = java
        self._patience_s = patience_s
        self.label = label
        self.image_shape: tuple[int, int] = (0, 0)
        self._exposure_ms = 0.0

    @classmethod
    def open(
        cls,
        micromanager: MicroManagerSettings,
        settings: CameraSettings,
        prepare: Callable[[Any, str], None] | None = None,
        patience_s: float = CALL_TIMEOUT_S,
    ) -> Camera:
        """Start or reach Micro-Manager and make the camera ready.

        Parameters
        ----------
        micromanager, settings
            Of the hardware profile.
        prepare
            Called with core and camera label, on the core's thread, before any setting is made.
        patience_s
            How long a frame may take beyond its exposure before Micro-Manager is given up.

        Raises
        ------
        CameraError
            No Micro-Manager, no camera, or a setting that it does not take; nothing is left open.
        """
        with cls._open_lock:
            if cls._open_camera is not None:
                raise CameraError(
                    f"The camera {cls._open_camera.label} is open already in this program.",
                    "Close the instrument first.",
                )
            thread = CoreThread()
            try:
                camera = thread.call(lambda: _connect(cls, thread, micromanager, settings, patience_s), OPEN_TIMEOUT_S)
                thread.call(lambda: camera.configure(prepare), OPEN_TIMEOUT_S)
            except BaseException:
                _shut_down(thread, java=micromanager.backend == "java")
                raise
            cls._open_camera = camera
            return camera

    def configure(self, prepare: Callable[[Any, str], None] | None) -> None:
        """Make the settings of the profile; part of `open`, on the core's thread."""
        core, settings = self._core, self._settings
        if prepare is not None:
            prepare(core, self.label)
        properties = dict(settings.properties)
        if settings.pixel_type is not None:
            properties["PixelType"] = settings.pixel_type
        if core.has_property(self.label, "Binning"):
            properties["Binning"] = str(settings.binning)
        for name, value in properties.items():
            self._set_property(name, value)
        core.clear_roi()
        width, height = int(core.get_image_width()), int(core.get_image_height())
        if (roi := settings.roi) is not None:
            if roi[0] + roi[2] > width or roi[1] + roi[3] > height:  # not every adapter notices
                raise CameraError(
                    f"camera.roi = {list(roi)} reaches beyond the {width} x {height} pixels of {self.label}.",
                    "Choose x, y, width and height inside the sensor (binned pixels).",
                )
            _tell(f"The camera {self.label} does not take roi = {list(roi)}", lambda: core.set_roi(*roi))
        self.image_shape = (int(core.get_image_height()), int(core.get_image_width()))
        if roi is not None and self.image_shape != (roi[3], roi[2]):
            raise CameraError(
                f"The camera {self.label} reads {self.image_shape[1]} x {self.image_shape[0]} pixels instead of "
                f"the {roi[2]} x {roi[3]} of camera.roi.",
                "Choose a region inside the sensor, with sizes that the camera can do (often multiples of 4 or 8).",
            )
        if core.get_bytes_per_pixel() > 2:
            raise CameraError(
                f"The camera {self.label} gives {core.get_bytes_per_pixel()} bytes a pixel: colour or 32 bit.",
                "Set camera.pixel_type in the profile to a grey type of 8 to 16 bit.",
            )
        self._set_exposure(settings.exposure_ms.default)

    def _set_property(self, name: str, value: str) -> None:
        core = self._core
        if not core.has_property(self.label, name):
            known = ", ".join(_strings(core.get_device_property_names(self.label)))
            raise CameraError(f"The camera {self.label} has no property {name!r}.", f"It has: {known}.")
        _tell(
            f"The camera {self.label} does not take {name} = {value!r}",
            lambda: core.set_property(self.label, name, value),
        )
        read_back = str(core.get_property(self.label, name))
        if not _same_value(read_back, value):
            allowed = ", ".join(_strings(core.get_allowed_property_values(self.label, name)))
            raise CameraError(
                f"The camera {self.label} was given {name} = {value!r} and has {read_back!r}.",
                f"Allowed: {allowed}." if allowed else "Choose a value within the camera's limits.",
            )

    @property
    def exposure_ms(self) -> float:
        """Exposure as the camera has it."""
        return self._exposure_ms

    def set_exposure_ms(self, exposure_ms: float) -> float:
        """Set the exposure and return what the camera made of it.

        Raises
        ------
        CameraError
            Outside the limits of the profile, or the camera has something quite different afterwards.
        """
        limits = self._settings.exposure_ms
        if not limits.min <= exposure_ms <= limits.max:  # the core silently ignores what it does not like
            raise CameraError(
                f"An exposure of {exposure_ms:g} ms is outside {limits.min:g} to {limits.max:g} ms.",
                "Choose one within the limits, or change camera.exposure_ms in the hardware profile.",
            )
        return self._thread.call(lambda: self._set_exposure(exposure_ms), CALL_TIMEOUT_S)

    def _set_exposure(self, exposure_ms: float) -> float:
        core = self._core
        _tell(f"The camera {self.label} does not take {exposure_ms:g} ms", lambda: core.set_exposure(exposure_ms))
        self._exposure_ms = float(core.get_exposure())
        if abs(self._exposure_ms - exposure_ms) > _EXPOSURE_TOLERANCE * exposure_ms:
            _log.warning("%s: asked for %g ms, exposes %g ms", self.label, exposure_ms, self._exposure_ms)
        return self._exposure_ms

    def snap(self) -> NDArray[np.uint16]:
        """Expose one frame and read it, (H, W) counts.

        Raises
        ------
        CameraError
            The camera reports an error, does not answer, or gives an image of another size.
        """
        return self._thread.call(self._snap, self._exposure_ms / 1000 + self._patience_s)

    def _snap(self) -> NDArray[np.uint16]:
        def expose() -> Any:
            self._core.snap_image()
            return self._core.get_image()

        pixels = np.asarray(_tell(f"The camera {self.label} could not take a frame", expose))
        if pixels.dtype.itemsize == 2:
            pixels = pixels.view(np.uint16)  # Java has no unsigned numbers
        elif pixels.dtype.itemsize == 1:
            pixels = pixels.view(np.uint8).astype(np.uint16)
        if pixels.size != self.image_shape[0] * self.image_shape[1]:
            raise CameraError(
                f"The camera {self.label} gave {pixels.size} pixels instead of {self.image_shape}.",
                "Was the region of interest or the binning changed in Micro-Manager? Connect the instrument again.",
            )
        # Java hands over one row after the other; a copy, as the core uses its memory again.
        return np.array(pixels.reshape(self.image_shape), np.uint16)

    def pixel_size_um(self) -> float:
        """Object-side pixel as Micro-Manager has it calibrated; 0 where it is not."""
        return self._thread.call(lambda: float(self._core.get_pixel_size_um()), CALL_TIMEOUT_S)

    def version(self) -> str:
        """Version of the Micro-Manager core."""
        return self._thread.call(lambda: str(self._core.get_version_info()), CALL_TIMEOUT_S)

    def close(self) -> None:
        """Let go of camera and core; safe to call twice, never waits longer than a call may take."""
        with self._open_lock:
            if Camera._open_camera is self:
                Camera._open_camera = None
                _shut_down(self._thread, self._java)


def _connect(
    camera_class: type[Camera],
    thread: CoreThread,
    micromanager: MicroManagerSettings,
    settings: CameraSettings,
    patience_s: float,
) -> Camera:
    started = time.perf_counter()
    from pycromanager import Core  # 2 s; here, so that a window without instrument opens at once

    java = micromanager.backend == "java"
    core = _reach_java(Core, micromanager.port) if java else _start_python(Core, micromanager)
    label = settings.device or str(core.get_camera_device())
    loaded = _strings(core.get_loaded_devices())
    if label not in loaded:
        raise CameraError(
            f"Micro-Manager has no camera {label!r}." if label else "Micro-Manager's configuration names no camera.",
            f"Devices: {', '.join(loaded)}. Set camera.device in the profile, or the camera in the configuration.",
        )
    if settings.device is not None:
        core.set_camera_device(label)
    _log.info("Micro-Manager (%s) ready in %.1f s", micromanager.backend, time.perf_counter() - started)
    return camera_class(thread, core, settings, label, java, patience_s)


def _start_python(core_factory: Callable[[], Any], micromanager: MicroManagerSettings) -> Any:
    """Make the core in this process: not through start_headless, whose acquisition engine cannot be started twice."""
    import mm_test_adapters
    from mmpycorex import create_core_instance, terminate_core_instances

    terminate_core_instances()
    adapters = micromanager.adapter_path or mm_test_adapters.device_adapter_path()
    config = micromanager.config_file or str(Path(mm_test_adapters.device_adapter_path()) / "MMConfig_demo.cfg")
    for path, key in ((adapters, "adapter_path"), (config, "config_file")):
        if not Path(path).exists():
            raise CameraError(
                f"micromanager.{key} is {path}, which does not exist.", "Correct the path in the profile."
            )
    try:
        create_core_instance(adapters, str(Path(config).resolve()), buffer_size_mb=micromanager.buffer_mb)
    except Exception as error:
        raise CameraError(
            f"Micro-Manager could not load {config}: {str(error).strip()}", _remedy_for_load(str(error))
        ) from error
    return core_factory()


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


def _reach_java(core_factory: Callable[..., Any], port: int) -> Any:
    from mmpycorex import is_pymmcore_active, terminate_core_instances

    if is_pymmcore_active():
        terminate_core_instances()  # otherwise Core() would hand out that one
    _log.info("frames come over Micro-Manager's server, at most some 100 MB/s")
    try:
        return core_factory(port=port, timeout=3000)
    except Exception as error:  # the bridge raises nothing more exact
        raise CameraError(
            f"No Micro-Manager answers on port {port}: {error}",
            f"Start Micro-Manager, tick Tools > Options > Run server on port {port}, and connect again.",
        ) from error


def _shut_down(thread: CoreThread, java: bool) -> None:
    """Unload the devices (python) or just let go (java), and end the thread."""
    from mmpycorex import terminate_core_instances

    if not java and not thread.lost:
        try:
            thread.call(terminate_core_instances, CALL_TIMEOUT_S)
        except Exception as error:
            _log.warning("closing Micro-Manager: %s", error)
    if thread.lost:
        # What hangs now would hang again: neither the end of the program nor the next core may wait for it.
        from mmpycorex.launcher import _PYMMCORES

        atexit.unregister(terminate_core_instances)
        _PYMMCORES.clear()
    thread.stop()


def _tell(what: str, function: Callable[[], _T]) -> _T:
    """Run a core call; its bare exceptions become the operator's."""
    try:
        return function()
    except OperatorError:
        raise
    except Exception as error:  # pymmcore: RuntimeError and others; the Java bridge: bare Exception
        raise CameraError(
            f"{what}: {str(error).strip()}", "Check the camera in Micro-Manager itself, then try again."
        ) from error


def _strings(vector: Any) -> list[str]:
    """List of a core's string vector: a tuple here, an object with size and get over the Java bridge."""
    if hasattr(vector, "size") and hasattr(vector, "get"):
        return [str(vector.get(index)) for index in range(vector.size())]
    return [str(item) for item in vector]


def _same_value(read_back: str, value: str) -> bool:
    try:
        return abs(float(read_back) - float(value)) <= 1e-3 * max(1.0, abs(float(value)))
    except ValueError:
        return read_back == value
