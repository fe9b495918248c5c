"""The tables [plan] and [experiment]: what a profile may say, and what the operator may put in its place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from acquisition.profile import ProfileError, load_profile, parse_profile, shipped_profiles
from acquisition.profile_plan import PlanSettings, SettingsError, changed_experiment, changed_plan

if TYPE_CHECKING:
    from pathlib import Path

SIMULATED = shipped_profiles()["simulated"].read_text(encoding="utf-8")
PLAIN = 'kind = "brightfield"'


def with_plan(lines: str, experiment: str = "") -> str:
    assert PLAIN in SIMULATED
    return SIMULATED.replace(PLAIN, lines) + (f"\n[experiment]\n{experiment}\n" if experiment else "")


@pytest.mark.parametrize(
    ("plan", "experiment", "key", "found", "allowed"),
    [
        ('kind = "annular"', "", "plan", "{...}", "na_max"),
        ('kind = "list"', "", "plan", "{...}", "file"),
        ('kind = "list"\nfile = ""', "", "plan.file", "''", "not empty"),
        ('kind = "darkfield"\nrings = -1', "", "plan.rings", "-1", "at least 0"),
        ('kind = "dpc"\nna_min = 0.4\nna_max = 0.3', "", "plan.na_max", "0.3", "greater than na_min (0.4)"),
        ('kind = "multiplexed"\nleds_per_pattern = 0', "", "plan.leds_per_pattern", "0", "at least 1"),
        ('kind = "multiplexed"\npatterns = 2.5', "", "plan.patterns", "2.5", "whole number"),
        ('kind = "multiplexed"\nseed = -3', "", "plan.seed", "-3", "at least 0"),
        ('kind = "brightfield"\ndarkfield_exposure_ms = 5e3', "", "plan.darkfield_exposure_ms", "5000.0", "1 to 1000"),
        (PLAIN, "interval_s = -1", "experiment.interval_s", "-1", "at least 0"),
        (PLAIN, "count = 0", "experiment.count", "0", "at least 1"),
        (PLAIN, "interval = 3", "experiment.interval", "3", "interval_s"),
        (PLAIN, "autofocus = { range_um = 10.0, step_um = 6.0 }", "experiment.autofocus.step_um", "6.0", "half of"),
        (PLAIN, "autofocus = { range_um = 10.0 }", "experiment.autofocus.step_um", "(missing)", "needed"),
    ],
)  # fmt: skip
def test_faults(plan: str, experiment: str, key: str, found: str, allowed: str) -> None:
    with pytest.raises(ProfileError) as error:
        parse_profile(with_plan(plan, experiment), "my.toml")
    fault = {fault.key: fault for fault in error.value.faults}[key]
    assert fault.found == found
    assert allowed in fault.allowed
    assert fault.remedy


def test_irradiance_may_be_told() -> None:
    text = SIMULATED.replace("wavelength_um = 0.515", "wavelength_um = 0.515\nirradiance_mw_per_cm2 = 1.5")
    assert parse_profile(text, "my.toml").illumination.irradiance_mw_per_cm2 == 1.5
    with pytest.raises(ProfileError, match="greater than 0"):
        parse_profile(text.replace("1.5", "-1.5"), "my.toml")


def test_older_profiles_read_on() -> None:
    plan = parse_profile(with_plan('kind = "ring"\nna_max = 0.6'), "my.toml").plan
    assert (plan.kind, plan.na_max) == ("annular", 0.6)


def test_files_lie_beside_the_profile(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(with_plan('kind = "list"\nfile = "lists/a.csv"', 'positions = "wells.csv"'), encoding="utf-8")
    profile = load_profile(path)
    assert profile.plan.file == str(tmp_path / "lists" / "a.csv")
    assert profile.experiment.positions == str(tmp_path / "wells.csv")


def test_a_change_keeps_the_rest_and_another_kind_forgets_the_first_ones_keys() -> None:
    profile = parse_profile(with_plan('kind = "annular"\nna_min = 0.2\nna_max = 0.6\nrepeats = 3'), "my.toml")
    same = changed_plan(profile, {"na_max": 0.5})
    assert (same.kind, same.na_min, same.na_max, same.repeats) == ("annular", 0.2, 0.5, 3)
    other = changed_plan(profile, {"kind": "dpc"})
    assert (other.kind, other.na_min, other.na_max, other.repeats) == ("dpc", 0.0, None, 3)
    assert changed_plan(profile, {}) == profile.plan
    assert changed_experiment(profile, {"interval_s": 5.0, "count": 2}).count == 2
    assert profile.experiment.count == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kind": "dpc", "leds_per_pattern": 3}, "plan.leds_per_pattern = 3.*as kind dpc does not use it"),
        ({"na_max": 0.5}, "plan.na_max = 0.5.*as kind brightfield does not use it"),
        ({"kind": "dcp"}, "plan.kind = 'dcp'.*did you mean 'dpc'"),
        ({"exposure_ms": 1e4}, "plan.exposure_ms = 10000.0.*1 to 1000"),
        ({"kind": "annular"}, "na_max, as kind is annular"),
        ({"exposure_ms": "long", "repeats": 0}, "(?s)1. plan.exposure_ms = 'long'.*2. plan.repeats = 0"),
    ],
)
def test_changes_that_cannot_be(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=f"(?s){said.removeprefix('(?s)')}") as error:
        changed_plan(load_profile("simulated"), changes)
    assert error.value.remedy


@pytest.mark.parametrize("name", shipped_profiles())
def test_no_change_changes_nothing(name: str) -> None:
    profile = load_profile(name)
    assert changed_plan(profile, {}) == profile.plan
    assert changed_experiment(profile, {}) == profile.experiment


@pytest.mark.parametrize("key", PlanSettings.model_fields)
def test_every_key_is_explained(key: str) -> None:
    assert PlanSettings.model_fields[key].description
