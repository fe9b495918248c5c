from __future__ import annotations

import math
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acquisition.errors import OperatorError
from acquisition.estimate import duration_text
from gui.app import check_versions
from gui.camera_picture import CameraPicture
from gui.contrast_panel import automatic_levels
from gui.field_names import capture_name
from gui.lengths import length_text, round_length_um
from gui.live_panel import LivePanel
from gui.picture_channel import LOST_AFTER_S, PictureChannel
from gui.planes import XY, Plane
from gui.pupil_view import PupilView
from gui.settings import WindowSettings, load_settings, save_settings


@pytest.mark.parametrize(
    ("longest", "expected"),
    [(1.0, 1.0), (1.99, 1.0), (2.0, 2.0), (4.9, 2.0), (5.0, 5.0), (99.0, 50.0), (100.0, 100.0), (0.03, 0.02)],
)
def test_bar_lengths_are_1_2_5(longest: float, expected: float) -> None:
    assert round_length_um(longest) == pytest.approx(expected)


def test_every_length_is_round_and_fits() -> None:
    for longest in np.geomspace(1e-4, 1e5, 997):
        length = round_length_um(float(longest))
        assert length <= longest * (1 + 1e-9)
        assert length > longest / 2.5 - 1e-12
        assert round(length / 10 ** math.floor(math.log10(length) + 1e-9), 6) in (1, 2, 5)


@pytest.mark.parametrize(
    ("length", "text"),
    [(0.5, "500 nm"), (0.001, "1 nm"), (1.0, "1 µm"), (20.0, "20 µm"), (500.0, "500 µm"), (2000.0, "2 mm")],
)
def test_lengths_in_words(length: float, text: str) -> None:
    assert length_text(length) == text


@pytest.mark.parametrize(("seconds", "text"), [(8.2, "8 s"), (125, "2:05 min"), (4800 + 720, "1:32 h"), (-1, "0 s")])
def test_durations_in_words(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


def test_the_bad_pair_is_refused_with_a_remedy() -> None:
    check_versions((3, 11, 7), (6, 11, 3))
    check_versions((3, 12, 1), (6, 12, 0))
    with pytest.raises(OperatorError) as caught:
        check_versions((3, 11, 7), (6, 12, 0))
    assert "pip install" in caught.value.remedy


def test_damaged_settings_do_not_stop_the_start(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "window.json"
    assert load_settings(path) == WindowSettings()
    save_settings(WindowSettings(profile="x", max_seconds=77), path)
    assert load_settings(path).max_seconds == 77
    for damage in (b"\xff\x00{", b"[]", b'{"max_seconds": "soon"}'):
        path.write_bytes(damage)
        assert load_settings(path) == WindowSettings()
        assert path.with_suffix(".damaged").read_bytes() == damage
    save_settings(WindowSettings(), Path("/dev/null/window.json"))  # cannot be written: logged, not raised


def test_capture_names_can_be_files() -> None:
    now = datetime(2026, 1, 2, 3, 4, 5)
    assert capture_name("", now) == "20260102-030405.h5"
    assert capture_name(" HeLa / day 3: α ", now) == "20260102-030405_HeLa-day-3-α.h5"


def test_one_in_flight_one_waiting_latest_wins() -> None:
    sent: list[tuple[int, Plane]] = []
    channel = PictureChannel("xy", lambda _name, number, plane: sent.append((number, plane)))
    planes = [Plane(XY.frame(0.0), float(i), 0.0, 1.0, 1.0, (4, 4)) for i in range(5)]
    for plane in planes:
        channel.ask(plane)
    assert [plane for _, plane in sent] == [planes[0]]
    assert channel.answered(sent[0][0])
    assert [plane for _, plane in sent] == [planes[0], planes[4]]
    assert channel.answered(sent[1][0])
    assert channel.answered(sent[1][0]), "a refresh repeats the number"
    assert not channel.answered(sent[0][0]), "an older one never covers a newer one"
    assert len(sent) == 2


def test_a_lost_request_does_not_block(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    now = [100.0]
    monkeypatch.setattr("gui.picture_channel.time.monotonic", lambda: now[0])
    channel = PictureChannel("xy", lambda _name, number, _plane: sent.append(number))
    plane = Plane(XY.frame(0.0), 0.0, 0.0, 1.0, 1.0, (4, 4))
    channel.ask(plane)
    channel.ask(plane)
    assert len(sent) == 1
    now[0] += LOST_AFTER_S + 0.1
    channel.ask(plane)
    assert len(sent) == 2


def test_automatic_levels_leave_out_extremes() -> None:
    picture = np.full((140, 140), 9.0, np.float32)  # the rim is bright and does not count
    picture[17:123, 17:123] = np.linspace(0, 1, 106 * 106, dtype=np.float32).reshape(106, 106)
    picture[70, 70], picture[71, 71] = -50, 50
    low, high = automatic_levels([picture]) or (0, 0)
    assert 0 <= low < 0.01
    assert 0.99 < high <= 1
    flat = automatic_levels([np.zeros((4, 4), np.float32)])
    assert flat is not None
    assert flat[0] < 0 < flat[1]
    assert automatic_levels([]) is None
    assert automatic_levels([np.full((2, 2), np.nan, np.float32)]) is None


def test_pupil_map_shows_what_shines(qtbot) -> None:
    view = PupilView()
    qtbot.addWidget(view)
    view.resize(300, 318)
    view.grab()
    view.set_leds(np.array([[0.0, 0.0], [0.1, 0.0], [0.0, 0.2]]), 0.25)
    dark = view.grab().toImage()
    view.set_lit(np.array([0, 1, 0], np.float32))
    lit = view.grab().toImage()
    centre, scale = view._to_px()
    x, y = round(centre.x() + 0.1 * scale), round(centre.y())
    assert lit.pixelColor(x, y).lightness() > dark.pixelColor(x, y).lightness() + 60
    other = (round(centre.x()), round(centre.y() + 0.2 * scale))
    assert lit.pixelColor(*other) == dark.pixelColor(*other)
    assert "lit: 1" in view.accessibleDescription()
    assert view.led_at(centre) == 0


def test_the_entry_module_loads_neither_qt_nor_torch() -> None:
    import subprocess

    code = "import gui.app, sys; sys.exit(bool({'PySide6', 'torch', 'pyqtgraph'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_auto_takes_one_step_for_each_picture(qtbot: Any) -> None:
    panel = LivePanel()
    for section in (panel.camera, panel.lighting, panel.leds):
        qtbot.addWidget(section)
    panel.set_instrument(np.zeros((1, 2)), 0.5, (1.0, 1000.0, 10.0))
    chosen: list[float] = []
    panel.exposure_chosen.connect(chosen.append)

    def show(bin_of_most: int, bin_of_one: int) -> None:
        counts = np.zeros(128, np.int64)
        counts[[bin_of_most, bin_of_one]] += (5000, 1)
        panel.show_picture(CameraPicture(np.zeros((8, 8), np.uint16), 0.0, counts, 0.0))

    panel.auto.click()
    assert chosen == []  # nothing has been seen yet
    show(31, 127)  # a hot pixel does not count
    panel.auto.click()
    panel.auto.click()
    assert chosen == [pytest.approx(10 * 0.7 * 4, abs=0.06)]
    show(127, 0)
    panel.auto.click()
    assert chosen[1] == pytest.approx(chosen[0] / 4, abs=0.06)
    show(0, 0)
    panel.auto.click()
    panel.auto.click()
    assert chosen[2] == pytest.approx(20 * chosen[1], abs=0.06)
