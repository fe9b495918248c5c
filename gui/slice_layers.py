"""The pictures of a slice view, one on top of the other, each put at the rectangle it was asked for.

whole    coarse, of the whole box: panning never shows a hole; contrast and histogram are of it
sharp    what the screen shows, at its pixels
sigma    how sure the field is of it, a tint above both
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from PySide6.QtCore import QRectF

from gui.navigation_box import SmoothImage
from gui.picture_channel import PictureChannel

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import pyqtgraph as pg
    from numpy.typing import NDArray

    from gui.planes import Plane
    from recon.messages import Picture


class SliceLayer:
    """One picture of a view: its requests, and the latest answer at its place.

    Parameters
    ----------
    name
        Name of the layer in the messages.
    box
        View box it is painted in.
    depth
        Layers with a higher one lie above.
    send
        Called with name, request number and plane when a request is to go out.
    """

    def __init__(self, name: str, box: pg.ViewBox, depth: int, send: Callable[[str, int, Plane], None]) -> None:
        self.name = name
        self.plane: Plane | None = None
        self.picture: NDArray[np.float32] | None = None
        self._send = send
        self._asked: dict[int, Plane] = {}
        self._channel = PictureChannel(name, self._note)
        self._levels = (0.0, 1.0)
        self.image = SmoothImage()
        self.image.setOpts(axisOrder="row-major")
        self.image.setZValue(depth - 20)
        self.image.hide()
        box.addItem(self.image, ignoreBounds=True)

    def ask(self, plane: Plane | None) -> None:
        """Ask for a picture of a rectangle; None where there is nothing in sight."""
        if plane is not None:
            self._channel.ask(plane)

    def _note(self, name: str, request: int, plane: Plane) -> None:
        self._asked[request] = plane
        self._send(name, request, plane)

    def show_picture(self, answer: Picture, picture: NDArray[np.float32]) -> bool:
        """Put an answer at its place; whether it was shown: not what was forgotten, nor older than what is there."""
        plane = self._asked.get(answer.request)
        if plane is None or not self._channel.answered(answer.request):
            return False
        for request in [older for older in self._asked if older < answer.request]:
            del self._asked[request]
        self.plane, self.picture = plane, picture
        self.image.setImage(picture, autoLevels=False, levels=self._levels)
        self.image.setRect(QRectF(plane.left_um, plane.top_um, plane.width_um, plane.height_um))
        self.image.show()
        return True

    def set_colours(self, levels: tuple[float, float], lookup_table: NDArray[np.uint8]) -> None:
        """Contrast and colours; needs no new picture."""
        self._levels = levels
        self.image.setLookupTable(lookup_table)
        if self.image.image is not None:
            self.image.setLevels(levels)

    def forget(self) -> None:
        """Expect no answer any more; what is shown stays."""
        self._channel.forget()
        self._asked.clear()

    def clear(self) -> None:
        """Forget, and show nothing."""
        self.forget()
        self.plane = self.picture = None
        self.image.hide()

    def value_at(self, a_um: float, b_um: float) -> float:
        """Value of the picture at a point of the slice; NaN beyond its edges."""
        if self.plane is None or self.picture is None:
            return math.nan
        rows, columns = self.picture.shape
        j = math.floor((a_um - self.plane.left_um) / self.plane.width_um * columns)
        i = math.floor((b_um - self.plane.top_um) / self.plane.height_um * rows)
        return float(self.picture[i, j]) if 0 <= i < rows and 0 <= j < columns else math.nan
