"""Figures of regions against bodies whose area, volume and integral are known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from recon.box import Box
from recon.figures import PROTEIN_ML_G, RegionFigures
from recon.regions import MOST_SAMPLES, in_polygon, region_figures
from recon.view_requests import RequestRegion
from tests.recon.fields import HISTORY
from tests.recon.simulate import SHORT_WAVES

RADIUS_UM, DN = 4.0, 0.02
VOLUME_UM3 = 4.0 / 3.0 * math.pi * RADIUS_UM**3
CENTRE_UM = np.array([1.0, -2.0, 0.5])


class Ball(Box):
    """A homogeneous sphere; its uncertainty is a fifth of dn."""

    optics, history = SHORT_WAVES, HISTORY
    bounds = np.array([[-10.0, -9.0, -6.0], [10.0, 9.0, 6.0]])
    medium_index = 1.33
    parameter_bytes = 0
    figures = None
    shape_zyx = (60, 180, 200)

    def __init__(self, shape_zyx=shape_zyx):
        self.shape_zyx = shape_zyx
        self.asked = 0

    def at_points(self, points_um):
        self.asked += len(points_um)
        return (DN * (np.linalg.norm(points_um - CENTRE_UM, axis=-1) < RADIUS_UM)).astype(np.complex64)

    def on_axes(self, axes_um):
        x, y, z = axes_um
        points = np.stack(np.broadcast_arrays(x, y[:, None], z[:, None, None]), axis=-1)
        return self.at_points(points.reshape(-1, 3)).reshape(points.shape[:3])

    def sigma_at_points(self, points_um):
        return 0.2 * self.at_points(points_um).real

    def intensity(self, na):
        raise NotImplementedError


def rectangle(left, top, right, bottom):
    return ((left, top), (right, top), (right, bottom), (left, bottom))


def on_xy(outline, above_dn=0.0, z_um=0.5):
    return RequestRegion(1, "region", 1, (0.0, 0.0, z_um), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), outline, above_dn)


def test_the_mass_of_a_sphere_is_dn_over_the_increment_times_its_volume():
    found = region_figures(Ball(), on_xy((), DN / 2))
    assert found.volume_um3 == pytest.approx(VOLUME_UM3, rel=0.01)
    assert found.solid_mean_dn == pytest.approx(DN, rel=1e-5)
    mass_pg, sigma_pg = found.dry_mass_pg(PROTEIN_ML_G)
    assert mass_pg == pytest.approx(DN / PROTEIN_ML_G * VOLUME_UM3, rel=0.01)
    assert sigma_pg == pytest.approx(0.2 * mass_pg, rel=1e-4), "errors that all go the same way do not average out"
    assert math.isnan(found.area_um2)


@pytest.mark.parametrize("turned_deg", [0.0, 35.0])
@pytest.mark.parametrize("tilted_deg", [0.0, 50.0])
def test_an_outline_is_drawn_through_the_box_along_its_normal(turned_deg, tilted_deg):
    """Half of the sphere, cut by a rectangle through its middle on a slice in any direction."""
    turn, tilt = np.radians([turned_deg, tilted_deg])
    across = np.array([np.cos(turn) * np.cos(tilt), np.sin(turn), np.cos(turn) * np.sin(tilt)])
    down = np.cross([-np.sin(tilt), 0.0, np.cos(tilt)], across)
    asked = RequestRegion(
        1, "region", 1, tuple(CENTRE_UM), tuple(across), tuple(down), rectangle(0.0, -5.0, 5.0, 5.0), DN / 2
    )
    found = region_figures(Ball(), asked)
    assert found.volume_um3 == pytest.approx(VOLUME_UM3 / 2, rel=0.02)
    assert found.integral_um3 == pytest.approx(DN * VOLUME_UM3 / 2, rel=0.02)


def test_the_section_of_a_region():
    found = region_figures(Ball(), on_xy(rectangle(1.0, -2.0, 6.0, 3.0)))
    assert found.area_um2 == pytest.approx(25.0, rel=1e-6)
    share = math.pi * RADIUS_UM**2 / 4 / 25
    assert found.mean_dn == pytest.approx(DN * share, rel=0.01)
    assert found.sd_dn == pytest.approx(DN * math.sqrt(share * (1 - share)), rel=0.01)
    assert (found.lowest_dn, found.highest_dn) == pytest.approx((0.0, DN))
    assert found.sigma_mean_dn == pytest.approx(0.2 * found.mean_dn, rel=0.01)


def test_only_what_lies_in_the_box_counts():
    found = region_figures(Ball(), on_xy(rectangle(8.0, -20.0, 30.0, 20.0), above_dn=-1.0))
    assert found.area_um2 == pytest.approx(2.0 * 18.0, rel=0.02)
    assert found.volume_um3 == pytest.approx(2.0 * 18.0 * 12.0, rel=1e-3)
    outside = region_figures(Ball(), on_xy(rectangle(20.0, 20.0, 30.0, 30.0)))
    assert outside.area_um2 == 0.0 and outside.volume_um3 == 0.0 and outside.integral_um3 == 0.0
    assert math.isnan(outside.mean_dn) and math.isnan(outside.solid_mean_dn)


def test_a_large_region_is_sampled_more_coarsely_and_says_the_same():
    ball = Ball((400, 900, 900))
    found = region_figures(ball, on_xy((), DN / 2))
    assert ball.asked < 2.2 * MOST_SAMPLES
    assert found.integral_um3 == pytest.approx(DN * VOLUME_UM3, rel=0.02)


def test_points_in_a_concave_polygon():
    corners = np.array([(0.0, 0.0), (4.0, 0.0), (4.0, 4.0), (2.0, 1.0), (0.0, 4.0)])
    a, b = np.array([1.0, 2.0, 2.0, 5.0, 3.8]), np.array([1.0, 0.5, 2.0, 1.0, 3.0])
    assert in_polygon(a, b, corners).tolist() == [True, True, False, False, True]


def test_figures_travel_as_a_vector():
    found = region_figures(Ball(), on_xy(rectangle(1.0, -2.0, 6.0, 3.0)))
    back = RegionFigures.of_vector(found.vector())
    np.testing.assert_allclose(back.vector(), found.vector())
