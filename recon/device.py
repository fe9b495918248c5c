"""Where to compute, and how much memory that takes."""

from __future__ import annotations

import torch

from acquisition.errors import OperatorError


def choose_device(name: str) -> torch.device:
    """Turn ``auto``, ``cpu`` or ``cuda`` into a device.

    Raises
    ------
    OperatorError
        The device is unknown or not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cuda" and not torch.cuda.is_available():
        raise OperatorError("This installation of torch finds no CUDA device.", "Use --device cpu or auto.")
    if name not in ("cpu", "cuda"):
        raise OperatorError(f"There is no device {name!r}.", "Choose one of: auto, cpu, cuda.")
    return torch.device(name)


def memory_mb(device: torch.device) -> float:
    """Memory in use: of the GPU if there is one, else the largest this process has had, in MB."""
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device) / 1e6
    try:
        import resource
    except ImportError:  # Windows has no such account
        return float("nan")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
