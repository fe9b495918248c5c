"""Colours and widget style of the window: quiet, one accent for what can be done and one for light; dark or light.

``theme.TEXT`` and its like are the colours now, as ``#rrggbb``. Whatever keeps a colour (a pen, a brush) takes it in a
method and has `follow` call that method with each change; what paints itself, and the style sheet, need nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QColor, QPalette

if TYPE_CHECKING:
    from collections.abc import Callable

    from PySide6.QtWidgets import QApplication

    WINDOW: str
    PANEL: str
    RAISED: str
    FIELD: str
    CANVAS: str
    EDGE: str
    TEXT: str
    MUTED: str
    FAINT: str
    ACCENT: str
    LIGHT: str
    LIT: str
    SEEN: str
    PLANNED: str
    GOOD: str
    WARN: str
    BAD: str
    HAIR: str
    TRACE: str
    DRAWN: str
    VEIL: str

ICONS = {
    name.upper(): Path(__file__).with_name(f"{file}.svg").as_posix()
    for name, file in (("up", "chevron_up"), ("down", "chevron_down"), ("tick", "check"))
}
"""Arrows of lists and numbers, in a grey that is seen in both themes, and the tick of a switch that is on."""

ThemeName = Literal["dark", "light"]

COLOURS = {  # of the dark theme, and of the light one
    "WINDOW": ("#14171c", "#e9ecf0"),
    "PANEL": ("#1b1f26", "#f8f9fb"),
    "RAISED": ("#262c36", "#ffffff"),
    "FIELD": ("#101317", "#ffffff"),
    "CANVAS": ("#101317", "#dde2e8"),  # around a picture
    "EDGE": ("#2f3641", "#cfd5dd"),
    "TEXT": ("#d7dce4", "#1c222b"),
    "MUTED": ("#8b95a5", "#596373"),
    "FAINT": ("#566070", "#98a1ae"),
    "ACCENT": ("#54b6e8", "#0b6fa6"),
    "LIGHT": ("#ffcf70", "#b06f00"),  # light on the sample
    "LIT": ("#fff4d8", "#e08e00"),  # an LED that shines
    "SEEN": ("#b38b45", "#c9a25c"),  # one that has shone in this scan
    "PLANNED": ("#5b7f99", "#6f9dbb"),
    "GOOD": ("#6cc795", "#1f7746"),
    "WARN": ("#f0a95b", "#985a06"),
    "BAD": ("#ee7a72", "#b9332b"),
    "HOVER": ("#303845", "#f0f4f8"),
    "HOVER_EDGE": ("#3d4655", "#b9c2cd"),
    "PRIMARY": ("#1f6f9c", "#1173ab"),
    "PRIMARY_EDGE": ("#2b86b8", "#0d6496"),
    "PRIMARY_HOVER": ("#2780b2", "#0e659a"),
    "ON_PRIMARY": ("#ffffff", "#ffffff"),
    "CHECKED": ("#1d3646", "#dceefa"),
    "CHECKED_EDGE": ("#2c566f", "#9ecbe8"),
    "ALARM": ("#3a2523", "#fdebe9"),
    "ALARM_EDGE": ("#7c4440", "#e6a49f"),
    "NEWS": ("#1b2c38", "#e4f1fa"),
    "NEWS_EDGE": ("#2c566f", "#a6cfea"),
    # Over pictures, dark ones and pale ones, and over the canvas beside them:
    "HAIR": ("#54b6e8", "#2f93c9"),
    "TRACE": ("#6cc795", "#3a9e6b"),
    "DRAWN": ("#ffcf70", "#e08e00"),
    "VEIL": ("#96101317", "#beffffff"),  # behind words; the first two digits are how much it covers
}


class _Theme(QObject):
    """Which theme is on; `changed` is emitted after it has changed."""

    changed = Signal()
    name: ThemeName = "dark"


_theme = _Theme()


def _colours() -> dict[str, str]:
    return {name: pair[_theme.name == "light"] for name, pair in COLOURS.items()}


if not TYPE_CHECKING:

    def __getattr__(name: str) -> str:
        """Return a colour of the theme that is on."""
        if name in COLOURS:
            return COLOURS[name][_theme.name == "light"]
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def faded(colour: str, alpha: int) -> QColor:
    """Return a colour that what lies behind shines through; `alpha` is 0 to 255."""
    fading = QColor(colour)
    fading.setAlpha(alpha)
    return fading


def between(colours: tuple[str, ...], share: float) -> QColor:
    """Return a colour on the way through some, at a share of it, 0 to 1."""
    place = min(max(share, 0.0), 1.0) * (len(colours) - 1)
    first = min(int(place), len(colours) - 2)
    part = place - first
    start, end = (np.array(QColor(colour).getRgbF()[:3]) for colour in colours[first : first + 2])  # type: ignore[index]
    return QColor.fromRgbF(*((1 - part) * start + part * end).tolist())


def follow(paint: Callable[[], None]) -> None:
    """Call `paint` now and whenever the theme changes.

    Parameters
    ----------
    paint
        Method of a QObject, with which it is forgotten.
    """
    paint()
    _theme.changed.connect(paint)


STYLE = """
QWidget {{ font-size: 9.5pt; }}
QMainWindow, QDialog {{ background: {WINDOW}; }}
QToolTip {{ background: {RAISED}; color: {TEXT}; border: 1px solid {EDGE}; padding: 4px; }}
QMenuBar {{ background: {WINDOW}; padding: 2px 4px; }}
QMenuBar::item {{ padding: 4px 9px; border-radius: 4px; background: transparent; }}
QMenuBar::item:selected, QMenu::item:selected {{ background: {RAISED}; color: {TEXT}; }}
QMenu {{ background: {PANEL}; border: 1px solid {EDGE}; padding: 4px; }}
QMenu::item {{ padding: 5px 26px 5px 22px; border-radius: 4px; }}
QMenu::item:disabled {{ color: {FAINT}; }}
QMenu::separator {{ height: 1px; background: {EDGE}; margin: 4px 8px; }}
QStatusBar {{ background: {WINDOW}; color: {MUTED}; border-top: 1px solid {EDGE}; }}
QStatusBar::item {{ border: none; }}
QStatusBar QLabel {{ padding: 0 8px; }}
QScrollArea, QScrollArea > QWidget > QWidget#column {{ background: {WINDOW}; border: none; }}
QFrame#section {{ background: {PANEL}; border: 1px solid {EDGE}; border-radius: 8px; }}
QLabel {{ background: transparent; }}
QLabel[role="heading"] {{ color: {TEXT}; font-size: 10.5pt; font-weight: 600; }}
QLabel[role="state"], QLabel[role="hint"] {{ color: {MUTED}; }}
QLabel[role="state"][tone="good"] {{ color: {GOOD}; }}
QLabel[role="state"][tone="busy"] {{ color: {ACCENT}; }}
QLabel[role="state"][tone="warn"] {{ color: {WARN}; }}
QLabel[role="state"][tone="bad"] {{ color: {BAD}; }}
QLabel[role="title"] {{ color: {MUTED}; font-size: 15pt; }}
QLabel[role="mark"] {{ font-weight: 700; }}
QLabel[role="mark"][tone="good"] {{ color: {GOOD}; }}
QLabel[role="mark"][tone="bad"] {{ color: {BAD}; }}
QLabel[role="strong"] {{ font-weight: 600; }}
QLabel[role="caption"] {{ color: {TEXT}; background: {VEIL}; padding: 2px 6px; border-radius: 4px; }}
QLabel[role="figure"] {{ color: {TEXT}; font-size: 15pt; font-weight: 500; }}
QPushButton {{ background: {RAISED}; border: 1px solid {EDGE}; border-radius: 5px; padding: 5px 12px;
    color: {TEXT}; }}
QPushButton:hover {{ background: {HOVER}; border-color: {HOVER_EDGE}; }}
QPushButton:pressed {{ background: {FIELD}; }}
QPushButton:disabled {{ color: {FAINT}; background: {PANEL}; }}
QPushButton[primary="true"]:enabled {{ background: {PRIMARY}; border-color: {PRIMARY_EDGE}; color: {ON_PRIMARY};
    font-weight: 600; }}
QPushButton[primary="true"]:enabled:hover {{ background: {PRIMARY_HOVER}; }}
QPushButton:checked {{ background: {CHECKED}; border-color: {CHECKED_EDGE}; color: {ACCENT}; }}
QPushButton:focus, QPushButton[primary="true"]:enabled:focus {{ border-color: {ACCENT}; }}
QPushButton[flat="true"] {{ background: transparent; border: none; padding: 2px 7px; color: {MUTED}; }}
QPushButton[flat="true"]:hover {{ color: {TEXT}; background: {RAISED}; }}
QPushButton[align="left"] {{ text-align: left; padding: 3px 0; }}
QPushButton[role="task"] {{ background: transparent; border: 1px solid transparent; border-radius: 6px; }}
QPushButton[role="task"]:hover {{ background: {PANEL}; }}
QPushButton[role="task"]:checked {{ background: {PANEL}; border-color: {EDGE}; border-bottom: 2px solid {ACCENT}; }}
QPushButton[role="task"]:focus {{ border-color: {ACCENT}; }}
QLabel[role="task"] {{ font-size: 11pt; font-weight: 600; }}
QTabWidget::pane {{ border: none; }}
QTabBar {{ background: {WINDOW}; qproperty-drawBase: 0; }}
QTabBar::tab {{ background: transparent; color: {MUTED}; padding: 5px 14px 6px; border-bottom: 2px solid transparent; }}
QTabBar::tab:hover {{ color: {TEXT}; }}
QTabBar::tab:selected {{ color: {TEXT}; border-bottom-color: {ACCENT}; }}
QTabBar::tab:focus {{ color: {ACCENT}; }}
QLineEdit, QPlainTextEdit {{ background: {FIELD}; border: 1px solid {EDGE}; border-radius: 4px; padding: 3px 6px; }}
QLineEdit:focus {{ border-color: {ACCENT}; }}
QCheckBox {{ spacing: 7px; }}
QCheckBox:disabled {{ color: {FAINT}; }}
QCheckBox::indicator {{ width: 13px; height: 13px; border: 1px solid {FAINT}; border-radius: 3px;
    background: {FIELD}; }}
QCheckBox::indicator:hover, QCheckBox::indicator:focus {{ border-color: {ACCENT}; }}
QCheckBox::indicator:checked {{ image: url("{TICK}"); background: {PRIMARY}; border-color: {PRIMARY_EDGE}; }}
QCheckBox::indicator:disabled {{ background: {PANEL}; border-color: {EDGE}; }}
QComboBox {{ background: {RAISED}; border: 1px solid {EDGE}; border-radius: 5px; padding: 3px 8px; color: {TEXT}; }}
QComboBox:hover {{ background: {HOVER}; border-color: {HOVER_EDGE}; }}
QComboBox:focus {{ border-color: {ACCENT}; }}
QComboBox:disabled {{ background: {PANEL}; color: {FAINT}; }}
QComboBox::drop-down {{ border: none; width: 20px; }}
QComboBox::down-arrow {{ image: url("{DOWN}"); width: 11px; height: 11px; }}
QAbstractSpinBox {{ background: {FIELD}; border: 1px solid {EDGE}; border-radius: 5px; padding: 3px 4px 3px 6px; }}
QAbstractSpinBox:focus {{ border-color: {ACCENT}; }}
QAbstractSpinBox:disabled {{ background: {PANEL}; color: {FAINT}; }}
QAbstractSpinBox::up-button, QAbstractSpinBox::down-button {{ border: none; width: 16px; }}
QAbstractSpinBox::up-arrow {{ image: url("{UP}"); width: 9px; height: 9px; }}
QAbstractSpinBox::down-arrow {{ image: url("{DOWN}"); width: 9px; height: 9px; }}
QAbstractSpinBox QLineEdit {{ background: transparent; border: none; }}
QComboBox QAbstractItemView {{ background: {PANEL}; border: 1px solid {EDGE}; selection-background-color: {RAISED}; }}
QProgressBar {{ background: {EDGE}; border: none; border-radius: 3px; height: 6px; }}
QProgressBar::chunk {{ background: {ACCENT}; border-radius: 3px; }}
QDockWidget {{ color: {MUTED}; }}
QDockWidget::title {{ background: {PANEL}; padding: 5px 8px; }}
QFrame#message {{ background: {ALARM}; border: 1px solid {ALARM_EDGE}; border-radius: 6px; }}
QFrame#message[tone="info"] {{ background: {NEWS}; border-color: {NEWS_EDGE}; }}
QSplitter::handle {{ background: {WINDOW}; }}
QScrollBar:vertical {{ background: {WINDOW}; width: 9px; margin: 0; }}
QScrollBar::handle:vertical {{ background: {HOVER_EDGE}; border-radius: 4px; min-height: 30px; }}
QScrollBar::add-line, QScrollBar::sub-line {{ width: 0; height: 0; }}
"""


def apply_theme(application: QApplication, name: ThemeName = "dark") -> None:
    """Set Fusion with an explicit palette: `setColorScheme` does nothing offscreen and on bare X11."""
    _theme.name = name
    colours = _colours()
    application.setStyleSheet("")  # from one sheet to another takes three times as long
    if application.style().objectName() != "fusion":
        application.setStyle("Fusion")
    palette = QPalette()
    role = QPalette.ColorRole
    for which, colour in (
        (role.Window, "WINDOW"),
        (role.WindowText, "TEXT"),
        (role.Base, "FIELD"),
        (role.AlternateBase, "PANEL"),
        (role.Text, "TEXT"),
        (role.PlaceholderText, "FAINT"),
        (role.Button, "RAISED"),
        (role.ButtonText, "TEXT"),
        (role.BrightText, "TEXT"),
        (role.ToolTipBase, "RAISED"),
        (role.ToolTipText, "TEXT"),
        (role.Highlight, "PRIMARY"),
        (role.HighlightedText, "ON_PRIMARY"),
        (role.Link, "ACCENT"),
        (role.Mid, "EDGE"),
        (role.Dark, "EDGE"),
        (role.Shadow, "EDGE"),
    ):
        palette.setColor(which, QColor(colours[colour]))
    for which in (role.WindowText, role.Text, role.ButtonText):
        palette.setColor(QPalette.ColorGroup.Disabled, which, QColor(colours["FAINT"]))
    application.setStyleSheet("")  # else each widget is styled anew by the palette, and once more by the sheet
    application.setPalette(palette)
    application.setStyleSheet(STYLE.format(**ICONS, **colours))
    _theme.changed.emit()
