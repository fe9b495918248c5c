"""What the field says at the cross-hair: index, dn with its standard deviation, kappa."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QGridLayout, QWidget

from gui.controls import figure_rows
from gui.picture_channel import PictureChannel
from gui.section import Section
from recon.view_requests import NO_RUN, RequestLine

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from gui.navigator import Navigator
    from gui.planes import Point
    from recon.messages import Picture

VIEW = "cross-hair"
ROWS = {
    "n": "Refractive index",
    "Δn": "Index against the medium's ± standard deviation of its error",
    "κ": "Absorption: imaginary part of the index",
}


class PointPanel(Section):
    """Values of the field itself, not of a picture of it, at the cross-hair of a navigator."""

    picture_wanted = Signal(object)

    def __init__(self, navigator: Navigator, parent: QWidget | None = None) -> None:
        super().__init__("At the cross-hair", "point", parent)
        self._navigator = navigator
        self._medium_index = math.nan
        self._has_field = False
        self._settled = False
        self._channel = PictureChannel(VIEW, self._send)
        table = QGridLayout()
        self.values = figure_rows(table, 0, ROWS, "at the cross-hair")
        self.body.addLayout(table)
        navigator.cursor_moved.connect(self._ask)

    def show_field(self, medium_index: float) -> None:
        """There is a field to ask."""
        self._has_field, self._settled, self._medium_index = True, False, medium_index
        self._channel.forget()
        self._ask()

    def refresh(self) -> None:
        """The field has reached its final state, and how sure it is has been found if it could be."""
        self._settled = True
        self._ask()

    def clear(self) -> None:
        """Forget the field."""
        self._has_field = False
        self._channel.forget()
        for value in self.values.values():
            value.setText("–")
        self.say("")

    def _ask(self) -> None:
        if self._has_field:
            self._channel.ask(self._navigator.cursor_um)

    def _send(self, view: str, request: int, point_um: Point) -> None:
        self.picture_wanted.emit(RequestLine(NO_RUN, view, request, point_um, point_um, 1))

    def show_picture(self, answer: Picture, values: NDArray[np.float32]) -> None:
        """Take the values of a point that was asked for."""
        if (
            answer.view != VIEW
            or not isinstance(answer.asked, RequestLine)
            or not self._channel.answered(answer.request)
        ):
            return
        dn, kappa, sigma = values[:, 0].tolist()
        x, y, z = answer.asked.start_um
        self.say(f"{x:.2f}, {y:.2f}, {z:.2f} µm")
        unknown = "± not known" if self._settled else "± not known yet"
        self.values["n"].setText(f"{self._medium_index + dn:.5f}")
        self.values["Δn"].setText(f"{dn:+.5f} " + (unknown if math.isnan(sigma) else f"± {sigma:.5f}"))
        self.values["κ"].setText(f"{kappa:.6f}")
