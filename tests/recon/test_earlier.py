"""A fit that begins from an earlier field gains where the sample is still there, and loses nothing where it is not."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from acquisition.simulated.phantoms import Phantom, make_phantom
from recon import messages
from recon.field_file import read_field, write_field
from recon.reconstruct import Reconstruction
from recon.start import reconstruct, start_live, start_stored
from recon.tiles import TiledField
from tests.recon.fields import rough_field
from tests.recon.simulate import DEPTH_UM, SHORT_WAVES, photograph

if TYPE_CHECKING:
    from pathlib import Path

    from recon.messages import Event
    from tests.recon.simulate import Shot

SIZE_UM = (64 * SHORT_WAVES.pixel_um, 64 * SHORT_WAVES.pixel_um)
SETTINGS = messages.FitSettings(model="born", max_seconds=600.0)
STEPS = 60


def moved(phantom: Phantom, steps: float) -> Phantom:
    """Bodies that have wandered by about 0.1 um a step, and grown by 1 %."""
    rng = np.random.default_rng(5)
    bodies = [
        replace(
            body,
            centre_um=body.centre_um + 0.1 * steps * rng.normal(size=3) * (1.0, 1.0, 0.3),
            semi_axes_um=body.semi_axes_um * (1.0 + 0.01 * steps),
        )
        for body in phantom.bodies
    ]
    return Phantom("moved", tuple(bodies))


@pytest.fixture(scope="module")
def first_path(cells: Shot, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The field of the session's cells after some steps."""
    path = tmp_path_factory.mktemp("fields") / "first.field.h5"
    write_field(path, stepped(cells)[0].field())
    return path


def stepped(shot: Shot, start_from: str = "") -> tuple[Reconstruction, list[Event]]:
    """Fit for some steps, whatever the time they take."""
    events: list[Event] = []
    settings = replace(SETTINGS, start_from=start_from)
    last = read_field(start_from) if start_from else None
    assert not isinstance(last, TiledField)
    run = Reconstruction(0, shot.header, settings, events.append, calibration=shot.calibration, last=last)
    for pattern, counts_yx in enumerate(shot.counts_pyx):
        run.add_frame(pattern, counts_yx)
    run.frames_done()
    while len(held_out(events)) < STEPS and run.advance():
        pass
    run.finish("enough steps")
    return run, events


def told(events: list[Event]) -> str:
    return " ".join(event.text for event in events if isinstance(event, messages.Notice))


def held_out(events: list[Event]) -> list[float | None]:
    return [event.held_out_error for event in events if isinstance(event, messages.FitProgress)]


def steps_to(error: float, events: list[Event]) -> int:
    """Steps until the held-out error was first as low."""
    return next(step for step, reached in enumerate(held_out(events)) if reached is not None and reached <= error)


def test_a_sample_that_has_moved_a_little_is_found_sooner_and_as_well(first_path: Path) -> None:
    later = photograph(moved(make_phantom("cells", 0, 0.012, SIZE_UM, DEPTH_UM), 0.5), seed=3)
    (cold, cold_events), (warm, warm_events) = stepped(later), stepped(later, str(first_path))
    assert "begins from the field before" in told(warm_events)
    assert warm.field().history.started_from == first_path.name
    errors = [run.field().history.held_out_error for run in (cold, warm)]
    assert errors[0] is not None
    assert errors[1] is not None
    assert errors[1] <= errors[0]
    assert 2 * steps_to(1.02 * errors[0], warm_events) < steps_to(1.02 * errors[0], cold_events)


def test_another_sample_starts_anew_and_that_is_told(first_path: Path, tmp_path: Path) -> None:
    shot = photograph("cells", dn_max=0.012, seed=9)
    path = shot.write(tmp_path / "other.h5", calibrated=True)
    events: list[Event] = []
    run = start_stored(0, str(path), replace(SETTINGS, start_from=str(first_path)), events.append)
    while not run.has_field and run.advance():
        pass
    assert "the fit starts anew" in told(events)
    assert run.field().history.started_from == ""


@pytest.mark.parametrize("kind", ["missing", "another box"])
def test_an_earlier_field_that_is_of_no_use_costs_no_reconstruction(
    cells_capture: Path, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "other.field.h5"
    if kind == "another box":
        write_field(path, rough_field())
    events: list[Event] = []
    settings = replace(SETTINGS, max_seconds=0.2, start_from=str(path))
    field = reconstruct(str(cells_capture), settings, events.append)
    assert field.history.started_from == ""
    assert "starts anew" in told(events)


def test_the_correction_changes_a_field_where_it_is_asked_to() -> None:
    field = rough_field()
    network, grid = field.network, field.grid
    axes = [torch.as_tensor(axis) for axis in grid.axes_um]
    with torch.no_grad():
        before = torch.complex(*network.on_axes(*axes))
        change = torch.zeros_like(before)
        planes, rows, columns = (side // 2 for side in grid.shape_zyx)
        change[planes - 3 : planes + 4, rows - 6 : rows + 6, columns - 6 : columns + 6] = 0.5 * network.config.scale
        network.change_by(before, change)
        after = torch.complex(*network.on_axes(*axes))
    grown = (after - before).real[planes]
    assert grown[rows, columns] > 0.25 * network.config.scale
    assert grown[: rows // 2].abs().mean() < 0.02 * network.config.scale


def test_a_fit_that_is_to_end_before_its_first_volume_ends_with_it(cells: Shot) -> None:
    run = start_live(7, cells.header, replace(SETTINGS, time_point=4, position=2), lambda event: None)
    assert isinstance(run, Reconstruction)
    for pattern, counts_yx in enumerate(cells.counts_pyx):
        run.add_frame(pattern, counts_yx)
    run.frames_done()
    run.finish("the next time point has begun")
    while run.advance():
        pass
    history = run.field().history
    assert (history.reason, history.steps) == ("the next time point has begun", 0)
    assert (history.time_point, history.position) == (4, 2)


def test_a_field_keeps_its_numbers_and_place(tmp_path: Path) -> None:
    field = rough_field()
    history = replace(field.history, time_point=12, position=3, stage_um=(1.0, -20.5, 3.25), started_from="a.field.h5")
    write_field(tmp_path / "f.field.h5", replace(field, history=history))
    read = read_field(tmp_path / "f.field.h5").history
    for name in ("time_point", "position", "stage_um", "started_from"):
        assert getattr(read, name) == getattr(history, name)
