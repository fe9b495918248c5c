from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from acquisition.capture import CaptureWriter, Frame, match_reference, part_path, read_capture, read_reference
from acquisition.capture_check import check_capture
from acquisition.capture_saturation import saturated_share
from acquisition.saturation import SaturationWatch
from acquisition.scan import FinishReason, Scan, ScanStatus

if TYPE_CHECKING:
    from pathlib import Path

    from acquisition.instrument import Instrument
    from acquisition.plan import ExposurePlan
    from acquisition.simulated.sensor import Sensor

EMPTY = np.zeros((4, 4), np.uint16)


def test_the_worst_pattern_is_named_and_frames_are_counted() -> None:
    watch = SaturationWatch()
    for number, share in enumerate((0.0, 0.0005, 0.02, 0.3, 0.1)):
        watch.see(Frame(number, 10 + number, EMPTY, 5.0, saturated_fraction=share))
        assert bool(watch.text) == (number >= 2)
    assert watch.text.startswith("3 frames are saturated, most of all pattern 13: 30.0% of its pixels at 5 ms")


@pytest.mark.parametrize("step", [1, 16])
@pytest.mark.parametrize("level", [300.0, 2000.0, 2500.0])
def test_a_sensor_that_is_full_before_its_counts_are_is_noticed(level: float, step: int) -> None:
    light_yx = np.random.default_rng(0).normal(level, 0.1 * level, (128, 128)) + 100
    open_yx = step * np.clip(light_yx, 0, 4000).astype(np.uint16)
    full_yx = np.minimum(open_yx, step * np.uint16(1.1 * level + 100))  # less than one pixel in six
    assert saturated_share(open_yx, 65535, 100) == 0
    assert saturated_share(full_yx, 65535, 100) == pytest.approx(np.mean(full_yx == full_yx.max()))
    assert saturated_share(np.full((8, 8), 5000, np.uint16), 65535, 100) == 1, "all of it is full"


def test_few_counts_are_no_heap() -> None:
    rng = np.random.default_rng(1)
    dark_yx = rng.normal(100, 1.2, (128, 128)).astype(np.uint16)
    assert saturated_share(dark_yx, 255, 100) == 0
    assert saturated_share(np.full((8, 8), 101, np.uint16), 255, 100) == 0
    assert saturated_share(np.full((8, 8), 255, np.uint16), 255, 100) == 1


def test_a_scan_notices_a_full_well(instrument: Instrument, plan: ExposurePlan, tmp_path: Path) -> None:
    bright = plan.with_exposures(np.full(plan.pattern_count, 10.0))  # 15000 electrons are 3750 of 4095 counts
    run = Scan(instrument, bright, tmp_path / "a.h5", instrument.capture_header(bright))
    run.start()
    assert "12 frames are saturated" in run.wait(60).notice
    (told,) = [found for found in check_capture(tmp_path / "a.h5") if found.name == "saturation"]
    assert "heap up at 3850 counts" in told.text


def test_a_scan_tells_while_it_runs(instrument: Instrument, plan: ExposurePlan, tmp_path: Path) -> None:
    assert instrument.simulated is not None
    instrument.simulated._sensor = _deep(instrument)
    statuses: list[ScanStatus] = []
    bright = plan.with_exposures(np.where(np.arange(plan.pattern_count) == 7, 50.0, 2.0))
    header = instrument.capture_header(bright)
    run = Scan(instrument, bright, tmp_path / "a.h5", header, on_status=statuses.append)
    run.start()
    status = run.wait(60)
    assert status.reason is FinishReason.COMPLETE
    assert "1 frame is saturated, most of all pattern 7" in status.notice
    told = [bool(status.notice) for status in statuses]
    assert told == sorted(told)
    capture = read_capture(tmp_path / "a.h5")
    assert capture.pattern_n[capture.saturated_fraction_n > 0.001].tolist() == [7]


def test_a_scan_stores_its_reference_and_outlives_one_that_is_lost(
    instrument: Instrument, plan: ExposurePlan, tmp_path: Path
) -> None:
    header = instrument.capture_header(plan)
    empty = tmp_path / "empty.h5"
    with CaptureWriter(empty, replace(header, is_reference=True)) as writer:
        for pattern in range(plan.pattern_count):
            image = np.full(header.image_shape, 1000 + pattern, np.uint16)
            writer.write_frame(Frame(pattern, pattern, image, 2.0))
        writer.finish("complete")
    matched = match_reference(read_reference(empty), header, plan.exposure_ms_p, True, plan.main_exposure_ms)
    for name, lost in (("a.h5", False), ("b.h5", True)):
        if lost:
            empty.unlink()
        run = Scan(instrument, plan, tmp_path / name, header, reference=matched)
        run.start()
        status = run.wait(60)
        assert status.reason is FinishReason.COMPLETE
        capture = read_capture(tmp_path / name)
        assert len(capture.images_nyx) == plan.pattern_count
        assert not part_path(tmp_path / name).exists()
        if lost:
            assert "The capture has no background: There is no capture" in status.message
            assert capture.background_pyx is None
        else:
            assert status.message == ""
            assert capture.background_pyx is not None
            light_p = (capture.background_pyx - capture.dark_yx).mean(axis=(1, 2))
            assert light_p == pytest.approx(900.0 + np.arange(plan.pattern_count))


def _deep(instrument: Instrument) -> Sensor:
    """A sensor that its counts fill before its wells do."""
    assert instrument.simulated is not None
    return replace(instrument.simulated._sensor, full_well_e=1e6)
