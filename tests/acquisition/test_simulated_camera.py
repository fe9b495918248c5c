"""Sequences of the simulated microscope: what the LEDs lit during a frame's own exposure decides its pixels."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from acquisition.camera import CameraError
from acquisition.instrument import Instrument, open_instrument
from acquisition.profile import Profile, parse_profile
from acquisition.simulated.microscope import SimulatedMicroscope

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_NOISE_COUNTS = 40.0
LEDS = [5, 6, 1, 5, 11, 0]
WIRED = """
[camera.trigger]
exposure_out = true
external = { TriggerDevice = "LED board" }
internal = { TriggerDevice = "" }
"""


@pytest.fixture
def wired_profile(small_profile: Profile) -> Profile:
    # Less light, for longer exposures: the thread that switches the LEDs here is not a clock.
    text = small_profile.toml_text.replace("[micromanager]", f"{WIRED}\n[micromanager]")
    return parse_profile(text.replace("electrons = 8000.0", "electrons = 600.0"), "wired.toml")


@pytest.fixture
def wired(wired_profile: Profile) -> Iterator[Instrument]:
    opened = open_instrument(wired_profile)
    yield opened
    opened.close()


def lit(instrument: Instrument, led: int | None) -> None:
    """Light one LED of the board, without the serial line."""
    assert instrument.simulated is not None
    instrument.simulated.board.feed(b"x\n" if led is None else f"l.{led}\n".encode())


def expected(instrument: Instrument, led: int) -> NDArray[np.uint16]:
    """What this LED alone shows."""
    assert instrument.simulated is not None
    light_l = np.zeros(12, np.float32)
    light_l[led] = instrument.simulated.board.brightness().max() * instrument.simulated.led_gain_l[led]
    return instrument.simulated.counts(light_l, instrument.camera.exposure_ms / 1000)


def shown(instrument: Instrument, image: NDArray[np.uint16]) -> int:
    """Which LED's image this is: the one that it differs least from, and within the noise."""
    errors = [np.std(image.astype(np.float64) - expected(instrument, led)) for led in range(12)]
    nearest = int(np.argmin(errors))
    return nearest if errors[nearest] < _NOISE_COUNTS else -1


class Led:
    """A board that steps through a list, as one with a stored sequence does."""

    def __init__(self, instrument: Instrument, leds: list[int]) -> None:
        self.instrument = instrument
        self.leds = iter(leds)

    def step(self) -> None:
        lit(self.instrument, next(self.leds, None))


def test_the_check_for_an_image_tells_leds_apart(wired: Instrument) -> None:
    assert wired.simulated is not None
    wired.camera.set_exposure_ms(30.0)
    for led in range(12):
        lit(wired, led)
        assert shown(wired, wired.camera.snap()) == led
    wired.simulated.board.feed(b"l.5.6\n")
    assert shown(wired, wired.camera.snap()) == -1


def test_opening_tells_the_triggers(wired_profile: Profile) -> None:
    checks: dict[str, tuple[bool, str]] = {}
    open_instrument(wired_profile, lambda name, ok, text: checks.update({name: (ok, text)})).close()
    ok, text = checks["Trigger"]
    assert ok
    assert "exposure output to the LED board, waits for the LED board's pulses" in text
    assert "the buffer holds" in text


def test_the_board_leads(wired: Instrument) -> None:
    camera, board = wired.camera, Led(wired, LEDS)
    assert wired.simulated is not None
    pulse = wired.simulated.board.on_trigger_out  # type: ignore[attr-defined]
    camera.set_exposure_ms(30.0)
    camera.start_sequence(len(LEDS), external_trigger=True)
    with pytest.raises(CameraError, match="no frame within") as caught:
        camera.next_frame(0.1)
    assert "trigger" in caught.value.remedy
    for led in LEDS:
        board.step()
        pulse(time.perf_counter())
        assert shown(wired, camera.next_frame(10.0)) == led
    assert camera.stop_sequence() == 0
    assert camera.snap().shape == (64, 64)


def test_a_pulse_during_an_exposure_is_lost(wired: Instrument) -> None:
    camera = wired.camera
    assert wired.simulated is not None
    pulse = wired.simulated.board.on_trigger_out  # type: ignore[attr-defined]
    camera.set_exposure_ms(50.0)
    camera.start_sequence(5, external_trigger=True)
    now = time.perf_counter()
    for time_s in (now, now + 0.03, now + 0.06):
        pulse(time_s)
    camera.next_frame(10.0)
    camera.next_frame(10.0)
    with pytest.raises(CameraError, match="2 of 5"):
        camera.next_frame(0.1)
    assert camera.stop_sequence() == 0


def test_the_camera_leads(wired_profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[float] = []
    board: list[Led] = []

    def trigger(exposure_s: float) -> None:
        steps.append(exposure_s)
        board[0].step()

    def install(self: Any, core: Any, camera: str) -> None:
        self.board.trigger = trigger
        original(self, core, camera)

    original = SimulatedMicroscope.install
    monkeypatch.setattr(SimulatedMicroscope, "install", install)
    instrument = open_instrument(wired_profile)
    try:
        board.append(Led(instrument, LEDS))
        camera = instrument.camera
        camera.set_exposure_ms(30.0)
        camera.start_sequence(len(LEDS))
        frames = [camera.next_frame(10.0) for _ in LEDS]
        assert camera.stop_sequence() == 0
        lit(instrument, 5)  # so that the board knows its brightness again
        assert [shown(instrument, frame) for frame in frames] == LEDS
        assert steps == [0.03] * len(LEDS)
    finally:
        instrument.close()


def test_the_buffer_of_the_simulated_camera_overflows_too(instrument: Instrument) -> None:
    camera = instrument.camera
    capacity = camera.buffer_frames()
    camera.set_exposure_ms(0.5)
    camera.start_sequence(capacity + 100)
    end = time.monotonic() + 60
    core = instrument._micromanager.core
    while core.is_sequence_running():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
    assert core.is_buffer_overflowed()
    camera.next_frame(5.0)
    assert camera.stop_sequence() >= capacity - 8 - 1


def test_frames_as_tagged_images(wired: Instrument) -> None:
    core = wired._micromanager.core
    lit(wired, 5)
    wired.camera.set_exposure_ms(30.0)
    wired.camera.start_sequence(1)
    while not core.get_remaining_image_count():
        time.sleep(0.001)
    assert shown(wired, core.pop_next_tagged_image().pix) == 5
    wired.camera.stop_sequence()


def test_binning_keeps_the_size_of_the_simulated_image(small_profile: Profile) -> None:
    text = small_profile.toml_text.replace("[camera]", "[camera]\nbinning = 2")
    checks: dict[str, bool] = {}
    instrument = open_instrument(parse_profile(text, "binned.toml"), lambda name, ok, _: checks.update({name: ok}))
    assert instrument.camera.snap().shape == (64, 64)
    instrument.close()
    assert all(checks.values())
