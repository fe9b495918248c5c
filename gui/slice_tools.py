"""What belongs to the slices: pages of contrast, measuring and certainty, one at a time, for the column of controls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtWidgets import QTabBar, QVBoxLayout, QWidget

from gui.certainty_panel import CertaintyPanel
from gui.contrast_panel import ContrastPanel
from gui.point_panel import PointPanel
from gui.profile_panel import ProfilePanel
from gui.region_panel import RegionPanel
from gui.section import Column

if TYPE_CHECKING:
    from PySide6.QtGui import QShowEvent

    from gui.navigator import Navigator
    from gui.section import Section
    from gui.slice_view import SliceView


class SliceTools(QWidget):
    """Pages of sections; only that in front asks the reconstruction process for anything.

    Parameters
    ----------
    views, navigator
        The slices they belong to.
    """

    def __init__(self, views: dict[str, SliceView], navigator: Navigator, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("slice_tools")
        self.contrast = ContrastPanel()
        self.point = PointPanel(navigator)
        self.profile = ProfilePanel(views)
        self.region = RegionPanel(views)
        self.certainty = CertaintyPanel()
        self.asking = (self.point, self.profile, self.region, self.certainty)
        self._pages: dict[str, list[Section]] = {
            "View": [self.contrast, self.point],
            "Measure": [self.profile, self.region],
            "Certainty": [self.certainty],
        }
        self.pages = QTabBar()
        self.pages.setAccessibleName("Contrast, measuring and certainty")
        self.pages.setExpanding(True)
        self._column = Column("slice_page")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        layout.addWidget(self.pages)
        layout.addWidget(self._column, 1)
        for title, sections in self._pages.items():
            self.pages.addTab(title)
            for section in sections:
                self._keep(section)
        self.pages.currentChanged.connect(lambda _: self._show_page())
        self._show_page()

    def add(self, page: str, section: Section) -> None:
        """Put a section below those of a page."""
        self._keep(section)
        self._pages[page].append(section)
        self._show_page()

    def show_page(self, title: str) -> None:
        """Bring a page to the front."""
        self.pages.setCurrentIndex(list(self._pages).index(title))

    def showEvent(self, event: QShowEvent) -> None:
        """Take back what another way to look at the field has shown meanwhile: the contrast."""
        super().showEvent(event)
        self._show_page()

    def _keep(self, section: Section) -> None:
        section.setParent(self._column)
        section.hide()

    def _show_page(self) -> None:
        self._column.show_only(self._pages[self.pages.tabText(self.pages.currentIndex())], fill=False)
