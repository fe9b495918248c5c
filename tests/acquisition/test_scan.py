from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest

from acquisition.camera import CameraError
from acquisition.capture import CaptureWriter, part_path, read_capture, read_truth
from acquisition.capture_check import check_capture
from acquisition.finding import Level
from acquisition.scan import FinishReason, Scan, ScanState, ScanStatus
from acquisition.simulated.board import BoardFault

if TYPE_CHECKING:
    from acquisition.capture import Frame
    from acquisition.instrument import Instrument
    from acquisition.plan import ExposurePlan
    from acquisition.profile import Profile


def lit(instrument: Instrument) -> bool:
    assert instrument.simulated is not None
    return bool(instrument.simulated.board.brightness().any())


def unchecked(path: Path) -> int:
    with h5py.File(path) as file:
        return int(file["entry"].attrs.get("frames_unchecked", 0))


def scan(instrument: Instrument, plan: ExposurePlan, path: Path, **callbacks: Any) -> Scan:
    return Scan(instrument, plan, path, instrument.capture_header(plan, title="test"), **callbacks)


def test_complete_scan_is_stored_frame_by_frame(instrument: Instrument, plan: ExposurePlan, tmp_path: Path) -> None:
    frames: list[Frame] = []
    statuses: list[ScanStatus] = []
    run = scan(instrument, plan, tmp_path / "a.h5", on_frame=frames.append, on_status=statuses.append)
    assert run.status.state is ScanState.IDLE
    run.start()
    status = run.wait(60)
    assert (status.state, status.reason, status.message) == (ScanState.FINISHED, FinishReason.COMPLETE, "")
    assert status.frames_done == status.frames_total == 14
    assert status.path == tmp_path / "a.h5"
    assert not lit(instrument)

    seen = [status.state for status in statuses]
    assert [state for state, before in zip(seen, [None, *seen], strict=False) if state != before] == [
        ScanState.PREPARING, ScanState.RUNNING, ScanState.FINISHING, ScanState.FINISHED,
    ]  # fmt: skip
    assert [frame.pattern for frame in frames] == plan.order_n.tolist()
    capture = read_capture(status.path)
    assert capture.status == "complete"
    np.testing.assert_array_equal(capture.pattern_n, plan.order_n[2:])
    np.testing.assert_array_equal(capture.images_nyx, [frame.image_yx for frame in frames[2:]])
    assert (np.diff(capture.host_time_s_n) > 0).all()
    assert capture.exposure_ms_n == pytest.approx(2.0)
    assert capture.dark_yx is not None
    assert capture.dark_yx.mean() == pytest.approx(100, abs=0.5)
    # empty field: 8000 electrons at brightness 255; the profile lights 200, each LED with its own gain
    assert np.median(capture.images_nyx, axis=(1, 2)) == pytest.approx(100 + 8000 / 4 * 200 / 255, rel=0.1)
    truth = read_truth(status.path)
    assert truth is not None
    assert truth.dn_zyx.max() == pytest.approx(0.02, rel=0.2)
    assert 0.005 < np.abs(truth.led_na_l2 - capture.header.led_na_l2).max() < 0.05


def test_images_belong_to_their_leds(instrument: Instrument, plan: ExposurePlan, tmp_path: Path) -> None:
    run = scan(instrument, plan, tmp_path / "a.h5")
    run.start()
    capture = read_capture(run.wait(60).path or "")
    assert instrument.simulated is not None
    microscope = instrument.simulated
    imager = microscope._imager.result()
    for image, pattern in zip(capture.images_nyx, capture.pattern_n, strict=True):
        expected = [imager.intensity(na) for na in microscope.led_na_l2]
        flat = (image - 100.0) / (image - 100.0).mean()
        errors = [np.abs(flat - one / one.mean()).mean() for one in expected]
        assert int(np.argmin(errors)) == int(np.argmax(plan.patterns_pl[pattern]))


@pytest.mark.parametrize(
    ("fault", "text"),
    [(BoardFault.ERROR, "power source"), (BoardFault.SILENCE, "did not answer"), (BoardFault.UNPLUG, "is gone")],
)
def test_board_fails_in_mid_scan(
    fault: BoardFault, text: str, instrument: Instrument, plan: ExposurePlan, tmp_path: Path
) -> None:
    frames: list[Frame] = []
    assert instrument.simulated is not None
    instrument.simulated.board.inject(fault, after_commands=8)
    run = scan(instrument, plan, tmp_path / "a.h5", on_frame=frames.append)
    run.start()
    status = run.wait(60)
    assert status.reason is FinishReason.FAILED
    assert text in status.message
    assert "may still be on" in status.message  # switching off was tried, and did not work either
    capture = read_capture(tmp_path / "a.h5")
    assert capture.status == "failed"
    stored = [frame for frame in frames if frame.pattern >= 0]
    assert len(capture.images_nyx) == len(stored) > 2


def test_board_that_switches_late_is_noticed(instrument: Instrument, plan: ExposurePlan, tmp_path: Path) -> None:
    assert instrument.simulated is not None
    instrument.simulated.board.inject(BoardFault.ONE_BEHIND)
    run = scan(instrument, plan, tmp_path / "a.h5")
    run.start()
    status = run.wait(60)
    assert status.reason is FinishReason.FAILED
    assert "switches late" in status.message
    assert read_capture(tmp_path / "a.h5").status == "failed"
    assert unchecked(tmp_path / "a.h5") == 12


def several_exposures(plan: ExposurePlan) -> ExposurePlan:
    """Return the plan with its last two patterns exposed longer, as in dark field."""
    exposure_ms_p = plan.exposure_ms_p.copy()
    exposure_ms_p[plan.order_n[-2:]] = 3.0
    return plan.with_exposures(exposure_ms_p)


def test_each_pattern_has_its_exposure_and_its_dark_frames(
    instrument: Instrument, plan: ExposurePlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []
    set_exposure_ms = instrument.camera.set_exposure_ms
    monkeypatch.setattr(instrument.camera, "set_exposure_ms", lambda ms: (asked.append(ms), set_exposure_ms(ms))[1])
    mixed = several_exposures(plan)
    frames: list[Frame] = []
    run = scan(instrument, mixed, tmp_path / "a.h5", on_frame=frames.append)
    run.start()
    status = run.wait(60)
    assert (status.reason, status.frames_done, status.frames_total) == (FinishReason.COMPLETE, 16, 16)
    assert asked == [2.0, 3.0, 2.0, 3.0], "set when it changes, and not before every frame; the brightest one last"
    capture = read_capture(tmp_path / "a.h5")
    np.testing.assert_array_equal(capture.exposure_ms_n, mixed.exposure_ms_n[4:])
    assert [(frame.pattern, frame.exposure_ms) for frame in frames[:2]] == [(-1, 2.0), (-1, 2.0)]
    assert [dark.exposure_ms for dark in capture.darks] == [2.0, 3.0], "that of the main exposure first"
    for dark in capture.darks:
        taken = [frame.image_yx for frame in frames if frame.pattern < 0 and frame.exposure_ms == dark.exposure_ms]
        assert len(taken) == 2
        np.testing.assert_allclose(dark.image_yx, np.mean(taken, axis=0), rtol=1e-6)
    assert not [found for found in check_capture(tmp_path / "a.h5") if found.level is not Level.OK]
    levels = capture.images_nyx.mean(axis=(1, 2)) - 100
    assert levels[-2:].mean() == pytest.approx(1.5 * levels[:-2].mean(), rel=0.1)


def test_a_late_board_is_noticed_where_the_last_pattern_is_dark(
    instrument: Instrument, plan: ExposurePlan, tmp_path: Path
) -> None:
    patterns_pl = plan.patterns_pl.copy()
    patterns_pl[plan.order_n[-1]] *= 0.01
    assert instrument.simulated is not None
    instrument.simulated.board.inject(BoardFault.ONE_BEHIND)
    run = scan(instrument, replace(plan, patterns_pl=patterns_pl), tmp_path / "a.h5")
    run.start()
    assert "switches late" in run.wait(60).message


def test_camera_fails_in_mid_scan_and_the_light_goes_out(
    instrument: Instrument, plan: ExposurePlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snap, taken = instrument.camera.snap, []

    def breaks() -> Any:
        taken.append(1)
        if len(taken) == 6:
            raise CameraError("Micro-Manager does not answer.", "Restart it.")
        return snap()

    monkeypatch.setattr(instrument.camera, "snap", breaks)
    run = scan(instrument, plan, tmp_path / "a.h5")
    run.start()
    status = run.wait(60)
    assert (status.reason, status.frames_done) == (FinishReason.FAILED, 5)
    assert "Restart it." in status.message
    assert not lit(instrument)
    assert len(read_capture(tmp_path / "a.h5").images_nyx) == 3
    assert unchecked(tmp_path / "a.h5") == 3, "nobody has seen whether they were in step"


def test_cancel_keeps_what_is_there(instrument: Instrument, plan: ExposurePlan, tmp_path: Path) -> None:
    holder: list[Scan] = []
    holder.append(
        scan(
            instrument,
            plan,
            tmp_path / "a.h5",
            on_frame=lambda frame: holder[0].cancel() if frame.index == 4 else None,
        )
    )
    holder[0].start()
    status = holder[0].wait(60)
    assert (status.reason, status.message) == (FinishReason.CANCELLED, "")
    assert 5 <= status.frames_done < status.frames_total, "what was taken when the fifth was told is stored as well"
    capture = read_capture(tmp_path / "a.h5")
    assert (capture.status, len(capture.images_nyx)) == ("aborted", status.frames_done - 2)
    assert unchecked(tmp_path / "a.h5") == len(capture.images_nyx)
    assert not lit(instrument)


def test_a_frame_whose_light_goes_out_is_not_stored(
    instrument: Instrument, plan: ExposurePlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    snap, taken = instrument.camera.snap, []
    run = scan(instrument, plan, tmp_path / "a.h5")

    def darkened() -> Any:
        taken.append(1)
        if len(taken) == 6:  # the window is closed in the middle of an exposure
            run.abandon()
            instrument.darken()
        return snap()

    monkeypatch.setattr(instrument.camera, "snap", darkened)
    run.start()
    status = run.wait(60)
    assert (status.reason, status.frames_done, status.message) == (FinishReason.CANCELLED, 5, "")
    capture = read_capture(tmp_path / "a.h5")
    assert (capture.status, len(capture.images_nyx)) == ("aborted", 3)
    assert capture.images_nyx.mean(axis=(1, 2)).min() > 200, "all of them are lit"
    assert unchecked(tmp_path / "a.h5") == 3
    assert not lit(instrument)


def test_callbacks_that_raise_lose_no_data(instrument: Instrument, plan: ExposurePlan, tmp_path: Path) -> None:
    def raises(_: object) -> None:
        raise RuntimeError("window gone")

    run = scan(instrument, plan, tmp_path / "a.h5", on_frame=raises, on_status=raises)
    run.start()
    assert run.wait(60).reason is FinishReason.COMPLETE
    assert len(read_capture(tmp_path / "a.h5").images_nyx) == 12


def test_full_disk_and_taken_name(
    instrument: Instrument, plan: ExposurePlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.h5").write_bytes(b"precious")
    run = scan(instrument, plan, tmp_path / "a.h5")
    run.start()
    status = run.wait(60)
    assert (status.reason, status.path) == (FinishReason.FAILED, None)
    assert "overwritten" in status.message
    assert (tmp_path / "a.h5").read_bytes() == b"precious"

    write_frame = CaptureWriter.write_frame

    def fills_up(writer: CaptureWriter, frame: Frame) -> None:
        if writer.frames_written == 4:
            raise OSError(28, "No space left on device")
        write_frame(writer, frame)

    monkeypatch.setattr(CaptureWriter, "write_frame", fills_up)
    run = scan(instrument, plan, tmp_path / "b.h5")
    run.start()
    status = run.wait(60)
    assert status.reason is FinishReason.FAILED
    assert "No space left" in status.message
    assert len(read_capture(tmp_path / "b.h5").images_nyx) == 4
    assert not lit(instrument)


def test_second_scan_is_refused_and_does_not_disturb_the_first(
    instrument: Instrument, plan: ExposurePlan, tmp_path: Path
) -> None:
    started = threading.Event()
    first = scan(instrument, plan, tmp_path / "a.h5", on_frame=lambda frame: started.set())
    second = scan(instrument, plan, tmp_path / "b.h5")
    first.start()
    assert started.wait(30)
    second.start()
    assert "running already" in second.wait(10).message
    assert first.wait(60).reason is FinishReason.COMPLETE
    assert not (tmp_path / "b.h5").exists()


def test_repeats_without_dark_frames(instrument: Instrument, plan: ExposurePlan, tmp_path: Path) -> None:
    twice = replace(plan, order_n=np.tile(plan.order_n[2:], 2))
    run = scan(instrument, twice, tmp_path / "a.h5")
    run.start()
    assert run.wait(60).reason is FinishReason.COMPLETE
    capture = read_capture(tmp_path / "a.h5")
    assert len(capture.images_nyx) == 24
    assert capture.dark_yx is None


SCANNING = """
import sys
from acquisition.instrument import open_instrument
from acquisition.plan import make_plan
from acquisition.profile import parse_profile
from acquisition.scan import Scan

profile = parse_profile(sys.stdin.read(), "small")
instrument = open_instrument(profile)
plan = make_plan(profile.plan.model_copy(update={"repeats": 200}), instrument.led_na_l2, 0.4, 1.0)
tell = lambda frame: print(frame.index, frame.pattern, int(frame.image_yx.sum()), flush=True)
Scan(instrument, plan, sys.argv[1], instrument.capture_header(plan), on_frame=tell).start()
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_kill_in_mid_scan_keeps_every_frame_reported(small_profile: Profile, tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    process = subprocess.Popen(
        [sys.executable, "-c", SCANNING, str(path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(small_profile.toml_text)
    process.stdin.close()
    reported = [process.stdout.readline().split() for _ in range(30)]
    os.kill(process.pid, signal.SIGKILL)
    reported += [line.split() for line in process.stdout.read().splitlines()]
    process.stdout.close()
    process.wait(10)

    sums = [int(total) for index, pattern, total in (line for line in reported if len(line) == 3) if int(pattern) >= 0]
    capture = read_capture(part_path(path))
    assert capture.status == "running"
    assert len(capture.images_nyx) >= len(sums) >= 28
    assert capture.images_nyx.sum(axis=(1, 2), dtype=np.int64)[: len(sums)].tolist() == sums


def test_loop_costs_little_beyond_exposure(instrument: Instrument, plan: ExposurePlan, tmp_path: Path) -> None:
    times: list[float] = []
    twice = replace(plan, order_n=np.concatenate([plan.order_n, np.tile(plan.order_n[2:], 3)]))
    run = scan(instrument, twice, tmp_path / "a.h5", on_frame=lambda frame: times.append(time.perf_counter()))
    run.start()
    assert run.wait(60).reason is FinishReason.COMPLETE
    beyond_ms = float(np.median(np.diff(times[14:]))) * 1000 - plan.main_exposure_ms - plan.settle_ms
    assert beyond_ms < 40  # some 4 ms on two free cores
