"""What an experiment will take, told before it starts: time, light on the sample, and room on the disk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from acquisition.aperture import inside_aperture
from acquisition.pacing import CHECK_FRAMES
from acquisition.plan import Pace

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from acquisition.experiment import Experiment
    from acquisition.profile import Profile

LEAST_BRIGHT = 3
"""Bright-field patterns: two to fit and one to hold out."""
READOUT_MS = 30.0
"""What a frame takes beyond settling and exposing, until a scan has shown it."""
LINK_MS = 2.0
"""What a command to an LED board on USB takes, reply included."""
MOVE_S = 1.0
"""What a stage takes to another position, settling included."""

_FILE_BYTES, _FRAME_BYTES = 75_000, 120
"""Of a capture beside its images and large arrays: once, and for each frame (numbers, and HDF5's index)."""


@dataclass(frozen=True)
class Estimate:
    """What an experiment will take.

    Attributes
    ----------
    scans, frames, dark_frames
        Number of scans; of frames stored by all of them, and of frames without light, which are not.
    patterns, leds
        Of the plan.
    mixed
        Patterns that light both inside and outside the objective's NA; a reconstruction cannot use them.
    bright
        Patterns that light inside alone; a reconstruction of whatever model begins with them.
    settle_unused_ms
        The board's settling time where the board leads: it cannot be waited for.
    scan_s, total_s
        Time of the first scan, and from the start to the end of the experiment.
    late_s
        By how much the last time point begins later than due; 0 where the interval suffices.
    round_s, interval_s
        Time that all scans of one time point take at most, and time between two of them.
    led_exposure_s
        Exposure of the LED that is exposed longest, brightness counted.
    light_s
        Exposures of all LEDs added up, brightness counted.
    brightfield_s
        How long all bright-field LEDs together would have to shine for the same light; None where there are none.
    brightfield_share
        The same, as a part of the time for which the camera exposes.
    lit_share
        Time for which the LEDs shine over that for which the camera exposes: they are on while settling and read-out.
    dose_j_per_cm2
        Light on the sample while the LEDs are on; None where the profile does not give an LED's irradiance.
    file_bytes
        Size of the capture; None where nobody knows yet how large an image is.
    """

    scans: int
    frames: int
    dark_frames: int
    patterns: int
    leds: int
    mixed: int
    bright: int
    settle_unused_ms: float
    scan_s: float
    total_s: float
    late_s: float
    round_s: float
    interval_s: float
    led_exposure_s: float
    light_s: float
    brightfield_s: float | None
    brightfield_share: float | None
    lit_share: float
    dose_j_per_cm2: float | None
    file_bytes: int | None

    def lines(self) -> list[str]:
        """Tell it to the operator."""
        dark = f" after {self.dark_frames} without light" if self.dark_frames else ""
        scans = f" in {self.scans} scans" if self.scans > 1 else ""
        lines = [
            f"{self.leds} LEDs in {self.patterns} patterns: {self.frames} frames{scans}{dark}",
            f"time: about {short_duration_text(self.total_s)}"
            + (f", {short_duration_text(self.scan_s)} for the first scan" if self.scans > 1 else ""),
        ]
        if self.mixed:
            lines.append(f"{self.mixed} patterns mix bright and dark field: a reconstruction leaves them out")
        if self.bright < LEAST_BRIGHT:
            lines.append(
                f"{self.bright} patterns are bright field alone: no field can be reconstructed, which begins with"
                f" {LEAST_BRIGHT} of them or more, whatever the model"
            )
        if self.settle_unused_ms:
            lines.append(
                f"the board leads: led_board.settle_ms ({self.settle_unused_ms:g} ms) is not waited for, the camera"
                " exposes with the board's pulse"
            )
        if self.late_s > 0:
            lines.append(
                f"a time point takes {short_duration_text(self.round_s)},"
                f" the interval is {short_duration_text(self.interval_s)}: time points follow as fast as they can,"
                f" the last one begins {short_duration_text(self.late_s)} late"
            )
        light = f"light: {self.light_s:.3g} s of one LED (one LED at most {self.led_exposure_s:.3g} s)"
        if self.brightfield_s is not None and self.brightfield_share is not None:
            light += (
                f", as much as all bright-field LEDs in {self.brightfield_s:.3g} s:"
                f" {100 * self.brightfield_share:.2g} % of bright field with the same exposures"
            )
        lines.append(light)
        shine = f"LEDs shine {self.lit_share:.1f} times as long as the camera exposes"
        lines.append(shine if self.dose_j_per_cm2 is None else f"{shine}: {self.dose_j_per_cm2:.3g} J/cm2 in all")
        if self.file_bytes is not None:
            lines.append(f"file: {bytes_text(self.file_bytes)}")
        return lines


def estimate(
    experiment: Experiment,
    profile: Profile,
    led_na_l2: NDArray[np.float64],
    image_shape: tuple[int, int] | None = None,
    readout_ms: float = READOUT_MS,
    link_ms: float = LINK_MS,
) -> Estimate:
    """Estimate an experiment.

    Parameters
    ----------
    experiment, profile
        What is done with which microscope.
    led_na_l2
        (L, 2) direction of every LED of the board.
    image_shape
        Rows and columns, as the open camera gives them; None: as far as the profile tells.
    readout_ms, link_ms
        As `ExposurePlan.frame_ms_n` has them.
    """
    plan, image_shape = experiment.plan, image_shape or _image_shape(profile)
    frame_ms_n = plan.frame_ms_n(readout_ms, link_ms)
    lit_n = plan.order_n >= 0
    rows = plan.order_n[lit_n]
    scans = experiment.scan_count
    # Per scan, in seconds of one LED at full brightness
    exposed_l = plan.patterns_pl[rows].T @ plan.exposure_ms_n[lit_n] / 1000
    shining_s = float(plan.patterns_pl[rows].sum(axis=1) @ frame_ms_n[lit_n]) / 1000
    light_s, exposing_s = scans * float(exposed_l.sum()), scans * float(plan.exposure_ms_n[lit_n].sum()) / 1000
    inside_l = inside_aperture(led_na_l2, profile.objective.na)
    bright, lit_pl = int(inside_l.sum()), plan.patterns_pl > 0
    irradiance = profile.illumination.irradiance_mw_per_cm2
    lit_in_p, lit_out_p = ((lit_pl & part_l).any(axis=1) for part_l in (inside_l, ~inside_l))
    board_leads = plan.pace in (Pace.BOARD, Pace.HANDSHAKE)
    scan_s, round_s, total_s, late_s = _times(experiment, frame_ms_n, lit_n)
    frames = scans * int(lit_n.sum())
    return Estimate(
        scans=scans,
        frames=frames,
        dark_frames=plan.dark_count,
        patterns=plan.pattern_count,
        leds=int(lit_pl.any(axis=0).sum()),
        mixed=int((lit_in_p & lit_out_p).sum()),
        bright=int((lit_in_p & ~lit_out_p).sum()),
        settle_unused_ms=plan.settle_ms if board_leads else 0.0,
        scan_s=scan_s,
        total_s=total_s,
        late_s=late_s,
        round_s=round_s,
        interval_s=experiment.time_lapse.interval_s,
        led_exposure_s=scans * float(exposed_l.max()),
        light_s=light_s,
        brightfield_s=light_s / bright if bright else None,
        brightfield_share=light_s / bright / exposing_s if bright else None,
        lit_share=scans * shining_s / light_s,
        dose_j_per_cm2=None if irradiance is None else irradiance / 1000 * scans * shining_s,
        file_bytes=None if image_shape is None else _file_bytes(experiment, profile, image_shape),
    )


def duration_text(seconds: float) -> str:
    """Time as an operator says it: 8 s, 2:05 min, 1:20 h."""
    whole = max(0, round(seconds))
    if whole < 90:
        return f"{whole} s"
    if whole < 5400:
        return f"{whole // 60}:{whole % 60:02d} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02d} h"


def short_duration_text(seconds: float) -> str:
    """The same, with tenths of a second below ten: a quick scan does not take 0 s."""
    return f"{seconds:.1f} s" if seconds < 10 else duration_text(seconds)


def bytes_text(count: int) -> str:
    """Size as an operator says it: 4.3 MB, 120 GB."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count / 1e3:.0f} kB"


def _times(
    experiment: Experiment, frame_ms_n: NDArray[np.float64], lit_n: NDArray[np.bool_]
) -> tuple[float, float, float, float]:
    """Go through the experiment's time: first scan, longest time point, end, and delay of the last time point."""
    plan, autofocus = experiment.plan, experiment.autofocus
    # Beyond the plan: the frames that show whether LEDs and frames are in step.
    lit_s = float(frame_ms_n[lit_n].sum() + CHECK_FRAMES * np.median(frame_ms_n[lit_n])) / 1000
    dark_s = float(frame_ms_n[~lit_n].sum()) / 1000
    beyond_ms = float((frame_ms_n - plan.exposure_ms_n).mean())
    focus_s = 0.0 if autofocus is None else autofocus.frames * (plan.main_exposure_ms + beyond_ms) / 1000
    now_s = round_s = late_s = began_s = 0.0
    for visit in experiment.visits():
        if visit.position == 0:
            round_s = max(round_s, now_s - began_s)
            late_s = max(0.0, now_s - visit.due_s)
            began_s = now_s = max(now_s, visit.due_s)
        now_s += lit_s + (dark_s if visit.dark else 0.0) + (focus_s if visit.focus else 0.0)
        now_s += 0.0 if visit.place is None else MOVE_S
    return lit_s + dark_s, max(round_s, now_s - began_s), now_s, late_s


def _image_shape(profile: Profile) -> tuple[int, int] | None:
    """Rows and columns of an image, where the profile tells."""
    if profile.camera.roi is not None:
        return profile.camera.roi[3], profile.camera.roi[2]
    return None if profile.simulation is None else (profile.simulation.image_px, profile.simulation.image_px)


def _file_bytes(experiment: Experiment, profile: Profile, image_shape: tuple[int, int]) -> int:
    plan, pixels = experiment.plan, image_shape[0] * image_shape[1]
    frames = experiment.scan_count * (plan.frame_count - plan.dark_count)
    leds = plan.patterns_pl.shape[1]
    size: int = _FILE_BYTES + frames * (2 * pixels + _FRAME_BYTES) + plan.patterns_pl.nbytes + 40 * leds
    size += 4 * pixels * len(plan.exposures_ms) if plan.dark_count else 0
    if profile.simulation is not None and experiment.stays:  # what the sample really is, where it stays in its place
        from acquisition.simulated.microscope import truth_planes

        parts = 2 if profile.simulation.phantom == "absorbing" else 1
        size += 4 * parts * pixels * truth_planes(profile.sample.z_um)
    return size
