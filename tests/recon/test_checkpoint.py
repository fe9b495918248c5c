"""A run goes on in another process from what a lost one has left."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from acquisition.capture import CaptureWriter, Frame, part_path
from acquisition.errors import OperatorError
from recon.checkpoint import INTERVAL_S, MOST_SHARE, Checkpoint, CheckpointFile, read_checkpoint, write_checkpoint
from recon.messages import FieldReady, FitProgress, FitSettings, Notice, Phase
from recon.reconstruct import State
from recon.start import resume_live, start_stored
from recon.tiled import TiledReconstruction
from tests.recon.fields import rough_field

if TYPE_CHECKING:
    from pathlib import Path

SETTINGS = FitSettings(max_seconds=600.0, device="cpu", model="born", hold_out=(4, 13))


def steps_of(events: list) -> list[int]:
    return [event.step for event in events if isinstance(event, FitProgress)]


def advanced(run, until) -> None:
    while not until():
        assert run.advance()


@pytest.fixture
def left(cells_capture, tmp_path):
    """A fit of twelve steps, and the checkpoint of it."""
    events: list = []
    run = start_stored(1, str(cells_capture), SETTINGS, events.append)
    advanced(run, lambda: len(steps_of(events)) == 12)
    write_checkpoint(tmp_path / "left.field.h5", run.checkpoint())
    return tmp_path / "left.field.h5", run, events


def test_a_fit_goes_on_where_it_was(left, cells_capture):
    path, before, events = left
    found = read_checkpoint(path)
    assert found.settings == replace(SETTINGS, time_point=0, position=0) and not found.finished
    for ours, theirs in zip(before.field().network.parameters(), found.field.network.parameters(), strict=True):
        assert torch.equal(ours, theirs), "neither rounded nor compressed"
    heard: list = []
    settings = replace(found.settings, start_from=str(path))  # an earlier field knows less
    run = start_stored(1, str(cells_capture), settings, heard.append, resumed=found)
    advanced(run, lambda: bool(steps_of(heard)))
    assert steps_of(heard) == [13]
    assert "first volume" not in [event.name for event in heard if isinstance(event, Phase)]
    assert any(isinstance(event, FieldReady) for event in heard)
    error_before = next(e.held_out_error for e in reversed(events) if isinstance(e, FitProgress) and e.held_out_error)
    error_after = next(event.held_out_error for event in heard if isinstance(event, FitProgress))
    assert error_after < error_before
    assert run.field().history.seconds > found.field.history.seconds > 0.0


def test_what_was_reached_without_the_optimisers_memory_is_not_lost(left, cells_capture):
    path, _, _ = left
    found = read_checkpoint(path)
    kept = found.field.volume((4, 8, 8))
    run = start_stored(1, str(cells_capture), replace(SETTINGS, max_seconds=1e-3), lambda event: None, resumed=found)
    advanced(run, lambda: run.state is State.FINISHED)
    assert run.field().history.reason == "time limit"
    assert np.allclose(run.field().volume((4, 8, 8)), kept, atol=2e-3)


def test_the_time_used_counts(left, cells_capture):
    path, _, _ = left
    late = replace(read_checkpoint(path), fit_s=600.1)
    run = start_stored(1, str(cells_capture), SETTINGS, lambda event: None, resumed=late)
    advanced(run, lambda: run.state is State.FINISHED)
    assert run.field().history.steps == 13


def test_other_frames_begin_anew(left, cells_capture):
    path, _, _ = left
    heard: list = []
    run = start_stored(
        1, str(cells_capture), replace(SETTINGS, z_um=(-1.0, 1.0)), heard.append, resumed=read_checkpoint(path)
    )
    advanced(run, lambda: bool(steps_of(heard)))
    assert steps_of(heard) == [1]
    assert any("another volume" in event.text for event in heard if isinstance(event, Notice))


def test_a_finished_field_is_kept_as_such(left):
    path, run, _ = left
    run.finish("finished by the operator")
    write_checkpoint(path, run.checkpoint())
    found = read_checkpoint(path)
    assert found.finished and found.standing is None
    assert found.field.history.reason == "finished by the operator"


def test_finished_tiles_are_kept(cells_capture, tmp_path):
    settings = replace(SETTINGS, tile_pixels=48, max_seconds=1.0)
    run = start_stored(1, str(cells_capture), settings, lambda event: None)
    assert isinstance(run, TiledReconstruction)
    advanced(run, lambda: run.kept_changes == 1)
    write_checkpoint(tmp_path / "tiles.h5", run.checkpoint())
    (done,) = [number for number, tile in enumerate(run._tiles) if tile is not None]
    heard: list = []
    again = start_stored(1, str(cells_capture), settings, heard.append, resumed=read_checkpoint(tmp_path / "tiles.h5"))
    assert isinstance(again, TiledReconstruction)
    advanced(again, lambda: again.has_field)
    assert again.kept_changes == 1 and done not in again._to_do
    kept, ours = again._tiles[done], run._tiles[done]
    assert kept is not None and ours is not None
    assert np.array_equal(kept.volume((2, 4, 4)), ours.volume((2, 4, 4)))


def test_frames_of_a_scan_that_runs(cells, tmp_path):
    path, heard = tmp_path / "running.h5", []
    with CaptureWriter(path, cells.header) as writer:
        for pattern in range(12):
            writer.write_frame(Frame(pattern, pattern, cells.counts_pyx[pattern], 10.0))
        run = resume_live(1, str(part_path(path)), SETTINGS, heard.append)
        advanced(run, lambda: run.has_field)
        for pattern in range(12, 19):
            writer.write_frame(Frame(pattern, pattern, cells.counts_pyx[pattern], 10.0))
            run.add_frame(pattern, cells.counts_pyx[pattern])
        writer.finish("complete")
    run.frames_done(str(path))
    advanced(run, lambda: any(isinstance(e, FitProgress) and e.frames_used == 19 for e in heard))


@pytest.mark.parametrize("content", [None, b"rubbish"])
def test_what_is_no_checkpoint_is_told(tmp_path, content, field_path):
    bad = tmp_path / "bad.h5"
    if content is not None:
        bad.write_bytes(content)
    with pytest.raises(OperatorError, match=str(bad)):
        read_checkpoint(bad)
    with pytest.raises(OperatorError, match="no checkpoint"):
        read_checkpoint(field_path)


class Run:
    """A run that changes with each look at it, and whose checkpoint takes a second to be written."""

    has_field = True

    def __init__(self, clock: list[float]) -> None:
        self.changes, self.reached, self.clock = count(1), (0,), clock
        self.written: list[float] = []

    @property
    def kept_changes(self) -> int:
        return next(self.changes)

    def checkpoint(self) -> Checkpoint:
        self.written.append(self.clock[0])
        self.clock[0] += 1.0
        return Checkpoint(rough_field(), SETTINGS, False)


def test_writing_takes_a_hundredth_of_the_time_at_most(tmp_path: Path) -> None:
    clock = [0.0]
    run, file = Run(clock), CheckpointFile(tmp_path / "a.h5", lambda: clock[0])
    while clock[0] < 1000.0:
        file.follow(run)  # type: ignore[arg-type]
        clock[0] += 0.5
    assert np.diff(run.written).min() >= max(INTERVAL_S, 1.0 / MOST_SHARE)
    assert len(run.written) >= 9
    run.reached = (1,)
    file.follow(run)  # type: ignore[arg-type]
    assert len(run.written) == 11, "what was reached is kept at once"
    file.forget()
    assert not (tmp_path / "a.h5").exists()


def test_a_folder_that_cannot_be_written_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    run, file = Run([0.0]), CheckpointFile(tmp_path / "file" / "a.h5")
    assert "Cannot write" in file.follow(run)  # type: ignore[arg-type]
    assert file.follow(run) == ""  # type: ignore[arg-type]
