from __future__ import annotations

import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mmpycorex
import pytest

from acquisition import micromanager as module
from acquisition.camera import Camera
from acquisition.micromanager import CoreThread, MicroManager, MicroManagerError
from acquisition.profile_camera import CameraSettings, ExposureLimits, MicroManagerSettings
from tests.acquisition.java_bridge import JavaBridge

if TYPE_CHECKING:
    from collections.abc import Iterator

PYTHON = MicroManagerSettings(buffer_mb=16)
CAMERA = CameraSettings(
    pixel_um=6.5,
    bit_depth=16,
    offset_counts=0.0,
    pixel_type="16bit",
    exposure_ms=ExposureLimits(min=1.0, max=10000.0, default=5.0),
    properties={"FastImage": "1"},
)


@pytest.fixture
def doomed_bridge() -> Iterator[JavaBridge]:
    with JavaBridge() as bridge:
        yield bridge


def java(port: int) -> MicroManagerSettings:
    return MicroManagerSettings(backend="java", port=port)


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


def test_a_call_that_waits_for_its_turn_does_not_count_as_hanging() -> None:
    """A stage moves for seconds, and the live view asks for a frame meanwhile."""
    thread = CoreThread()
    moving, arrived = threading.Event(), threading.Event()

    def move() -> None:
        moving.set()
        assert arrived.wait(30)

    mover = threading.Thread(target=thread.call, args=(move, 30.0))
    mover.start()
    assert moving.wait(30)
    threading.Timer(0.3, arrived.set).start()
    assert thread.call(lambda: "frame", 0.05) == "frame"
    mover.join(30)
    assert not thread.lost
    thread.stop()
    with pytest.raises(MicroManagerError, match="does not answer"):
        thread.call(lambda: "too late", 0.05)


def test_who_waits_behind_a_call_that_hangs_is_told_as_well() -> None:
    thread = CoreThread()
    hung, goes_on = threading.Event(), threading.Event()
    told: list[Exception] = []

    def hang() -> None:
        hung.set()
        goes_on.wait(30)

    def ask() -> None:
        try:
            thread.call(hang, 0.2)
        except MicroManagerError as error:
            told.append(error)

    first = threading.Thread(target=ask)
    first.start()
    assert hung.wait(30)
    with pytest.raises(MicroManagerError, match="does not answer"):
        thread.call(lambda: None, 30.0)
    first.join(30)
    assert len(told) == 1
    assert thread.lost
    goes_on.set()
    thread.stop()


def test_opens_again_and_again_but_not_twice_at_once(java_port: int) -> None:
    for settings in (PYTHON, java(java_port), PYTHON, java(java_port)):
        micromanager = MicroManager.open(settings)
        with pytest.raises(MicroManagerError, match="open already"):
            MicroManager.open(settings)
        assert f"({settings.backend})" in micromanager.version()
        micromanager.close()
        micromanager.close()
        assert not mmpycorex.is_pymmcore_active()
    assert not [thread for thread in threading.enumerate() if thread.name == "micro-manager"]


def test_devices_get_the_properties_of_the_profile(backend: MicroManagerSettings) -> None:
    wanted = {"Objective.Label": "Nikon 40X Plan Fluor ELWD", "Core.AutoShutter": "0", "LED.State": "2"}
    micromanager = MicroManager.open(backend.model_copy(update={"properties": wanted}))
    assert micromanager.warnings == ()
    read = micromanager.call(lambda: micromanager.core.get_property("Objective", "Label"))
    assert read == "Nikon 40X Plan Fluor ELWD"
    micromanager.close()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"adapter_path": "/nowhere"}, "adapter_path"),
        ({"config_file": "/nowhere.cfg"}, "config_file"),
        ({"properties": {"Stand.Port": "left"}}, "no such device"),
        ({"properties": {"LED.Colour": "red"}}, "no property 'Colour'"),
        ({"properties": {"LED.Label": "red"}}, "Label"),
    ],
)
def test_what_cannot_work_is_told_and_leaves_nothing_open(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(MicroManagerError, match=text) as caught:
        MicroManager.open(PYTHON.model_copy(update=changes))
    assert caught.value.remedy
    assert not mmpycorex.is_pymmcore_active()


def test_properties_that_do_not_stick_are_warnings(backend: MicroManagerSettings) -> None:
    micromanager = MicroManager.open(backend.model_copy(update={"properties": {"Camera.Gain": "3.7"}}))
    assert [text for text in micromanager.warnings if "'3.7'" in text and "'3'" in text]
    micromanager.close()


def test_adapters_of_another_version_name_the_pymmcore_to_install() -> None:
    text = (
        "Line 7: Device,DHub,DemoCamera,DHub\n"
        'Failed to load device adapter "DemoCamera" from "libmmgr_dal_DemoCamera.so.0" '
        "[ Incompatible device interface version (MMCore requires 75; device adapter has 71) ]"
    )
    assert "(71)" in module._remedy_for_load(text)
    assert "pymmcore" in module._remedy_for_load("Device interface version mismatch")
    assert "pymmcore" not in module._remedy_for_load("Cannot open shared object file")


def test_a_hanging_core_is_an_error_and_does_not_hold_anybody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    revived = threading.Event()
    micromanager = MicroManager.open(PYTHON, patience_s=0.2)
    camera = Camera(micromanager, CAMERA)
    monkeypatch.setattr(micromanager.core, "snap_image", revived.wait, raising=False)
    for _ in range(3):
        with pytest.raises(MicroManagerError, match="does not answer"):
            camera.snap()
    camera.close()
    micromanager.close()
    again = MicroManager.open(PYTHON)  # a fresh core
    assert Camera(again, CAMERA).snap().shape == (512, 512)
    again.close()
    revived.set()


def test_a_server_killed_in_mid_call_is_an_error_and_can_be_reached_again(doomed_bridge: JavaBridge) -> None:
    micromanager = MicroManager.open(java(doomed_bridge.port), patience_s=0.2)
    camera = Camera(micromanager, CAMERA)
    camera.set_exposure_ms(500.0)
    killing = threading.Timer(0.1, doomed_bridge.kill)
    killing.start()
    with pytest.raises(MicroManagerError, match="does not answer"):
        camera.snap()
    killing.join()
    camera.close()
    micromanager.close()
    with pytest.raises(MicroManagerError, match="No Micro-Manager answers"):
        MicroManager.open(java(doomed_bridge.port))
    with JavaBridge(doomed_bridge.port):
        again = MicroManager.open(java(doomed_bridge.port))
        assert Camera(again, CAMERA).snap().shape == (512, 512)
        again.close()


def test_a_server_that_dies_in_a_sequence_is_an_error(doomed_bridge: JavaBridge) -> None:
    micromanager = MicroManager.open(java(doomed_bridge.port), patience_s=0.2)
    camera = Camera(micromanager, CAMERA)
    camera.start_sequence(1000)
    assert camera.next_frame(5.0).shape == (512, 512)
    doomed_bridge.kill()
    with pytest.raises(MicroManagerError, match="does not answer"):
        for _ in range(1000):
            camera.next_frame(5.0)
    camera.close()
    micromanager.close()


def test_no_server_tells_the_option_to_tick() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(MicroManagerError, match=f"port {port}") as caught:
        MicroManager.open(java(port))
    assert "Run server on port" in caught.value.remedy


SOMETHING_ELSE = """
import socket
from acquisition import micromanager
from acquisition.profile_camera import MicroManagerSettings
micromanager._CONNECT_TIMEOUT_S = 0.3
with socket.create_server(("127.0.0.1", 0)) as mute:
    try:
        micromanager.MicroManager.open(MicroManagerSettings(backend="java", port=mute.getsockname()[1]))
    except micromanager.MicroManagerError as error:
        print(error)
"""


def test_a_port_on_which_something_else_listens_is_told_too() -> None:
    # On its own: the bridge leaves a tripping thread behind.
    run = subprocess.run(
        [sys.executable, "-c", SOMETHING_ELSE],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert "No Micro-Manager answers" in run.stdout
    assert run.returncode == 0


KILLED = """
from acquisition.camera import Camera
from acquisition.micromanager import MicroManager
from tests.acquisition.java_bridge import JavaBridge
from tests.acquisition.test_micromanager import CAMERA, java
with JavaBridge() as bridge:
    micromanager = MicroManager.open(java(bridge.port), patience_s=0.2)
    camera = Camera(micromanager, CAMERA)
    bridge.kill()
    try:
        camera.snap()
    except Exception as error:
        print(error)
    if {close}:
        micromanager.close()
"""


@pytest.mark.parametrize("close", [True, False])
def test_the_program_ends_although_the_server_has_died(close: bool) -> None:
    run = subprocess.run(
        [sys.executable, "-c", KILLED.format(close=close)],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert "does not answer" in run.stdout
    assert run.returncode == 0
    assert "Traceback" not in run.stderr
