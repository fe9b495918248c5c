"""From camera counts to the numbers that physics speaks of: intensity relative to the empty field.

    I = (counts - dark) / (empty - dark)

`dark` is the mean dark frame of the exposure nearest to the frame's, else the camera's offset. `empty` is the same
pattern's image of an empty field where there is one, else the image's own mean, which the unscattered light dominates
in bright field. Frames of the same pattern are averaged. An empty field that a capture holds is exposed as its frames
are, pattern by pattern (`acquisition.capture_reference`), so it needs no scaling here.

In dark field nothing is seen of an empty field but stray light, and what a dark frame of a shorter exposure lacks: it
is subtracted, and the rest divided by its own mean.

Saturated pixels are wrong by an unknown amount. The linear model works on whole images in Fourier space and could not
leave single pixels out; so a frame with many of them is left out as a whole, and a few are told and kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from acquisition.aperture import inside_aperture
from acquisition.capture import DarkFrame, counts_without_light
from acquisition.errors import OperatorError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from acquisition.capture import CaptureHeader

SATURATED_TOLD = 0.001
"""Share of saturated pixels from which the operator is told."""

SATURATED_MOST = 0.02
"""Share of saturated pixels from which a frame does more harm than its absence: with dozens of LEDs one can be missed,
while its flattened brightest parts, those of the strongest contrast, would be fitted as if they were the sample."""

STRAY_MOST = 0.8
"""Empty field over image, in mean light, up to which that is stray light; beyond it the LED is seen directly after all,
as one may be that the profile has just outside the aperture."""

HOLD_OUT_EVERY = 9
HOLD_OUT_FIRST = 4
"""Which patterns are kept from the fit when nobody chose: 4, 13, 22 and so on."""


@dataclass(frozen=True, eq=False)
class Images:
    """Normalised images of the patterns measured so far.

    Attributes
    ----------
    intensity_pyx
        I / I_empty, (P, H, W) float32.
    pattern_p
        Which row of the capture's patterns each is, (P,), ascending.
    level_p
        Mean counts of each, without dark, (P,).
    frames
        How many frames they were made from.
    mean_is_one
        Whether each image was divided by its own mean, for want of an empty field.
    """

    intensity_pyx: NDArray[np.float32]
    pattern_p: NDArray[np.int64]
    level_p: NDArray[np.float64]
    frames: int
    mean_is_one: bool


class Measurement:
    """Collects the frames of one capture as they come and normalises them.

    Parameters
    ----------
    header
        Head of the capture.
    darks, background_pyx
        Mean dark frames and empty-field counts per pattern, where the capture has them.

    Raises
    ------
    OperatorError
        Dark frame or background do not fit the images.
    """

    def __init__(
        self,
        header: CaptureHeader,
        darks: Sequence[DarkFrame] = (),
        background_pyx: NDArray[np.float32] | None = None,
    ) -> None:
        shape = tuple(header.image_shape)
        for dark in darks:
            if dark.image_yx.shape != shape:
                raise OperatorError(
                    f"The dark frame has shape {dark.image_yx.shape}, the images {shape}.",
                    "Record dark frames with the same ROI.",
                )
        expected = (len(header.patterns_pl), *shape)
        if background_pyx is not None and background_pyx.shape != expected:
            raise OperatorError(
                f"The background has shape {background_pyx.shape}, the patterns' images {expected}.",
                "Record the empty field with the same plan and ROI.",
            )
        self.header = header
        self.skipped: list[int] = []
        """Patterns of frames that had no light in them."""
        self.saturated: dict[int, float] = {}
        """Largest share of saturated pixels in a pattern's frames, where it is worth telling."""
        self.overexposed: list[int] = []
        """Patterns of frames that were left out for it."""
        self._full_count = 2**header.optics.bit_depth - 1
        self._darks = list(darks)
        self._dark_frames: dict[float | None, int] = {}
        self._background_pyx = background_pyx
        self._sums: dict[int, NDArray[np.float32]] = {}
        self._counts: dict[int, int] = {}
        self._levels: dict[int, float] = {}

    def add_dark(self, counts_yx: NDArray[np.uint16] | NDArray[np.float32], exposure_ms: float | None = None) -> None:
        """Take a dark frame, (H, W) counts, into the mean of its exposure."""
        place = next((k for k, dark in enumerate(self._darks) if dark.exposure_ms == exposure_ms), None)
        count = self._dark_frames[exposure_ms] = self._dark_frames.get(exposure_ms, 0) + 1
        if place is None:
            place = len(self._darks)
            self._darks.append(DarkFrame(np.zeros(counts_yx.shape, np.float32), exposure_ms))
        known_yx = self._darks[place].image_yx if count > 1 else np.float32(0)
        mean_yx = (known_yx + (counts_yx - known_yx) / count).astype(np.float32)
        self._darks[place] = DarkFrame(mean_yx, exposure_ms)

    def add(
        self, pattern: int, counts_yx: NDArray[np.uint16] | NDArray[np.float32], exposure_ms: float | None = None
    ) -> None:
        """Take a frame, (H, W) counts, of a row of the capture's patterns.

        Parameters
        ----------
        pattern, counts_yx
            The row, and the counts.
        exposure_ms
            Of the frame; None: the first dark frame is subtracted.

        Raises
        ------
        OperatorError
            The frame does not belong to this capture.
        """
        if counts_yx.shape != tuple(self.header.image_shape) or not 0 <= pattern < len(self.header.patterns_pl):
            raise OperatorError(
                f"A frame of shape {counts_yx.shape} with pattern {pattern} does not belong to a capture of shape"
                f" {tuple(self.header.image_shape)} with {len(self.header.patterns_pl)} patterns.",
                "Check the capture file with `fieldscope info`.",
            )
        saturated = float(np.mean(counts_yx >= self._full_count))
        if saturated > SATURATED_TOLD:
            self.saturated[pattern] = max(saturated, self.saturated.get(pattern, 0.0))
        if saturated > SATURATED_MOST:
            self.overexposed.append(pattern)
            return
        dark = counts_without_light(self._darks, exposure_ms, self.header.optics.camera_offset)
        signal = (counts_yx.astype(np.float32) - dark).astype(np.float32, copy=False)
        level = np.float32(signal.mean())
        empty: np.float32 | NDArray[np.float32] = level
        if self._background_pyx is not None:
            light = (self._background_pyx[pattern] - dark).astype(np.float32)
            if not self._is_dark_field(pattern):
                empty = light
            elif light.mean() <= STRAY_MOST * level:
                signal -= light
                empty = level = np.float32(signal.mean())
        if not np.all(empty > 0):
            self.skipped.append(pattern)
            return
        self._sums[pattern] = self._sums.get(pattern, np.float32(0)) + signal / empty
        self._counts[pattern] = self._counts.get(pattern, 0) + 1
        self._levels[pattern] = self._levels.get(pattern, 0.0) + float(level)

    def _is_dark_field(self, pattern: int) -> bool:
        """Whether none of a pattern's LEDs shines into the aperture: an empty field is dark then, and no measure."""
        lit = self.header.patterns_pl[pattern] > 0
        return not inside_aperture(self.header.led_na_l2[lit], self.header.optics.objective_na).any()

    def __len__(self) -> int:
        """Count the patterns measured so far."""
        return len(self._sums)

    @property
    def patterns_pl(self) -> NDArray[np.float32]:
        """Brightness of each LED in each pattern, (P, L)."""
        return self.header.patterns_pl

    @property
    def mean_is_one(self) -> bool:
        """See `Images.mean_is_one`."""
        return self._background_pyx is None

    def check(self, notify: Callable[[str], None]) -> None:
        """All frames are there: tell what is wrong with their light.

        Raises
        ------
        OperatorError
            None of them is of use.
        """
        if not self._sums and self.saturated:
            raise OperatorError(
                f"All frames of the capture are saturated: up to {max(self.saturated.values()):.0%} of their pixels.",
                "Capture again with a shorter exposure; `fieldscope capture --expose auto` finds it.",
            )
        if not self._sums:
            raise OperatorError(
                "The capture has no frame with light in it.",
                "Check exposure and LEDs, then capture again; `fieldscope info` shows the file.",
            )
        kept = {row: share for row, share in self.saturated.items() if row in self._sums}
        if kept:
            worst = max(kept, key=lambda row: kept[row])
            notify(
                f"{len(kept)} patterns have saturated pixels, most of all pattern {worst}: {kept[worst]:.1%}. The"
                " index is less certain where the images are brightest."
            )

    def image(self, pattern: int) -> NDArray[np.float32] | None:
        """Return the image of a pattern as measured so far, (H, W); None while there is none."""
        if pattern not in self._sums:
            return None
        return self._sums[pattern] / np.float32(self._counts[pattern])

    def images(self) -> Images:
        """Return the images measured so far."""
        rows = sorted(self._sums)
        shape = (len(rows), *self.header.image_shape)
        stack = np.empty(shape, np.float32)
        for place, row in zip(stack, rows, strict=True):
            np.divide(self._sums[row], np.float32(self._counts[row]), out=place)
        level_p = np.array([self._levels[row] / self._counts[row] for row in rows])
        return Images(stack, np.array(rows, np.int64), level_p, sum(self._counts.values()), self.mean_is_one)


def choose_held_out(patterns: NDArray[np.int64], wanted: tuple[int, ...], total: int) -> NDArray[np.int64]:
    """Decide which patterns the fit never sees.

    Parameters
    ----------
    patterns
        Rows that the reconstruction can use.
    wanted
        Rows chosen by the operator; empty: every ninth usable one.
    total
        Number of patterns of the capture.

    Raises
    ------
    OperatorError
        A wanted row does not exist, or too few would be left to fit.
    """
    if wanted:
        wrong = [row for row in wanted if not 0 <= row < total]
        if wrong:
            raise OperatorError(
                f"Patterns {', '.join(map(str, wrong))} cannot be held out: the capture has {total} patterns.",
                f"Give numbers from 0 to {total - 1}.",
            )
        held = np.intersect1d(patterns, np.array(wanted, np.int64))
    else:
        held = patterns[HOLD_OUT_FIRST::HOLD_OUT_EVERY]
    if len(patterns) - len(held) < 2:
        raise OperatorError(
            f"{len(patterns)} usable patterns with {len(held)} held out leave too few to fit; 2 is the least.",
            "Hold out fewer, or capture more bright-field LEDs.",
        )
    return held
