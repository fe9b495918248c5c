"""What each kind of request paints."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from recon import pictures
from recon.assessment import Assessment
from recon.figures import Figures
from recon.grid import VolumeGrid
from recon.lights import NothingMeasured
from recon.render import Previews
from recon.side_by_side import no_pulse
from recon.tiles import TiledField, Tiling, lay_axis
from recon.uncertainty import LEVEL_STEP, Uncertainty
from recon.view_requests import RequestCoverage, RequestFigures, RequestLine, RequestSlice
from tests.recon.fields import HISTORY, rough_field
from tests.recon.simulate import RING_NA, SHORT_WAVES

FIGURES = Figures(0.5, float("nan"), False, True, 0.875, 0.75)


def paint(asked, field):
    """Paint a field of which no images are at hand."""
    return pictures.paint(asked, field, NothingMeasured(), Previews(), 0, no_pulse)


def assessed(seed=0):
    """A field whose uncertainty rises towards positive x."""
    field = rough_field(seed)
    lower, upper = (tuple(corner) for corner in field.bounds.tolist())
    levels_zyx = torch.arange(15, dtype=torch.uint8).expand(9, 12, 15)
    return replace(field, assessment=Assessment(FIGURES, Uncertainty(levels_zyx, 1e-3, (lower, upper), 2e-3)))


def test_a_line_holds_index_and_uncertainty():
    field = assessed()
    line = paint(RequestLine(1, "line", 1, (-9.0, 0.1, 0.2), (2.0, 0.5, 0.4), 12), field)
    points = np.linspace((-9.0, 0.1, 0.2), (2.0, 0.5, 0.4), 12)
    index = field.refractive_index(points)
    np.testing.assert_allclose(line[0], index.real - 1.33, atol=1e-6)
    np.testing.assert_allclose(line[1], index.imag)
    inside = points[:, 0] >= field.bounds[0, 0]
    assert (np.isnan(line[2]) == ~inside).all(), "nothing is claimed outside the box"
    cells = np.clip((points[inside, 0] - field.bounds[0, 0]) / np.ptp(field.bounds[:, 0]) * 15 - 0.5, 0, 14)
    np.testing.assert_allclose(line[2][inside], 1e-3 * np.exp(LEVEL_STEP * cells), rtol=1e-4)


def test_a_single_point_is_the_start_of_its_line():
    field = assessed()
    point = (0.3, -0.2, 0.1)
    values = paint(RequestLine(1, "point", 1, point, point, 1), field)
    assert values.shape == (3, 1)
    assert values[0, 0] == pytest.approx(field.refractive_index(point).real - 1.33, abs=1e-6)


def test_before_the_end_of_a_fit_nothing_is_known_about_certainty():
    field = rough_field()
    asked = RequestSlice(1, "xy", 1, (-1.0, -1.0, 0.0), (2.0, 0.0, 0.0), (0.0, 2.0, 0.0), (5, 7), "sigma")
    assert np.isnan(paint(asked, field)).all()
    assert paint(RequestFigures(1, "figures", 1), field).size == 0
    assert np.isfinite(paint(asked, assessed())).all()
    told = Figures.of_vector(paint(RequestFigures(1, "figures", 1), assessed()))
    assert told is not None
    np.testing.assert_equal(told.vector(), FIGURES.vector())


def test_tiles_tell_their_uncertainty_together():
    tiling = Tiling(lay_axis(24, 24, 4), lay_axis(50, 30, 10))
    tiles = (assessed(0), assessed(1))
    whole = TiledField(tiles, tiling, SHORT_WAVES, HISTORY, 80.0)
    points = np.random.default_rng(0).uniform(*whole.bounds, (200, 3))
    sigma = whole.uncertainty(points)
    assert np.isfinite(sigma).all() and sigma.min() >= 1e-3 * (1 - 1e-5)
    only_first = points[:, 0] < whole.bounds[0, 0] + 2.0
    own = tiles[0].uncertainty(points[only_first] - [*tiling.centre_um(0, SHORT_WAVES.pixel_um), 0.0])
    np.testing.assert_allclose(sigma[only_first], own, rtol=1e-4)
    half = replace(whole, tiles=(tiles[0], None))
    assert np.isnan(half.uncertainty(points)).any(), "the medium stands there for want of a tile, and is no result"
    assert half.figures.missing_share == whole.figures.missing_share == 0.875


@pytest.mark.parametrize("azimuth_deg", [0.0, 45.0])
def test_the_missing_cone_is_dark(azimuth_deg):
    shape = (61, 121)
    field = replace(rough_field(), grid=VolumeGrid((17, 192, 192), 0.75, 0.1625, -6.0))
    picture = paint(RequestCoverage(1, "coverage", 1, azimuth_deg, shape), field)
    assert picture.shape == shape and (picture >= 0).all()
    np.testing.assert_allclose(picture, picture[::-1, ::-1], atol=1e-3 * picture.max())
    assert picture[30, 60] > 0, "the mean is seen"
    assert (picture[:25, 55:66] == 0).all() and (picture[36:, 55:66] == 0).all(), "no light tells of the cone"
    assert (picture[30, 30:90] > 0).mean() > 0.8, "transverse frequencies are seen"
    assert picture[30, :2].max() < picture[30, 40], "and less of them towards the cutoff"
    assert len(RING_NA) == len(HISTORY.led_gain_l)
