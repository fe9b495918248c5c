"""What of the window can be undone: contrast, quantity, what slices and volume show, settings of the fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PySide6.QtWidgets import QComboBox

    from gui.history import History
    from gui.panels import Panels
    from gui.slices_panel import SlicesPanel
    from gui.volume_panel import VolumePanel
    from gui.volume_view import VolumeView


def watch_panels(history: History, panels: Panels) -> None:
    """Have every change of view and settings remembered."""
    slices, fit = panels.slices, panels.fit
    contrast, navigator = slices.contrast, slices.navigator
    history.watch("contrast", contrast.changed, contrast.chosen_levels, contrast.choose_levels)
    history.watch("cross-hair", navigator.cursor_moved, lambda: navigator.cursor_um, navigator.set_cursor)
    history.watch("view", navigator.moved, lambda: _place(slices), lambda place: _put_place(slices, place))
    _watch_volume(history, panels.volume)
    history.watch("time limit", fit.seconds.valueChanged, fit.seconds.value, fit.seconds.setValue)
    for name, box in (
        ("colour map", contrast.map),
        ("quantity", contrast.part),
        ("device", fit.device),
        ("model", fit.model),
        ("volume mode", panels.volume.mode),
    ):
        _watch_choice(history, name, box)


def _watch_volume(history: History, volume: VolumePanel) -> None:
    view = volume.view
    history.watch("opacities", volume.curve_changed, lambda: volume.drawn_curve, volume.draw_curve)
    history.watch("surface", volume.surface.valueChanged, lambda: volume.moved_surface, volume.move_surface)
    history.watch("volume view", view.turned, lambda: _stand(view), lambda stand: _put_stand(volume, stand))


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


def _stand(view: VolumeView) -> Any:
    """Whether the whole box is shown, at whichever size the view has; its camera, or only from where that looks."""
    camera = view.scene.camera
    return (True, camera.rotation) if view.shows_whole else (False, camera)


def _put_stand(volume: VolumePanel, stand: Any) -> None:
    whole, camera_or_rotation = stand
    volume.spin.setChecked(False)  # it would turn away at once
    (volume.view.look_from if whole else volume.view.stand_at)(camera_or_rotation)
