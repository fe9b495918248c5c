"""A time-lapse in the window: a run for each visit, each saved, nothing lost to a slow fit, and all to be looked at."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from acquisition.capture import CaptureWriter, Frame, read_capture
from acquisition.experiment import Position
from acquisition.profile import shipped_profiles
from gui.field_names import free_names_of_visits, siblings
from gui.tasks import Task
from gui.visit_runs import RunState, VisitRuns
from recon import messages
from tests.recon.simulate import RING_NA, SHORT_WAVES, make_header

if TYPE_CHECKING:
    from collections.abc import Callable

    from gui.main_window import MainWindow
    from tests.gui.fakes import FakeProcess

HEADER = make_header(SHORT_WAVES, RING_NA, (8, 8))


def frame(time_point: int, pattern: int = 0, position: int = 0) -> Frame:
    image_yx = np.zeros((8, 8), np.uint16)
    return Frame(0, pattern, image_yx, 10.0, time_point=time_point, position=position)


def fake(window: MainWindow) -> FakeProcess:
    process: Any = window.bridge._process
    return process


def calls(window: MainWindow, name: str) -> list[tuple[Any, ...]]:
    return [call for call in fake(window).calls if call[0] == name]


def finish(window: MainWindow, reason: str = "converged") -> None:
    """The process ends the fit of the current run, and writes what it is asked to."""
    run = window.bridge.run or 0
    fake(window).show_field(run)
    fake(window).tell(messages.Finished(run, reason, 0.3, 12.0, 40, 2_000_000))


def write(window: MainWindow) -> Path:
    """The process writes the field that it was asked for last."""
    _, path, run = calls(window, "save")[-1]
    fake(window).tell(messages.Saved(run, path, 1000))
    return Path(path)


@pytest.fixture
def runs(window: MainWindow, tmp_path: Path) -> Callable[..., VisitRuns]:
    def begin(*visits: tuple[int, int]) -> VisitRuns:
        made = window.workflow.series.begin_scan(tmp_path / "lapse.h5", list(visits))
        made.begin_live(HEADER, "lapse.h5", None)
        return made

    return begin


def test_each_time_point_has_a_run_that_begins_from_the_one_before(window: MainWindow, runs: Any, qtbot: Any) -> None:
    lapse = runs((0, 0), (1, 0))
    lapse.take(frame(0))
    qtbot.waitUntil(lambda: len(calls(window, "add_frame")) == 1)
    lapse.visit_complete((0, 0))
    qtbot.waitUntil(lambda: len(calls(window, "frames_done")) == 1)
    finish(window)
    qtbot.waitUntil(lambda: len(calls(window, "save")) == 1)
    first = write(window)
    assert first.name == "lapse-t0000-p0.field.h5"
    qtbot.waitUntil(lambda: lapse.state is RunState.NONE)

    lapse.take(frame(1))
    qtbot.waitUntil(lambda: len(calls(window, "start_live")) == 2)
    settings = fake(window).settings[-1]
    assert (settings.time_point, settings.position, settings.start_from) == (1, 0, str(first))
    qtbot.waitUntil(lambda: len(calls(window, "add_frame")) == 2)
    lapse.visit_complete((1, 0))
    lapse.scan_ended(Path("lapse.h5"), keep=True)
    finish(window)
    qtbot.waitUntil(lambda: len(calls(window, "save")) == 2)
    with qtbot.waitSignal(lapse.done):
        assert write(window).name == "lapse-t0001-p0.field.h5"
    assert window.panels.time.visits == [(0, 0), (1, 0)]
    assert window.panels.time.shown == (1, 0)


def test_a_slow_fit_is_ended_and_kept_and_the_next_frames_wait(window: MainWindow, runs: Any, qtbot: Any) -> None:
    lapse = runs((0, 0), (1, 0), (2, 0))
    lapse.take(frame(0))
    qtbot.waitUntil(lambda: len(calls(window, "add_frame")) == 1)
    for pattern in range(3):
        lapse.take(frame(1, pattern))
    qtbot.waitUntil(lambda: len(calls(window, "finish_now")) == 1)
    assert len(calls(window, "start_live")) == len(calls(window, "add_frame")) == 1
    finish(window, "finished by the operator")
    qtbot.waitUntil(lambda: len(calls(window, "save")) == 1)
    assert len(calls(window, "start_live")) == 1  # not before the field is on disk
    write(window)
    qtbot.waitUntil(lambda: len(calls(window, "add_frame")) == 4)
    second = calls(window, "start_live")[1][-1]
    assert [call[1:] for call in calls(window, "add_frame")[1:]] == [(pattern, second) for pattern in range(3)]


def test_a_visit_whose_turn_never_came_is_made_from_the_capture(window: MainWindow, runs: Any, qtbot: Any) -> None:
    lapse = runs((0, 0), (1, 0), (2, 0))
    for time_point in range(3):
        lapse.take(frame(time_point))
    qtbot.waitUntil(lambda: lapse.state is not RunState.NONE)
    lapse.scan_ended(Path("lapse.h5"), keep=True)
    made = set()
    for _ in range(3):
        before = len(calls(window, "save"))
        finish(window)
        qtbot.waitUntil(lambda before=before: len(calls(window, "save")) > before)
        made.add(write(window).name)
        qtbot.waitUntil(lambda: lapse.state is not RunState.SAVING)
    assert made == {f"lapse-t000{time_point}-p0.field.h5" for time_point in range(3)}
    assert not lapse.busy


def test_a_visit_that_fails_does_not_hold_up_the_others(window: MainWindow, runs: Any, qtbot: Any) -> None:
    lapse = runs((0, 0), (1, 0))
    lapse.take(frame(0))
    qtbot.waitUntil(lambda: lapse.state is RunState.RUNNING)
    fake(window).tell(messages.Failed(window.bridge.run or 0, "No light.", "Look."))
    qtbot.waitUntil(lambda: lapse.state is RunState.NONE)
    lapse.take(frame(1))
    qtbot.waitUntil(lambda: len(calls(window, "start_live")) == 2)
    assert fake(window).settings[-1].start_from == ""


def test_a_stored_capture_with_several_visits_gives_a_field_of_each(
    window: MainWindow, tmp_path: Path, qtbot: Any
) -> None:
    path = tmp_path / "stored.h5"
    with CaptureWriter(path, HEADER) as writer:
        for time_point in range(2):
            writer.write_frame(frame(time_point))
        writer.finish("complete")
    window.workflow.reconstruct(path)
    qtbot.waitUntil(lambda: window.workflow.series.runs is not None)
    for time_point in range(2):
        qtbot.waitUntil(lambda time_point=time_point: fake(window).settings[-1].time_point == time_point)
        finish(window)
        qtbot.waitUntil(lambda time_point=time_point: len(calls(window, "save")) == time_point + 1)
        write(window)
    qtbot.waitUntil(lambda: not window.workflow.series.at_work)


@pytest.fixture
def opened(window: MainWindow, tmp_path: Path, qtbot: Any) -> dict[tuple[int, int], Path]:
    """A field of three time points at two positions is open."""
    names = free_names_of_visits(Path("night.h5"), tmp_path, [(t, p) for t in range(3) for p in range(2)])
    for path in names.values():
        path.touch()
    window.workflow.open_field(names[1, 0])
    qtbot.waitUntil(lambda: len(window.panels.time.visits) == 6)  # the folder is read sooner than the field
    fake(window).show_field(window.bridge.run or 0)
    window.bench.show_task(Task.VIEW)
    qtbot.waitUntil(lambda: window.panels.slices.views["xy"].shown_plane() is not None)
    return names


def looked_at(window: MainWindow) -> list[str]:
    return [call[1] for call in calls(window, "look_at")]


def test_the_slider_and_the_list_open_each_field_and_keep_the_view(
    window: MainWindow, opened: dict[tuple[int, int], Path], qtbot: Any
) -> None:
    bar, slices = window.panels.time, window.panels.slices
    assert bar.isVisibleTo(window.panels.stage)
    slices.zoom(+3)
    zoom, levels = slices.navigator.zoom, slices.contrast.levels
    window.actions_by_key["later"].trigger()
    qtbot.waitUntil(lambda: looked_at(window) == [str(opened[2, 0])])
    qtbot.waitUntil(lambda: "0.250" in bar.label.text())
    bar.position.setCurrentIndex(1)
    bar.position.activated.emit(1)
    qtbot.waitUntil(lambda: looked_at(window)[-1] == str(opened[2, 1]))
    bar.slider.setValue(0)
    qtbot.waitUntil(lambda: looked_at(window)[-1] == str(opened[0, 1]))
    asked = len(fake(window).requests)
    qtbot.waitUntil(lambda: len(fake(window).requests) > asked or bar.shown == (0, 1))
    assert (slices.navigator.zoom, slices.contrast.levels) == (zoom, levels)
    assert len(calls(window, "open_field")) == 1


def test_playing_goes_round_as_fast_as_the_process_answers(
    window: MainWindow, opened: dict[tuple[int, int], Path], qtbot: Any
) -> None:
    bar = window.panels.time
    bar._timer.setInterval(5)
    window.actions_by_key["play"].trigger()
    qtbot.waitUntil(lambda: len(looked_at(window)) >= 4)
    window.actions_by_key["play"].trigger()
    assert looked_at(window)[:3] == [str(opened[2, 0]), str(opened[0, 0]), ""]  # the opened one is the run's own


def test_whoever_went_back_stays_there_when_the_next_run_begins(window: MainWindow, runs: Any, qtbot: Any) -> None:
    lapse = runs((0, 0), (1, 0), (2, 0))
    for time_point in range(2):
        lapse.take(frame(time_point))
        qtbot.waitUntil(lambda time_point=time_point: len(calls(window, "start_live")) == time_point + 1)
        lapse.visit_complete((time_point, 0))
        finish(window)
        qtbot.waitUntil(lambda time_point=time_point: len(calls(window, "save")) == time_point + 1)
        write(window)
        qtbot.waitUntil(lambda: lapse.state is RunState.NONE)
    window.panels.time.step(-1)
    qtbot.waitUntil(lambda: len(looked_at(window)) == 1)
    lapse.take(frame(2))
    qtbot.waitUntil(lambda: len(looked_at(window)) == 2)
    assert looked_at(window)[0] == looked_at(window)[1]
    assert window.panels.time.shown == (0, 0)


def test_siblings_are_those_of_the_same_series(tmp_path: Path) -> None:
    for name in ("a-t0000-p0", "a-t0001-p0", "a-t0000-p0-2", "b-t0000-p0", "a"):
        (tmp_path / f"{name}.field.h5").touch()
    assert set(siblings(tmp_path / "a-t0001-p0.field.h5")) == {(0, 0), (1, 0)}
    assert set(siblings(tmp_path / "a-t0000-p0-2.field.h5")) == {(0, 0)}
    assert siblings(tmp_path / "a.field.h5") == {}
    again = free_names_of_visits(Path("a.h5"), tmp_path, [(1, 0)])
    assert again[1, 0].name == "a-t0001-p0-2.field.h5"


def test_the_experiment_is_set_in_the_panel(window: MainWindow) -> None:
    panel = window.panels.acquire.experiment
    assert not panel.fold.isChecked()
    window.panels.acquire.set_connected(True)
    panel.count.setValue(3)
    panel.interval.setValue(60.0)
    assert re.search("3 time points", panel.fold.text())
    panel.add_place((1.0, 2.0, 3.0))
    panel.add_place((4.0, 5.0, 6.0))
    panel.list.setCurrentRow(0)
    panel.remove_button.click()
    assert panel.positions == [Position("P2", 4.0, 5.0, 6.0)]
    wanted = []
    panel.go_wanted.connect(wanted.append)
    panel.go_button.click()
    assert wanted == panel.positions


def small_profile(tmp_path: Path) -> str:
    """The simulated microscope with few pixels."""
    text = shipped_profiles()["simulated"].read_text(encoding="utf-8")
    path = tmp_path / "small.toml"
    path.write_text(text.replace("image_px = 256", "image_px = 32").replace("dark_frames = 4", "dark_frames = 0"))
    return str(path)


def test_a_real_scan_of_two_time_points_with_measured_exposure(window: MainWindow, tmp_path: Path, qtbot: Any) -> None:
    flow, acquire = window.workflow, window.panels.acquire
    flow.folder = tmp_path
    flow.live_image.set_wanted(False)
    flow.choose_profile(small_profile(tmp_path))
    flow.connect_instrument()
    qtbot.waitUntil(lambda: flow.plan is not None, timeout=20_000)
    acquire.every.setValue(8)
    experiment = acquire.experiment
    experiment.add_button.click()
    qtbot.waitUntil(lambda: len(experiment.positions) == 1)
    experiment.count.setValue(2)
    assert "in 2 scans" in acquire.summary.text()
    assert "Light on the sample" in acquire.summary.text()
    acquire.expose.setCurrentIndex(acquire.expose.findData("auto"))
    window.actions_by_key["start_scan"].trigger()
    assert not window.actions_by_key["start_scan"].isEnabled()
    qtbot.waitUntil(lambda: window.service.scanning, timeout=20_000)
    qtbot.waitUntil(lambda: not window.service.scanning, timeout=20_000)
    saved: list[str] = []
    while flow.series.at_work:
        finish(window)
        qtbot.waitUntil(lambda: len(calls(window, "save")) > len(saved))
        saved.append(write(window).name)
        qtbot.waitUntil(lambda: flow.series.runs.state is not RunState.SAVING)  # type: ignore[union-attr]
    assert [re.sub(r"^\d{8}-\d{6}", "", name) for name in saved] == ["-t0000-p0.field.h5", "-t0001-p0.field.h5"]
    capture = read_capture(flow.capture_path)  # type: ignore[arg-type]
    assert sorted(set(capture.time_point_n.tolist())) == [0, 1]
    assert capture.header.positions_um == ((0.0, 0.0, 0.0),)
    assert set(capture.exposure_ms_n.tolist()) != {10.0}
