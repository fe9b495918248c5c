"""A reconstruction in tiles: one ordinary reconstruction after the other, in the memory of one.

    survey: LEDs from the middle of the images, contrast of each tile
    tile with the strongest contrast: decides the forward model --> the other tiles, strongest first --> finished

Each tile is read from the capture file when its turn comes, and of a finished one only its network is kept. All tiles
have the same depths, held-out patterns and forward model; each sees the LEDs from its own place. Time that one leaves
goes to those after it.
"""

from __future__ import annotations

import gc
import logging
import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from acquisition.capture import Calibration, read_capture, sha256_of
from acquisition.errors import OperatorError
from recon import messages
from recon.field import no_pulse
from recon.field_file import program_versions
from recon.grid import choose_grid, pad_pixels
from recon.illumination import from_rims, nominal, stored
from recon.measurement import Measurement, choose_held_out
from recon.prepare import depths_um
from recon.reconstruct import Reconstruction, State, check_time_limit, choose_device, tell_missing
from recon.result import History
from recon.tiles import TiledField, Tiling, central_window, lay_axis, led_na_from
from recon.uncertainty import noise_variance

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from acquisition.capture import Capture, CaptureHeader
    from recon.illumination import Illumination
    from recon.measurement import Images
    from recon.messages import Event, FitSettings
    from recon.result import Field

log = logging.getLogger(__name__)

CPU_SIDE = 768
"""Largest tile without a GPU, in pixels."""
BYTES_PER_VOXEL, BYTES_PER_IMAGE_PIXEL = 160, 40
"""What a fit takes on a GPU."""
WHOLE_UP_TO = 1.5
"""Images of so many times the pixels of the largest tile are not cut up."""
SMALLEST_SIDE = 48
CENTRE_SIDE = 1024
"""The board is found from the middle of the images, of at most so many pixels a side."""
SURVEYED_PATTERNS = 4
"""So many images tell the contrast of a tile."""
EMPTY_BELOW = 0.05
"""A tile has nothing in it where its images vary by less than this share of the camera noise's variance beside it."""
EMPTY_TIME = 0.1
"""Share of time of a tile with nothing in it, in that of others."""
LEAST_SECONDS = 0.05


def tile_side(header: CaptureHeader, settings: FitSettings) -> int | None:
    """Largest side of tiles in pixels; None where the images are reconstructed as a whole.

    Raises
    ------
    OperatorError
        The operator wants tiles that are too small, or the device or the depths cannot be.
    """
    if settings.tile_pixels is not None:
        if settings.tile_pixels < SMALLEST_SIDE:
            raise OperatorError(
                f"Tiles of {settings.tile_pixels} pixels are too small; {SMALLEST_SIDE} is the least.",
                "Give more pixels, or leave the choice to the program.",
            )
        return settings.tile_pixels if max(header.image_shape) > settings.tile_pixels else None
    device = choose_device(settings.device)
    side = CPU_SIDE
    if device.type == "cuda":
        planes = choose_grid(header.image_shape, header.optics, depths_um(header, header.optics, settings)).shape_zyx[0]
        bytes_per_pixel = BYTES_PER_VOXEL * planes + BYTES_PER_IMAGE_PIXEL * len(header.patterns_pl)
        free, _ = torch.cuda.mem_get_info(device)
        side = max(256, 32 * math.floor(math.sqrt(free / bytes_per_pixel) / 32))
    rows, columns = header.image_shape
    return side if rows * columns > WHOLE_UP_TO * side**2 else None


@dataclass(frozen=True, eq=False)
class Survey:
    """What is known before the first tile.

    Attributes
    ----------
    tiling
        Where the tiles lie.
    light, height_mm_l
        LEDs as seen from the middle of the images, and their distance below the sample, (L,).
    settings
        For every tile: depths and held-out patterns are chosen.
    contrast_t, empty_t
        Squared contrast of each tile, noise taken off, (T,), and whether that is next to nothing.
    """

    tiling: Tiling
    light: Illumination
    height_mm_l: NDArray[np.float64]
    settings: FitSettings
    contrast_t: NDArray[np.float64]
    empty_t: NDArray[np.bool_]


class TiledReconstruction:
    """Driven as a `recon.reconstruct.Reconstruction` of a stored capture is.

    Parameters
    ----------
    run, settings, emit, pulse
        As there.
    capture_path, header
        The capture file and its head.
    largest
        Side of tiles at most, in pixels.

    Raises
    ------
    OperatorError
        The capture or the settings do not allow a reconstruction.
    """

    def __init__(
        self,
        run: int,
        capture_path: str,
        header: CaptureHeader,
        settings: FitSettings,
        emit: Callable[[Event], None],
        largest: int,
        pulse: Callable[[], None] = no_pulse,
    ) -> None:
        self.run = run
        self.settings = settings
        self.state = State.COLLECTING
        self.capture_path = capture_path
        self.device = choose_device(settings.device)
        check_time_limit(settings)
        self._header, self._largest = header, largest
        self._emit, self._pulse = emit, pulse
        self._started_s = time.monotonic()
        self._survey: Survey | None = None
        self._to_do: list[int] = []
        self._tiles: list[Field | None] = []
        self._number = -1
        self._tile: Reconstruction | None = None
        self._model = settings.model
        self._told: set[str] = set()
        self._changes_before = 0
        self._steps_before = 0
        self._announced = False
        self._reasons: list[str] = []
        self._reason = ""
        self._seconds = 0.0
        self._sha256 = ""

    # --- steering, as in Reconstruction -------------------------------------------------------------------------------

    @property
    def changes(self) -> int:
        """Changes of the field so far."""
        return self._changes_before + (0 if self._tile is None else self._tile.changes)

    @property
    def has_field(self) -> bool:
        """Whether there is something to look at."""
        return any(tile is not None for tile in self._tiles) or (self._tile is not None and self._tile.has_field)

    def finish(self, reason: str) -> None:
        """Stop fitting and keep what there is."""
        if self.state is State.FINISHED:
            return
        if not self.has_field:
            self._notify("There is no volume to keep yet: wait for the first one, or cancel.")
            return
        if self._tile is not None and self._tile.has_field:
            self._tile.finish(reason)
            self._keep_tile()
        self._tile = None
        self._end(reason)

    def advance(self) -> bool:
        """Do a portion of the work; whether there was any.

        Raises
        ------
        OperatorError
            The frames do not allow a reconstruction.
        """
        if self.state is State.FINISHED:
            return False
        if self._survey is None:
            self._survey = self._look_around()
            order = np.lexsort([-self._survey.contrast_t, self._survey.empty_t])
            self._tiles, self._to_do = [None] * len(order), order.tolist()
            return True
        try:
            if self._tile is None:
                self._begin_tile(self._survey)
            else:
                self._advance_tile(self._tile)
        except OperatorError as error:
            if not any(self._tiles):  # the strongest came first: what it lacks, the others lack too
                raise
            self._notify(f"There is nothing at {self._tile_text()}: {error.message}")
            self._next_tile()
        return True

    # --- work ---------------------------------------------------------------------------------------------------------

    def _look_around(self) -> Survey:
        header, settings, path = self._header, self.settings, self.capture_path
        glance = read_capture(path, central_window(header.image_shape, 1))
        tell_missing(self.run, glance, self._emit)
        available = np.unique(glance.pattern_n).astype(np.int64)
        height_mm_l = header.led_position_mm_l3[:, 2]
        if glance.calibration is not None:
            light = stored(header, glance.calibration)
        else:
            light = nominal(header)
            choose_held_out(np.intersect1d(light.bright_field(header.patterns_pl), available), (), len(available))
            self._emit(messages.Phase(self.run, "calibrating", "where the LEDs are, from the images' spectra"))
            centre = read_capture(path, central_window(header.image_shape, CENTRE_SIDE))
            light = from_rims(header, normalised(centre, light), self._notify)
            del centre
        if light.pose is not None:
            height_mm_l = height_mm_l * light.pose.distance_scale
        depths = depths_um(header, light.optics, settings)
        choose_grid(header.image_shape, light.optics, depths)
        overlap = 2 * pad_pixels((self._largest, self._largest), light.optics, depths)
        tiling = Tiling(*(lay_axis(side, self._largest, overlap) for side in header.image_shape))
        rows, columns = tiling.tile_shape
        self._notify(
            f"The images of {header.image_shape[0]} x {header.image_shape[1]} pixels are reconstructed in {len(tiling)}"
            f" tiles of {rows} x {columns}."
        )
        # What every tile can use is what may be held out: the edge of the aperture lies elsewhere for each.
        bright = available
        for tile in range(len(tiling)):
            seen = led_na_from(tiling.centre_um(tile, header.optics.pixel_um), light.led_na_l2, height_mm_l)
            bright = np.intersect1d(bright, replace(light, led_na_l2=seen).bright_field(header.patterns_pl))
        held_out = choose_held_out(bright, settings.hold_out, len(header.patterns_pl))
        surveyed = bright[:: math.ceil(len(bright) / SURVEYED_PATTERNS)].tolist()
        contrast_t, empty_t = np.zeros(len(tiling)), np.zeros(len(tiling), np.bool_)
        for tile in range(len(tiling)):
            self._pulse()
            part = read_capture(path, tiling.window(tile), surveyed)
            contrast_t[tile], empty_t[tile] = contrast_of(normalised(part, light), part.header)
        return Survey(
            tiling,
            light,
            height_mm_l,
            replace(settings, z_um=depths, hold_out=tuple(held_out.tolist())),
            contrast_t,
            empty_t,
        )

    def _begin_tile(self, survey: Survey) -> None:
        """Read the next tile and make its reconstruction."""
        self._number, light = self._to_do[0], survey.light
        number = self._number
        part = read_capture(self.capture_path, survey.tiling.window(number))
        share = np.where(survey.empty_t[self._to_do], EMPTY_TIME, 1.0)
        seconds = max(LEAST_SECONDS, self._left_s() * float(share[0] / share.sum()))
        centre_um = survey.tiling.centre_um(number, self._header.optics.pixel_um)
        led_na_l2 = led_na_from(centre_um, light.led_na_l2, survey.height_mm_l)
        no_gain_l = np.full(len(led_na_l2), np.nan)
        tile = Reconstruction(
            self.run,
            part.header,
            replace(survey.settings, model=self._model, max_seconds=seconds),
            self._tell_of_tile,
            part.dark_yx,
            part.background_pyx,
            pulse=self._pulse,
            available=part.pattern_n,
            calibration=Calibration(led_na_l2, no_gain_l, light.optics.objective_na, math.nan, light.origin),
        )
        for pattern, image_yx in zip(part.pattern_n.tolist(), part.images_nyx, strict=True):
            tile.add_frame(pattern, image_yx)
        tile.frames_done()
        self._tile = tile

    def _advance_tile(self, tile: Reconstruction) -> None:
        tile.advance()
        if tile.has_field:
            self.state = State.FITTING
        if tile.state is State.FINISHED:
            self._keep_tile()

    def _keep_tile(self) -> None:
        """Keep the network of the tile under way, and nothing else of it."""
        assert self._tile is not None
        field = self._tile.field()
        # The memory of the device is for the tile that is being fitted.
        network = field.network.to("cpu").requires_grad_(False)
        for parameter in network.parameters():
            parameter.grad = None
        self._tiles[self._number] = replace(field, network=network)
        self._reasons.append(field.history.reason)
        self._model = field.history.forward_model  # type: ignore[assignment]
        self._steps_before += field.history.steps
        self._next_tile()

    def _next_tile(self) -> None:
        self._changes_before = self.changes
        self._tile = None
        gc.collect()  # a reconstruction and its fit refer to each other: their memory must be free for the next
        self._to_do.remove(self._number)
        if not self._to_do:
            last = self._reasons[-1]
            self._end("time limit" if last == "converged" and "time limit" in self._reasons else last)

    def _end(self, reason: str) -> None:
        if self.state is State.FINISHED:
            return
        if self._to_do:
            self._notify(f"{len(self._to_do)} of {len(self._tiles)} tiles were not begun: the medium stands there.")
        self._changes_before += 1
        self._reason = reason
        self._seconds = time.monotonic() - self._started_s
        self.state = State.FINISHED
        self._sha256 = sha256_of(self.capture_path)
        field = self.field()
        self._emit(messages.Phase(self.run, "finished", reason))
        self._emit(
            messages.Finished(
                self.run, reason, field.history.held_out_error, self._seconds, self._steps_before,
                field.parameter_bytes,
            )
        )  # fmt: skip

    def _left_s(self) -> float:
        return max(0.0, self.settings.max_seconds - (time.monotonic() - self._started_s))

    # --- what is told -------------------------------------------------------------------------------------------------

    def _tile_text(self) -> str:
        return f"tile {len(self._tiles) - len(self._to_do) + 1} of {len(self._tiles)}"

    def _tell_of_tile(self, event: Event) -> None:
        """Pass on what a tile tells, as part of the whole."""
        match event:
            case messages.Phase(name="finished") | messages.Finished():
                pass
            case messages.Phase(name=name, detail=detail):
                self._emit(messages.Phase(self.run, name, f"{self._tile_text()}: {detail}"))
            case messages.FieldReady():
                if not self._announced:
                    self._announced = True
                    bounds_um = self._whole_bounds_um(event.bounds_um)
                    self._emit(replace(event, bounds_um=bounds_um))
            case messages.FitProgress(step=step):
                self._emit(
                    replace(
                        event, step=self._steps_before + step, elapsed_s=time.monotonic() - self._started_s,
                        eta_s=self._left_s(),
                    )
                )  # fmt: skip
            case messages.Notice(text=text):
                self._notify(text, f"{self._tile_text()}: ")
            case _:
                self._emit(event)

    def _whole_bounds_um(self, tile_um: NDArray[np.float64]) -> NDArray[np.float64]:
        """Bounds of the whole from those of a tile: same depths."""
        rows, columns = self._header.image_shape
        pixel_um = self._header.optics.pixel_um
        lower = (np.array([-(columns // 2), -(rows // 2)]) - 0.5) * pixel_um
        whole = tile_um.copy()
        whole[:, :2] = lower, lower + np.array([columns, rows]) * pixel_um
        return whole

    def _notify(self, text: str, before: str = "") -> None:
        if text in self._told:  # what one tile told, the others need not say again
            return
        self._told.add(text)
        log.warning("%s%s", before, text)
        self._emit(messages.Notice(self.run, before + text))

    # --- output -------------------------------------------------------------------------------------------------------

    def field(self) -> TiledField:
        """Return the field as it is now, with its history."""
        assert self._survey is not None
        tiles = list(self._tiles)
        if self._tile is not None and self._tile.has_field:
            tiles[self._number] = self._tile.field()
        height_mm = float(np.median(self._survey.height_mm_l))
        return TiledField(tuple(tiles), self._survey.tiling, self._survey.light.optics, self._history(tiles), height_mm)

    def _history(self, tiles: list[Field | None]) -> History:
        """History of the whole: errors by the tiles' shares in all contrast, brightness as their mean."""
        assert self._survey is not None
        done = [(tile.history, weight) for tile, weight in zip(tiles, self._survey.contrast_t, strict=True) if tile]
        histories = [history for history, _ in done]
        errors = [(h.held_out_error, w) for h, w in done if h.held_out_error is not None]
        total = sum(weight for _, weight in errors)
        held_out_error = math.sqrt(sum(w * e**2 for e, w in errors) / total) if total > 0 else None
        return History(
            forward_model=histories[0].forward_model,
            reason=self._reason or "not finished",
            held_out_error=held_out_error,
            training_loss=float(np.mean([history.training_loss for history in histories])),
            held_out=self._survey.settings.hold_out,
            steps=sum(history.steps for history in histories),
            seconds=self._seconds or time.monotonic() - self._started_s,
            seed=self.settings.seed,
            capture_name=Path(self.capture_path).name,
            capture_sha256=self._sha256,
            led_na_l2=self._survey.light.led_na_l2,
            pattern_gain_p=mean_of_known([history.pattern_gain_p for history in histories]),
            led_gain_l=mean_of_known([history.led_gain_l for history in histories]),
            versions=program_versions(),
        )


def normalised(capture: Capture, light: Illumination) -> Images:
    """Images of a capture that was read, relative to the empty field."""
    header = replace(capture.header, led_na_l2=light.led_na_l2, optics=light.optics)
    measurement = Measurement(header, capture.dark_yx, capture.background_pyx)
    for pattern, image_yx in zip(capture.pattern_n.tolist(), capture.images_nyx, strict=True):
        measurement.add(pattern, image_yx)
    return measurement.images()


def contrast_of(images: Images, header: CaptureHeader) -> tuple[float, bool]:
    """Mean square of I - 1 without the camera's noise, and whether that is next to nothing beside the noise."""
    if len(images.pattern_p) == 0:
        return 0.0, True
    power = float(((images.intensity_pyx - 1.0) ** 2).mean())
    noise = noise_variance(torch.from_numpy(images.intensity_pyx), header.optics.pixel_um, header.optics)
    return max(0.0, power - noise), power - noise < EMPTY_BELOW * noise


def mean_of_known(values: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Mean of arrays of the same shape where any of them is a number; NaN elsewhere."""
    stack = np.stack(values)
    known = np.isfinite(stack)
    count = known.sum(axis=0)
    total = np.where(known, stack, 0.0).sum(axis=0)
    mean: NDArray[np.float64] = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    return mean
