"""Round lengths for scale bars, and how they are written. No Qt here."""

from __future__ import annotations

import math


def round_length_um(longest_um: float) -> float:
    """Return the largest of 1, 2, 5 times a power of ten that is not above `longest_um`."""
    power = 10.0 ** math.floor(math.log10(longest_um) + 1e-12)
    return next(step * power for step in (5.0, 2.0, 1.0) if step * power <= longest_um * (1 + 1e-9))


def length_text(length_um: float) -> str:
    """Length with the unit that makes it a small whole number: 500 nm, 20 µm, 2 mm."""
    if length_um < 0.9995:
        return f"{length_um * 1e3:.3g} nm"
    return f"{length_um:.3g} µm" if length_um < 999.5 else f"{length_um / 1e3:.3g} mm"
