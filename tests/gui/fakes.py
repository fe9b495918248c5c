"""A reconstruction process for tests: answers at once, or when told to, with an analytic field; no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from recon import messages
from recon.shared import share

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

BOUNDS_UM = np.array([[-40.0, -40.0, -15.0], [40.0, 40.0, 15.0]])
MEDIUM_INDEX = 1.33


def dn_at(x: NDArray[Any], y: NDArray[Any], z: NDArray[Any]) -> NDArray[np.float32]:
    """Two smooth cells with a nucleus, and fine structure that only a strong zoom shows."""
    cell = 0.012 / (1 + np.exp(2 * (np.sqrt((x + 6) ** 2 + y**2 + (1.8 * z) ** 2) - 16)))
    nucleus = 0.008 / (1 + np.exp(3 * (np.sqrt((x + 9) ** 2 + (y - 3) ** 2 + (z - 1) ** 2) - 4)))
    other = 0.01 / (1 + np.exp(3 * (np.sqrt((x - 21) ** 2 + (y + 17) ** 2 + (1.5 * (z - 3)) ** 2) - 8)))
    fine = 0.002 * np.exp(-((x - 2) ** 2 + (y + 5) ** 2 + z**2) / 2) * np.cos(6 * x)
    inside = (np.abs(x) <= 40) & (np.abs(y) <= 40) & (np.abs(z) <= 15)
    return np.where(inside, cell + nucleus + other + fine, 0).astype(np.float32)


def picture(request: messages.RequestSlice) -> NDArray[np.float32]:
    """Evaluate the plane of a request at its pixel centres."""
    rows, columns = request.shape
    j = (np.arange(columns) + 0.5) / columns
    i = (np.arange(rows) + 0.5) / rows
    origin, u, v = (np.array(edge) for edge in (request.origin_um, request.u_um, request.v_um))
    points = origin + j[None, :, None] * u + i[:, None, None] * v
    return dn_at(*np.moveaxis(points, -1, 0))


class FakeProcess:
    """Follows `gui.recon_bridge.Process`; `hold` keeps back the pictures until `answer` is called."""

    def __init__(self, on_event: Callable[[messages.Event], None]) -> None:
        self.tell = on_event
        self.is_alive = False
        self.hold = False
        self.calls: list[tuple[Any, ...]] = []
        self.requests: list[messages.RequestSlice] = []
        self.settings: list[messages.FitSettings] = []
        self.runs = 0

    def start(self) -> None:
        self.is_alive = True
        self.tell(messages.Ready("cpu", {"torch": "none"}))

    def stop(self, timeout_s: float) -> None:
        self.is_alive = False

    def _run(self, *call: Any) -> int:
        self.runs += 1
        self.calls.append((*call, self.runs))
        return self.runs

    def start_live(
        self, header: Any, settings: messages.FitSettings, capture_name: str, reference: Any = None
    ) -> int:
        self.settings.append(settings)
        return self._run("start_live", capture_name)

    def start_stored(self, path: str, settings: messages.FitSettings) -> int:
        self.settings.append(settings)
        return self._run("start_stored", path)

    def open_field(self, path: str) -> int:
        return self._run("open_field", path)

    def add_frame(self, run: int, pattern: int, image: NDArray[np.uint16], exposure_ms: float) -> None:
        self.calls.append(("add_frame", pattern, run))

    def frames_done(self, run: int, path: str) -> None:
        self.calls.append(("frames_done", path, run))

    def finish_now(self, run: int) -> None:
        self.calls.append(("finish_now", run))

    def cancel(self, run: int) -> None:
        self.calls.append(("cancel", run))

    def save(self, run: int, path: str) -> None:
        self.calls.append(("save", path, run))

    def send(self, command: messages.Command) -> None:
        if isinstance(command, messages.LookAt):
            self.calls.append(("look_at", command.field_path, command.run))
            self.tell(messages.Looking(command.run, command.field_path, 0.25))
            return
        assert isinstance(command, messages.RequestSlice)
        self.requests.append(command)
        if not self.hold:
            self.answer(command)

    def answer(self, asked: messages.RequestSlice, scale: float = 1.0) -> None:
        """Send the picture a request asked for."""
        shared = share(scale * picture(asked))
        self.tell(
            messages.Picture(asked, shared, step=1)
        )

    def show_field(self, run: int) -> None:
        """Announce the field of a run."""
        self.tell(messages.FieldReady(run, BOUNDS_UM, MEDIUM_INDEX, (0.0, 0.02), (1.0, 4.0)))

    def last(self, view: str) -> messages.RequestSlice:
        """Latest request of a view."""
        return next(asked for asked in reversed(self.requests) if asked.view == view)
