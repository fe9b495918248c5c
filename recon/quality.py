"""How good a reconstruction is, with and without the truth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray


def contrast_error(predicted_pyx: NDArray[Any], measured_pyx: NDArray[Any]) -> float:
    """||predicted - measured|| / ||measured|| of I - 1 over all images: 0 is perfect, 1 no better than nothing."""
    contrast = measured_pyx - 1.0
    return float(np.linalg.norm(predicted_pyx - measured_pyx) / np.linalg.norm(contrast))


def contrast_errors(predicted_pyx: NDArray[Any], measured_pyx: NDArray[Any]) -> NDArray[np.float32]:
    """As `contrast_error`, of each image by itself, (P,)."""
    difference = np.linalg.norm(predicted_pyx - measured_pyx, axis=(1, 2))
    errors: NDArray[np.float32] = (difference / np.linalg.norm(measured_pyx - 1.0, axis=(1, 2))).astype(np.float32)
    return errors


def psnr_db(found: NDArray[Any], truth: NDArray[Any]) -> float:
    """Peak signal-to-noise ratio in dB, the peak being the truth's maximum."""
    error = float(np.mean((np.asarray(found, np.float64) - truth) ** 2))
    return float(10.0 * np.log10(float(truth.max()) ** 2 / error))


def correlation(found: NDArray[Any], truth: NDArray[Any]) -> float:
    """Pearson's correlation of all points."""
    return float(np.corrcoef(np.ravel(found), np.ravel(truth))[0, 1])


def value_range(values: NDArray[Any]) -> tuple[float, float]:
    """1st and 99.9th percentile; of many values, of a million of them spread evenly."""
    flat = values.ravel()
    low, high = np.quantile(flat[:: max(1, flat.size // 10**6)], [0.01, 0.999])
    return float(low), float(high)
