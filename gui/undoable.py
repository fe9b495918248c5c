"""What of the window can be undone: contrast, quantity, place and zoom of the slices, settings of the fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PySide6.QtWidgets import QComboBox

    from gui.history import History
    from gui.panels import Panels
    from gui.slices_panel import SlicesPanel


def watch_panels(history: History, panels: Panels) -> None:
    """Have every change of view and settings remembered."""
    slices, fit = panels.slices, panels.fit
    contrast, navigator = slices.contrast, slices.navigator
    history.watch("contrast", contrast.changed, contrast.chosen_levels, contrast.choose_levels)
    history.watch("cross-hair", navigator.cursor_moved, lambda: navigator.cursor_um, navigator.set_cursor)
    history.watch("view", navigator.moved, lambda: _place(slices), lambda place: _put_place(slices, place))
    history.watch("time limit", fit.seconds.valueChanged, fit.seconds.value, fit.seconds.setValue)
    for name, box in (
        ("colour map", contrast.map),
        ("quantity", contrast.part),
        ("device", fit.device),
        ("model", fit.model),
    ):
        _watch_choice(history, name, box)


def _watch_choice(history: History, name: str, box: QComboBox) -> None:
    history.watch(name, box.currentIndexChanged, box.currentIndex, box.setCurrentIndex)


def _place(slices: SlicesPanel) -> Any:
    """Centre and scale; None while the whole box is shown, at whichever size the window has."""
    return None if slices.shows_whole else (slices.navigator.centre_um, slices.navigator.um_per_px)


def _put_place(slices: SlicesPanel, place: Any) -> None:
    if place is None:
        slices.reset_view()
    else:
        slices.navigator.look_at(*place)
