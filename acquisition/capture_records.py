"""What a capture consists of: the records that travel between instrument, file and reconstruction.

Arrays are named by their axes: n frames, p patterns, l LEDs, z slices, y rows, x columns. Lengths are micrometres in
the object (LED positions: millimetres), images are camera counts as they came. Import these names from
`acquisition.capture`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from acquisition.capture_dark import DarkFrame

CaptureStatus = Literal["running", "complete", "aborted", "failed"]


@dataclass(frozen=True)
class Optics:
    """The optics of a capture, stored as attributes of /entry/optics.

    Attributes
    ----------
    wavelength_um
        Vacuum wavelength.
    objective_na, magnification
        Of the objective; the magnification as it acts in this microscope.
    camera_pixel_um, pixel_um
        Pitch of the pixels (binned where binning is on) on the camera and in the object.
    medium_index
        Refractive index around the sample.
    camera_offset
        Counts without light, subtracted where there is no dark frame.
    camera_gain_e
        Electrons per count; None where nobody knows it.
    bit_depth
        Bits of a camera count.
    """

    wavelength_um: float
    objective_na: float
    magnification: float
    camera_pixel_um: float
    pixel_um: float
    medium_index: float
    camera_offset: float = 0.0
    camera_gain_e: float | None = None
    bit_depth: int = 16


@dataclass(frozen=True, eq=False)
class CaptureHeader:
    """All that is known before the first frame.

    Attributes
    ----------
    led_position_mm_l3
        (L, 3) float64, board frame: x, y, and distance below the sample.
    led_na_l2
        (L, 2) float64, nominal direction of each LED's light, orientation applied.
    patterns_pl
        (P, L) float32, brightness 0 to 1 of each LED in each pattern.
    image_shape
        Rows and columns.
    profile_toml
        Text of the hardware profile.
    sample_z_um
        Top and bottom of where the sample is expected; None if nobody said.
    start_time
        ISO 8601, UTC; empty: the time at which the file is created.
    software
        Program and versions; empty: this one's.
    is_reference
        Whether this is a capture of the empty field, for use with others.
    positions_um
        Where the stage is sent for each position of the experiment, x y z; empty: it stays where it is.
    """

    optics: Optics
    led_position_mm_l3: NDArray[np.float64]
    led_na_l2: NDArray[np.float64]
    patterns_pl: NDArray[np.float32]
    image_shape: tuple[int, int]
    profile_toml: str = ""
    title: str = ""
    sample: str = ""
    operator: str = ""
    sample_z_um: tuple[float, float] | None = None
    start_time: str | None = None
    software: str = ""
    is_reference: bool = False
    positions_um: tuple[tuple[float, float, float], ...] = ()

    def stage_um(self, position: int) -> tuple[float, float, float] | None:
        """Where the stage is sent for a position; None where nobody said."""
        return self.positions_um[position] if position < len(self.positions_um) else None

    def __post_init__(self) -> None:
        """Refuse arrays that do not belong together.

        Raises
        ------
        ValueError
            With the shapes found.
        """
        leds = len(self.led_na_l2)
        shapes = (self.led_position_mm_l3.shape, self.led_na_l2.shape, self.patterns_pl.shape[1:])
        if shapes != ((leds, 3), (leds, 2), (leds,)):
            raise ValueError(f"LED positions, directions and patterns do not belong to the same LEDs: shapes {shapes}")


@dataclass(frozen=True, eq=False)
class Frame:
    """One exposure.

    Attributes
    ----------
    index
        Number in the scan, in order of exposure, dark frames included.
    pattern
        Row of the header's patterns that was lit; -1: a dark frame (goes to `CaptureWriter.write_dark`, averaged).
    image_yx
        (H, W) uint16 camera counts.
    host_time_s
        Start of the exposure, seconds since the scan began.
    saturated_fraction
        Share of the pixels that are full, see `acquisition.capture_saturation`.
    """

    index: int
    pattern: int
    image_yx: NDArray[np.uint16]
    exposure_ms: float
    host_time_s: float = 0.0
    saturated_fraction: float = 0.0
    time_point: int = 0
    position: int = 0


@dataclass(frozen=True, eq=False)
class Calibration:
    """Fitted geometry: led_na_l2 (L, 2), led_gain_l (L,), the objective's NA, the residual and the method's name."""

    led_na_l2: NDArray[np.float64]
    led_gain_l: NDArray[np.float64]
    objective_na: float
    residual: float
    method: str


@dataclass(frozen=True, eq=False)
class Truth:
    """What a simulated capture was made of; reconstruction never reads it.

    `dn_zyx` and `kappa_zyx` (Z, H, W) float32 on the planes `z_um` (Z,); `led_na_l2` (L, 2) where the LEDs really were.
    """

    dn_zyx: NDArray[np.float32]
    kappa_zyx: NDArray[np.float32] | None
    z_um: NDArray[np.float64]
    led_na_l2: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Capture:
    """A capture in memory, whole frames only; named as the datasets of the file; `images_nyx` (N, H, W) uint16.

    `darks` begins with that of the main exposure; `frames_planned` is None where the file does not tell.
    """

    header: CaptureHeader
    status: CaptureStatus
    images_nyx: NDArray[np.uint16]
    pattern_n: NDArray[np.int32]
    exposure_ms_n: NDArray[np.float64]
    host_time_s_n: NDArray[np.float64]
    saturated_fraction_n: NDArray[np.float64]
    time_point_n: NDArray[np.int32]
    position_n: NDArray[np.int32]
    darks: tuple[DarkFrame, ...]
    background_pyx: NDArray[np.float32] | None
    calibration: Calibration | None
    path: Path
    frames_planned: int | None = None

    @property
    def dark_yx(self) -> NDArray[np.float32] | None:
        """(H, W), of the main exposure; None where there is none."""
        return self.darks[0].image_yx if self.darks else None

    def frames(self) -> Iterator[tuple[int, NDArray[np.uint16], float]]:
        """Each frame's row of the patterns, its counts (H, W), and its exposure in milliseconds."""
        yield from zip(self.pattern_n.tolist(), self.images_nyx, self.exposure_ms_n.tolist(), strict=True)
