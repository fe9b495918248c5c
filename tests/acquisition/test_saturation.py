from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from acquisition.capture import CaptureWriter, Frame, match_reference, part_path, read_capture, read_reference
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
