"""The tables of a hardware profile that are about Micro-Manager: camera, connection and stages."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, Strict, ValidationInfo, field_validator

from acquisition.profile_faults import broken_rule
from acquisition.profile_table import PairOfFloats, Table


def _in_order(span: tuple[float, float]) -> tuple[float, float]:
    if span[0] >= span[1]:
        raise broken_rule("first number less than the second")
    return span


Span = Annotated[PairOfFloats, AfterValidator(_in_order)]


class ExposureLimits(Table):
    """What the camera can expose, in milliseconds, and the time of the live view."""

    min: float = Field(gt=0, description="shortest exposure, ms")
    max: float = Field(gt=0, description="longest exposure, ms")
    default: float = Field(gt=0, description="exposure of the live view, ms")

    @field_validator("max", "default")
    @classmethod
    def _in_order(cls, value: float, info: ValidationInfo) -> float:
        low, high = info.data.get("min", 0.0), info.data.get("max", math.inf)
        if not low <= value <= high:
            raise broken_rule(f"{low:g} to {high:g}" if high < math.inf else f"at least min ({low:g})")
        return value


class TriggerSettings(Table):
    """How the camera is wired to the LED board, and told to wait for it."""

    external: dict[str, str] = Field(
        default={}, description="properties with which the camera waits for a pulse before each exposure"
    )
    internal: dict[str, str] = Field(default={}, description="properties with which it exposes by itself again")
    exposure_out: bool = Field(
        default=False, description="the camera's exposure output is wired to the board's trigger input"
    )

    @field_validator("internal")
    @classmethod
    def _undoes_external(cls, internal: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        left = [name for name in info.data.get("external", {}) if name not in internal]
        if left:
            raise broken_rule(
                f"a value for each property of external (not for {left[0]})", "say how the camera is set back"
            )
        return internal

    def model_post_init(self, context: object) -> None:
        """Refuse a way there without a way back."""
        if self.external and not self.internal:
            raise broken_rule("a table with internal, as external is given", "say how the camera is set back")


class CameraSettings(Table):
    """The camera behind Micro-Manager."""

    pixel_um: float = Field(gt=0, le=100, description="pitch of one physical pixel on the sensor, um")
    binning: int = Field(default=1, ge=1, le=8, description="pixels binned along each side")
    bit_depth: int = Field(ge=8, le=16, description="bits per count")
    offset_counts: float = Field(ge=0, description="counts without light, from the data sheet or a dark frame")
    gain_e_per_count: float | None = Field(default=None, gt=0, description="electrons per count; leave out if unknown")
    exposure_ms: ExposureLimits = Field(description="table with min, max and default exposure, ms")
    device: str | None = Field(default=None, description="Micro-Manager label; leave out: the camera of the config")
    pixel_type: str | None = Field(default=None, description="Micro-Manager PixelType, such as 16bit")
    gain: float | None = Field(default=None, description="the camera's own Gain, in its units; leave out: as it is")
    roi: Annotated[tuple[int, int, int, int], Strict(False)] | None = Field(
        default=None, description="[x, y, width, height] of the part read out, in binned pixels"
    )
    properties: dict[str, str] = Field(default={}, description="Micro-Manager properties, set at the start")
    trigger: TriggerSettings = Field(
        default=TriggerSettings(), description="table with external, internal and exposure_out"
    )

    @field_validator("roi")
    @classmethod
    def _roi_has_area(cls, roi: tuple[int, int, int, int] | None) -> tuple[int, int, int, int] | None:
        if roi is not None and (min(roi[:2]) < 0 or min(roi[2:]) < 16):
            raise broken_rule("x and y at least 0, width and height at least 16")
        return roi


class MicroManagerSettings(Table):
    """How the Micro-Manager core is reached, and what its other devices are set to."""

    backend: Literal["python", "java"] = Field(default="python", description="own core, or a running Micro-Manager")
    adapter_path: str | None = Field(
        default=None, description="folder of the device adapters (python); leave out: those of mm-test-adapters"
    )
    config_file: str | None = Field(default=None, description="configuration (python); leave out: the demo one")
    port: int = Field(default=4827, ge=1, le=65535, description="port of Micro-Manager's server (java)")
    buffer_mb: int = Field(default=256, ge=16, le=16384, description="circular buffer, really allocated, MB (python)")
    properties: dict[str, str] = Field(
        default={}, description='properties of any device, "Device.Property" = "value", set at the start'
    )

    @field_validator("properties")
    @classmethod
    def _names_a_device(cls, properties: dict[str, str]) -> dict[str, str]:
        for name in properties:
            device, _, rest = name.partition(".")
            if not (device and rest):
                raise broken_rule(
                    f"names of the form 'Device.Property' (not {name!r})",
                    'write "Device.Property" = "value", both in quotes',
                )
        return properties


class StageSettings(Table):
    """The stages behind Micro-Manager."""

    z_device: str | None = Field(default=None, description="Micro-Manager label; leave out: the config's focus drive")
    xy_device: str | None = Field(default=None, description="Micro-Manager label; leave out: the config's xy stage")
    z_limits_um: Span | None = Field(default=None, description="[lowest, highest] z that may be moved to, um")
    xy_limits_um: Annotated[tuple[Span, Span], Strict(False)] | None = Field(
        default=None, description="[[lowest, highest] x, [lowest, highest] y] that may be moved to, um"
    )
    backlash_um: float = Field(
        default=0.0, ge=0, le=1000, description="every place is approached from so much below it, um; 0: directly"
    )
    tolerance_um: float = Field(
        default=1.0, gt=0, le=100, description="how far from its target a stage may come to rest, um"
    )
