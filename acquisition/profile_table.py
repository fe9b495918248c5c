"""What all tables of a hardware profile have in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Strict

# TOML has lists where the models have tuples; everything else is taken as it stands ("40" is not a number).
PairOfFloats = Annotated[tuple[float, float], Strict(False)]


class Table(BaseModel):
    """A table of the file: unknown keys are faults, values are not converted, infinities are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
