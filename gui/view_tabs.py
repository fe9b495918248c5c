"""The stage of the volume: slices and other ways to look at the field, one at a time, each with its controls."""

from __future__ import annotations

from PySide6.QtWidgets import QTabWidget, QWidget

from gui.section import Column


class ViewTabs(QTabWidget):
    """Tabs; `controls` holds the sections that belong to the tab in front, for the column of the task."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("views")
        self.setAccessibleName("Ways to look at the volume")
        self.setDocumentMode(True)
        self.setTabBarAutoHide(True)
        self.tabBar().setAccessibleName("Ways to look at the volume")
        self.controls = Column("view_controls")
        self._controls_of: list[tuple[QWidget, ...]] = []
        self.currentChanged.connect(self._show_controls)

    def add(self, title: str, panel: QWidget, *controls: QWidget) -> None:
        """Add a way to look at the field, and what controls it."""
        for section in controls:
            section.setParent(self.controls)
            section.hide()
        self._controls_of.append(controls)
        self.addTab(panel, title)

    def choose(self, title: str) -> None:
        """Bring the tab of that title to the front; an unknown one changes nothing."""
        for index in range(self.count()):
            if self.tabText(index) == title:
                self.setCurrentIndex(index)

    def step(self, by: int) -> None:
        """Go to the next or the previous tab, around the end."""
        self.setCurrentIndex((self.currentIndex() + by) % self.count())

    def _show_controls(self, index: int) -> None:
        self.controls.show_only(self._controls_of[index], fill=False)
