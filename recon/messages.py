"""What the window and the reconstruction process say to each other.

Small frozen dataclasses over a pipe; arrays larger than a few kilobytes travel as `SharedArray` (see `recon.shared`).
This module imports neither torch nor Qt, so both sides can. Every message that belongs to a reconstruction carries its
`run`: answers that arrive after the run was cancelled or its process replaced are recognised by it and dropped.

    window  ->  process     StartLive AddFrame* FramesDone | StartStored | OpenField      begin a run
                            Resume [AddFrame* FramesDone]                                 go on with a lost one
                            FinishNow Cancel SaveField                                    steer it
                            PictureRequest CloseView (see `recon.view_requests`)          look at it
                            LookAt SetViewBudget
                            Shutdown
    process ->  window      Ready Heartbeat LogLine                                       the process lives
                            Phase FitProgress FieldReady Finished Saved Failed Notice     the run goes on
                            Picture Lights                                                what a request asked for
                            Looking                                                       whose pictures these are
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from recon.view_requests import CloseView, PictureRequest

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from acquisition.capture import CaptureHeader, MatchedReference

ModelName = Literal["auto", "born", "beam", "ssnp"]


@dataclass(frozen=True)
class SharedArray:
    """Name, shape and type of an array handed over in shared memory; the receiver takes it exactly once."""

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class FitSettings:
    """What an operator may choose about a reconstruction. Everything else follows from the data.

    Attributes
    ----------
    model
        Forward model by name; ``auto``: as strong as the sample's scattering asks for.
    max_seconds
        Time limit of the fit, in seconds; the fit also ends by itself when the held-out error no longer falls.
    device
        ``auto``, ``cpu`` or ``cuda``.
    hold_out
        Rows of the capture's patterns that the fit never sees; empty: every ninth pattern is kept for the figure of
        merit.
    z_um
        Top and bottom of the volume, in micrometres from the focal plane; None: as the capture says.
    seed
        Seed of the random numbers.
    tile_pixels
        Side of tiles at most, in pixels, into which larger images are cut; None: as memory asks for.
    time_point, position
        Whose frames of a stored capture the field is made from, numbers from 0 on; None: the first there is.
    start_from
        Field file of the same place at another time from which the fit begins where it is worth it; empty: none.
    """

    model: ModelName = "auto"
    max_seconds: float = 300.0
    device: str = "auto"
    hold_out: tuple[int, ...] = ()
    z_um: tuple[float, float] | None = None
    seed: int = 0
    tile_pixels: int | None = None
    time_point: int | None = None
    position: int | None = None
    start_from: str = ""


# --- window -> process ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StartLive:
    """Begin a run that gets its frames one by one while they are captured; `reference`: the empty field, if any."""

    run: int
    header: CaptureHeader
    settings: FitSettings
    capture_name: str = ""
    reference: MatchedReference | None = None


@dataclass(frozen=True)
class AddFrame:
    """One frame of camera counts, (H, W) uint16. `pattern` is the row of the header's patterns, -1: a dark frame."""

    run: int
    pattern: int
    image: SharedArray | NDArray[Any]
    exposure_ms: float = 0.0


@dataclass(frozen=True)
class FramesDone:
    """No frame of this run will follow; `capture_path` is the finished file, empty where there is none."""

    run: int
    capture_path: str = ""


@dataclass(frozen=True)
class StartStored:
    """Begin a run on a capture file."""

    run: int
    capture_path: str
    settings: FitSettings


@dataclass(frozen=True)
class OpenField:
    """Serve a saved field without fitting."""

    run: int
    field_path: str


@dataclass(frozen=True)
class Resume:
    """Begin a run that goes on where one of a lost process had come to.

    Attributes
    ----------
    checkpoint_path
        What that process has left. Its field is shown at once; where there is none, or it cannot be read, the run
        begins anew.
    capture_path
        The frames on disk; empty: there are none, and the field is all there is.
    settings
        As for a run that begins.
    live
        A scan still writes the capture: its further frames follow as for `StartLive`.
    reference
        As in `StartLive`.
    """

    run: int
    checkpoint_path: str
    capture_path: str
    settings: FitSettings
    live: bool = False
    reference: MatchedReference | None = None


@dataclass(frozen=True)
class FinishNow:
    """Stop fitting and keep the field as it is."""

    run: int


@dataclass(frozen=True)
class Cancel:
    """Stop fitting and discard the run."""

    run: int


@dataclass(frozen=True)
class SaveField:
    """Write the field of the run to a file; answered by `Saved` or `Failed`."""

    run: int
    field_path: str


@dataclass(frozen=True)
class LookAt:
    """Paint the views of this run from another field, while the run goes on; answered by `Looking` or `Failed`.

    `field_path` is a file, or empty for the run's own field again. `next_path`, if any, is read when there is time:
    the one that is likely to be asked for next.
    """

    run: int
    field_path: str
    next_path: str = ""


@dataclass(frozen=True)
class SetViewBudget:
    """Share of the fitting time that pictures may take, 0.05 to 0.9."""

    fraction: float


@dataclass(frozen=True)
class Shutdown:
    """End the process; it answers nothing and exits with code 0."""


# --- process -> window ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ready:
    """The process has started and takes messages."""

    device: str
    versions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Heartbeat:
    """Sent at least once a second from inside the process's own loop: no heartbeat for some seconds is a hang."""

    time_s: float
    memory_mb: float


@dataclass(frozen=True)
class LogLine:
    """A line of the process's log, for that of the window; `level` as in `logging`."""

    level: int
    source: str
    text: str


@dataclass(frozen=True)
class Phase:
    """What the run is doing now, in the operator's words: 'first volume', 'fitting', 'finished'."""

    run: int
    name: str
    detail: str = ""


@dataclass(frozen=True)
class FitProgress:
    """Where the fit stands."""

    run: int
    step: int
    loss: float
    held_out_error: float | None
    frames_used: int
    elapsed_s: float
    eta_s: float | None
    memory_mb: float


@dataclass(frozen=True)
class FieldReady:
    """There is a field to look at (first volume or opened file); slices may be requested from now on."""

    run: int
    bounds_um: NDArray[np.float64]
    """(2, 3): lower and upper corner, x y z."""
    medium_index: float
    dn_range: tuple[float, float]
    """Smallest and largest dn (1st and 99.9th percentile): a first contrast."""
    resolution_um: tuple[float, float]
    """Lateral and axial optical resolution."""


@dataclass(frozen=True)
class Lights:
    """The light of a run and how well the field explains it; sent with each new volume, now and then, and at the end.

    Attributes
    ----------
    led_na_l2
        Directions of the LEDs as the field has them, (L, 2).
    objective_na, largest_na
        Of the objective; and up to which the forward model in use can predict.
    lit_k2
        Which LED is lit in which pattern: pairs (pattern, LED), (K, 2).
    error_p
        ||predicted - measured|| / ||measured|| of I - 1 for each pattern, (P,); NaN where it is not known.
    held_out
        Patterns that are never fitted.
    told
        Why there are no measured images, in words; empty where there are.
    """

    run: int
    led_na_l2: NDArray[np.float64]
    objective_na: float
    largest_na: float
    lit_k2: NDArray[np.int32]
    error_p: NDArray[np.float32]
    held_out: tuple[int, ...]
    told: str = ""


@dataclass(frozen=True)
class Finished:
    """The fit has ended and its result is kept; the process goes on serving slices of it."""

    run: int
    reason: str
    """converged, time limit, finished by the operator, opened from file"""
    held_out_error: float | None
    elapsed_s: float
    steps: int
    parameter_bytes: int


@dataclass(frozen=True)
class Saved:
    """The field was written."""

    run: int
    field_path: str
    file_bytes: int


@dataclass(frozen=True)
class Looking:
    """Pictures come from this file from now on, empty: from the run's own field; with its held-out error."""

    run: int
    field_path: str
    held_out_error: float | None = None


@dataclass(frozen=True)
class Notice:
    """Something the operator should know, that stops nothing."""

    run: int
    text: str


@dataclass(frozen=True)
class Failed:
    """Something failed; `remedy` says what to do, `detail` is for the log, `ends_run` whether the run is over."""

    run: int
    message: str
    remedy: str
    detail: str = ""
    ends_run: bool = True


@dataclass(frozen=True)
class Picture:
    """The picture that `asked` asked for, and the step of the fit it shows."""

    asked: PictureRequest
    image: SharedArray | NDArray[Any]
    step: int

    @property
    def run(self) -> int:
        """Run of the request."""
        return self.asked.run

    @property
    def view(self) -> str:
        """View of the request."""
        return self.asked.view

    @property
    def request(self) -> int:
        """Number of the request."""
        return self.asked.request


Command = (
    StartLive
    | AddFrame
    | FramesDone
    | StartStored
    | OpenField
    | Resume
    | FinishNow
    | Cancel
    | SaveField
    | LookAt
    | PictureRequest
    | CloseView
    | SetViewBudget
    | Shutdown
)
Event = (
    Ready
    | Heartbeat
    | LogLine
    | Phase
    | FitProgress
    | FieldReady
    | Lights
    | Finished
    | Saved
    | Looking
    | Notice
    | Failed
    | Picture
)
