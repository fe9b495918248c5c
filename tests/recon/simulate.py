"""Small captures by the simulator's own optics: finer slices than any reconstruction, camera noise, uneven LEDs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from acquisition.capture import Calibration, CaptureHeader, CaptureWriter, Frame, Optics
from acquisition.simulated.bodies import Body, Phantom, volume_zyx
from acquisition.simulated.optics import AngledImager
from acquisition.simulated.phantoms import make_phantom
from acquisition.simulated.sensor import Sensor

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SHORT_WAVES = Optics(
    wavelength_um=0.515, objective_na=0.65, magnification=40, camera_pixel_um=6.5, pixel_um=0.1625, medium_index=1.33,
    camera_offset=100, camera_gain_e=2.0, bit_depth=16,
)  # fmt: skip
LONG_WAVES = Optics(
    wavelength_um=0.63, objective_na=0.25, magnification=10, camera_pixel_um=6.5, pixel_um=0.65, medium_index=1.33
)
DEPTH_UM = (-3.0, 3.0)


def rings(*rings_na: tuple[int, float]) -> NDArray[np.float64]:
    """Directions of LEDs on rings of (count, NA)."""
    return np.concatenate(
        [
            na * np.stack([np.cos(angle), np.sin(angle)], -1)
            for count, na in rings_na
            for angle in [0.3 + 2 * np.pi * np.arange(count) / count]
        ]
    )


RING_NA = rings((1, 0.0), (6, 0.3), (12, 0.6))


def bead(radius_um: float, dn: complex, centre_um: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Phantom:
    """One homogeneous sphere."""
    return Phantom("bead", (Body(np.array(centre_um), np.eye(3), np.full(3, radius_um), dn),))


def make_header(
    optics: Optics,
    led_na_l2: NDArray[np.float64],
    shape: tuple[int, int],
    patterns_pl: NDArray[np.float32] | None = None,
    z_um: tuple[float, float] | None = DEPTH_UM,
) -> CaptureHeader:
    """Head of a capture; without patterns: one LED after the other."""
    leds = len(led_na_l2)
    return CaptureHeader(
        optics=optics,
        led_position_mm_l3=np.column_stack([-60 * led_na_l2, np.full(leds, 60.0)]),
        led_na_l2=np.asarray(led_na_l2, np.float64),
        patterns_pl=np.eye(leds, dtype=np.float32) if patterns_pl is None else patterns_pl,
        image_shape=shape,
        sample_z_um=z_um,
    )


@dataclass(frozen=True, eq=False)
class Shot:
    """A capture in memory: its head, the counts of each pattern (P, H, W) uint16, and the sample it shows."""

    header: CaptureHeader
    counts_pyx: NDArray[np.uint16]
    phantom: Phantom

    def truth(self, z_um: NDArray[np.float64]) -> NDArray[np.complex64]:
        """dn + i kappa on the capture's pixels and the given planes."""
        return volume_zyx(self.phantom, z_um, self.header.image_shape, self.header.optics.pixel_um)

    def led_na_replaced(self, led_na_l2: NDArray[np.float64]) -> Shot:
        """The same images, with another belief about the board."""
        return Shot(replace(self.header, led_na_l2=led_na_l2), self.counts_pyx, self.phantom)

    @property
    def calibration(self) -> Calibration:
        """What the head says of the LEDs, as if it had been found by calibration."""
        ones = np.ones(len(self.header.led_na_l2))
        return Calibration(self.header.led_na_l2, ones, self.header.optics.objective_na, 0.0, "told")

    def write(
        self, path: Path, status: str = "complete", patterns: list[int] | None = None, *, calibrated: bool = False
    ) -> Path:
        """Write a capture file, of some patterns only where told; calibrated: nobody need ask where the LEDs are."""
        with CaptureWriter(path, self.header) as writer:
            for index, pattern in enumerate(range(len(self.counts_pyx)) if patterns is None else patterns):
                writer.write_frame(Frame(index, pattern, self.counts_pyx[pattern], 10.0))
            if calibrated:
                writer.write_calibration(self.calibration)
            writer.finish(status)
        return path


def photograph(
    phantom: Phantom | str,
    dn_max: float = 0.02,
    optics: Optics = SHORT_WAVES,
    led_na_l2: NDArray[np.float64] = RING_NA,
    shape: tuple[int, int] = (64, 64),
    patterns_pl: NDArray[np.float32] | None = None,
    z_um: tuple[float, float] = DEPTH_UM,
    electrons: float = 40000.0,
    seed: int = 0,
) -> Shot:
    """Take the images of a phantom, with shot and read noise and LEDs that differ by 2 %."""
    header = make_header(optics, led_na_l2, shape, patterns_pl, z_um)
    if isinstance(phantom, str):
        size_um = (shape[1] * optics.pixel_um, shape[0] * optics.pixel_um)
        phantom = make_phantom(phantom, seed, dn_max, size_um, z_um)
    imager = AngledImager.of_phantom(phantom, optics, shape, z_um)
    rng = np.random.default_rng(seed)
    gain_l = 1 + 0.02 * rng.standard_normal(len(led_na_l2))
    images_lyx = np.stack([gain * imager.intensity(na) for gain, na in zip(gain_l, led_na_l2, strict=True)])
    sensor = Sensor(optics.camera_offset, optics.camera_gain_e or 1.0, optics.bit_depth, 1e6, 2.0)
    counts = [
        sensor.expose((electrons * np.tensordot(row, images_lyx, 1)).astype(np.float32), rng)
        for row in header.patterns_pl
    ]
    return Shot(header, np.stack(counts), phantom)
