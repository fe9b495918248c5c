"""Field files: one reconstruction in plain HDF5, a few megabytes that replace the volume.

Holds the architecture by name, the weights as datasets, box, optics, LED directions and history, so that any machine
can evaluate n(x, y, z) at any point without the capture. Feature grids are rounded to whole steps far below what the
data tell, and compressed; the network keeps single precision.

A field of tiles holds each of them as such a field, in the group `tiles`, and where it lies.
"""

from __future__ import annotations

import functools
import json
import os
import platform
import tempfile
from dataclasses import asdict, fields
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import torch

from acquisition.capture import Optics
from acquisition.errors import OperatorError
from recon.assessment import read_assessment, write_assessment
from recon.field import FieldConfig, NeuralField
from recon.grid import VolumeGrid
from recon.result import Field, History
from recon.tiles import TileAxis, TiledField, Tiling

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

SCHEMA = "fieldscope-field"
SCHEMA_VERSION = 1
ARCHITECTURE = "spline-grids-1"
TILED = "tiles-1"

GRID_STEP = 1.0 / 512.0
"""Feature grids are rounded to this: their values are of order one, and one unit is the largest dn of the sample."""


class FieldFileError(OperatorError):
    """A field file cannot be written or read."""


@functools.cache  # each picture of a fit asks for the field with its history
def program_versions() -> dict[str, str]:
    """Versions that matter for a reconstruction."""
    try:
        own = version("fieldscope")
    except PackageNotFoundError:  # run from the source tree, not installed
        own = "(not installed)"
    return {
        "fieldscope": own,
        "torch": str(torch.__version__),  # a class of torch otherwise: the window would import it to unpickle
        "numpy": np.__version__,
        "h5py": h5py.__version__,
        "python": platform.python_version(),
    }


def write_field(
    path: str | os.PathLike[str],
    field: Field | TiledField,
    exact: bool = False,
    add: Callable[[h5py.File], None] = lambda file: None,
) -> int:
    """Write a field; the file appears whole or not at all, and replaces one of the same name only then.

    Parameters
    ----------
    path, field
        Where, and what.
    exact
        Neither rounded nor compressed, and not waited for until it is on the disk: many times quicker and larger, for a
        file that is to outlive this process but not the computer.
    add
        Writes more into the file.

    Returns
    -------
    int
        Size in bytes.

    Raises
    ------
    FieldFileError
        The folder cannot be written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=path.name + ".", suffix=".part", dir=path.parent)
        os.close(handle)
        try:
            with h5py.File(temporary, "w", libver="earliest") as file:
                file.attrs.update(
                    schema=SCHEMA,
                    schema_version=SCHEMA_VERSION,
                    created=datetime.now(UTC).isoformat(timespec="seconds"),
                )
                _fill(file, field, exact)
                add(file)
            if not exact:
                with open(temporary, "rb") as written:
                    os.fsync(written.fileno())
            os.chmod(temporary, 0o666 & ~_umask())
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise FieldFileError(
            f"Cannot write {path}: {error.strerror or error}.", "Check that the folder may be written and has room."
        ) from error
    return path.stat().st_size


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _fill(group: h5py.Group, field: Field | TiledField, exact: bool) -> None:
    group.attrs["medium_index"] = field.medium_index
    if isinstance(field, TiledField):
        _fill_tiles(group, field, exact)
    else:
        _fill_network(group, field, exact)
    optics = group.create_group("optics")
    optics.attrs.update({name: value for name, value in asdict(field.optics).items() if value is not None})
    _fill_history(group, field.history)


def _fill_tiles(group: h5py.Group, field: TiledField, exact: bool) -> None:
    architecture = group.create_group("architecture")
    architecture.attrs.update(name=TILED, led_height_mm=field.led_height_mm)
    for name, axis in (("rows", field.tiling.rows), ("columns", field.tiling.columns)):
        place = architecture.create_group(name)
        place.attrs.update(length=axis.length, size=axis.size, starts=np.array(axis.starts), blend=axis.blend)
    group.create_dataset("bounds_um", data=field.bounds)
    tiles = group.create_group("tiles")
    for number, tile in enumerate(field.tiles):
        if tile is not None:
            _fill(tiles.create_group(str(number)), tile, exact)


def _fill_network(file: h5py.Group, field: Field, exact: bool) -> None:
    network = field.network
    config = network.config
    architecture = file.create_group("architecture")
    architecture.attrs.update(
        name=ARCHITECTURE,
        levels_zyx=np.array(config.levels_zyx),
        features=np.array(config.features),
        widths=np.array(config.widths),
        scale=config.scale,
        positive=config.positive,
    )
    architecture.attrs["box_um"] = np.array(config.bounds_um)  # wider than what is shown, by the pad
    file.create_dataset("bounds_um", data=field.bounds)
    weights = file.create_group("weights")
    for name, parameter in network.named_parameters():
        values = parameter.detach().cpu().numpy()
        if name.startswith("grids.") and not exact:
            step = max(GRID_STEP, float(np.abs(values).max()) / np.iinfo(np.int16).max)
            whole = np.round(values / step).astype(np.int16)
            weights.create_dataset(name, data=whole, compression="gzip", shuffle=True).attrs["step"] = step
        else:
            weights.create_dataset(name, data=values)
    file.create_group("grid").attrs.update(
        shape_zyx=np.array(field.grid.shape_zyx),
        dz_um=field.grid.dz_um,
        pixel_um=field.grid.pixel_um,
        z_first_um=field.grid.z_first_um,
        pad=field.pad,
    )
    if field.assessment is not None:
        write_assessment(file, field.assessment)


def _fill_history(file: h5py.Group, history: History) -> None:
    illumination = file.create_group("illumination")
    illumination.create_dataset("led_na", data=history.led_na_l2)
    illumination.create_dataset("led_gain", data=history.led_gain_l)
    illumination.create_dataset("pattern_gain", data=history.pattern_gain_p)
    fit = file.create_group("fit")
    fit.attrs.update(
        forward_model=history.forward_model,
        reason=history.reason,
        training_loss=history.training_loss,
        steps=history.steps,
        seconds=history.seconds,
        seed=history.seed,
        capture_name=history.capture_name,
        capture_sha256=history.capture_sha256,
        versions=json.dumps(history.versions),
        capture_folder=history.capture_folder,
        started_from=history.started_from,
        time_point=history.time_point,
        position=history.position,
    )
    if history.stage_um is not None:
        fit.attrs["stage_um"] = np.array(history.stage_um)
    fit.create_dataset("held_out", data=np.array(history.held_out, np.int64))
    if history.held_out_error is not None:
        fit.attrs["held_out_error"] = history.held_out_error


def read_field(path: str | os.PathLike[str], device: str | torch.device = "cpu") -> Field | TiledField:
    """Read a field file; see `recon.load_field`."""
    path = Path(path)
    if not path.is_file():
        raise FieldFileError(f"There is no field {path}.", "Check name and folder.")
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise OperatorError(f"torch cannot use the device {str(device)!r} here.", "Use 'cpu'.") from error
    try:
        with h5py.File(path, "r", locking=False) as file:
            found = file.attrs.get("schema"), file.attrs.get("schema_version")
            if found != (SCHEMA, SCHEMA_VERSION):
                raise FieldFileError(
                    f"{path} is not a field this program reads: schema {found[0]} version {found[1]}, expected {SCHEMA}"
                    f" version {SCHEMA_VERSION}.",
                    "Choose a field file (NAME.field.h5), or update Fieldscope if a newer one wrote it.",
                )
            return _read(file, path, device)
    except OperatorError:
        raise
    except Exception as error:  # a damaged file can fail in any way
        raise FieldFileError(
            f"{path} is damaged or not a field: {error}.", "Reconstruct it again from its capture."
        ) from error


def _read(file: h5py.File, path: Path, device: str | torch.device) -> Field | TiledField:
    kind = file["architecture"].attrs["name"]
    if kind == ARCHITECTURE:
        return _read_network(file, device)
    if kind == TILED:
        return _read_tiles(file, device)
    raise FieldFileError(
        f"{path} holds a field of the kind {kind!r}; this program knows {ARCHITECTURE!r} and {TILED!r}.",
        "Update Fieldscope.",
    )


def _read_tiles(file: h5py.Group, device: str | torch.device) -> TiledField:
    architecture, stored = file["architecture"], file["tiles"]
    axes = []
    for name in ("rows", "columns"):
        place = architecture[name].attrs
        starts = tuple(place["starts"].tolist())
        axes.append(TileAxis(int(place["length"]), int(place["size"]), starts, float(place["blend"])))
    tiling = Tiling(*axes)
    names = [str(number) for number in range(len(tiling))]
    tiles = tuple(_read_network(stored[name], device) if name in stored else None for name in names)
    return TiledField(
        tiles, tiling, _read_optics(file), _read_history(file), float(architecture.attrs["led_height_mm"])
    )


def _read_network(file: h5py.Group, device: str | torch.device) -> Field:
    architecture = file["architecture"].attrs
    shown_um = file["bounds_um"][()]
    if shown_um.shape != (2, 3):
        raise ValueError(f"bounds_um has shape {shown_um.shape}, expected (2, 3)")
    lower, upper = architecture.get("box_um", shown_um).tolist()
    config = FieldConfig(
        bounds_um=(tuple(lower), tuple(upper)),
        medium_index=float(file.attrs["medium_index"]),
        levels_zyx=tuple(tuple(cells) for cells in architecture["levels_zyx"].tolist()),
        features=tuple(architecture["features"].tolist()),
        widths=tuple(architecture["widths"].tolist()),
        scale=float(architecture["scale"]),
        positive=bool(architecture["positive"]),
    )
    network = NeuralField(config)
    _load_weights(network, file["weights"])
    grid = file["grid"].attrs
    planes, rows, columns = grid["shape_zyx"].tolist()
    volume_grid = VolumeGrid(
        (planes, rows, columns), float(grid["dz_um"]), float(grid["pixel_um"]), float(grid["z_first_um"])
    )
    return Field(
        network.to(device).requires_grad_(False),
        volume_grid,
        _read_optics(file),
        _read_history(file),
        int(grid.get("pad", 0)),
        read_assessment(file),
    )


def _read_optics(file: h5py.Group) -> Optics:
    stored = file["optics"].attrs
    return Optics(**{f.name: _plain(stored[f.name]) for f in fields(Optics) if f.name in stored})


def _read_history(file: h5py.Group) -> History:
    fit = file["fit"].attrs
    return History(
        forward_model=str(fit["forward_model"]),
        reason=str(fit["reason"]),
        held_out_error=float(fit["held_out_error"]) if "held_out_error" in fit else None,
        training_loss=float(fit["training_loss"]),
        held_out=tuple(file["fit/held_out"][()].tolist()),
        steps=int(fit["steps"]),
        seconds=float(fit["seconds"]),
        seed=int(fit["seed"]),
        capture_name=str(fit["capture_name"]),
        capture_sha256=str(fit["capture_sha256"]),
        led_na_l2=file["illumination/led_na"][()],
        pattern_gain_p=file["illumination/pattern_gain"][()],
        led_gain_l=file["illumination/led_gain"][()],
        versions=json.loads(fit["versions"]),
        # From here on: what the files of earlier versions lack.
        capture_folder=str(fit.get("capture_folder", "")),
        time_point=int(fit.get("time_point", 0)),
        position=int(fit.get("position", 0)),
        stage_um=tuple(fit["stage_um"].tolist()) if "stage_um" in fit else None,
        started_from=str(fit.get("started_from", "")),
    )


def _load_weights(network: nn.Module, stored: h5py.Group) -> None:
    values = {}
    for name, _ in network.named_parameters():
        numbers = stored[name][()].astype(np.float32) * np.float32(stored[name].attrs.get("step", 1.0))
        values[name] = torch.from_numpy(numbers)
    network.load_state_dict(values)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
