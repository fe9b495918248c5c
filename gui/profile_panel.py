"""Line profile: dn or kappa along a line drawn on any slice, asked from the field, with its uncertainty as a band."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QWidget

from gui import theme
from gui.controls import push_button
from gui.drawn_mark import DrawnMark, line_corners, line_item
from gui.picture_channel import PictureChannel
from gui.quiet_plot import QuietPlot
from gui.section import Section
from recon.view_requests import NO_RUN, CloseView, RequestLine

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gui.planes import Point
    from gui.slice_view import SliceView
    from recon.messages import Picture

VIEW = "line profile"
POINTS = 400
COLUMNS = "distance_um,x_um,y_um,z_um,n,dn,sigma_dn,kappa"


class ProfilePanel(Section):
    """Plot of the values along a line; follows the slice it is drawn on.

    Parameters
    ----------
    views
        Slices on which it can be drawn.
    """

    picture_wanted = Signal(object)

    def __init__(self, views: dict[str, SliceView], parent: QWidget | None = None) -> None:
        super().__init__("Line profile", "profile", parent)
        self._shows_kappa = False
        self._has_field = False
        self._medium_index = math.nan
        self._asked: RequestLine | None = None
        self._values: NDArray[np.float32] | None = None
        self._channel = PictureChannel(VIEW, self._send)
        self._build()
        self.mark = DrawnMark(views, self.draw, line_item, line_corners, self)
        self.mark.changed.connect(self.refresh)
        self._offer()

    def _build(self) -> None:
        self.draw = push_button("Draw", "draw_line", "Drag on any slice; its ends can be dragged later. Key L puts one")
        self.copy = push_button("Copy", "copy_profile", f"Copy as CSV: {COLUMNS}")
        self.copy.clicked.connect(lambda: QGuiApplication.clipboard().setText(self.csv()))
        self.erase = push_button("Remove", "remove_line", "Take the line away")
        self.erase.clicked.connect(lambda: self.mark.remove())
        buttons = QHBoxLayout()
        buttons.setSpacing(6)
        for button in (self.draw, self.copy, self.erase):
            buttons.addWidget(button)
        self.plot = QuietPlot("Values along the line")
        self.plot.setFixedHeight(150)
        self.plot.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.plot.setLabel("bottom", "along the line (µm)")
        self.plot.setLabel("left", "Δn")
        self._edges = [pg.PlotDataItem(pen=None), pg.PlotDataItem(pen=None)]
        self.band = pg.FillBetweenItem(*self._edges)
        self.curve = pg.PlotDataItem()
        for item in (*self._edges, self.band, self.curve):
            self.plot.addItem(item)
        self.body.addLayout(buttons)
        self.body.addWidget(self.plot)
        theme.follow(self._paint)

    def _paint(self) -> None:
        self.band.setBrush(theme.faded(theme.ACCENT, 60))
        self.curve.setPen(pg.mkPen(theme.LIGHT, width=1.5))

    def _offer(self) -> None:
        self.draw.setEnabled(self._has_field)
        self.copy.setEnabled(self._values is not None)
        self.erase.setEnabled(bool(self.mark.corners))
        if not self.mark.corners:
            self.say("")

    # --- a field comes and goes ---------------------------------------------------------------------------------------

    def show_field(self, medium_index: float) -> None:
        """There is a field to ask."""
        self._has_field, self._medium_index = True, medium_index
        self._channel.forget()
        self.refresh()

    def clear(self) -> None:
        """Forget the field; the line stays for the next one."""
        self._has_field = False
        self._channel.forget()
        self._show(None)

    def show_kappa(self, shown: bool) -> None:
        """Plot kappa in place of dn."""
        self._shows_kappa = shown
        self._show(self._values)

    def refresh(self) -> None:
        """Ask for the values where the line is now."""
        ends, frame = self.mark.corners, self.mark.frame()
        if not ends or frame is None:
            self.picture_wanted.emit(CloseView(NO_RUN, VIEW))
            self._channel.forget()
            self._show(None)
        elif self._has_field:
            self._channel.ask((frame.point(*ends[0]), frame.point(*ends[1])))
        self._offer()

    def _send(self, view: str, request: int, ends: tuple[Point, Point]) -> None:
        self.picture_wanted.emit(RequestLine(NO_RUN, view, request, *ends, POINTS))

    def show_picture(self, answer: Picture, values: NDArray[np.float32]) -> None:
        """Take the values of a line that was asked for."""
        if answer.view == VIEW and isinstance(answer.asked, RequestLine) and self._channel.answered(answer.request):
            self._asked = answer.asked
            self._show(values)

    def _show(self, values: NDArray[np.float32] | None) -> None:
        self._values = values
        self._offer()
        if values is None or self._asked is None:
            for item in (*self._edges, self.curve):
                item.setData([], [])
            return
        dn, kappa, sigma = values
        shown = kappa if self._shows_kappa else dn
        spread = np.zeros_like(dn) if self._shows_kappa else np.nan_to_num(sigma)
        distance_um = self._distance_um()
        self.curve.setData(distance_um, shown)
        for edge, sign in zip(self._edges, (-1, 1), strict=True):
            edge.setData(distance_um, shown + sign * spread)
        self.plot.setLabel("left", "κ" if self._shows_kappa else "Δn", color=theme.MUTED)
        known = np.isfinite(sigma).any()
        self.say(f"{distance_um[-1]:.2f} µm, ± σ" if known else "σ not known")

    def _distance_um(self) -> NDArray[np.float64]:
        assert self._asked is not None
        return np.linspace(0.0, math.dist(self._asked.start_um, self._asked.end_um), self._asked.count)

    def csv(self) -> str:
        """The profile as text, one line for each point; sigma is empty where it is not known."""
        if self._values is None or self._asked is None:
            return ""
        points = np.linspace(self._asked.start_um, self._asked.end_um, self._asked.count)
        lines = [COLUMNS]
        for distance, (x, y, z), (dn, kappa, sigma) in zip(
            self._distance_um(), points, self._values.T.tolist(), strict=True
        ):
            known = "" if math.isnan(sigma) else f"{sigma:.6f}"
            lines.append(
                f"{distance:.4f},{x:.4f},{y:.4f},{z:.4f},{self._medium_index + dn:.6f},{dn:.6f},{known},{kappa:.6f}"
            )
        return "\n".join(lines) + "\n"
