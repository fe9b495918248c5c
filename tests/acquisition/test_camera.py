"""The camera, over a core in this program and over Micro-Manager's server: the same tests for both."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from acquisition.camera import Camera, CameraError
from acquisition.micromanager import MicroManager, MicroManagerError
from acquisition.profile_camera import CameraSettings, ExposureLimits, MicroManagerSettings, TriggerSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

TRIGGER = TriggerSettings(external={"TriggerDevice": "board"}, internal={"TriggerDevice": ""})


def settings(**changes: Any) -> CameraSettings:
    values: dict[str, Any] = {
        "pixel_um": 6.5,
        "bit_depth": 16,
        "offset_counts": 0.0,
        "pixel_type": "16bit",
        "exposure_ms": ExposureLimits(min=1.0, max=9000.0, default=5.0),
        "properties": {"FastImage": "1", "OnCameraCCDXSize": "96", "OnCameraCCDYSize": "64"},
        "trigger": TRIGGER,
    }
    return CameraSettings(**{**values, **changes})


@pytest.fixture
def micromanager(backend: MicroManagerSettings) -> Iterator[MicroManager]:
    opened = MicroManager.open(backend)
    yield opened
    opened.close()


@pytest.fixture
def camera(micromanager: MicroManager) -> Iterator[Camera]:
    opened = Camera(micromanager, settings())
    yield opened
    opened.close()


def of_camera(micromanager: MicroManager, name: str) -> str:
    return micromanager.call(lambda: str(micromanager.core.get_property("Camera", name)))


def wait_until_ended(micromanager: MicroManager) -> None:
    end = time.monotonic() + 20
    while micromanager.call(micromanager.core.is_sequence_running):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


# --- settings and single frames ---------------------------------------------------------------------------------------


def test_snaps_with_the_settings_of_the_profile(camera: Camera) -> None:
    image = camera.snap()
    assert image.shape == camera.image_shape == (64, 96)
    assert image.dtype == np.uint16
    assert camera.warnings == ()
    assert camera.exposure_ms == 5.0
    assert camera.set_exposure_ms(20.0) == camera.exposure_ms == 20.0
    started = time.perf_counter()
    camera.snap()
    assert time.perf_counter() - started > 0.018
    for wrong in (-1.0, 0.0, 10000.0, float("nan")):
        with pytest.raises(CameraError, match="outside 1 to 9000 ms"):
            camera.set_exposure_ms(wrong)
    assert camera.exposure_ms == 20.0


def test_both_ways_give_the_same_image(java_port: int) -> None:
    images = []
    painted = {**settings().properties, "FastImage": "0", "Mode": "Color Test Pattern"}
    for backend in (MicroManagerSettings(buffer_mb=16), MicroManagerSettings(backend="java", port=java_port)):
        micromanager = MicroManager.open(backend)
        camera = Camera(micromanager, settings(properties=painted, roi=(16, 32, 48, 24)))
        images.append(camera.snap())
        micromanager.close()
    assert images[0].shape == (24, 48)
    np.testing.assert_array_equal(*images)


def test_region_gain_binning_and_eight_bits(micromanager: MicroManager) -> None:
    camera = Camera(
        micromanager, settings(roi=(4, 8, 32, 16), gain=3, binning=2, pixel_type="8bit", bit_depth=8)
    )
    assert camera.snap().shape == (16, 32)
    assert camera.snap().dtype == np.uint16
    assert camera.snap().max() < 256
    assert of_camera(micromanager, "Gain") == "3"
    assert of_camera(micromanager, "Binning") == "2"
    camera.start_sequence(1)
    assert camera.next_frame(5.0).max() < 256
    camera.close()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"device": "Andor"}, "Andor"),
        ({"properties": {"Gian": "3"}}, "no property 'Gian'"),
        ({"properties": {"Mode": "Cats"}}, "Mode"),
        ({"trigger": TriggerSettings(external={"Wait": "1"}, internal={"Wait": "0"})}, "no property 'Wait'"),
        ({"roi": (500, 500, 100, 100)}, "roi"),
        ({"pixel_type": "32bitRGB"}, "bytes a pixel"),
        ({"pixel_type": "8bit"}, "8 bits a pixel"),
        ({"binning": 3}, "Binning"),
        ({"gain": 700.0}, "Gain"),
    ],
)
def test_what_would_spoil_the_images_is_an_error(
    micromanager: MicroManager, changes: dict[str, Any], text: str
) -> None:
    with pytest.raises(MicroManagerError, match=text) as caught:
        Camera(micromanager, settings(**changes))
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"gain": 3.7}, "Gain"),
        ({"exposure_ms": ExposureLimits(min=1.0, max=90000.0, default=20000.0)}, "asked for 20000 ms"),
        ({"bit_depth": 12}, "16 bits"),
        ({"properties": {"OnCameraCCDXSize": "96", "TestProperty1": "0.05"}}, ""),
    ],
)
def test_what_does_not_stick_is_a_warning(micromanager: MicroManager, changes: dict[str, Any], text: str) -> None:
    camera = Camera(micromanager, settings(**changes))
    assert [warning for warning in camera.warnings if text in warning] or not text
    assert camera.snap().shape[1] == 96 if "exposure_ms" not in changes else camera.exposure_ms != 20000.0


def test_a_binning_that_does_not_stick_is_an_error(
    micromanager: MicroManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_property = micromanager.core.set_property
    monkeypatch.setattr(
        micromanager.core, "set_property",
        lambda device, name, value: None if name == "Binning" else set_property(device, name, value), raising=False,
    )  # fmt: skip
    with pytest.raises(CameraError, match=r"instead of camera\.binning = 2"):
        Camera(micromanager, settings(binning=2))


def test_a_camera_without_gain_is_a_warning(micromanager: MicroManager, monkeypatch: pytest.MonkeyPatch) -> None:
    has_property = micromanager.core.has_property
    monkeypatch.setattr(
        micromanager.core, "has_property", lambda device, name: name != "Gain" and has_property(device, name),
        raising=False,
    )  # fmt: skip
    assert "no property Gain" in Camera(micromanager, settings(gain=2.0)).warnings[0]


def test_a_camera_that_runs_live_is_stopped(micromanager: MicroManager) -> None:
    micromanager.call(lambda: micromanager.core.start_sequence_acquisition(100000, 0.0, True))
    camera = Camera(micromanager, settings())
    assert "was stopped" in camera.warnings[0]
    assert camera.snap().shape == (64, 96)


def test_a_size_changed_behind_our_back_is_told(micromanager: MicroManager, camera: Camera) -> None:
    micromanager.call(lambda: micromanager.core.set_property("Camera", "Binning", "2"))
    with pytest.raises(CameraError, match="instead of"):
        camera.snap()


# --- sequences --------------------------------------------------------------------------------------------------------


def test_a_sequence_gives_every_frame_and_leaves_the_camera_as_it_was(camera: Camera) -> None:
    camera.set_exposure_ms(2.0)
    for _ in range(2):
        camera.start_sequence(25)
        assert camera.in_sequence
        for refused in (camera.snap, lambda: camera.set_exposure_ms(5.0), lambda: camera.start_sequence(3)):
            with pytest.raises(CameraError, match="taking a sequence"):
                refused()
        frames = [camera.next_frame(5.0) for _ in range(25)]
        assert {frame.shape for frame in frames} == {(64, 96)}
        assert {frame.dtype for frame in frames} == {np.dtype(np.uint16)}
        assert len({frame.ctypes.data for frame in frames}) == 25  # nobody writes into a frame handed out
        with pytest.raises(CameraError, match="All 25 of 25"):
            camera.next_frame(5.0)
        assert camera.stop_sequence() == 0
        assert camera.stop_sequence() == 0
        assert not camera.in_sequence
    assert camera.snap().shape == (64, 96)
    with pytest.raises(CameraError, match="takes no sequence"):
        camera.next_frame(0.1)


def test_stopping_tells_how_many_frames_were_not_fetched(micromanager: MicroManager, camera: Camera) -> None:
    camera.set_exposure_ms(1.0)
    camera.start_sequence(20)
    camera.next_frame(5.0)
    wait_until_ended(micromanager)
    camera.next_frame(5.0)
    assert camera.stop_sequence() == 18
    camera.start_sequence(3)
    assert [camera.next_frame(5.0).shape for _ in range(3)] == [(64, 96)] * 3  # none of before
    assert camera.stop_sequence() == 0


def test_a_late_frame_is_told_and_may_still_come(camera: Camera) -> None:
    camera.set_exposure_ms(300.0)
    camera.start_sequence(2)
    with pytest.raises(CameraError, match=r"no frame within 0\.01 s: 0 of 2 came"):
        camera.next_frame(0.01)
    assert camera.next_frame(10.0).shape == (64, 96)
    camera.stop_sequence()


def test_an_overflow_is_told_after_the_frames_before_it(micromanager: MicroManager) -> None:
    properties = {"FastImage": "1", "OnCameraCCDXSize": "1024", "OnCameraCCDYSize": "1024"}
    camera = Camera(micromanager, settings(properties=properties))
    assert camera.buffer_frames() == 8
    camera.set_exposure_ms(1.0)
    camera.start_sequence(50)
    wait_until_ended(micromanager)
    for _ in range(8):
        camera.next_frame(5.0)
    with pytest.raises(CameraError, match=r"overflowed: 8 of 50 frames came\. It holds 8 frames") as caught:
        camera.next_frame(5.0)
    assert "buffer_mb" in caught.value.remedy
    assert camera.stop_sequence() == 0
    assert camera.snap().shape == (1024, 1024)


def test_a_buffer_that_is_too_small_is_told_before_the_start(micromanager: MicroManager) -> None:
    properties = {"FastImage": "1", "OnCameraCCDXSize": "2800", "OnCameraCCDYSize": "2800"}
    camera = Camera(micromanager, settings(properties=properties))
    with pytest.raises(CameraError, match="16 MB is too small for frames of 15 MB") as caught:
        camera.start_sequence(5)
    assert "240" in caught.value.remedy
    assert not camera.in_sequence


def test_a_camera_that_ends_early_is_told(micromanager: MicroManager, camera: Camera) -> None:
    camera.start_sequence(1000)
    camera.next_frame(5.0)
    micromanager.call(micromanager.core.stop_sequence_acquisition)
    with pytest.raises(CameraError, match=r"ended its sequence early: \d+ of 1000"):
        for _ in range(1000):
            camera.next_frame(5.0)
    assert camera.stop_sequence() == 0


def test_a_sequence_can_be_stopped_while_somebody_waits(micromanager: MicroManager, camera: Camera) -> None:
    micromanager.patience_s = 0.3  # less than the exposure, which the camera ends first
    camera.set_exposure_ms(1000.0)
    camera.start_sequence(2)
    stopping = threading.Timer(0.1, camera.stop_sequence)
    stopping.start()
    with pytest.raises(CameraError, match="was stopped"):
        camera.next_frame(60.0)
    stopping.join()


def test_the_trigger_is_external_for_the_sequence_alone(micromanager: MicroManager, camera: Camera) -> None:
    assert camera.has_external_trigger
    camera.start_sequence(3, external_trigger=True)
    assert of_camera(micromanager, "TriggerDevice") == "board"
    camera.stop_sequence()
    assert of_camera(micromanager, "TriggerDevice") == ""
    camera.start_sequence(3)
    assert of_camera(micromanager, "TriggerDevice") == ""
    camera.stop_sequence()


def test_a_trigger_that_does_not_stick_is_an_error(micromanager: MicroManager) -> None:
    trigger = TriggerSettings(external={"Gain": "2.5"}, internal={"Gain": "1"})
    camera = Camera(micromanager, settings(trigger=trigger))
    with pytest.raises(CameraError, match="would not wait for the LED board"):
        camera.start_sequence(3, external_trigger=True)
    assert of_camera(micromanager, "Gain") == "1"
    assert not camera.in_sequence


def test_no_trigger_in_the_profile_is_told(micromanager: MicroManager) -> None:
    camera = Camera(micromanager, settings(trigger=TriggerSettings(exposure_out=True)))
    assert camera.exposure_out
    assert not camera.has_external_trigger
    with pytest.raises(CameraError, match="profile does not say") as caught:
        camera.start_sequence(3, external_trigger=True)
    assert "camera.trigger.external" in caught.value.remedy
    with pytest.raises(CameraError, match="0 frames"):
        camera.start_sequence(0)


def test_closing_ends_a_sequence(micromanager: MicroManager, camera: Camera) -> None:
    camera.start_sequence(100000)
    camera.close()
    camera.close()
    assert not micromanager.call(micromanager.core.is_sequence_running)
