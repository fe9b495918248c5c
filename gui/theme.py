"""Colours and widget style of the window: dark, quiet, one accent for what can be done and one for light."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtGui import QColor, QPalette

if TYPE_CHECKING:
    from PySide6.QtWidgets import QApplication

WINDOW = "#14171c"
PANEL = "#1b1f26"
RAISED = "#262c36"
FIELD = "#101317"
EDGE = "#2f3641"
TEXT = "#d7dce4"
MUTED = "#8b95a5"
FAINT = "#566070"
ACCENT = "#54b6e8"
LIGHT = "#ffcf70"
GOOD = "#6cc795"
WARN = "#f0a95b"
BAD = "#ee7a72"

STYLE = f"""
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
QScrollArea, QScrollArea > QWidget > QWidget#column {{ background: {WINDOW}; border: none; }}
QFrame#section {{ background: {PANEL}; border: 1px solid {EDGE}; border-radius: 8px; }}
QLabel {{ background: transparent; }}
QLabel[role="heading"] {{ color: {TEXT}; font-size: 10.5pt; font-weight: 600; }}
QLabel[role="state"], QLabel[role="hint"] {{ color: {MUTED}; }}
QLabel[role="state"][tone="good"] {{ color: {GOOD}; }}
QLabel[role="state"][tone="busy"] {{ color: {ACCENT}; }}
QLabel[role="state"][tone="warn"] {{ color: {WARN}; }}
QLabel[role="state"][tone="bad"] {{ color: {BAD}; }}
QLabel[role="figure"] {{ color: {TEXT}; font-size: 15pt; font-weight: 500; }}
QPushButton {{ background: {RAISED}; border: 1px solid {EDGE}; border-radius: 5px; padding: 5px 12px;
    color: {TEXT}; }}
QPushButton:hover {{ background: #303845; border-color: #3d4655; }}
QPushButton:pressed {{ background: {FIELD}; }}
QPushButton:disabled {{ color: {FAINT}; background: {PANEL}; }}
QPushButton:focus {{ border-color: {ACCENT}; }}
QPushButton[primary="true"]:enabled {{ background: #1f6f9c; border-color: #2b86b8; color: white; font-weight: 600; }}
QPushButton[primary="true"]:enabled:hover {{ background: #2780b2; }}
QPushButton:checked {{ background: #1d3646; border-color: #2c566f; color: {ACCENT}; }}
QPushButton[flat="true"] {{ background: transparent; border: none; padding: 2px 7px; color: {MUTED}; }}
QPushButton[flat="true"]:hover {{ color: {TEXT}; background: {RAISED}; }}
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
QComboBox QAbstractItemView {{ background: {PANEL}; border: 1px solid {EDGE}; selection-background-color: {RAISED}; }}
QProgressBar {{ background: {FIELD}; border: none; border-radius: 3px; height: 6px; }}
QProgressBar::chunk {{ background: {ACCENT}; border-radius: 3px; }}
QDockWidget {{ color: {MUTED}; }}
QDockWidget::title {{ background: {PANEL}; padding: 5px 8px; }}
QFrame#message {{ background: #3a2523; border: 1px solid #7c4440; border-radius: 6px; }}
QFrame#message[tone="info"] {{ background: #1b2c38; border-color: #2c566f; }}
QSplitter::handle {{ background: {WINDOW}; }}
QScrollBar:vertical {{ background: {WINDOW}; width: 9px; margin: 0; }}
QScrollBar::handle:vertical {{ background: {RAISED}; border-radius: 4px; min-height: 30px; }}
QScrollBar::add-line, QScrollBar::sub-line {{ width: 0; height: 0; }}
"""


def apply_theme(application: QApplication) -> None:
    """Set Fusion with an explicit dark palette: `setColorScheme` does nothing offscreen and on bare X11."""
    application.setStyle("Fusion")
    palette = QPalette()
    role = QPalette.ColorRole
    for which, colour in (
        (role.Window, WINDOW),
        (role.WindowText, TEXT),
        (role.Base, FIELD),
        (role.AlternateBase, PANEL),
        (role.Text, TEXT),
        (role.PlaceholderText, FAINT),
        (role.Button, RAISED),
        (role.ButtonText, TEXT),
        (role.BrightText, "#ffffff"),
        (role.ToolTipBase, RAISED),
        (role.ToolTipText, TEXT),
        (role.Highlight, "#1f6f9c"),
        (role.HighlightedText, "#ffffff"),
        (role.Link, ACCENT),
        (role.Mid, EDGE),
        (role.Dark, FIELD),
        (role.Shadow, "#000000"),
    ):
        palette.setColor(which, QColor(colour))
    for which in (role.WindowText, role.Text, role.ButtonText):
        palette.setColor(QPalette.ColorGroup.Disabled, which, QColor(FAINT))
    application.setPalette(palette)
    application.setStyleSheet(STYLE)
