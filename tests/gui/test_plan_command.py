"""`fieldscope plan`: told without an instrument, in words and as JSON; wrong wishes with a remedy."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from acquisition.errors import OperatorError
from acquisition.profile import shipped_profiles
from gui.cli import app
from gui.commands.plan_options import plan_changes


def plan(*arguments):
    result = CliRunner().invoke(app, ["plan", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_profiles_plan_in_words():
    lines = plan("-p", "ht_idt_grid32", "--image", "2048,2048").splitlines()
    assert lines[0] == "32 x 32 LED grid, 10x NA 0.25: brightfield, 89 LEDs"
    assert sum(" bright " in line for line in lines[2:42]) == 40
    assert any("and 49 more; --json lists them all" in line for line in lines)
    assert "89 LEDs in 89 patterns: 89 frames after 4 without light" in lines
    assert any(line.startswith("time: about ") for line in lines)
    assert lines[-1] == "file: 764 MB"


def test_size_is_not_guessed():
    assert "file:" not in plan("-p", "ht_idt_grid32")
    assert "file: " in plan("-p", "simulated")


@pytest.mark.parametrize(
    ("entries", "patterns", "leds"),
    [
        (["kind=dpc"], 4, 88),
        (["kind=dpc", "na_min=0.15"], 4, 64),
        (["kind=multiplexed", "leds_per_pattern=4"], 23, 89),
        (["kind=multiplexed", "patterns=30", "leds_per_pattern=6", "seed=3"], 30, 89),
        (["kind=darkfield", "na_max=0.4", "rings=3", "darkfield_exposure_ms=100"], 3, 152),
        (["kind=darkfield", "na_max=0.4", "rings=0"], 152, 152),
        (["kind=annular", "na_min=0.2", "na_max=0.4"], 192, 192),
        (["kind='subset'", "leds=[1, 5]"], 2, 2),
        (["kind=subset", "leds=9,5,7"], 3, 3),
        (["every=4"], 23, 23),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_kinds(entries, patterns, leds):
    options = [part for entry in entries for part in ("--plan", entry)]
    told = json.loads(plan("-p", "ht_idt_grid32", *options, "--json"))
    assert (told["estimate"]["patterns"], told["estimate"]["leds"]) == (patterns, leds)
    assert len(told["patterns"]) == patterns
    assert {led for row in told["patterns"] for led in row["leds"]} != set()
    assert all(row["field"] in ("bright", "dark") for row in told["patterns"])
    assert sorted(row["pattern"] for row in told["patterns"]) == list(range(patterns))


def test_experiment_on_the_command_line(tmp_path):
    (tmp_path / "wells.csv").write_text("name,x_um,y_um,z_um\nA1,0,0,0\nA2,9000,0,1.5\n")
    told = json.loads(plan("--every", 60, "--count", 10, "--positions", tmp_path / "wells.csv", "--json"))
    assert told["estimate"]["scans"] == 20
    assert told["estimate"]["frames"] == 20 * 33
    assert [place["name"] for place in told["positions"]] == ["A1", "A2"]
    assert told["estimate"]["late_s"] == 0
    words = plan("--every", 2, "--count", 10, "--positions", tmp_path / "wells.csv")
    assert "time points follow as fast as they can" in words


def test_a_list_beside_the_profile(tmp_path):
    text = shipped_profiles()["simulated"].read_text(encoding="utf-8")
    profile = tmp_path / "mine.toml"
    profile.write_text(text.replace('kind = "brightfield"', 'kind = "list"\nfile = "list.csv"'), encoding="utf-8")
    (tmp_path / "list.csv").write_text("pattern,led,brightness\n0,1,1\n0,2,0.5\n1,3,1\n")
    told = json.loads(plan("-p", profile, "--json"))
    assert [(row["leds"], row["brightness"]) for row in sorted(told["patterns"], key=lambda row: row["pattern"])] == [
        ([1, 2], [1.0, 0.5]), ([3], [1.0]),
    ]  # fmt: skip


@pytest.mark.parametrize("entries", [[], ["kind=multiplexed"], ["kind=dpc"]], ids=str)
def test_picture(entries, tmp_path):
    path = tmp_path / "plan.png"
    options = [part for entry in entries for part in ("--plan", entry)]
    plan(*options, "--picture", path)
    assert path.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(OperatorError, match="exists already"):
        plan("--picture", path)
    plan("--picture", path, "--overwrite")


@pytest.mark.parametrize(
    ("arguments", "said", "remedy"),
    [
        (["--plan", "dpc"], "'dpc', expected KEY=VALUE", "--plan kind=dpc"),
        (["--plan", "kind="], "expected KEY=VALUE", ""),
        (["--plan", "knd=dpc"], "there is no 'knd'", "Did you mean kind?"),
        (["--plan", "zebra=1"], "there is no 'zebra'", "The keys are kind, na_min"),
        (["--plan", "kind=dpc", "--plan", "kind=dpc"], "gives kind twice", "once"),
        (["--plan", "exposure_ms=long"], "plan.exposure_ms = 'long'", "Correct"),
        (["--plan", "leds=1,x"], "plan.leds", ""),
        (["--plan", "kind=list", "--plan", "file=none.csv"], "none.csv cannot be read", "columns pattern, led"),
        (["--positions", "none.csv"], "none.csv cannot be read", "columns name, x_um"),
        (["--image", "2048"], "expected 2 numbers", "--image 2048,2048"),
        (["-p", "illuminate_board"], "did not tell where its LEDs are. Nobody has asked it", "fieldscope capture"),
        (["--plan", "kind=subset", "--plan", "leds=33"], "LED 33, the board has 33 LEDs", "plan.leds"),
        (["--picture", "no/such/folder.png"], "There is no folder", "Make it"),
    ],
)
def test_wrong_wishes(arguments, said, remedy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OperatorError) as error:
        plan(*arguments)
    assert said in error.value.message
    assert remedy in error.value.remedy
    assert not list(tmp_path.iterdir())


def test_values_are_those_of_a_profile():
    entries = ["kind=dpc", "na_max = 0.5", "leds=4, 5", "every=2", "file=a b.csv", "order='board'", "patterns=many"]
    assert plan_changes(entries) == {
        "kind": "dpc", "na_max": 0.5, "leds": [4, 5], "every": 2, "file": "a b.csv", "order": "board",
        "patterns": "many",
    }  # fmt: skip
