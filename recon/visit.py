"""Which frames of a capture one field is made from: those of one time point and position."""

from __future__ import annotations

from typing import TYPE_CHECKING

from acquisition.capture import read_capture, read_visits
from acquisition.errors import OperatorError

if TYPE_CHECKING:
    from collections.abc import Collection

    from acquisition.capture import Capture, Window
    from recon.messages import FitSettings


def choose_visit(capture_path: str, settings: FitSettings) -> tuple[tuple[int, int], str]:
    """Find the time point and position that the settings choose; the first ones where they do not.

    Returns
    -------
    visit
        Time point and position.
    text
        What to tell the operator where there would have been a choice, else empty.

    Raises
    ------
    OperatorError
        The capture has no frame of them, or cannot be read.
    """
    visits = list(read_visits(capture_path))
    wanted = (settings.time_point, settings.position)
    fitting = [
        visit
        for visit in visits
        if all(asked is None or asked == has for asked, has in zip(wanted, visit, strict=True))
    ]
    times, positions = sorted({visit[0] for visit in visits}), sorted({visit[1] for visit in visits})
    if not fitting:
        if not visits and not any(wanted):  # without frames; whoever reads it says what is wrong
            return (0, 0), ""
        asked = " and ".join(
            f"{name} {number}"
            for name, number in zip(("time point", "position"), wanted, strict=True)
            if number is not None
        )
        raise OperatorError(
            f"The capture has no frame of {asked}.",
            f"It has time points {_span(times)} and positions {_span(positions)}." if visits else "It has no frames.",
        )
    time_point, position = fitting[0]
    text = ""
    if len(fitting) > 1:
        text = (
            f"The capture has {len(visits)} scans, time points {_span(times)}, positions {_span(positions)}: this is"
            f" time point {time_point}, position {position}. Choose another with --time-point and --position, or --all."
        )
    return (time_point, position), text


def read_visit(
    capture_path: str, settings: FitSettings, window: Window | None = None, patterns: Collection[int] | None = None
) -> Capture:
    """Read the frames of the chosen time point and position, as if the capture had no others.

    Parameters and errors as `acquisition.capture.read_capture` and `choose_visit`.
    """
    return read_capture(capture_path, window, patterns, choose_visit(capture_path, settings)[0])


def _span(numbers: list[int]) -> str:
    return str(numbers[0]) if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"
