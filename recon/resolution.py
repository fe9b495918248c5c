"""How fine a reconstruction is, and what its light could never tell.

Resolution: two volumes from two halves of the LEDs, compared shell by shell in the frequency domain (Fourier shell
correlation),

    FSC = Re sum A conj(B) / sqrt( sum |A|^2  sum |B|^2 )

Where it falls below 1/7, the volume from all LEDs holds as much signal as noise (Rosenthal and Henderson, J. Mol.
Biol. 333, 721 (2003)). It tells what repeats, not what is true: both halves lack the same frequencies, and whatever
forces both alike (dn >= 0, a common start) makes them agree. So the halves are solved in closed form, which is linear.

Missing cone: an LED at u shows, at transverse frequency f, the sample's frequency (f, fz) on a cap of Ewald's sphere,

    fz = sqrt((n0 / wavelength)^2 - |f + u|^2) - sqrt((n0 / wavelength)^2 - |u|^2)       |f + u| <= NA / wavelength

and its mirror image. The caps of all bright-field LEDs never fill a cone about the z axis. Light that comes from beyond
the aperture (dark field) is not counted: it holds no term that is linear in the index.
Frequencies are in cycles per micrometre.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from acquisition.aperture import inside_aperture
from recon.grid import axial_period_um, lateral_period_um
from recon.side_by_side import no_pulse
from recon.tikhonov import solve_tikhonov

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray
    from torch import Tensor

    from acquisition.capture import Optics
    from recon.grid import VolumeGrid

Direction = Literal["all", "lateral", "axial"]

THRESHOLD = 1.0 / 7.0
"""Correlation of two halves at which their sum holds as much signal as noise."""
SIGNIFICANCE = 3.0
"""Standard deviations by which a correlation must exceed that of independent noise to count."""
LATERAL_SECTOR = math.radians(30.0)
"""Largest angle to the focal plane of the frequencies that count as lateral."""
TAPER = 0.125
"""Share of each side of a volume over which it is faded out before its spectrum is taken."""

MAX_LATERAL_CELLS = 48
"""Cells of a coverage map from 0 to the lateral cutoff: a picture needs no more."""
MAX_LATERAL_SAMPLES = 192
"""Places at which each cap is computed, from 0 to the lateral cutoff."""


@dataclass(frozen=True, eq=False)
class ShellCorrelation:
    """How well two volumes agree from coarse to fine.

    Attributes
    ----------
    frequency_per_um
        Centre of each shell, (K,), ascending.
    correlation
        (K,), 1 where they are the same; NaN where a shell is empty.
    resolution_um
        Period at which the correlation falls below the threshold for the first time; None where it is nowhere above.
    never_falls
        Whether it does not fall up to the highest frequency that sampling or light allow, whose period is then given.
    """

    frequency_per_um: NDArray[np.float64]
    correlation: NDArray[np.float64]
    resolution_um: float | None
    never_falls: bool


def shell_correlation(
    first_zyx: NDArray[np.floating],
    second_zyx: NDArray[np.floating],
    voxel_zyx_um: tuple[float, float, float],
    direction: Direction = "all",
    finest_um: float = 0.0,
) -> ShellCorrelation:
    """Correlate two real volumes shell by shell in the frequency domain.

    Parameters
    ----------
    first_zyx, second_zyx
        (Z, Y, X), of the same shape.
    voxel_zyx_um
        Distance of the samples along z, y and x.
    direction
        ``all``: shells of equal |f|. ``lateral``: of these the part within 30 degrees of the focal plane. ``axial``:
        layers of equal |fz|, over all transverse frequencies; a cone about the z axis, as used for other microscopes,
        lies wholly within the missing cone of this one.
    finest_um
        Shortest period that was measured at all. Beyond it, and beyond the sampling limit, nothing is counted: what
        agrees there is the edges of volumes.

    Raises
    ------
    ValueError
        The shapes differ.
    """
    if first_zyx.shape != second_zyx.shape:
        raise ValueError(f"volumes of different shapes: {first_zyx.shape} and {second_zyx.shape}")
    window_zyx = _window(first_zyx.shape)
    a, b = (np.fft.fftn((v - v.mean()) * window_zyx) for v in (first_zyx, second_zyx))
    fz, fy, fx = (
        np.abs(np.fft.fftfreq(count, step)) for count, step in zip(first_zyx.shape, voxel_zyx_um, strict=True)
    )
    lateral_zyx = np.broadcast_to(np.hypot(fy[:, None], fx), first_zyx.shape)
    axial_zyx = np.broadcast_to(fz[:, None, None], first_zyx.shape)
    extents = [count * step for count, step in zip(first_zyx.shape, voxel_zyx_um, strict=True)]
    if direction == "axial":
        radius_zyx, width, nyquist = axial_zyx, 1.0 / extents[0], 0.5 / voxel_zyx_um[0]
    else:
        radius_zyx, width = np.hypot(lateral_zyx, axial_zyx), 1.0 / min(extents[1:])
        nyquist = 0.5 / max(voxel_zyx_um[1:] if direction == "lateral" else voxel_zyx_um)
    highest = min(nyquist, 1.0 / finest_um) if finest_um > 0 else nyquist
    shell_zyx = np.round(radius_zyx / width).astype(np.int64)
    counted = (shell_zyx > 0) & (radius_zyx <= highest * (1 + 1e-9))
    if direction == "lateral":
        counted &= axial_zyx <= math.tan(LATERAL_SECTOR) * lateral_zyx
    shells = shell_zyx[counted]
    length = round(highest / width) + 1

    def total(values_zyx: NDArray[np.floating]) -> NDArray[np.float64]:
        return np.bincount(shells, values_zyx[counted], length)[1:].astype(np.float64)

    power = np.sqrt(total(np.abs(a) ** 2) * total(np.abs(b) ** 2))
    with np.errstate(invalid="ignore"):
        correlation = np.where(power > 0, total((a * b.conj()).real) / power, np.nan)
    # The window makes neighbouring frequencies depend on each other.
    independent = np.mean(window_zyx**2) ** 2 / np.mean(window_zyx**4)
    counts = np.bincount(shells, minlength=length)[1:] * independent
    level = np.maximum(THRESHOLD, SIGNIFICANCE / np.sqrt(np.maximum(counts, 1.0)))
    frequency = width * np.arange(1, length)
    kept = np.isfinite(correlation)
    resolution, never_falls = _crossing(frequency[kept], correlation[kept] - level[kept], highest)
    return ShellCorrelation(frequency, correlation, resolution, never_falls)


def _window(shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Product of windows that fade in and out along each axis, (Z, Y, X)."""
    window = np.ones(())
    for count in shape:
        from_edge = np.minimum(np.arange(count) + 0.5, count - np.arange(count) - 0.5)
        faded = np.clip(from_edge / max(TAPER * count, 1e-9), 0.0, 1.0)
        window = np.multiply.outer(window, 0.5 - 0.5 * np.cos(np.pi * faded))
    return window


def _crossing(frequency: NDArray[np.float64], above: NDArray[np.float64], highest: float) -> tuple[float | None, bool]:
    """Period where `above` first falls below zero after having been above; whether it never falls."""
    risen = np.flatnonzero(above >= 0)
    if len(risen) == 0:
        return None, False
    fallen = np.flatnonzero(above[risen[0] :] < 0)
    if len(fallen) == 0:
        return 1.0 / highest, True
    k = risen[0] + fallen[0]
    share = above[k - 1] / (above[k - 1] - above[k])
    return float(1.0 / (frequency[k - 1] + share * (frequency[k] - frequency[k - 1]))), False


def split_leds(led_na_l2: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Divide LEDs into two halves that each cover all angles.

    LEDs of one half repel each other like equal charges: the halves are swapped LED by LED until none would gain.

    Parameters
    ----------
    led_na_l2
        Directions, (L, 2).

    Returns
    -------
    first, second
        Ascending rows; the first half has the odd one.
    """
    na_l2 = np.asarray(led_na_l2, np.float64)
    count = len(na_l2)
    distance = np.linalg.norm(na_l2[:, None] - na_l2, axis=-1)
    repulsion = 1.0 / (distance + 1e-3)  # LEDs in the same place repel most, but not without limit
    np.fill_diagonal(repulsion, 0.0)
    ring = np.round(np.hypot(*na_l2.T), 2)
    side = np.ones(count)
    side[np.lexsort((np.arctan2(na_l2[:, 1], na_l2[:, 0]), ring))[1::2]] = -1.0
    for _ in range(count**2):
        pressure = side * (repulsion @ side)
        # Change of the energy when an LED of either half goes to the other.
        gain = pressure[:, None] + pressure + 2.0 * repulsion
        gain[side[:, None] == side] = -np.inf
        i, j = np.unravel_index(int(gain.argmax()), gain.shape)
        if gain[i, j] <= 1e-9:
            break
        side[[i, j]] *= -1.0
    return np.flatnonzero(side > 0), np.flatnonzero(side < 0)


@dataclass(frozen=True, eq=False)
class Resolution:
    """Resolution of a reconstruction, by two halves of its LEDs."""

    lateral: ShellCorrelation
    axial: ShellCorrelation


def half_volumes(
    images_pyx: Tensor,
    brightness_pl: Tensor,
    led_na_l2: Tensor,
    grid: VolumeGrid,
    optics: Optics,
    pulse: Callable[[], None] = no_pulse,
) -> tuple[Tensor, Tensor]:
    """Reconstruct two halves of the patterns in closed form.

    Parameters
    ----------
    images_pyx
        I of each pattern relative to the empty field, (P, H, W) float32; gains divided out.
    brightness_pl, led_na_l2, grid, optics, pulse
        As for `recon.tikhonov.solve_tikhonov`. A pattern counts as lit from the middle of its LEDs.

    Returns
    -------
    first, second
        dn + i kappa, (Z, H, W) complex64.
    """
    share_pl = (brightness_pl / brightness_pl.sum(1, keepdim=True)).to(led_na_l2)
    first, second = (
        solve_tikhonov(images_pyx[rows] - 1.0, brightness_pl[rows], led_na_l2, grid, optics, pulse=pulse)
        for rows in map(torch.from_numpy, split_leds((share_pl @ led_na_l2).cpu().numpy()))
    )
    return first, second


def resolution_of(first: Tensor, second: Tensor, grid: VolumeGrid, optics: Optics) -> Resolution:
    """Compare two halves (Z, H, W) complex64, see `half_volumes`, in dn."""
    a, b = first.real.cpu().numpy(), second.real.cpu().numpy()
    voxel_zyx_um = (grid.dz_um, grid.pixel_um, grid.pixel_um)
    return Resolution(
        shell_correlation(a, b, voxel_zyx_um, "lateral", lateral_period_um(optics)),
        shell_correlation(a, b, voxel_zyx_um, "axial", axial_period_um(optics)),
    )


@dataclass(frozen=True, eq=False)
class Coverage:
    """Which of the sample's frequencies a set of LEDs shows.

    Attributes
    ----------
    strength_zyx
        Sum over LEDs of |T|^2 relative to one LED along the axis, (2 M + 1, 2 N + 1, 2 N + 1); zero frequency in the
        middle, symmetric about it.
    fz_per_um, fr_per_um
        Axial frequencies, (2 M + 1,), and transverse ones from the middle outwards, (N + 1,).
    missing_share
        Share of the ball |f| <= 2 NA / wavelength that no LED shows, each cell as thick as the volume's depth allows.
    filled_share
        Share of what this objective could show in the light of bright-field LEDs without number, that these do show.
    """

    strength_zyx: NDArray[np.floating]
    fz_per_um: NDArray[np.floating]
    fr_per_um: NDArray[np.floating]
    missing_share: float
    filled_share: float

    def section(self) -> NDArray[np.floating]:
        """Mean strength over all azimuths, (fz, fr), to be shown: dark about the fz axis is the missing cone."""
        middle = len(self.fr_per_um) - 1
        steps = np.arange(-middle, middle + 1)
        ring = np.round(np.hypot(steps[:, None], steps)).astype(np.int64).ravel()
        count = np.bincount(ring)[: middle + 1]
        rows = [np.bincount(ring, plane.ravel())[: middle + 1] / count for plane in self.strength_zyx]
        return np.stack(rows)

    def section_at(self, azimuth_rad: float, shape: tuple[int, int]) -> NDArray[np.float32]:
        """Strength in one plane through the fz axis, (rows, columns), at the same scale along both.

        Columns go from the negative to the positive end of the transverse frequencies, `azimuth_rad` from x to y; rows
        are axial frequencies.
        """
        rows, columns = shape
        end = float(self.fr_per_um[-1])
        along = end * ((np.arange(columns) + 0.5) / columns * 2.0 - 1.0)
        axial = end * ((np.arange(rows) + 0.5) * 2.0 - rows) / columns
        step, step_z = self.fr_per_um[1], self.fz_per_um[1] - self.fz_per_um[0]
        middle_z, middle, _ = (count // 2 for count in self.strength_zyx.shape)
        places = [
            np.round(along * share / step).astype(np.int64) + middle
            for share in (math.sin(azimuth_rad), math.cos(azimuth_rad))
        ]
        layers = np.round(axial / step_z).astype(np.int64)
        known = np.abs(layers) <= middle_z
        section = np.zeros(shape, np.float32)
        section[known] = self.strength_zyx[layers[known, None] + middle_z, places[0], places[1]]
        return section


def transfer_coverage(led_na_l2: ArrayLike, optics: Optics, grid: VolumeGrid) -> Coverage:
    """Map the frequencies that bright-field LEDs show, by the Born model; LEDs outside the aperture add nothing.

    Parameters
    ----------
    led_na_l2
        Directions, (L, 2).
    optics, grid
        Microscope, and the volume: its size says how far apart two frequencies must be to differ.
    """
    na_l2 = np.asarray(led_na_l2, np.float64)
    wavelength, medium = optics.wavelength_um, optics.medium_index
    pupil, ball = optics.objective_na / wavelength, medium / wavelength
    cutoff = 2.0 * pupil
    planes, rows, columns = grid.shape_zyx
    finest = 1.0 / (min(rows, columns) * grid.pixel_um)
    sample_step = max(finest, cutoff / MAX_LATERAL_SAMPLES)
    step = max(finest, cutoff / MAX_LATERAL_CELLS)
    step_z = 1.0 / (planes * grid.dz_um)
    lateral_cells = math.ceil(cutoff / step)
    axial_cells = math.ceil((ball - math.sqrt(ball**2 - pupil**2)) / step_z) + 1
    shape = (2 * axial_cells + 1, 2 * lateral_cells + 1, 2 * lateral_cells + 1)
    strength = np.zeros(math.prod(shape))

    reach = math.ceil(pupil / sample_step)
    axis = sample_step * np.arange(-reach, reach + 1)
    gx, gy = (g.ravel() for g in np.meshgrid(axis, axis))
    inside = gx**2 + gy**2 <= pupil**2
    gx, gy = gx[inside], gy[inside]
    out_z = np.sqrt(ball**2 - gx**2 - gy**2)
    weight = (ball / out_z) ** 2 * (sample_step / step) ** 2
    for ux, uy in na_l2[inside_aperture(na_l2, optics.objective_na)] / wavelength:
        fz = out_z - math.sqrt(ball**2 - ux**2 - uy**2)
        places = [
            np.round(f / size).astype(np.int64) + middle
            for f, size, middle in zip((fz, gy - uy, gx - ux), (step_z, step, step), np.array(shape) // 2, strict=True)
        ]
        strength += np.bincount(np.ravel_multi_index(places, shape), weight, len(strength))
    strength_zyx = strength.reshape(shape)
    strength_zyx = strength_zyx + strength_zyx[::-1, ::-1, ::-1]

    fz = step_z * np.arange(-axial_cells, axial_cells + 1)
    f = step * np.arange(-lateral_cells, lateral_cells + 1)
    fr_yx = np.hypot(f[:, None], f)
    cell = step**2 * step_z
    seen = strength_zyx > 0
    in_ball = fr_yx**2 + fz[:, None, None] ** 2 <= cutoff**2
    reachable = np.abs(fz)[:, None, None] <= _highest_fz(fr_yx, optics)
    missing = 1.0 - float((seen & in_ball).sum()) * cell / (4.0 / 3.0 * math.pi * cutoff**3)
    filled = float((seen & reachable).sum() / reachable.sum())
    return Coverage(strength_zyx, fz, f[lateral_cells:], missing, filled)


def _highest_fz(fr_per_um: NDArray[np.floating], optics: Optics) -> NDArray[np.floating]:
    """Highest axial frequency that any bright-field LED shows at a transverse one; negative beyond the cutoff."""
    pupil, ball = optics.objective_na / optics.wavelength_um, optics.medium_index / optics.wavelength_um
    lowest_out = np.minimum(np.abs(pupil - fr_per_um), ball)
    highest = np.sqrt(ball**2 - lowest_out**2) - math.sqrt(ball**2 - pupil**2)
    return np.where(fr_per_um <= 2.0 * pupil, highest, -1.0)
