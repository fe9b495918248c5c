"""The commands that look at files, mend them, or turn them into others."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from acquisition.errors import OperatorError
from gui.cli.arguments import (
    Device,
    Json,
    Operator,
    Profile,
    Sample,
    Title,
    say,
)

EXIT_CHECK_FAILED = 1

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


def check(
    capture_file: Annotated[Path | None, typer.Argument(help="Capture to look at.", metavar="[CAPTURE]")] = None,
    profile: Annotated[
        str | None,
        typer.Option("--profile", "-p", help="Check the instrument of this profile instead.", metavar="PROFILE"),
    ] = None,
    all_leds: Annotated[
        bool, typer.Option("--all-leds", help="Light each LED of the board, not only those of the plan.")
    ] = False,
    orientation: Annotated[
        bool, typer.Option("--orientation", help="Tell also whether the board is mirrored or turned.")
    ] = False,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Check a capture or an instrument: is everything as it should be, and what to do if not.

    Of a capture: every part of the file, frames that are missing, saturated, twice or out of order, exposures, dark
    frame, LEDs and optics.

    Of an instrument: port, board, camera, pixel size and stages; each LED in an image of its own; exposure; triggers
    where cables are; and where the board is, from the spectra of the images. Put a sample in focus before.
    --orientation scans, and reconstructs with the board each way.

    Exit code 1 where there is an error.

    Examples: `fieldscope check cells.h5`, `fieldscope check --profile my_microscope.toml`
    """
    from gui.commands.check import check_file, check_microscope

    if (capture_file is None) == (profile is None):
        raise OperatorError(
            "There is nothing to check." if profile is None else "A capture and a profile are both given.",
            "Name a capture file, or the instrument: `fieldscope check --profile PROFILE`.",
        )
    if capture_file is not None:
        if all_leds or orientation:
            raise OperatorError(
                "--all-leds and --orientation are for instruments.",
                "Leave them out; `fieldscope calibrate CAPTURE --orientation` tells it of a capture.",
            )
        passed = check_file(capture_file, as_json)
    else:
        assert profile is not None
        passed = check_microscope(profile, all_leds, orientation, device, as_json)
    if not passed:
        raise typer.Exit(EXIT_CHECK_FAILED)


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
