"""What is drawn over the slices, and where they look: the switches and buttons of those actions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtWidgets import QGridLayout, QWidget

from gui.actions import button_for, check_box_for
from gui.section import Section

if TYPE_CHECKING:
    from collections.abc import Mapping

    from PySide6.QtGui import QAction


class MarksPanel(Section):
    """Switches of the marks and buttons that move the view."""

    def __init__(self, act: Mapping[str, QAction], parent: QWidget | None = None) -> None:
        super().__init__("View and marks", "marks", parent)
        grid = QGridLayout()
        grid.setHorizontalSpacing(6)
        grid.setVerticalSpacing(6)
        grid.addWidget(check_box_for(act["cross_hair"]), 0, 0)
        grid.addWidget(check_box_for(act["scale_bar"]), 0, 1)
        whole, centre = button_for(act["reset_view"]), button_for(act["centre"])
        centre.setText("Centre")
        grid.addWidget(check_box_for(act["oblique"]), 1, 0)
        grid.addWidget(whole, 2, 0)
        grid.addWidget(centre, 2, 1)
        self.body.addLayout(grid)
