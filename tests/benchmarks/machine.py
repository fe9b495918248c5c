"""The machine that figures are from, and memory on it."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import torch

from recon.side_by_side import threads


def describe_machine(device: str) -> dict[str, Any]:
    """Name processor, GPU, threads and libraries."""
    found: dict[str, Any] = {
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": threads(),
        "torch": torch.__version__,
    }
    if device == "cuda":
        found["gpu"] = torch.cuda.get_device_name()
    return found


def processor() -> str:
    """Name the processor as well as the system knows it."""
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def memory_mb(device: torch.device) -> float:
    """Most memory so far, in MB: of tensors on the GPU, else of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    import resource  # not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
