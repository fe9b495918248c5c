"""Benchmarks in tests: one thread, as on a busy machine."""

from __future__ import annotations

from recon.side_by_side import use_threads

use_threads(1)
