"""Hardware profiles: the shipped ones load, wrong ones say all that is wrong."""

from __future__ import annotations

import logging
import pickle
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from acquisition.profile import Profile, ProfileError, load_profile, parse_profile, shipped_profiles

if TYPE_CHECKING:
    from pathlib import Path

SIMULATED = shipped_profiles()["simulated"].read_text(encoding="utf-8")


def changed(*changes: tuple[str, str]) -> str:
    """Return the simulated profile with lines replaced, each of which must be there."""
    text = SIMULATED
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new, 1)
    return text


def faults_of(text: str) -> dict[str, tuple[str, str, str]]:
    with pytest.raises(ProfileError) as error:
        parse_profile(text, "my.toml")
    assert "my.toml" in error.value.message
    assert error.value.remedy
    for fault in error.value.faults:
        assert fault.allowed, fault
        assert fault.remedy, fault
        assert str(fault) in error.value.message
    return {fault.key: (fault.found, fault.allowed, fault.remedy) for fault in error.value.faults}


# --- the shipped ones -----------------------------------------------------------------------------------------------


def test_default_comes_first() -> None:
    others = ["aidt_ring24", "home_made_board", "ht_idt_grid32", "illuminate_board", "uc2_board"]
    assert list(shipped_profiles()) == ["simulated", *others]


@pytest.mark.parametrize("name", shipped_profiles())
def test_shipped_profiles_load(name: str, caplog: pytest.LogCaptureFixture) -> None:
    profile = load_profile(name)
    assert profile.name == name
    assert profile.toml_text == shipped_profiles()[name].read_text(encoding="utf-8")
    assert (profile.simulation is not None) == (name == "simulated")
    assert not caplog.records
    assert profile.pixel_um <= 1.05 * profile.nyquist_pixel_um


def test_values_of_the_simulated_one() -> None:
    profile = load_profile("simulated")
    assert (profile.objective.na, profile.objective.immersion_index) == (0.65, 1.0)
    assert profile.pixel_um == pytest.approx(0.1625)
    assert profile.micromanager.backend == "python"
    assert profile.led_board.port == "simulated"
    assert profile.simulation is not None
    assert profile.simulation.image_px == 256
    assert profile.sample.z_um == (-6.0, 6.0)


def test_a_path_and_a_windows_editor(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    text = changed(('name = "simulated"', 'name = "mine"'))
    path.write_bytes(b"\xef\xbb\xbf" + text.encode().replace(b"\n", b"\r\n"))
    assert load_profile(path).name == "mine"
    assert load_profile(str(path)).name == "mine"


def test_binning_makes_pixels_larger_and_coarse_ones_are_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        profile = parse_profile(changed(("bit_depth = 16", "bit_depth = 16\nbinning = 2")), "my.toml")
    assert profile.pixel_um == pytest.approx(0.325)
    assert "0.325 um in the object" in caplog.text


def test_profile_is_immutable_and_travels() -> None:
    profile = load_profile("simulated")
    with pytest.raises(ValidationError):
        profile.objective.na = 0.3  # type: ignore[misc]
    assert pickle.loads(pickle.dumps(profile)).toml_text == profile.toml_text


# --- wrong ones -----------------------------------------------------------------------------------------------------

TEMPLATE = '[led_board.template]\non = "{index}"\nclear = "clear"\n[led_board.geometry]'

BROKEN: list[tuple[str, list[tuple[str, str]], str, str, str, str]] = [
    # what, changes, key, value found, allowed, remedy
    ("too small", [("na = 0.65", "na = -0.65")],
     "objective.na", "-0.65", "greater than 0 and less than 2", "numerical aperture"),
    ("too large", [("magnification = 40.0", "magnification = 4000")],
     "objective.magnification", "4000", "greater than 0 and at most 200", ""),
    ("beyond immersion", [("na = 0.65", "na = 1.2")],
     "objective.na", "1.2", "less than immersion_index (1)", "1.33 water"),
    ("text for number", [("bit_depth = 16", 'bit_depth = "16"')], "camera.bit_depth", "'16'", "whole number", "quotes"),
    ("fraction for integer", [("bit_depth = 16", "bit_depth = 12.5")], "camera.bit_depth", "12.5", "whole number", ""),
    ("boolean for number", [("na = 0.65", "na = true")], "objective.na", "True", "finite number", ""),
    ("infinite", [("wavelength_um = 0.515", "wavelength_um = inf")], "illumination.wavelength_um", "inf", "", ""),
    ("nanometres", [("wavelength_um = 0.515", "wavelength_um = 515")],
     "illumination.wavelength_um", "515", "less than 2", "um"),
    ("number for text", [('title = "Simulated microscope"', "title = 3")], "title", "3", "text in quotes", ""),
    ("unknown key", [("pixel_um =", "pixle_um =")],
     "camera.pixle_um", "6.5", "the keys pixel_um", "did you mean pixel_um?"),
    ("unknown table", [("[sample]", "[sampel]")], "sampel", "{...}", "the keys name", "did you mean sample?"),
    ("nothing like it", [("[plan]", "[plan]\nzebra = 1")], "plan.zebra", "1", "the keys kind", "take the key out"),
    ("missing key", [("na = 0.65\n", "")], "objective.na", "(missing)", "needed", "add objective.na"),
    ("missing table", [("[sample]", "[sampel]")], "sample", "(missing)", "needed", "table [sample]"),
    ("wrong choice", [('kind = "brightfield"', 'kind = "brightfeld"')],
     "plan.kind", "'brightfeld'", "'ring'", "'brightfield'?"),
    ("wrong geometry", [('kind = "ring"', 'kind = "rings"')],
     "led_board.geometry.kind", "'rings'", "'grid'", "'ring'?"),
    ("no geometry kind", [('kind = "ring"\n', "")], "led_board.geometry.kind", "(missing)", "'grid', 'ring'", "add"),
    ("protocol", [('protocol = "illuminate"', 'protocol = "uc3"')], "led_board.protocol", "'uc3'", "'illuminate'", ""),
    ("port of a home-made board", [('protocol = "illuminate"\nport = "simulated"', 'protocol = "uc2"\nport = "auto"')],
     "led_board.port", "'auto'", "serial device", "COM3"),
    ("template without its table", [('protocol = "illuminate"', 'protocol = "template"')],
     "led_board", "{...}", "template", "[led_board.template]"),
    ("table without its protocol", [("[led_board.geometry]", TEMPLATE)],
     "led_board.template", "{...}", "left out, as protocol is illuminate", "protocol"),
    ("options of nobody", [("brightness = 255", "brightness = 255\noptions = { a = 1 }")],
     "led_board.options", "{...}", "left out", "take the table out"),
    ("colour by name", [("brightness = 255", 'brightness = 255\ncolor = "gren"')],
     "led_board.color", "'gren'", "'white', 'red', 'green', 'blue', or [red, green, blue]", "'green'?"),
    ("colour by numbers", [("brightness = 255", "brightness = 255\ncolor = [1, 2, 256]")],
     "led_board.color", "[1, 2, 256]", "0 to 255", "colour"),
    ("colour of two", [("brightness = 255", "brightness = 255\ncolor = [1, 2]")], "led_board.color", "[1, 2]", "", ""),
    ("brightness", [("brightness = 255", "brightness = 300")], "led_board.brightness", "300", "at most 255", ""),
    ("exposure order", [("max = 1000.0", "max = 0.5")], "camera.exposure_ms.max", "0.5", "at least min (1)", ""),
    ("default exposure", [("default = 10.0", "default = 5000")], "camera.exposure_ms.default", "5000", "1 to 1000", ""),
    ("plan exposure", [("\nexposure_ms = 10.0", "\nexposure_ms = 5000")], "plan.exposure_ms", "5000", "1 to 1000", ""),
    ("z upside down", [("z_um = [-6.0, 6.0]", "z_um = [6, -6]")], "sample.z_um", "[6, -6]", "first number less", "top"),
    ("z of three", [("z_um = [-6.0, 6.0]", "z_um = [6, 1, 2]")], "sample.z_um", "[6, 1, 2]", "list", ""),
    ("z not a number", [("z_um = [-6.0, 6.0]", 'z_um = ["a", 6]')], "sample.z_um[0]", "'a'", "finite number", ""),
    ("ring without size", [("count = 1, na = 0.0 }", "count = 1 }")],
     "led_board.geometry.rings[2]", "{...}", "radius_mm or na", "illumination na"),
    ("ring of two sizes", [("na = 0.0 }", "na = 0.0, radius_mm = 1 }")],
     "led_board.geometry.rings[2].na", "0.0", "left out", ""),
    ("ring without count", [("count = 8, ", "")],
     "led_board.geometry.rings[1].count", "(missing)", "needed", "number of LEDs"),
    ("ring plan", [('kind = "brightfield"', 'kind = "ring"')], "plan", "{...}", "na_max", "add na_max"),
    ("subset plan", [('kind = "brightfield"', 'kind = "subset"')], "plan", "{...}", "leds", "add leds"),
    ("double LED", [('kind = "brightfield"', 'kind = "subset"\nleds = [1, 2, 1]')],
     "plan.leds", "[1, 2, 1]", "LED 1", "repeats"),
    ("negative LED", [('kind = "brightfield"', 'kind = "subset"\nleds = [1, -2]')],
     "plan.leds[1]", "-2", "at least 0", ""),
    ("real and simulated", [('port = "simulated"', 'port = "COM3"')],
     "simulation", "{...}", "left out", "take the table"),
    ("phantom", [('phantom = "cells"', 'phantom = "cell"')], "simulation.phantom", "'cell'", "'beads'", "'cells'?"),
    ("roi", [("bit_depth = 16", "bit_depth = 16\nroi = [0, 0, 4, 4]")],
     "camera.roi", "[0, 0, 4, 4]", "at least 16", "width"),
    ("trigger without a way back",
     [('internal = { TriggerDevice = "" }', "")],
     "camera.trigger", "{...}", "a table with internal", "set back"),
    ("trigger with half a way back",
     [("external = { TriggerDevice =", 'external = { B = "1", TriggerDevice =')],
     "camera.trigger.internal", "{...}", "not for B", "set back"),
    ("device property", [("buffer_mb = 64", 'buffer_mb = 64\nproperties = { Shutter = "0" }')],
     "micromanager.properties", "{...}", "'Device.Property' (not 'Shutter')", "in quotes"),
    ("stage limits", [("[sample]", "[stage]\nz_limits_um = [5, -5]\n[sample]")],
     "stage.z_limits_um", "[5, -5]", "first number less", "lowest"),
    ("stage limits of one axis", [("[sample]", "[stage]\nxy_limits_um = [-5, 5]\n[sample]")],
     "stage.xy_limits_um[0]", "-5", "list", ""),
    ("table for number", [("na = 0.65", "na = { value = 0.65 }")], "objective.na", "{...}", "finite number", ""),
    ("number for table", [("exposure_ms = { min = 1.0, max = 1000.0, default = 10.0 }", "exposure_ms = 3")],
     "camera.exposure_ms", "3", "table", "min, max"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "changes", "key", "found", "allowed", "remedy"), BROKEN, ids=[b[0] for b in BROKEN])
def test_broken(what: str, changes: list[tuple[str, str]], key: str, found: str, allowed: str, remedy: str) -> None:
    faults = faults_of(changed(*changes))
    assert key in faults
    assert faults[key][0] == found
    assert allowed in faults[key][1]
    assert remedy in faults[key][2] + faults[key][1]


def template(text: str) -> str:
    return changed(
        ('protocol = "illuminate"', 'protocol = "template"'),
        ("[led_board.geometry]", f"[led_board.template]\n{text}\n[led_board.geometry]"),
    )


@pytest.mark.parametrize(
    ("text", "key", "found", "allowed", "remedy"),
    [
        ('on = "{index},{x}"', "on", "'{index},{x}'", "{index}, {level}, {r}, {g}, {b}", "braces"),
        ('on = "{index"', "on", "'{index'", "one line of plain characters", "braces"),
        ('on = "{index.real}"', "on", "'{index.real}'", "", ""),
        ('on = "{index:q}"', "on", "'{index:q}'", "", ""),
        ('on = "{}"', "on", "'{}'", "", ""),
        ('on = "{r},{g},{b}"', "on", "'{r},{g},{b}'", "{index} is needed", "LED's number"),
        ('on = "{index}\\n"', "on", "", "one line of plain characters", "line_end"),
        ('on = "{index}"\noff = "{level}"', "off", "'{level}'", "{index}", ""),
        ('on = "{index}"\nclear = "{index}"', "clear", "'{index}'", "plain characters", ""),
        ('on = "{index}"\nclear = "x"\nacknowledge = "ok("', "acknowledge", "'ok('", "regular expression", r"\("),
        ('on = "{index}"\nclear = "x"\nerror = "[a"', "error", "'[a'", "regular expression", r"\["),
        ('on = "{index}"\nclear = "x"\nmax_level = 0', "max_level", "0", "at least 1", "brightness"),
        ('on = "{index}"\nclear = "x"\nline_end = "x"', "line_end", "'x'", "one of", ""),
        ('on = "{index}"', "", "{...}", "clear or off", "darkens"),
        ('clear = "x"', "on", "(missing)", "needed", "lights an LED"),
        ('on = "{index}"\nclear = "x"\ncleer = "x"', "cleer", "'x'", "the keys on", "did you mean clear?"),
    ],
)
def test_broken_template(text: str, key: str, found: str, allowed: str, remedy: str) -> None:
    faults = faults_of(template(text))
    key = f"led_board.template.{key}".rstrip(".")
    assert key in faults
    assert found in faults[key][0]
    assert allowed in faults[key][1]
    assert remedy in faults[key][2]


def test_colors_and_templates() -> None:
    profile = parse_profile(template('on = "{{{index:03d}}} {level}"\noff = "{index} off"'), "my.toml")
    assert profile.led_board.template is not None
    assert profile.led_board.template.on.format(index=7, level=9) == "{007} 9"
    assert (profile.led_board.template.has_levels, profile.led_board.template.has_colors) == (True, False)
    for color, rgb in (('"green"', (0, 255, 0)), ("[1, 2, 3]", (1, 2, 3))):
        text = changed(("brightness = 255", f"brightness = 255\ncolor = {color}"))
        assert parse_profile(text, "my.toml").led_board.color == rgb


def test_triggers_stages_and_devices() -> None:
    profile = parse_profile(
        changed(
            ('external = { TriggerDevice = "LED board" }', 'external = { TriggerMode = "External" }'),
            ('internal = { TriggerDevice = "" }', 'internal = { TriggerMode = "Internal" }'),
            ("buffer_mb = 64", 'buffer_mb = 64\nproperties = { "Objective.State" = "1", "My.Shutter.State" = "0" }'),
            ("[sample]", "[stage]\nz_limits_um = [-50, 50.5]\nxy_limits_um = [[-1, 1], [-2, 2]]\n[sample]"),
        ),
        "wired.toml",
    )  # fmt: skip
    assert profile.camera.trigger.exposure_out
    assert profile.camera.trigger.internal == {"TriggerMode": "Internal"}
    assert profile.micromanager.properties["My.Shutter.State"] == "0"
    assert profile.stage.z_limits_um == (-50, 50.5)
    assert profile.stage.xy_limits_um == ((-1, 1), (-2, 2))
    assert load_profile("simulated").stage.z_limits_um is None


def test_all_faults_at_once() -> None:
    text = changed(
        ("na = 0.65", "na = 1.2"), ("bit_depth = 16", "bit_depth = 17"), ("pixel_um", "pixelum"),
        ("0.58, start_deg", "0.58, start"),
        ("default = 10.0", "default = 0.1"), ("z_um = [-6.0, 6.0]", "z_um = [6, -6]"),
        ('kind = "brightfield"', "kind = 2"),
    )  # fmt: skip
    assert set(faults_of(text)) == {
        "objective.na", "camera.bit_depth", "camera.pixelum", "camera.pixel_um", "led_board.geometry.rings[0].start",
        "camera.exposure_ms.default", "sample.z_um", "plan.kind",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ([("na = 0.65", "na = ")], "na ="),
        ([("[sample]", "[sample")], "[sample"),
        ([('title = "Simulated microscope"', "title = Simulated microscope")], "title = Simulated microscope"),
        ([("magnification = 40.0", "magnification = 40,0")], "magnification = 40,0"),
        ([("[sample]", "[objective]")], "[objective]"),
    ],
)
def test_syntax_is_told_with_its_line(changes: list[tuple[str, str]], line: str) -> None:
    text = changed(*changes)
    number = next(n for n, shown in enumerate(text.splitlines(), 1) if shown.startswith(line) and shown in text)
    if line == "[objective]":  # the second one
        number = max(n for n, shown in enumerate(text.splitlines(), 1) if shown.startswith(line))
    (found, allowed, remedy) = faults_of(text)[""]
    assert found.startswith(f"line {number}: {line}")
    assert "key = value" in allowed
    assert f"line {number}" in remedy


def test_files_that_are_not_there_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(ProfileError, match="did you mean 'simulated'") as error:
        load_profile("simulatd")
    assert "ht_idt_grid32" in error.value.message
    with pytest.raises(ProfileError):
        load_profile(tmp_path)
    (tmp_path / "picture.toml").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(ProfileError, match="not UTF-8"):
        load_profile(tmp_path / "picture.toml")


def test_error_travels_between_processes() -> None:
    with pytest.raises(ProfileError) as error:
        parse_profile("name = 3", "my.toml")
    again = pickle.loads(pickle.dumps(error.value))
    assert str(again) == str(error.value)
    assert again.faults == error.value.faults


toml_values: st.SearchStrategy[Any] = st.one_of(
    st.integers(-10, 10),
    st.floats(-5, 5),
    st.booleans(),
    st.text("abc", max_size=3),
    st.lists(st.integers(0, 3), max_size=3),
)


@given(
    table=st.sampled_from(["objective", "camera", "led_board", "plan", "sample", "simulation"]),
    key=st.sampled_from(["na", "kind", "geometry", "z_um", "leds", "exposure_ms", "port", "rings", "x", "orientation",
                         "protocol", "color", "template", "options"]),
    value=toml_values,
)
def test_no_value_brings_down_the_report(table: str, key: str, value: Any) -> None:
    """Whatever stands in the file: a profile or a ProfileError, never another exception."""
    shown = {True: "true", False: "false"}[value] if isinstance(value, bool) else repr(value)
    lines = [line for line in SIMULATED.splitlines() if not line.startswith(f"{key} =")]
    lines.insert(lines.index(next(line for line in lines if line.startswith(f"[{table}]"))) + 1, f"{key} = {shown}")
    try:
        assert isinstance(parse_profile("\n".join(lines), "my.toml"), Profile)
    except ProfileError as error:
        assert error.faults
