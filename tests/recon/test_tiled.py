"""Reconstructions in tiles: as good as of the whole, in the memory of one tile, and told as one run."""

from __future__ import annotations

import gc
import shutil
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch

from acquisition.errors import OperatorError
from recon import load_field, survey, tiled
from recon.field_file import write_field
from recon.lights import light_pair
from recon.messages import FieldReady, Finished, FitProgress, FitSettings, Lights, Notice, Phase, Picture, Saved
from recon.quality import contrast_error, correlation, psnr_db
from recon.reconstruct import Reconstruction, State
from recon.start import start_live, start_stored
from recon.survey import CPU_SIDE, tile_side
from recon.tiles import led_na_from
from tests.recon.process import plane
from tests.recon.simulate import RING_NA, SHORT_WAVES, make_header, photograph

WHOLE = FitSettings(model="born", max_seconds=600.0, device="cpu")
IN_TILES = replace(WHOLE, tile_pixels=64)
STEPS = 12


def kind(events, wanted):
    return [event for event in events if isinstance(event, wanted)]


@pytest.fixture(scope="module")
def large():
    """Weak cells on 96 x 96 pixels: 2 x 2 tiles of 64."""
    return photograph("cells", dn_max=0.012, shape=(96, 96))


@pytest.fixture(scope="module")
def large_capture(large, tmp_path_factory):
    return large.write(tmp_path_factory.mktemp("large") / "large.h5", calibrated=True)


@pytest.fixture
def short_fits(monkeypatch):
    """Each reconstruction, of the whole or of a tile, ends after a few steps."""
    step = Reconstruction._fit_step

    def limited(run):
        step(run)
        if run._steps >= STEPS and run.state is State.FITTING and run._complete:
            run._end("converged")

    monkeypatch.setattr(Reconstruction, "_fit_step", limited)


def run_through(path, settings, emit=lambda event: None):
    run = start_stored(1, str(path), settings, emit)
    while run.advance():
        pass
    return run


@pytest.mark.usefixtures("short_fits")
def test_tiles_agree_with_the_whole_and_with_the_truth(large, large_capture, tmp_path, monkeypatch):
    whole = run_through(large_capture, WHOLE).field()
    read, alive = [], weakref.WeakSet()
    original = tiled.read_visit

    def watched(*arguments):
        capture = original(*arguments)
        read.append(capture.images_nyx.shape[1:])
        return capture

    class Counted(Reconstruction):
        def __init__(self, *arguments, **options):
            assert not alive, "the tile before is still in memory"
            super().__init__(*arguments, **options)
            alive.add(self)

    for module in (tiled, survey):
        monkeypatch.setattr(module, "read_visit", watched)
    monkeypatch.setattr(tiled, "Reconstruction", Counted)
    gc.disable()  # it is not by luck that the tile before is gone
    events = []
    try:
        run = run_through(large_capture, IN_TILES, events.append)
    finally:
        gc.enable()
    field = run.field()

    assert max(rows * columns for rows, columns in read) <= 64 * 64
    assert field.shape_zyx == whole.shape_zyx
    assert field.bounds == pytest.approx(whole.bounds)
    truth = large.truth(whole.grid.z_um).real
    in_tiles, at_once = (found.volume(found.shape_zyx).real - 1.33 for found in (field, whole))
    likeness = correlation(in_tiles, at_once)
    print(f"whole {psnr_db(at_once, truth):.2f} dB, tiles {psnr_db(in_tiles, truth):.2f} dB, alike {likeness:.3f}")
    assert psnr_db(in_tiles, truth) > psnr_db(at_once, truth) - 2.0
    assert likeness > 0.95
    # The rims of tiles are predicted worse, and counted with them; blended, they do not show.
    assert field.history.held_out_error < 1.5 * whole.history.held_out_error
    assert {tile.history.held_out for tile in field.tiles} == {whole.history.held_out} == {field.history.held_out}
    assert {tile.history.forward_model for tile in field.tiles} == {"born"}
    for number, tile in enumerate(field.tiles):
        seen = led_na_from(field.tiling.centre_um(number, SHORT_WAVES.pixel_um), RING_NA, 60.0)
        assert tile.history.led_na_l2 == pytest.approx(seen)
    row = whole.history.held_out[0]
    predicted = [correlation(found.intensity(RING_NA[row]), large.counts_pyx[row]) for found in (field, whole)]
    print("unseen LED", predicted)
    assert predicted[0] > predicted[1] - 0.05

    # Images are compared as a whole, measured ones come from the file.
    told = kind(events, Lights)
    assert len(told) == 4 and np.isfinite(told[-1].error_p).all()
    assert told[-1].led_na_l2 == pytest.approx(RING_NA) and told[-1].held_out == field.history.held_out
    assert run.measured.patterns_pl.shape == (19, 19) and run.measured.mean_is_one
    predicted, image = light_pair(row, (0.0, 0.0), field, run.measured, lambda: None)
    assert image == pytest.approx((large.counts_pyx[row] - 100.0) / (large.counts_pyx[row] - 100.0).mean(), rel=1e-5)
    assert contrast_error(predicted, image) < 1.3 * told[-1].error_p[row]

    # One run is told, with one field and one end.
    (ready,), (finished,) = kind(events, FieldReady), kind(events, Finished)
    assert ready.bounds_um == pytest.approx(field.bounds)
    assert (finished.reason, finished.steps) == ("converged", 4 * STEPS)
    assert finished.held_out_error == field.history.held_out_error
    assert [event.step for event in kind(events, FitProgress)] == list(range(1, 4 * STEPS + 1))
    fits = [phase.detail for phase in kind(events, Phase) if phase.name == "fitting"]
    assert [detail.split(":")[0] for detail in fits] == [f"tile {k} of 4" for k in (1, 2, 3, 4)]
    assert "4 tiles of 64 x 64" in kind(events, Notice)[0].text

    size = write_field(tmp_path / "a.field.h5", field)
    again = load_field(tmp_path / "a.field.h5")
    assert again.volume((5, 24, 24)) == pytest.approx(field.volume((5, 24, 24)), abs=1e-4)
    print(f"{size / 1e3:.0f} kB")


def test_the_strongest_tile_decides_the_model_for_all(large, tmp_path, monkeypatch):
    counts = large.counts_pyx.copy()
    level = counts[:, :, :64].mean((1, 2), keepdims=True)
    counts[:, :, :64] = np.random.default_rng(0).normal(level, 70.0, counts[:, :, :64].shape)  # left: noise alone
    path = replace(large, counts_pyx=counts).write(tmp_path / "half.h5", calibrated=True)
    begun = []

    class Deciding(Reconstruction):
        def __init__(self, *arguments, **options):
            begun.append(arguments[2].model)
            super().__init__(*arguments, **options)

        def field(self):
            field = super().field()
            return replace(field, history=replace(field.history, forward_model="born"))

    monkeypatch.setattr(tiled, "Reconstruction", Deciding)
    run = start_stored(1, str(path), replace(IN_TILES, model="auto", max_seconds=0.2), lambda event: None)
    while not any(run._tiles):
        run.advance()
    assert run._survey.empty_t.tolist() == [True, False, True, False]
    assert run._tiles[0] is None and run._tiles[2] is None
    while run.advance():
        pass
    assert begun == ["auto", "born", "born", "born"]


def test_all_tiles_share_the_time_limit(large_capture):
    events = []
    field = run_through(large_capture, replace(IN_TILES, max_seconds=0.5), events.append).field()
    assert kind(events, Finished)[0].reason == "time limit"
    assert all(tile is not None for tile in field.tiles)
    assert field.history.seconds < 10
    left = [event.eta_s for event in kind(events, FitProgress)]
    assert left == sorted(left, reverse=True) and left[0] <= 0.5


def test_the_operator_may_end_it_between_tiles(large_capture, tmp_path):
    events = []
    run = start_stored(1, str(large_capture), IN_TILES, events.append)
    run.advance()
    run.finish("enough")
    assert "no volume" in kind(events, Notice)[-1].text
    assert run.state is State.COLLECTING and not run.has_field
    while not run.has_field:
        run.advance()
    run.finish("enough")
    assert not run.advance()
    assert (kind(events, Finished)[0].reason, run.state) == ("enough", State.FINISHED)
    assert "3 of 4 tiles were not begun" in kind(events, Notice)[-1].text
    field = run.field()
    assert sum(tile is None for tile in field.tiles) == 3
    write_field(tmp_path / "a.field.h5", field)
    assert sum(tile is None for tile in load_field(tmp_path / "a.field.h5").tiles) == 3


def test_a_capture_that_was_moved_meanwhile_does_not_cost_the_field(large_capture, tmp_path):
    path = tmp_path / "moving.h5"
    shutil.copy(large_capture, path)
    run = start_stored(1, str(path), IN_TILES, lambda event: None)
    while not run.has_field:
        run.advance()
    path.rename(tmp_path / "moved.h5")
    run.finish("enough")
    history = run.field().history
    assert (history.reason, history.capture_name, history.capture_sha256) == ("enough", "moving.h5", "")


def test_a_survey_broken_off_is_made_again(large_capture):
    class Stop(Exception):
        pass

    calls = 0

    def pulse():
        nonlocal calls
        calls += 1
        if calls in (1, 4):
            raise Stop

    run = start_stored(1, str(large_capture), replace(IN_TILES, max_seconds=0.2), lambda event: None, pulse)
    stopped = 0
    while stopped < 2:
        try:
            run.advance()
        except Stop:
            stopped += 1
    while run.advance():
        pass
    assert all(tile is not None for tile in run.field().tiles)


@pytest.mark.usefixtures("short_fits")
def test_a_corner_without_light_is_told_and_left_out(large, tmp_path):
    counts = large.counts_pyx.copy()
    counts[:, :64, :64] = 100
    path = replace(large, counts_pyx=counts).write(tmp_path / "corner.h5", calibrated=True)
    events = []
    field = run_through(path, IN_TILES, events.append).field()
    assert [tile is None for tile in field.tiles] == [True, False, False, False]
    assert any("There is nothing at tile 4 of 4" in notice.text for notice in kind(events, Notice))
    assert field.refractive_index([field.bounds[0] + 0.5]) == np.complex64(1.33)
    assert np.isfinite(field.history.held_out_error)


# --- while frames come ------------------------------------------------------------------------------------------------


def test_live_shows_the_middle_and_then_the_whole(large, large_capture):
    events = []
    run = start_live(1, large.header, replace(IN_TILES, max_seconds=0.3), events.append)
    assert "only the middle 64 x 64 pixels" in kind(events, Notice)[0].text
    for pattern, counts in enumerate(large.counts_pyx):
        run.add_frame(pattern, counts)
        run.advance()
    middle = run.field()
    half_um = 32 * SHORT_WAVES.pixel_um
    assert middle.bounds[:, 0] == pytest.approx([-half_um, half_um], abs=SHORT_WAVES.pixel_um)
    changes = run.changes
    run.frames_done(str(large_capture))
    assert run.field().bounds == pytest.approx(middle.bounds)  # until there is a tile
    while run.advance():
        assert run.has_field
        assert run.changes >= changes
        changes = run.changes
    field = run.field()
    assert all(tile is not None for tile in field.tiles)
    assert kind(events, FieldReady)[-1].bounds_um == pytest.approx(field.bounds)
    assert len(kind(events, Finished)) == 1


def test_live_without_a_file_ends_with_the_middle(large):
    events = []
    run = start_live(1, large.header, replace(IN_TILES, max_seconds=0.2), events.append)
    for pattern, counts in enumerate(large.counts_pyx):
        run.add_frame(pattern, counts)
    run.frames_done()
    while run.advance():
        pass
    assert run.state is State.FINISHED
    assert run.field().shape_zyx[1:] == (64, 64)
    assert run.error_p.shape == (19,) and run.measured.image(3).shape == (64, 64)
    assert any("in no file" in notice.text for notice in kind(events, Notice))


# --- when -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "tile_pixels", "side"),
    [
        ((512, 512), None, None),
        ((800, 1000), None, None),
        ((1024, 1024), None, CPU_SIDE),
        ((512, 4096), None, CPU_SIDE),
        ((512, 512), 256, 256),
        ((512, 512), 512, None),
        ((4096, 4096), 5000, None),
    ],
)
def test_which_images_are_cut_up(shape, tile_pixels, side):
    header = make_header(SHORT_WAVES, RING_NA, shape)
    assert tile_side(header, FitSettings(device="cpu", tile_pixels=tile_pixels)) == side


def test_on_a_graphics_card_tiles_are_as_large_as_its_memory_allows(monkeypatch):
    header = make_header(SHORT_WAVES, RING_NA, (4096, 4096))
    sides = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for gigabytes in (4, 16, 500):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, free=gigabytes * 10**9: (free, free))
        sides.append(tile_side(header, FitSettings(device="cuda")))
    assert sides[0] >= 256 and sides[1] == pytest.approx(2 * sides[0], abs=64) and sides[2] is None


def test_tiles_that_are_too_small_are_refused(large_capture):
    with pytest.raises(OperatorError, match="Tiles of 20 pixels are too small; 48 is the least"):
        start_stored(1, str(large_capture), replace(WHOLE, tile_pixels=20), lambda event: None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "mie"}, "no forward model 'mie'"),
        ({"hold_out": (99,)}, "99 cannot be held out"),
        ({"z_um": (3.0, -3.0)}, "depth range 3 to -3"),
        ({"device": "abacus"}, "no device 'abacus'"),
        ({"max_seconds": 0.0}, "time limit of 0"),
    ],
)
def test_settings_that_cannot_be(large_capture, change, message):
    with pytest.raises(OperatorError, match=message):
        run_through(large_capture, replace(IN_TILES, **change))


def test_a_capture_without_frames(large, tmp_path):
    path = large.write(tmp_path / "empty.h5", "aborted", patterns=[])
    with pytest.raises(OperatorError, match="0 usable patterns"):
        run_through(path, IN_TILES)


def test_the_reconstruction_process_shows_and_saves_tiles(process, heard, large_capture, tmp_path):
    run = process.start_stored(str(large_capture), replace(IN_TILES, max_seconds=1.0))
    heard.wait(FieldReady, run)
    process.send(plane(run))
    heard.wait(Finished, run)
    process.save(run, str(tmp_path / "a.field.h5"))
    heard.wait(Saved, run)
    field = load_field(tmp_path / "a.field.h5")
    assert all(tile is not None for tile in field.tiles)
    again = process.open_field(str(tmp_path / "a.field.h5"))
    assert heard.wait(FieldReady, again).bounds_um == pytest.approx(field.bounds)
    process.send(plane(again, request=7))
    heard.wait(Picture, again)
    (_, picture), *_ = heard.pictures[again, "xy", 7]
    index = field.slice((-3.0, -2.0, 0.2), (6.0, 0.0, 0.0), (0.0, 4.0, 0.0), (20, 30))
    assert picture == pytest.approx(index.real - 1.33, abs=1e-6)
