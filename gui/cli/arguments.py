"""What several commands share: their options, how numbers are read, and how results are printed."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from acquisition.errors import OperatorError

if TYPE_CHECKING:
    from collections.abc import Mapping

Profile = Annotated[
    str,
    typer.Option("--profile", "-p", help="Hardware profile: a shipped one by name, or a TOML file.", metavar="PROFILE"),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the output if it exists.")]
Title = Annotated[str, typer.Option(help="What this capture is, for the file.")]
Sample = Annotated[str, typer.Option(help="What is on the stage, for the file.")]
Operator = Annotated[str, typer.Option(help="Who you are, for the file.")]
PlanEntries = Annotated[
    list[str] | None,
    typer.Option("--plan", help="Put this in place of what the profile's table [plan] has.", metavar="KEY=VALUE"),
]


def finite(value: float) -> float:
    """Refuse what is no finite number; errors as `numbers`."""
    if not math.isfinite(value):
        raise OperatorError(f"{value} is no time limit.", "Give a number of seconds.")
    return value


Expose = Annotated[
    str | None,
    typer.Option(
        "--expose",
        help="Measure the exposures first: auto (as long as head-room allows) or balanced (each pattern as bright).",
        metavar="auto|balanced",
    ),
]
Every = Annotated[
    float | None,
    typer.Option("--every", min=0.0, help="Time-lapse: seconds from one time point to the next.", metavar="SECONDS"),
]
Count = Annotated[int | None, typer.Option("--count", min=1, help="Time-lapse: number of time points.")]
Positions = Annotated[
    Path | None,
    typer.Option("--positions", help="CSV file of stage positions: name,x_um,y_um,z_um.", metavar="FILE"),
]
Seconds = Annotated[
    float, typer.Option("--max-seconds", min=1.0, callback=finite, help="Time limit of the fit, in seconds.")
]
Device = Annotated[str, typer.Option(help="Where to compute: auto, cpu or cuda.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the random numbers.")]


def numbers(text: str, option: str, counts: tuple[int, ...] = (), example: str = "1,2,3") -> tuple[float, ...]:
    """Read comma-separated numbers; `example` shows in the remedy what they look like.

    Raises
    ------
    OperatorError
        Not finite numbers, or not as many as one of `counts` (empty: any number of them).
    """
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if not values or not all(map(math.isfinite, values)) or (counts and len(values) not in counts):
        wanted = " or ".join(str(count) for count in counts)
        message = f"{option} is {text!r}, expected {f'{wanted} ' if wanted else ''}numbers separated by commas."
        raise OperatorError(message, f"Write them like this: {option} {example}")
    return values


def whole_numbers(
    text: str, option: str, counts: tuple[int, ...] = (), least: int = 0, example: str = "1,2,3"
) -> tuple[int, ...]:
    """Read comma-separated whole numbers of at least `least`; errors as `numbers`."""
    values = numbers(text, option, counts, example)
    wrong = [value for value in values if value != int(value) or value < least]
    if wrong:
        raise OperatorError(f"{option} holds {wrong[0]:g}.", f"Give whole numbers from {least} on.")
    return tuple(int(value) for value in values)


def say(result: Mapping[str, Any], as_json: bool) -> None:
    """Print the result of a command on stdout: one JSON object, or a line for each thing there is to know."""
    if as_json:
        typer.echo(json.dumps(result))
        return
    shown = {key: value for key, value in result.items() if value is not None and value != "" and value != []}
    width = max(len(key) for key in shown)
    for key, value in shown.items():
        text = ", ".join(f"{part}" for part in value) if isinstance(value, list | tuple) else value
        if isinstance(value, dict):
            text = ", ".join(f"{name} {part}" for name, part in value.items())
        elif isinstance(value, float):
            text = f"{value:.5g}"
        typer.echo(f"{key.replace('_', ' '):<{width}}  {text}")
