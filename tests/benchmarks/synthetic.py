"""A capture of any size, made quickly on any device, for timing and for growth: not for figures of quality.

The images come from the reconstruction's own split-step equations, on planes a quarter of a wavelength apart (several
times finer than any that it uses), with shot noise. The simulator's own optics would be more honest and takes hours at
1024 x 1024; figures of quality are taken on the captures that it or exact Mie scattering made.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import h5py
import numpy as np
import torch

from acquisition.capture import CaptureHeader, CaptureWriter, Frame, Optics
from acquisition.simulated.bodies import volume_zyx
from acquisition.simulated.phantoms import make_phantom
from recon.forward.model import build_model
from recon.grid import VolumeGrid, plane_distance_um

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

OPTICS = Optics(
    wavelength_um=0.515, objective_na=0.65, magnification=40.0, camera_pixel_um=6.5, pixel_um=0.1625, medium_index=1.33,
    camera_offset=100.0, camera_gain_e=4.0, bit_depth=16,
)  # fmt: skip
ELECTRONS = 10000.0
OUTERMOST = 0.92
"""NA of the outermost LED over the objective's."""
BOARD_MM = 60.0
GOLDEN_ANGLE = math.pi * (3.0 - math.sqrt(5.0))


@dataclass(frozen=True)
class Size:
    """Rows and columns of the images, planes of the linear reconstruction, LEDs."""

    rows: int
    columns: int
    planes: int
    leds: int

    @classmethod
    def parse(cls, text: str) -> Size:
        """Read ``1024x1024x41x89``."""
        rows, columns, planes, leds = (int(part) for part in text.split("x"))
        return cls(rows, columns, planes, leds)

    def __str__(self) -> str:
        return f"{self.rows}x{self.columns}x{self.planes}x{self.leds}"

    @property
    def depths_um(self) -> tuple[float, float]:
        """Depths between which the linear reconstruction lays that many planes."""
        half = 0.5 * (self.planes - 1 - 1e-6) * plane_distance_um(OPTICS, resonant=False)
        return -half, half

    def led_na(self) -> NDArray[np.float64]:
        """Directions spread evenly over the objective's aperture, (L, 2)."""
        number = np.arange(self.leds)
        na = OUTERMOST * OPTICS.objective_na * np.sqrt((number + 0.5) / self.leds)
        directions = np.stack([np.cos(GOLDEN_ANGLE * number), np.sin(GOLDEN_ANGLE * number)], -1)
        led_na_l2: NDArray[np.float64] = na[:, None] * directions
        return led_na_l2


def write_synthetic(folder: Path, size: Size, device: torch.device | str = "cpu", dn_max: float = 0.02) -> Path:
    """Write a capture of simulated cells, with its truth, unless it is there already.

    Parameters
    ----------
    folder
        Where to.
    size
        Of the problem.
    device
        Where to compute the images.
    dn_max
        Largest dn of the cells.

    Returns
    -------
    Path
        The file; it stays for the next run.
    """
    path = folder / f"synthetic_{size}.h5"
    if path.exists():
        return path
    shape, depths = (size.rows, size.columns), size.depths_um
    field_um = (size.columns * OPTICS.pixel_um, size.rows * OPTICS.pixel_um)
    phantom = make_phantom("cells", 0, dn_max, field_um, depths)
    fine_um = 0.25 * OPTICS.wavelength_um / OPTICS.medium_index
    planes = math.ceil((depths[1] - depths[0]) / fine_um)
    fine = VolumeGrid((planes, *shape), fine_um, OPTICS.pixel_um, -0.5 * (planes - 1) * fine_um)
    led_na_l2 = size.led_na()
    index_zyx = torch.from_numpy(volume_zyx(phantom, fine.z_um, shape, OPTICS.pixel_um)).to(device)
    model = build_model("ssnp", fine, OPTICS, torch.as_tensor(led_na_l2), device)
    reach = np.linalg.norm(led_na_l2, axis=1)[:, None]
    position_l3 = np.hstack([-BOARD_MM * led_na_l2 / np.sqrt(1.0 - reach**2), np.full((size.leds, 1), BOARD_MM)])
    header = CaptureHeader(
        OPTICS, position_l3, led_na_l2, np.eye(size.leds, dtype=np.float32), shape, title=path.stem, sample="cells",
        sample_z_um=depths,
    )  # fmt: skip
    random = np.random.default_rng(0)
    assert OPTICS.camera_gain_e is not None
    with CaptureWriter(path, header) as writer, torch.no_grad():
        for led in range(size.leds):
            image = model.images(index_zyx, torch.tensor([led], device=device))[0].cpu().numpy()
            electrons = random.poisson(ELECTRONS * np.maximum(image, 0.0))
            counts = np.clip(OPTICS.camera_offset + electrons / OPTICS.camera_gain_e, 0, 2**16 - 1)
            writer.write_frame(Frame(led, led, np.rint(counts).astype(np.uint16), 10.0))
        writer.finish("complete")
    z_um = np.linspace(*depths, size.planes)
    with h5py.File(path, "r+") as file:
        file["truth/dn"] = volume_zyx(phantom, z_um, shape, OPTICS.pixel_um).real
        file["truth/z_um"] = z_um
        file["truth/led_na"] = led_na_l2
    return path
