"""The volume in three dimensions, with what decides how it looks: mode, opacity, surface, cuts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSlider,
    QVBoxLayout,
    QWidget,
)

from gui.cut_panel import CutPanel
from gui.opacity_editor import OpacityEditor
from gui.section import Section, hint
from gui.volume_view import UPRIGHT, VolumeView
from recon.scene import Opacity

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gui.contrast_panel import ContrastPanel
    from gui.opacity_editor import Points
    from recon.messages import FieldReady, Picture
    from recon.scene import Scene, VolumeMode

MODES: dict[str, VolumeMode] = {
    "Clouds": "composite",
    "Surface": "surface",
    "Largest Δn": "mip",
    "Smallest Δn": "minip",
    "Projected phase": "phase",
}
EXPLAINED: dict[VolumeMode, str] = {
    "mip": "The largest Δn on the way through the sample. What is darker than its surroundings stays hidden.",
    "minip": "The smallest Δn on the way through the sample: crop the box so that it lies within cells.",
    "phase": "What a phase microscope would see from here, in radians.",
}
FIRST_CURVE = ((0.2, 0.0), (0.45, 0.12), (0.75, 0.4), (1.0, 0.8))
"""Opacity curve of a new field: places between its levels, and opacities."""
LAYERS = 20
"""Opacities are those of this part of the box's shortest side."""
SURFACE_STEPS = 400
FIRST_SURFACE = 0.45
HOW_TO_START = "No volume yet"


class VolumePanel(QWidget):
    """Three-dimensional view of the field that is being fitted or was opened.

    `picture_wanted(request)` goes to the reconstruction process, its answers come to `show_picture`. `curve_changed` is
    emitted when the operator has drawn the opacities or taken back the first ones. `controls` are the sections that
    belong beside it. Colours and levels are those of the slices.

    Parameters
    ----------
    contrast
        Colour map, levels and histogram of the slices.
    """

    picture_wanted = Signal(object)
    curve_changed = Signal()

    def __init__(self, contrast: ContrastPanel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("volume")
        self.setAccessibleName("Volume in three dimensions")
        self.contrast = contrast
        self.view = VolumeView()
        self.cuts = CutPanel()
        self._dn_levels = contrast.levels
        self._phase_top = 1.0
        self._own_curve = self._own_surface = False
        self._layer_um = 1.0
        self.look, self.motion = self._build_look(), self._build_motion()
        self.controls: tuple[Section, ...] = (self.look, self.cuts, self.motion)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.view)
        self.hint = QLabel(HOW_TO_START, self.view)
        self.hint.setProperty("role", "title")
        self.hint.setAlignment(Qt.AlignmentFlag.AlignCenter)
        whole = QVBoxLayout(self.view)
        whole.addWidget(self.hint)
        self.view.picture_wanted.connect(self.picture_wanted)
        self.view.arrived.connect(self._follow_values)
        self.cuts.changed.connect(self._apply)
        self.cuts.facing_wanted.connect(lambda: self.cuts.face(self.view.scene.camera.axes[2]))
        contrast.changed.connect(self._follow_contrast)
        self._follow_contrast()

    def _build_look(self) -> Section:
        section = Section("Look", "volume_look")
        self.mode = QComboBox()
        self.mode.addItems(list(MODES))
        self.mode.setObjectName("volume_mode")
        self.mode.setAccessibleName("How the volume is shown")
        self.mode.currentIndexChanged.connect(lambda _: self._switch_mode())
        self.curve = OpacityEditor()
        self.curve.changed.connect(self._curve_drawn)
        self.new_curve = QPushButton("Curve as at first")
        self.new_curve.setObjectName("reset_opacity")
        self.new_curve.setAccessibleName("Opacity curve as at first")
        self.new_curve.clicked.connect(lambda: self.draw_curve(None))
        self.surface = QSlider(Qt.Orientation.Horizontal)
        self.surface.setRange(1, SURFACE_STEPS)
        self.surface.setObjectName("surface_index")
        self.surface.setAccessibleName("Index of the surface")
        self.surface.setToolTip("The surface is where the sample's index reaches this value")
        self.surface.valueChanged.connect(lambda _: self._surface_moved())
        self.surface_value = hint()
        self.explained = hint()
        section.body.addWidget(self.mode)
        self._pages: list[QWidget] = []
        for page in ((self.curve, self.new_curve), (self.surface_value, self.surface), (self.explained,)):
            holder = QWidget()
            inner = QVBoxLayout(holder)
            inner.setContentsMargins(0, 0, 0, 0)
            for widget in page:
                inner.addWidget(widget)
            holder.setVisible(not self._pages)
            self._pages.append(holder)
            section.body.addWidget(holder)
        return section

    def _build_motion(self) -> Section:
        section = Section("View", "volume_motion")
        grid = QGridLayout()
        grid.setSpacing(6)
        whole = QPushButton("Whole volume")
        whole.setObjectName("volume_whole")
        whole.setAccessibleName("Show the whole volume")
        whole.setToolTip("Home, or a double click")
        whole.clicked.connect(self.view.reset)
        sides = QHBoxLayout()
        for name, rotation in UPRIGHT.items():
            side = QPushButton(name)
            side.setObjectName(f"look_{name}")
            side.setAccessibleName(f"Look straight at the {name} plane")
            side.setToolTip(f"As the {name} slice lies on the screen")
            side.setMinimumWidth(10)
            side.clicked.connect(lambda _=False, to=rotation: self.view.look_from(to))
            sides.addWidget(side, 1)
        self.spin = QPushButton("Spin")
        self.spin.setCheckable(True)
        self.spin.setObjectName("spin")
        self.spin.setAccessibleName("Spin like a top")
        self.spin.toggled.connect(self.view.set_spinning)
        self.speed = QSlider(Qt.Orientation.Horizontal)
        self.speed.setRange(5, 120)
        self.speed.setValue(30)
        self.speed.setObjectName("spin_speed")
        self.speed.setAccessibleName("Degrees a second")
        self.speed.setToolTip("Degrees a second")
        self.speed.valueChanged.connect(self._set_speed)
        self.show_box = QCheckBox("Box")
        self.show_box.setObjectName("volume_box")
        self.show_box.setAccessibleName("Show the edges of the box")
        self.show_box.setChecked(True)
        self.show_box.toggled.connect(lambda on: self.set_mark("box", on))
        self.show_axes = QCheckBox("Axes")
        self.show_axes.setObjectName("volume_axes")
        self.show_axes.setAccessibleName("Show the axes")
        self.show_axes.setChecked(True)
        self.show_axes.toggled.connect(lambda on: self.set_mark("axes", on))
        grid.addWidget(whole, 0, 0, 1, 2)
        grid.addLayout(sides, 1, 0, 1, 2)
        grid.addWidget(self.spin, 2, 0)
        grid.addWidget(self.speed, 2, 1)
        self.marks = QHBoxLayout()
        self.marks.addWidget(self.show_box)
        self.marks.addWidget(self.show_axes)
        section.body.addLayout(grid)
        section.body.addLayout(self.marks)
        return section

    # --- a field comes and goes ---------------------------------------------------------------------------------------

    def show_field(self, ready: FieldReady) -> None:
        """Ask for pictures of a new field; camera and cuts stay if the box is the same."""
        self.hint.hide()
        if not np.allclose(ready.bounds_um, self.cuts.bounds_um):
            self.cuts.set_box(ready.bounds_um)
        self._layer_um = float(np.min(ready.bounds_um[1] - ready.bounds_um[0])) / LAYERS
        self._follow_levels()
        self.view.start(ready.bounds_um)

    def clear(self, expecting: str = "") -> None:
        """Forget the field, as after a run was discarded; `expecting` says what the next one waits for."""
        self.spin.setChecked(False)
        self.view.stop()
        self.hint.setText("The volume is on its way" if expecting else HOW_TO_START)
        self.hint.show()

    def show_picture(self, answer: Picture, picture: NDArray[np.float32]) -> None:
        """Show an answer, if it is this view's."""
        if answer.view == self.view.channel.name:
            self.view.show_picture(answer, picture)

    def refresh(self) -> None:
        """Ask for the picture again: the field has reached its final state."""
        self.view.ask_sharp()

    def reset_view(self) -> None:
        """Show the whole box."""
        self.view.reset()

    def zoom(self, steps: int) -> None:
        """Zoom about the middle by keyboard."""
        self.view.zoom_by(1.25**steps)

    def choose_contrast(self) -> None:
        """Levels from the values there are."""
        self.contrast.auto.setChecked(True)

    def set_mark(self, which: str, shown: bool) -> None:
        """Show or hide the ``box``, the ``axes`` or the ``scale_bar``."""
        self.view.marks[which] = shown
        self.view.update()

    @property
    def scene(self) -> Scene:
        """What is shown now; its camera is for the widget's own pixels."""
        return self.view.scene

    # --- look ---------------------------------------------------------------------------------------------------------

    @property
    def shown_mode(self) -> VolumeMode:
        """Mode that is chosen."""
        return MODES[self.mode.currentText()]

    @property
    def surface_dn(self) -> float:
        """dn of the surface: the slider runs from nothing to half as much again as the brightest colour."""
        return 1.5 * max(self._dn_levels[1], 1e-4) * self.surface.value() / SURFACE_STEPS

    def _switch_mode(self) -> None:
        mode = self.shown_mode
        shown = {"composite": 0, "surface": 1}.get(mode, 2)
        for number, page in enumerate(self._pages):
            page.setVisible(number == shown)
        self.explained.setText(EXPLAINED.get(mode, ""))
        self._apply()

    @property
    def drawn_curve(self) -> Points | None:
        """Opacity curve that the operator has drawn; None: the first one, which follows the levels."""
        return self.curve.points if self._own_curve else None

    def draw_curve(self, points: Points | None) -> None:
        """Show another opacity curve; None: the first one."""
        if points is not None:
            self.curve.set_points(points)
        self._own_curve = points is not None
        self._follow_levels()
        self.curve_changed.emit()

    @property
    def moved_surface(self) -> int | None:
        """Where the operator has moved the surface; None: it is where it was at first."""
        return self.surface.value() if self._own_surface else None

    def move_surface(self, step: int | None) -> None:
        """Move the surface; None: to where it was at first."""
        if step is not None:
            self.surface.setValue(step)
        self._own_surface = step is not None
        self._follow_levels()

    def _curve_drawn(self) -> None:
        self._own_curve = True
        self._apply()
        self.curve_changed.emit()

    def _surface_moved(self) -> None:
        self._own_surface = True
        self._apply()

    def _follow_contrast(self) -> None:
        if self.contrast.shown_part == "dn":
            self._dn_levels = self.contrast.levels
            if self.contrast.histogram is not None:
                self.curve.set_histogram(*self.contrast.histogram)
        self._follow_levels()

    def _follow_levels(self) -> None:
        """Curve and surface follow the levels until someone has drawn or moved them."""
        low, high = self._dn_levels
        if not self._own_curve:
            self.curve.set_points([(low + share * (high - low), opacity) for share, opacity in FIRST_CURVE])
        if not self._own_surface:
            self.surface.blockSignals(True)
            self.surface.setValue(round(SURFACE_STEPS * FIRST_SURFACE / 1.5))
            self.surface.blockSignals(False)
        self._apply(repaint=False)

    def _follow_values(self) -> None:
        """Phases have levels of their own: from nothing to the largest there is."""
        values = self.view.values
        if self.shown_mode == "phase" and values is not None and not self.view.spinning:
            top = float(np.percentile(values, 99.8))
            if abs(top - self._phase_top) > 0.02 * self._phase_top:
                self._phase_top = max(top, 1e-3)
                self._apply(repaint=False)

    def _apply(self, repaint: bool = True) -> None:
        mode = self.shown_mode
        self.surface_value.setText(f"Δn {self.surface_dn:.4f}")
        self.view.set_scene(
            replace(
                self.view.scene,
                mode=mode,
                opacity=Opacity(self.curve.points, self._layer_um),
                levels=(0.0, self._phase_top) if mode == "phase" else self._dn_levels,
                colours=self.contrast.lookup_table.tobytes(),
                surface_dn=self.surface_dn,
                cut=self.cuts.cut,
                crop_um=self.cuts.crop_um,
            ),
            repaint,
        )

    def _set_speed(self, degrees_per_second: int) -> None:
        self.view.degrees_per_second = float(degrees_per_second)
