"""What of the volume is cut away: by a plane, and by a smaller box."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QCheckBox, QDoubleSpinBox, QGridLayout, QHBoxLayout, QLabel, QPushButton, QSlider, QWidget

from gui.section import Section
from recon.scene import Cut

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from recon.scene import Point

STEPS = 200
"""Steps of the slider from end to end of the box."""


def _point(values: NDArray[np.float64]) -> Point:
    return float(values[0]), float(values[1]), float(values[2])


class CutPanel(Section):
    """Switches and numbers of the cutting plane and of the part that is shown.

    `changed` is emitted when `cut` or `crop_um` has; `facing_wanted` when the plane is to face the viewer: answer it
    with `face`.
    """

    changed = Signal()
    facing_wanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Cut away", "cut_away", parent)
        self.bounds_um: NDArray[np.float64] = np.array([[-50.0, -50.0, -25.0], [50.0, 50.0, 25.0]])
        self._normal: NDArray[np.float64] = np.array([0.0, 0.0, 1.0])
        self._setting = False
        self.plane = QCheckBox("Plane")
        self.plane.setObjectName("cut_plane")
        self.plane.setAccessibleName("Cut by a plane")
        self.plane.setToolTip("Show only what lies behind a plane")
        self.plane.toggled.connect(self._switch)
        self.here = QPushButton("Face me")
        self.here.setObjectName("cut_here")
        self.here.setAccessibleName("Turn the cutting plane towards the viewer")
        self.here.setToolTip("Turn the plane so that it is seen straight from here; then look at it from the side")
        self.here.clicked.connect(self._face_viewer)
        self.position = QSlider(Qt.Orientation.Horizontal)
        self.position.setRange(0, STEPS)
        self.position.setValue(STEPS // 2)
        self.position.setObjectName("cut_position")
        self.position.setAccessibleName("Position of the cutting plane")
        self.position.setToolTip("Move the plane through the box")
        self.position.valueChanged.connect(lambda _: self._tell())
        self.crop = QCheckBox("Smaller box")
        self.crop.setObjectName("crop")
        self.crop.setAccessibleName("Show only a part of the box")
        self.crop.setToolTip("Show only the part of the box between these places")
        self.crop.toggled.connect(self._switch)
        grid = QGridLayout()
        grid.setHorizontalSpacing(6)
        grid.setVerticalSpacing(6)
        grid.addWidget(self.plane, 0, 0)
        grid.addWidget(self.here, 0, 1)
        grid.addWidget(self.position, 1, 0, 1, 2)
        grid.addWidget(self.crop, 2, 0, 1, 2)
        self.ends = [[self._end(axis, side) for side in (0, 1)] for axis in range(3)]
        for axis, pair in enumerate(self.ends):
            line = QHBoxLayout()
            line.addWidget(QLabel("xyz"[axis]))
            for spin in pair:
                line.addWidget(spin, 1)
            grid.addLayout(line, 3 + axis, 0, 1, 2)
        self.body.addLayout(grid)
        self.set_box(self.bounds_um)
        self._switch()

    def _end(self, axis: int, side: int) -> QDoubleSpinBox:
        spin = QDoubleSpinBox()
        spin.setDecimals(1)
        spin.setSuffix(" µm")
        spin.setKeyboardTracking(False)
        spin.setObjectName(f"crop_{'xyz'[axis]}_{('from', 'to')[side]}")
        spin.setAccessibleName(f"Part shown: {'xyz'[axis]} {('from', 'to')[side]}")
        spin.valueChanged.connect(lambda _: self._tell())
        return spin

    @property
    def cut(self) -> Cut | None:
        """The cutting plane, if it is on."""
        if not self.plane.isChecked():
            return None
        middle, half = self.bounds_um.mean(axis=0), 0.5 * (self.bounds_um[1] - self.bounds_um[0])
        reach = float(np.abs(self._normal) @ half)  # from the middle to the last corner along the normal
        share = 2.0 * self.position.value() / STEPS - 1.0
        return Cut(_point(middle + share * reach * self._normal), _point(self._normal))

    @property
    def crop_um(self) -> tuple[Point, Point] | None:
        """Corners of the part that is shown, if it is not the whole."""
        if not self.crop.isChecked():
            return None
        lower, upper = np.array([[spin.value() for spin in pair] for pair in self.ends]).T
        return _point(np.minimum(lower, upper)), _point(np.maximum(lower, upper))

    def set_box(self, bounds_um: NDArray[np.float64]) -> None:
        """Take the box of a field: nothing of it is cut off until someone says so."""
        self.bounds_um = np.asarray(bounds_um, dtype=np.float64)
        self._setting = True
        for axis, pair in enumerate(self.ends):
            low, high = (float(corner[axis]) for corner in self.bounds_um)
            for spin, value in zip(pair, (low, high), strict=True):
                spin.setRange(low, high)
                spin.setSingleStep((high - low) / 50)
                spin.setValue(value)
        self._setting = False

    def face(self, away: NDArray[np.float64]) -> None:
        """Turn the plane across a direction, that in which the viewer looks; switch it on."""
        self._normal = np.asarray(away, dtype=np.float64)
        self.plane.setChecked(True)
        self._tell()

    def _face_viewer(self) -> None:
        self.facing_wanted.emit()

    def _switch(self) -> None:
        self.position.setEnabled(self.plane.isChecked())
        for pair in self.ends:
            for spin in pair:
                spin.setEnabled(self.crop.isChecked())
        self._tell()

    def _tell(self) -> None:
        if not self._setting:
            self.changed.emit()
