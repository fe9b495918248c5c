"""A box with spheres, known exactly: what a three-dimensional view of it must show can be worked out by hand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recon.box import Box
from tests.recon.fields import HISTORY
from tests.recon.simulate import SHORT_WAVES


@dataclass(frozen=True, eq=False)
class Spheres(Box):
    """dn of each sphere, highest where they overlap; `soft_um`: how wide its edge is."""

    centres_um: tuple[tuple[float, float, float], ...] = ((0.0, 0.0, 0.0),)
    radii_um: tuple[float, ...] = (5.0,)
    dn: tuple[float, ...] = (0.02,)
    bounds: np.ndarray = None
    shape_zyx: tuple[int, int, int] = (64, 96, 96)
    soft_um: float = 0.0
    optics = SHORT_WAVES
    history = HISTORY
    medium_index = 1.33
    parameter_bytes = 0
    figures = None

    def _dn(self, x, y, z):
        dn = np.zeros(np.broadcast_shapes(np.shape(x), np.shape(y), np.shape(z)))
        for (cx, cy, cz), radius, value in zip(self.centres_um, self.radii_um, self.dn, strict=True):
            inside = radius - np.sqrt((x - cx) ** 2 + (y - cy) ** 2 + (z - cz) ** 2)
            share = np.clip(0.5 + inside / self.soft_um, 0, 1) if self.soft_um else (inside > 0)
            dn = np.maximum(dn, value * share)
        return dn.astype(np.complex64)

    def at_points(self, points_um):
        return self._dn(*np.moveaxis(points_um, -1, 0))

    def on_axes(self, axes_um):
        x, y, z = axes_um
        for axis, low, high in zip(axes_um, *self.bounds, strict=True):
            assert np.all((axis >= low) & (axis <= high)), "asked for points outside the box"
        return self._dn(x[None, None, :], y[None, :, None], z[:, None, None])

    def sigma_at_points(self, points_um):
        raise NotImplementedError

    def intensity(self, na):
        raise NotImplementedError


def sphere_box(bounds=((-8.0, -9.0, -7.0), (8.0, 7.0, 7.0)), **how):
    return Spheres(bounds=np.array(bounds), **how)
