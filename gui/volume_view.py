"""The volume from any side: a picture that follows the hand, sharp when it rests, with box, axes and scale bar.

While the hand moves a small picture of a coarse copy of the field is asked for; 120 ms after it rests one of the field
itself, at first coarse, then twice and four times as fine. A picture is put where its camera saw it, so a late one is
never misplaced when zooming and panning.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import QPointF, QRectF, Qt, QTimer, Signal
from PySide6.QtGui import QColor, QImage, QPainter
from PySide6.QtWidgets import QSizePolicy, QWidget

from gui import theme
from gui.picture_channel import PictureChannel
from gui.volume_marks import VolumeMarks
from recon.scene import COLOURED_MODES, Camera, Scene, camera_of_box, to_rgba
from recon.view_requests import NO_RUN, CloseView, RequestVolume

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PySide6.QtGui import QKeyEvent, QMouseEvent, QPaintEvent, QResizeEvent, QWheelEvent

    from recon.messages import Picture
    from recon.scene import Quaternion

REST_MS = 120
FRAME_MS = 30
MOVING_PX = (160.0, 256.0)
"""Longest side of a picture while the hand moves: as large as comes in time for the next."""
MOVING_S = 0.028
MOST_POINTS = 700_000
"""A larger view is painted coarser than its pixels at rest, too."""
FIRST_SHARPER = 0.25
"""Share of the screen's resolution in the first picture at rest; each next one has twice as much."""
KEY_ANGLE = math.radians(5)
KEY_ZOOM = 1.25
WHEEL_ZOOM = 1.2
CLOSEST_UM_PER_PX = 1e-4
FIRST_LOOK = Camera().spun(0.5).orbited((1.0, 0.0, 0.0), math.radians(-62)).rotation
"""Oblique from the side, z down the screen as in the xz slice."""
UPRIGHT: dict[str, Quaternion] = {
    "xy": Camera().rotation,
    "xz": Camera().orbited((1.0, 0.0, 0.0), math.radians(-90)).rotation,
    "yz": Camera().orbited((0.0, 1.0, 0.0), math.radians(90)).rotation,
}


class VolumeView(QWidget):
    """Shows a scene and lets the hand turn it.

    `picture_wanted(request)` goes to the reconstruction process, the answers come to `show_picture`. `turned` is
    emitted when the camera has moved.
    """

    picture_wanted = Signal(object)
    turned = Signal()
    arrived = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("volume_view")
        self.setAccessibleName("Volume in three dimensions")
        self.setAccessibleDescription(
            "Drag: turn; outside the ball: roll. Right button or Shift and drag: pan. Wheel: zoom. Arrow keys: turn."
            " Home or double click: whole volume."
        )
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(160, 120)
        self.bounds_um: NDArray[np.float64] = np.array([[-50.0, -50.0, -25.0], [50.0, 50.0, 25.0]])
        self.scene = Scene(camera=Camera(FIRST_LOOK))
        self.channel: PictureChannel[RequestVolume] = PictureChannel("volume", self._send)
        self.marks = {"box": True, "axes": True, "scale_bar": True}
        self._has_field = False
        self._whole_um_per_px = 1.0
        self._pristine = True
        self._asked_rest = False
        self._scale = 1.0
        self._moving_px = MOVING_PX[1]
        self._picture: tuple[RequestVolume, NDArray[np.float32] | NDArray[np.uint8]] | None = None
        self._image = QImage()
        self._press: QPointF | None = None
        self._rolls = False
        self._rest = QTimer(self)
        self._rest.setSingleShot(True)
        self._rest.setInterval(REST_MS)
        self._rest.timeout.connect(self.ask_sharp)
        self._spin = QTimer(self)
        self._spin.setInterval(FRAME_MS)
        self._spin.timeout.connect(self._spin_on)
        self.degrees_per_second = 30.0
        theme.follow(self.update)

    # --- a field comes and goes ---------------------------------------------------------------------------------------

    def start(self, bounds_um: NDArray[np.float64]) -> None:
        """A field with this box can be asked from now on; the camera stays if the box is the same."""
        is_new = not np.allclose(bounds_um, self.bounds_um)
        self._has_field = True
        self.bounds_um = np.asarray(bounds_um, dtype=np.float64)
        self.channel.forget()
        if is_new or self._pristine:
            self.reset()
        self.ask_sharp()

    def stop(self) -> None:
        """Ask nothing more; the picture goes."""
        self._has_field = False
        self._rest.stop()
        self.channel.forget()
        self._picture, self._image = None, QImage()
        self.update()

    def show_picture(self, answer: Picture, picture: NDArray[np.float32] | NDArray[np.uint8]) -> None:
        """Show an answer of this view, unless a newer one is there."""
        if not self._has_field or not isinstance(answer.asked, RequestVolume):
            return
        if answer.asked.quality == "moving":
            took_s = max(self.channel.waited_s, 1e-3)
            wanted_px = self._moving_px * min(max(math.sqrt(MOVING_S / took_s), 0.8), 1.1)
            self._moving_px = min(max(wanted_px, MOVING_PX[0]), MOVING_PX[1])
        if not self.channel.answered(answer.request) or answer.asked.scene.mode != self.scene.mode:
            return
        self._picture = (answer.asked, picture)
        self._colour()
        self.arrived.emit()
        if self._asked_rest and answer.asked.quality == "rest" and answer.asked.shape != self._shape(1.0):
            self._ask("rest", 2.0 * self._scale)

    @property
    def values(self) -> NDArray[np.float32] | None:
        """Picture of values that is shown now; None where there is none, or one of colours."""
        return self._picture[1] if self._picture and self._picture[1].ndim == 2 else None  # type: ignore[return-value]

    @property
    def is_sharp(self) -> bool:
        """Whether what is shown is all that the screen can show of the scene."""
        if self._picture is None:
            return False
        asked = self._picture[0]
        wanted = replace(self._request("rest", 1.0, asked.request), run=asked.run)
        if self.scene.mode not in COLOURED_MODES:  # coloured here
            scene = replace(wanted.scene, levels=asked.scene.levels, colours=asked.scene.colours)
            wanted = replace(wanted, scene=scene)
        return asked == wanted

    def set_scene(self, scene: Scene, repaint: bool = True) -> None:
        """Show another scene with the camera there is; `repaint`: it takes a new picture, not only other colours."""
        mode_changed = scene.mode != self.scene.mode
        new = replace(scene, camera=self.scene.camera)
        if new == self.scene:
            return
        self.scene = new
        if mode_changed:
            self._picture, self._image = None, QImage()
        if repaint or self.scene.mode in COLOURED_MODES:
            self._ask_moving()
        else:
            self._colour()

    def _colour(self) -> None:
        if self._picture is not None:
            rgba = np.ascontiguousarray(to_rgba(self._picture[1], self.scene))
            rows, columns = rgba.shape[:2]
            image = QImage(rgba.tobytes(), columns, rows, 4 * columns, QImage.Format.Format_RGBA8888_Premultiplied)
            self._image = image.copy()  # of its own memory
        self.update()

    # --- camera -------------------------------------------------------------------------------------------------------

    @property
    def zoom(self) -> float:
        """Magnification against the view of the whole box."""
        return self._whole_um_per_px / self.scene.camera.um_per_px

    def reset(self) -> None:
        """Show the whole box, as at first."""
        self.look_from(FIRST_LOOK)

    def look_from(self, rotation: Quaternion) -> None:
        """Show the whole box from a side."""
        camera = camera_of_box(self.bounds_um, (max(1, self.height()), max(1, self.width())), rotation)
        self._whole_um_per_px = camera.um_per_px
        self.stand_at(camera)
        self._pristine = True

    def zoom_by(self, factor: float, at: QPointF | None = None) -> None:
        """Magnify about a place of the widget, or about its middle."""
        camera = self.scene.camera
        closest, farthest = camera.um_per_px / CLOSEST_UM_PER_PX, camera.um_per_px / (4.0 * self._whole_um_per_px)
        factor = min(max(factor, farthest), closest)
        right, down = (at.x() - 0.5 * self.width(), at.y() - 0.5 * self.height()) if at else (0.0, 0.0)
        self.stand_at(camera.zoomed(factor, right, down))

    @property
    def shows_whole(self) -> bool:
        """Whether the whole box is in sight, and kept there when the window changes its size."""
        return self._pristine

    def stand_at(self, camera: Camera) -> None:
        """Stand somewhere else."""
        self.scene = replace(self.scene, camera=camera)
        self._pristine = False
        self._ask_moving()
        self.update()
        self.turned.emit()

    @property
    def spinning(self) -> bool:
        """Whether the sample turns by itself."""
        return self._spin.isActive()

    def set_spinning(self, on: bool) -> None:
        """Turn like a top, or stop."""
        if on:
            self._spin.start()
        else:
            self._spin.stop()

    def _spin_on(self) -> None:
        if self._has_field and self.isVisible():
            self.stand_at(self.scene.camera.spun(math.radians(self.degrees_per_second) * FRAME_MS / 1000.0))

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Begin to turn, roll or pan."""
        self._press = event.position()
        away = self._from_middle(event.position())
        self._rolls = math.hypot(*away) > 0.48 * min(self.width(), self.height())

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Turn the sample with the left button, roll it beside the ball, pan with the right or middle one or Shift."""
        if self._press is None:
            return
        before, here = self._press, event.position()
        self._press = here
        moved = here - before
        camera = self.scene.camera
        pans = event.buttons() & (Qt.MouseButton.RightButton | Qt.MouseButton.MiddleButton)
        if pans or event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
            self.stand_at(camera.panned(moved.x(), moved.y()))
        elif self._rolls:
            (x0, y0), (x1, y1) = self._from_middle(before), self._from_middle(here)
            self.stand_at(camera.orbited((0.0, 0.0, 1.0), math.atan2(y1, x1) - math.atan2(y0, x0)))
        elif moved.manhattanLength() > 0:
            angle = math.hypot(moved.x(), moved.y()) / (0.45 * min(self.width(), self.height()))
            self.stand_at(camera.orbited((moved.y(), -moved.x(), 0.0), angle))

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Let go."""
        del event
        self._press = None

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Show the whole box."""
        del event
        self.reset()

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Zoom about the mouse."""
        self.zoom_by(WHEEL_ZOOM ** (event.angleDelta().y() / 120.0), event.position())
        event.accept()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrow keys turn, with Shift they pan; plus and minus zoom, Home shows the whole box."""
        right, down = {
            Qt.Key.Key_Left: (-1, 0), Qt.Key.Key_Right: (1, 0), Qt.Key.Key_Up: (0, -1), Qt.Key.Key_Down: (0, 1),
        }.get(event.key(), (0, 0))  # type: ignore[call-overload]  # fmt: skip
        if (right or down) and event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
            self.stand_at(self.scene.camera.panned(0.1 * right * self.width(), 0.1 * down * self.height()))
        elif right or down:
            self.stand_at(self.scene.camera.orbited((float(down), float(-right), 0.0), KEY_ANGLE))
        elif event.key() in (Qt.Key.Key_Plus, Qt.Key.Key_Equal):
            self.zoom_by(KEY_ZOOM)
        elif event.key() == Qt.Key.Key_Minus:
            self.zoom_by(1.0 / KEY_ZOOM)
        elif event.key() == Qt.Key.Key_Home:
            self.reset()
        else:
            super().keyPressEvent(event)

    def _from_middle(self, at: QPointF) -> tuple[float, float]:
        return at.x() - 0.5 * self.width(), at.y() - 0.5 * self.height()

    # --- pictures -----------------------------------------------------------------------------------------------------

    def _shape(self, scale: float) -> tuple[int, int]:
        """Rows and columns of a picture at a share of the screen's resolution."""
        ratio = self.devicePixelRatioF()
        rows, columns = self.height() * ratio * scale, self.width() * ratio * scale
        shrink = min(1.0, math.sqrt(MOST_POINTS / max(1.0, rows * columns)))
        return max(2, round(rows * shrink)), max(2, round(columns * shrink))

    def _request(self, quality: str, scale: float, number: int) -> RequestVolume:
        shape = self._shape(scale)
        camera = self.scene.camera
        scene = replace(self.scene, camera=replace(camera, um_per_px=camera.um_per_px * self.width() / shape[1]))
        return RequestVolume(NO_RUN, "volume", number, scene, shape, quality)  # type: ignore[arg-type]

    def _ask(self, quality: str, scale: float) -> None:
        if not self._has_field or not self.isVisible():
            return
        if self._asked_rest:  # may take seconds: what is asked now ends it
            self.channel.forget()
        self._asked_rest, self._scale = quality == "rest", scale
        self.channel.ask(self._request(quality, scale, 0))

    def _ask_moving(self) -> None:
        self._ask("moving", self._moving_px / max(1, self.width(), self.height()) / self.devicePixelRatioF())
        self._rest.start()

    def ask_sharp(self) -> None:
        """Ask for the picture of a camera that rests."""
        self._ask("rest", FIRST_SHARPER)

    def _send(self, view: str, number: int, wanted: RequestVolume) -> None:
        self.picture_wanted.emit(replace(wanted, view=view, request=number))

    def showEvent(self, event: object) -> None:
        """Ask for what was not painted while nobody looked."""
        super().showEvent(event)  # type: ignore[arg-type]
        self.ask_sharp()

    def hideEvent(self, event: object) -> None:
        """Nobody looks: the fit shall have the time."""
        super().hideEvent(event)  # type: ignore[arg-type]
        self._rest.stop()
        self.channel.forget()
        if self._has_field:
            self.picture_wanted.emit(CloseView(NO_RUN, self.channel.name))

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Show the whole box again as long as nobody has chosen a view."""
        super().resizeEvent(event)
        if self._pristine:
            self.look_from(self.scene.camera.rotation)
        else:
            self._ask_moving()

    # --- painting -----------------------------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        """Draw the picture where its camera saw it, between the hidden and the near edges of the box."""
        del event
        with QPainter(self) as painter:
            painter.setRenderHints(QPainter.RenderHint.SmoothPixmapTransform | QPainter.RenderHint.Antialiasing)
            painter.fillRect(self.rect(), self._background())
            if self._has_field:
                self._draw(painter)

    def _draw(self, painter: QPainter) -> None:
        clouds = self.scene.mode in COLOURED_MODES
        marks = VolumeMarks(painter, self.scene.camera, self.rect(), self._ink(), self.font())
        boxes = [(self.bounds_um, theme.MUTED if clouds else self._ink())] if self.marks["box"] else []
        if boxes and self.scene.crop_um is not None:
            boxes.append((np.array(self.scene.crop_um), theme.ACCENT))
        if clouds:
            marks.draw_boxes(boxes, hidden=True)
        self._draw_picture(painter)
        if not clouds:
            marks.draw_boxes(boxes, hidden=True)
        marks.draw_boxes(boxes, hidden=False)
        if self.marks["scale_bar"]:
            marks.draw_scale_bar()
        if self.marks["axes"]:
            marks.draw_triad()

    def _background(self) -> QColor:
        if self.scene.mode in COLOURED_MODES or self._picture is None:
            return QColor(theme.CANVAS)
        red, green, blue, _ = to_rgba(np.zeros((1, 1), np.float32), self.scene)[0, 0].tolist()
        return QColor(red, green, blue)

    def _ink(self) -> str:
        """Colour that is seen on the background."""
        if self.scene.mode in COLOURED_MODES or self._picture is None:
            return theme.TEXT
        return "black" if self._background().lightness() > 128 else "white"

    def _draw_picture(self, painter: QPainter) -> None:
        if self._picture is None:
            return
        seen = self._picture[0].scene.camera
        scale = seen.um_per_px / self.scene.camera.um_per_px
        right, down, _ = self.scene.camera.project(np.array(seen.centre_um)).tolist()
        width, height = self._image.width() * scale, self._image.height() * scale
        middle = QPointF(0.5 * self.width() + right, 0.5 * self.height() + down)
        painter.drawImage(QRectF(middle.x() - 0.5 * width, middle.y() - 0.5 * height, width, height), self._image)
