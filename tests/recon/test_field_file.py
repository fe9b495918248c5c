"""Field files: what is read is what was written, and everything else is refused with one clear sentence."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict, replace

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acquisition.errors import OperatorError
from recon import field_file, load_field
from recon.field_file import program_versions, write_field
from recon.result import Field
from tests.recon.fields import GRID, HISTORY, random_points, rough_field


@pytest.fixture(scope="module")
def field():
    history = replace(HISTORY, versions=program_versions(), capture_folder="/data", time_point=3, position=0)
    return replace(rough_field(), history=history)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fields")


@pytest.fixture(scope="module")
def path(field, folder):
    path = folder / "cell.field.h5"
    write_field(path, field)
    return path


def test_round_trip_keeps_the_index_within_half_precision(field, path):
    points = random_points(2000)
    before, after = field.refractive_index(points), load_field(path).refractive_index(points)
    contrast = np.abs(before - 1.33).max()
    assert contrast > 0.01
    assert np.abs(after - before).max() < 2e-3 * contrast


def test_round_trip_keeps_everything_else(field, path):
    again = load_field(path)
    assert again.network.config == field.network.config
    assert again.optics == field.optics
    assert again.grid == field.grid
    found, expected = asdict(again.history), asdict(field.history)
    for name in ("led_na_l2", "pattern_gain_p", "led_gain_l"):
        assert np.array_equal(found.pop(name), expected.pop(name), equal_nan=True)
    assert found == expected


def test_without_held_out_patterns_and_known_gain(field, tmp_path):
    bare = replace(
        field,
        history=replace(field.history, held_out=(), held_out_error=None),
        optics=replace(field.optics, camera_gain_e=None),
    )
    write_field(tmp_path / "bare.h5", bare)
    again = load_field(tmp_path / "bare.h5")
    assert again.history.held_out == () and again.history.held_out_error is None
    assert again.optics.camera_gain_e is None


def test_the_documented_interface(path):
    field = load_field(path, device="cpu")
    assert isinstance(field, Field)
    index = field.refractive_index(random_points(6).reshape(2, 3, 3))
    assert index.shape == (2, 3) and index.dtype == np.complex64
    assert field.refractive_index(np.array([1e3, 0, 0])) == np.complex64(1.33)
    assert np.asarray(field.bounds).shape == (2, 3)
    assert field.volume(shape=(3, 4, 5)).shape == (3, 4, 5)
    plane = field.slice(origin=(-1, -1, 0), u=(2, 0, 0), v=(0, 2, 0.5), shape=(6, 7))
    assert plane.shape == (6, 7) and plane.dtype == np.complex64
    assert field.intensity(na=(0.1, 0.2)).shape == (24, 30)


def test_the_file_holds_what_its_description_promises(field, path):
    with h5py.File(path) as file:
        assert file.attrs["schema"] == "fieldscope-field"
        assert file.attrs["schema_version"] == 1
        assert file.attrs["medium_index"] == 1.33
        assert file["bounds_um"][()] == pytest.approx(GRID.bounds_um)
        assert file["architecture"].attrs["name"] == "spline-grids-1"
        assert {f"weights/{name}" for name, _ in field.network.named_parameters()} <= set(names(file))
        assert file["optics"].attrs["wavelength_um"] == 0.515
        assert file["illumination/led_na"].shape == (19, 2)
        assert file["illumination/led_gain"].shape == (19,)
        fit = file["fit"]
        assert fit["held_out"][()].tolist() == [4]
        assert fit.attrs["held_out_error"] == 0.2
        assert fit.attrs["training_loss"] == 0.01
        assert fit.attrs["forward_model"] == "born"
        assert fit.attrs["capture_name"] == "c.h5" and fit.attrs["capture_sha256"] == "ab"
        assert fit.attrs["seconds"] == 3.0
        assert {"fieldscope", "torch", "numpy"} <= set(json.loads(fit.attrs["versions"]))
        assert all(dataset.dtype.kind in "fiu" for dataset in names(file).values()), "numbers only: nothing to execute"


def names(file):
    found = {}
    file.visititems(lambda name, item: found.update({name: item}) if isinstance(item, h5py.Dataset) else None)
    return found


def test_it_is_small_and_says_how_small(field, tmp_path):
    size = write_field(tmp_path / "small.h5", field)
    assert size == (tmp_path / "small.h5").stat().st_size
    assert size < 0.6 * field.network.parameter_bytes + 60_000
    assert os.listdir(tmp_path) == ["small.h5"]


def test_missing_folders_are_made_and_an_old_file_is_replaced(field, tmp_path):
    path = tmp_path / "new" / "folder" / "a.field.h5"
    write_field(path, field)
    write_field(path, replace(field, history=replace(field.history, steps=77)))
    assert load_field(path).history.steps == 77
    assert len(list(path.parent.iterdir())) == 1


def test_a_write_that_fails_leaves_the_old_file_alone(field, tmp_path, monkeypatch):
    path = tmp_path / "a.field.h5"
    write_field(path, field)
    before = path.read_bytes()

    def disk_full(file, field, exact):
        file.create_group("begun")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(field_file, "_fill", disk_full)
    with pytest.raises(OperatorError, match="No space left on device") as error:
        write_field(path, field)
    assert error.value.remedy
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("place", ["file/a.field.h5", "folder"])
def test_a_place_that_cannot_be_written_is_an_operator_error(field, tmp_path, place):
    (tmp_path / "file").write_text("not a folder")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OperatorError, match="Cannot write") as error:
        write_field(tmp_path / place, field)
    assert error.value.remedy
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


# --- files that are no good -------------------------------------------------------------------------------------------


def refused(path):
    with pytest.raises(OperatorError) as error:
        load_field(path)
    assert str(path) in error.value.message
    assert error.value.remedy
    return error.value.message


def test_a_missing_file(tmp_path):
    assert "There is no field" in refused(tmp_path / "none.h5")
    assert "There is no field" in refused(tmp_path)


@pytest.mark.parametrize("content", [b"", b"not HDF5 at all", b"\x89HDF\r\n\x1a\n" + b"\0" * 200])
def test_a_file_that_is_not_hdf5(tmp_path, content):
    (tmp_path / "x.h5").write_bytes(content)
    assert "damaged or not a field" in refused(tmp_path / "x.h5")


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file(path, tmp_path, kept):
    content = path.read_bytes()
    (tmp_path / "cut.h5").write_bytes(content[: int(kept * len(content))])
    assert "damaged or not a field" in refused(tmp_path / "cut.h5")


def test_a_capture(cells_capture):
    assert "fieldscope-capture" in refused(cells_capture)


def changed(path, tmp_path, change):
    copy = tmp_path / "changed.h5"
    shutil.copy(path, copy)
    with h5py.File(copy, "a") as file:
        change(file)
    return copy


def test_a_file_of_a_newer_version(path, tmp_path):
    copy = changed(path, tmp_path, lambda file: file.attrs.modify("schema_version", 2))
    message = refused(copy)
    assert "version 2" in message and "version 1" in message


def test_a_field_of_an_architecture_to_come(path, tmp_path):
    copy = changed(path, tmp_path, lambda file: file["architecture"].attrs.modify("name", "hash-grids-7"))
    assert "hash-grids-7" in refused(copy)


PARTS = [
    "architecture", "bounds_um", "weights", "weights/grids.0", "weights/layers.0", "optics", "grid", "illumination",
    "illumination/led_na", "fit", "fit/held_out",
]  # fmt: skip


@pytest.mark.parametrize("part", PARTS)
def test_a_missing_part(path, tmp_path, part):
    copy = changed(path, tmp_path, lambda file: file.__delitem__(part))
    assert "damaged" in refused(copy)


@pytest.mark.parametrize("part", ["weights/grids.3", "weights/layers.2", "bounds_um"])
def test_a_part_of_the_wrong_shape(path, tmp_path, part):
    def cut(file):
        values = file[part][()]
        del file[part]
        file[part] = values[:1]

    assert "damaged" in refused(changed(path, tmp_path, cut))


@pytest.mark.parametrize("name", ["levels_zyx", "features", "widths", "scale"])
def test_a_wrong_or_missing_attribute(path, tmp_path, name):
    copy = changed(path, tmp_path, lambda file: file["architecture"].attrs.__delitem__(name))
    assert "damaged" in refused(copy)
    copy = changed(path, tmp_path, lambda file: file["architecture"].attrs.__setitem__(name, "many"))
    assert "damaged" in refused(copy)


@settings(max_examples=25, derandomize=True)
@given(st.data())
def test_flipped_bytes_never_give_anything_but_a_field_or_an_operator_error(path, folder, data):
    content = bytearray(path.read_bytes())
    for place in data.draw(st.lists(st.integers(0, min(len(content), 6000) - 1), min_size=1, max_size=8)):
        content[place] ^= data.draw(st.integers(1, 255))
    copy = folder / "flipped.h5"
    copy.write_bytes(content)
    try:
        load_field(copy)
    except OperatorError as error:
        assert error.remedy


def test_a_device_that_is_not_there(path):
    with pytest.raises(OperatorError) as error:
        load_field(path, device="cuda:7")
    assert error.value.remedy


def test_package_and_messages_import_neither_torch_nor_qt():
    code = (
        "import sys, recon, recon.messages, recon.client, recon.shared, recon.scene;"
        "assert not {'torch', 'PySide6'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
