from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import mmpycorex
import numpy as np
import pytest

from acquisition import camera as camera_module
from acquisition.camera import Camera, CameraError, CoreThread
from acquisition.profile import CameraSettings, ExposureLimits, MicroManagerSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

DEMO = MicroManagerSettings(buffer_mb=16)


def settings(**changes: Any) -> CameraSettings:
    values: dict[str, Any] = {
        "pixel_um": 6.5,
        "bit_depth": 16,
        "offset_counts": 0.0,
        "pixel_type": "16bit",
        "exposure_ms": ExposureLimits(min=1.0, max=100.0, default=5.0),
        "properties": {"FastImage": "1", "OnCameraCCDXSize": "96", "OnCameraCCDYSize": "64"},
    }
    return CameraSettings(**{**values, **changes})


@pytest.fixture
def camera() -> Iterator[Camera]:
    opened = Camera.open(DEMO, settings())
    yield opened
    opened.close()


def test_snaps_with_the_settings_of_the_profile(camera: Camera) -> None:
    image = camera.snap()
    assert image.shape == camera.image_shape == (64, 96)
    assert image.dtype == np.uint16
    assert camera.exposure_ms == 5.0
    assert camera.set_exposure_ms(20.0) == camera.exposure_ms == 20.0
    started = time.perf_counter()
    camera.snap()
    assert time.perf_counter() - started > 0.018
    for wrong in (-1.0, 0.0, 1000.0):
        with pytest.raises(CameraError, match="outside 1 to 100 ms"):
            camera.set_exposure_ms(wrong)
    assert camera.exposure_ms == 20.0


def test_opens_again_and_again_in_one_process_but_not_twice_at_once() -> None:
    for roi in (None, (8, 16, 32, 24)):
        camera = Camera.open(DEMO, settings(roi=roi))
        with pytest.raises(CameraError, match="open already"):
            Camera.open(DEMO, settings())
        assert camera.snap().shape == ((24, 32) if roi else (64, 96))
        camera.close()
        camera.close()
        assert not mmpycorex.is_pymmcore_active()
    assert not [thread for thread in threading.enumerate() if thread.name == "micro-manager"]


@pytest.mark.parametrize(
    ("micromanager", "changes", "text"),
    [
        ({"adapter_path": "/nowhere"}, {}, "adapter_path"),
        ({"config_file": "/nowhere.cfg"}, {}, "config_file"),
        ({}, {"device": "Andor"}, "Andor"),
        ({}, {"properties": {"Gian": "3"}}, "no property 'Gian'"),
        ({}, {"properties": {"Mode": "Cats"}}, "Mode"),
        ({}, {"properties": {"FastImage": "1"}, "roi": (500, 500, 100, 100)}, "roi"),
        ({}, {"pixel_type": "32bitRGB"}, "bytes a pixel"),
    ],
)
def test_what_cannot_work_is_told_and_leaves_nothing_open(
    micromanager: dict[str, Any], changes: dict[str, Any], text: str
) -> None:
    with pytest.raises(CameraError, match=text) as caught:
        Camera.open(DEMO.model_copy(update=micromanager), settings(**changes))
    assert caught.value.remedy
    assert not mmpycorex.is_pymmcore_active()


def test_adapters_of_another_version_name_the_pymmcore_to_install() -> None:
    text = 'Failed to load "X" [ Incompatible device interface version (MMCore requires 75; module has 71) ]'
    assert "(71)" in camera_module._remedy_for_load(text)
    assert "pymmcore" in camera_module._remedy_for_load("Device interface version mismatch")
    assert "pymmcore" not in camera_module._remedy_for_load("Cannot open shared object file")


def test_dead_micromanager_is_an_error_and_does_not_hold_anybody_up(
    camera: Camera, monkeypatch: pytest.MonkeyPatch
) -> None:
    revived = threading.Event()
    monkeypatch.setattr(camera_module, "CALL_TIMEOUT_S", 0.2)
    monkeypatch.setattr(camera, "_patience_s", 0.2)
    monkeypatch.setattr(camera._core, "snap_image", revived.wait, raising=False)
    started = time.perf_counter()
    for _ in range(3):
        with pytest.raises(CameraError, match="does not answer"):
            camera.snap()
    camera.close()
    assert time.perf_counter() - started < 1.0
    again = Camera.open(DEMO, settings())  # a fresh core
    assert again.snap().shape == (64, 96)
    again.close()
    revived.set()


def test_core_thread_passes_on_results_and_errors() -> None:
    thread = CoreThread()
    assert thread.call(threading.get_ident, 1.0) != threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        thread.call(lambda: 1 / 0, 1.0)

    def own_timeout() -> None:
        raise TimeoutError("of the camera")

    with pytest.raises(TimeoutError, match="of the camera"):
        thread.call(own_timeout, 1.0)
    assert not thread.lost
    thread.stop()


class JavaVector(SimpleNamespace):
    """As the bridge hands it over: an object."""

    def size(self) -> int:
        return len(self.items)

    def get(self, index: int) -> str:
        return str(self.items[index])


class JavaCore:
    """What differs over the Java bridge: vectors, images in one dimension, signed numbers."""

    pixels = (np.arange(6) + 40000).astype(np.uint16).view(np.int16)

    def __getattr__(self, name: str) -> Any:
        answers = {
            "get_camera_device": "Cam",
            "get_loaded_devices": JavaVector(items=["Cam", "Core"]),
            "has_property": False,
            "get_image_height": 2,
            "get_image_width": 3,
            "get_bytes_per_pixel": 2,
            "get_exposure": 5.0,
            "get_image": self.pixels,
        }
        return lambda *arguments: answers.get(name)


def test_java_images_are_put_into_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pycromanager.Core", lambda **options: JavaCore())
    camera = Camera.open(MicroManagerSettings(backend="java"), settings(pixel_type=None, properties={}))
    np.testing.assert_array_equal(camera.snap(), [[40000, 40001, 40002], [40003, 40004, 40005]])
    camera.close()


NO_JAVA = """
from acquisition.camera import Camera, CameraError
from acquisition.profile import CameraSettings, ExposureLimits, MicroManagerSettings
limits = ExposureLimits(min=1.0, max=10.0, default=5.0)
try:
    Camera.open(
        MicroManagerSettings(backend="java", port=48999),
        CameraSettings(pixel_um=6.5, bit_depth=16, offset_counts=0.0, exposure_ms=limits),
    )
except CameraError as error:
    print(error)
"""


def test_no_java_micromanager_tells_the_option_to_tick() -> None:
    # On its own: the bridge leaves sockets and a tripping thread behind when nobody answers.
    run = subprocess.run(
        [sys.executable, "-c", NO_JAVA], cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=60
    )
    assert "port 48999" in run.stdout
    assert "Run server on port" in run.stdout
    assert run.returncode == 0
