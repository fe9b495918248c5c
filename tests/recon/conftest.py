"""Captures simulated by optics that are not the reconstruction's."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

# Reconstruction processes inherit it: several fits at once on few cores must not wait for each other's threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

from recon import messages, shared
from recon.field_file import write_field
from recon.side_by_side import use_threads
from tests.recon.fields import rough_field
from tests.recon.process import block_exists, running_process
from tests.recon.simulate import RING_NA, SHORT_WAVES, make_header, photograph

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.recon.simulate import Shot

use_threads(1)


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


@pytest.fixture(scope="session")
def field_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A field file that needed no fit."""
    path = tmp_path_factory.mktemp("fields") / "rough.field.h5"
    write_field(path, rough_field())
    return path


@pytest.fixture(scope="module")
def started():
    """One reconstruction process for all tests of a module that do not kill theirs, and what it says."""
    with running_process() as pair:
        yield pair


@pytest.fixture
def process(started):
    """The same with its earlier runs cancelled."""
    process, _ = started
    yield process
    process.send(messages.Cancel(process._runs))


@pytest.fixture
def heard(started):
    return started[1]


@pytest.fixture
def every_frame_is_taken(monkeypatch):
    """Blocks that the window's side made are gone at the end of each test."""
    names = []
    share = shared.share

    def noting(array):
        made = share(array)
        if isinstance(made, messages.SharedArray):
            names.append(made.name)
        return made

    monkeypatch.setattr(shared, "share", noting)
    yield
    deadline = time.monotonic() + 10
    while any(block_exists(name) for name in names) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not [name for name in names if block_exists(name)]


@pytest.fixture(autouse=True)
def same_random_numbers() -> Iterator[None]:
    """Some tests draw from torch's own generator."""
    torch.manual_seed(0)
    yield
