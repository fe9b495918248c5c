"""The check of an instrument: every fault of the emulated board gets its row, and a good instrument gets none."""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acquisition.check_geometry import check_pose, compare_positions
from acquisition.check_instrument import check_instrument, close_checked, open_checked
from acquisition.check_leds import LedImages, judge_exposure, judge_lighting
from acquisition.finding import Finding, Level
from acquisition.header import optics_of
from acquisition.instrument import Instrument, open_instrument
from acquisition.led_array.protocol import LedArrayError
from acquisition.profile import Profile, parse_profile
from acquisition.simulated.board import BoardFault
from acquisition.simulated.light import Light

if TYPE_CHECKING:
    from collections.abc import Iterator

TRIGGERED = """
[camera.trigger]
exposure_out = true
external = { TriggerDevice = "LED board" }
internal = { TriggerDevice = "" }
[micromanager]"""


@contextmanager
def opened(profile: Profile, findings: list[Finding]) -> Iterator[Instrument | None]:
    instrument = open_checked(profile, findings.append)
    try:
        yield instrument
    finally:
        if instrument is not None:
            close_checked(instrument, findings.append)


def found_by(instrument: Instrument, **options: bool) -> dict[str, Finding]:
    """Findings of a check by their names; the LEDs are off after it."""
    findings: list[Finding] = []
    check_instrument(instrument, findings.append, **options)
    assert instrument.simulated is not None
    if instrument.simulated.board.brightness().any():
        assert any(finding.level is Level.ERROR for finding in findings)
    return {finding.name: finding for finding in findings}


def errors(found: dict[str, Finding]) -> list[str]:
    return [name for name, finding in found.items() if finding.level is Level.ERROR]


def with_changes(profile: Profile, *changes: tuple[str, str]) -> Profile:
    text = profile.toml_text
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return parse_profile(text, "changed.toml")


def test_a_good_instrument_has_no_errors(small_profile: Profile) -> None:
    findings: list[Finding] = []
    with opened(small_profile, findings) as instrument:
        assert instrument is not None
        assert instrument.simulated is not None
        board = instrument.simulated.board
        check_instrument(instrument, findings.append)
    assert not board.brightness().any()
    assert not [finding for finding in findings if finding.level is Level.ERROR]
    text = {finding.name: finding.text for finding in findings}
    assert "illuminate 2.32" in text["LED board"]
    assert text["LEDs that light"] == "all of 12 LEDs"
    assert "stored sequences" in text["Board"]
    assert text["Trigger"] == "by software"
    assert "all 12 LEDs" in text["Positions"]


def test_dead_leds_are_named(instrument: Instrument) -> None:
    assert instrument.simulated is not None
    instrument.simulated.board.miswire(dead=(2, 7))
    found = found_by(instrument)
    assert errors(found) == ["LEDs that light"]
    assert "LEDs 2, 7 do not light" in found["LEDs that light"].text
    assert "solder" in found["LEDs that light"].remedy


def test_a_board_without_any_light(instrument: Instrument) -> None:
    assert instrument.simulated is not None
    instrument.simulated.board.miswire(dead=range(12))
    found = found_by(instrument)
    assert errors(found) == ["LEDs that light"]
    assert "none of 12 LEDs" in found["LEDs that light"].text
    assert "Geometry" not in found


def test_leds_swapped_across_the_pupil_are_named(small_profile: Profile) -> None:
    """NA 0.15: the outer LEDs are in dark field, LED 5 in the middle is bright."""
    profile = with_changes(
        small_profile,
        ("na = 0.4", "na = 0.15"),
        ('kind = "brightfield"', 'kind = "annular"\nna_max = 0.9'),
        ("[simulation]", "[simulation]\nswapped_leds = [[0, 5]]"),
    )
    instrument = open_instrument(profile)
    try:
        found = found_by(instrument)
    finally:
        instrument.close()
    assert "Bright and dark field" in errors(found)
    assert "LED 0 bright" in found["Bright and dark field"].text
    assert "LED 5 dark" in found["Bright and dark field"].text


@pytest.mark.parametrize(
    ("fault", "after", "row", "said"),
    [
        (BoardFault.ERROR, 9, "LEDs", "power source"),
        (BoardFault.SILENCE, 9, "LEDs", ""),
        (BoardFault.GARBAGE, 9, "LEDs", ""),
        (BoardFault.UNPLUG, 9, "LEDs", ""),
        (BoardFault.ONE_BEHIND, 0, "Switching", "still there"),
    ],
)
def test_faults_of_the_board_have_their_row(
    instrument: Instrument, fault: BoardFault, after: int, row: str, said: str
) -> None:
    assert instrument.simulated is not None
    instrument.simulated.board.inject(fault, after)
    found = found_by(instrument)
    assert row in errors(found)
    assert said in found[row].text
    assert found[row].remedy
    instrument.simulated.board.inject(None)


def test_a_board_that_cannot_be_opened_is_an_error_with_remedy(small_profile: Profile) -> None:
    profile = small_profile.model_copy(
        update={
            "simulation": None,
            "led_board": small_profile.led_board.model_copy(update={"port": "/dev/no-such-board"}),
        }
    )
    findings: list[Finding] = []
    with opened(profile, findings) as instrument:
        assert instrument is None
    (finding,) = findings
    assert (finding.name, finding.level) == ("LED board", Level.ERROR)
    assert "/dev/no-such-board" in finding.text
    assert finding.remedy


def test_a_bad_pixel_size_is_a_warning(small_profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("acquisition.camera.Camera.pixel_size_um", lambda camera: 0.5)
    findings: list[Finding] = []
    with opened(small_profile, findings):
        pass
    (pixel,) = [finding for finding in findings if finding.name == "Pixel size"]
    assert pixel.level is Level.WARNING
    assert "magnification" in pixel.remedy


def test_leds_that_may_still_be_on_are_an_error(small_profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    findings: list[Finding] = []
    with opened(small_profile, findings) as instrument:
        assert instrument is not None

        def refuse() -> None:
            raise LedArrayError("board silent", "unplug it")

        monkeypatch.setattr(instrument.leds, "off", refuse)
    assert findings[-1].name == "LEDs off"
    assert findings[-1].level is Level.ERROR
    assert findings[-1].remedy == "unplug it"


# --- triggers -------------------------------------------------------------------------------------------------------


@pytest.fixture
def wired(small_profile: Profile) -> Iterator[Instrument]:
    opened = open_instrument(with_changes(small_profile, ("[micromanager]", TRIGGERED)))
    yield opened
    opened.close()


def test_every_way_to_trigger_is_tried_where_it_is_wired(wired: Instrument) -> None:
    found = found_by(wired)
    assert not errors(found)
    for way in ("camera leads", "board leads", "handshake"):
        assert "8 frames in step" in found[f"Trigger: {way}"].text


def test_a_lost_trigger_is_found(wired: Instrument) -> None:
    assert wired.simulated is not None
    wired.simulated.board.inject(BoardFault.LOST_TRIGGER, 12 + 4 + 1 + 3)  # single frames, too, trigger the board
    found = found_by(wired)
    assert errors(found) == ["Trigger: camera leads"]
    assert found["Trigger: camera leads"].remedy


# --- what is judged from images -------------------------------------------------------------------------------------

NA_L2 = np.stack([np.linspace(0.0, 0.9, 19), np.zeros(19)], axis=1)


def seen_as(light: np.ndarray, peak: float = 1000.0, saturated: float = 0.0) -> LedImages:
    """Images of all LEDs of `NA_L2`, with so much light."""
    rng = np.random.default_rng(0)
    count = len(light)
    return LedImages(
        np.arange(count), np.full(count, 10.0), rng.normal(500, 30, (count, 16, 16)).astype(np.float32), light,
        np.full(count, 1.0), np.full(count, peak), np.full(count, saturated), 0.0,
    )  # fmt: skip


def levels(findings: list[Finding]) -> dict[str, Level]:
    return {finding.name: finding.level for finding in findings}


def test_light_is_judged_among_leds_at_the_same_angle() -> None:
    """A board that gets dimmer towards its edge is a good one; one that is suddenly dim there is not."""
    light = np.where(NA_L2[:, 0] < 0.7, 500 * (1 - NA_L2[:, 0] ** 2) ** 2, 8.0)
    assert set(levels(judge_lighting(seen_as(light), NA_L2, 0.7)).values()) == {Level.OK}
    light[4] *= 0.4
    found = judge_lighting(seen_as(light), NA_L2, 0.7)
    assert levels(found)["Brightness"] is Level.WARNING
    assert "LED 4 " in next(finding.text for finding in found if finding.name == "Brightness")


def test_leds_on_the_wrong_side_of_the_pupils_edge_are_found() -> None:
    light = np.where(NA_L2[:, 0] < 0.7, 500.0, 8.0)
    light[[3, 17]] = light[[17, 3]]
    found = judge_lighting(seen_as(light), NA_L2, 0.7)
    assert levels(found)["Bright and dark field"] is Level.ERROR
    assert levels(found)["LEDs that light"] is Level.OK


def test_an_empty_field_tells_nothing_of_dark_field() -> None:
    light = np.where(NA_L2[:, 0] < 0.7, 500.0, 0.1)
    found = levels(judge_lighting(seen_as(light), NA_L2, 0.7))
    assert found["Dark field"] is Level.WARNING
    assert found["LEDs that light"] is Level.OK


@pytest.mark.parametrize(
    ("peak", "saturated", "light", "level", "said"),
    [
        (4095, 0.5, 3000.0, Level.ERROR, "saturated"),
        (4095, 0.005, 2000.0, Level.WARNING, "saturated"),
        (60, 0.0, 20.0, Level.WARNING, "Expose longer"),
        (2000, 0.0, 500.0, Level.OK, ""),
        (30000, 0.0, 1e6, Level.ERROR, "quieter"),
    ],
)
def test_exposure(
    small_profile: Profile, peak: float, saturated: float, light: float, level: Level, said: str
) -> None:
    finding = judge_exposure(seen_as(np.full(19, light), peak, saturated), NA_L2, optics_of(small_profile))
    assert finding.level is level
    assert said in finding.text + finding.remedy


def test_images_without_detail_are_not_trusted(small_profile: Profile) -> None:
    position = np.column_stack([-NA_L2 * 60, np.full(19, 60.0)])
    findings = check_pose(seen_as(np.full(19, 500.0)), position, NA_L2 * 0.3, optics_of(small_profile))
    assert levels(findings) == {"Geometry": Level.WARNING}
    assert "fine detail" in findings[0].remedy


# --- the board's own list -------------------------------------------------------------------------------------------

GRID_L3 = np.column_stack([np.indices((4, 5)).reshape(2, -1).T * 4.0, np.full(20, 60.0)])


@settings(max_examples=40, deadline=None)
@given(
    angle=st.floats(-math.pi, math.pi), mirror=st.booleans(), scale=st.floats(0.5, 2.0), dx=st.floats(-50, 50)
)
def test_a_board_with_other_axes_is_the_same_board(angle: float, mirror: bool, scale: float, dx: float) -> None:
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    listed = GRID_L3.copy()
    listed[:, :2] = (GRID_L3[:, :2] * [1 - 2 * mirror, 1]) @ turn.T * scale + dx
    finding = compare_positions(GRID_L3, listed)
    assert finding.level is not Level.ERROR
    assert ("mirrored" in finding.text) == mirror


def test_other_numbers_are_another_board() -> None:
    serpentine = GRID_L3.reshape(4, 5, 3).copy()
    serpentine[1::2] = serpentine[1::2, ::-1]
    finding = compare_positions(GRID_L3, serpentine.reshape(-1, 3))
    assert finding.level is Level.ERROR
    assert "10" not in finding.remedy
    assert "numbering" in finding.remedy
    assert compare_positions(GRID_L3, GRID_L3[:7]).level is Level.ERROR
    assert compare_positions(GRID_L3[:1], GRID_L3).level is Level.OK
    assert compare_positions(GRID_L3, GRID_L3).level is Level.OK


# --- faults of the emulated board -----------------------------------------------------------------------------------


def test_a_miswired_board_lights_otherwise() -> None:
    light = Light(4)
    light.miswire(dead=(3,), swapped=((0, 1),))
    light.show(np.array([1, 0, 0.5, 1], np.float32), 1.0)
    assert light.now().tolist() == [0, 1, 0.5, 0]


def test_leds_that_the_simulated_board_has_not_are_told(small_profile: Profile) -> None:
    findings: list[Finding] = []
    profile = with_changes(small_profile, ("[simulation]", "[simulation]\ndead_leds = [12]"))
    with opened(profile, findings) as instrument:
        assert instrument is None
    assert "no LED 12" in findings[-1].text
    assert replace(findings[-1], remedy="").level is Level.ERROR
