"""The one front door: `fieldscope`. Without a command it opens the window.

This module answers at once: what a command needs is imported when it is called.
"""

from __future__ import annotations

import json
import logging
import math
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from acquisition.errors import OperatorError
from gui.commands.end_signals import end_signals

if TYPE_CHECKING:
    from collections.abc import Mapping

EXIT_CHECK_FAILED = 1
EXIT_OPERATOR_ERROR = 2
EXIT_INTERRUPTED = 130

app = typer.Typer(
    name="fieldscope",
    no_args_is_help=False,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

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


@app.callback(invoke_without_command=True)
def window(
    context: typer.Context,
    profile: Annotated[
        str | None, typer.Option("--profile", "-p", help="Hardware profile to choose at the start.", metavar="PROFILE")
    ] = None,
    file: Annotated[Path | None, typer.Option("--open", help="Capture or field to open.", metavar="FILE")] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show the program's log on stderr.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Live 3D refractive-index microscopy with an LED array.

    Without a command the window opens: choose a profile, capture, and watch the volume form.
    """
    # What an operator has to know is told in words; the log says it again with the details.
    log: logging.Handler = logging.StreamHandler() if verbose else logging.NullHandler()
    logging.basicConfig(level=logging.INFO, handlers=[log], format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    if version:
        from importlib.metadata import PackageNotFoundError
        from importlib.metadata import version as installed_version

        try:
            typer.echo(f"fieldscope {installed_version('fieldscope')}")
        except PackageNotFoundError:  # run from the source tree
            typer.echo("fieldscope (not installed)")
        raise typer.Exit
    command = context.invoked_subcommand
    if command is not None and (profile is not None or file is not None):
        option = "--profile" if profile is not None else "--open"
        raise OperatorError(
            f"{option} before the command {command} is an option of the window, {command} would not see it.",
            f"Write options after the command; `fieldscope {command} --help` tells those that it has.",
        )
    if command is None:
        from gui.app import main as open_window

        arguments = [*(["--profile", profile] if profile else []), *([str(file)] if file else [])]
        raise typer.Exit(open_window(arguments))


@app.command()
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


@app.command()
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


@app.command()
def capture(
    output: Annotated[Path, typer.Option("--output", "-o", help="Capture file to write: NAME.h5.", metavar="FILE")],
    profile: Profile = "simulated",
    entries: PlanEntries = None,
    every: Every = None,
    count: Count = None,
    positions: Positions = None,
    title: Title = "",
    sample: Sample = "",
    operator: Operator = "",
    as_json: Json = False,
) -> None:
    """Scan the LEDs of a profile's plan into a capture file.

    What it will take is told before the first frame; `fieldscope plan` tells it without the instrument, and what
    --plan can change.

    Each frame is stored before the next one is exposed (with a trigger: as it comes): a program that is killed loses
    none of them, a computer that stops those of the last second at most. Ctrl-C ends the scan, keeps its frames and
    switches the LEDs off.

    Example: `fieldscope capture --profile my_microscope.toml -o cells.h5 --sample "HeLa, day 2"`
    """
    from gui.commands.plan_options import experiment_changes, plan_changes
    from gui.commands.scan import capture as run

    changes = experiment_changes(every, count, positions)
    say(run(profile, output, plan_changes(entries or ()), changes, title, sample, operator), as_json)


@app.command("import")
def import_(
    source: Annotated[
        Path,
        typer.Argument(
            help="Folder with a TIFF for each LED, a TIFF with a page for each LED, or a .mat file.", metavar="SOURCE"
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Capture file to write: NAME.h5.", metavar="FILE")],
    profile: Profile,
    name_pattern: Annotated[
        str | None,
        typer.Option(
            "--names",
            help="Names with {led} for the LED's number and * for anything; without it, files are in the plan's order.",
            metavar="PATTERN",
        ),
    ] = None,
    order: Annotated[
        str,
        typer.Option(
            help="page: images in order are the plan's LEDs; or a CSV file with the columns led, and file or page.",
            metavar="page|CSV",
        ),
    ] = "page",
    background: Annotated[
        Path | None,
        typer.Option(help="Images of the empty field, one for each LED: folder or file.", metavar="SOURCE"),
    ] = None,
    dark: Annotated[
        Path | None,
        typer.Option(help="Image without light; several in a folder or file are averaged.", metavar="SOURCE"),
    ] = None,
    variable: Annotated[
        str | None, typer.Option(help="Name of the images in a .mat file; else I_Raw, I or dat.", metavar="NAME")
    ] = None,
    title: Title = "",
    sample: Sample = "",
    operator: Operator = "",
    as_json: Json = False,
) -> None:
    """Make a capture file from images that another program took.

    TIFF, OME-TIFF and BigTIFF are read, and .mat files such as those of DeCAF. Where the LEDs are, wavelength, pixel
    and objective come from the profile. Nothing is written when an image does not fit.

    Example: `fieldscope import images/ --profile ht_idt_grid32 --names "img_{led}_*.tif" -o algae.h5`

    Example: `fieldscope import stack.ome.tif --profile aidt_ring24 --order leds.csv --dark dark.tif -o cells.h5`
    """
    from gui.commands.import_images import import_images as run

    say(
        run(source, profile, output, name_pattern, order, background, dark, variable, title, sample, operator),
        as_json,
    )


@app.command()
def check(
    capture_file: Annotated[Path, typer.Argument(help="Capture to look at.", metavar="CAPTURE")],
    as_json: Json = False,
) -> None:
    """Check a capture: is everything there, is it what it should be, and what to do if not.

    Looks at every part of the file, at frames that are missing, saturated, twice or out of order, at exposures, dark
    frame, LEDs and optics. Exit code 1 where there is an error.

    Example: `fieldscope check cells.h5`
    """
    from gui.commands.check import check_file

    if not check_file(capture_file, as_json):
        raise typer.Exit(EXIT_CHECK_FAILED)


@app.command()
def recover(
    place: Annotated[
        Path,
        typer.Argument(
            help="NAME.h5.part, a capture that is cut off, or a folder; else this one.", metavar="FILE|FOLDER"
        ),
    ] = Path(),
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Capture file to write, also on another disk.", metavar="FILE"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Finish what an interrupted scan has left: every whole frame gets into a capture with its proper name.

    The copy is compared with the original before that goes away; a file of which something could not be read is kept
    beside it. A scan that still runs is left alone.

    Example: `fieldscope recover cells.h5.part`
    """
    from gui.commands.recover import readable, recover_all

    result = recover_all(place, output)
    say(result if as_json else readable(result), as_json)


@app.command()
def reconstruct(
    capture_file: Annotated[
        Path, typer.Argument(help="Capture; also one that was cancelled or killed.", metavar="CAPTURE")
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Field file to write; else NAME.field.h5 in this folder.", metavar="FIELD"),
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            help="Forward model: auto (as the sample scatters), born (weak scattering), beam or ssnp (strong)."
        ),
    ] = "auto",
    max_seconds: Seconds = 300.0,
    device: Device = "auto",
    hold_out: Annotated[
        str | None,
        typer.Option(help="Patterns (rows in the capture) kept to judge by; else every ninth.", metavar="4,13,..."),
    ] = None,
    z: Annotated[
        str | None, typer.Option("--z", help="Top and bottom of the volume, um from the focus.", metavar="TOP,BOTTOM")
    ] = None,
    tile: Annotated[
        int | None,
        typer.Option(help="Cut images that are larger into tiles of at most so many pixels a side.", metavar="PIXELS"),
    ] = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Reconstruct a continuous refractive-index field from a capture.

    The held-out error is how far the predicted images of LEDs that were never fitted are from the measured ones: 0 is
    perfect, 1 is no better than an empty field.

    Images too large for memory are reconstructed in tiles that overlap, one after the other; the field is one.

    Example: `fieldscope reconstruct cells.h5 -o cells.field.h5 --z -6,6 --max-seconds 120`
    """
    from typing import get_args

    from gui.commands.reconstruct import reconstruct as run
    from recon.messages import FitSettings, ModelName

    if model not in get_args(ModelName):
        raise OperatorError(f"There is no model {model!r}.", f"Choose one of: {', '.join(get_args(ModelName))}.")
    depths = None if z is None else numbers(z, "--z", (2,), "-6,6")
    if depths is not None and depths[0] >= depths[1]:
        message = f"--z goes from {depths[0]:g} to {depths[1]:g} um."
        raise OperatorError(message, "Give the smaller one first: z grows along the light.")
    settings = FitSettings(
        model=model,  # type: ignore[arg-type]  # one of ModelName, as just checked
        max_seconds=max_seconds,
        device=device,
        hold_out=() if hold_out is None else whole_numbers(hold_out, "--hold-out", example="4,13"),
        z_um=None if depths is None else (depths[0], depths[1]),
        seed=seed,
        tile_pixels=tile,
    )
    say(run(capture_file, output, settings, overwrite), as_json)


@app.command()
def calibrate(
    capture_file: Annotated[Path, typer.Argument(help="Capture of a finished scan.", metavar="CAPTURE")],
    picture: Annotated[
        Path | None, typer.Option("--picture", help="PNG with the circles over the spectra.", metavar="FILE")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Leave the capture as it is.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Store also what is not to be trusted.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the picture if it exists.")] = False,
    orientation: Annotated[
        bool, typer.Option("--orientation", help="Only tell whether the board is mirrored or turned (minutes).")
    ] = False,
    max_seconds: Seconds = 20.0,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Find where the LED board really is, and store it in the capture.

    Shift, rotation and distance of the board and the objective's NA follow from the rims of the two discs in the
    spectra of the images. A board turned by 180 degrees shows the same discs: --orientation
    tells, by reconstructing shortly with each orientation (--max-seconds each) and predicting unseen LEDs.

    Example: `fieldscope calibrate cells.h5 --picture cells-calibration.png`
    """
    if orientation:
        if picture is not None or force:
            raise OperatorError("--orientation neither draws nor stores.", "Leave out --picture and --force.")
        from gui.commands.orientation import check_orientation

        say(check_orientation(capture_file, max_seconds, device), as_json)
        return
    from gui.commands.calibrate import calibrate as run
    from gui.commands.calibrate import readable

    figures, refusal = run(capture_file, picture, dry_run, force, overwrite)
    say(figures if as_json else readable(figures), as_json)
    if refusal is not None:
        raise refusal


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="Field (NAME.field.h5) or capture.", metavar="FIELD|CAPTURE")],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="Of a field: NAME.ome.tif. Of a capture: a folder for TIFFs, or NAME.h5 for a compressed copy.",
            metavar="FILE|FOLDER",
        ),
    ],
    shape: Annotated[str | None, typer.Option(help="Voxels along z, y and x.", metavar="Z,Y,X")] = None,
    voxel_um: Annotated[
        str | None,
        typer.Option("--voxel-um", help="Size of a voxel in um: one number, or one each for z, y, x.", metavar="SIZE"),
    ] = None,
    compression: Annotated[
        str | None, typer.Option(help="Of a copy: gzip (reads everywhere) or blosc (fast, needs hdf5plugin).")
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Write a field as a volume, or a capture as TIFFs or as a compressed copy, for other programs.

    A field becomes an OME-TIFF with physical sizes. It is continuous: any number of voxels may be asked for. Channel 1
    is the refractive index; there is a channel 2, kappa, where it exceeds 1 % of the largest difference of the index
    from the medium.

    A capture becomes a folder with a TIFF for each frame and a table (frames.csv), or a compressed copy whose data are
    the same bit by bit, which is verified.

    Example: `fieldscope export cells.field.h5 -o cells.ome.tif --voxel-um 0.1`

    Example: `fieldscope export cells.h5 -o cells-images`
    """
    from gui.commands.export import export as run
    from gui.commands.export_capture import export_capture, is_capture

    if is_capture(file):
        if shape is not None or voxel_um is not None:
            raise OperatorError(f"{file} is a capture and has no voxels.", "Leave out --shape and --voxel-um.")
        say(export_capture(file, output, compression or "gzip"), as_json)
        return
    if compression is not None:
        raise OperatorError("--compression is for copies of captures.", "Leave it out for a field.")
    if shape is not None and voxel_um is not None:
        raise OperatorError("--shape and --voxel-um are both given.", "Give one of them.")
    counts = None if shape is None else whole_numbers(shape, "--shape", (3,), 1, "64,256,256")
    sizes = None if voxel_um is None else numbers(voxel_um, "--voxel-um", (1, 3), "0.1")
    if sizes is not None and min(sizes) <= 0:
        raise OperatorError(f"--voxel-um holds {min(sizes):g}.", "Give sizes above 0.")
    say(
        run(
            file,
            output,
            None if counts is None else (counts[0], counts[1], counts[2]),
            None if sizes is None else (sizes[0], sizes[len(sizes) // 2], sizes[-1]),
            overwrite,
        ),
        as_json,
    )


@app.command()
def info(
    file: Annotated[
        Path, typer.Argument(help="Capture, field or hardware profile (a shipped one by name).", metavar="FILE")
    ],
    as_json: Json = False,
) -> None:
    """Say what a file is and what is in it.

    Examples: `fieldscope info cells.h5`, `fieldscope info simulated`
    """
    from gui.commands.describe import describe

    say(describe(file), as_json)


@app.command("simulate-led")
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

    serve(protocol, profile, fault, after, firmware, tcp, announce)


def main() -> NoReturn:
    """Run the command line; errors that the operator can cure are told with their remedy, exit code 2."""
    for number in end_signals():
        signal.signal(number, signal.default_int_handler)  # ends as cleanly as Ctrl-C
    try:
        app()
    except OperatorError as error:
        typer.echo(f"Error: {error}", err=True)
        sys.exit(EXIT_OPERATOR_ERROR)
    except KeyboardInterrupt:
        typer.echo("Stopped.", err=True)
        sys.exit(EXIT_INTERRUPTED)
    sys.exit(0)


if __name__ == "__main__":
    main()
