"""The linked slices; what belongs to them (contrast, measuring, certainty) stands in the column of controls.

xy is large, with xz below and yz beside it on the same axes, and the oblique slice in the corner.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

import numpy as np
from PySide6.QtCore import QEvent, QObject, Qt, Signal
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QGridLayout, QLabel, QVBoxLayout, QWidget

from gui.export.job import SliceLook
from gui.navigator import OBLIQUE, VIEWS, Navigator
from gui.slice_marks import LEFT_AXIS_PX
from gui.slice_tools import SliceTools
from gui.slice_view import BOTTOM_AXIS_PX, SliceView
from recon.view_requests import NO_RUN, CloseView, RequestSlice

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gui.planes import Plane
    from recon.messages import FieldReady, Picture
    from recon.view_requests import IndexPart

KEY_ZOOM = 1.25
HINT_PX, HINT_MARGIN_PX = 420, 12
PLACES = {"xy": (0, 0), "yz": (0, 1), "xz": (1, 0), OBLIQUE: (1, 1)}
HOW_TO_START = (
    "Connect the instrument and start an acquisition: the volume forms here while the frames come in.\n"
    "Or open a capture (Ctrl+O) or a field (Ctrl+Shift+O)."
)


class SlicesPanel(QWidget):
    """Slices of the field that is being fitted or was opened.

    `picture_wanted(request)` goes to the reconstruction process, its answers come to `show_picture`.
    """

    picture_wanted = Signal(object)
    read_out = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("slices")
        self.setAccessibleName("Slices through the volume")
        self.navigator = Navigator(self)
        self.views = {name: SliceView(name, self.navigator) for name in VIEWS}
        self.tools = SliceTools(self.views, self.navigator)
        self.contrast = self.tools.contrast
        self._medium_index = math.nan
        self._lay_out()
        self.hint = self._empty_hint()
        self._pristine = True
        for view in self.views.values():
            view.picture_wanted.connect(self._forward)
            view.unwanted.connect(lambda name: self.picture_wanted.emit(CloseView(NO_RUN, name)))
            view.hovered.connect(self._tell)
            view.whole_changed.connect(self._take_histogram)
            view.enlarged.connect(lambda view=view: self.enlarge(view.name))
        for part in self.tools.asking:
            part.picture_wanted.connect(self.picture_wanted)
        self.contrast.changed.connect(self._recolour)
        self.contrast.part_changed.connect(self._show_part)
        self.tools.certainty.tint_changed.connect(self._tint)
        self.navigator.moved.connect(self._mark_touched)
        for moved in (self.navigator.cursor_moved, self.navigator.plane_turned):
            moved.connect(self._follow_slices)
        for key, mark in (("L", self.tools.profile.mark), ("R", self.tools.region.mark)):
            shortcut = QShortcut(QKeySequence(key), self)
            shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.activated.connect(mark.put_in_the_middle)
        self._recolour()

    def _lay_out(self) -> None:
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(4)
        for name, place in PLACES.items():
            self._grid.addWidget(self.views[name], *place)
        self._share_space(0.5)

    def _empty_hint(self) -> QWidget:
        """Say what to do while there is nothing to see."""
        hint = QWidget(self.views["xy"])
        hint.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        layout = QVBoxLayout(hint)
        self._hint_title, self._hint_text = QLabel("No volume yet"), QLabel(HOW_TO_START)
        self._hint_title.setProperty("role", "title")
        self._hint_text.setWordWrap(True)
        self._hint_text.setProperty("role", "hint")
        for label in (self._hint_title, self._hint_text):
            label.setAlignment(Qt.AlignmentFlag.AlignCenter)
            layout.addWidget(label)
        self.views["xy"].installEventFilter(self)
        return hint

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Keep the hint in the middle of the xy view, and the whole box in sight until someone moves it."""
        if event.type() == QEvent.Type.Resize and watched is self.views["xy"]:
            self._place_hint()
        return super().eventFilter(watched, event)

    def _place_hint(self) -> None:
        """In the middle of the picture, as high as its words are at this width."""
        view = self.views["xy"]
        width = min(HINT_PX, view.width() - LEFT_AXIS_PX - 2 * HINT_MARGIN_PX)
        height = self.hint.heightForWidth(width)
        left = LEFT_AXIS_PX + (view.width() - LEFT_AXIS_PX - width) // 2
        self.hint.setGeometry(left, (view.height() - BOTTOM_AXIS_PX - height) // 2, width, height)

    def resizeEvent(self, event: object) -> None:
        """Show the whole box again as long as the operator has not chosen a view."""
        super().resizeEvent(event)  # type: ignore[arg-type]
        if self._pristine:
            self.reset_view()

    def _share_space(self, depth_ratio: float) -> None:
        """Give xz and yz room in proportion to the depth of the box, within reason."""
        depth = round(100 * min(0.75, max(0.38, depth_ratio)))
        for stretch in (self._grid.setColumnStretch, self._grid.setRowStretch):
            stretch(0, 100)
            stretch(1, depth)

    # --- a field comes and goes ---------------------------------------------------------------------------------------

    def show_field(self, ready: FieldReady) -> None:
        """Ask for pictures of a new field; the view stays where it is if the box is the same."""
        self.hint.hide()
        self._medium_index = ready.medium_index
        for view in self.views.values():
            view.marks.scale_bar.set_resolution(ready.resolution_um)
        self.contrast.start_with(ready.dn_range)
        if self.navigator.set_box(ready.bounds_um):
            extent = ready.bounds_um[1] - ready.bounds_um[0]
            self._share_space(float(extent[2] / max(extent[0], extent[1])))
            self._grid.activate()
            self.reset_view()
        for view in self.views.values():
            view.start()
        self.tools.point.show_field(ready.medium_index)
        self.tools.profile.show_field(ready.medium_index)
        self.tools.region.show_field(ready)
        self.tools.certainty.show_field(ready)

    def clear(self, expecting: str = "") -> None:
        """Forget the field, as after a run was discarded; `expecting` says what the next one waits for."""
        for view in self.views.values():
            view.stop()
        for part in self.tools.asking:
            part.clear()
        self._hint_title.setText("The volume is on its way" if expecting else "No volume yet")
        self._hint_text.setText(expecting or HOW_TO_START)
        self._place_hint()
        self.hint.show()
        self.read_out.emit("")

    def show_picture(self, answer: Picture, picture: NDArray[np.float32]) -> None:
        """Hand an answer to the view it belongs to."""
        view = self.views.get(answer.view.split(" ", maxsplit=1)[0])
        if view is not None:
            view.show_picture(answer, picture)
        for part in self.tools.asking:
            part.show_picture(answer, picture)

    def refresh(self) -> None:
        """Ask for all pictures again: the field has reached its final state."""
        self._ask_again()
        for part in self.tools.asking:
            part.refresh()

    def _ask_again(self) -> None:
        for view in self.views.values():
            if view.shown_plane() is not None:
                view.start()

    def _forward(self, view: str, request: int, plane: Plane) -> None:
        part = "sigma" if view.endswith(" sigma") else cast("IndexPart", self.contrast.shown_part)
        self.picture_wanted.emit(
            RequestSlice(NO_RUN, view, request, plane.origin_um, plane.u_um, plane.v_um, plane.shape, part)
        )

    @property
    def shows_whole(self) -> bool:
        """Whether the whole box is in sight, and kept there when the window changes its size."""
        return self._pristine

    @property
    def chosen(self) -> str:
        """Name of the view that is alone or was clicked last, at first xy."""
        last = self.focusWidget()
        return last.name if isinstance(last, SliceView) and not last.isHidden() else "xy"

    def seen(self) -> SliceLook | None:
        """What the chosen view shows now, in its colours; None while there is nothing."""
        view = self.views[self.chosen]
        plane = view.visible() if view.shown_plane() is not None else None
        if plane is None:
            return None
        colours, part = np.ascontiguousarray(self.contrast.lookup_table).tobytes(), self.contrast.shown_part
        return SliceLook(
            plane.origin_um, plane.u_um, plane.v_um, plane.shape, colours, cast("IndexPart", part), self.contrast.levels
        )

    # --- view ---------------------------------------------------------------------------------------------------------

    def reset_view(self) -> None:
        """Show the whole box."""
        self.navigator.fit({name: view.size_px() for name, view in self.views.items() if not view.isHidden()})
        self._pristine = True

    def zoom(self, steps: int) -> None:
        """Zoom about the cross-hair by keyboard."""
        self.navigator.zoom_by(KEY_ZOOM**steps, dict(enumerate(self.navigator.cursor_um)))

    def choose_contrast(self) -> None:
        """Levels from the values there are."""
        self.contrast.auto.setChecked(True)

    def centre_on_cursor(self) -> None:
        """Bring the cross-hair to the middle of the views."""
        cursor, centre = self.navigator.cursor_um, self.navigator.centre_um
        self.navigator.pan({axis: cursor[axis] - centre[axis] for axis in range(3)})

    def enlarge(self, name: str) -> None:
        """Give all the room to one view; once more: to all of them again."""
        alone = any(view.isHidden() for view in self.views.values())
        for other, view in self.views.items():
            view.setHidden(not alone and other != name)
        row, column = PLACES[name]
        if not alone:
            self._grid.setRowStretch(1 - row, 0)
            self._grid.setColumnStretch(1 - column, 0)
        else:
            extent = self.navigator.bounds_um[1] - self.navigator.bounds_um[0]
            self._share_space(float(extent[2] / max(extent[0], extent[1])))
        self.views[name].setFocus()

    def set_mark(self, which: str, shown: bool) -> None:
        """Show or hide the ``cross_hair``, the ``scale_bar`` or the trace of the ``oblique`` plane."""
        for view in self.views.values():
            view.marks.set_wanted(which, shown)

    def _mark_touched(self) -> None:
        self._pristine = False

    def _follow_slices(self) -> None:
        """Lines and outlines cut the slice that their view shows now."""
        for tool in (self.tools.profile, self.tools.region):
            if tool.mark.view is not None:
                tool.refresh()

    def _show_part(self) -> None:
        self.tools.profile.show_kappa(self.contrast.shown_part == "kappa")
        self._ask_again()

    def _recolour(self) -> None:
        for view in self.views.values():
            view.set_colours(self.contrast.levels, self.contrast.lookup_table)

    def _tint(self) -> None:
        for view in self.views.values():
            view.set_tint(self.tools.certainty.tint_levels, self.tools.certainty.tint_table)

    def _take_histogram(self) -> None:
        # The oblique slice shows much of what lies beyond the box, and would count the medium there.
        pictures = [view.whole.picture for view in self.views.values() if view.name != OBLIQUE]
        self.contrast.set_pictures([picture for picture in pictures if picture is not None])

    def _tell(self, x: float, y: float, z: float, value: float) -> None:
        place = f"x {x:.2f}   y {y:.2f}   z {z:.2f} µm"
        if math.isnan(value):
            self.read_out.emit(place)
        elif self.contrast.shown_part == "dn":
            self.read_out.emit(f"{place}     Δn {value:+.4f}   n {self._medium_index + value:.4f}")
        else:
            sign = "σ" if self.contrast.shown_part == "sigma" else "κ"
            self.read_out.emit(f"{place}     {sign} {value:+.5f}")
