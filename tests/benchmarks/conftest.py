"""Benchmarks in tests: one thread, as on a busy machine."""

from __future__ import annotations

import recon  # noqa: F401  (sets how torch's threads wait, before torch is there)

import torch  # isort: skip

torch.set_num_threads(1)
