"""A field is made of one time point and position of a capture, and never of a mean over several."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from acquisition.capture import CaptureWriter, Frame, read_visits
from acquisition.errors import OperatorError
from recon import messages
from recon.reconstruct import Reconstruction
from recon.start import start_stored
from recon.visit import choose_visit, read_visit

if TYPE_CHECKING:
    from pathlib import Path

    from recon.messages import Event
    from tests.recon.simulate import Shot

VISITS = [(0, 0), (0, 2), (1, 0), (1, 2)]


@pytest.fixture(scope="module")
def time_lapse(cells: Shot, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two time points at the positions 0 and 2; each scan sees the sample shifted by other columns."""
    path = tmp_path_factory.mktemp("captures") / "lapse.h5"
    with CaptureWriter(path, cells.header) as writer:
        writer.write_calibration(cells.calibration)
        for number, (time_point, position) in enumerate(VISITS):
            for pattern, counts_yx in enumerate(cells.counts_pyx):
                image_yx = np.roll(counts_yx, number, axis=1)
                writer.write_frame(
                    Frame(writer.frames_written, pattern, image_yx, 10.0, time_point=time_point, position=position)
                )
        writer.finish("complete")
    return str(path)


def wish(time_point: int | None = None, position: int | None = None) -> messages.FitSettings:
    return messages.FitSettings(model="born", time_point=time_point, position=position)


def test_the_visits_of_a_capture_are_counted(time_lapse: str, cells: Shot) -> None:
    assert list(read_visits(time_lapse).items()) == [(visit, len(cells.counts_pyx)) for visit in VISITS]


@pytest.mark.parametrize(
    ("time_point", "position", "number", "told"),
    [(None, None, 0, True), (1, None, 2, True), (None, 2, 1, True), (1, 2, 3, False)],
)
def test_the_chosen_scan_alone_is_read(
    time_lapse: str, cells: Shot, time_point: int | None, position: int | None, number: int, told: bool
) -> None:
    settings = wish(time_point, position)
    visit, text = choose_visit(time_lapse, settings)
    assert visit == VISITS[number]
    assert bool(text) is told
    if told:
        assert f"time point {visit[0]}, position {visit[1]}" in text
    capture = read_visit(time_lapse, settings)
    np.testing.assert_array_equal(capture.images_nyx, np.roll(cells.counts_pyx, number, axis=2))
    assert capture.pattern_n.tolist() == list(range(len(cells.counts_pyx)))
    part = read_visit(time_lapse, settings, (slice(4, 20), slice(8, 40)), [1, 5])
    np.testing.assert_array_equal(part.images_nyx, capture.images_nyx[[1, 5], 4:20, 8:40])


def test_what_is_not_there_is_told_with_what_is(time_lapse: str) -> None:
    for settings, said in ((wish(2), "time point 2"), (wish(0, 1), "time point 0 and position 1")):
        with pytest.raises(OperatorError, match=f"no frame of {said}") as caught:
            choose_visit(time_lapse, settings)
        assert caught.value.remedy == "It has time points 0 to 1 and positions 0 to 2."


def test_one_scan_is_no_choice_and_no_frame_no_error(cells: Shot, tmp_path: Path) -> None:
    assert choose_visit(str(cells.write(tmp_path / "one.h5")), wish()) == ((0, 0), "")
    with CaptureWriter(tmp_path / "none.h5", cells.header):
        pass
    assert choose_visit(str(tmp_path / "none.h5"), wish()) == ((0, 0), "")


def test_a_reconstruction_takes_the_first_scan_and_says_so(time_lapse: str, cells: Shot) -> None:
    events: list[Event] = []
    run = start_stored(0, time_lapse, wish(), events.append)
    assert isinstance(run, Reconstruction)
    told = [event.text for event in events if isinstance(event, messages.Notice)]
    assert len(told) == 1
    assert "4 scans" in told[0]
    images = run._measurement.images()
    assert images.frames == len(cells.counts_pyx)
    first = cells.counts_pyx.astype(np.float32) - cells.header.optics.camera_offset
    np.testing.assert_allclose(images.intensity_pyx, first / first.mean(axis=(1, 2), keepdims=True), rtol=1e-5)
