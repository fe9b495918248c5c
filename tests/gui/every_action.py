"""Every action of the window once, with a simulated instrument, for who measures how long it stands still."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from PySide6.QtWidgets import QFileDialog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from gui.main_window import MainWindow


class Wait(Protocol):
    """Turns the event loop until something is so."""

    def __call__(self, is_so: Callable[[], bool]) -> None: ...


def every_action(window: MainWindow, field: Path, wait: Wait, turn: Callable[[int], None]) -> Iterator[str]:
    """Do one thing after the other, and give the name of each before it is done.

    Parameters
    ----------
    window
        Shown, its reconstruction process started, an instrument chosen that can be connected.
    field
        A saved field.
    wait, turn
        Turn the event loop until something is so, and for so many milliseconds.
    """
    act, panels, flow = window.actions_by_key, window.panels, window.workflow

    def shown() -> bool:
        return all(view.shown_plane() is not None for view in panels.slices.views.values())

    def trigger(key: str) -> None:
        assert act[key].isEnabled(), key
        act[key].trigger()

    yield "connect"
    trigger("connect")
    wait(lambda: flow.instrument is not None)
    yield "live image"
    wait(lambda: panels.live.camera.state.text() == "live")
    turn(300)
    yield "exposure and light"
    panels.live.exposure.setValue(panels.live.exposure.value() * 2)
    for number in range(panels.live.light.count()):
        panels.live.light.setCurrentIndex(number)
        turn(50)
    yield "live image off and on"
    trigger("live")
    turn(100)
    trigger("live")
    turn(200)
    yield "plan"
    panels.acquire.exposure.setValue(5.0)
    turn(50)
    yield "start acquisition"
    trigger("start_scan")
    wait(lambda: panels.acquire.bar.value() > 1)
    yield "pause and resume"
    trigger("pause_scan")
    wait(lambda: panels.acquire.state.text().startswith("paused"))
    trigger("pause_scan")
    yield "cancel acquisition"
    trigger("cancel_scan")
    wait(lambda: not window.service.scanning)
    yield "acquisition with reconstruction"
    capture = flow.capture_path
    wait(lambda: flow.capture_path == capture)
    turn(1100)  # names of captures count seconds
    trigger("start_scan")
    wait(lambda: not window.service.scanning)
    yield "open capture"
    assert flow.capture_path is not None
    window.files.open(flow.capture_path)
    turn(200)
    yield "finish or discard"
    trigger("cancel_fit")
    turn(50)
    yield "open field"
    window.files.open(field)
    wait(shown)
    for task in ("instrument", "acquire", "reconstruct", "view"):
        yield f"task: {task}"
        trigger(f"go_{task}")
        turn(150)
    yield "contrast"
    panels.slices.contrast.auto.setChecked(True)
    for number in range(panels.slices.contrast.map.count()):
        panels.slices.contrast.map.setCurrentIndex(number)
        turn(30)
    yield "zoom and pan"
    for _ in range(5):
        trigger("zoom_in")
        turn(40)
    trigger("centre")
    trigger("reset_view")
    turn(100)
    yield "save dialog"
    trigger("save_field")
    turn(100)
    for dialog in window.findChildren(QFileDialog):
        dialog.reject()
    yield "log"
    trigger("log")
    turn(100)
    yield "keys and mouse"
    trigger("shortcuts")
    turn(100)
    yield "disconnect"
    trigger("disconnect")
    wait(lambda: flow.instrument is None)
    yield "quit"
    window.end()
