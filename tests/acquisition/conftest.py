"""A small simulated microscope, quick enough to be opened by many tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from acquisition.instrument import Instrument, open_instrument
from acquisition.plan import ExposurePlan, make_plan
from acquisition.profile import Profile, parse_profile
from acquisition.profile_camera import MicroManagerSettings
from tests.acquisition.java_bridge import JavaBridge

if TYPE_CHECKING:
    from collections.abc import Iterator

SMALL = """
name = "small"
title = "Small simulated microscope"
[objective]
magnification = 20.0
na = 0.4
[camera]
pixel_um = 6.5
bit_depth = 12
offset_counts = 100.0
gain_e_per_count = 4.0
pixel_type = "16bit"
exposure_ms = { min = 0.5, max = 500.0, default = 2.0 }
[micromanager]
buffer_mb = 16
[led_board]
port = "simulated"
settle_ms = 1.0
brightness = 200
[led_board.geometry]
kind = "grid"
rows = 3
columns = 4
pitch_mm = 8.0
distance_mm = 60.0
[illumination]
wavelength_um = 0.53
[sample]
medium_index = 1.33
z_um = [-3.0, 3.0]
[plan]
kind = "brightfield"
exposure_ms = 2.0
dark_frames = 2
[simulation]
phantom = "beads"
seed = 3
image_px = 64
electrons = 8000.0
full_well_e = 15000.0
board_shift_mm = [1.0, -0.5]
board_rotation_deg = 2.0
distance_scale = 0.98
"""


@pytest.fixture(scope="session")
def small_profile() -> Profile:
    return parse_profile(SMALL, "small.toml")


@pytest.fixture
def instrument(small_profile: Profile) -> Iterator[Instrument]:
    opened = open_instrument(small_profile)
    yield opened
    opened.close()


@pytest.fixture
def plan(small_profile: Profile, instrument: Instrument) -> ExposurePlan:
    return make_plan(
        small_profile.plan, instrument.led_na_l2, small_profile.objective.na, small_profile.led_board.settle_ms
    )


@pytest.fixture(scope="session")
def java_port() -> Iterator[int]:
    """Port of a server like that of Micro-Manager's Java program."""
    with JavaBridge() as bridge:
        yield bridge.port


@pytest.fixture(params=["python", "java"])
def backend(request: pytest.FixtureRequest) -> MicroManagerSettings:
    """How Micro-Manager is reached: each of the two ways."""
    if request.param == "java":
        return MicroManagerSettings(backend="java", port=request.getfixturevalue("java_port"))
    return MicroManagerSettings(buffer_mb=16)
