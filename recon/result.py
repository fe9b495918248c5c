"""A reconstructed sample: the field with its optics and its history, ready to be looked at from anywhere."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
import torch

from acquisition.errors import OperatorError
from recon.box import Box
from recon.forward.model import build_model
from recon.grid import inner_bounds_um

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray
    from torch import Tensor

    from acquisition.capture import Optics
    from recon.assessment import Assessment
    from recon.field import NeuralField
    from recon.figures import Figures
    from recon.grid import VolumeGrid


@dataclass(frozen=True, eq=False)
class History:
    """How a field came about.

    Attributes
    ----------
    forward_model
        Name of the model it was fitted through.
    reason
        Why the fit ended.
    held_out_error, training_loss
        Relative error of I - 1 over the patterns that were never fitted (None if none were held out), and the last
        loss.
    held_out
        Rows of the capture's patterns that were never fitted.
    steps, seconds
        Length of the fit.
    seed
        Of its random numbers.
    capture_name, capture_sha256, capture_folder
        The file it was made from, and where that lay; empty where there was none.
    time_point, position
        Whose frames of that file it was made from; None: the only ones.
    led_na_l2, pattern_gain_p, led_gain_l
        LED directions as used, (L, 2), the fitted brightness of each pattern, (P,), and of each LED that was lit alone,
        (L,); NaN where none was fitted.
    versions
        Programs and libraries.
    time_point, position
        Whose frames of the capture it was made from.
    stage_um
        Where the stage was sent for them, x y z; None where the experiment had no positions.
    started_from
        Name of the field file from which the fit began; empty: from the closed form.
    """

    forward_model: str
    reason: str
    held_out_error: float | None
    training_loss: float
    held_out: tuple[int, ...]
    steps: int
    seconds: float
    seed: int
    capture_name: str
    capture_sha256: str
    led_na_l2: NDArray[np.float64]
    pattern_gain_p: NDArray[np.float64]
    led_gain_l: NDArray[np.float64]
    versions: dict[str, str] = field(default_factory=dict)
    capture_folder: str = ""
    time_point: int = 0
    position: int = 0
    stage_um: tuple[float, float, float] | None = None
    started_from: str = ""


@dataclass(frozen=True, eq=False)
class Field(Box):
    """A box whose index is one neural field.

    `grid` is wider than the images by `pad` pixels on each side: what lies there is a guess, needed to predict images
    but not shown.
    """

    network: NeuralField
    grid: VolumeGrid
    optics: Optics
    history: History
    pad: int = 0
    assessment: Assessment | None = None

    @property
    def bounds(self) -> NDArray[np.float64]:
        """See `Box.bounds`."""
        return inner_bounds_um(self.grid, self.pad)

    @property
    def medium_index(self) -> float:
        """See `Box.medium_index`."""
        return self.network.config.medium_index

    @property
    def shape_zyx(self) -> tuple[int, int, int]:
        """See `Box.shape_zyx`."""
        planes, rows, columns = self.grid.shape_zyx
        return planes, rows - 2 * self.pad, columns - 2 * self.pad

    @property
    def parameter_bytes(self) -> int:
        """See `Box.parameter_bytes`."""
        return self.network.parameter_bytes

    @property
    def device(self) -> torch.device:
        """Where the field is evaluated."""
        return next(self.network.parameters()).device

    @torch.no_grad()
    def at_points(self, points_um: NDArray[np.float64]) -> NDArray[np.complex64]:
        """See `Box.at_points`."""
        dn, kappa = self.network.at_points(torch.as_tensor(points_um, device=self.device)).cpu().numpy()
        index: NDArray[np.complex64] = dn + 1j * kappa
        return index

    @torch.no_grad()
    def on_axes(self, axes_um: Sequence[NDArray[np.float64]]) -> NDArray[np.complex64]:
        """See `Box.on_axes`."""
        dn, kappa = self._on_axes(axes_um).cpu().numpy()
        index: NDArray[np.complex64] = dn + 1j * kappa
        return index

    @torch.no_grad()
    def dn_on_axes(self, axes_um: Sequence[NDArray[np.float64]]) -> Tensor:
        """See `Box.dn_on_axes`."""
        return self._on_axes(axes_um)[0]

    @torch.no_grad()
    def on_curtain(
        self, path_um: NDArray[np.float64], along_um: NDArray[np.float64], axis: int
    ) -> NDArray[np.complex64]:
        """See `Box.on_curtain`."""
        path, along = (torch.as_tensor(places, device=self.device) for places in (path_um, along_um))
        dn, kappa = self.network.on_curtain(path, along, axis).cpu().numpy()
        index: NDArray[np.complex64] = dn + 1j * kappa
        return index

    def _on_axes(self, axes_um: Sequence[NDArray[np.float64]]) -> Tensor:
        return self.network.on_axes(*(torch.as_tensor(axis, device=self.device) for axis in axes_um))

    @torch.no_grad()
    def sigma_at_points(self, points_um: NDArray[np.float64]) -> NDArray[np.float32]:
        """See `Box.sigma_at_points`."""
        if self.assessment is None:
            return np.full(len(points_um), np.nan, np.float32)
        uncertainty = self.assessment.uncertainty
        on_its_device = torch.as_tensor(points_um, device=uncertainty.levels_zyx.device)
        sigma: NDArray[np.float32] = uncertainty.at_points(on_its_device).cpu().numpy()
        return sigma

    @property
    def figures(self) -> Figures | None:
        """See `Box.figures`."""
        return None if self.assessment is None else self.assessment.figures

    @torch.no_grad()
    def intensity(self, na: ArrayLike) -> NDArray[np.float32]:
        """See `Box.intensity`."""
        directions = torch.as_tensor(np.asarray(na, np.float64).reshape(1, 2), device=self.device)
        model = build_model(
            self.history.forward_model, self.grid, self.optics, directions, self.device, self.network.pulse
        )
        if not bool(model.usable_leds()[0]):
            raise OperatorError(
                f"The {model.name} model cannot predict light at NA {float(directions.norm()):.3f}: the objective's is"
                f" {self.optics.objective_na:.3f}.",
                "Ask for a direction inside the objective's aperture.",
            )
        wide_yx = model.images(self.on_grid(), torch.tensor([0], device=self.device))[0].cpu().numpy()
        rows, columns = wide_yx.shape
        image: NDArray[np.float32] = wide_yx[self.pad : rows - self.pad, self.pad : columns - self.pad]
        return image

    @torch.no_grad()
    def on_grid(self) -> Tensor:
        """Return dn + i kappa on the grid of the forward model, (Z, H, W) complex64; not to be changed."""
        state = self.grid, *(parameter._version for parameter in self.network.parameters())  # noqa: SLF001
        known = _latest.get(self.network)
        if known is not None and known[0] == state:
            return known[1]
        _latest.clear()
        dn, kappa = self.network.on_axes(*(torch.as_tensor(axis, device=self.device) for axis in self.grid.axes_um))
        volume = torch.complex(dn, kappa)
        _latest[self.network] = state, volume
        return volume


_latest: WeakKeyDictionary[NeuralField, tuple[tuple[Any, ...], Tensor]] = WeakKeyDictionary()
"""Volume of the field that was evaluated last, with grid and versions of its parameters: image after image needs it."""
