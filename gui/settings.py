"""What the window remembers between two starts. A damaged file is put aside and never stops the start."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Literal

import platformdirs
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gui.tasks import Task
from recon.messages import ModelName  # noqa: TC001 - pydantic reads it when the program runs

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)


def settings_path() -> Path:
    """Where the settings of this user lie."""
    return platformdirs.user_config_path("fieldscope", appauthor=False) / "window.json"


def captures_folder() -> Path:
    """Where captures go unless the operator chooses another folder."""
    return platformdirs.user_documents_path() / "Fieldscope"


class WindowSettings(BaseModel):
    """Choices of the operator; every one has a default, unknown ones of other versions are ignored."""

    model_config = ConfigDict(extra="ignore", validate_assignment=True)

    profile: str = "simulated"
    folder: str = ""
    theme: Literal["dark", "light"] = "dark"
    colour_map: str = "inferno"
    max_seconds: float = Field(default=300.0, ge=5.0, le=86400.0)
    device: str = "auto"
    model: ModelName = "auto"
    view_percent: int = Field(default=30, ge=5, le=90)
    """Share of the fitting time that pictures may take."""
    autosave: bool = True
    recent: list[str] = []
    task: str = Task.INSTRUMENT.value
    view: str = ""
    """Title of the tab in front."""
    columns_px: list[int] = []
    """Widths of column, stage and side."""
    log_shown: bool = False
    log_px: int = Field(default=150, ge=50, le=2000)
    marks: dict[str, bool] = {}
    """Switches of the menu View that are not as they start."""
    geometry_hex: str = ""
    """Qt's description of size and place of the window, hexadecimal."""


def load_settings(path: Path) -> WindowSettings:
    """Read the settings; what cannot be read is renamed `*.damaged`, logged, and replaced by the defaults."""
    try:
        return WindowSettings.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return WindowSettings()
    except (OSError, ValidationError) as error:
        log.warning("The settings in %s cannot be read and start anew: %s", path, error)
        try:
            path.replace(path.with_suffix(".damaged"))
        except OSError:
            log.warning("%s could not be put aside", path, exc_info=True)
        return WindowSettings()


def save_settings(settings: WindowSettings, path: Path) -> None:
    """Write the settings whole or not at all; a full disk is logged, not raised, because nothing depends on it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        fresh.write_text(settings.model_dump_json(indent=1), encoding="utf-8")
        os.replace(fresh, path)
    except OSError:
        log.warning("The settings could not be written to %s", path, exc_info=True)
