"""Memory that a process has used and needs no more."""

from __future__ import annotations

import ctypes
import sys


def give_memory_back() -> None:
    """Return memory that nothing uses to the system, which threads at work otherwise keep for each of them."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it
        if trim is not None:
            trim(0)
