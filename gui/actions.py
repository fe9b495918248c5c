"""Every action of the window, declared once: key, text, shortcut, menu and what it explains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QCheckBox, QMainWindow, QMenu, QPushButton

from gui.tasks import Task

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True)
class ActionSpec:
    """One thing the operator can do.

    Attributes
    ----------
    key
        Name in the code and object name of the action.
    menu
        Menu it stands in; a leading ``-`` puts a line above it.
    checkable
        Whether it is a switch; such actions start switched on where `checked` says so.
    submenu
        Whether it opens a menu, which is empty at first.
    """

    key: str
    text: str
    menu: str
    shortcut: str = ""
    tip: str = ""
    checkable: bool = False
    checked: bool = False
    submenu: bool = False


ACTIONS = (
    ActionSpec("open_capture", "Open capture…", "&File", "Ctrl+O", "Reconstruct a stored capture"),
    ActionSpec("open_field", "Open field…", "&File", "Ctrl+Shift+O", "Look at a saved reconstruction"),
    ActionSpec("open_recent", "Open recent", "&File", submenu=True),
    ActionSpec("import_stack", "Import images…", "-&File", "Ctrl+I", "Make a capture of a TIFF stack or a .mat file"),
    ActionSpec(
        "import_folder",
        "Import folder of images…",
        "&File",
        "Ctrl+Shift+I",
        "Make a capture of a folder with a TIFF for each LED",
    ),
    ActionSpec(
        "save_field", "Save field as…", "-&File", "Ctrl+S", "Write the reconstruction to a file of a few megabytes"
    ),
    ActionSpec(
        "autosave",
        "Save finished fields",
        "&File",
        tip="Write each field beside its capture when its fit has finished",
        checkable=True,
        checked=True,
    ),
    ActionSpec("export", "Export…", "&File", "Ctrl+E", "Write a volume, a picture or a movie for other programs"),
    ActionSpec("quit", "Quit", "-&File", "Ctrl+Q", "Darken the LEDs, end the reconstruction, close"),
    ActionSpec("undo", "Undo", "&Edit", "Ctrl+Z", "Take back the last change of view or settings"),
    ActionSpec("redo", "Redo", "&Edit", "Ctrl+Shift+Z", "Make it again"),
    ActionSpec("connect", "Connect", "&Instrument", "F2", "Open LED board and camera of the chosen profile"),
    ActionSpec("disconnect", "Disconnect", "&Instrument", "Shift+F2", "Darken the LEDs and release the instrument"),
    ActionSpec("live", "Live image", "-&Instrument", "F3", "Show what the camera sees", checkable=True),
    ActionSpec(
        "start_scan", "Start acquisition", "&Acquire", "F5", "Run the exposure plan and reconstruct as the frames come"
    ),
    ActionSpec(
        "pause_scan", "Pause or resume acquisition", "&Acquire", "F6", "Hold with the LEDs off, and go on later"
    ),
    ActionSpec(
        "cancel_scan", "Cancel acquisition", "&Acquire", "Shift+F5", "Stop the scan; the frames taken stay on disk"
    ),
    ActionSpec("finish_fit", "Finish now", "&Reconstruct", "F7", "Stop fitting and keep the volume as it is"),
    ActionSpec(
        "cancel_fit", "Discard", "&Reconstruct", "Shift+F7", "Stop fitting and discard the volume; the capture stays"
    ),
    ActionSpec(
        "fit_again",
        "Reconstruct the last capture again",
        "-&Reconstruct",
        "F8",
        "Fit with the settings as they are now",
    ),
    ActionSpec("restart_process", "Restart the reconstruction process", "&Reconstruct", "", "After it failed or hangs"),
    *(
        ActionSpec(f"go_{task.name.lower()}", task.value, "&Go", f"Ctrl+{number}", f"Go to the task {task.value}")
        for number, task in enumerate(Task, 1)
    ),
    ActionSpec("next_view", "Next tab", "-&Go", "Ctrl+Tab", "Slices, and what stands beside them as tabs"),
    ActionSpec("previous_view", "Previous tab", "&Go", "Ctrl+Shift+Tab"),
    ActionSpec("earlier", "Earlier time point", "-&Go", "Ctrl+Left", "Of a time-lapse"),
    ActionSpec("later", "Later time point", "&Go", "Ctrl+Right", "Of a time-lapse"),
    ActionSpec("play", "Play the time points", "&Go", "Ctrl+Space", "One after the other, over and over"),
    ActionSpec("reset_view", "Whole volume", "&View", "Home", "Show all of it, in the tab in front"),
    ActionSpec("zoom_in", "Zoom in", "&View", "Ctrl++", "About the cross-hair, or the middle"),
    ActionSpec("zoom_out", "Zoom out", "&View", "Ctrl+-", "About the cross-hair, or the middle"),
    ActionSpec("centre", "Centre on the cross-hair", "&View", "Ctrl+0"),
    ActionSpec("auto_contrast", "Automatic contrast", "-&View", "Ctrl+K", "Levels from what is shown"),
    ActionSpec("cross_hair", "Cross-hair", "&View", "Ctrl+H", checkable=True, checked=True),
    ActionSpec("scale_bar", "Scale bar", "&View", "Ctrl+B", checkable=True, checked=True),
    ActionSpec(
        "oblique",
        "Oblique trace",
        "&View",
        tip="Where the oblique slice cuts the others",
        checkable=True,
        checked=True,
    ),
    ActionSpec("light_theme", "Light theme", "-&View", "Ctrl+T", "For bright rooms", checkable=True),
    ActionSpec("log", "Log", "&View", "Ctrl+L", "What happened, in detail", checkable=True),
    ActionSpec("shortcuts", "Keys and mouse", "&Help", "F1"),
    ActionSpec(
        "problem_report", "Problem report…", "&Help", "", "Write versions, settings and log into one file, no images"
    ),
)

MOUSE_AND_KEYS = {
    "On a slice": (
        ("Wheel", "zoom about the mouse"),
        ("Drag", "pan"),
        ("Arrow keys", "pan by a tenth of the view"),
        ("Click, or drag a line", "move the cross-hair"),
        ("Double click, Enter", "one view alone, or all again"),
        ("Shift + wheel, Page Up/Down", "next slice"),
        ("L, R", "put a line, or a region, there"),
        ("Ctrl+C", "copy the picture as seen"),
        ("Right drag", "turn the oblique plane"),
    ),
    "On the oblique slice": (
        ("Drag", "move it along its normal"),
        ("Right drag, Shift + arrows", "tilt it"),
        ("Shift + right drag, Ctrl + arrows", "turn it"),
        ("Space", "as at first"),
    ),
    "On the volume": (
        ("Drag, arrow keys", "turn; at the rim: roll"),
        ("Right drag, Shift + arrows", "pan"),
        ("Wheel, + and −", "zoom"),
        ("Double click, Home", "the whole box"),
    ),
    "In Lights, on the map of LEDs": (
        ("Arrow keys", "next LED in that direction"),
        ("Page Up/Down", "previous, next LED"),
        ("Space", "play through the LEDs"),
    ),
}


def make_actions(window: QMainWindow, callbacks: Mapping[str, Callable[..., object]]) -> dict[str, QAction]:
    """Create the actions with their menus; `callbacks` has one for each but sub-menus; switches give it their state."""
    actions: dict[str, QAction] = {}
    menus = {}
    for spec in ACTIONS:
        title = spec.menu.removeprefix("-")
        if title not in menus:
            menus[title] = window.menuBar().addMenu(title)
        if spec.menu.startswith("-"):
            menus[title].addSeparator()
        action = QAction(spec.text, window)
        action.setObjectName(spec.key)
        if spec.shortcut:
            action.setShortcut(QKeySequence(spec.shortcut))
        action.setToolTip(f"{spec.tip or spec.text} ({spec.shortcut})" if spec.shortcut else spec.tip or spec.text)
        action.setStatusTip(spec.tip)
        action.setCheckable(spec.checkable)
        if spec.submenu:
            action.setMenu(QMenu(window))
        elif spec.checkable:
            action.setChecked(spec.checked)
            action.toggled.connect(callbacks[spec.key])
        else:
            action.triggered.connect(lambda _checked=False, callback=callbacks[spec.key]: callback())
        menus[title].addAction(action)
        actions[spec.key] = action
    return actions


def button_for(action: QAction, primary: bool = False) -> QPushButton:
    """Push button that does and looks like the action: same text, tip, and enabled when it is."""
    button = QPushButton(action.text())
    button.setObjectName(f"{action.objectName()}_button")
    button.setAccessibleName(action.text())
    button.setToolTip(action.toolTip())
    button.setEnabled(action.isEnabled())
    button.setProperty("primary", "true" if primary else "false")
    button.clicked.connect(action.trigger)
    action.enabledChanged.connect(button.setEnabled)
    return button


def check_box_for(action: QAction) -> QCheckBox:
    """Check box that shows and changes the state of a switch."""
    box = QCheckBox(action.text())
    box.setObjectName(f"{action.objectName()}_box")
    box.setAccessibleName(action.text())
    box.setToolTip(action.toolTip())
    box.setChecked(action.isChecked())
    box.toggled.connect(action.setChecked)
    action.toggled.connect(box.setChecked)
    return box
