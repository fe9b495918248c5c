"""One slice through the field: a sharp picture at the screen's pixels over a coarse one of the whole box.

While the hand moves a quarter of the resolution is asked for, after 120 ms of rest all of it. A picture is always put
at the rectangle it was asked for, so a late one is blurred but never misplaced.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pyqtgraph as pg
from PySide6.QtCore import QPointF, Qt, QTimer, Signal
from PySide6.QtGui import QGuiApplication, QKeySequence
from PySide6.QtWidgets import QVBoxLayout, QWidget

from gui import theme
from gui.navigation_box import NavigationBox
from gui.navigator import OBLIQUE
from gui.planes import UPRIGHT, visible_plane, whole_plane
from gui.slice_layers import SliceLayer
from gui.slice_marks import AXIS_NAMES, LEFT_AXIS_PX, SliceMarks

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from gui.navigator import Navigator
    from gui.planes import Frame, Plane
    from recon.messages import Picture

REST_MS = 120
MOVING_FACTOR = 4
SIGMA_FACTOR = 2
"""Uncertainty is smooth: half of the resolution shows all of it."""
WHOLE_PX = 128
BOTTOM_AXIS_PX = 34
TURN_PER_PX = math.radians(0.4)
TURN_BY_KEY = math.radians(5.0)
WHAT_THE_HAND_DOES = "Wheel: zoom. Click: place the cross-hair. Shift and wheel, Page Up, Page Down: next slice. "
OF_THE_OBLIQUE_PLANE = (
    "Drag: along its normal. Right drag, Shift and arrows: tilt. Shift and right drag, Ctrl and arrows: turn in its"
    " plane. Space: as at first."
)
ARROWS = {
    Qt.Key.Key_Left: (-1.0, 0.0),
    Qt.Key.Key_Right: (1.0, 0.0),
    Qt.Key.Key_Up: (0.0, -1.0),
    Qt.Key.Key_Down: (0.0, 1.0),
}


class SliceView(QWidget):
    """A slice with axes in micrometres and marks: upright, or oblique as the navigator's plane.

    `picture_wanted(view, request, plane)` asks for a picture; the answer comes to `show_picture`. `unwanted(view)`:
    that one need not be refreshed any more. A view that cannot be seen asks for nothing.
    `hovered(x, y, z, value)` tells the point under the mouse and what the picture says there (NaN outside the box),
    `enlarged` that the view wants all the room or gives it back.

    Parameters
    ----------
    name
        ``xy``, ``xz``, ``yz`` or ``oblique``.
    navigator
        Centre, scale, cross-hair and planes shared with the other views.
    """

    picture_wanted = Signal(str, int, object)
    unwanted = Signal(str)
    hovered = Signal(float, float, float, float)
    whole_changed = Signal()
    enlarged = Signal()

    def __init__(self, name: str, navigator: Navigator, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.name = name
        self.navigator = navigator
        self._has_field = False
        self._tinted = False
        self.setObjectName(f"slice_{name}")
        self.setAccessibleName(f"{name} slice")
        buttons = OF_THE_OBLIQUE_PLANE if name == OBLIQUE else "Drag: pan. Right drag: turn the oblique plane."
        self.setAccessibleDescription(WHAT_THE_HAND_DOES + buttons)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self._build()
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(REST_MS)
        self._rest.timeout.connect(self._ask_sharp)
        navigator.moved.connect(self._follow)
        navigator.cursor_moved.connect(self._follow_planes)
        navigator.plane_turned.connect(self._follow_planes)
        self.marks.follow()

    def _build(self) -> None:
        self.box = NavigationBox(left_pans=self.name != OBLIQUE)
        self.plot = pg.PlotItem(viewBox=self.box)
        self.plot.hideButtons()
        self.canvas = pg.GraphicsView()
        self.canvas.setCentralItem(self.plot)
        self.canvas.setAccessibleName(f"Picture of the {self.name} slice")
        self.canvas.setFocusProxy(self)
        self.plot.layout.setContentsMargins(0, 6, 8, 0)
        axes = UPRIGHT.get(self.name)
        labels = ("down", "across") if axes is None else (AXIS_NAMES[axes.row], AXIS_NAMES[axes.column])
        for side, label in zip(("left", "bottom"), labels, strict=True):
            item = self.plot.getAxis(side)
            item.setLabel(f"{label} (µm)")
            item.enableAutoSIPrefix(False)
            item.setStyle(tickLength=-4, autoExpandTextSpace=False)
        self.plot.getAxis("left").setWidth(LEFT_AXIS_PX)
        self.plot.getAxis("bottom").setHeight(BOTTOM_AXIS_PX)
        self.whole = SliceLayer(f"{self.name} whole", self.box, 0, self.picture_wanted.emit)
        self.sharp = SliceLayer(self.name, self.box, 1, self.picture_wanted.emit)
        self.sigma = SliceLayer(f"{self.name} sigma", self.box, 2, self.picture_wanted.emit)
        self._layers = {layer.name: layer for layer in (self.whole, self.sharp, self.sigma)}
        self.marks = SliceMarks(self.name, self.box, self.canvas, self.navigator)

        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.canvas)
        self.box.zoomed.connect(self._zoom)
        self.box.panned.connect(lambda shift: self._pan(shift.x(), shift.y()))
        self.box.lifted.connect(lambda along: self.navigator.move_along(self._normal(), along))
        self.box.turned.connect(self._turn)
        self.box.pointed.connect(self._point)
        self.box.stepped.connect(self._step)
        self.box.enlarged.connect(self.enlarged)
        self.box.sigResized.connect(self._follow)
        self.canvas.scene().sigMouseMoved.connect(self._hover)
        theme.follow(self._paint)

    def _paint(self) -> None:
        self.canvas.setBackground(theme.CANVAS)
        for side in ("left", "bottom"):
            item = self.plot.getAxis(side)
            item.setPen(theme.EDGE)
            item.setTextPen(theme.MUTED)
            item.setLabel(item.labelText, color=theme.MUTED)
        self.marks.paint()

    # --- what the mouse and the keys do -----------------------------------------------------------------------------

    def _zoom(self, factor: float, at: QPointF) -> None:
        frame = self.frame()
        fixed = frame.point(at.x(), at.y())
        self.navigator.zoom_by(factor, {axis: fixed[axis] for axis in frame.axes()})

    def _pan(self, a_um: float, b_um: float) -> None:
        frame = self.frame()
        self.navigator.pan({axis: a_um * frame.across[axis] + b_um * frame.down[axis] for axis in frame.axes()})

    def _point(self, at: QPointF) -> None:
        self.setFocus(Qt.FocusReason.MouseFocusReason)
        self.navigator.set_cursor(self.frame().point(at.x(), at.y()))

    def _turn(self, before: QPointF, here: QPointF, rolls: bool) -> None:
        """Turn the oblique plane: here by tilting it under the hand, in upright slices its trace about the cross."""
        frame = self.frame()
        a_um, b_um = frame.coordinates(self.navigator.cursor_um)
        about_cross = math.atan2(here.y() - b_um, here.x() - a_um) - math.atan2(before.y() - b_um, before.x() - a_um)
        if self.name != OBLIQUE:
            self.navigator.turn_plane_about_axis(frame.normal, about_cross)
            return
        if rolls:
            self.navigator.turn_plane(2, -about_cross)
            return
        px = self.navigator.scale_um_per_px(self.name)
        self.navigator.turn_plane(1, TURN_PER_PX * (here.x() - before.x()) / px)
        self.navigator.turn_plane(0, TURN_PER_PX * (here.y() - before.y()) / px)

    def _normal(self) -> tuple[float, float, float]:
        """Direction in which Page Up goes: of upright slices the positive axis."""
        x, y, z = self.frame().normal
        return (x, y, z) if self.name == OBLIQUE else (abs(x), abs(y), abs(z))

    def _step(self, steps: float) -> None:
        self.navigator.move_along(self._normal(), steps * self.navigator.step_um(self.name))

    def keyPressEvent(self, event: object) -> None:
        """Arrow keys pan by a tenth of the view, Page Up and Page Down step, Enter enlarges; others turn a plane."""
        key, modifiers = event.key(), event.modifiers()  # type: ignore[attr-defined]
        if event.matches(QKeySequence.StandardKey.Copy):  # type: ignore[attr-defined]
            self.copy()
        elif key in ARROWS and self.name == OBLIQUE and modifiers & Qt.KeyboardModifier.ShiftModifier:
            for about, share in zip((1, 0), ARROWS[key], strict=True):
                self.navigator.turn_plane(about, share * TURN_BY_KEY)
        elif key in ARROWS and self.name == OBLIQUE and modifiers & Qt.KeyboardModifier.ControlModifier:
            self.navigator.turn_plane(2, sum(ARROWS[key]) * TURN_BY_KEY)
        elif key in ARROWS:
            stride = 0.1 * self.navigator.scale_um_per_px(self.name)
            self._pan(*(stride * share * size for share, size in zip(ARROWS[key], self.size_px(), strict=True)))
        elif key in (Qt.Key.Key_PageUp, Qt.Key.Key_PageDown):
            self._step(1.0 if key == Qt.Key.Key_PageUp else -1.0)
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.enlarged.emit()
        elif key == Qt.Key.Key_Space and self.name == OBLIQUE:
            self.navigator.reset_plane()
        else:
            super().keyPressEvent(event)  # type: ignore[arg-type]

    def copy(self) -> None:
        """Copy the picture as it is seen, marks and scale bar included."""
        QGuiApplication.clipboard().setPixmap(self.canvas.grab())

    def _hover(self, scene_position: QPointF) -> None:
        at = self.box.mapSceneToView(scene_position)
        self.hovered.emit(*self.frame().point(at.x(), at.y()), self.value_at(at.x(), at.y()))

    # --- geometry ---------------------------------------------------------------------------------------------------

    def frame(self) -> Frame:
        """Where the slice lies."""
        return self.navigator.frame(self.name)

    def size_px(self) -> tuple[float, float]:
        """Width and height of the picture area in device-independent pixels."""
        return max(1.0, float(self.box.width())), max(1.0, float(self.box.height()))

    def visible(self) -> Plane | None:
        """Rectangle the screen shows now, on the screen's physical pixels."""
        ratio = self.canvas.devicePixelRatioF()
        width, height = self.size_px()
        return visible_plane(
            self.frame(),
            self.navigator.centre_um,
            self.navigator.scale_um_per_px(self.name) / ratio,
            (round(width * ratio), round(height * ratio)),
            self.navigator.bounds_um,
        )

    def _follow(self) -> None:
        width, height = self.size_px()
        scale = self.navigator.scale_um_per_px(self.name)
        a_um, b_um = self.frame().coordinates(self.navigator.centre_um)
        self.box.setRange(
            xRange=(a_um - width / 2 * scale, a_um + width / 2 * scale),
            yRange=(b_um - height / 2 * scale, b_um + height / 2 * scale),
            padding=0,
            disableAutoRange=True,
        )
        self.marks.follow()
        self._ask_moving()

    def _follow_planes(self) -> None:
        """The cross-hair was moved or the oblique plane turned: ask anew where that moves this slice."""
        self.marks.follow()
        if self.whole.plane is None or self.whole.plane.frame != self.frame():
            if self.name == OBLIQUE:
                self._follow()
            else:
                self._ask_moving()
            self._ask_whole()

    # --- pictures ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """A field can be asked from now on: ask for everything."""
        self._has_field = True
        self.marks.show(True)
        self.marks.follow()
        for layer in self._layers.values():
            layer.forget()
        self._ask_whole()
        self._ask_sharp()

    def stop(self) -> None:
        """Ask nothing more; the pictures go."""
        self._has_field = False
        self._rest.stop()
        for layer in self._layers.values():
            layer.clear()
        self.marks.show(False)

    def showEvent(self, event: object) -> None:
        """Catch up with what was not asked for meanwhile."""
        super().showEvent(event)  # type: ignore[arg-type]
        if self._has_field:
            self._ask_whole()
            self._ask_sharp()

    def hideEvent(self, event: object) -> None:
        """Spare the fit pictures that nobody sees."""
        super().hideEvent(event)  # type: ignore[arg-type]
        for layer in self._layers.values():
            layer.forget()
            self.unwanted.emit(layer.name)

    def _asks(self) -> bool:
        return self._has_field and self.isVisible()

    def _ask_moving(self) -> None:
        plane = self.visible() if self._asks() else None
        if plane is not None:
            self.sharp.ask(plane.coarser(MOVING_FACTOR))
        self._rest.start()

    def _ask_sharp(self) -> None:
        if self._asks():
            self.sharp.ask(self.visible())
            self._ask_sigma()

    def _ask_sigma(self) -> None:
        plane = self.visible() if self._tinted and self._asks() else None
        if plane is not None:
            self.sigma.ask(plane.coarser(SIGMA_FACTOR))

    def _ask_whole(self) -> None:
        if self._asks():
            self.whole.ask(whole_plane(self.frame(), self.navigator.bounds_um, WHOLE_PX))

    def show_picture(self, answer: Picture, picture: NDArray[np.float32]) -> None:
        """Put an answer of this view at the rectangle it was asked for, unless a newer one is there."""
        layer = self._layers[answer.view]
        if self._has_field and layer.show_picture(answer, picture) and layer is self.whole:
            self.whole_changed.emit()

    def shown_plane(self, whole: bool = False) -> Plane | None:
        """Rectangle of the picture that is shown now."""
        return (self.whole if whole else self.sharp).plane

    def value_at(self, a_um: float, b_um: float) -> float:
        """Value of the shown picture at a point of the slice; NaN where there is none."""
        sharp = self.sharp.value_at(a_um, b_um)
        return self.whole.value_at(a_um, b_um) if math.isnan(sharp) else sharp

    def set_colours(self, levels: tuple[float, float], lookup_table: NDArray[np.uint8]) -> None:
        """Contrast and colours of the pictures; needs no new one."""
        for layer in (self.whole, self.sharp):
            layer.set_colours(levels, lookup_table)

    def set_tint(self, levels: tuple[float, float], lookup_table: NDArray[np.uint8] | None) -> None:
        """Lay the uncertainty over the pictures, see-through (256, 4); None: do not."""
        asks = lookup_table is not None and not self._tinted
        self._tinted = lookup_table is not None
        if lookup_table is None:
            self.sigma.clear()
            self.unwanted.emit(self.sigma.name)
        else:
            self.sigma.set_colours(levels, lookup_table)
        if asks:
            self._ask_sigma()
