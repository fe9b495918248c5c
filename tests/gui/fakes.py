"""A reconstruction process for tests: answers at once, or when told to, with an analytic field; no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from recon import messages, view_requests
from recon.figures import Figures, RegionFigures
from recon.shared import share

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from gui.main_window import MainWindow

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


SIGMA = 0.001
FIGURES = Figures(0.5, 3.0, False, True, 0.9, 0.8)
REGION = RegionFigures(20.0, 0.01, 0.002, 0.0, 0.02, 0.001, 100.0, 0.009, 0.9, 0.09)


def answer_to(request: view_requests.PictureRequest) -> NDArray[np.float32]:
    """What the reconstruction process would answer, with the same uncertainty everywhere."""
    match request:
        case view_requests.RequestSlice():
            values = picture(request)
            return np.full_like(values, SIGMA) if request.part == "sigma" else values
        case view_requests.RequestLine():
            dn = dn_at(*np.linspace(request.start_um, request.end_um, request.count).T)
            return np.stack([dn, 0 * dn, np.full_like(dn, SIGMA)])
        case view_requests.RequestRegion():
            return REGION.vector()
        case view_requests.RequestCoverage():
            return np.ones(request.shape, np.float32)
        case view_requests.RequestFigures():
            return FIGURES.vector()
        case view_requests.RequestLight():
            return light_picture(request)


def picture(request: view_requests.RequestSlice) -> NDArray[np.float32]:
    """Evaluate the plane of a request at its pixel centres."""
    rows, columns = request.shape
    j = (np.arange(columns) + 0.5) / columns
    i = (np.arange(rows) + 0.5) / rows
    origin, u, v = (np.array(edge) for edge in (request.origin_um, request.u_um, request.v_um))
    points = origin + j[None, :, None] * u + i[:, None, None] * v
    return dn_at(*np.moveaxis(points, -1, 0))


LED_NA = np.array([[0.0, 0.0], [0.2, 0.0], [0.0, 0.2], [-0.2, 0.0], [0.0, -0.2], [0.4, 0.0]])
LIT = np.array([[0, 0], [1, 1], [2, 2], [3, 3], [4, 4]], np.int32)
"""Each LED but the last, of the dark field, is a pattern."""


def lights(run: int, error: float = 0.25, **known: Any) -> messages.Lights:
    """LEDs of which pattern 2 is held out; their errors rise from LED to LED."""
    given: dict[str, Any] = {
        "led_na_l2": LED_NA, "objective_na": 0.3, "largest_na": 0.3, "lit_k2": LIT,
        "error_p": (error + 0.01 * np.arange(5)).astype(np.float32), "held_out": (2,),
    }  # fmt: skip
    return messages.Lights(run, **given | known)


def light_picture(asked: view_requests.RequestLight) -> NDArray[np.float32]:
    """Stripes that tell the pattern or the direction; as measured 0.1 brighter at the left, or never."""
    x = np.arange(40) / 40
    phase = asked.pattern if asked.pattern >= 0 else 10 * asked.na[0] + 5 * asked.na[1]
    predicted = np.broadcast_to(1 + 0.2 * np.sin(12 * x + phase), (30, 40)).astype(np.float32)
    measured = predicted + np.where(x < 0.5, 0.1, 0).astype(np.float32)
    if asked.pattern < 0:
        measured = np.full_like(measured, np.nan)
        if np.hypot(*asked.na) > 0.3:
            predicted = measured
    return np.stack([predicted, measured, predicted - measured])


class FakeProcess:
    """Follows `gui.recon_process.Process`; `hold` keeps back the pictures until `answer` is called."""

    def __init__(self, on_event: Callable[[messages.Event], None]) -> None:
        self.tell = on_event
        self.is_alive = False
        self.hold = False
        self.calls: list[tuple[Any, ...]] = []
        self.requests: list[view_requests.RequestSlice] = []
        self.measured: list[view_requests.PictureRequest] = []
        self.forgotten: list[str] = []
        self.light_requests: list[view_requests.RequestLight] = []
        self.view_budgets: list[float] = []
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

    def start_live(self, header: Any, settings: messages.FitSettings, capture_name: str, reference: Any = None) -> int:
        self.settings.append(settings)
        return self._run("start_live", capture_name)

    def start_stored(self, path: str, settings: messages.FitSettings) -> int:
        self.settings.append(settings)
        return self._run("start_stored", path)

    def open_field(self, path: str) -> int:
        return self._run("open_field", path)

    def resume(self, asked: messages.Resume) -> int:
        return self._run("resume", asked.capture_path, asked.live)

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
        if isinstance(command, messages.SetViewBudget):
            self.view_budgets.append(command.fraction)
            return
        if isinstance(command, view_requests.CloseView):
            self.forgotten.append(command.view)
            return
        assert isinstance(command, view_requests.PictureRequest)
        if isinstance(command, view_requests.RequestVolume):
            return  # the volume is painted by tests of its panel
        if isinstance(command, view_requests.RequestSlice):
            self.requests.append(command)
        elif isinstance(command, view_requests.RequestLight):
            self.light_requests.append(command)
        else:
            self.measured.append(command)
        if not self.hold:
            self.answer(command)

    def answer(self, asked: view_requests.PictureRequest, scale: float = 1.0) -> None:
        """Send the picture a request asked for."""
        shared = share(scale * answer_to(asked))
        self.tell(messages.Picture(asked, shared, step=1))

    def show_field(self, run: int) -> None:
        """Announce the field of a run."""
        self.tell(messages.FieldReady(run, BOUNDS_UM, MEDIUM_INDEX, (0.0, 0.02), (1.0, 4.0)))

    def last(self, view: str) -> view_requests.RequestSlice:
        """Latest request of a view."""
        return next(asked for asked in reversed(self.requests) if asked.view == view)


def process_of(window: MainWindow) -> FakeProcess:
    """Return the process behind a window that was made with a fake one."""
    process = window.bridge._process
    assert isinstance(process, FakeProcess)
    return process
