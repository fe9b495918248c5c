"""Colours for values: lookup tables (256, 3) by name, bent by gamma, and see-through tints (256, 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyqtgraph as pg
from PySide6.QtGui import QColor, QImage, QPixmap

if TYPE_CHECKING:
    from numpy.typing import NDArray

DIVERGING = "blue – red, about 0"
"""Its middle is the medium: levels that go with it lie symmetrically about zero."""
STRONGEST_TINT = 0.8


def colour_maps() -> dict[str, NDArray[np.uint8]]:
    """Lookup tables (256, 3) by name."""
    grey = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    tables = {"grey": grey, "grey, inverted": grey[::-1].copy()}
    for name in ("inferno", "magma", "viridis", "cividis"):
        tables[name] = np.asarray(pg.colormap.get(name).getLookupTable(nPts=256)[:, :3], dtype=np.uint8)
    tables[DIVERGING] = _diverging()
    return tables


def _diverging() -> NDArray[np.uint8]:
    """Dark in the middle, so that the medium is as dark as in the others; both arms as bright as each other."""
    share = np.linspace(-1.0, 1.0, 256)[:, None]
    blue, red, pale = np.array([[70, 150, 255], [255, 95, 60], [255, 245, 235]])
    arm = np.where(share < 0, blue, red)
    size = np.abs(share)
    colours = np.where(size < 0.6, arm * (size / 0.6), arm + (pale - arm) * (size - 0.6) / 0.4 * 0.7)
    table: NDArray[np.uint8] = np.clip(np.round(colours), 0, 255).astype(np.uint8)
    return table


def bent(table: NDArray[np.uint8], gamma: float, about_middle: bool) -> NDArray[np.uint8]:
    """Table whose place `share` ** gamma stands where `share` did: a gamma below 1 opens up what is dark."""
    share = np.linspace(0.0, 1.0, len(table))
    if about_middle:
        signed = 2.0 * share - 1.0
        place = 0.5 + 0.5 * np.sign(signed) * np.abs(signed) ** gamma
    else:
        place = share**gamma
    return table[np.round(place * (len(table) - 1)).astype(np.int64)]


def tint(colour: str) -> NDArray[np.uint8]:
    """Table (256, 4) of one colour, from invisible to nearly opaque."""
    chosen = QColor(colour)
    table = np.empty((256, 4), np.uint8)
    table[:, :3] = chosen.red(), chosen.green(), chosen.blue()
    table[:, 3] = np.round(np.linspace(0.0, 255.0 * STRONGEST_TINT, 256))
    return table


def bar_of(table: NDArray[np.uint8]) -> QPixmap:
    """Picture of a table, one pixel high."""
    row = np.ascontiguousarray(table)
    form = QImage.Format.Format_RGB888 if row.shape[1] == 3 else QImage.Format.Format_RGBA8888
    return QPixmap.fromImage(QImage(row.tobytes(), len(row), 1, row.shape[1] * len(row), form))
