"""Which LEDs shine together: the patterns of each kind of plan.

Bright and dark field never share a multiplexed pattern. An LED outside the objective's NA gives thousands of times less
light than one inside: its image would drown in the other's shot noise, no exposure suits both, and the reconstruction,
which treats the two differently, has to leave such an image out. A board is never quite where it should be, so LEDs
near the edge of the aperture may turn out to be on its other side: they have patterns of their own and spoil no others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from acquisition.aperture import inside_aperture
from acquisition.csv_table import read_rows
from acquisition.errors import OperatorError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from acquisition.profile_plan import PlanSettings

HALVES = {"top": (1, -1), "bottom": (1, 1), "left": (0, -1), "right": (0, 1)}
"""Axis (0: na_x, 1: na_y) and sign of the half circles: top is the upper half of the pupil as pictures show it."""

AXIS_NA = 1e-6
"""An LED nearer than this to the line between two halves belongs to neither."""

OPPOSITE_SHARE = 0.1
"""Two LEDs count as opposite where their directions cancel within this share of the objective's NA."""

EDGE_SHARE = 0.05
"""LEDs nearer than this share of the objective's NA to the edge of the aperture may be bright or dark field."""

_DESIGN_WORK = 3e7
_MOST_DESIGNS = 100


class PlanError(OperatorError):
    """A plan that cannot be run."""


def patterns_of(
    settings: PlanSettings, led_na_l2: NDArray[np.float64], objective_na: float
) -> tuple[NDArray[np.float32], NDArray[np.float64] | None]:
    """Make the patterns of a plan.

    Parameters
    ----------
    settings
        Of the profile, or what the operator chose.
    led_na_l2
        (L, 2) direction of every LED of the board.
    objective_na
        Limit of bright field.

    Returns
    -------
    patterns_pl
        (P, L) brightness 0 to 1.
    exposure_ms_p
        (P,) exposure of each pattern where a list names them, NaN where it does not; None for every other kind.

    Raises
    ------
    PlanError, CsvError
        No LED is selected, or one that the board has not; or the patterns cannot be made as asked for.
    """
    if settings.kind == "list":
        assert settings.file is not None, "checked by the settings"
        patterns_pl, exposure_ms_p = read_patterns(settings.file, len(led_na_l2))
        return patterns_pl[:: settings.every], exposure_ms_p[:: settings.every]
    leds = _selected(settings, led_na_l2, objective_na)
    match settings.kind:
        case "darkfield" if settings.rings:
            groups = _rings(leds, np.hypot(*led_na_l2.T), settings.rings, objective_na, settings.na_max)
        case "dpc":
            groups = _halves(leds, led_na_l2)
        case "multiplexed":
            groups = _multiplexed(settings, leds, led_na_l2, objective_na)
        case _:
            groups = list(leds[:, None])
    patterns_pl = np.zeros((len(groups), len(led_na_l2)), np.float32)
    for row_l, group in zip(patterns_pl, groups, strict=True):
        row_l[group] = 1
    return patterns_pl, None


def is_dark_field(
    patterns_pl: NDArray[np.float32], led_na_l2: NDArray[np.float64], objective_na: float
) -> NDArray[np.bool_]:
    """Whether no LED of a pattern shines into the objective, (P,)."""
    inside_l = inside_aperture(led_na_l2, objective_na)
    dark_p: NDArray[np.bool_] = np.logical_not(np.any((patterns_pl > 0) & inside_l, axis=1))
    return dark_p


def read_patterns(path: str, led_count: int) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Read patterns from a CSV file with the columns pattern, led, brightness and perhaps exposure_ms.

    Lines with the same entry under pattern make one pattern; patterns come in the order in which they are first named.

    Returns
    -------
    Patterns (P, L), and exposures (P,) in ms, NaN where the file names none.

    Raises
    ------
    CsvError
        With the line, the value, what is allowed and what to do.
    """
    names: dict[str, int] = {}
    brightness: dict[tuple[int, int], float] = {}
    exposures: dict[int, float] = {}
    for row in read_rows(path, ("pattern", "led", "brightness"), ("exposure_ms",)):
        pattern = names.setdefault(row.text("pattern"), len(names))
        led = row.whole_number("led", 0, led_count - 1)
        if (pattern, led) in brightness:
            raise row.error("led", "each LED once in a pattern", "Take the line out, or add up the brightness.")
        value = row.number("brightness", allowed := "more than 0, at most 1")
        if not 0 < value <= 1:
            raise row.error("brightness", allowed)
        brightness[pattern, led] = value
        if row.given("exposure_ms"):
            exposure_ms = row.number("exposure_ms", allowed := "a number of milliseconds above 0")
            if exposure_ms <= 0:
                raise row.error("exposure_ms", allowed)
            if exposures.setdefault(pattern, exposure_ms) != exposure_ms:
                raise row.error(
                    "exposure_ms", f"{exposures[pattern]:g} as in the pattern's earlier line, or nothing",
                    "A pattern is exposed once: give its lines one exposure.",
                )  # fmt: skip
    patterns_pl = np.zeros((len(names), led_count), np.float32)
    for place, value in brightness.items():
        patterns_pl[place] = value
    return patterns_pl, np.array([exposures.get(pattern, np.nan) for pattern in range(len(names))])


def _selected(settings: PlanSettings, led_na_l2: NDArray[np.float64], objective_na: float) -> NDArray[np.intp]:
    """Numbers of the LEDs that a plan takes, every n-th already chosen."""
    na = np.hypot(led_na_l2[:, 0], led_na_l2[:, 1])
    if settings.kind == "subset":
        unknown = [led for led in settings.leds if led >= len(na)]
        if unknown:
            raise PlanError(
                f"The plan lists LED {unknown[0]}, the board has {len(na)} LEDs (0 to {len(na) - 1}).",
                "Correct plan.leds.",
            )
        return np.array(settings.leds, np.intp)[:: settings.every]
    low, high = settings.na_min, settings.na_max or objective_na
    bright_l = inside_aperture(led_na_l2, objective_na)
    chosen_l = (na >= low) & (na <= high if settings.na_max else bright_l)
    if settings.kind == "brightfield":
        (low, high), chosen_l = (0.0, objective_na), bright_l
    elif settings.kind == "darkfield":
        low, high = objective_na, settings.na_max or float(na.max())
        chosen_l = ~bright_l & (na <= high)
    leds = np.flatnonzero(chosen_l)
    if not len(leds):
        raise PlanError(
            f"No LED of {len(na)} has an illumination NA of {low:g} to {high:g}; the board spans {na.min():.3f} to"
            f" {na.max():.3f}.",
            "Widen the plan's range, or correct distance, shift and orientation of the LED board in the profile.",
        )
    return leds[:: settings.every]


def _rings(
    leds: NDArray[np.intp], na_l: NDArray[np.float64], count: int, objective_na: float, na_max: float | None
) -> list[NDArray[np.intp]]:
    """Divide dark-field LEDs into rings of equal width."""
    outer = na_max or float(na_l[leds].max())
    edges = np.linspace(objective_na, outer, count + 1)[1:-1]
    ring_of = np.searchsorted(edges, na_l[leds], side="left")
    groups = [leds[ring_of == ring] for ring in range(count)]
    empty = [ring for ring, group in enumerate(groups) if not len(group)]
    if empty:
        raise PlanError(
            f"Of {count} dark-field rings between NA {objective_na:g} and {outer:g}, ring {empty[0] + 1} has no LED.",
            "Choose fewer rings (plan.rings), or another na_max.",
        )
    return groups


def _halves(leds: NDArray[np.intp], led_na_l2: NDArray[np.float64]) -> list[NDArray[np.intp]]:
    """Top, bottom, left and right; LEDs on a dividing line are in neither of its two halves, so that these balance."""
    groups = []
    for name, (axis, sign) in HALVES.items():
        group = leds[sign * led_na_l2[leds, axis] > AXIS_NA]
        if not len(group):
            raise PlanError(
                f"The {name} half of the plan's {len(leds)} LEDs is empty.",
                "Widen na_min and na_max, or correct shift and orientation of the LED board in the profile.",
            )
        groups.append(group)
    return groups


def _multiplexed(
    settings: PlanSettings, leds: NDArray[np.intp], led_na_l2: NDArray[np.float64], objective_na: float
) -> list[NDArray[np.intp]]:
    """Random patterns in which each LED is lit equally often: bright field, its edge, and dark field apart."""
    na = np.hypot(*led_na_l2[leds].T)
    zone = np.searchsorted(objective_na * np.array([1 - EDGE_SHARE, 1, 1 + EDGE_SHARE]), na, side="left")
    groups = [leds[zone == number] for number in np.unique(zone)]
    uses, counts = _share_out([len(group) for group in groups], settings.leds_per_pattern, settings.patterns)
    rng = np.random.default_rng(settings.seed)
    patterns = []
    for group, count in zip(groups, counts, strict=True):
        opposite_ll = _opposite(led_na_l2[group], objective_na)
        design_pl = _best_design(len(group), count, uses, opposite_ll, rng)
        if len(np.unique(design_pl, axis=0)) < count:
            raise PlanError(
                f"{count} different patterns of {settings.leds_per_pattern} out of {len(group)} LEDs were not found.",
                "Choose fewer patterns or fewer LEDs per pattern; repeats takes the same patterns again.",
            )
        patterns += [group[row_l] for row_l in design_pl]
    return patterns


def _share_out(sizes: list[int], most: int, wanted: int | None) -> tuple[int, list[int]]:
    """How often each LED is lit, and the number of patterns for each group of LEDs.

    As often as `wanted` patterns of at most `most` LEDs allow (None: once); patterns left over make the others smaller.
    """

    def needed(uses: int) -> list[int]:
        return [-(-uses * size // min(most, size)) for size in sizes]

    least = sum(needed(1))
    if wanted is None:
        return 1, needed(1)
    if wanted < least:
        apart = " (bright field, dark field and the edge between them apart)" if len(sizes) > 1 else ""
        raise PlanError(
            f"{wanted} patterns of at most {most} LEDs do not light all {sum(sizes)} LEDs{apart}; it takes {least}.",
            f"Set plan.patterns to {least} or more, leave it out, or raise plan.leds_per_pattern.",
        )
    uses = 1
    while sum(needed(uses + 1)) <= wanted:
        uses += 1
    counts = needed(uses)
    for _ in range(wanted - sum(counts)):
        fullest = max(range(len(sizes)), key=lambda group: sizes[group] / counts[group])
        if uses * sizes[fullest] <= counts[fullest]:
            raise PlanError(
                f"{wanted} patterns of at most {most} LEDs cannot light {sum(sizes)} LEDs equally often;"
                f" {sum(counts)} or {sum(needed(uses + 1))} can.",
                "Set plan.patterns to one of them, or leave it out.",
            )
        counts[fullest] += 1
    return uses, counts


def _opposite(na_l2: NDArray[np.float64], objective_na: float) -> NDArray[np.float64]:
    """How much the phase contrast of two bright-field LEDs cancels, (L, L), 1 for opposite ones; none in dark field."""
    if not inside_aperture(na_l2[0], objective_na):
        return np.zeros((len(na_l2), len(na_l2)))
    squared = ((na_l2[:, None] + na_l2[None]) ** 2).sum(axis=2)
    opposite: NDArray[np.float64] = np.exp(-squared / (2 * (OPPOSITE_SHARE * objective_na) ** 2))
    np.fill_diagonal(opposite, 0)
    return opposite


def _best_design(
    leds: int, count: int, uses: int, opposite_ll: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Choose the best of many random designs (count, leds) with `uses` lights in each column, rows as even as can be.

    Good is what keeps the patterns independent (smallest over largest singular value) and the phase contrast of each:
    in weak scattering that of two opposite LEDs is equal and of opposite sign, so lit together they show none.
    """
    best_pl, best = np.zeros((count, leds), bool), -1.0
    for _ in range(int(np.clip(_DESIGN_WORK / (count * count * leds), 3, _MOST_DESIGNS))):
        design_pl = _random_design(leds, count, uses, rng)
        lit_pl = design_pl.astype(float)
        gram = lit_pl @ lit_pl.T if count <= leds else lit_pl.T @ lit_pl
        power = np.linalg.eigvalsh(gram)
        independent = np.sqrt(max(power[0], 0.0) / power[-1])
        cancelled_p = ((lit_pl @ opposite_ll) * lit_pl).sum(axis=1) / lit_pl.sum(axis=1)
        # A little of each, so that where one is 0 for all designs the other one decides.
        score = (independent + 0.01) * (np.clip(1 - cancelled_p, 0, 1).mean() + 0.01)
        if score > best:
            best_pl, best = design_pl, score
    return best_pl


def _random_design(leds: int, count: int, uses: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Fill pattern after pattern with the LEDs lit least so far, so that each ends up lit `uses` times; then mix."""
    design_pl = np.zeros((count, leds), bool)
    left_l = np.full(leds, uses)
    sizes = np.diff(np.linspace(0, leds * uses, count + 1).astype(int))
    for row_l, size in zip(design_pl, sizes, strict=True):
        chosen = np.lexsort((rng.random(leds), -left_l))[:size]
        row_l[chosen] = True
        left_l[chosen] -= 1
    return design_pl if uses == 1 else _mixed(design_pl, rng)


def _mixed(design_pl: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Exchange LEDs between pairs of patterns: sizes and uses stay.

    As filled, the patterns come in rounds that light every LED once; such rounds have equal sums and so are dependent.
    """
    rows = [set(np.flatnonzero(row_l).tolist()) for row_l in design_pl]
    exchanges = 2 * int(design_pl.sum())
    pairs, places = rng.integers(len(rows), size=(exchanges, 2)).tolist(), rng.random((exchanges, 2)).tolist()
    for (one, other), (at, other_at) in zip(pairs, places, strict=True):
        only_one, only_other = sorted(rows[one] - rows[other]), sorted(rows[other] - rows[one])
        if only_one and only_other:
            led, other_led = only_one[int(at * len(only_one))], only_other[int(other_at * len(only_other))]
            rows[one] ^= {led, other_led}
            rows[other] ^= {led, other_led}
    mixed_pl = np.zeros_like(design_pl)
    for row_l, row in zip(mixed_pl, rows, strict=True):
        row_l[sorted(row)] = True
    return mixed_pl
