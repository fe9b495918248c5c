"""The simulated microscope's optics: the image of a refractive-index volume in the light of one LED.

Split-step propagation without the paraxial approximation (SSNP), written for the simulator alone: a reconstruction must
not be tested on its own forward model. The scalar wave equation d2E/dz2 + (laplacian_xy + k0^2 n^2) E = 0 is a
first-order equation in z for the pair (E, dE/dz). Between slices the medium is homogeneous and each transverse
frequency f turns by itself; a slice of thickness dz adds -dz k0^2 (n^2 - n0^2) E to the derivative. Propagation by half
a slice before and after each slice makes the step accurate to second order in dz.

The tilt of the light is factored out: with E = exp(2 pi i u . r) A, all work is on the envelope A, which is periodic on
the crop at any angle; the frequencies that propagate are f + u. At the end the forward-going part is taken back to the
focal plane z = 0 through the pupil, and camera pixels average its intensity. The incident wave has intensity 1, so a
bright-field image of an empty field is 1 everywhere.

Scalar light: against exact Mie scattering of unpolarised light the images of I - 1 are right to about 1 %
(tests/acquisition/test_optics.py). Reflected light and the polarisation are neglected. Periodic: keep the object away
from the rim of the crop by about |z| tan(angle).
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from acquisition.simulated.bodies import Phantom, volume_zyx

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from acquisition.capture import Optics

    Complex64s = NDArray[np.complex64]

_A = TypeVar("_A", bound="NDArray[Any]")

SLICES_PER_WAVE = 5
"""Slices per wavelength in the medium. At two, the stack of slices reflects like a crystal and the steps diverge."""

_KEPT_BYTES = 512e6
_KEPT_SPECTRA_BYTES = 64e6


class AngledImager:
    """Images of one volume at any angle of light.

    Thread-safe; images are kept, so each angle is computed once (0.3 s for 256 x 256 pixels and 12 um on one core), and
    so is the light behind the volume for the latest few angles: other heights of the same volume cost little more.

    Parameters
    ----------
    dn_zyx
        (Z, H * s, W * s) dn + i kappa, means over the voxels.
    z_um
        (Z,) centres of the slices, equally spaced, at most a third of a wavelength in the medium.
    optics
        Wavelength, aperture, medium and object-side pixel.
    oversampling
        s: grid points per camera pixel and axis; their intensities are averaged.

    Raises
    ------
    ValueError
        Slices too thick.
    """

    def __init__(
        self, dn_zyx: NDArray[np.complex64], z_um: NDArray[np.float64], optics: Optics, oversampling: int = 1
    ) -> None:
        self.z_um = z_um
        self._optics = optics
        self._oversampling = oversampling
        self._shape = dn_zyx.shape[1:]
        self._slice_um = float(z_um[1] - z_um[0])
        thickest_um = optics.wavelength_um / (3 * optics.medium_index)
        if self._slice_um > thickest_um:
            raise ValueError(f"slices of {self._slice_um:.3f} um are too thick: at most {thickest_um:.3f} um here")
        k0 = 2 * np.pi / optics.wavelength_um
        index = optics.medium_index
        occupied = np.flatnonzero(np.any(dn_zyx, axis=(1, 2)))
        # Empty slices above and below the object only propagate: they are left to the first and the last step.
        self._first, self._last = (int(occupied[0]), int(occupied[-1]) + 1) if len(occupied) else (0, 0)
        dn_zyx = dn_zyx[self._first : self._last]
        self._kick_zyx = (-self._slice_um * k0**2 * dn_zyx * (2 * index + dn_zyx)).astype(np.complex64)
        step_um = optics.pixel_um / oversampling
        self._fy = np.fft.fftfreq(self._shape[0], step_um)[:, None]
        self._fx = np.fft.fftfreq(self._shape[1], step_um)[None, :]
        self._images: _Kept[NDArray[np.float32]] = _Kept(_KEPT_BYTES)
        self._spectra: _Kept[Complex64s] = _Kept(_KEPT_SPECTRA_BYTES)
        self._lock = threading.Lock()

    @classmethod
    def of_phantom(
        cls,
        phantom: Phantom,
        optics: Optics,
        shape: tuple[int, int],
        z_um: tuple[float, float],
    ) -> AngledImager:
        """Cut a phantom into slices from z_um[0] to z_um[1] for a camera of `shape` (H, W) pixels.

        The lateral grid is made so fine, by a whole factor, that intensities of all that passes the pupil are sampled.
        """
        slice_um = optics.wavelength_um / (SLICES_PER_WAVE * optics.medium_index)
        count = max(2, math.ceil((z_um[1] - z_um[0]) / slice_um))
        edges = np.linspace(z_um[0], z_um[1], count + 1)
        centres = 0.5 * (edges[:-1] + edges[1:])
        # With the tilt factored out the pupil reaches to 2 NA / wavelength; a fifth more keeps aliased light out of it.
        finest_um = optics.wavelength_um / (4.8 * optics.objective_na)
        oversampling = max(1, math.ceil(optics.pixel_um / finest_um))
        dn_zyx = volume_zyx(phantom, centres, shape, optics.pixel_um, oversampling)
        return cls(dn_zyx, centres, optics, oversampling)

    def intensity(self, na: ArrayLike, raised_um: float = 0.0) -> NDArray[np.float32]:
        """Image (H, W) float32 in light of direction na (2,), for incident light of intensity 1; read-only.

        Parameters
        ----------
        na
            Direction of the light.
        raised_um
            How far the whole volume lies above its place, along z.

        Raises
        ------
        ValueError
            The direction does not exist in the medium (|na| >= medium index).
        """
        na_x, na_y = (float(part) for part in np.asarray(na, np.float64))
        size, index = math.hypot(na_x, na_y), self._optics.medium_index
        if size >= index:
            raise ValueError(f"light of NA {size:.3f} does not travel in a medium of index {index}")
        key = (round(na_x, 9), round(na_y, 9), round(raised_um, 3))
        with self._lock:
            image = self._images.get(key)
            if image is None:
                image = self._images.put(key, self._compute(*key))
            return image

    def exit_spectrum(self, na: ArrayLike) -> tuple[Complex64s, NDArray[np.float32]]:
        """Forward-going light behind the last slice, before the pupil.

        Returns
        -------
        spectrum
            (H, W) FFT of the envelope at the exit face, for frequencies f + na / wavelength.
        kz
            (H, W) axial wave number of each, 0 where it does not propagate: its energy flux is kz |spectrum|^2.
        """
        na_x, na_y = (float(part) for part in np.asarray(na, np.float64))
        kz, kz_led = self._axial_wave_numbers(na_x, na_y)
        travels = kz > 0
        over_kz = np.where(travels, 1 / np.where(travels, kz, 1), 0)
        wave = np.zeros(self._shape, np.complex64)
        # Phase of the incident wave where the object begins, so that it has phase 0 at the focal plane.
        wave[0, 0] = wave.size * np.exp(1j * kz_led * self._face_um(self._first))
        slope = (1j * kz * wave).astype(np.complex64)

        full, half = (self._turn(kz, over_kz, travels, part * self._slice_um) for part in (1.0, 0.5))
        last = len(self._kick_zyx) - 1
        for number, kick in enumerate(self._kick_zyx):
            cosine, sine_over_kz, minus_kz_sine = half if number == 0 else full
            wave, slope = cosine * wave + sine_over_kz * slope, minus_kz_sine * wave + cosine * slope
            slope += np.fft.fft2(kick * np.fft.ifft2(wave))
            if number == last:
                cosine, sine_over_kz, minus_kz_sine = half
                wave, slope = cosine * wave + sine_over_kz * slope, minus_kz_sine * wave + cosine * slope
        forward = 0.5 * (wave - 1j * over_kz.astype(np.float32) * slope)
        return forward.astype(np.complex64), kz.astype(np.float32)

    def _compute(self, na_x: float, na_y: float, raised_um: float) -> NDArray[np.float32]:
        spectrum = self._spectra.get((na_x, na_y))
        if spectrum is None:
            spectrum = self._spectra.put((na_x, na_y), self.exit_spectrum((na_x, na_y))[0])
        kz, _ = self._axial_wave_numbers(na_x, na_y)
        radius = self._optics.objective_na / self._optics.wavelength_um
        pupil = self._frequency_squared(na_x, na_y) <= radius**2
        # A plane wave arrives at a raised volume with another phase alone, which no image shows.
        exit_um = self._face_um(self._last) + raised_um
        to_focus = np.where(pupil & (kz > 0), np.exp(-1j * kz * exit_um), 0).astype(np.complex64)
        image = np.abs(np.fft.ifft2(spectrum * to_focus)) ** 2
        s = self._oversampling
        binned: NDArray[np.float32] = image.reshape(image.shape[0] // s, s, -1, s).mean(axis=(1, 3), dtype=np.float32)
        binned.setflags(write=False)
        return binned

    def _face_um(self, slice_number: int) -> float:
        """Height of the upper face of a slice; that of the slice behind the last is the exit face."""
        return float(self.z_um[0]) + (slice_number - 0.5) * self._slice_um

    def _frequency_squared(self, na_x: float, na_y: float) -> NDArray[np.float64]:
        wavelength = self._optics.wavelength_um
        squared: NDArray[np.float64] = (self._fx + na_x / wavelength) ** 2 + (self._fy + na_y / wavelength) ** 2
        return squared

    def _axial_wave_numbers(self, na_x: float, na_y: float) -> tuple[NDArray[np.float64], float]:
        """Axial wave number (H, W) of each frequency, 0 where evanescent, and that of the incident light."""
        squared = (self._optics.medium_index / self._optics.wavelength_um) ** 2 - self._frequency_squared(na_x, na_y)
        kz: NDArray[np.float64] = 2 * np.pi * np.sqrt(np.maximum(squared, 0))
        return kz, float(kz[0, 0])

    @staticmethod
    def _turn(
        kz: NDArray[np.float64], over_kz: NDArray[np.float64], travels: NDArray[np.bool_], distance_um: float
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Propagation of (wave, slope) over a distance in the medium; evanescent frequencies are removed."""
        sine = np.sin(kz * distance_um)
        return (
            np.where(travels, np.cos(kz * distance_um), 0).astype(np.float32),
            (sine * over_kz).astype(np.float32),
            (-kz * sine).astype(np.float32),
        )


class _Kept(Generic[_A]):
    """Arrays by key, up to so many bytes; those not used for longest go first, the latest stays in any case."""

    def __init__(self, limit_bytes: float) -> None:
        self._limit_bytes = limit_bytes
        self._bytes = 0
        self._arrays: OrderedDict[tuple[float, ...], _A] = OrderedDict()

    def get(self, key: tuple[float, ...]) -> _A | None:
        if key in self._arrays:
            self._arrays.move_to_end(key)
        return self._arrays.get(key)

    def put(self, key: tuple[float, ...], array: _A) -> _A:
        self._arrays[key] = array
        self._bytes += array.nbytes
        while self._bytes > self._limit_bytes and len(self._arrays) > 1:
            self._bytes -= self._arrays.popitem(last=False)[1].nbytes
        return array
