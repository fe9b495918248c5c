"""Beam propagation: coarse planes, obliquity, and light that is neither made nor lost."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from recon.forward.beam import BeamModel
from tests.mie import mie_intensity, relative_error
from tests.recon.simulate import SHORT_WAVES
from tests.recon.test_models import LEDS, NA, SMALL, bead_in, grid_around, random_index


@pytest.mark.parametrize("dz_um", [0.2, 0.4, 0.6])
def test_planes_may_lie_at_any_distance(dz_um):
    """0.2 µm is half a wave, where a model that knows reflected light fails."""
    na, radius_um, dn, centre = (0.36, 0.48), 3.0, 0.02, (0.33, -0.56, 0.4)
    grid = grid_around(radius_um, centre, 16.0, dz_um, 0.1)
    image, fine = bead_in("beam", grid, SHORT_WAVES, na, radius_um, dn, centre)
    error = relative_error(image, mie_intensity(fine, na, radius_um, dn, centre, image.shape, soft_edge=True))
    print(f"{dz_um}: {error:.4f}")
    assert error < 0.02


def test_absorption_darkens_and_a_wide_pupil_keeps_the_light():
    model = BeamModel(SMALL, replace(SHORT_WAVES, objective_na=1.32), NA)
    clear, absorbing = (model.images(random_index(0.02, kappa), LEDS).mean((1, 2)) for kappa in (0.0, 0.01))
    assert torch.allclose(clear, torch.ones(3), atol=0.03)
    assert bool((absorbing < clear - 0.05).all())


def test_a_slice_counts_its_thickness_along_the_light():
    """The factor interpolated between the LEDs' angles is that of each angle."""
    na = torch.tensor([[0.0, 0.0], [0.6, 0.0], [0.0, 0.9]], dtype=torch.float64)
    index = random_index(0.05, 0.01)
    together = BeamModel(SMALL, SHORT_WAVES, na)
    for led in range(3):
        alone = BeamModel(SMALL, SHORT_WAVES, na[led : led + 1]).images(index, torch.tensor([0]))
        assert torch.allclose(together.images(index, torch.tensor([led])), alone, rtol=1e-3, atol=2e-4)
