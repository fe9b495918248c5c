"""The fit: a neural field made to predict the measured images, by gradient through a forward model.

    minimise   mean over p of log( mean over pixels (g_p I_p(field) - I_p)^2 )
               + smoothing * mean over the volume of ( variation(dn, kappa) + kappa ) / scale

over the field's parameters, with the brightness g_p of each pattern in closed form.

The logarithm is the likelihood of Gaussian errors whose size nobody knows and that differs from image to image: camera
noise, and what the model gets wrong, most of all for LEDs at or beyond the edge of the aperture. So the smoothing
(`recon.variation`) weighs against the errors that the data really have; its weight is the same for all samples at the
beginning, and rises as far as the held-out patterns allow (`recon.judge`). Kappa costs something by itself: without
that, it takes up what the model gets wrong about dn.

    closed form -> coarse linear stage -> linear stage, or wave stage where scattering is strong

The start is the closed-form Tikhonov volume, or the field of the same place a little earlier (`Fit.take_up`). Linear
stages are quick and come first (`recon.stage`). Whether a wave stage follows is the operator's choice, or found by
`auto` (`recon.choice`): the field so far is put through both models, and where they disagree by much of the contrast
that they predict, linear is not enough. Patterns held out are never part of the fit: their error is the figure of
merit, ends each stage when it no longer falls, and chooses smoothing and parameters kept.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from recon.assessment import assess
from recon.checkpoint import Standing
from recon.choice import COMPARED_PATTERNS, falls_short
from recon.directions import Directions
from recon.earlier import start_from
from recon.field import NeuralField, design_field
from recon.grid import linear_grid
from recon.judge import Judge, Kept, stage_suffices
from recon.quality import contrast_error, contrast_errors, value_range
from recon.side_by_side import no_pulse
from recon.stage import SMOOTHING, LinearStage, WaveStage, can_halve, halve_grid, halve_images
from recon.tikhonov import solve_equations

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

    from recon.assessment import Assessment
    from recon.earlier import Start
    from recon.measurement import Images
    from recon.prepare import Setup
    from recon.result import Field
    from recon.stage import Stage

LEARNING_RATE = 0.02
WARM_STEPS = 10
"""A fit that goes on begins with small steps: the optimiser has yet to learn again how steep things are."""
EVALUATE_EVERY = 5
FIRST_REFRESH = 8
"""Steps of a linear stage until its weights are set anew; the interval doubles each time."""


@dataclass(frozen=True)
class FitState:
    """Where a fit stands after a step: `held_out_error` is the latest evaluation."""

    stage: str
    loss: float
    held_out_error: float | None
    converged: bool


class Fit:
    """Fits one field to the images of one capture; images may come in batches.

    Parameters
    ----------
    setup
        What is fitted through what.
    device
        torch device.
    seed
        Seed of the field's first weights and of the order of patterns.
    pulse
        Called often within long work; whatever it raises ends that work and changes nothing.
    notify
        Called with what the operator should know.
    """

    def __init__(
        self,
        setup: Setup,
        device: torch.device,
        seed: int = 0,
        pulse: Callable[[], None] = no_pulse,
        notify: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.setup = setup
        self.device = device
        self.gain_p = np.full(len(setup.patterns_pl), np.nan)
        self.error_p = np.full(len(setup.patterns_pl), np.nan, np.float32)
        """Relative error of each pattern's image as it was last predicted on the way."""
        self.field: NeuralField | None = None
        self._random = np.random.default_rng(seed)
        self._seed, self._pulse, self.notify = seed, pulse, notify
        self._brightness_pl = torch.as_tensor(setup.patterns_pl, dtype=torch.float32, device=device)
        self.leds = Directions(setup.led_na_l2, self._brightness_pl, setup.optics.objective_na)
        self._taken_up = self._starts_by_waves = False
        grid = linear_grid(setup.grid, setup.optics)
        frame = self._frame = setup.optics, self.leds.na_l2, self._brightness_pl
        self._linear = LinearStage(grid, setup.pad, *frame, None, device, pulse)
        self._stages: dict[str, LinearStage | WaveStage] = {"linear": self._linear}
        self._coarse: LinearStage | None = None
        if can_halve(setup.image_shape, setup.pad):
            self._coarse = LinearStage(halve_grid(grid), setup.pad // 2, *frame, -1, device, pulse)
            self._stages = {"coarse": self._coarse, **self._stages}
        if setup.model not in ("auto", "born"):
            self._stages["wave"] = self._wave_stage(setup.model)

    def _wave_stage(self, model: str) -> WaveStage:
        return WaveStage(self.setup.grid, self.setup.pad, *self._frame, model, None, self.device, self._pulse)

    @torch.no_grad()
    def volume(self) -> Tensor:
        """Sample the field so far as `first_volume` does, (Z, H, W) complex64."""
        assert self.field is not None
        linear = self._linear
        return torch.complex(*(linear.crop(part) for part in linear.volume(self.field)))

    def _wave_for(self, model: str) -> WaveStage:
        """The stage of a wave model, made where there is none yet."""
        stage = self._stages.get("wave")
        return stage if isinstance(stage, WaveStage) and stage.model.name == model else self._wave_stage(model)

    @property
    def stage_model(self) -> str:
        """Forward model of the stage under way."""
        return self._stages[self._to_do[0]].model.name

    @property
    def model(self) -> str:
        """Forward model that the field as it is was fitted through: that of a stage counts from its first step on."""
        return self._final_stage().model.name

    def set_images(self, images: Images) -> None:
        """Take the images measured so far, in place of those taken before."""
        self._mean_is_one = images.mean_is_one
        stack = torch.from_numpy(images.intensity_pyx)

        def chosen(mask: NDArray[np.bool_]) -> tuple[Tensor, Tensor]:
            rows = torch.from_numpy(images.pattern_p[mask]).to(self.device)
            return rows, stack[torch.from_numpy(mask)].to(self.device)

        held = np.isin(images.pattern_p, self.setup.held_out)
        dark = np.isin(images.pattern_p, self.setup.dark_field)
        self._test_rows, self._test_pyx = chosen(held)
        fitted = np.isin(images.pattern_p, self.setup.bright_field) & ~held
        rows, train_pyx = chosen(fitted)
        self._linear.set_images(rows, train_pyx, images.mean_is_one)
        if self._coarse is not None:
            self._coarse.set_images(rows, halve_images(train_pyx), images.mean_is_one)
        self._wave_images = chosen(fitted | dark) if dark.any() else (rows, train_pyx)

    def first_volume(self) -> Tensor:
        """Solve the closed form for the images so far, and begin a new field as its volume.

        Returns
        -------
        Tensor
            dn + i kappa, (Z, H, W) complex64, on the linear stage's planes and the images' pixels.
        """
        stage = self._linear
        index_zyx = solve_equations(stage.normal, stage.first_equations(), 1.0 / len(stage.rows))
        inside_zyx = stage.crop(index_zyx)
        scale = max(value_range(inside_zyx.real.cpu().numpy())[1], 1e-6)
        config = design_field(self.setup.grid, self.setup.optics.medium_index, scale)
        self.field = NeuralField(config, self._seed, self._pulse).to(self.device)
        self.field.start_from(index_zyx)
        self._decided = self.setup.model != "auto"
        first = "linear" if self._coarse is None else "coarse"
        last = {"born": ["linear"], "auto": []}.get(self.setup.model, ["wave"])
        self._to_do = [first, *(name for name in last if name != first)]
        self._steps, self._warm_steps = 0, 1
        self._enter_stage()
        return inside_zyx

    def take_up(self, last: Field) -> Start | None:
        """Begin from the field of an earlier time instead, where it predicts these images better than the first volume.

        To be called after `first_volume`; `last` fills the same box (`recon.earlier`).
        """
        assert self.field is not None
        model = last.history.forward_model
        stage = self._linear if model == "born" else self._wave_for(model)
        stage.mean_is_one = self._mean_is_one
        start = start_from(last, self.field, self._linear, stage, *self._judged())
        if start is None or not start.is_better:
            return start
        self.field, self._taken_up, self._starts_by_waves = start.field, True, model != "born"
        if self._decided:
            self._to_do = self._to_do[-1:]
        else:  # which model it takes is asked anew: the sample may scatter more by now
            self._to_do = ["linear"]
            self._finish_stage()
        self._enter_stage()
        return start

    def _enter_stage(self, doublings: int = 0) -> None:
        """Begin the first of the stages to do."""
        assert self.field is not None
        name = self._to_do[0]
        self._stage_steps = 0
        self._next_refresh = 0
        self._judge = Judge(len(self._test_rows) > 0, doublings, self._taken_up)
        if name == "wave":
            self._stages[name].set_images(*self._wave_images, self._mean_is_one)
        if name == "wave" or self._steps == 0:
            self._optimiser = torch.optim.Adam(self.field.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.99))
        self._state = FitState(name, float("nan"), None, False)

    def go_on(self, network: NeuralField, standing: Standing) -> None:
        """Take up a fit of the same images, in place of `first_volume`; it loses the optimiser's memory alone."""
        network.pulse = self._pulse
        self.field = network.to(self.device).requires_grad_(True)
        self._decided, self._to_do, self._steps = standing.decided, list(standing.stages), 0
        self._warm_steps = WARM_STEPS
        if "wave" in standing.stages and "wave" not in self._stages:
            self._stages["wave"] = self._wave_stage(self.setup.wave_model)
        self._enter_stage(standing.doublings)
        self.gain_p = standing.gain_p.copy()
        self.leds.take_up(standing.led_na_l2, standing.turned_l)
        stage = self._stages[self._to_do[0]]
        if isinstance(stage, WaveStage):
            stage.turn_leds(self.leds.na_l2)
            self._stage_steps = 1  # its predictions count: the field has been fitted through it
        if self._decided and len(self._to_do) == 1:  # the first steps without that memory must not cost what there is
            held_out = self.held_out_error()
            self._evaluate(standing.loss if held_out is None else held_out, standing.loss, 0.0)
            self._state = replace(self._state, loss=standing.loss, held_out_error=held_out)

    @property
    def standing(self) -> Standing:
        """How far this fit has come."""
        return Standing(
            tuple(self._to_do), self._decided, self._judge.doublings, self._state.loss, self.gain_p.copy(),
            self.leds.na_l2.cpu().numpy(), self.leds.turned_l.cpu().numpy(),
        )  # fmt: skip

    def step(self, time_used: float = 0.0) -> FitState:
        """Take one step of the optimiser and, every few steps, evaluate the held-out patterns.

        Parameters
        ----------
        time_used
            Share of the time limit that has passed, 0 to 1.
        """
        assert self.field is not None
        rate = LEARNING_RATE * min(1.0, (self._steps + 1) / self._warm_steps)
        for group in self._optimiser.param_groups:
            group["lr"] = rate * self._judge.rate_factor(time_used)
        smoothing = SMOOTHING * 2.0**self._judge.doublings
        stage_name = self._to_do[0]
        stage = self._stages[stage_name]
        self._optimiser.zero_grad(set_to_none=True)
        if isinstance(stage, LinearStage):
            if self._stage_steps == self._next_refresh:
                self.gain_p[stage.rows.cpu().numpy()] = stage.refresh(self.field).cpu().numpy()
                self.error_p[stage.rows.cpu().numpy()] = stage.error_p.cpu().numpy()
                self._next_refresh = 2 * self._stage_steps + FIRST_REFRESH
            loss = stage.loss(self.field, smoothing)
        else:
            count = len(stage.rows)
            size = min(stage.model.patterns_per_step, count)
            batch = torch.from_numpy(np.sort(self._random.choice(count, size, replace=False))).to(self.device)
            found = stage.loss(self.field, batch, smoothing)
            loss = found.loss
            self.gain_p[stage.rows[batch].cpu().numpy()] = found.gain.cpu().numpy()
            self._note_errors(stage.rows[batch], found.predicted * found.gain[:, None, None], found.measured)
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimiser.step()
        if isinstance(stage, WaveStage):
            self.leds.follow(stage, batch, found, self._stage_steps)
        self._steps += 1
        self._stage_steps += 1
        figure = float(loss.detach().exp())
        converged = False
        held_out = self._state.held_out_error
        if self._stage_steps % EVALUATE_EVERY == 0 or self._stage_steps == 1:
            held_out = self.held_out_error()
            if self._decided and len(self._to_do) == 1:
                converged = self._evaluate(figure if held_out is None else held_out, figure, time_used)
            elif stage_suffices(stage_name, self._stage_steps, held_out, self._state.held_out_error, time_used):
                self._finish_stage()
                held_out = None  # what the next stage has to improve on is its own
        self._state = replace(self._state, loss=figure, held_out_error=held_out, converged=converged)
        return self._state

    def _finish_stage(self) -> None:
        """Go on to the next stage; where `auto` has not yet found which, find it."""
        if len(self._to_do) > 1:
            self._to_do.pop(0)
        else:  # pictures are painted meanwhile: what is done stays what there is until this is decided
            done = self._to_do[0]
            wave = self._wave_for(self.setup.wave_model)
            assert self.field is not None
            waves = falls_short(self._linear, wave, self.field, self.notify)
            self._decided = True
            if waves:
                self._stages["wave"] = wave
            self._to_do = ["wave" if waves else "linear"]
            if done == self._to_do[0]:
                return
        self._enter_stage()

    @torch.no_grad()
    def held_out_error(self) -> float | None:
        """||predicted - measured|| / ||measured|| of I - 1 over the held-out patterns; None while there are none."""
        if len(self._test_rows) == 0:
            return None
        assert self.field is not None
        predicted = self._predicted(self._test_rows)
        self._note_errors(self._test_rows, predicted, self._test_pyx)
        return contrast_error(predicted.cpu().numpy(), self._test_pyx.cpu().numpy())

    def _note_errors(self, rows: Tensor, predicted: Tensor, measured: Tensor) -> None:
        self.error_p[rows.cpu().numpy()] = contrast_errors(predicted.cpu().numpy(), measured.cpu().numpy())

    def _judged(self) -> tuple[Tensor, Tensor]:
        """Rows and images of the patterns that a field is judged by: those held out, else a few of the others."""
        if len(self._test_rows) > 0:
            return self._test_rows, self._test_pyx
        return self._linear.rows[:COMPARED_PATTERNS], self._linear.images_pyx[:COMPARED_PATTERNS]

    def _final_stage(self) -> Stage:
        """The stage whose predictions count: of waves from its first step on, else the linear one of all pixels."""
        begun = self._stage_steps > 0 or self._starts_by_waves
        return self._stages["wave"] if self._to_do[0] == "wave" and begun else self._linear

    def _predicted(self, rows: Tensor) -> Tensor:
        """Images of patterns as the stage that counts predicts them, normalised as the measured ones."""
        assert self.field is not None
        stage = self._final_stage()
        stage.mean_is_one = self._mean_is_one
        return stage.predict(self.field, rows)

    def _evaluate(self, error: float, loss: float, time_used: float) -> bool:
        """Have an evaluation judged, and go back where that says so; whether the fit has converged."""

        def state() -> Kept:
            assert self.field is not None
            parameters = [p.detach().clone() for p in self.field.parameters()]
            return Kept(error, loss, self._judge.doublings, parameters, self.gain_p.copy(), self.leds.na_l2.clone())

        converged = self._judge.evaluate(error, time_used, state)
        if self._judge.goes_back:
            self._go_back()
        return converged

    @torch.no_grad()
    def _go_back(self) -> None:
        """Take up the state that was kept."""
        kept = self._judge.kept
        assert self.field is not None
        assert kept is not None
        for parameter, value in zip(self.field.parameters(), kept.parameters, strict=True):
            parameter.copy_(value)
        self.gain_p, self.leds.na_l2 = kept.gain_p.copy(), kept.led_na_l2.clone()
        stage = self._stages[self._to_do[0]]
        if isinstance(stage, WaveStage):
            stage.turn_leds(self.leds.na_l2)

    @property
    def has_best(self) -> bool:
        """Whether there is a state to go back to."""
        return self._judge.kept is not None

    def keep_best(self) -> tuple[float | None, float]:
        """Put back the state that is worth keeping: parameters, gains and directions.

        Returns
        -------
        held_out_error, loss
            Of what is kept: the best of the last stage, or the field as it is where that stage has not begun.
        """
        kept = self._judge.kept
        if kept is None:
            return self.held_out_error(), self._state.loss
        self._go_back()
        return kept.error if len(self._test_rows) else None, kept.loss

    @torch.no_grad()
    def assess(self) -> Assessment:
        """Tell how far the field is to be trusted; see `recon.assessment`."""
        assert self.field is not None
        linear = self._linear
        rows, measured = self._judged()
        predicted = self._predicted(rows)
        gain_p = torch.as_tensor(self.gain_p, dtype=torch.float32, device=self.device)[linear.rows].nan_to_num(1.0)
        grid = replace(linear.grid, shape_zyx=(linear.grid.shape_zyx[0], *self.setup.image_shape))
        return assess(
            linear.crop(linear.volume(self.field)[0]), grid, self.setup.optics,
            linear.images_pyx / gain_p[:, None, None], self._brightness_pl[linear.rows], self.leds.na_l2,
            predicted, measured, self._pulse,
        )  # fmt: skip
