"""The demo's picture: what was measured, and three sections through the result beside the truth, with the error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage
    from numpy.typing import NDArray

    from acquisition.capture import Capture, Truth

MEASURED_IMAGES = 4
WIDTH_IN = 12.0


def draw(path: Path, capture: Capture, truth: Truth, found_zyx: NDArray[np.float32], figures: dict[str, Any]) -> None:
    """Write the picture; needs no display.

    Parameters
    ----------
    path
        PNG to write.
    capture, truth
        Of the demo.
    found_zyx
        Reconstructed dn on the truth's grid.
    figures
        ``correlation``, ``psnr_db`` and ``held_out_error`` to be stated.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    pixel_um = capture.header.optics.pixel_um
    planes, rows, columns = truth.dn_zyx.shape
    # Through the plane, row and column in which there is most to see.
    plane, row, column = (int(np.argmax(truth.dn_zyx.sum(axis=axes))) for axes in ((1, 2), (0, 2), (0, 1)))
    x_um = (-(columns // 2) - 0.5) * pixel_um, (columns - columns // 2 - 0.5) * pixel_um
    y_um = (-(rows // 2) - 0.5) * pixel_um, (rows - rows // 2 - 0.5) * pixel_um
    step_um = float(truth.z_um[1] - truth.z_um[0]) if planes > 1 else pixel_um
    z_um = float(truth.z_um[0]) - step_um / 2, float(truth.z_um[-1]) + step_um / 2

    def sections(volume: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        return [volume[plane], volume[:, row], volume[:, :, column]]

    thin = (z_um[1] - z_um[0]) / (x_um[1] - x_um[0])
    heights_in = WIDTH_IN / MEASURED_IMAGES + 0.8, WIDTH_IN * (1 + 2 * thin) / 3 + 2.0
    figure = Figure(figsize=(WIDTH_IN, sum(heights_in) + 0.4), layout="constrained", facecolor="white")
    top, bottom = figure.subfigures(2, 1, squeeze=False, height_ratios=heights_in)[:, 0]
    held_out = figures["held_out_error"]
    figure.suptitle(
        f"Fieldscope demo: correlation with the truth {figures['correlation']:.3f}, "
        f"PSNR {figures['psnr_db']:.1f} dB" + (f", held-out error {held_out:.3f}" if held_out is not None else "")
    )

    top.suptitle("measured images, camera counts (the arrow shows where the light goes)", fontsize=10)
    chosen = _spread_images(capture)
    low, high = np.percentile(capture.images_nyx[chosen], [0.5, 99.5])
    for axes, number in zip(np.atleast_1d(top.subplots(1, len(chosen))), chosen, strict=True):
        axes.imshow(capture.images_nyx[number], cmap="gray", vmin=low, vmax=high, extent=(*x_um, *y_um[::-1]))
        _arrow(axes, capture, number, x_um, y_um)
        axes.set_xticks([])
        axes.set_yticks([])

    extents = (*x_um, *y_um[::-1]), (*x_um, *z_um[::-1]), (*y_um, *z_um[::-1])
    labels = ("x, µm", "y, µm"), ("x, µm", "z, µm"), ("y, µm", "z, µm")
    names = (
        f"xy at z = {truth.z_um[plane]:.1f} µm",
        f"xz at y = {(row - rows // 2) * pixel_um:.1f} µm",
        f"yz at x = {(column - columns // 2) * pixel_um:.1f} µm",
    )
    peak = float(truth.dn_zyx.max())
    grid = bottom.subplots(3, 3, gridspec_kw={"height_ratios": [1.0, thin + 0.1, thin + 0.1]})
    shown: list[AxesImage] = []
    for line, (extent, (across, down), name) in enumerate(zip(extents, labels, names, strict=True)):
        for place, (title, volume) in enumerate(
            (("reconstructed dn", found_zyx), ("true dn", truth.dn_zyx), ("difference", found_zyx - truth.dn_zyx))
        ):
            axes = grid[line, place]
            low, colours = (0.0, "viridis") if place < 2 else (-peak, "RdBu_r")
            shown.append(axes.imshow(sections(volume)[line], cmap=colours, vmin=low, vmax=peak, extent=extent))
            axes.set_title(f"{title}, {name}", fontsize=9)
            axes.set_xlabel(across, fontsize=8)
            axes.set_ylabel(down, fontsize=8)
            axes.tick_params(labelsize=7)
    bottom.colorbar(shown[0], ax=grid[:, :2], location="bottom", shrink=0.5, label="dn", ticks=MaxNLocator(5))
    bottom.colorbar(shown[2], ax=grid[:, 2], location="bottom", label="dn - truth", ticks=MaxNLocator(5))
    figure.savefig(path, dpi=90)


def _spread_images(capture: Capture) -> list[int]:
    """Numbers of a few images whose light comes from all around, the most oblique ones."""
    na_n2 = (capture.header.patterns_pl @ capture.header.led_na_l2)[capture.pattern_n]
    wanted = np.linspace(0, 2 * np.pi, MEASURED_IMAGES, endpoint=False) + 0.4
    directions = np.stack([np.cos(wanted), np.sin(wanted)], 1)
    return list(dict.fromkeys(int(number) for number in np.argmax(na_n2 @ directions.T, axis=0)))


def _arrow(axes: Axes, capture: Capture, number: int, x_um: tuple[float, float], y_um: tuple[float, float]) -> None:
    na = capture.header.patterns_pl[capture.pattern_n[number]] @ capture.header.led_na_l2
    size = 0.25 * min(x_um[1] - x_um[0], y_um[1] - y_um[0]) * na / capture.header.optics.objective_na
    start = np.array([0.82 * x_um[0] + 0.18 * x_um[1], 0.82 * y_um[0] + 0.18 * y_um[1]]) - size / 2
    axes.annotate(
        "", xy=tuple(start + size), xytext=tuple(start), arrowprops={"arrowstyle": "->", "color": "orange", "lw": 2}
    )
    axes.set_title(f"NA {na[0]:+.2f}, {na[1]:+.2f}", fontsize=9)
