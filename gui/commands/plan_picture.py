"""The picture of a plan: each pattern's LEDs in the pupil, in the order in which they are exposed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from acquisition.plan import ExposurePlan

MOST_PUPILS = 40
COLUMNS = 8


def draw(path: Path, plan: ExposurePlan, led_na_l2: NDArray[np.float64], objective_na: float) -> None:
    """Write the picture; needs no display.

    A plan of one LED a pattern is one pupil, coloured by when each LED shines; else there is a pupil for each of the
    first patterns.

    Parameters
    ----------
    path
        PNG to write.
    plan, led_na_l2, objective_na
        The plan, the direction (L, 2) of each LED, and the aperture.
    """
    from matplotlib.figure import Figure

    order = list(dict.fromkeys(plan.order_n[plan.order_n >= 0].tolist()))
    used_l = plan.patterns_pl.any(axis=0)
    reach = 1.1 * max(objective_na, float(np.hypot(*led_na_l2[used_l].T).max()))
    if (np.count_nonzero(plan.patterns_pl, axis=1) == 1).all():
        figure = Figure(figsize=(6.5, 5.4), layout="constrained", facecolor="white")
        axes = figure.subplots()
        _pupil(axes, led_na_l2, objective_na, reach)
        na_x, na_y = led_na_l2[plan.patterns_pl[order].argmax(axis=1)].T
        dots = axes.scatter(na_x, na_y, c=np.arange(1, len(order) + 1), cmap="viridis", s=28, zorder=3)
        figure.colorbar(dots, ax=axes, label="frame in which the LED shines first")
        axes.set_xlabel("NA x")
        axes.set_ylabel("NA y")
    else:
        shown = order[:MOST_PUPILS]
        rows, columns = -(-len(shown) // COLUMNS), min(COLUMNS, len(shown))
        figure = Figure(figsize=(1.9 * columns + 0.4, 2.15 * rows + 0.6), layout="constrained", facecolor="white")
        for place, axes in enumerate(figure.subplots(rows, columns, squeeze=False).ravel()):
            if place >= len(shown):
                axes.set_visible(False)
                continue
            row_l = plan.patterns_pl[shown[place]]
            lit_l = row_l > 0
            _pupil(axes, led_na_l2, objective_na, reach)
            na_x, na_y = led_na_l2[lit_l].T
            axes.scatter(na_x, na_y, c=row_l[lit_l], cmap="YlOrBr", vmin=-0.6, vmax=1.2, s=14, zorder=3)
            axes.set_title(f"{shown[place]}: {plan.exposure_ms_p[shown[place]]:g} ms", fontsize=8)
            axes.set_xticks([])
            axes.set_yticks([])
    more = f" (the first {MOST_PUPILS})" if len(order) > MOST_PUPILS and len(figure.axes) > 2 else ""
    figure.suptitle(f"{plan.name}; circle: NA {objective_na:g}{more}", fontsize=10)
    figure.savefig(path, dpi=110)


def _pupil(axes: Axes, led_na_l2: NDArray[np.float64], objective_na: float, reach: float) -> None:
    angle = np.linspace(0, 2 * np.pi, 200)
    axes.plot(objective_na * np.cos(angle), objective_na * np.sin(angle), "-", color="grey", lw=1)
    axes.plot(*led_na_l2.T, ".", color="lightgrey", ms=3)
    axes.set_aspect("equal")
    axes.set_xlim(-reach, reach)
    axes.set_ylim(reach, -reach)  # y points down, as in the images
