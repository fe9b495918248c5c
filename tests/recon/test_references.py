"""The empty field in a live run, which gets it before the first frame."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from acquisition.capture import CaptureWriter, Frame, match_reference, read_reference
from acquisition.errors import OperatorError
from recon.messages import FitSettings, Notice
from recon.start import start_live
from tests.recon.simulate import photograph

SETTINGS = FitSettings(max_seconds=0.2)


@pytest.fixture(scope="module")
def beads():
    return photograph("beads", shape=(32, 32))


def test_a_live_run_is_divided_by_the_reference(beads, tmp_path):
    header, counts_pyx = beads.header, beads.counts_pyx
    shading = np.linspace(0.6, 1.4, 32)
    with CaptureWriter(tmp_path / "empty.h5", replace(header, is_reference=True)) as writer:
        writer.write_dark(np.full((32, 32), 100, np.float32), 20.0, 4)
        for pattern in range(len(counts_pyx)):
            writer.write_frame(
                Frame(pattern, pattern, np.rint(100 + 8000 * shading * np.ones((32, 1))).astype(np.uint16), 20.0)
            )
        writer.finish("complete")
    exposure_ms_p = np.full(len(counts_pyx), 10.0)
    matched = match_reference(read_reference(tmp_path / "empty.h5"), header, exposure_ms_p, True, 10.0)
    run = start_live(1, header, SETTINGS, lambda event: None, reference=matched)
    run.add_frame(-1, np.full((32, 32), 100, np.uint16))
    run.add_frame(0, np.rint(100 + 4000 * shading * np.ones((32, 1))).astype(np.uint16))
    images = run._measurement.images()
    assert not images.mean_is_one
    assert images.intensity_pyx == pytest.approx(1, abs=1e-3)


def test_saturated_frames_are_told_and_left_out(beads):
    said = []
    run = start_live(1, beads.header, SETTINGS, said.append)
    for pattern, counts_yx in enumerate(beads.counts_pyx):
        burnt = counts_yx.copy()
        burnt[: (10 if pattern == 3 else 0)] = 65535
        burnt[0, : (2 if pattern == 5 else 0)] = 65535
        run.add_frame(pattern, burnt)
    run.frames_done()
    while run.advance() and run.state.value != "fitting":
        pass
    told = " ".join(event.text for event in said if isinstance(event, Notice))
    assert "A frame of pattern 3 is left out: 31.2% of its pixels are saturated, 2% is the limit" in told
    assert "1 patterns have saturated pixels, most of all pattern 5: 0.2%" in told


def test_a_capture_without_an_unsaturated_frame_says_so(beads):
    run = start_live(1, beads.header, SETTINGS, lambda event: None)
    run.add_frame(0, np.full((32, 32), 65535, np.uint16))
    run.frames_done()
    with pytest.raises(OperatorError, match="All frames of the capture are saturated: up to 100%"):
        run.advance()
