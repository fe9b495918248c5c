"""One slice through the field: a sharp picture at the screen's pixels over a coarse one of the whole box.

While the hand moves a quarter of the resolution is asked for, after 120 ms of rest all of it. A picture is always put
at the rectangle it was asked for, so a late one is blurred but never misplaced.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pyqtgraph as pg
from PySide6.QtCore import QPointF, QRectF, Qt, QTimer, Signal
from PySide6.QtGui import QPainter
from PySide6.QtWidgets import QGraphicsRectItem, QLabel, QVBoxLayout, QWidget

from gui import theme
from gui.picture_channel import PictureChannel
from gui.planes import Plane, SliceAxes, plane_of_answer, visible_plane, whole_plane
from gui.scale_bar import ScaleBar
from recon.messages import RequestSlice

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from gui.navigator import Navigator
    from recon.messages import Picture

REST_MS = 120
MOVING_FACTOR = 4
WHOLE_PX = 128
LEFT_AXIS_PX = 46
BOTTOM_AXIS_PX = 34
AXIS_NAMES = "xyz"


class SmoothImage(pg.ImageItem):  # type: ignore[misc]  # pyqtgraph is untyped
    """Image that is interpolated where it is coarser than the screen: a preview looks soft, never blocky."""

    def paint(self, painter: QPainter, *args: object) -> None:
        """Paint with bilinear interpolation."""
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, True)
        super().paint(painter, *args)


class NavigationBox(pg.ViewBox):  # type: ignore[misc]  # pyqtgraph is untyped
    """View box that tells what the mouse wants and moves nothing by itself."""

    zoomed = Signal(float, QPointF)
    panned = Signal(QPointF)
    pointed = Signal(QPointF)
    stepped = Signal(float)

    def __init__(self) -> None:
        super().__init__(enableMenu=False, defaultPadding=0.0)
        self.setMouseEnabled(False, False)
        self.invertY(True)
        self.disableAutoRange()

    def wheelEvent(self, event: object, axis: int | None = None) -> None:
        """Zoom about the mouse; with Ctrl or Shift step through the slices."""
        del axis
        notches = event.delta() / 120.0  # type: ignore[attr-defined]
        if event.modifiers() & (Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier):  # type: ignore[attr-defined]
            self.stepped.emit(notches)
        else:
            self.zoomed.emit(1.2**notches, self.mapSceneToView(event.scenePos()))  # type: ignore[attr-defined]
        event.accept()  # type: ignore[attr-defined]

    def mouseDragEvent(self, event: object, axis: int | None = None) -> None:
        """Pan with the left or middle button."""
        del axis
        event.accept()  # type: ignore[attr-defined]
        here = self.mapSceneToView(event.scenePos())  # type: ignore[attr-defined]
        before = self.mapSceneToView(event.lastScenePos())  # type: ignore[attr-defined]
        self.panned.emit(before - here)

    def mouseClickEvent(self, event: object) -> None:
        """Put the cross-hair where the left button was clicked."""
        if event.button() == Qt.MouseButton.LeftButton:  # type: ignore[attr-defined]
            event.accept()  # type: ignore[attr-defined]
            self.pointed.emit(self.mapSceneToView(event.scenePos()))  # type: ignore[attr-defined]


class SliceView(QWidget):
    """A slice with axes in micrometres, cross-hair, outline of the box and scale bar.

    `picture_wanted(view, request, plane)` asks for a picture; the answer comes to `show_picture`.
    `hovered(x, y, z, value)` tells the point under the mouse and what the picture says there (NaN outside the box).

    Parameters
    ----------
    axes
        Which slice.
    navigator
        Centre, scale and cross-hair shared with the other views.
    """

    picture_wanted = Signal(str, int, object)
    hovered = Signal(float, float, float, float)
    whole_changed = Signal()

    def __init__(self, axes: SliceAxes, navigator: Navigator, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.axes = axes
        self.navigator = navigator
        self._has_field = False
        self._levels = (0.0, 1.0)
        self._planes: dict[str, tuple[Plane, NDArray[np.float32]]] = {}
        self.sharp = PictureChannel(axes.name, self._send)
        self.whole = PictureChannel(f"{axes.name} whole", self._send)

        self.setObjectName(f"slice_{axes.name}")
        self.setAccessibleName(f"{axes.name} slice")
        self.setAccessibleDescription(
            "Wheel: zoom. Drag: pan. Click: place the cross-hair. Shift and wheel, Page Up, Page Down: next slice."
        )
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self._build()
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(REST_MS)
        self._rest.timeout.connect(self._ask_sharp)
        navigator.moved.connect(self._follow)
        navigator.cursor_moved.connect(self._follow_cursor)
        self._follow_cursor()

    # --- construction -----------------------------------------------------------------------------------------------

    def _build(self) -> None:
        self.box = NavigationBox()
        self.plot = pg.PlotItem(viewBox=self.box)
        self.plot.hideButtons()
        self.canvas = pg.GraphicsView()
        self.canvas.setCentralItem(self.plot)
        self.canvas.setAccessibleName(f"Picture of the {self.axes.name} slice")
        self.canvas.setFocusProxy(self)
        self.plot.layout.setContentsMargins(0, 6, 8, 0)
        for side, axis in (("left", self.axes.row), ("bottom", self.axes.column)):
            item = self.plot.getAxis(side)
            item.setLabel(f"{AXIS_NAMES[axis]} (µm)")
            item.enableAutoSIPrefix(False)
            item.setStyle(tickLength=-4, autoExpandTextSpace=False)
        self.plot.getAxis("left").setWidth(LEFT_AXIS_PX)
        self.plot.getAxis("bottom").setHeight(BOTTOM_AXIS_PX)

        self.images = {self.whole.name: SmoothImage(), self.sharp.name: SmoothImage()}
        for depth, image in enumerate(self.images.values()):
            image.setOpts(axisOrder="row-major")
            image.setZValue(depth - 20)
            image.hide()
            self.box.addItem(image, ignoreBounds=True)
        self.outline = QGraphicsRectItem()
        self.outline.setZValue(5)
        self.box.addItem(self.outline, ignoreBounds=True)
        self.hair_column = pg.InfiniteLine(angle=90, movable=True)
        self.hair_row = pg.InfiniteLine(angle=0, movable=True)
        for line, axis in ((self.hair_column, self.axes.column), (self.hair_row, self.axes.row)):
            line.setZValue(10)
            line.sigDragged.connect(lambda moved, axis=axis: self.navigator.move_cursor(axis, float(moved.value())))
            self.box.addItem(line, ignoreBounds=True)
        self.caption = QLabel(self.canvas)
        self.caption.setProperty("role", "caption")
        self.caption.move(LEFT_AXIS_PX + 10, 12)
        self.caption.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)

        self.scale_bar = ScaleBar(self.box)
        self._marks_wanted = {"cross_hair": True, "scale_bar": True}
        self._show_marks()

        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.canvas)
        self.box.zoomed.connect(self._zoom)
        self.box.panned.connect(self._pan)
        self.box.pointed.connect(self._point)
        self.box.stepped.connect(self._step)
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
        self.outline.setPen(pg.mkPen(theme.FAINT, width=1, style=Qt.PenStyle.DashLine))
        for line in (self.hair_column, self.hair_row):
            line.setPen(pg.mkPen(theme.faded(theme.ACCENT, 150), width=1))
            line.setHoverPen(pg.mkPen(theme.LIGHT, width=2))

    # --- what the mouse and the keys do -----------------------------------------------------------------------------

    def _zoom(self, factor: float, at: QPointF) -> None:
        self.navigator.zoom_by(factor, {self.axes.column: at.x(), self.axes.row: at.y()})

    def _pan(self, shift: QPointF) -> None:
        self.navigator.pan({self.axes.column: shift.x(), self.axes.row: shift.y()})

    def _point(self, at: QPointF) -> None:
        point = list(self.navigator.cursor_um)
        point[self.axes.column], point[self.axes.row] = at.x(), at.y()
        self.setFocus(Qt.FocusReason.MouseFocusReason)
        self.navigator.set_cursor((point[0], point[1], point[2]))

    def _step(self, steps: float) -> None:
        """Move the slice along its normal by one step: two screen pixels, at most a hundredth of the box."""
        lower, upper = self.navigator.bounds_um[:, self.axes.normal]
        step_um = min(2 * self.navigator.um_per_px, float(upper - lower) / 50)
        here = self.navigator.cursor_um[self.axes.normal]
        self.navigator.move_cursor(self.axes.normal, here + steps * step_um)

    def keyPressEvent(self, event: object) -> None:
        """Arrow keys pan by a tenth of the view, Page Up and Page Down step through the slices."""
        key = event.key()  # type: ignore[attr-defined]
        width, height = self.size_px()
        stride = 0.1 * self.navigator.um_per_px
        moves = {
            Qt.Key.Key_Left: {self.axes.column: -width * stride},
            Qt.Key.Key_Right: {self.axes.column: width * stride},
            Qt.Key.Key_Up: {self.axes.row: -height * stride},
            Qt.Key.Key_Down: {self.axes.row: height * stride},
        }
        if key in moves:
            self.navigator.pan(moves[key])
        elif key in (Qt.Key.Key_PageUp, Qt.Key.Key_PageDown):
            self._step(1.0 if key == Qt.Key.Key_PageUp else -1.0)
        else:
            super().keyPressEvent(event)  # type: ignore[arg-type]

    def _hover(self, scene_position: QPointF) -> None:
        at = self.box.mapSceneToView(scene_position)
        point = list(self.navigator.cursor_um)
        point[self.axes.column], point[self.axes.row] = at.x(), at.y()
        self.hovered.emit(point[0], point[1], point[2], self.value_at(at.x(), at.y()))

    # --- geometry ---------------------------------------------------------------------------------------------------

    def size_px(self) -> tuple[float, float]:
        """Width and height of the picture area in device-independent pixels."""
        return max(1.0, float(self.box.width())), max(1.0, float(self.box.height()))

    def visible(self) -> Plane | None:
        """Rectangle the screen shows now, on the screen's physical pixels."""
        ratio = self.canvas.devicePixelRatioF()
        width, height = self.size_px()
        return visible_plane(
            self.axes,
            self.navigator.centre_um,
            self.navigator.cursor_um[self.axes.normal],
            self.navigator.um_per_px / ratio,
            (round(width * ratio), round(height * ratio)),
            self.navigator.bounds_um,
        )

    def _follow(self) -> None:
        width, height = self.size_px()
        scale = self.navigator.um_per_px
        column, row = self.navigator.centre_um[self.axes.column], self.navigator.centre_um[self.axes.row]
        self.box.setRange(
            xRange=(column - width / 2 * scale, column + width / 2 * scale),
            yRange=(row - height / 2 * scale, row + height / 2 * scale),
            padding=0,
            disableAutoRange=True,
        )
        lower, upper = self.navigator.bounds_um
        self.outline.setRect(
            lower[self.axes.column],
            lower[self.axes.row],
            upper[self.axes.column] - lower[self.axes.column],
            upper[self.axes.row] - lower[self.axes.row],
        )
        self._ask_moving()

    def _follow_cursor(self) -> None:
        self.hair_column.setValue(self.navigator.cursor_um[self.axes.column])
        self.hair_row.setValue(self.navigator.cursor_um[self.axes.row])
        normal = self.navigator.cursor_um[self.axes.normal]
        self.caption.setText(f"{self.axes.name}   {AXIS_NAMES[self.axes.normal]} = {normal:.2f} µm")
        self.caption.adjustSize()
        shown = self._planes.get(self.whole.name)
        if shown is None or not math.isclose(shown[0].at_um, normal, abs_tol=1e-9):
            self._ask_moving()
            self._ask_whole()

    # --- pictures ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """A field can be asked from now on: ask for everything."""
        self._has_field = True
        self._show_marks()
        self.sharp.forget()
        self.whole.forget()
        self._ask_whole()
        self._ask_sharp()

    def stop(self) -> None:
        """Ask nothing more; the pictures go."""
        self._has_field = False
        self._rest.stop()
        self.sharp.forget()
        self.whole.forget()
        self._planes.clear()
        for image in self.images.values():
            image.hide()
        self._show_marks()

    def _ask_moving(self) -> None:
        if not self._has_field:
            return
        plane = self.visible()
        if plane is not None:
            self.sharp.ask(plane.coarser(MOVING_FACTOR))
        self._rest.start()

    def _ask_sharp(self) -> None:
        plane = self.visible()
        if self._has_field and plane is not None:
            self.sharp.ask(plane)

    def _ask_whole(self) -> None:
        if self._has_field:
            at_um = self.navigator.cursor_um[self.axes.normal]
            self.whole.ask(whole_plane(self.axes, at_um, self.navigator.bounds_um, WHOLE_PX))

    def _send(self, view: str, request: int, plane: Plane) -> None:
        self.picture_wanted.emit(view, request, plane)

    def show_picture(self, answer: Picture, picture: NDArray[np.float32]) -> None:
        """Put an answer of this view at the rectangle it was asked for, unless a newer one is there."""
        channel = self.sharp if answer.view == self.sharp.name else self.whole
        if not self._has_field or not channel.answered(answer.request):
            return
        assert isinstance(answer.asked, RequestSlice)
        plane = plane_of_answer(self.axes, answer.asked)
        self._planes[answer.view] = (plane, picture)
        image = self.images[answer.view]
        image.setImage(picture, autoLevels=False, levels=self._levels)
        image.setRect(QRectF(plane.left_um, plane.top_um, plane.width_um, plane.height_um))
        image.show()
        if channel is self.whole:
            self.whole_changed.emit()

    def shown_plane(self, whole: bool = False) -> Plane | None:
        """Rectangle of the picture that is shown now."""
        held = self._planes.get((self.whole if whole else self.sharp).name)
        return held[0] if held else None

    def whole_picture(self) -> NDArray[np.float32] | None:
        """Coarse cut through the whole box, for contrast and histogram."""
        held = self._planes.get(self.whole.name)
        return held[1] if held else None

    def value_at(self, column_um: float, row_um: float) -> float:
        """Value of the shown picture at a point of the slice; NaN where there is none."""
        for name in (self.sharp.name, self.whole.name):
            if name in self._planes:
                plane, picture = self._planes[name]
                rows, columns = picture.shape
                j = math.floor((column_um - plane.left_um) / plane.width_um * columns)
                i = math.floor((row_um - plane.top_um) / plane.height_um * rows)
                if 0 <= i < rows and 0 <= j < columns:
                    return float(picture[i, j])
        return math.nan

    def set_colours(self, levels: tuple[float, float], lookup_table: NDArray[np.uint8]) -> None:
        """Contrast and colours of both layers; needs no new picture."""
        self._levels = levels
        for image in self.images.values():
            image.setLookupTable(lookup_table)
            if image.image is not None:
                image.setLevels(levels)

    def set_marks(self, **wanted: bool) -> None:
        """Show or hide the ``cross_hair`` and the ``scale_bar``; without a field there are no marks at all."""
        self._marks_wanted.update(wanted)
        self._show_marks()

    def _show_marks(self) -> None:
        for line in (self.hair_column, self.hair_row):
            line.setVisible(self._has_field and self._marks_wanted["cross_hair"])
        self.scale_bar.setVisible(self._has_field and self._marks_wanted["scale_bar"])
        self.outline.setVisible(self._has_field)
        self.caption.setVisible(self._has_field)
