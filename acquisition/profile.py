"""Hardware profile: one TOML file describes one microscope.

The models say what may stand in the file: each field carries its unit and limits, and its description is what the
operator reads when the value is wrong. A profile is immutable and describes the instrument, not how to run it.

Coordinates are those of the sample: x along image columns, y along image rows (pointing down), z with the light.
"""

from __future__ import annotations

import logging
import math
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr, Strict, ValidationError, ValidationInfo, field_validator

import hardware_configs
from acquisition.profile_camera import CameraSettings, ExposureLimits, MicroManagerSettings, StageSettings
from acquisition.profile_faults import Fault, ProfileError, broken_rule, faults_of, nearest, syntax_fault
from acquisition.profile_table import PairOfFloats
from acquisition.profile_table import Table as _Table

log = logging.getLogger(__name__)

__all__ = ["Fault", "Profile", "ProfileError", "load_profile", "parse_profile", "shipped_profiles"]

Point = Annotated[tuple[float, float, float], Strict(False)]


class Objective(_Table):
    """The objective and its immersion."""

    magnification: float = Field(gt=0, le=200, description="magnification as it acts on the camera")
    immersion_index: float = Field(default=1.0, ge=1, le=2, description="refractive index before the front lens")
    na: float = Field(gt=0, lt=2, description="numerical aperture, engraved on the objective")

    @field_validator("na")
    @classmethod
    def _below_immersion(cls, na: float, info: ValidationInfo) -> float:
        index = info.data.get("immersion_index", math.inf)
        if na >= index:
            raise broken_rule(
                f"less than immersion_index ({index:g})", "correct na, or set immersion_index (1.33 water, 1.515 oil)"
            )
        return na


class GridGeometry(_Table):
    """A rectangular board; LED 0 is a corner, the numbers run along its row first."""

    kind: Literal["grid"]
    rows: int = Field(ge=1, le=256, description="number of rows, along y")
    columns: int = Field(ge=1, le=256, description="number of columns, along x")
    pitch_mm: float = Field(gt=0, description="distance of neighbouring LEDs, mm")
    distance_mm: float = Field(gt=0, description="distance of the board below the sample, mm")
    first_led: Literal["-x-y", "+x-y", "-x+y", "+x+y"] = Field(
        default="-x-y", description="corner of LED 0: the side in x and in y on which it lies"
    )
    serpentine: bool = Field(default=False, description="every second row runs backwards")
    centre_row: float | None = Field(
        default=None, description="row on the optical axis, counted from LED 0; leave out: the middle of the board"
    )
    centre_column: float | None = Field(
        default=None, description="column on the optical axis, counted from LED 0; leave out: the middle of the board"
    )


class Ring(_Table):
    """LEDs evenly spaced on a circle; the numbers run from +x towards +y."""

    count: int = Field(ge=1, le=4096, description="number of LEDs on the ring")
    radius_mm: float | None = Field(default=None, ge=0, description="radius of the ring, mm (this or na)")
    na: float | None = Field(default=None, ge=0, lt=1, description="illumination NA of the ring (this or radius_mm)")
    start_deg: float = Field(default=0.0, ge=-360, le=360, description="angle of the first LED on the board, degrees")

    @field_validator("na")
    @classmethod
    def _one_size(cls, na: float | None, info: ValidationInfo) -> float | None:
        if na is not None and info.data.get("radius_mm") is not None:
            raise broken_rule("left out, as radius_mm is given", "give the ring either na or radius_mm")
        return na

    def model_post_init(self, context: Any) -> None:
        """Refuse a ring without a size."""
        if self.na is None and self.radius_mm is None:
            raise broken_rule("a table with radius_mm or na", "give the ring its radius_mm, or its illumination na")


class RingGeometry(_Table):
    """One or several concentric rings on a flat board, numbered ring after ring."""

    kind: Literal["ring"]
    distance_mm: float = Field(gt=0, description="distance of the board below the sample, mm")
    rings: Annotated[tuple[Ring, ...], Strict(False)] = Field(min_length=1, description="the rings, in LED order")


class ListGeometry(_Table):
    """Any board: every LED by its position."""

    kind: Literal["list"]
    positions_mm: Annotated[tuple[Point, ...], Strict(False)] = Field(
        min_length=1, description="[x, y, distance below the sample] of each LED, mm"
    )

    @field_validator("positions_mm")
    @classmethod
    def _below_sample(cls, positions: tuple[Point, ...]) -> tuple[Point, ...]:
        wrong = [index for index, point in enumerate(positions) if point[2] <= 0]
        if wrong:
            raise broken_rule(f"a distance below the sample greater than 0 for every LED (not so for LED {wrong[0]})")
        return positions


class BoardGeometry(_Table):
    """The board tells where its LEDs are."""

    kind: Literal["board"]
    distance_mm: float | None = Field(
        default=None, gt=0, description="distance of the lowest LED below the sample, mm; leave out: as the board says"
    )


Geometry = Annotated[GridGeometry | RingGeometry | ListGeometry | BoardGeometry, Field(discriminator="kind")]


class Orientation(_Table):
    """How the board lies under the sample: a board point is mirrored, then rotated, then shifted.

    The data alone cannot tell a board from one turned by 180 degrees: a wrong entry flips the sample in z.
    """

    mirror: Literal["none", "x", "y"] = Field(default="none", description="axis whose sign changes")
    rotation_deg: float = Field(default=0.0, ge=-360, le=360, description="turn from +x towards +y, degrees")
    shift_mm: PairOfFloats = Field(default=(0.0, 0.0), description="[x, y] of the board's origin off the axis, mm")


class LedBoardSettings(_Table):
    """The LED board and its serial port."""

    protocol: Literal["illuminate"] = Field(default="illuminate", description="language of the board's firmware")
    port: str = Field(
        default="auto", min_length=1, description="'auto', a serial device (COM3, /dev/ttyACM0), or 'simulated'"
    )
    baud: int = Field(default=115200, ge=1200, description="speed of the serial port")
    settle_ms: float = Field(default=2.0, ge=0, le=10000, description="wait between lighting and exposing, ms")
    brightness: int = Field(default=255, ge=1, le=255, description="brightness of a lit LED")
    geometry: Geometry = Field(description="table with kind = grid, ring, list or board")
    orientation: Orientation = Field(default=Orientation(), description="table with mirror, rotation_deg and shift_mm")


class Illumination(_Table):
    """The light."""

    wavelength_um: float = Field(gt=0.2, lt=2, description="vacuum wavelength of the LEDs, um")


class SampleSettings(_Table):
    """The sample."""

    medium_index: float = Field(ge=1, lt=2, description="refractive index of what surrounds the sample")
    z_um: PairOfFloats = Field(description="[top, bottom] of where the sample is expected, um from the focal plane")

    @field_validator("z_um")
    @classmethod
    def _has_depth(cls, z_um: tuple[float, float]) -> tuple[float, float]:
        if z_um[0] >= z_um[1]:
            raise broken_rule("first number less than the second")
        return z_um


class PlanSettings(_Table):
    """The exposure plan used when the operator does not choose another one."""

    kind: Literal["brightfield", "ring", "subset"] = Field(
        description="brightfield: every LED inside the objective's NA; ring: na_min to na_max; subset: the list in leds"
    )
    na_min: float = Field(default=0.0, ge=0, lt=2, description="smallest illumination NA of a ring")
    na_max: float | None = Field(default=None, gt=0, lt=2, description="largest illumination NA, needed for kind ring")
    leds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Strict(False)] = Field(
        default=(), description="numbers of the LEDs of a subset"
    )
    every: int = Field(default=1, ge=1, description="take every n-th of the chosen LEDs")
    exposure_ms: float = Field(gt=0, description="exposure of a frame, ms")
    dark_frames: int = Field(default=4, ge=0, le=1000, description="frames without light at the start, averaged")
    repeats: int = Field(default=1, ge=1, le=100000, description="how often the LEDs are gone through")
    order: Literal["spread", "board"] = Field(
        default="spread", description="spread: angles fill evenly from the first frame on; board: as numbered"
    )

    @field_validator("na_max")
    @classmethod
    def _above_na_min(cls, na_max: float | None, info: ValidationInfo) -> float | None:
        if na_max is not None and na_max <= info.data.get("na_min", 0.0):
            raise broken_rule(f"greater than na_min ({info.data['na_min']:g})")
        return na_max

    @field_validator("leds")
    @classmethod
    def _once_each(cls, leds: tuple[int, ...]) -> tuple[int, ...]:
        twice = [led for number, led in enumerate(leds) if led in leds[:number]]
        if twice:
            raise broken_rule(f"each LED once (LED {twice[0]} is listed again)", "use repeats to go through them again")
        return leds

    def model_post_init(self, context: Any) -> None:
        """Refuse a kind without its own settings."""
        if self.kind == "ring" and self.na_max is None:
            raise broken_rule("a table with na_max, as kind is ring", "add na_max")
        if self.kind == "subset" and not self.leds:
            raise broken_rule("a table with leds, as kind is subset", "add leds = [numbers]")


class SimulationSettings(_Table):
    """A simulated microscope; the errors of a real one are put in on purpose and are not told to the reconstruction."""

    phantom: Literal["cells", "beads", "absorbing"] = Field(default="cells", description="the sample")
    seed: int = Field(default=0, ge=0, description="seed of the sample, the LED gains and the noise")
    dn_max: float = Field(default=0.02, gt=0, le=0.2, description="largest index above the medium")
    image_px: int = Field(default=256, ge=32, le=2048, description="side of the square image, pixels")
    electrons: float = Field(default=10000.0, gt=0, description="of the empty field in a pixel, at plan.exposure_ms")
    full_well_e: float = Field(default=30000.0, gt=0, description="electrons at which a pixel saturates")
    read_noise_e: float = Field(default=2.0, ge=0, description="read noise, electrons")
    led_gain_sigma: float = Field(default=0.015, ge=0, le=0.5, description="relative spread of the LEDs' brightness")
    board_shift_mm: PairOfFloats = Field(default=(0.0, 0.0), description="[x, y] by which the board is misplaced, mm")
    board_rotation_deg: float = Field(default=0.0, ge=-180, le=180, description="turn of the misplaced board, degrees")
    distance_scale: float = Field(default=1.0, gt=0.5, lt=2, description="true over nominal distance of the board")


class Profile(_Table):
    """One microscope.

    Attributes are the tables of the file; `simulation` is None for real hardware, its presence means simulated devices.
    """

    name: str = Field(min_length=1, description="short name, as in lists and file names")
    title: str = Field(min_length=1, description="what the operator reads in the window")
    description: str = Field(default="", description="free text")
    objective: Objective = Field(description="table [objective]")
    camera: CameraSettings = Field(description="table [camera]")
    micromanager: MicroManagerSettings = Field(default=MicroManagerSettings(), description="table [micromanager]")
    stage: StageSettings = Field(default=StageSettings(), description="table [stage]")
    led_board: LedBoardSettings = Field(description="table [led_board]")
    illumination: Illumination = Field(description="table [illumination]")
    sample: SampleSettings = Field(description="table [sample]")
    plan: PlanSettings = Field(description="table [plan]")
    simulation: SimulationSettings | None = Field(default=None, description="table [simulation]")
    _toml_text: str = PrivateAttr("")

    @field_validator("plan")
    @classmethod
    def _camera_can(cls, plan: PlanSettings, info: ValidationInfo) -> PlanSettings:
        if "camera" in info.data:
            limits: ExposureLimits = info.data["camera"].exposure_ms
            if not limits.min <= plan.exposure_ms <= limits.max:
                allowed = f"{limits.min:g} to {limits.max:g}, the limits of camera.exposure_ms"
                raise broken_rule(allowed, key="exposure_ms")
        return plan

    @field_validator("simulation")
    @classmethod
    def _port_agrees(cls, simulation: SimulationSettings | None, info: ValidationInfo) -> SimulationSettings | None:
        if simulation is not None and "led_board" in info.data and info.data["led_board"].port != "simulated":
            raise broken_rule(
                "left out, as led_board.port is a real port",
                "set led_board.port = 'simulated', or take the table [simulation] out",
            )
        return simulation

    def model_post_init(self, context: Any) -> None:
        """Keep the text as read; the capture stores it."""
        if isinstance(context, str):
            self._toml_text = context

    @property
    def toml_text(self) -> str:
        """The file's text as read; empty for a profile made in code."""
        return self._toml_text

    @property
    def pixel_um(self) -> float:
        """Pixel pitch in the object, binning included."""
        return self.camera.pixel_um * self.camera.binning / self.objective.magnification

    @property
    def nyquist_pixel_um(self) -> float:
        """Largest pixel that samples the intensity image, whose spectrum ends at twice the objective's NA."""
        return self.illumination.wavelength_um / (4 * self.objective.na)


def shipped_profiles() -> dict[str, Path]:
    """Name and file of each profile that comes with the program; ``simulated``, the default, first."""
    folder = Path(hardware_configs.__file__).parent
    names = sorted(folder.glob("*.toml"), key=lambda path: (path.stem != "simulated", path.stem))
    return {path.stem: path for path in names}


def load_profile(name_or_path: str | Path) -> Profile:
    """Load a shipped profile by its name, or any file.

    Raises
    ------
    ProfileError
        The file is missing, or is wrong: the error lists all faults at once.
    """
    shipped = shipped_profiles()
    path = shipped.get(str(name_or_path), Path(name_or_path))
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = str(error.strerror) if isinstance(error, OSError) else f"not UTF-8 text ({error.reason})"
        allowed = f"a TOML file, or one of the shipped profiles: {', '.join(shipped)}"
        remedy = f"did you mean {near!r}?" if (near := nearest(str(name_or_path), shipped)) else "choose another file"
        raise ProfileError(str(path), [Fault("", reason, allowed, remedy)]) from error
    return parse_profile(text, str(path))


def parse_profile(text: str, origin: str) -> Profile:
    """Make a profile of TOML text; `origin` names it in errors.

    Raises
    ------
    ProfileError
        Lists all faults at once.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ProfileError(origin, [syntax_fault(error, text)]) from error
    try:
        profile = Profile.model_validate(data, context=text)
    except ValidationError as error:
        raise ProfileError(origin, faults_of(error, Profile, data)) from error
    # 5 % grace: the very edge of the spectrum carries next to nothing.
    if profile.pixel_um > 1.05 * profile.nyquist_pixel_um:
        log.warning(
            "%s: a pixel is %.3f um in the object, NA %g at %g um needs %.3f um or less: fine detail will alias",
            origin, profile.pixel_um, profile.objective.na, profile.illumination.wavelength_um,
            profile.nyquist_pixel_um,
        )  # fmt: skip
    return profile
