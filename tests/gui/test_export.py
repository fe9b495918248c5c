"""Exports read back with the libraries that others read them with."""

from __future__ import annotations

import errno
import re
import shutil
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from acquisition.errors import OperatorError
from gui.cli.exporting import export as command_line
from gui.cli.exporting import view
from gui.commands.export import export as run_command
from gui.commands.export import format_of
from gui.commands.export_look import colour_table, look_options, shown
from gui.export import ome_tiff, sampling
from gui.export.job import ExportJob, PictureFile, Region, Sequence, SliceLook, VolumeFile
from gui.export.ome_zarr import halved, pyramid
from gui.export.paint import burn_scale_bar, paint_look
from gui.export.sampling import sample_region
from gui.export.write import load, write
from gui.lengths import round_length_um
from gui.napari_reader import get_reader
from recon.field_file import write_field
from tests.gui.test_cli import fieldscope
from tests.recon.fields import rough_field
from tests.recon.spheres import sphere_box


@pytest.fixture(scope="module")
def field_path(tmp_path_factory):
    path = tmp_path_factory.mktemp("export") / "rough.field.h5"
    write_field(path, rough_field())
    return path


@pytest.fixture(scope="module")
def field(field_path):
    return load(field_path)


def quiet(done, total, unit):
    pass


def volume_job(path, format_, region=Region()):  # noqa: B008  # frozen
    return ExportJob((path.parent / "source.field.h5",), path, VolumeFile(format_, region))


# --- volumes ----------------------------------------------------------------------------------------------------------


def test_ome_tiff_holds_the_field_with_its_sizes(field, tmp_path):
    path = tmp_path / "cells.ome.tif"
    told = write(volume_job(path, "ome-tiff", Region(shape_zyx=(5, 12, 14))), field, quiet)
    index = field.volume((5, 12, 14))
    with tifffile.TiffFile(path) as tiff:
        assert tiff.is_ome and not tiff.is_bigtiff
        data = tiff.asarray()
        about = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]["Pixels"]
    np.testing.assert_allclose(data[0], index.real, atol=1e-6)
    np.testing.assert_allclose(data[1], index.imag, atol=1e-6)
    voxel_um = (field.bounds[1] - field.bounds[0]) / (14, 12, 5)
    for axis, size in zip("XYZ", voxel_um, strict=True):
        assert about[f"PhysicalSize{axis}"] == pytest.approx(size)
        assert about[f"PhysicalSize{axis}Unit"] == "µm"
    assert [channel["Name"] for channel in about["Channel"]] == ["refractive index", "kappa (absorption)"]
    planes = about["Plane"]
    assert [(plane["TheC"], plane["TheZ"]) for plane in planes][4:6] == [(0, 4), (1, 0)]
    assert planes[1]["PositionZ"] == pytest.approx(field.bounds[0][2] + 1.5 * voxel_um[2])
    assert told["index_range"] == pytest.approx([index.real.min(), index.real.max()], abs=1e-6)
    assert told["bytes"] == path.stat().st_size


def test_large_ome_tiff_is_bigtiff(field, tmp_path, monkeypatch):
    monkeypatch.setattr(ome_tiff, "CLASSIC_BYTES", 1000)
    write(volume_job(tmp_path / "a.tif", "ome-tiff"), field, quiet)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        assert tiff.is_bigtiff and tiff.is_ome


def test_a_region_is_a_part_of_the_whole(field, tmp_path):
    """A box that ends on voxels of the whole holds exactly those."""
    whole = field.volume(field.shape_zyx)
    voxel = (field.bounds[1] - field.bounds[0]) / field.shape_zyx[::-1]
    lower, upper = field.bounds[0] + (3, 2, 1) * voxel, field.bounds[0] + (11, 9, 4) * voxel
    job = volume_job(tmp_path / "part.npy", "npy", Region((tuple(lower), tuple(upper))))
    write(job, field, quiet)
    np.testing.assert_allclose(np.load(job.output), whole[1:4, 2:9, 3:11], atol=1e-6)


def test_npz_has_axes_and_clear_samples_have_no_kappa(tmp_path):
    clear = sphere_box()
    job = volume_job(tmp_path / "a.npz", "npz", Region(voxel_zyx_um=(1.0, 0.5, 0.5)))
    assert write(job, clear, quiet)["channels"] == ["refractive index"]
    with np.load(job.output) as told:
        assert told["index_zyx"].dtype == np.float32
        assert told["index_zyx"].shape == (14, 32, 32) == tuple(len(told[f"{axis}_um"]) for axis in "zyx")
        assert told["x_um"][:2].tolist() == [-7.75, -7.25]
        np.testing.assert_allclose(told["index_zyx"], clear.volume((14, 32, 32)).real)


def test_ome_zarr_and_its_pyramid(tmp_path):
    zarr = pytest.importorskip("zarr")
    clear = sphere_box(soft_um=2.0)
    path = tmp_path / "cells.ome.zarr"
    job = volume_job(path, "ome-zarr", Region(shape_zyx=(20, 300, 300)))
    write(job, clear, quiet)
    group = zarr.open_group(path, mode="r")
    scales = group.attrs["multiscales"][0]
    assert [axis["name"] for axis in scales["axes"]] == ["c", "z", "y", "x"]
    assert {axis.get("unit") for axis in scales["axes"][1:]} == {"micrometer"}
    volumes = [np.asarray(group[level["path"]]) for level in scales["datasets"]]
    assert [volume.shape for volume in volumes] == [(1, 20, 300, 300), (1, 20, 150, 150)]
    np.testing.assert_allclose(volumes[0][0], clear.volume((20, 300, 300)).real, atol=1e-6)
    np.testing.assert_allclose(volumes[1][0], volumes[0][0].reshape(20, 150, 2, 150, 2).mean(axis=(2, 4)), rtol=1e-5)
    for level, volume in zip(scales["datasets"], volumes, strict=True):
        scale, shift = level["coordinateTransformations"]
        extent = np.array(scale["scale"][1:]) * volume.shape[1:]
        np.testing.assert_allclose(extent, (clear.bounds[1] - clear.bounds[0])[::-1])
        np.testing.assert_allclose(np.array(shift["translation"][1:]) - np.array(scale["scale"][1:]) / 2, [-7, -9, -8])

    (path / "mark").touch()
    with pytest.raises(OperatorError, match="exists already"):
        write(job, clear, quiet)
    write(replace(job, overwrite=True), clear, quiet)
    assert not (path / "mark").exists() and [part.name for part in tmp_path.iterdir()] == ["cells.ome.zarr"]


@given(st.tuples(*[st.integers(1, 9)] * 3), st.tuples(*[st.sampled_from([1, 2])] * 3))
@settings(max_examples=30, deadline=None)
def test_coarser_copies_keep_a_constant_and_count_every_voxel(shape, factor):
    volume = np.full((2, *shape), 1.37, np.float32)
    coarse = halved(volume, factor)
    assert coarse.shape[1:] == tuple(-(-count // step) for count, step in zip(shape, factor, strict=True))
    np.testing.assert_allclose(coarse, 1.37, rtol=1e-6)


def test_pyramid_makes_flat_voxels_cubes_first():
    assert pyramid((64, 1024, 1024), (0.4, 0.1, 0.1)) == [(1, 2, 2), (1, 2, 2)]
    assert pyramid((64, 1024, 1024), (0.1, 0.1, 0.1)) == [(2, 2, 2), (2, 2, 2)]


@given(st.tuples(*[st.floats(-20, 20)] * 3), st.tuples(*[st.floats(0.5, 30)] * 3), st.floats(0.05, 5.0))
@settings(max_examples=50, deadline=None)
def test_voxels_fill_the_part_of_the_region_that_lies_in_the_box(corner, size, voxel):
    bounds = np.array([[-8.0, -9.0, -7.0], [8.0, 7.0, 7.0]])
    box = (corner, tuple(a + b for a, b in zip(corner, size, strict=True)))
    wanted = np.array([np.maximum(bounds[0], box[0]), np.minimum(bounds[1], box[1])])
    region = Region(box, (voxel, voxel, voxel))
    if np.any(wanted[1] <= wanted[0]):
        with pytest.raises(OperatorError, match="nothing of the box"):
            sample_region(bounds, (10, 10, 10), region)
        return
    found = sample_region(bounds, (10, 10, 10), region)
    np.testing.assert_allclose(found.bounds_um, wanted)
    for axis, count, low, high in zip(found.axes_um, found.shape_zyx[::-1], *wanted, strict=True):
        assert len(axis) == count and low < axis[0] <= axis[-1] < high
    assert found.voxels * np.prod(found.voxel_xyz_um) == pytest.approx(np.prod(wanted[1] - wanted[0]))


# --- pictures and movies ----------------------------------------------------------------------------------------------


def slice_of(box, **options):
    return shown(box, "png", Region(), look_options(**options), 1).look


def test_a_slice_is_the_field_through_levels_and_colours():
    box = sphere_box(radii_um=(4.0,))
    look = slice_of(box, view="xz", size_px=160, levels=(0.0, 0.02), scale_bar=False, colours="viridis")
    picture = paint_look(look, box)
    assert picture.shape == (140, 160, 3)
    table = np.frombuffer(colour_table("viridis"), np.uint8).reshape(-1, 3)
    assert picture[70, 80].tolist() == table[-1].tolist() and picture[0, 0].tolist() == table[0].tolist()
    assert np.all(picture == table[-1], axis=2).sum() * look.um_per_px**2 == pytest.approx(
        np.pi * 3.87**2,
        rel=0.05,  # one um off the centre of the sphere
    )


@given(st.integers(64, 900), st.integers(64, 900), st.floats(1e-3, 10))
@settings(max_examples=25, deadline=None)
def test_the_scale_bar_is_as_long_as_it_says(rows, columns, um_per_px):
    burnt = burn_scale_bar(np.zeros((rows, columns, 3), np.uint8), um_per_px)
    bar_row = rows - max(2, round(0.03 * min(rows, columns))) - 1
    length_px = int((burnt[bar_row] == (242, 244, 247)).all(axis=1).sum())
    assert length_px == round(round_length_um(0.25 * columns * um_per_px) / um_per_px)
    assert 0.09 * columns <= length_px <= 0.26 * columns


def test_png_of_the_command_line(field_path, tmp_path):
    from PIL import Image

    said = fieldscope("export", field_path, "-o", tmp_path / "a.png", "--view", "xz", "--size", 200, "--at", 0.3)
    assert said.returncode == 0, said.stderr
    picture = np.asarray(Image.open(tmp_path / "a.png"))
    assert picture.shape[1] == 200 and picture.std() > 5


def decoded(path):
    import av

    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        return float(stream.average_rate), [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]


def test_a_sweep_goes_through_the_sphere(tmp_path):
    pytest.importorskip("av")
    box = sphere_box(radii_um=(4.0,))
    options = look_options(size_px=101, frames=9, levels=(0.0, 0.02), scale_bar=False, per_second=10.0)
    movie = shown(box, "mp4", Region(), options, 1)
    path = tmp_path / "sweep.mp4"
    told = write(ExportJob((path,), path, movie), box, quiet)
    assert (told["frames"], told["seconds"]) == (9, 0.9)
    rate, frames = decoded(path)
    assert rate == 10 and len(frames) == 9 and frames[0].shape == (100, 100, 3)
    bright = [float((frame > 128).mean()) for frame in frames]
    assert bright[0] == bright[-1] == 0.0 and bright[4] == max(bright)
    assert bright[4] == pytest.approx(np.pi * 16 / 256, rel=0.1)
    assert frames[4][56, 50].min() > 240 and frames[4][2, 2].max() < 12


def test_a_spin_shows_the_other_side_half_way(tmp_path):
    pytest.importorskip("av")
    box = sphere_box(centres_um=((5.0, 0.0, 0.0),), radii_um=(2.0,))
    options = look_options(view="volume", mode="mip", size_px=64, frames=4, tilt_deg=0.0, turn_deg=0.0, scale_bar=False)
    path = tmp_path / "spin.mp4"
    write(ExportJob((path,), path, shown(box, "mp4", Region(), options, 1)), box, quiet)
    _, frames = decoded(path)
    columns = [np.argwhere(frame[..., 1] > 128)[:, 1].mean() for frame in frames]
    assert len(frames) == 4 and columns[0] > 38 and columns[2] < 26
    assert np.abs(frames[0].astype(int) - frames[2]).max() > 100


def test_several_fields_are_frames_in_their_order(tmp_path):
    pytest.importorskip("av")
    paths = [tmp_path / f"t{number}.field.h5" for number in (2, 0, 1)]
    for number, path in enumerate(paths):
        write_field(path, rough_field(seed=number))
    movie = tmp_path / "t.mp4"
    told = run_command(tuple(paths), movie, "mp4", Region(), False, look_options(size_px=64, scale_bar=False), False)
    assert told["frames"] == 3
    look = shown(load(paths[0]), "mp4", Region(), look_options(size_px=64, scale_bar=False), 3)
    assert isinstance(look.motion, Sequence)
    rate, frames = decoded(movie)
    assert rate == 5
    means = [frame.astype(float) for frame in frames]
    assert np.abs(means[0] - means[1]).mean() > 3 and np.abs(means[1] - means[2]).mean() > 3
    with pytest.raises(OperatorError, match="shows one field"):
        run_command(tuple(paths), tmp_path / "t.png", "png", Region(), False, look_options(), False)


# --- faults -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.ome.tif", "a.npz", "a.npy", "a.ome.zarr", "a.png", "a.mp4"])
def test_ctrl_c_leaves_nothing_and_an_old_file_as_it_was(name, field, tmp_path):
    path = tmp_path / name
    if name == "a.ome.zarr":
        path.mkdir()
        (path / ".zgroup").write_text("old")
    else:
        path.write_text("old")
    format_ = format_of(path, None)
    options = look_options(size_px=64, frames=5, view="volume" if name == "a.png" else "xy")
    what = shown(field, format_, Region(), options, 1) if format_ in ("png", "mp4") else VolumeFile(format_)

    def interrupt(done, total, unit):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(ExportJob((path.parent / "x.field.h5",), path, what, overwrite=True), field, interrupt)
    assert [part.name for part in tmp_path.iterdir()] == [name]
    assert (path / ".zgroup" if path.is_dir() else path).read_text() == "old"


def test_no_room_is_told_before_and_while_writing(field, tmp_path, monkeypatch):
    job = volume_job(tmp_path / "a.ome.tif", "ome-tiff")
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
        with pytest.raises(OperatorError, match="free on its disk") as refused:
            write(job, field, quiet)
    assert "Make room" in refused.value.remedy

    def full(done, total, unit):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OperatorError, match="No space left") as refused:
        write(job, field, full)
    assert "Make room" in refused.value.remedy
    assert not list(tmp_path.iterdir())


def test_what_exists_is_replaced_only_on_request(field, field_path, tmp_path):
    job = volume_job(tmp_path / "a.npy", "npy")
    write(job, field, quiet)
    with pytest.raises(OperatorError, match="exists already"):
        write(job, field, quiet)
    write(replace(job, overwrite=True), field, quiet)

    def comes_up(done, total, unit):
        (tmp_path / "b.npy").write_text("mine")

    with pytest.raises(OperatorError, match="exists by now"):
        write(volume_job(tmp_path / "b.npy", "npy"), field, comes_up)
    assert (tmp_path / "b.npy").read_text() == "mine"
    (tmp_path / "notes.zarr").mkdir()
    (tmp_path / "notes.zarr" / "diary.txt").touch()
    with pytest.raises(OperatorError, match="something else"):
        write(replace(volume_job(tmp_path / "notes.zarr", "ome-zarr"), overwrite=True), field, quiet)


@pytest.mark.parametrize(("module", "name", "extra"), [("zarr", "a.ome.zarr", "[zarr]"), ("av", "a.mp4", "[movie]")])
def test_a_missing_library_is_named_before_anything_is_read(module, name, extra, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    output = tmp_path / name
    with pytest.raises(OperatorError, match="not installed") as refused:
        run_command(
            (tmp_path / "none.field.h5",), output, format_of(output, None), Region(), False, look_options(), False
        )
    assert extra in refused.value.remedy


def test_what_does_not_fit_is_refused_with_a_remedy(field, monkeypatch, tmp_path):
    monkeypatch.setattr(sampling, "MAX_PLANE", 100)
    with pytest.raises(OperatorError, match="memory") as refused:
        write(volume_job(tmp_path / "a.tif", "ome-tiff"), field, quiet)
    assert "--voxel-um" in refused.value.remedy
    look = SliceLook((0, 0, 0), (1, 0, 0), (0, 1, 0), (10**5, 10**5), colour_table("grey"))
    with pytest.raises(OperatorError, match="too large"):
        write(ExportJob((tmp_path / "x",), tmp_path / "a.png", PictureFile(look)), field, quiet)
    with pytest.raises(OperatorError, match="no uncertainty"):
        write(
            replace(
                volume_job(tmp_path / "a.tif", "npy"),
                what=VolumeFile("npy", uncertainty=True, region=Region(shape_zyx=(2, 2, 2))),
            ),
            field,
            quiet,
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("a.xyz", {}, "does not tell a format"),
        ("a.png", {"view": "top"}, "--view 'top'.*xy, xz, yz, volume"),
        ("a.tif", {"box": "1,2,3"}, "--box.*6 numbers"),
        ("a.png", {"levels": "2,1"}, "--levels.*smaller one first"),
        ("a.tif", {"shape": "1,1,1", "voxel_um": "1"}, "both"),
        ("a.tif", {"box": "5,-5,0,1,0,1"}, "nothing of the box"),
        ("a.png", {"at": 1000.0}, "--at.*between"),
        ("a.tif", {"format_": "bmp"}, "no format 'bmp'"),
    ],
)
def test_mistakes_are_told(name, options, said, field_path, tmp_path):
    with pytest.raises(OperatorError) as refused:
        command_line([field_path], tmp_path / name, **options)
    assert re.search(said, str(refused.value), re.DOTALL), str(refused.value)
    assert not list(tmp_path.iterdir())


def test_view_of_what_is_not_there(tmp_path):
    with pytest.raises(OperatorError, match="no file"):
        view(tmp_path / "cells.field.h5")


def test_napari_gets_the_field_with_its_place(field, field_path):
    assert get_reader("cells.h5") is None and get_reader(["a.field.h5"]) is None
    [(index_zyx, about, kind)] = get_reader(str(field_path))(str(field_path))
    np.testing.assert_allclose(index_zyx, field.volume(field.shape_zyx).real, atol=1e-6)
    assert kind == "image" and about["name"] == "rough"
    np.testing.assert_allclose(np.array(about["scale"]) * index_zyx.shape, (field.bounds[1] - field.bounds[0])[::-1])
    np.testing.assert_allclose(np.array(about["translate"]) - np.array(about["scale"]) / 2, field.bounds[0][::-1])
