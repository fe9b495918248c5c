"""Tables written by hand: patterns and positions are read as meant, every fault is told with its line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from acquisition.csv_table import CsvError
from acquisition.experiment import Position, read_positions
from acquisition.plan import PlanError, make_plan, plan_for
from acquisition.plan_patterns import read_patterns
from acquisition.profile import PlanSettings, load_profile

if TYPE_CHECKING:
    from pathlib import Path

HEAD = "pattern,led,brightness,exposure_ms\n"


def written(folder: Path, text: str | bytes) -> str:
    path = folder / "table.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(path)


def test_patterns_in_the_order_in_which_they_are_named(tmp_path: Path) -> None:
    text = "# by hand\n\nled,pattern,brightness,exposure_ms\n3,left,1,\n1,right,0.5,\n4,left,0.25,20\n0,left,1,20\n,,,"
    patterns_pl, exposure_ms_p = read_patterns(written(tmp_path, text), 5)
    np.testing.assert_array_equal(patterns_pl, [[1, 0, 0, 1, 0.25], [0, 0.5, 0, 0, 0]])
    np.testing.assert_array_equal(exposure_ms_p, [20, np.nan])


@pytest.mark.parametrize(
    "text",
    [
        "pattern,led,brightness\n0,2,0.5\n",
        "\ufeffpattern;led;brightness\r\n0;2;0,5\r\n",
        'pattern,led,brightness\n"0",2, .5 ',
    ],
)
def test_what_spreadsheets_make_of_it(text: str, tmp_path: Path) -> None:
    patterns_pl, exposure_ms_p = read_patterns(written(tmp_path, text), 4)
    assert patterns_pl.tolist() == [[0, 0, 0.5, 0]]
    assert np.isnan(exposure_ms_p).all()


@pytest.mark.parametrize(
    ("text", "message", "remedy"),
    [
        ("", "is empty", "columns pattern, led, brightness and perhaps exposure_ms"),
        ("# nothing\n", "is empty", ""),
        (HEAD, "a head and nothing below", "Add lines"),
        (b"\xff\xfe\x00", "not UTF-8", "CSV file"),
        ("pattern,led\n0,1\n", "line 1: the column brightness is missing", "first line"),
        ("pattern,led,brightnes\n0,1,1\n", "line 1: the column 'brightnes' is not known", "Did you mean brightness"),
        ("pattern,led,brightness,led\n0,1,1,1\n", "'led' is not known or there twice", "Take the column out"),
        ("0,1,1\n1,2,1\n", "line 1: the column '0' is not known", "Take the column out"),
        (HEAD + "0,1,1\n", "line 2: 3 values, allowed: 4", "Correct line 2"),
        (HEAD + "0,1,1,\n\n#\n1,x,1,\n", "line 5: led is x, allowed: a whole number from 0 to 4", "led in line 5"),
        (HEAD + "0,5,1,\n", "line 2: led is 5, allowed: a whole number from 0 to 4", "Correct led"),
        (HEAD + "0,-1,1,\n", "line 2: led is -1", "Correct led"),
        (HEAD + "0,1.5,1,\n", "line 2: led is 1.5", "Correct led"),
        (HEAD + "0,nan,1,\n", "line 2: led is nan", "Correct led"),
        (HEAD + ",1,1,\n", r"line 2: pattern is \(empty\), allowed: text that is not empty", "Correct pattern"),
        (HEAD + "0,1,,\n", r"line 2: brightness is \(empty\), allowed: more than 0, at most 1", "Correct brightness"),
        (HEAD + "0,1,0,\n", "line 2: brightness is 0, allowed: more than 0", "Correct brightness"),
        (HEAD + "0,1,255,\n", "line 2: brightness is 255, allowed: more than 0, at most 1", "Correct brightness"),
        (HEAD + "0,1,1,0\n", "line 2: exposure_ms is 0, allowed: a number of milliseconds above 0", "Correct"),
        (HEAD + "0,1,1,long\n", "line 2: exposure_ms is long", "Correct"),
        (HEAD + "0,1,1,5\n0,2,1,6\n", "line 3: exposure_ms is 6, allowed: 5 as in the pattern's", "exposed once"),
        (HEAD + "0,1,1,\n0,1,1,\n", "line 3: led is 1, allowed: each LED once in a pattern", "Take the line out"),
    ],
)  # fmt: skip
def test_faults_in_patterns(text: str | bytes, message: str, remedy: str, tmp_path: Path) -> None:
    with pytest.raises(CsvError, match=message) as error:
        read_patterns(written(tmp_path, text), 5)
    assert remedy in error.value.remedy
    assert "table.csv" in error.value.message


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(CsvError, match="cannot be read: No such file"):
        read_positions(tmp_path / "none.csv")


def test_positions(tmp_path: Path) -> None:
    path = written(tmp_path, "name,x_um,y_um,z_um\nA1,0,0,0\nB 2,-1500.5,20,3e1\n")
    assert read_positions(path) == (Position("A1", 0, 0, 0), Position("B 2", -1500.5, 20, 30))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("A1,1,2", "line 3: 3 values"),
        ("A1,1,2,3", "line 3: name is A1, allowed: each name once"),
        (",1,2,3", r"line 3: name is \(empty\)"),
        ("B,1,x,3", "line 3: y_um is x, allowed: a finite number"),
        ("B,inf,2,3", "line 3: x_um is inf"),
    ],
)
def test_faults_in_positions(line: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(CsvError, match=message):
        read_positions(written(tmp_path, f"name,x_um,y_um,z_um\nA1,0,0,0\n{line}\n"))


def test_a_list_as_a_plan(tmp_path: Path) -> None:
    """Exposures of the file count, the plan's own fill the gaps, and those that the camera has not are refused."""
    profile = load_profile("simulated")
    na_l2 = np.array([[0.0, 0.0], [0.3, 0.0], [0.9, 0.0]])
    path = written(tmp_path, HEAD + "a,0,1,\nb,1,0.5,25\nc,2,1,\n")
    chosen = PlanSettings(kind="list", file=path, exposure_ms=10.0, darkfield_exposure_ms=99.0, dark_frames=1)
    plan = plan_for(profile, na_l2, chosen)
    assert plan.exposure_ms_p.tolist() == [10, 25, 99]
    assert plan.dark_count == 3
    every = make_plan(chosen.model_copy(update={"every": 2}), na_l2, 0.65, 0)
    assert every.exposure_ms_p.tolist() == [10, 99]
    written(tmp_path, HEAD + "a,0,1,5000\n")
    with pytest.raises(PlanError, match="exposes 5000 ms, the camera 1 to 1000 ms"):
        plan_for(profile, na_l2, chosen)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.text('pattern,ledbrighns_mx0123456789.-;\n#" ', max_size=60))
def test_no_text_brings_down_the_reader(tmp_path: Path, text: str) -> None:
    for content in (text, HEAD + text):
        try:
            patterns_pl, exposure_ms_p = read_patterns(written(tmp_path, content), 5)
            assert len(patterns_pl) == len(exposure_ms_p) >= 1
            assert patterns_pl.any(axis=1).all()
        except CsvError as error:
            assert error.remedy
