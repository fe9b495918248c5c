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
`auto`: the field so far is put through both models, and where they disagree by much of the contrast that they predict,
linear is not enough. Patterns held out are never part of the fit: their error is the figure of merit, ends each stage
when it no longer falls, and chooses smoothing and parameters kept.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from recon.assessment import assess
from recon.directions import following, refined
from recon.earlier import start_from
from recon.field import NeuralField, design_field, no_pulse
from recon.grid import linear_grid
from recon.judge import Judge, Kept
from recon.quality import contrast_error, contrast_errors, value_range
from recon.stage import SMOOTHING, LinearStage, WaveStage, can_halve, halve_grid, halve_images
from recon.tikhonov import solve_equations

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

    from acquisition.capture import Optics
    from recon.assessment import Assessment
    from recon.earlier import Start
    from recon.grid import VolumeGrid
    from recon.measurement import Images
    from recon.result import Field
    from recon.stage import Stage, WaveLoss

LEARNING_RATE = 0.02
WARM_STEPS = 10
"""A fit that goes on begins with small steps: the optimiser has yet to learn again how steep things are."""
EVALUATE_EVERY = 5
FIRST_REFRESH = 8
"""Steps of a linear stage until its weights are set anew; the interval doubles each time."""
LEAST_STEPS = 10
"""Of each stage, however short the time: before, nothing can be told from it."""
STEPS_WITHOUT_JUDGE = 25
"""Steps of each stage but the last, where nothing is held out."""
STAGE_TIME = {"coarse": 0.15, "linear": 0.4}
"""Share of the time limit at which a stage gives way to the next."""
STAGE_IMPROVEMENT = 0.01
"""It also does when an evaluation improves the held-out error by less than this fraction."""
NONLINEAR_SHARE, NOTICED_SHARE = 0.15, 0.15
"""`auto` takes a wave model when it disagrees with the linear one by more than these shares of the contrast that the
linear one predicts, and of that which it leaves unexplained."""
COMPARED_PATTERNS = 6
"""With so many patterns."""
TURN_FROM, TURN_EVERY = 8, 2
"""Steps of a wave stage in which the LEDs of the batch are turned to where their images say (`recon.directions`)."""


@dataclass(frozen=True, eq=False)
class Setup:
    """What a fit starts from.

    Attributes
    ----------
    optics, led_na_l2
        The microscope and its LEDs' directions (L, 2), as calibrated.
    patterns_pl
        Brightness of each LED in each of the capture's patterns, (P, L).
    image_shape
        Rows and columns of the images.
    grid, pad
        The volume, for the final model; wider than the images by `pad` pixels on each side.
    model, wave_model
        The forward model, or "auto"; the multi-slice model that `auto` may take.
    bright_field
        Rows of the patterns that all stages can take.
    held_out
        Those of them that are never fitted.
    dark_field
        Rows of the patterns that only wave stages can take. Rows that are neither are left out.
    """

    optics: Optics
    led_na_l2: NDArray[np.float64]
    patterns_pl: NDArray[np.float32]
    image_shape: tuple[int, int]
    grid: VolumeGrid
    pad: int
    model: str
    wave_model: str
    bright_field: tuple[int, ...]
    held_out: tuple[int, ...]
    dark_field: tuple[int, ...] = ()


@dataclass(frozen=True)
class FitState:
    """Where a fit stands after a step: `held_out_error` is the latest evaluation."""

    stage: str
    loss: float
    held_out_error: float | None
    converged: bool


@dataclass(frozen=True, eq=False)
class Standing:
    """How far a fit has come, its field apart: what another fit of the same images needs to go on from there.

    The optimiser's memory is not part of it: it is twice as large as the field, and is found again in a few steps.

    Attributes
    ----------
    stages
        Names of those not done, that under way first.
    decided
        Whether `auto` has chosen its model.
    doublings
        Of the smoothing.
    loss
        Of the last step.
    gain_p, led_na_l2, turned_l
        Brightness of each pattern, directions of the LEDs, and which of them were turned by themselves.
    """

    stages: tuple[str, ...]
    decided: bool
    doublings: int
    loss: float
    gain_p: NDArray[np.float64]
    led_na_l2: NDArray[np.float64]
    turned_l: NDArray[np.bool_]


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
        self._board_na_l2 = torch.as_tensor(setup.led_na_l2, dtype=torch.float64, device=device)
        self.led_na_l2 = self._board_na_l2.clone()
        self._taken_up = self._starts_by_waves = False
        self._turned = torch.zeros(len(self.led_na_l2), dtype=torch.bool, device=device)
        grid = linear_grid(setup.grid, setup.optics)
        frame = setup.optics, self.led_na_l2, self._brightness_pl
        self._linear = LinearStage(grid, setup.pad, *frame, None, device, pulse)
        self._stages: dict[str, LinearStage | WaveStage] = {"linear": self._linear}
        self._coarse: LinearStage | None = None
        if can_halve(setup.image_shape, setup.pad):
            self._coarse = LinearStage(halve_grid(grid), setup.pad // 2, *frame, -1, device, pulse)
            self._stages = {"coarse": self._coarse, **self._stages}
        if setup.model not in ("auto", "born"):
            self._stages["wave"] = self._wave_stage(setup.model)

    def _wave_stage(self, model: str) -> WaveStage:
        setup = self.setup
        frame = setup.optics, self.led_na_l2, self._brightness_pl
        return WaveStage(setup.grid, setup.pad, *frame, model, None, self.device, self._pulse)

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
            return (
                torch.from_numpy(images.pattern_p[mask]).to(self.device),
                stack[torch.from_numpy(mask)].to(self.device),
            )

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
            self._enter_stage()
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
        self.led_na_l2 = torch.as_tensor(standing.led_na_l2, dtype=torch.float64, device=self.device)
        self._turned = torch.as_tensor(standing.turned_l, device=self.device)
        stage = self._stages[self._to_do[0]]
        if isinstance(stage, WaveStage):
            stage.turn_leds(self.led_na_l2)
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
            self.led_na_l2.cpu().numpy(), self._turned.cpu().numpy(),
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
        stage = self._stages[self._to_do[0]]
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
        if isinstance(stage, WaveStage) and self._stage_steps >= TURN_FROM and self._stage_steps % TURN_EVERY == 0:
            self._turn_leds(stage, batch, found)
        self._steps += 1
        self._stage_steps += 1
        figure = float(loss.detach().exp())
        converged = False
        held_out = self._state.held_out_error
        if self._stage_steps % EVALUATE_EVERY == 0 or self._stage_steps == 1:
            held_out = self.held_out_error()
            if self._decided and len(self._to_do) == 1:
                converged = self._evaluate(figure if held_out is None else held_out, figure, time_used)
            elif self._stage_suffices(held_out, time_used):
                self._finish_stage()
                held_out = None  # what the next stage has to improve on is its own
        self._state = replace(self._state, loss=figure, held_out_error=held_out, converged=converged)
        return self._state

    def _turn_leds(self, stage: WaveStage, batch: Tensor, found: WaveLoss) -> None:
        """Refine the directions of a batch's LEDs; where several are lit at once they stay."""
        lit_pl = self._brightness_pl > 0
        alone_p = lit_pl.sum(1) == 1
        if not bool(alone_p[stage.rows].all()):
            return
        led_p = lit_pl.to(torch.int64).argmax(1)
        led = led_p[stage.rows[batch]]
        bright = self._board_na_l2[led].norm(dim=1) < self.setup.optics.objective_na
        turned = refined(stage, found, led, self._board_na_l2)
        self.led_na_l2[led[bright]] = turned[bright]
        self._turned[led[bright]] = True
        turned_l, others_l = self._turned.nonzero()[:, 0], (~self._turned).nonzero()[:, 0]
        self.led_na_l2[others_l] = following(self._board_na_l2, self.led_na_l2, turned_l, others_l)
        stage.turn_leds(self.led_na_l2)

    def _finish_stage(self) -> None:
        """Go on to the next stage; where `auto` has not yet found which, find it."""
        done = self._to_do.pop(0)
        if not self._to_do:
            self._decided = True
            wave = self._wave_for(self.setup.wave_model)
            if self._linear_falls_short(wave):
                self._stages["wave"] = wave
                self._to_do = ["wave"]
            else:
                self._to_do = ["linear"]
                if done == "linear":
                    return
        self._enter_stage()

    @torch.no_grad()
    def _linear_falls_short(self, wave: WaveStage) -> bool:
        """Compare the linear and the wave model on the field so far."""
        assert self.field is not None
        linear = self._linear
        step = max(1, len(linear.rows) // COMPARED_PATTERNS)
        rows, measured = linear.rows[::step], linear.images_pyx[::step]
        wave.mean_is_one = linear.mean_is_one = True
        by_linear, by_wave = linear.predict(self.field, rows), wave.predict(self.field, rows)
        linear.mean_is_one = self._mean_is_one
        disagreement = contrast_error((by_wave + (measured - by_linear)).cpu().numpy(), measured.cpu().numpy())
        error = contrast_error(by_linear.cpu().numpy(), measured.cpu().numpy())
        predicted = float((by_linear - 1.0).norm() / (measured - 1.0).norm())
        falls_short = disagreement > NONLINEAR_SHARE * predicted and disagreement > NOTICED_SHARE * error
        self.notify(
            f"Scattering is {'strong' if falls_short else 'weak'}: the linear model leaves {error:.0%} of the contrast"
            f" unexplained, and the {wave.model.name} model differs from it by {disagreement:.0%} of the contrast: "
            + (f"going on with {wave.model.name}." if falls_short else "the linear model suffices.")
        )
        return falls_short

    @torch.no_grad()
    def held_out_error(self) -> float | None:
        """||predicted - measured|| / ||measured|| of I - 1 over the held-out patterns; None while there are none."""
        if len(self._test_rows) == 0:
            return None
        assert self.field is not None
        predicted = self._final_stage().predict(self.field, self._test_rows)
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
        by_waves = self._to_do[0] == "wave" and begun
        stage = self._stages["wave"] if by_waves else self._linear
        stage.mean_is_one = self._mean_is_one
        return stage

    def _stage_suffices(self, held_out: float | None, time_used: float) -> bool:
        """Whether a stage that is not the last has told the field what it can."""
        if self._stage_steps < LEAST_STEPS:
            return False
        if time_used > STAGE_TIME[self._to_do[0]]:
            return True
        before = self._state.held_out_error
        if held_out is None or before is None:
            return self._stage_steps >= STEPS_WITHOUT_JUDGE
        return held_out > before * (1.0 - STAGE_IMPROVEMENT)

    def _evaluate(self, error: float, loss: float, time_used: float) -> bool:
        """Have an evaluation judged, and go back where that says so; whether the fit has converged."""

        def state() -> Kept:
            assert self.field is not None
            parameters = [p.detach().clone() for p in self.field.parameters()]
            return Kept(error, loss, self._judge.doublings, parameters, self.gain_p.copy(), self.led_na_l2.clone())

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
        self.gain_p, self.led_na_l2 = kept.gain_p.copy(), kept.led_na_l2.clone()
        stage = self._stages[self._to_do[0]]
        if isinstance(stage, WaveStage):
            stage.turn_leds(self.led_na_l2)

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
        predicted = self._final_stage().predict(self.field, rows)
        gain_p = torch.as_tensor(self.gain_p, dtype=torch.float32, device=self.device)[linear.rows].nan_to_num(1.0)
        grid = replace(linear.grid, shape_zyx=(linear.grid.shape_zyx[0], *self.setup.image_shape))
        return assess(
            linear.crop(linear.volume(self.field)[0]), grid, self.setup.optics,
            linear.images_pyx / gain_p[:, None, None], self._brightness_pl[linear.rows], self.led_na_l2,
            predicted, measured, self._pulse,
        )  # fmt: skip

    def led_gain_l(self) -> NDArray[np.float64]:
        """Brightness of each LED that was lit alone, (L,); NaN for the others."""
        brightness_pl = self.setup.patterns_pl
        gain_l = np.full(brightness_pl.shape[1], np.nan)
        alone = np.flatnonzero((brightness_pl > 0).sum(axis=1) == 1)
        gain_l[brightness_pl[alone].argmax(axis=1)] = self.gain_p[alone]
        return gain_l
