"""Variation against its plain formula, and what it asks for edges."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from recon import variation
from recon.variation import ROUNDING, log_variation


def plain_variation(volume_czyx, dz_in_pixels, knee):
    core = volume_czyx[:, :-1, :-1, :-1]
    along_z = (volume_czyx[:, 1:, :-1, :-1] - core) / dz_in_pixels
    along_y = volume_czyx[:, :-1, 1:, :-1] - core
    along_x = volume_czyx[:, :-1, :-1, 1:] - core
    length = (along_z**2 + along_y**2 + along_x**2 + ROUNDING**2).sqrt()
    return (length if math.isinf(knee) else knee * torch.log1p(length / knee)).sum(0).mean()


@pytest.fixture(params=[1, 3 * 35, 10**6], ids=["plane by plane", "three planes", "all at once"])
def any_chunk(request, monkeypatch):
    monkeypatch.setattr(variation, "POINTS_AT_ONCE", {"cpu": request.param})


@pytest.mark.usefixtures("any_chunk")
@pytest.mark.parametrize("dz_in_pixels", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("knee", [0.05, 2.0, math.inf])
def test_value_and_gradient_are_those_of_the_plain_formula(dz_in_pixels, knee):
    volume = torch.randn(2, 8, 5, 7, dtype=torch.float64, requires_grad=True)
    found, expected = log_variation(volume, dz_in_pixels, knee), plain_variation(volume, dz_in_pixels, knee)
    assert float(found.detach()) == pytest.approx(float(expected.detach()))
    slope, expected_slope = (torch.autograd.grad(2.5 * value, volume)[0] for value in (found, expected))
    assert torch.allclose(slope, expected_slope)


@pytest.mark.parametrize("knee", [0.05, math.inf])
def test_gradient_agrees_with_differences(knee):
    volume = torch.randn(2, 4, 3, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: log_variation(v, 2.0, knee), volume)


@pytest.mark.parametrize("axis", [1, 2, 3])
def test_a_step_counts_its_height_once_for_each_point_of_its_face(axis):
    volume = torch.zeros(1, 9, 9, 9, dtype=torch.float64)
    volume[(slice(None),) * axis + (slice(4, None),)] = 3.0
    height = 3.0 / (2.0 if axis == 1 else 1.0)
    assert float(log_variation(volume, 2.0, math.inf)) == pytest.approx(height / 8, abs=2 * ROUNDING)


def test_small_gradients_cost_as_in_total_variation_and_edges_less_the_higher_they_are():
    ramp = torch.arange(9, dtype=torch.float64).expand(1, 9, 9, 9)
    total, knee = (lambda height: float(log_variation(height * ramp, 1.0, math.inf))), 1.0
    ratios = [float(log_variation(height * ramp, 1.0, knee)) / total(height) for height in (0.01, 0.5, 1.0, 5.0)]
    assert ratios[0] == pytest.approx(1.0, abs=0.01)
    assert all(a > b for a, b in itertools.pairwise(ratios))
    # An edge drawn out over twice as many pixels costs more: sharp ones are preferred.
    assert 2 * float(log_variation(0.5 * ramp, 1.0, knee)) > float(log_variation(ramp, 1.0, knee))


def test_a_flat_volume_has_none_and_no_slope():
    volume = torch.full((2, 4, 4, 4), 0.3, requires_grad=True)
    found = log_variation(volume, 1.0, 0.1)
    assert float(found.detach()) == pytest.approx(2 * ROUNDING, rel=0.02)
    assert not torch.autograd.grad(found, volume)[0].any()


def test_the_volume_itself_stays_as_it_is():
    volume = torch.randn(2, 4, 4, 4)
    before = volume.clone()
    log_variation(volume, 1.5, 0.1)
    assert np.array_equal(volume.numpy(), before.numpy())
