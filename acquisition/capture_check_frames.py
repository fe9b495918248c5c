"""Checks of the frames of a capture: how many, of what, how bright, and in which order."""

from __future__ import annotations

import tomllib
from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from acquisition.capture_dark import EXPOSURE_TOLERANCE, read_darks
from acquisition.capture_layout import FRAME_DATA
from acquisition.capture_saturation import SATURATED_LIMIT, saturated_share
from acquisition.finding import Finding, error, ok, warning

if TYPE_CHECKING:
    from collections.abc import Iterator

    import h5py

    from acquisition.capture_salvage import OpenCapture

_OLDEST_DARK_H = _OLDEST_BACKGROUND_H = 24.0
_NAMED = 5


def check_numbers(capture: OpenCapture) -> Iterator[Finding]:
    """Look for frames that are missing or not whole."""
    file = capture.file
    counts = {name: len(file[f"entry/data/{name}"]) for name in FRAME_DATA}
    whole, count = len(capture.whole_frames()), min(counts.values())
    if max(counts.values()) != count:
        longest = max(counts, key=lambda name: counts[name])
        text = f"{count} frames have all their parts, but {longest} has {counts[longest]}"
        yield error("frames", text, f"Leave out the unfinished one: fieldscope recover {capture.path}")
    if whole < count:
        text = f"{whole} of {count} frames are whole"
        yield error("frames", text, f"Save them: fieldscope recover {capture.path}")
    planned = file["entry"].attrs.get("frames_planned")
    status = file["entry/status"][0].decode(errors="replace")
    if planned is not None and count != planned:
        level = error if status == "complete" else warning
        yield level("frames", f"{count} of {int(planned)} planned", "Reconstruct what is there, or scan again.")
    elif max(counts.values()) == count == whole:
        yield ok("frames", f"{count} whole") if count else error("frames", "none", "Scan again.")
    if unchecked := int(file["entry"].attrs.get("frames_unchecked", 0)):
        text = f"{unchecked} were taken before a pause or an early end: that LEDs were in step was not checked"
        yield warning("steps", text, "Compare some images with those of a scan that came to its end.")


def check_patterns(capture: OpenCapture) -> Iterator[Finding]:
    """Look whether each frame has its pattern, and each pattern its frames."""
    file = capture.file
    patterns = len(file["entry/illumination/patterns"])
    pattern_n = file["entry/data/pattern"][()]
    wrong = np.flatnonzero((pattern_n < 0) | (pattern_n >= patterns))
    if len(wrong):
        first = f"frame {wrong[0]}: {pattern_n[wrong[0]]}, 0 to {patterns - 1} exist"
        text = f"{len(wrong)} frames have a pattern that is none; {first}"
        yield error("patterns of frames", text, "Acquire again: nobody knows which LED was lit.")
        return
    found = Counter(pattern_n.tolist())
    missing = [pattern for pattern in range(patterns) if not found[pattern]]
    complete = file["entry/status"][0] == b"complete"
    if missing:
        level = error if complete else warning
        text = f"{len(missing)} of {patterns} have no frame: {_some(missing)}"
        yield level("patterns", text, "Reconstruct without them, or scan again.")
    elif len(set(found.values())) > 1:
        text = f"{min(found.values())} to {max(found.values())} frames each"
        yield warning("patterns", text, "None needed: more frames of a pattern count more.")
    else:
        yield ok("patterns", f"{patterns}, {next(iter(found.values()), 0)} frames each")


def check_counts(capture: OpenCapture) -> Iterator[Finding]:
    """Look at the pixels: saturated, too bright for the camera, the same in every pixel, or a frame twice."""
    file = capture.file
    optics = file["entry/optics"].attrs
    full, offset = 2 ** int(optics["bit_depth"]) - 1, float(optics["camera_offset"])
    told = file["entry/data/saturated_fraction"][()]
    saturated: dict[int, float] = {}
    full_below: set[int] = set()
    mistold: list[int] = []
    beyond: list[int] = []
    flat: list[int] = []
    twice: list[int] = []
    before = b""
    frames = capture.whole_frames()
    for frame in frames:
        image = capture.image(frame)
        least, most = int(image.min(initial=full)), int(image.max(initial=0))
        fraction = saturated_share(image, full, offset)
        if fraction > SATURATED_LIMIT:
            saturated[frame] = fraction
            full_below.update({most} if most < full else ())
        # Images of other programs, and captures of earlier versions, are told by the largest possible count alone.
        if not abs(told[frame] - fraction) <= 1e-6 and not (most < full and told[frame] == 0):
            mistold.append(frame)
        if most > full:
            beyond.append(frame)
        if least == most and image.size > 1:
            flat.append(frame)
        now = image.tobytes()
        if now == before:
            twice.append(frame)
        before = now
    if beyond:
        text = f"frames {_some(beyond)} exceed {full}, the most that bit_depth allows"
        yield error("counts", text, "Correct camera.bit_depth in the profile.")
    if flat:
        text = f"frames {_some(flat)} have the same count in every pixel"
        yield error("counts", text, "Check shutter, light and camera, and scan again.")
    if set(twice) - set(flat):
        text = f"frames {_some(sorted(set(twice) - set(flat)))} are equal to the one before: the camera gave one twice"
        yield error("counts", text, "Scan again: LEDs and frames may be out of step.")
    if saturated:
        worst = max(saturated, key=lambda frame: saturated[frame])
        text = (
            f"{len(saturated)} frames have more than {SATURATED_LIMIT:.1%} saturated pixels; frame {worst}:"
            f" {saturated[worst]:.1%}"
        )
        if full_below:
            text += f"; pixels heap up at {min(full_below)} counts, where the sensor seems to be full ({full} possible)"
        yield warning("saturation", text, "Expose for a shorter time, or dim the LEDs.")
    if mistold:
        text = f"saturated_fraction is not what frames {_some(mistold)} show"
        yield warning("saturation", text, "None needed: the images themselves count.")
    if frames and not (beyond or flat or twice or saturated or mistold):
        yield ok("counts", f"no frame has more than {SATURATED_LIMIT:.1%} saturated pixels")


def check_times(capture: OpenCapture) -> Iterator[Finding]:
    """Look at exposures and at the order of the frames in time."""
    file = capture.file
    exposure = file["entry/data/exposure_ms"][()]
    low, high = _exposure_limits(file)
    wrong = np.flatnonzero(~((exposure >= low) & (exposure <= high) & (exposure > 0) & np.isfinite(exposure)))
    if len(wrong):
        text = f"{len(wrong)} frames outside {low:g} to {high:g} ms, frame {wrong[0]}: {exposure[wrong[0]]:g} ms"
        yield error("exposure", text, "Correct camera.exposure_ms or plan.exposure_ms in the profile.")
    elif len(exposure):
        yield ok("exposure", " to ".join(f"{value:g}" for value in sorted({exposure.min(), exposure.max()})) + " ms")
    time_s = file["entry/data/host_time_s"][()]
    if not len(time_s):
        return
    if np.isnan(time_s).all():
        yield ok("times", "not known, as in imported images")
    elif not np.isfinite(time_s).all():
        yield warning("times", "some are not known", "None needed to reconstruct.")
    elif (backward := np.flatnonzero(np.diff(time_s) <= 0)).size:
        frame = int(backward[0]) + 1
        text = f"frame {frame} is not later than the one before ({time_s[frame]:.3f} s after {time_s[frame - 1]:.3f} s)"
        yield error("times", text, "Frames stand in order of exposure: scan again.")
    else:
        yield ok("times", f"in order, {time_s[-1] - time_s[0]:.1f} s in all")


def check_references(capture: OpenCapture) -> Iterator[Finding]:
    """Look at dark frame and background."""
    file = capture.file
    if "entry/dark" not in file:
        offset = float(file["entry/optics"].attrs["camera_offset"])
        if offset:
            yield ok("dark frame", f"none; {offset:g} counts are subtracted instead")
        else:
            yield warning(
                "dark frame", "none, and camera_offset is 0", "Take dark frames (plan.dark_frames) next time."
            )
    else:
        yield from _dark(file)
    if "entry/background" in file:
        background = file["entry/background"][()]
        if np.isfinite(background).all() and (background > 0).any(axis=(1, 2)).all():
            yield _age_of_background(file) or ok("background", f"{len(background)} images")
        else:
            yield error("background", "has images without light or without number", "Take it again.")


def _dark(file: h5py.File) -> Iterator[Finding]:
    darks = read_darks(file["entry"])
    light = file["entry/data/images"]
    if not all(np.isfinite(dark.image_yx).all() for dark in darks):
        yield error("dark frame", "has pixels without number", "Take it again.")
        return
    mean = float(darks[0].image_yx.mean())
    brightest = max((float(light[frame].mean()) for frame in {0, len(light) - 1} if len(light)), default=np.inf)
    if mean > brightest:
        yield warning("dark frame", f"brighter ({mean:.0f} counts) than an image", "Shut out the room light.")
    own_ms = [dark.exposure_ms for dark in darks if dark.exposure_ms is not None]
    used_ms = np.unique(file["entry/data/exposure_ms"][()])
    lacking_ms = [ms for ms in used_ms.tolist() if all(abs(ms / own - 1) > EXPOSURE_TOLERANCE for own in own_ms)]
    exposed = ", ".join(f"{ms:g}" for ms in own_ms)
    if own_ms and lacking_ms:
        text = f"exposed for {exposed} ms, images for {', '.join(f'{ms:g}' for ms in lacking_ms[:_NAMED])} ms"
        yield warning("dark frame", text, "Take dark frames of the same exposure.")
        return
    for name in ("dark", "darks"):
        taken = file["entry"][name].attrs.get("time") if name in file["entry"] else None
        if taken is not None and (age_h := _hours_from_start(file, str(taken))) > _OLDEST_DARK_H:
            text = f"taken {age_h:.0f} h away from the images; {_OLDEST_DARK_H:.0f} h is the limit"
            yield warning("dark frame", text, "Take dark frames with each scan.")
            return
    yield ok("dark frame", f"mean {mean:.1f} counts" + (f", {exposed} ms" if exposed else ""))


def _hours_from_start(file: h5py.File, taken: str) -> float:
    """Hours between a time (ISO 8601) and the start of the capture."""
    start = datetime.fromisoformat(str(file["entry"].attrs["start_time"]))
    return abs((start - datetime.fromisoformat(taken)).total_seconds()) / 3600


def _age_of_background(file: h5py.File) -> Finding | None:
    """Warn of a background taken long before or after; None where all is well or nobody knows."""
    try:
        age_h = _hours_from_start(file, str(file["entry/background"].attrs["time"]))
    except (KeyError, ValueError, TypeError):
        return None
    if age_h <= _OLDEST_BACKGROUND_H:
        return None
    text = f"taken {age_h:.0f} h away from the images; {_OLDEST_BACKGROUND_H:.0f} h is the limit"
    return warning("background", text, "Dust and LEDs may have moved: take the empty field each day.")


def _exposure_limits(file: h5py.File) -> tuple[float, float]:
    """What the stored profile allows, in ms; anything above 0 where it does not tell."""
    try:
        limits = tomllib.loads(file["entry/profile"].asstr()[()])["camera"]["exposure_ms"]
        return float(limits["min"]), float(limits["max"])
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError):
        return 0.0, float("inf")


def _some(numbers: list[int]) -> str:
    more = len(numbers) - _NAMED
    return ", ".join(map(str, numbers[:_NAMED])) + (f" and {more} more" if more > 0 else "")
