"""The fit: a neural field made to predict the measured images, by gradient through a forward model.

    minimise   mean over p of log( mean over pixels (g_p I_p(field) - I_p)^2 )
               + tv_weight * mean over the volume of ( |grad (dn, kappa)| + kappa ) / scale

over the field's parameters, with the brightness g_p of each pattern in closed form.

The logarithm is the likelihood of Gaussian errors whose size nobody knows and that differs from image to image: camera
noise, and what the model gets wrong, most of all for LEDs at or beyond the edge of the aperture. So the smoothing
weighs against the errors that the data really have, and one weight serves all samples. Kappa costs something by itself:
without that, it takes up what the model gets wrong about dn.

The start is the closed-form Tikhonov volume. Each step predicts a batch of patterns on the grid of the forward model.
Patterns held out are never part of it: their error is the figure of merit, ends the fit when it no longer falls, and
chooses the parameters that are kept.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from recon.field import NeuralField, design_field, no_pulse
from recon.quality import contrast_error, value_range
from recon.stage import Stage, can_halve, halve_grid, halve_images
from recon.tikhonov import solve_tikhonov

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

    from acquisition.capture import CaptureHeader
    from recon.grid import VolumeGrid
    from recon.measurement import Images

LEARNING_RATE = 0.02
COARSE_STEPS = 25
"""Steps on images of half the resolution, before those on all of it, where nothing is held out."""
COARSE_TIME = 0.35
"""Largest share of the time limit for them."""
COARSE_IMPROVEMENT = 0.01
"""They end when an evaluation improves the held-out error by less than this fraction."""
EVALUATE_EVERY = 5
PATIENCE = 2
"""Evaluations without improvement before the learning rate drops."""
RATE_DROP = 0.4
MIN_IMPROVEMENT = 0.003
"""Relative fall of the held-out error that counts as improvement."""
SMALLEST_RATE_FACTOR = 0.1
"""The fit has converged when the learning rate would fall below this factor."""
ANNEAL_FROM = 0.7
"""Share of the time limit after which the learning rate falls steadily to its smallest."""


@dataclass(frozen=True)
class FitState:
    """Where a fit stands after a step: `held_out_error` is the latest evaluation."""

    loss: float
    held_out_error: float | None
    converged: bool


@dataclass(frozen=True, eq=False)
class Best:
    """The state of a fit that predicted the held-out patterns best."""

    error: float
    loss: float
    parameters: list[Tensor]
    gain_p: NDArray[np.float64]


class Fit:
    """Fits one field to the images of one capture; images may come in batches.

    Parameters
    ----------
    header, grid
        What was captured, and the volume to reconstruct.
    model_name
        Forward model.
    held_out
        Rows of the capture's patterns that are never fitted.
    device
        torch device.
    seed
        Seed of the field's first weights and of the order of patterns.
    pulse
        Called often within long work; whatever it raises ends that work and changes nothing.
    """

    def __init__(
        self,
        header: CaptureHeader,
        grid: VolumeGrid,
        model_name: str,
        held_out: tuple[int, ...],
        device: torch.device,
        seed: int = 0,
        pulse: Callable[[], None] = no_pulse,
    ) -> None:
        self.header = header
        self.grid = grid
        self.device = device
        self.held_out = held_out
        self.led_na_l2 = torch.as_tensor(header.led_na_l2, dtype=torch.float64, device=device)
        self.gain_p = np.full(len(header.patterns_pl), np.nan)
        self.field: NeuralField | None = None
        self._brightness_pl = torch.as_tensor(header.patterns_pl, dtype=torch.float32, device=device)

        def stage(of: VolumeGrid, model: str, levels: int | None) -> Stage:
            return Stage(of, header.optics, self.led_na_l2, self._brightness_pl, model, levels, device)

        self._fine = stage(grid, model_name, None)
        # Coarse pixels are too wide for the waves of a multi-slice model; the linear one has no waves on the grid.
        self._coarse = stage(halve_grid(grid), "born", -1) if can_halve(grid) else None
        self._random = np.random.default_rng(seed)
        self._seed = seed
        self._pulse = pulse

    def set_images(self, images: Images) -> None:
        """Take the images measured so far, in place of those taken before."""
        held = np.isin(images.pattern_p, self.held_out)
        stack = torch.from_numpy(images.intensity_pyx)
        rows = torch.from_numpy(images.pattern_p[~held]).to(self.device)
        train_pyx = stack[torch.from_numpy(~held)].to(self.device)
        self._test_rows = torch.from_numpy(images.pattern_p[held]).to(self.device)
        self._test_pyx = stack[torch.from_numpy(held)].to(self.device)
        self._fine.set_images(rows, train_pyx, images.mean_is_one)
        if self._coarse is not None:
            self._coarse.set_images(rows, halve_images(train_pyx), images.mean_is_one)

    def first_volume(self) -> Tensor:
        """Solve the closed form for the images so far, and begin a new field as its volume.

        Returns
        -------
        Tensor
            dn + i kappa, (Z, H, W) complex64.
        """
        index_zyx = solve_tikhonov(
            self._fine.images_pyx - 1.0,
            self._brightness_pl[self._fine.rows],
            self.led_na_l2,
            self.grid,
            self.header.optics,
            pulse=self._pulse,
        )
        scale = max(value_range(index_zyx.real.cpu().numpy())[1], 1e-6)
        config = design_field(self.grid, self.header.optics.medium_index, scale)
        self.field = NeuralField(config, self._seed, self._pulse).to(self.device)
        self.field.start_from(index_zyx)
        self._optimiser = torch.optim.Adam(self.field.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.99))
        self._step = 0
        self._plateau_factor = 1.0
        self._coarse_done = False
        self._since_best = 0
        self._reference = math.inf
        self._best: Best | None = None
        self._state = FitState(float("nan"), None, False)
        return index_zyx

    def step(self, time_used: float = 0.0) -> FitState:
        """Take one step of the optimiser and, every few steps, evaluate the held-out patterns.

        Parameters
        ----------
        time_used
            Share of the time limit that has passed, 0 to 1.
        """
        assert self.field is not None
        annealing = (1.0 - time_used) / (1.0 - ANNEAL_FROM)
        factor = max(min(self._plateau_factor, annealing), SMALLEST_RATE_FACTOR)
        for group in self._optimiser.param_groups:
            group["lr"] = LEARNING_RATE * factor
        stage = self._fine if self._coarse_done or self._coarse is None else self._coarse
        count = len(stage.rows)
        batch = torch.from_numpy(
            np.sort(self._random.choice(count, min(stage.model.patterns_per_step, count), replace=False))
        ).to(self.device)
        self._optimiser.zero_grad(set_to_none=True)
        loss, gain = stage.loss(self.field, batch)
        self.gain_p[stage.rows[batch].cpu().numpy()] = gain.cpu().numpy()
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimiser.step()
        self._step += 1
        figure = float(loss.detach().exp())
        held_out = self._state.held_out_error
        converged = False
        if self._step % EVALUATE_EVERY == 0 or self._step == 1:
            held_out = self.held_out_error()
            if stage is self._fine:
                converged = self._judge(figure if held_out is None else held_out, figure)
            else:
                self._coarse_done = time_used > COARSE_TIME or self._coarse_suffices(held_out)
        self._state = FitState(figure, held_out, converged)
        return self._state

    @torch.no_grad()
    def held_out_error(self) -> float | None:
        """||predicted - measured|| / ||measured|| of I - 1 over the held-out patterns; None while there are none."""
        if len(self._test_rows) == 0:
            return None
        assert self.field is not None
        predicted = self._fine.predict(self.field, self._test_rows)
        return contrast_error(predicted.cpu().numpy(), self._test_pyx.cpu().numpy())

    def _coarse_suffices(self, held_out: float | None) -> bool:
        """Whether the coarse images have told the field what they can."""
        before = self._state.held_out_error
        if held_out is None or before is None:
            return self._step >= COARSE_STEPS
        return self._step > EVALUATE_EVERY and held_out > before * (1.0 - COARSE_IMPROVEMENT)

    def _judge(self, error: float, loss: float) -> bool:
        """Note a new best, slow down on a plateau; whether the fit has converged."""
        assert self.field is not None
        if error < self._reference * (1.0 - MIN_IMPROVEMENT):
            self._reference = error
            self._since_best = 0
        else:
            self._since_best += 1
        if self._best is None or error < self._best.error:
            parameters = [p.detach().clone() for p in self.field.parameters()]
            self._best = Best(error, loss, parameters, self.gain_p.copy())
        if self._since_best >= PATIENCE:
            self._since_best = 0
            self._plateau_factor *= RATE_DROP
        return self._plateau_factor < SMALLEST_RATE_FACTOR

    @torch.no_grad()
    def keep_best(self) -> tuple[float | None, float] | None:
        """Put back what predicted the held-out patterns best: parameters and gains.

        Returns
        -------
        held_out_error, loss
            Of what is kept; None where nothing was evaluated yet.
        """
        if self.field is None or self._best is None:
            return None
        best = self._best
        for parameter, value in zip(self.field.parameters(), best.parameters, strict=True):
            parameter.copy_(value)
        self.gain_p = best.gain_p
        return best.error if len(self._test_rows) else None, best.loss

    def led_gain_l(self) -> NDArray[np.float64]:
        """Brightness of each LED that was lit alone, (L,); NaN for the others."""
        brightness_pl = self.header.patterns_pl
        gain_l = np.full(brightness_pl.shape[1], np.nan)
        alone = np.flatnonzero((brightness_pl > 0).sum(axis=1) == 1)
        gain_l[brightness_pl[alone].argmax(axis=1)] = self.gain_p[alone]
        return gain_l
