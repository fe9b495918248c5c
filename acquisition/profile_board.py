"""The table [led_board] of a hardware profile: where the LEDs are, and how the board is spoken to."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, Strict, ValidationInfo, field_validator

from acquisition.led_array.patterns import NAMED_COLORS, RGB
from acquisition.led_array.registry import BUILT_IN, known_protocols
from acquisition.profile_faults import broken_rule
from acquisition.profile_table import PairOfFloats, Table
from acquisition.profile_template import TemplateSettings

Point = Annotated[tuple[float, float, float], Strict(False)]


class GridGeometry(Table):
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


class Ring(Table):
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


class RingGeometry(Table):
    """One or several concentric rings on a flat board, numbered ring after ring."""

    kind: Literal["ring"]
    distance_mm: float = Field(gt=0, description="distance of the board below the sample, mm")
    rings: Annotated[tuple[Ring, ...], Strict(False)] = Field(min_length=1, description="the rings, in LED order")


class ListGeometry(Table):
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


class BoardGeometry(Table):
    """The board tells where its LEDs are."""

    kind: Literal["board"]
    distance_mm: float | None = Field(
        default=None, gt=0, description="distance of the lowest LED below the sample, mm; leave out: as the board says"
    )


Geometry = Annotated[GridGeometry | RingGeometry | ListGeometry | BoardGeometry, Field(discriminator="kind")]


class Orientation(Table):
    """How the board lies under the sample: a board point is mirrored, then rotated, then shifted.

    The data alone cannot tell a board from one turned by 180 degrees: a wrong entry flips the sample in z.
    """

    mirror: Literal["none", "x", "y"] = Field(default="none", description="axis whose sign changes")
    rotation_deg: float = Field(default=0.0, ge=-360, le=360, description="turn from +x towards +y, degrees")
    shift_mm: PairOfFloats = Field(default=(0.0, 0.0), description="[x, y] of the board's origin off the axis, mm")


class LedBoardSettings(Table):
    """The LED board and its serial port."""

    protocol: str = Field(default="illuminate", description="language of the board's firmware")
    port: str = Field(
        default="auto", min_length=1, description="'auto', a serial device (COM3, /dev/ttyACM0), or 'simulated'"
    )
    baud: int = Field(default=115200, ge=1200, description="speed of the serial port")
    settle_ms: float = Field(default=2.0, ge=0, le=10000, description="wait between lighting and exposing, ms")
    brightness: int = Field(default=255, ge=1, le=255, description="brightness of a lit LED")
    color: Annotated[RGB, Strict(False)] | None = Field(
        default=None, description="colour of a lit LED, on boards that have several; leave out: as the board has it"
    )
    geometry: Geometry = Field(description="table with kind = grid, ring, list or board")
    orientation: Orientation = Field(default=Orientation(), description="table with mirror, rotation_deg and shift_mm")
    template: TemplateSettings | None = Field(
        default=None, description="table [led_board.template], the lines of a home-made board"
    )
    options: dict[str, Any] = Field(default={}, description="settings of a driver that another package brings")

    @field_validator("protocol")
    @classmethod
    def _has_driver(cls, protocol: str) -> str:
        if protocol not in BUILT_IN and protocol not in (known := known_protocols()):
            raise broken_rule(f"one of {', '.join(map(repr, known))}", "install the package that brings the driver")
        return protocol

    @field_validator("port")
    @classmethod
    def _can_be_found(cls, port: str, info: ValidationInfo) -> str:
        protocol = info.data.get("protocol")
        if port == "auto" and protocol in BUILT_IN and protocol != "illuminate":
            raise broken_rule(
                "a serial device, as such a board cannot be told from others by its USB number",
                'name the port, such as "COM3" or "/dev/ttyUSB0"',
            )
        return port

    @field_validator("color", mode="before")
    @classmethod
    def _is_color(cls, color: Any) -> Any:
        named = NAMED_COLORS.get(color, color) if isinstance(color, str) else color
        parts = tuple(named) if isinstance(named, list | tuple) else ()
        if named is not None and not (len(parts) == 3 and all(type(p) is int and 0 <= p <= 255 for p in parts)):
            raise broken_rule(
                f"one of {', '.join(map(repr, NAMED_COLORS))}, or [red, green, blue], each a whole number 0 to 255"
            )
        return named

    def model_post_init(self, context: Any) -> None:
        """Refuse a protocol without its settings, and settings without their protocol."""
        if (self.protocol == "template") != (self.template is not None):
            if self.template is None:
                raise broken_rule("a table with template, as protocol is template", "add a table [led_board.template]")
            raise broken_rule(f"left out, as protocol is {self.protocol}", "set protocol = 'template'", key="template")
        if self.options and self.protocol in BUILT_IN:
            raise broken_rule(f"left out, as protocol is {self.protocol}", "take the table out", key="options")
