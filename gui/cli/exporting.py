"""The commands that show a field, and turn it or a capture into files for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from acquisition.errors import OperatorError
from gui.cli.arguments import Json, Overwrite, numbers, say, whole_numbers


def export(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="Field (NAME.field.h5), several for a movie of them in this order; or a capture.",
            metavar="FIELD...|CAPTURE",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="Of a field: NAME.ome.tif, .ome.zarr, .npz, .npy, .png or .mp4. Of a capture: a folder for TIFFs, or"
            " NAME.h5 for a compressed copy.",
            metavar="FILE|FOLDER",
        ),
    ],
    format_: Annotated[
        str | None,
        typer.Option("--format", help="ome-tiff, ome-zarr, npz, npy, png or mp4; else as the output is called."),
    ] = None,
    box: Annotated[
        str | None,
        typer.Option("--box", help="Part of the box in um, x, y and z each from, to.", metavar="X0,X1,Y0,Y1,Z0,Z1"),
    ] = None,
    shape: Annotated[str | None, typer.Option(help="Voxels along z, y and x.", metavar="Z,Y,X")] = None,
    voxel_um: Annotated[
        str | None,
        typer.Option("--voxel-um", help="Size of a voxel in um: one number, or one each for z, y, x.", metavar="SIZE"),
    ] = None,
    uncertainty: Annotated[
        bool, typer.Option("--uncertainty", help="One channel more: the standard deviation of the index.")
    ] = False,
    view: Annotated[
        str | None, typer.Option(help="Of pictures and movies: xy, xz, yz (slices) or volume.", metavar="VIEW")
    ] = None,
    at: Annotated[
        float | None, typer.Option(help="Where the slice lies, in um; else in the middle.", metavar="UM")
    ] = None,
    size: Annotated[
        int | None, typer.Option(min=16, max=16384, help="Longer side of the picture, in pixels.", metavar="PIXELS")
    ] = None,
    part: Annotated[
        str | None, typer.Option(help="What a slice shows: dn or kappa (absorption).", metavar="PART")
    ] = None,
    levels: Annotated[
        str | None, typer.Option(help="Values of the darkest and the brightest colour.", metavar="LOW,HIGH")
    ] = None,
    colours: Annotated[
        str | None, typer.Option(help="grey, inferno, magma, viridis or cividis.", metavar="MAP")
    ] = None,
    scale_bar: Annotated[bool, typer.Option("--scale-bar/--no-scale-bar", help="Burn a scale bar in.")] = True,
    mode: Annotated[
        str | None, typer.Option(help="Of the volume: composite, surface, mip, minip or phase.", metavar="MODE")
    ] = None,
    turn: Annotated[
        float | None, typer.Option(help="Turn the volume about its z axis first.", metavar="DEGREES")
    ] = None,
    tilt: Annotated[
        float | None, typer.Option(help="Then tilt it; 0: seen along z, as in the xy slice.", metavar="DEGREES")
    ] = None,
    draft: Annotated[
        bool, typer.Option("--draft", help="Paint the volume from a coarse copy, many times faster.")
    ] = False,
    frames: Annotated[int | None, typer.Option(min=2, max=10000, help="Frames of a movie of one field.")] = None,
    fps: Annotated[float | None, typer.Option(min=0.1, max=120.0, help="Frames a second.")] = None,
    compression: Annotated[
        str | None, typer.Option(help="Of a copy: gzip (reads everywhere) or blosc (fast, needs hdf5plugin).")
    ] = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Write a field as a volume, a picture or a movie, or a capture as TIFFs or a compressed copy.

    A field is continuous: any part of it on any number of voxels may be asked for; without, it is sampled as it was
    reconstructed. Channel 1 is the refractive index; there is a channel 2, kappa, where it exceeds 1 % of the largest
    difference of the index from the medium. Large volumes are written plane by plane.

    A movie shows the volume turning about its z axis, or a slice going through the box; of several fields (a
    time-lapse) it shows one after the other.

    A capture becomes a folder with a TIFF for each frame and a table (frames.csv), or a compressed copy whose data are
    the same bit by bit, which is verified.

    Example: `fieldscope export cells.field.h5 -o cells.ome.tif --voxel-um 0.1`

    Example: `fieldscope export cells.field.h5 -o cells.png --view xz --at 2.5 --colours viridis`

    Example: `fieldscope export cells.field.h5 -o spin.mp4 --view volume --mode surface`

    Example: `fieldscope export cells.h5 -o cells-images`
    """
    from gui.commands.export import export as run
    from gui.commands.export import format_of
    from gui.commands.export_capture import export_capture, is_capture
    from gui.commands.export_look import look_options
    from gui.export.job import Region

    if is_capture(files[0]):
        if len(files) > 1:
            raise OperatorError(f"{files[0]} is a capture, and there is more.", "Export one capture at a time.")
        if shape is not None or voxel_um is not None or box is not None:
            message = f"{files[0]} is a capture and has no voxels."
            raise OperatorError(message, "Leave out --shape, --voxel-um and --box.")
        say(export_capture(files[0], output, compression or "gzip"), as_json)
        return
    if compression is not None:
        raise OperatorError("--compression is for copies of captures.", "Leave it out for a field.")
    if shape is not None and voxel_um is not None:
        raise OperatorError("--shape and --voxel-um are both given.", "Give one of them.")
    counts = None if shape is None else whole_numbers(shape, "--shape", (3,), 1, "64,256,256")
    sizes = None if voxel_um is None else numbers(voxel_um, "--voxel-um", (1, 3), "0.1")
    if sizes is not None and min(sizes) <= 0:
        raise OperatorError(f"--voxel-um holds {min(sizes):g}.", "Give sizes above 0.")
    ends = None if box is None else numbers(box, "--box", (6,), "-10,10,-10,10,-3,3")
    shades = None if levels is None else numbers(levels, "--levels", (2,), "0,0.02")
    if shades is not None and shades[0] >= shades[1]:
        raise OperatorError(f"--levels goes from {shades[0]:g} to {shades[1]:g}.", "Give the smaller one first.")
    options = look_options(
        view=view,
        at_um=at,
        size_px=size,
        part=part,
        levels=shades,
        colours=colours,
        scale_bar=scale_bar,
        mode=mode,
        turn_deg=turn,
        tilt_deg=tilt,
        draft=draft,
        frames=frames,
        per_second=fps,
    )
    region = Region(
        None if ends is None else ((ends[0], ends[2], ends[4]), (ends[1], ends[3], ends[5])),
        None if sizes is None else (sizes[0], sizes[len(sizes) // 2], sizes[-1]),
        None if counts is None else (counts[0], counts[1], counts[2]),
    )
    result = run(tuple(files), output, format_of(output, format_), region, uncertainty, options, overwrite)
    say(result, as_json)


def view(
    file: Annotated[Path, typer.Argument(help="Field to look at, or capture to reconstruct.", metavar="FIELD|CAPTURE")],
) -> None:
    """Open the window on a field, or on a capture, which is reconstructed there.

    Example: `fieldscope view cells.field.h5`
    """
    if not file.is_file():
        raise OperatorError(f"There is no file {file}.", "Check name and folder.")
    from gui.app import main as open_window

    raise typer.Exit(open_window([str(file)]))
