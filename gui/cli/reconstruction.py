"""The commands that compute: the field, and where the LED board really is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from acquisition.errors import OperatorError
from gui.cli.arguments import Device, Json, Overwrite, Seconds, Seed, numbers, say, whole_numbers


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
    time_point: Annotated[
        int | None, typer.Option(min=0, help="Time point of a time-lapse, from 0 on; else the first.")
    ] = None,
    position: Annotated[
        int | None, typer.Option(min=0, help="Position of the stage, from 0 on; else the first.")
    ] = None,
    all_: Annotated[
        bool, typer.Option("--all", help="A field for each time point and position; -o names their folder.")
    ] = False,
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

    A field is made of one time point at one position. Of a capture with several, the first is taken, which is said;
    --all makes them all, and lets each fit begin from the field of the time point before, at the same position, where
    that predicts its images better than a start of their own.

    Example: `fieldscope reconstruct day2.h5 --time-point 3 --position 1`

    Example: `fieldscope reconstruct cells.h5 -o cells.field.h5 --z -6,6 --max-seconds 120`
    """
    from typing import get_args

    from gui.commands.reconstruct import readable, reconstruct_all
    from gui.commands.reconstruct import reconstruct as reconstruct_one
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
        time_point=time_point,
        position=position,
    )
    result = (reconstruct_all if all_ else reconstruct_one)(capture_file, output, settings, overwrite)
    say(result if as_json else readable(result), as_json)


def calibrate(
    capture_file: Annotated[Path, typer.Argument(help="Capture of a finished scan.", metavar="CAPTURE")],
    picture: Annotated[
        Path | None, typer.Option("--picture", help="PNG with the circles over the spectra.", metavar="FILE")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Leave the capture as it is.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Store also what is not to be trusted.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the picture if it exists.")] = False,
    orientation: Annotated[
        bool, typer.Option("--orientation", help="Only tell whether the board is mirrored or turned.")
    ] = False,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Find where the LED board really is, and store it in the capture.

    Shift, rotation and distance of the board and the objective's NA follow from the rims of the two discs in the
    spectra of the images. A board turned by 180 degrees shows the same discs: --orientation
    tells, by reconstructing with each orientation; the sample has to be denser than its medium.

    Example: `fieldscope calibrate cells.h5 --picture cells-calibration.png`
    """
    if orientation:
        if picture is not None or force:
            raise OperatorError("--orientation neither draws nor stores.", "Leave out --picture and --force.")
        from gui.commands.orientation import check_orientation

        say(check_orientation(capture_file, device), as_json)
        return
    from gui.commands.calibrate import calibrate as run
    from gui.commands.calibrate import readable

    figures, refusal = run(capture_file, picture, dry_run, force, overwrite)
    say(figures if as_json else readable(figures), as_json)
    if refusal is not None:
        raise refusal
