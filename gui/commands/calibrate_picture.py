"""The picture of a calibration: nominal and fitted circles over the spectra, and the LEDs in the pupil."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from acquisition.calibrate import PoseFit
    from acquisition.capture import CaptureHeader

SPECTRA = 6
NOMINAL: dict[str, Any] = {"color": "white", "linestyle": "--", "linewidth": 0.8}
FITTED: dict[str, Any] = {"color": "orange", "linestyle": "-", "linewidth": 1.0}


def draw(
    path: Path,
    header: CaptureHeader,
    images_pyx: NDArray[np.float32],
    patterns_pl: NDArray[np.float32],
    found: PoseFit,
) -> None:
    """Write the picture; needs no display.

    Parameters
    ----------
    path
        PNG to write.
    header
        Of the capture.
    images_pyx, patterns_pl
        What the fit saw, (P, H, W) and (P, L).
    found
        The fit.
    """
    from matplotlib.figure import Figure

    nominal_l2 = header.led_na_l2
    fitted_l2 = found.pose.led_na(header.led_position_mm_l3, nominal_l2)
    figure = Figure(figsize=(15, 6.6), layout="constrained", facecolor="white")
    left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=(1.45, 1))[0]
    trust = "trusted" if found.trusted else "NOT TRUSTED: " + "; ".join(found.reasons)
    figure.suptitle(_summary(found) + "\n" + trust, fontsize=10, wrap=True)
    used = np.flatnonzero(np.isfinite(found.score_p))
    shown = _spread(used if len(used) else np.arange(len(images_pyx)), patterns_pl @ nominal_l2)
    for axes, place in zip(left.subplots(2, SPECTRA // 2).ravel(), shown, strict=False):
        led = int(patterns_pl[place].argmax())
        _spectrum(axes, images_pyx[place], header.optics.pixel_um, header.optics.wavelength_um)
        for na, radius, style in (
            (nominal_l2[led], header.optics.objective_na, NOMINAL),
            (fitted_l2[led], found.pose.objective_na, FITTED),
        ):
            for side in (1, -1):
                _circle(axes, side * na, radius, style)
        score = found.score_p[place]
        axes.set_title(f"LED {led}" + (f", step {score:.2f}" if np.isfinite(score) else ", not used"), fontsize=9)
    _pupil(right.subplots(), header, fitted_l2, patterns_pl, found)
    figure.savefig(path, dpi=90)


def _summary(found: PoseFit) -> str:
    pose = found.pose
    return (
        f"shift {pose.shift_mm[0]:+.2f}, {pose.shift_mm[1]:+.2f} mm, rotation {pose.rotation_deg:+.2f}°, "
        f"distance × {pose.distance_scale:.4f}, NA {pose.objective_na:.4f}, residual {found.residual:.2f}"
    )


def _spread(places: NDArray[np.intp], na_p2: NDArray[np.floating]) -> list[int]:
    """A few images whose light comes from near the axis and from all around."""
    axis = int(places[np.argmin(np.hypot(*na_p2[places].T))])
    around = np.linspace(0, 2 * np.pi, SPECTRA - 1, endpoint=False) + 0.4
    outermost = np.argmax(na_p2[places] @ np.stack([np.cos(around), np.sin(around)]), axis=0)
    return list(dict.fromkeys([axis, *places[outermost].tolist()]))


def _spectrum(axes: Axes, image_yx: NDArray[np.float32], pixel_um: float, wavelength_um: float) -> None:
    rows, columns = image_yx.shape
    window = np.hanning(rows)[:, None] * np.hanning(columns)
    power = np.abs(np.fft.fftshift(np.fft.fft2(window * (image_yx / image_yx.mean() - 1)))) ** 2
    level = np.log10(power + 1e-12)
    low, high = np.percentile(level, [5, 99.8])
    edges_x, edges_y = (
        (np.array([-(size // 2), size - size // 2]) - 0.5) * wavelength_um / (size * pixel_um)
        for size in (columns, rows)
    )
    axes.imshow(level, cmap="gray", vmin=low, vmax=high, extent=(*edges_x, *edges_y[::-1]))
    axes.tick_params(labelsize=7)


def _circle(axes: Axes, centre: NDArray[np.float64], radius: float, style: dict[str, Any]) -> None:
    axes.plot(*(centre[:, None] + radius * _unit_circle()), scalex=False, scaley=False, **style)


def _unit_circle() -> NDArray[np.float64]:
    """Points of a circle of radius 1, (2, N)."""
    angle = np.linspace(0, 2 * np.pi, 200)
    return np.stack([np.cos(angle), np.sin(angle)])


def _pupil(
    axes: Axes,
    header: CaptureHeader,
    fitted_l2: NDArray[np.float64],
    patterns_pl: NDArray[np.float32],
    found: PoseFit,
) -> None:
    lit = np.flatnonzero((patterns_pl > 0).any(axis=0))
    dark = np.isin(lit, patterns_pl[found.dark_p].argmax(axis=1))
    nominal_l2 = header.led_na_l2[lit]
    axes.plot(*nominal_l2.T, "o", mfc="none", mec="grey", ms=6, label="LED, nominal")
    axes.plot(*np.stack([nominal_l2, fitted_l2[lit]]).transpose(2, 0, 1), "-", color="grey", lw=0.7)
    axes.plot(*fitted_l2[lit][~dark].T, "o", color="tab:orange", ms=4, label="LED, fitted")
    axes.plot(*fitted_l2[lit][dark].T, "x", color="tab:red", ms=6, label="dark field")
    circle = _unit_circle()
    axes.plot(*(header.optics.objective_na * circle), "--", color="grey", lw=1, label="pupil, nominal")
    axes.plot(*(found.pose.objective_na * circle), "-", color="tab:orange", lw=1, label="pupil, fitted")
    axes.set_aspect("equal")
    axes.invert_yaxis()  # y points down, as in the images
    axes.set_xlabel("NA x")
    axes.set_ylabel("NA y")
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
