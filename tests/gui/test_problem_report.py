"""The log as it is shown, and the file for whoever is to help."""

from __future__ import annotations

import logging
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from PySide6.QtWidgets import QApplication

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gui.main_window import MainWindow

log = logging.getLogger("tests")


@pytest.fixture
def logged(window: MainWindow, tmp_path: Path) -> Iterator[MainWindow]:
    """Three lines in the log, and a log file."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.INFO)
    file = logging.FileHandler(tmp_path / "window.log", encoding="utf-8")
    root.addHandler(file)
    log.info("a frame")
    log.warning("an LED is dim")
    log.error("no answer")
    yield window
    root.removeHandler(file)
    file.close()
    root.setLevel(before)


def lines(window: MainWindow) -> list[str]:
    return [line.split(": ")[-1] for line in window.log_panel.text.toPlainText().splitlines() if "tests:" in line]


def test_the_log_is_filtered_searched_and_copied(logged: MainWindow, qtbot: Any) -> None:
    panel = logged.log_panel
    qtbot.waitUntil(lambda: len(lines(logged)) == 3)
    panel.level.setCurrentIndex(1)
    assert lines(logged) == ["an LED is dim", "no answer"]
    panel.level.setCurrentIndex(2)
    log.warning("not shown")
    log.error("shown")
    qtbot.waitUntil(lambda: lines(logged) == ["no answer", "shown"])
    panel.level.setCurrentIndex(0)
    panel.search.setText("LED")
    assert lines(logged) == ["an LED is dim"]
    panel.copy.click()
    assert QApplication.clipboard().text() == panel.text.toPlainText()
    panel.search.clear()
    assert lines(logged) == ["a frame", "an LED is dim", "no answer", "not shown", "shown"]


def test_a_report_tells_what_is_needed(logged: MainWindow, qtbot: Any, tmp_path: Path) -> None:
    logged.workflow.folder = tmp_path / "captures"
    report = logged.problem_report
    qtbot.waitUntil(lambda: report._ready is not None)
    with qtbot.waitSignal(report.written) as written:
        logged.actions_by_key["problem_report"].trigger()
    (path,) = written.args
    assert str(path) in logged.panels.message.message.text()
    assert logged.panels.message.property("tone") == "info"
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        text, kept = archive.read("report.txt").decode(), archive.read("log.txt").decode()
        assert b"[objective]" in archive.read("profile.toml")
        assert b"an LED is dim" in archive.read("window.log")
    assert sorted(names) == ["log.txt", "profile.toml", "report.txt", "window.log"], "and no images"
    for wanted in ("python 3", "Qt 6", "pyqtgraph 0", "cpu; torch none", "profile simulated", '"max_seconds"'):
        assert wanted in text
    assert "no answer" in text.split("Last errors")[1]
    assert "a frame" in kept


def test_a_folder_that_cannot_be_written_is_told(logged: MainWindow, qtbot: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    logged.workflow.folder = tmp_path / "file"
    with qtbot.waitSignal(logged.problem_report.failed):
        logged.actions_by_key["problem_report"].trigger()
    assert "cannot be written" in logged.panels.message.message.text()
    assert logged.panels.message.remedy.text()
