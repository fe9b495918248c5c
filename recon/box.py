"""What every reconstructed sample offers, of one field or of many: values anywhere, slices, volumes, images."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray
    from torch import Tensor

    from acquisition.capture import Optics
    from recon.figures import Figures
    from recon.result import History


class Box(ABC):
    """Refractive index n(x, y, z) = n0 + dn + i kappa of a reconstructed box; n0 outside it.

    Coordinates are micrometres: x along image columns, y along rows, z along the light, z = 0 in focus.

    Attributes
    ----------
    optics, history
        The microscope, and how the box came about.
    """

    optics: Optics
    history: History

    @property
    @abstractmethod
    def bounds(self) -> NDArray[np.float64]:
        """Lower and upper corner of the box, x y z, (2, 3) micrometres."""

    @property
    @abstractmethod
    def medium_index(self) -> float:
        """Refractive index around the sample, n0."""

    @property
    @abstractmethod
    def shape_zyx(self) -> tuple[int, int, int]:
        """Planes, rows and columns of the grid on which the box was reconstructed."""

    @property
    @abstractmethod
    def parameter_bytes(self) -> int:
        """Size of all parameters in memory."""

    @abstractmethod
    def at_points(self, points_um: NDArray[np.float64]) -> NDArray[np.complex64]:
        """Evaluate dn + i kappa, (N,), at points inside the box, (N, 3)."""

    @abstractmethod
    def on_axes(self, axes_um: Sequence[NDArray[np.float64]]) -> NDArray[np.complex64]:
        """Evaluate dn + i kappa, (Z, Y, X), on the product of axes x, y and z inside the box."""

    def on_curtain(
        self, path_um: NDArray[np.float64], along_um: NDArray[np.float64], axis: int
    ) -> NDArray[np.complex64]:
        """Evaluate dn + i kappa, (N, M), on lines parallel to an axis through a path (N, 2) on the two others."""
        points = np.empty((len(path_um), len(along_um), 3))
        points[..., [k for k in range(3) if k != axis]] = path_um[:, None]
        points[..., axis] = along_um
        return self.at_points(points.reshape(-1, 3)).reshape(points.shape[:2])

    @property
    def device(self) -> torch.device:
        """Where `dn_on_axes` leaves its values."""
        return torch.device("cpu")

    def dn_on_axes(self, axes_um: Sequence[NDArray[np.float64]]) -> Tensor:
        """Evaluate dn alone, (Z, Y, X), on the product of axes x, y and z inside the box."""
        return torch.from_numpy(np.ascontiguousarray(self.on_axes(axes_um).real))

    @abstractmethod
    def sigma_at_points(self, points_um: NDArray[np.float64]) -> NDArray[np.float32]:
        """Standard deviation of dn, (N,), at points inside the box, (N, 3); NaN where it is not known."""

    @property
    @abstractmethod
    def figures(self) -> Figures | None:
        """Resolution and coverage in numbers; None where they are not known, as before the end of a fit."""

    @abstractmethod
    def intensity(self, na: ArrayLike) -> NDArray[np.float32]:
        """Predict the image that an LED would give, also one that was never lit.

        Parameters
        ----------
        na
            Direction of its light, (na_x, na_y).

        Returns
        -------
        ndarray
            I / I_empty, (H, W) float32, on the capture's pixels.

        Raises
        ------
        OperatorError
            The forward model cannot describe this direction.
        """

    def refractive_index(self, points: ArrayLike) -> NDArray[np.complex64]:
        """Evaluate at any points.

        Parameters
        ----------
        points
            (..., 3) micrometres, x y z.

        Returns
        -------
        ndarray
            (...,) complex64.

        Raises
        ------
        ValueError
            The last axis is not of length 3.
        """
        flat, inside, shape = self._inside(points)
        index = np.full(len(flat), self.medium_index, np.complex64)
        if len(inside):
            index[inside] += self.at_points(flat.take(inside, axis=0))
        return index.reshape(shape)

    def uncertainty(self, points: ArrayLike) -> NDArray[np.float32]:
        """Standard deviation of dn at any points, as `refractive_index`: float32; NaN outside and where not known."""
        flat, inside, shape = self._inside(points)
        sigma = np.full(len(flat), np.nan, np.float32)
        if len(inside):
            sigma[inside] = self.sigma_at_points(flat.take(inside, axis=0))
        return sigma.reshape(shape)

    def _inside(self, points: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.intp], tuple[int, ...]]:
        """(..., 3) points -> (N, 3) points, the rows of those that lie in the box, and the shape (...)."""
        points = np.asarray(points, np.float64)
        if points.ndim == 0 or points.shape[-1] != 3:
            raise ValueError(f"points have shape {points.shape}; the last axis must be x, y, z")
        flat = points.reshape(-1, 3)
        lower, upper = self.bounds
        inside = np.ones(len(flat), np.bool_)
        for places, low, high in zip(flat.T, lower, upper, strict=True):  # several times faster than all three at once
            inside &= (places >= low) & (places <= high)
        return flat, np.flatnonzero(inside), points.shape[:-1]

    def _filled(self, axes_um: Sequence[NDArray[np.float64]]) -> NDArray[np.complex64]:
        """(X,), (Y,), (Z,) coordinates -> dn + i kappa, (Z, Y, X), zero outside the box."""
        inside = [(a >= lo) & (a <= hi) for a, lo, hi in zip(axes_um, *self.bounds, strict=True)]
        result = np.zeros([len(a) for a in axes_um[::-1]], np.complex64)
        if all(part.any() for part in inside):
            kept = [axis[part] for axis, part in zip(axes_um, inside, strict=True)]
            result[np.ix_(*inside[::-1])] = self.on_axes(kept)
        return result

    def _hung(self, path_um: NDArray[np.float64], along_um: NDArray[np.float64], axis: int) -> NDArray[np.complex64]:
        """n on lines parallel to an axis (M,) through a path (N, 3), (N, M), n0 outside the box."""
        across = [k for k in range(3) if k != axis]
        lower, upper = self.bounds
        on_path = ((path_um >= lower) & (path_um <= upper))[:, across].all(axis=1)
        on_axis = (along_um >= lower[axis]) & (along_um <= upper[axis])
        index = np.full((len(path_um), len(along_um)), self.medium_index, np.complex64)
        if on_path.any() and on_axis.any():
            index[np.ix_(on_path, on_axis)] += self.on_curtain(path_um[on_path][:, across], along_um[on_axis], axis)
        return index

    def volume(self, shape: tuple[int, int, int]) -> NDArray[np.complex64]:
        """Sample the box on cell centres.

        Parameters
        ----------
        shape
            Samples along z, y, x.

        Returns
        -------
        ndarray
            n, (Z, Y, X) complex64.
        """
        axes = [
            lo + (np.arange(count) + 0.5) * (hi - lo) / count
            for lo, hi, count in zip(*self.bounds, shape[::-1], strict=True)
        ]
        # Plane by plane: a large volume must not need many times its own memory.
        planes = [self._filled([axes[0], axes[1], axes[2][k : k + 1]]) for k in range(shape[0])]
        return np.concatenate(planes) + np.complex64(self.medium_index)

    def coarse_dn(self) -> NDArray[np.float32]:
        """Sample dn coarsely, (Z, Y, X), for a first contrast."""
        dn_zyx: NDArray[np.float32] = self.volume((16, 64, 64)).real - np.float32(self.medium_index)
        return dn_zyx

    def slice(self, origin: ArrayLike, u: ArrayLike, v: ArrayLike, shape: tuple[int, int]) -> NDArray[np.complex64]:
        """Sample any plane, upright or oblique.

        Parameters
        ----------
        origin
            Corner of the plane, (3,) micrometres, x y z.
        u, v
            Its edges along columns and along rows, (3,) micrometres.
        shape
            Rows and columns. Sample (i, j) lies at origin + (j + 0.5) / columns * u + (i + 0.5) / rows * v.

        Returns
        -------
        ndarray
            n, (rows, columns) complex64; n0 outside the box.
        """
        start, edges = np.asarray(origin, np.float64), (np.asarray(u, np.float64), np.asarray(v, np.float64))
        rows, columns = shape
        along_u, along_v = (np.arange(columns) + 0.5) / columns, (np.arange(rows) + 0.5) / rows
        axis_u, axis_v = (np.flatnonzero(edge) for edge in edges)
        if len(axis_u) == len(axis_v) == 1 and axis_u[0] != axis_v[0]:
            axes = [np.atleast_1d(start[k]) for k in range(3)]
            axes[axis_u[0]] = start[axis_u[0]] + along_u * edges[0][axis_u[0]]
            axes[axis_v[0]] = start[axis_v[0]] + along_v * edges[1][axis_v[0]]
            volume = self._filled(axes)
            # (Z, Y, X) with one axis of length 1 -> (v, u)
            flat = np.moveaxis(volume, [2 - axis_v[0], 2 - axis_u[0]], [0, 1])[..., 0]
            upright: NDArray[np.complex64] = np.ascontiguousarray(flat) + np.complex64(self.medium_index)
            return upright
        for path, hanging, axis in ((0, 1, axis_v), (1, 0, axis_u)):
            if len(axis) == 1 and edges[path][axis[0]] == 0.0:
                walked, along = (along_u, along_v) if path == 0 else (along_v, along_u)
                path_um = start + walked[:, None] * edges[path]
                hung = self._hung(path_um, start[axis[0]] + along * edges[hanging][axis[0]], int(axis[0]))
                return np.ascontiguousarray(hung.T) if path == 0 else hung
        return self.refractive_index(plane_points(origin, u, v, shape))


def plane_points(origin: ArrayLike, u: ArrayLike, v: ArrayLike, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Points of a plane as `Box.slice` samples it, (rows, columns, 3)."""
    along_u, along_v = (np.arange(shape[1]) + 0.5) / shape[1], (np.arange(shape[0]) + 0.5) / shape[0]
    points: NDArray[np.float64] = (
        np.asarray(origin, np.float64)
        + along_v[:, None, None] * np.asarray(v, np.float64)
        + along_u[None, :, None] * np.asarray(u, np.float64)
    )
    return points
