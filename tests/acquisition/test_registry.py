"""Drivers by name: built in, or from an installed package."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from acquisition.instrument import open_instrument
from acquisition.led_array.protocol import LedArrayError
from acquisition.led_array.registry import BUILT_IN, known_protocols, open_board
from acquisition.profile import Profile, ProfileError, parse_profile
from acquisition.simulated.board import EmulatedBoard
from acquisition.simulated.illuminate_board import IlluminateFirmware
from acquisition.simulated.transport import EmulatedPort

if TYPE_CHECKING:
    from pathlib import Path

DRIVER = """
from acquisition.led_array.illuminate import IlluminateBoard

opened = []


def make(settings, port):
    opened.append((settings.options, port))
    return IlluminateBoard(port, settings.baud, settings.brightness)
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package that brings a driver, and another one that is broken."""
    (tmp_path / "my_led_board.py").write_text(DRIVER)
    about = tmp_path / "my_led_board-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: my-led-board\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        "[fieldscope.led_array]\nmine = my_led_board:make\nbroken = no_such_module:make\nuc2 = no_such_module:make\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))


def with_protocol(profile: Profile, protocol: str, more: str = "", port: str = "simulated") -> Profile:
    text = profile.toml_text.replace('port = "simulated"', f'protocol = "{protocol}"\nport = "{port}"')
    if port != "simulated":
        text = text[: text.index("[simulation]")]
    return parse_profile(text.replace("[led_board.geometry]", f"{more}\n[led_board.geometry]"), "small.toml")


def test_built_in_ones_are_known() -> None:
    assert known_protocols()[:3] == list(BUILT_IN) == ["illuminate", "template", "uc2"]


@pytest.mark.usefixtures("package")
def test_driver_of_a_package(small_profile: Profile) -> None:
    import my_led_board  # type: ignore[import-not-found]

    assert known_protocols() == ["illuminate", "template", "uc2", "broken", "mine"]
    board = EmulatedBoard(IlluminateFirmware([[0, 0, 60.0]] * 12))
    port = EmulatedPort(board)
    profile = with_protocol(small_profile, "mine", '[led_board.options]\nspeed = "fast"', port.port)
    leds = open_board(profile.led_board, port.port)
    assert leds.identify().led_count == 12
    assert my_led_board.opened == [({"speed": "fast"}, port.port)]
    leds.close()
    port.close()


@pytest.mark.usefixtures("package")
def test_driver_that_cannot_be_loaded(small_profile: Profile) -> None:
    profile = with_protocol(small_profile, "broken")
    with pytest.raises(LedArrayError, match=r"'broken'.* cannot be loaded.*no_such_module") as caught:
        open_board(profile.led_board, "COM3")
    assert "package" in caught.value.remedy


@pytest.mark.usefixtures("package")
def test_unknown_protocol_lists_all_that_are_known(small_profile: Profile) -> None:
    with pytest.raises(ProfileError, match="'illuminate', 'template', 'uc2', 'broken', 'mine'") as caught:
        with_protocol(small_profile, "mime")
    assert "did you mean 'mine'?" in caught.value.message


def test_driver_that_is_no_longer_installed(small_profile: Profile) -> None:
    gone = small_profile.led_board.model_copy(update={"protocol": "mine"})
    with pytest.raises(LedArrayError, match="known are illuminate, template, uc2") as caught:
        open_board(gone, "COM3")
    assert "install" in caught.value.remedy


TEMPLATE = '[led_board.template]\non = "{index},{r},{g},{b}"\nclear = "clear"\nopening_delay_s = 0.0'


@pytest.mark.parametrize(("protocol", "more"), [("illuminate", ""), ("template", TEMPLATE), ("uc2", "")])
def test_instrument_opens_each_protocol(protocol: str, more: str, small_profile: Profile) -> None:
    checks: list[tuple[str, bool, str]] = []
    instrument = open_instrument(with_protocol(small_profile, protocol, more), lambda *check: checks.append(check))
    try:
        assert protocol in checks[0][2]
        dark = instrument.camera.snap().mean()
        instrument.leds.show(instrument.led_na_l2[:, 0] == instrument.led_na_l2[5, 0])
    except LedArrayError:  # of those that light one LED or all
        assert protocol == "uc2"
        instrument.leds.show((instrument.led_na_l2[:, 0] < 9).astype("float32"))
    try:
        assert instrument.camera.snap().mean() > dark + 100
    finally:
        instrument.close()
    assert instrument.simulated is not None
    assert not instrument.simulated.board.brightness().any()
