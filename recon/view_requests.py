"""What a view may ask the reconstruction process for; `recon.messages.Picture` answers it.

Small frozen dataclasses, each with the run and the view it belongs to and a number. `recon.pictures` paints them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from recon.scene import Quality, Scene

IndexPart = Literal["dn", "kappa", "sigma"]
"""``sigma`` is the standard deviation of dn: NaN outside the box and where it is not known, as while fitting."""

NO_PATTERN = -1
"""Stands for light that is no row of a capture's patterns."""

NO_RUN = 0
"""Stands in a request until it is known whose run it belongs to; runs are numbered from 1."""


@dataclass(frozen=True)
class RequestSlice:
    """A picture of a plane: float32 (rows, columns).

    Each view shows one picture: a newer request of the same `view` replaces an older one that still waits. While the
    field is being fitted the process answers again, unasked, whenever the field has changed and the view budget allows.
    That holds for all requests of pictures.

    The plane is spanned from its corner `origin_um` by the edges `u_um` (columns) and `v_um` (rows); pixel (i, j) of
    `shape` (rows, columns) is evaluated at origin + (j + 0.5) / columns * u + (i + 0.5) / rows * v.
    """

    run: int
    view: str
    request: int
    origin_um: tuple[float, float, float]
    u_um: tuple[float, float, float]
    v_um: tuple[float, float, float]
    shape: tuple[int, int]
    part: IndexPart = "dn"


@dataclass(frozen=True)
class RequestVolume:
    """A picture of the volume, (rows, columns): float32 values, or uint8 colours (rows, columns, 4) on nothing.

    Red, green and blue of colours are already multiplied by the opacity, the fourth. ``moving`` is for a camera that
    moves: fast and from a coarse copy of the field; ``rest`` evaluates the field itself along the rays.
    """

    run: int
    view: str
    request: int
    scene: Scene
    shape: tuple[int, int]
    quality: Quality = "rest"


@dataclass(frozen=True)
class RequestLight:
    """The image in the light of one pattern or from one direction: float32 (3, H, W): predicted, measured, residual.

    All are relative to the empty field, or where that is not known, and in dark field, to their own mean. The residual
    is predicted less measured. What there is not is NaN: the measured image of a direction that was never lit, or the
    predicted one of a direction that the forward model cannot describe (`Lights.largest_na`).

    Attributes
    ----------
    pattern
        Row of the capture's patterns; `NO_PATTERN`: light from the direction `na` alone.
    na
        Direction (na_x, na_y) of light that is no pattern.
    most_pixels
        Longest side of the answer; larger images are averaged over squares of pixels.
    """

    run: int
    view: str
    request: int
    pattern: int
    na: tuple[float, float] = (0.0, 0.0)
    most_pixels: int = 1024


@dataclass(frozen=True)
class RequestLine:
    """Values at `count` points of a straight line, both ends included: float32 (3, count): dn, kappa, sigma.

    A single point is the line's start. Sigma is the standard deviation of dn, see `IndexPart`.
    """

    run: int
    view: str
    request: int
    start_um: tuple[float, float, float]
    end_um: tuple[float, float, float]
    count: int


@dataclass(frozen=True)
class RequestRegion:
    """What a region holds: the vector of a `recon.figures.RegionFigures`.

    `outline_um` holds the corners of a polygon on the plane through `origin_um`, along its unit vectors `across` and
    `down`. It is drawn through the box along the plane's normal; without corners the region is the whole box. Its
    volume is where dn is above `above_dn`.
    """

    run: int
    view: str
    request: int
    origin_um: tuple[float, float, float]
    across: tuple[float, float, float]
    down: tuple[float, float, float]
    outline_um: tuple[tuple[float, float], ...]
    above_dn: float


@dataclass(frozen=True)
class RequestCoverage:
    """How strongly the LEDs show the sample's frequencies, 0 where none does: float32 (rows, columns).

    A section of the frequency domain through the axis of the light, at `azimuth_deg` from x to y. Columns go from the
    negative to the positive lateral cutoff, rows (axial frequencies, negative above) at the same scale.
    """

    run: int
    view: str
    request: int
    azimuth_deg: float
    shape: tuple[int, int]


@dataclass(frozen=True)
class RequestFigures:
    """Resolution and coverage in numbers: the vector of a `recon.figures.Figures`, empty while they are not known."""

    run: int
    view: str
    request: int


PictureRequest = (
    RequestSlice | RequestVolume | RequestLight | RequestLine | RequestRegion | RequestCoverage | RequestFigures
)


@dataclass(frozen=True)
class CloseView:
    """Nobody looks at this view any more: it is painted again only when a new picture of it is asked for."""

    run: int
    view: str
