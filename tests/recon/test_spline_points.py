"""Reading feature grids at points that lie anyhow, against the sum over 27 cells written out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recon import spline_points
from recon.box import plane_points
from recon.spline_axes import spline_weights
from recon.spline_points import lay_out
from tests.recon.fields import random_points, rough_field, rough_network


def by_definition(grid_czyx, share_n3):
    total = torch.zeros(len(grid_czyx), len(share_n3), dtype=torch.float64)
    taps = [spline_weights(share_n3[:, k] * grid_czyx.shape[3 - k], grid_czyx.shape[3 - k]) for k in range(3)]
    for c in range(3):
        for b in range(3):
            for a in range(3):
                (ix, wx), (iy, wy), (iz, wz) = ((i[:, k], w[:, k]) for (i, w), k in zip(taps, (a, b, c), strict=True))
                total += grid_czyx[:, iz, iy, ix] * (wx.double() * wy * wz)
    return total


@given(
    shapes=st.lists(st.tuples(st.integers(1, 4), *[st.integers(1, 9)] * 3), min_size=1, max_size=4),
    places=st.lists(st.tuples(*[st.floats(0, 1)] * 3), min_size=1, max_size=20),
    threefold=st.booleans(),
)
@settings(deadline=None)
def test_points_read_the_27_cells_about_them(shapes, places, threefold):
    generator = torch.Generator().manual_seed(len(places))
    grids = [torch.randn(shape, generator=generator) for shape in shapes]
    share_n3 = torch.tensor(places, dtype=torch.float64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spline_points, "MOST_KEPT", spline_points.MOST_KEPT if threefold else 0)
        table = lay_out(grids)
    assert table.run == (3 if threefold else 1)
    expected = torch.cat([by_definition(grid, share_n3) for grid in grids])
    assert torch.allclose(table.read(share_n3.t().contiguous()).double(), expected, atol=1e-5)


@given(normal=st.tuples(*[st.floats(-1, 1)] * 3), turn=st.floats(0, 6.3), width=st.floats(0.1, 30.0))
@settings(deadline=None, max_examples=30)
def test_any_plane_shows_what_its_points_are(normal, turn, width):
    field = rough_field()
    away = np.add(normal, (0.0, 0.0, 2.0))
    basis = np.linalg.qr(np.column_stack([away, [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))[0][:, 1:]
    u, v = width * (basis @ [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]).T
    origin = field.bounds.mean(axis=0) - (u + v) / 2
    picture = field.slice(origin, u, v, (12, 9))
    points = origin + (np.arange(12)[:, None, None] + 0.5) / 12 * v + (np.arange(9)[:, None] + 0.5) / 9 * u
    for row, column in ((0, 0), (6, 4), (11, 8), (3, 7)):
        point = points[row, column]
        if np.all((point >= field.bounds[0]) & (point <= field.bounds[1])):
            x, y, z = (torch.tensor([place], dtype=torch.float64) for place in point)
            dn, kappa = field.network.on_axes(x, y, z).flatten().tolist()
            assert picture[row, column] == pytest.approx(field.medium_index + dn + 1j * kappa, abs=2e-6)
        else:
            assert picture[row, column] == np.complex64(field.medium_index)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("hanging", [0, 1])
def test_planes_that_stand_on_an_axis_show_what_their_points_are(axis, hanging):
    """One edge along an axis, the other across it and in no other way upright; partly outside the box."""
    field = rough_field()
    extent = np.ptp(field.bounds, axis=0)
    edges = np.zeros((2, 3))
    edges[hanging, axis] = -1.1 * extent[axis]
    first, second = (k for k in range(3) if k != axis)
    edges[1 - hanging, [first, second]] = 1.2 * extent[first], 0.7 * extent[second]
    origin = field.bounds.mean(axis=0) - edges.sum(axis=0) / 2
    picture = field.slice(origin, *edges, (70, 90))
    expected = field.refractive_index(plane_points(origin, *edges, (70, 90)))
    assert np.allclose(picture, expected, atol=2e-6) and picture.flags.c_contiguous
    assert 0.4 < (picture != np.complex64(field.medium_index)).mean() < 0.95


def test_points_follow_every_change_of_the_field():
    """What is kept of the grids from one picture to the next is never older than the field, nor another field's."""
    points = torch.from_numpy(random_points(40))
    one, other = rough_network(1), rough_network(2)
    with torch.no_grad():
        before = one.at_points(points)
        assert torch.equal(one.at_points(points), before)
        for grid in one.grids:
            before = one.at_points(points)
            grid += 0.1
            assert not torch.allclose(one.at_points(points), before, atol=1e-6)
        for network in (one, other, one):
            found = network.at_points(points)
            with torch.enable_grad():
                assert torch.equal(network.at_points(points).detach(), found)
        assert one.double().at_points(points).dtype == torch.float64
