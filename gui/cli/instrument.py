"""The commands that drive an instrument, a real one or a simulated one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from gui.cli.arguments import (
    Count,
    Device,
    Every,
    Expose,
    Json,
    Operator,
    Overwrite,
    PlanEntries,
    Positions,
    Profile,
    Sample,
    Seconds,
    Seed,
    Title,
    say,
    whole_numbers,
)


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the files; made if missing.", metavar="DIR")],
    profile: Profile = "simulated",
    max_seconds: Seconds = 90.0,
    device: Device = "auto",
    seed: Seed = 0,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Run the whole chain on the simulated microscope, without a window.

    Scans a phantom through the real drivers, reconstructs it while it is being scanned, and leaves in DIR: the capture
    (capture.h5), the field (cells.field.h5), a picture of measured images and of the result beside the truth
    (demo.png), and the figures (summary.json).

    Example: `fieldscope demo --out demo-out`
    """
    from gui.commands.demo import run_demo
    from recon.messages import FitSettings

    say(run_demo(out, profile, FitSettings(max_seconds=max_seconds, device=device, seed=seed), overwrite), as_json)


def plan(
    profile: Profile = "simulated",
    entries: PlanEntries = None,
    every: Every = None,
    count: Count = None,
    positions: Positions = None,
    image: Annotated[
        str | None,
        typer.Option(help="Rows and columns of an image, where the profile has no roi.", metavar="ROWS,COLUMNS"),
    ] = None,
    picture: Annotated[
        Path | None, typer.Option("--picture", help="PNG with the patterns in the pupil.", metavar="FILE")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the picture if it exists.")] = False,
    as_json: Json = False,
) -> None:
    """Tell what a scan would do: its patterns, and the time, light and disk space it takes.

    The instrument is left alone. --plan, once for each key, puts a value in place of the profile's, for this call.
    Kinds of plan: brightfield, annular (na_min to na_max), darkfield (rings), dpc (half circles), multiplexed
    (leds_per_pattern, patterns, seed), subset (leds) and list (file, a CSV with pattern,led,brightness,exposure_ms).
    All have every, exposure_ms, darkfield_exposure_ms, dark_frames, repeats, order and trigger (who leads: software,
    camera, board or handshake).

    Example: `fieldscope plan -p my_microscope.toml --plan kind=multiplexed --plan leds_per_pattern=4`
    """
    from gui.commands.plan import show_plan
    from gui.commands.plan_options import experiment_changes, plan_changes

    shape = None if image is None else whole_numbers(image, "--image", (2,), 1, "2048,2048")
    lines, figures = show_plan(
        profile,
        plan_changes(entries or ()),
        experiment_changes(every, count, positions),
        None if shape is None else (shape[0], shape[1]),
        picture,
        overwrite,
    )
    typer.echo(json.dumps(figures) if as_json else "\n".join(lines))


def capture(
    output: Annotated[Path, typer.Option("--output", "-o", help="Capture file to write: NAME.h5.", metavar="FILE")],
    profile: Profile = "simulated",
    entries: PlanEntries = None,
    every: Every = None,
    count: Count = None,
    positions: Positions = None,
    reference: Annotated[
        Path | None,
        typer.Option(help="Empty field (`fieldscope reference`) to divide by; none: no background.", metavar="FILE"),
    ] = None,
    expose: Expose = None,
    title: Title = "",
    sample: Sample = "",
    operator: Operator = "",
    as_json: Json = False,
) -> None:
    """Scan the LEDs of a profile's plan into a capture file, once, or at several times and positions of the stage.

    What it will take is told before the first frame; `fieldscope plan` tells it without the instrument, and what
    --plan can change.

    Each frame is stored before the next one is exposed (with a trigger: as it comes): a program that is killed loses
    none of them, a computer that stops those of the last second at most. Ctrl-C ends the scan, keeps its frames and
    switches the LEDs off.

    With --every and --count the plan is scanned again and again, LEDs off in between; with --positions at each place
    of the stages. All goes into one file, and each frame knows its time point and position.

    --expose measures the exposures on this very sample. --reference stores the empty field with the images, which a
    reconstruction divides by.

    Example: `fieldscope capture --every 60 --count 10 --positions wells.csv -o day2.h5`

    Example: `fieldscope capture --profile my_microscope.toml -o cells.h5 --sample "HeLa, day 2"`
    """
    from gui.commands.plan_options import experiment_changes, plan_changes
    from gui.commands.scan import capture as run
    from gui.commands.scan import readable

    changes = experiment_changes(every, count, positions)
    of_plan = plan_changes(entries or ()) | ({} if reference is None else {"reference": str(reference)})
    result = run(profile, output, of_plan, changes, title, sample, operator, expose)
    say(result if as_json else readable(result), as_json)


def reference(
    capture_file: Annotated[
        Path | None, typer.Argument(help="Capture that gets the background of --apply.", metavar="CAPTURE")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Reference to write: NAME.h5.", metavar="FILE")
    ] = None,
    profile: Profile = "simulated",
    entries: PlanEntries = None,
    expose: Expose = None,
    apply: Annotated[
        Path | None, typer.Option("--apply", help="Put this reference into a capture.", metavar="REFERENCE")
    ] = None,
    operator: Operator = "",
    as_json: Json = False,
) -> None:
    """Scan the empty field, to divide by: uneven light and dust vanish from the images.

    Take the sample away, leave focus, medium and all else as they are, and use the plan of the captures to come. Each
    pattern is exposed 8 times (--plan repeats=N for more), dark frames come first.

    `fieldscope capture --reference empty.h5` puts it into each capture; so does reference = "empty.h5" in the profile's
    table [plan]. For a capture that is there already, use --apply.

    Example: `fieldscope reference -p my_microscope.toml -o empty.h5`

    Example: `fieldscope reference --apply empty.h5 cells.h5`
    """
    from gui.commands.plan_options import plan_changes
    from gui.commands.reference import choose

    say(choose(profile, output, plan_changes(entries or ()), expose, operator, capture_file, apply), as_json)


def simulate_led(
    protocol: Annotated[
        str | None, typer.Option(help="Language of the board: illuminate, template or uc2; else that of the profile.")
    ] = None,
    profile: Profile = "simulated",
    fault: Annotated[
        str | None,
        typer.Option(help="What is wrong: error, silence, garbage, unplug, one-behind, restart or lost-trigger."),
    ] = None,
    after: Annotated[int, typer.Option(min=0, help="Commands (lost-trigger: triggers) before the fault.")] = 0,
    firmware: Annotated[str, typer.Option(help="Version of the illuminate firmware: 2.32 or 1.32.")] = "2.32",
    tcp: Annotated[bool, typer.Option("--tcp", help="Serve on a TCP port of this computer (socket://...).")] = False,
    light: Annotated[bool, typer.Option("--light", help="Print which LEDs are lit, whenever that changes.")] = False,
    as_json: Json = False,
) -> None:
    """Serve a simulated LED board alone on a serial port, until Ctrl-C.

    Prints the port. A profile with that port as led_board.port, or a program of your own, drives the board as it would
    a real one. It has as many LEDs as the profile describes.

    Example: `fieldscope simulate-led --protocol template --fault restart`
    """
    from gui.commands.simulate_led import serve

    def announce(about: dict[str, Any]) -> None:
        say(about if as_json else {"port": about["port"]}, as_json)

    def tell_light(lit: list[int]) -> None:
        numbers = " ".join(map(str, lit))
        typer.echo(json.dumps({"lit": lit}) if as_json else f"lit   {numbers}" if lit else "dark")

    serve(protocol, profile, fault, after, firmware, tcp, announce, tell_light if light else None)
