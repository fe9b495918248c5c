"""Exact images of spheres, from Mie's solution: what the simulator and the reconstruction are both measured against."""

from __future__ import annotations

import miepython
import numpy as np


def mie_intensity(optics, na, radius_um, dn, centre_um, shape, oversampling=1, soft_edge=False):
    """Image of a sphere in unpolarised light, from the exact far field.

    A far field F(s) exp(ikr)/r is the angular spectrum E(f) = 2 pi i F / kz (Weyl); Bohren and Huffman's amplitude
    matrix gives F = (i/k) S E_incident. A lens turns the direction along the meridian of each wave into the radial one.
    The pupil's edge is sharp, or as wide as one bin of the frequencies, as in the reconstruction's models.
    """
    step = optics.pixel_um / oversampling
    rows, columns = (oversampling * n for n in shape)
    wavelength, index = optics.wavelength_um, optics.medium_index
    k = 2 * np.pi * index / wavelength
    u = np.asarray(na) / wavelength
    fx = np.fft.fftfreq(columns, step)[None, :] + u[0] + np.zeros((rows, 1))
    fy = np.fft.fftfreq(rows, step)[:, None] + u[1] + np.zeros((1, columns))
    inside = optics.objective_na / wavelength - np.hypot(fx, fy)
    share = np.clip(inside * step * np.sqrt(rows * columns) + 0.5, 0, 1) if soft_edge else 1.0 * (inside >= 0)
    share[0, 0] = inside[0, 0] >= 0
    passes = share > 0

    def direction(fx, fy):
        s = np.stack([fx, fy, np.zeros_like(fx)], -1) * wavelength / index
        s[..., 2] = np.sqrt(1 - (s**2).sum(-1))
        return s

    def image_axes(s):
        """Unit vectors of each wave that the lens makes radial and azimuthal, each with its place in the image."""
        angle = np.arctan2(s[..., 1], s[..., 0])
        azimuthal = np.stack([-np.sin(angle), np.cos(angle), 0 * angle], -1)
        radial = np.cross(azimuthal, s)
        flat = np.stack([np.cos(angle), np.sin(angle)], -1), np.stack([-np.sin(angle), np.cos(angle)], -1)
        return (radial, azimuthal), flat

    s, s0 = direction(fx[passes], fy[passes]), direction(*u)
    normal = np.cross(s, s0)
    length = np.linalg.norm(normal, axis=-1, keepdims=True)
    fallback = np.cross(s, [0.0, 1.0, 0.0])
    normal = np.where(
        length > 1e-9, normal / np.maximum(length, 1e-30), fallback / np.linalg.norm(fallback, axis=-1, keepdims=True)
    )
    # Of the norms on offer, this one has |S|^2 / k^2 as differential cross-section; its time runs the other way.
    s1, s2 = (part.conj() for part in miepython.S1_S2((index + dn) / index, k * radius_um, s @ s0, norm="wiscombe"))
    kz = k * s[..., 2]
    amplitude = -2 * np.pi / (k * kz) * np.exp(-1j * k * ((s - s0) @ np.asarray(centre_um)))
    first_pixel = (0.5 / oversampling - 0.5 - np.array([shape[1] // 2, shape[0] // 2])) * optics.pixel_um
    amplitude *= np.exp(2j * np.pi * (np.stack([fx[passes], fy[passes]], -1) - u) @ first_pixel) / step**2
    axes, flat = image_axes(s)
    (radial0, azimuthal0), (flat_radial0, flat_azimuthal0) = image_axes(s0)
    total = np.zeros((rows, columns))
    for polarisation, straight in ((radial0, flat_radial0), (azimuthal0, flat_azimuthal0)):
        field = amplitude[:, None] * (
            (s2 * (np.cross(s0, normal) @ polarisation))[:, None] * np.cross(s, normal)
            + (s1 * (normal @ polarisation))[:, None] * normal
        )
        for part in range(2):
            spectrum = np.zeros((rows, columns), complex)
            spectrum[passes] = sum(
                (field * axis).sum(-1) * place[:, part] for axis, place in zip(axes, flat, strict=True)
            )
            spectrum[0, 0] += rows * columns * straight[part]
            total += 0.5 * np.abs(np.fft.ifft2(share * spectrum)) ** 2
    return total.reshape(shape[0], oversampling, shape[1], oversampling).mean(axis=(1, 3))


def relative_error(image, exact):
    return np.linalg.norm(image - exact) / np.linalg.norm(exact - 1)
