"""Captures simulated by optics that are not the reconstruction's."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

# Reconstruction processes inherit it: several fits at once on few cores must not wait for each other's threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

import recon  # noqa: F401  (sets how torch's threads wait, before torch is there)
from tests.recon.simulate import RING_NA, SHORT_WAVES, make_header, photograph

import torch  # isort: skip

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.recon.simulate import Shot

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def cells() -> Shot:
    """Weak cells, 64 x 64 pixels, in the light of 19 LEDs."""
    return photograph("cells", dn_max=0.012)


@pytest.fixture(scope="session")
def cells_capture(cells: Shot, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a capture file, with the LEDs' directions known."""
    return cells.write(tmp_path_factory.mktemp("captures") / "cells.h5", calibrated=True)


@pytest.fixture
def header():
    return make_header(SHORT_WAVES, RING_NA, (64, 64))


@pytest.fixture(autouse=True)
def same_random_numbers() -> Iterator[None]:
    """Some tests draw from torch's own generator."""
    torch.manual_seed(0)
    yield
