"""`fieldscope check --profile`: from the simulated microscope with its faults to the table of what is wrong."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from typer.testing import CliRunner

from acquisition.profile import shipped_profiles
from gui.cli import app
from tests.acquisition.conftest import SMALL

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def checked(folder: Path, profile_text: str, *options: str) -> tuple[int, dict[str, dict[str, Any]], str]:
    """Exit code, findings by name, and what was said meanwhile."""
    profile = folder / "mine.toml"
    profile.write_text(profile_text)
    result = CliRunner().invoke(app, ["check", "--profile", str(profile), "--json", *options])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    told = json.loads(result.stdout)
    assert told["ok"] == (result.exit_code == 0)
    return result.exit_code, {finding["name"]: finding for finding in told["findings"]}, result.stderr


def test_faults_of_single_leds_are_found(tmp_path: Path) -> None:
    text = shipped_profiles()["simulated"].read_text().replace("image_px = 256", "image_px = 128")
    code, found, said = checked(tmp_path, f"{text}dead_leds = [3]\nswapped_leds = [[5, 9], [20, 30]]\n")
    assert code == 1
    wrong = [name for name, finding in found.items() if finding["level"] == "error"]
    assert wrong == ["LEDs that light", "LED numbers"]
    assert "LED 3 does not light" in found["LEDs that light"]["text"]
    assert "LEDs 5, 9, 20, 30 " in found["LED numbers"]["text"]
    assert found["LED numbers"]["remedy"]
    assert "33 of 33" in said


def test_orientation_is_told_from_a_scan_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Path] = []

    def turned(path: Path, device: str) -> dict[str, Any]:
        assert path.is_file()
        seen.append(path)
        return {
            "best": "turned by 180 degrees", "clear": True, "verdict": "the board is turned",
            "profile": "add 180",
        }  # fmt: skip

    monkeypatch.setattr("gui.commands.orientation.check_orientation", turned)
    code, found, _ = checked(tmp_path, SMALL, "--orientation")
    assert code == 1
    assert found["Orientation"]["level"] == "error"
    assert "add 180" in found["Orientation"]["remedy"]
    assert not seen[0].exists(), "the scan is not kept"
