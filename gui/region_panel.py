"""What a region holds: area, mean index, volume and dry mass, measured by the reconstruction process."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QLabel, QWidget

from gui.controls import choice, figure_rows, number, push_button
from gui.drawn_mark import DrawnMark, outline_corners, outline_item
from gui.picture_channel import PictureChannel
from gui.section import Section
from recon.figures import PROTEIN_ML_G, RegionFigures
from recon.view_requests import NO_RUN, CloseView, RequestRegion

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from gui.slice_view import SliceView
    from recon.messages import FieldReady, Picture

VIEW = "region"
SHAPES = ("rectangle", "ellipse", "polygon")
THRESHOLD_SHARE = 0.1
"""Share of the field's largest dn above which a point first counts as sample."""
WHOLE = ((0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
INCREMENT = (
    "α: Δn for each g/ml. Proteins in water: 0.18 (Barer 1957), 0.19 as the mean of human proteins (Zhao 2011). Δn is"
    " against the medium's index, so the mass is what the sample has beyond the medium"
)
ROWS = {
    "Area": "Of the outline on its slice, as far as it lies in the box",
    "Δn on the slice": "Mean ± standard deviation of the values on that area",
    "lowest, highest": "On that area",
    "σ of the mean": "How sure the mean is. The errors of all points are taken to go the same way, which is the worst"
    " case: the mean of σ",
    "Volume": "Where Δn is above the threshold: the outline drawn through the box along its slice's normal, or the"
    " whole box. 1 fl is 1 µm³",
    "mean Δn": "Of that volume",
    "Dry density": "Mean Δn / α: dry mass beyond the medium's, in each volume",
    "Dry mass": "Integral of Δn over that volume / α. ±: the errors of all points taken to go the same way, which is"
    " the worst case: the integral of σ / α",
}


class RegionPanel(Section):
    """Draws an outline on any slice and tells what is in it; without one, what is in the box.

    Parameters
    ----------
    views
        Slices on which it can be drawn.
    """

    picture_wanted = Signal(object)

    def __init__(self, views: dict[str, SliceView], parent: QWidget | None = None) -> None:
        super().__init__("Region", "region", parent)
        self._has_field = False
        self._found: RegionFigures | None = None
        self._channel = PictureChannel(VIEW, self._send)
        self._build()
        self.mark = DrawnMark(
            views,
            self.draw,
            lambda start, end: outline_item(self.shape.currentText(), start, end),
            outline_corners,
            self,
        )
        self.mark.changed.connect(self.refresh)
        self.draw.setEnabled(False)
        self._tell()

    def _build(self) -> None:
        self.shape = choice(SHAPES, "Shape of the region", "region_shape", "Of the next outline that is drawn")
        self.draw = push_button(
            "Draw", "draw_region", "Drag on any slice; corners can be dragged later. Key R puts one"
        )
        self.erase = push_button("Remove", "remove_region", "Take the outline away: the whole box counts")
        self.erase.clicked.connect(lambda: self.mark.remove())
        buttons = QHBoxLayout()
        buttons.setSpacing(6)
        for widget in (self.shape, self.draw, self.erase):
            buttons.addWidget(widget)
        self.threshold = number(
            0.0, (-1.0, 1.0), 0.0005, 4, "Threshold", "Volume and mass are of the points whose Δn is above it"
        )
        self.threshold.valueChanged.connect(lambda _: self.refresh())
        self.increment = number(PROTEIN_ML_G, (0.05, 0.5), 0.005, 3, "Refraction increment", INCREMENT)
        self.increment.setSuffix(" ml/g")
        self.increment.valueChanged.connect(lambda _: self._tell())
        table = QGridLayout()
        for row, (text, spin) in enumerate((("Δn above", self.threshold), ("α", self.increment))):
            table.addWidget(QLabel(text), row, 0)
            table.addWidget(spin, row, 1)
        self.values = figure_rows(table, 2, ROWS, "of the region")
        self.body.addLayout(buttons)
        self.body.addLayout(table)

    # --- a field comes and goes ---------------------------------------------------------------------------------------

    def show_field(self, ready: FieldReady) -> None:
        """There is a field to measure; a first threshold, unless one was set for a field like it."""
        if not self._has_field:
            self.threshold.blockSignals(True)
            self.threshold.setValue(THRESHOLD_SHARE * ready.dn_range[1])
            self.threshold.blockSignals(False)
        self._has_field = True
        self._channel.forget()
        self.refresh()

    def clear(self) -> None:
        """Forget the field; the outline stays for the next one."""
        self._has_field = False
        self._channel.forget()
        self._found = None
        self.draw.setEnabled(False)
        self._tell()

    def refresh(self) -> None:
        """Measure the region as it is now, while it can be seen."""
        self.draw.setEnabled(self._has_field)
        self.erase.setEnabled(bool(self.mark.corners))
        if self._has_field and self.isVisible():
            self._channel.ask(self.wanted())

    def wanted(self) -> RequestRegion:
        """Region as it is to be measured; run, view and number follow."""
        frame = self.mark.frame()
        place = WHOLE if frame is None else (frame.origin_um, frame.across, frame.down)
        return RequestRegion(NO_RUN, VIEW, 0, *place, self.mark.corners, self.threshold.value())

    def _send(self, view: str, request: int, wanted: RequestRegion) -> None:
        self.picture_wanted.emit(replace(wanted, view=view, request=request))

    def show_picture(self, answer: Picture, vector: NDArray[np.float32]) -> None:
        """Take the figures of a region that was asked for."""
        if answer.view == VIEW and self._channel.answered(answer.request):
            self._found = RegionFigures.of_vector(vector)
            self._tell()

    def showEvent(self, event: object) -> None:
        """Measure what was not measured meanwhile."""
        super().showEvent(event)  # type: ignore[arg-type]
        self.refresh()

    def hideEvent(self, event: object) -> None:
        """Spare the fit a measurement that nobody reads."""
        super().hideEvent(event)  # type: ignore[arg-type]
        self._channel.forget()
        self.picture_wanted.emit(CloseView(NO_RUN, VIEW))

    def _tell(self) -> None:
        found, alpha = self._found, self.increment.value()
        self.say("outlined" if self.mark.corners else "whole box")
        if found is None:
            texts = ["–"] * len(ROWS)
        else:
            mass_pg, sigma_pg = found.dry_mass_pg(alpha)
            sigma = "not known" if math.isnan(found.sigma_mean_dn) else f"{found.sigma_mean_dn:.5f}"
            spread = "± not known" if math.isnan(sigma_pg) else f"± {sigma_pg:.2g}"
            nothing = math.isnan(found.mean_dn)
            texts = [
                "–" if math.isnan(found.area_um2) else f"{found.area_um2:.4g} µm²",
                "–" if nothing else f"{found.mean_dn:+.5f} ± {found.sd_dn:.5f}",
                "–" if nothing else f"{found.lowest_dn:+.5f}, {found.highest_dn:+.5f}",
                "–" if nothing else sigma,
                f"{found.volume_um3:.4g} fl",
                "–" if math.isnan(found.solid_mean_dn) else f"{found.solid_mean_dn:+.5f}",
                "–" if math.isnan(found.solid_mean_dn) else f"{found.solid_mean_dn / alpha:.4g} g/ml",
                f"{mass_pg:.4g} pg {spread}",
            ]
        for label, text in zip(self.values.values(), texts, strict=True):
            label.setText(text)
