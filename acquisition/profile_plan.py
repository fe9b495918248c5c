"""The tables [plan] and [experiment] of a hardware profile: what is exposed when the operator says nothing else.

What the operator does say, on the command line or in the window, has the same keys and limits: `changed_plan` and
`changed_experiment` put it in place of what the profile has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field, Strict, ValidationError, ValidationInfo, field_validator

from acquisition.errors import OperatorError
from acquisition.profile_faults import Fault, broken_rule, faults_of
from acquisition.profile_table import Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from acquisition.profile import Profile

PlanKind = Literal["brightfield", "annular", "darkfield", "dpc", "multiplexed", "subset", "list", "ring"]

KEYS_OF_KIND: dict[PlanKind, tuple[str, ...]] = {
    "brightfield": (),
    "annular": ("na_min", "na_max"),
    "darkfield": ("na_max", "rings"),
    "dpc": ("na_min", "na_max"),
    "multiplexed": ("na_min", "na_max", "leds_per_pattern", "patterns", "seed"),
    "subset": ("leds",),
    "list": ("file",),
}
"""What a kind reads beside the keys that all kinds have; the kind ``ring`` of older profiles is ``annular``."""


_REFOCUS_FRAMES = 8


class SettingsError(OperatorError):
    """What the operator asked for cannot be; all faults at once."""


class PlanSettings(Table):
    """The exposure plan used when the operator does not choose another one."""

    kind: PlanKind = Field(
        description="brightfield: every LED inside the objective's NA; annular: every LED from na_min to na_max;"
        " darkfield: rings outside the objective's NA; dpc: top, bottom, left and right half; multiplexed: several LEDs"
        " at once; subset: the LEDs in leds; list: the patterns in file"
    )
    na_min: float = Field(default=0.0, ge=0, lt=2, description="smallest illumination NA")
    na_max: float | None = Field(
        default=None, gt=0, lt=2,
        description="largest illumination NA, needed for kind annular; left out: the objective's NA (dpc, multiplexed)"
        " or the whole board (darkfield)",
    )  # fmt: skip
    rings: int = Field(
        default=1, ge=0, le=1000, description="number of dark-field rings, each lit as a whole; 0: LED after LED"
    )
    leds_per_pattern: int = Field(default=4, ge=1, le=4096, description="most LEDs lit at once in a multiplexed plan")
    patterns: int | None = Field(
        default=None, ge=1, le=100000, description="number of multiplexed patterns; left out: as few as light each LED"
    )
    seed: int = Field(default=0, ge=0, description="seed of the random choice of multiplexed patterns")
    leds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Strict(False)] = Field(
        default=(), description="numbers of the LEDs of a subset"
    )
    file: str | None = Field(
        default=None, min_length=1,
        description="CSV file with the columns pattern, led, brightness and perhaps exposure_ms, beside the profile",
    )  # fmt: skip
    every: int = Field(default=1, ge=1, description="take every n-th of the chosen LEDs (of a list: of its patterns)")
    exposure_ms: float = Field(gt=0, description="exposure of a frame, ms")
    darkfield_exposure_ms: float | None = Field(
        default=None, gt=0, description="exposure of patterns outside the objective's NA, ms; left out: exposure_ms"
    )
    dark_frames: int = Field(
        default=4, ge=0, le=1000, description="frames without light at the start for each exposure, averaged"
    )
    repeats: int = Field(default=1, ge=1, le=100000, description="how often the patterns are gone through")
    reference: str | None = Field(
        default=None, min_length=1,
        description="capture of the empty field, taken by `fieldscope reference`, beside the profile; left out: none",
    )  # fmt: skip
    reference_max_age_h: float = Field(
        default=24.0, gt=0, le=100000, description="age of the reference from which the operator is warned, hours"
    )
    order: Literal["spread", "board"] = Field(
        default="spread", description="spread: angles fill evenly from the first frame on; board: as numbered"
    )
    trigger: Literal["software", "camera", "board", "handshake"] = Field(
        default="software",
        description="who leads: software, the computer; camera, its exposure output switches the board; board, its"
        " trigger output makes the camera expose; handshake, both. All but software need cables ([camera.trigger])",
    )

    @field_validator("kind")
    @classmethod
    def _newer_name(cls, kind: PlanKind) -> PlanKind:
        return "annular" if kind == "ring" else kind

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
        for kind, key, remedy in (
            ("annular", "na_max", "add na_max"),
            ("subset", "leds", "add leds = [numbers]"),
            ("list", "file", "add file = 'patterns.csv'"),
        ):
            if self.kind == kind and not getattr(self, key):
                raise broken_rule(f"a table with {key}, as kind is {kind}", remedy)

    def exposures_ms(self) -> dict[str, float]:
        """Return every exposure that these settings name, by its key."""
        named = {"exposure_ms": self.exposure_ms, "darkfield_exposure_ms": self.darkfield_exposure_ms}
        return {key: value for key, value in named.items() if value is not None}


class AutofocusSettings(Table):
    """The search for the focus before a scan."""

    method: Literal["stack", "refocus"] = Field(
        default="stack",
        description="stack: the z drive goes through the range, the sharpest frame wins; refocus: the shift between"
        " images in opposite light tells the height, and the z drive, where there is one, corrects it",
    )
    range_um: float = Field(gt=0, le=1000, description="distance searched, half of it to each side of the focus, um")
    step_um: float | None = Field(
        default=None, gt=0, description="distance of two frames of a stack, um; at most half of range_um"
    )
    every: int = Field(default=1, ge=1, description="search at every n-th time point, at each position")

    @field_validator("step_um")
    @classmethod
    def _several_steps(cls, step_um: float | None, info: ValidationInfo) -> float | None:
        if step_um is not None and step_um > info.data.get("range_um", 2 * step_um) / 2:
            raise broken_rule(f"at most half of range_um ({info.data['range_um'] / 2:g})")
        return step_um

    def model_post_init(self, context: Any) -> None:
        """Refuse a stack without steps."""
        if self.method == "stack" and self.step_um is None:
            remedy = 'add step_um, or choose method = "refocus"'
            raise broken_rule("a value: this key is needed, as method is stack", remedy, "step_um")

    @property
    def offsets_um(self) -> NDArray[np.float64]:
        """Heights (K,) of the frames of a stack, about its middle."""
        assert self.step_um is not None, "a stack has steps"
        count = int(self.range_um / self.step_um + 1e-9) + 1
        return np.linspace(-0.5, 0.5, count) * (count - 1) * self.step_um

    @property
    def between_um(self) -> NDArray[np.float64]:
        """Heights about the sharpest frame of a stack, between its neighbours, at which more frames are taken."""
        assert self.step_um is not None, "a stack has steps"
        return np.array([-1.5, -0.5, 0.5, 1.5]) * self.step_um

    @property
    def frames(self) -> int:
        """Number of frames of one search; of a refocus, with one correction."""
        return len(self.offsets_um) + len(self.between_um) if self.method == "stack" else _REFOCUS_FRAMES


class ExperimentSettings(Table):
    """Repetition of the plan over time and places, used when the operator does not say otherwise."""

    interval_s: float = Field(
        default=0.0, ge=0, le=1e7, description="time from the start of one time point to that of the next, s"
    )
    count: int = Field(default=1, ge=1, le=1000000, description="number of time points")
    positions: str | None = Field(
        default=None, min_length=1, description="CSV file with the columns name, x_um, y_um, z_um, beside the profile"
    )
    autofocus: AutofocusSettings | None = Field(
        default=None, description="table with method, range_um, step_um and every; left out: no search for the focus"
    )


def beside_profile(data: dict[str, Any], folder: Path) -> None:
    """Let the files that a profile's text names lie beside the profile, wherever the program was started."""
    for table, key in (("plan", "file"), ("plan", "reference"), ("experiment", "positions")):
        keys = data.get(table)
        if isinstance(keys, dict) and isinstance(keys.get(key), str) and keys[key]:
            keys[key] = str(folder / keys[key])


def changed_plan(profile: Profile, changes: Mapping[str, Any]) -> PlanSettings:
    """Put what the operator chose in place of the profile's plan.

    Parameters
    ----------
    profile
        Says what stays, and what the camera can expose.
    changes
        Keys of the table [plan]. With another kind, the keys of the profile's own kind are forgotten.

    Raises
    ------
    SettingsError
        A key does not exist or is not one that the kind reads, or a value is not allowed; tells all faults.
    """
    kept = profile.plan.model_dump(exclude_unset=True)
    kind = changes.get("kind", profile.plan.kind)
    kind = "annular" if kind == "ring" else kind
    if kind != profile.plan.kind:
        own = {key for keys in KEYS_OF_KIND.values() for key in keys}
        kept = {key: value for key, value in kept.items() if key not in own}
    reads = KEYS_OF_KIND.get(kind)
    of_others = {key for keys in KEYS_OF_KIND.values() for key in keys if reads is not None and key not in reads}
    unused = [
        Fault(
            f"plan.{key}", repr(changes[key]), f"left out, as kind {kind} does not use it",
            f"take it out, or choose kind {' or '.join(name for name, keys in KEYS_OF_KIND.items() if key in keys)}",
        )
        for key in changes if key in of_others
    ]  # fmt: skip
    return _changed(profile, "plan", {**kept, **changes}, unused).plan


def changed_experiment(profile: Profile, changes: Mapping[str, Any]) -> ExperimentSettings:
    """Put what the operator chose in place of the profile's experiment; parameters and errors as `changed_plan`."""
    kept = profile.experiment.model_dump(exclude_unset=True)
    return _changed(profile, "experiment", {**kept, **changes}, []).experiment


def _changed(profile: Profile, table: str, data: dict[str, Any], faults: Sequence[Fault]) -> Profile:
    """Check the whole profile with one table replaced: limits of the camera hold for what the operator says as well."""
    whole = {**profile.model_dump(exclude_unset=True), table: data}
    try:
        changed = type(profile).model_validate(whole)
    except ValidationError as error:
        faults = [*faults, *faults_of(error, type(profile), whole)]
    if faults:
        listed = "\n".join(f"  {number}. {fault}" for number, fault in enumerate(faults, 1))
        raise SettingsError(
            f"What was asked for cannot be:\n{listed}", f"Correct it; [{table}] of the profile shows what else counts."
        )
    return changed
