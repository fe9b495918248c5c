"""From an `ExportJob` to its file: refused at once where it cannot be, then written whole or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from acquisition.errors import OperatorError
from gui.export.channels import channels_of
from gui.export.job import MovieFile, PictureFile, VolumeFile
from gui.export.movie import check_encoder, count_of, frames, write_mp4
from gui.export.numpy_file import write_npy, write_npz
from gui.export.ome_tiff import write_ome_tiff
from gui.export.ome_zarr import check_zarr, write_ome_zarr
from gui.export.output import check_place, new_output, size_of
from gui.export.paint import paint_look, with_levels, write_png
from gui.export.sampling import sample_region

if TYPE_CHECKING:
    from pathlib import Path

    from gui.export.job import ExportJob, Format, Tell
    from recon.box import Box


def check_request(fields: tuple[Path, ...], output: Path, format_: Format, overwrite: bool) -> None:
    """Refuse what cannot be written, before anything is read.

    Raises
    ------
    OperatorError
        The name cannot be written, a library is missing, or there are several fields for what shows one.
    """
    for field in fields:
        check_place(output, overwrite, field)
    if format_ == "mp4":
        check_encoder()
    elif len(fields) > 1:
        message = f"{output} shows one field, and {len(fields)} are given."
        raise OperatorError(message, "Give one field, or make a movie of them: -o NAME.mp4.")
    if format_ == "ome-zarr":
        check_zarr()


def write(job: ExportJob, field: Box, tell: Tell) -> dict[str, object]:
    """Write a job whose first field is loaded; what is in the file, for the operator.

    Raises
    ------
    OperatorError
        It cannot be written, as `check_request` says and for want of room.
    """
    check_request(job.fields, job.output, job.format, job.overwrite)
    match job.what:
        case VolumeFile():
            told = _write_volume(job, job.what, field, tell)
        case PictureFile():
            told = _write_picture(job, job.what, field, tell)
        case MovieFile():
            told = _write_movie(job, job.what, field, tell)
    return {**told, "bytes": size_of(job.output)}


def _write_volume(job: ExportJob, what: VolumeFile, field: Box, tell: Tell) -> dict[str, object]:
    sampling = sample_region(field.bounds, field.shape_zyx, what.region)
    channels = channels_of(field, sampling, what.uncertainty)
    name = job.output.name.split(".")[0]
    with new_output(job.output, job.overwrite, sampling.size_bytes(len(channels.names))) as part:
        match what.format:
            case "ome-tiff":
                write_ome_tiff(part, name, channels, tell)
            case "ome-zarr":
                write_ome_zarr(part, name, channels, tell)
            case "npz":
                write_npz(part, channels, tell)
            case "npy":
                write_npy(part, channels, tell)
    voxel_um = sampling.voxel_xyz_um
    return {
        what.format.replace("-", "_"): str(job.output),
        "shape_zyx": list(sampling.shape_zyx),
        "voxel_um_xyz": voxel_um.tolist(),
        "first_voxel_um_xyz": (sampling.bounds_um[0] + voxel_um / 2).tolist(),
        "channels": list(channels.names),
        "index_range": list(channels.index_range),
    }


def _write_picture(job: ExportJob, what: PictureFile, field: Box, tell: Tell) -> dict[str, object]:
    look = with_levels(what.look, field)
    with new_output(job.output, job.overwrite) as part:
        write_png(part, paint_look(look, field, pulse=lambda: tell(0, 1, "picture")), look.um_per_px)
        tell(1, 1, "picture")
    rows, columns = look.shape
    return {"png": str(job.output), "pixels": [columns, rows], "um_per_pixel": look.um_per_px}


def _write_movie(job: ExportJob, what: MovieFile, field: Box, tell: Tell) -> dict[str, object]:
    count, done = count_of(what, job.fields), [0]

    def told(number: int, total: int, unit: str) -> None:
        done[0] = number
        tell(number, total, unit)

    def pulse() -> None:
        tell(done[0], count, "frame")

    with new_output(job.output, job.overwrite) as part:
        pictures = frames(what, field, load, job.fields, pulse)
        write_mp4(part, pictures, count, what.frames_per_second, told)
    return {"mp4": str(job.output), "frames": count, "seconds": round(count / what.frames_per_second, 3)}


def load(path: Path) -> Box:
    """Read a field; imports torch, which takes seconds."""
    from recon import load_field

    return load_field(path)
