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
from acquisition.profile_board import LedBoardSettings
from acquisition.profile_camera import CameraSettings, ExposureLimits, MicroManagerSettings, StageSettings
from acquisition.profile_faults import Fault, ProfileError, broken_rule, faults_of, nearest, syntax_fault
from acquisition.profile_plan import ExperimentSettings, PlanSettings, beside_profile
from acquisition.profile_table import PairOfFloats
from acquisition.profile_table import Table as _Table

log = logging.getLogger(__name__)

__all__ = [
    "ExperimentSettings", "Fault", "PlanSettings", "Profile", "ProfileError", "load_profile", "parse_profile",
    "shipped_profiles",
]  # fmt: skip


LedNumber = Annotated[int, Field(ge=0)]
PairOfLeds = Annotated[tuple[LedNumber, LedNumber], Strict(False)]


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


class Illumination(_Table):
    """The light."""

    wavelength_um: float = Field(gt=0.2, lt=2, description="vacuum wavelength of the LEDs, um")
    irradiance_mw_per_cm2: float | None = Field(
        default=None, gt=0, description="of one LED at full brightness, at the sample, mW/cm2; leave out if unknown"
    )


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


class SimulationSettings(_Table):
    """A simulated microscope; the errors of a real one are put in on purpose and are not told to the reconstruction."""

    phantom: Literal["cells", "beads", "absorbing", "none"] = Field(
        default="cells", description="the sample; none: an empty field"
    )
    seed: int = Field(default=0, ge=0, description="seed of the sample, the LED gains and the noise")
    dn_max: float = Field(default=0.02, gt=0, le=0.2, description="largest index above the medium")
    image_px: int = Field(default=256, ge=32, le=2048, description="side of the square image, pixels")
    electrons: float = Field(default=10000.0, gt=0, description="of the empty field in a pixel, at plan.exposure_ms")
    full_well_e: float = Field(default=30000.0, gt=0, description="electrons at which a pixel saturates")
    read_noise_e: float = Field(default=2.0, ge=0, description="read noise, electrons")
    led_gain_sigma: float = Field(default=0.015, ge=0, le=0.5, description="relative spread of the LEDs' brightness")
    shading: float = Field(
        default=0.0, ge=0, le=0.9, description="share of the light that the corner turned away from an LED lacks"
    )
    dust: int = Field(default=0, ge=0, le=1000, description="specks of dust before the camera")
    board_shift_mm: PairOfFloats = Field(default=(0.0, 0.0), description="[x, y] by which the board is misplaced, mm")
    board_rotation_deg: float = Field(default=0.0, ge=-180, le=180, description="turn of the misplaced board, degrees")
    distance_scale: float = Field(default=1.0, gt=0.5, lt=2, description="true over nominal distance of the board")
    dead_leds: Annotated[tuple[LedNumber, ...], Strict(False)] = Field(
        default=(), description="numbers of LEDs that never light"
    )
    swapped_leds: Annotated[tuple[PairOfLeds, ...], Strict(False)] = Field(
        default=(), description="[one, other]: pairs of LEDs that light in place of each other"
    )


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
    experiment: ExperimentSettings = Field(default=ExperimentSettings(), description="table [experiment]")
    simulation: SimulationSettings | None = Field(default=None, description="table [simulation]")
    _toml_text: str = PrivateAttr("")

    @field_validator("plan")
    @classmethod
    def _camera_can(cls, plan: PlanSettings, info: ValidationInfo) -> PlanSettings:
        if "camera" in info.data:
            limits: ExposureLimits = info.data["camera"].exposure_ms
            for key, exposure_ms in plan.exposures_ms().items():
                if not limits.min <= exposure_ms <= limits.max:
                    allowed = f"{limits.min:g} to {limits.max:g}, the limits of camera.exposure_ms"
                    raise broken_rule(allowed, key=key)
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
    beside_profile(data, Path(origin).parent)
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
