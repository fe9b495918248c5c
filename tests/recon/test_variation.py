"""Total variation against its plain formula."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recon import variation
from recon.variation import ROUNDING, total_variation


def plain_variation(volume_czyx, dz_in_pixels):
    core = volume_czyx[:, :-1, :-1, :-1]
    along_z = (volume_czyx[:, 1:, :-1, :-1] - core) / dz_in_pixels
    along_y = volume_czyx[:, :-1, 1:, :-1] - core
    along_x = volume_czyx[:, :-1, :-1, 1:] - core
    length = (along_z**2 + along_y**2 + along_x**2 + ROUNDING**2).sqrt()
    return length.sum(0).mean()


@pytest.fixture(params=[1, 3 * 35, 10**6], ids=["plane by plane", "three planes", "all at once"])
def any_chunk(request, monkeypatch):
    monkeypatch.setattr(variation, "POINTS_AT_ONCE", {"cpu": request.param})


@pytest.mark.usefixtures("any_chunk")
@pytest.mark.parametrize("dz_in_pixels", [0.5, 1.0, 4.0])
def test_value_and_gradient_are_those_of_the_plain_formula(dz_in_pixels):
    volume = torch.randn(2, 8, 5, 7, dtype=torch.float64, requires_grad=True)
    found, expected = total_variation(volume, dz_in_pixels), plain_variation(volume, dz_in_pixels)
    assert float(found.detach()) == pytest.approx(float(expected.detach()))
    slope, expected_slope = (torch.autograd.grad(2.5 * value, volume)[0] for value in (found, expected))
    assert torch.allclose(slope, expected_slope)


def test_gradient_agrees_with_differences():
    volume = torch.randn(2, 4, 3, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: total_variation(v, 2.0), volume)


@pytest.mark.parametrize("axis", [1, 2, 3])
def test_a_step_counts_its_height_once_for_each_point_of_its_face(axis):
    volume = torch.zeros(1, 9, 9, 9, dtype=torch.float64)
    volume[(slice(None),) * axis + (slice(4, None),)] = 3.0
    height = 3.0 / (2.0 if axis == 1 else 1.0)
    assert float(total_variation(volume, 2.0)) == pytest.approx(height / 8, abs=2 * ROUNDING)


def test_a_flat_volume_has_none_and_no_slope():
    volume = torch.full((2, 4, 4, 4), 0.3, requires_grad=True)
    found = total_variation(volume, 1.0)
    assert float(found.detach()) == pytest.approx(2 * ROUNDING)
    assert not torch.autograd.grad(found, volume)[0].any()


def test_the_volume_itself_stays_as_it_is():
    volume = torch.randn(2, 4, 4, 4)
    before = volume.clone()
    total_variation(volume, 1.5)
    assert np.array_equal(volume.numpy(), before.numpy())
