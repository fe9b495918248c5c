"""The assessment of a reconstruction, and its place in a field file."""

from __future__ import annotations

import math
from dataclasses import fields

import h5py
import numpy as np
import pytest
import torch

from recon.assessment import assess, read_assessment, write_assessment
from recon.forward.born import BornModel
from recon.grid import axial_period_um, choose_grid, lateral_period_um
from recon.measurement import Measurement
from recon.tikhonov import solve_tikhonov
from tests.recon.simulate import DEPTH_UM, SHORT_WAVES

HELD_OUT = [4, 13]


@pytest.fixture(scope="module")
def assessed(cells):
    header = cells.header
    measurement = Measurement(header)
    for pattern, counts in enumerate(cells.counts_pyx):
        measurement.add(pattern, counts)
    images = torch.from_numpy(measurement.images().intensity_pyx)
    fitted = np.setdiff1d(np.arange(len(images)), HELD_OUT)
    grid = choose_grid(header.image_shape, header.optics, DEPTH_UM)
    brightness, led_na = torch.from_numpy(header.patterns_pl[fitted]), torch.as_tensor(header.led_na_l2)
    index = solve_tikhonov(images[fitted] - 1, brightness, led_na, grid, header.optics)
    predicted = BornModel(grid, header.optics, led_na).images(index, torch.tensor(HELD_OUT))
    dn = index.real.clamp(min=0)
    return assess(dn, grid, header.optics, images[fitted], brightness, led_na, predicted, images[HELD_OUT])


def test_figures_are_what_physics_allows(assessed):
    figures = assessed.figures
    print(figures, assessed.uncertainty.typical)
    assert lateral_period_um(SHORT_WAVES) <= figures.lateral_um < 1.0
    assert axial_period_um(SHORT_WAVES) <= figures.axial_um < 8.0
    assert 0.85 < figures.missing_share < 0.95
    assert 0.5 < figures.filled_share < 1.0
    assert 0.0005 < assessed.uncertainty.typical < 0.01


def test_it_is_read_as_it_was_written(assessed, tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        write_assessment(file, assessed)
    with h5py.File(tmp_path / "a.h5") as file:
        found = read_assessment(file)
    assert found is not None
    assert found.figures == assessed.figures
    points = torch.from_numpy(np.random.default_rng(0).uniform(-4, 4, (50, 3)))
    assert torch.equal(found.uncertainty.at_points(points), assessed.uncertainty.at_points(points))
    assert found.uncertainty.bounds_um == assessed.uncertainty.bounds_um
    assert found.uncertainty.typical == assessed.uncertainty.typical
    assert all(type(getattr(found.figures, f.name)).__name__ == f.type for f in fields(found.figures))
    assert not math.isnan(found.figures.lateral_um)


def test_older_fields_have_none(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        assert read_assessment(file) is None
