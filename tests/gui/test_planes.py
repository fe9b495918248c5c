from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gui.planes import (
    MOST_POINTS,
    XY,
    XZ,
    YZ,
    as_point,
    oblique_frame,
    section,
    turned,
    visible_plane,
    whole_plane,
)

BOUNDS_UM = np.array([[-40.0, -30.0, -15.0], [40.0, 30.0, 15.0]])


@pytest.mark.parametrize("axes", [XY, XZ, YZ], ids=lambda axes: axes.name)
def test_inside_the_box_the_plane_is_the_visible_rectangle(axes) -> None:
    plane = visible_plane(axes.frame(0.5), (3.0, -2.0, 1.0), 0.01, (640, 480), BOUNDS_UM)
    assert plane is not None
    assert plane.shape == (480, 640)
    assert plane.width_um == pytest.approx(6.4)
    assert plane.height_um == pytest.approx(4.8)
    centre = np.array(plane.origin_um) + 0.5 * np.array(plane.u_um) + 0.5 * np.array(plane.v_um)
    expected = np.array([3.0, -2.0, 1.0])
    expected[axes.normal] = 0.5
    np.testing.assert_allclose(centre, expected)


@given(
    centre=st.tuples(*[st.floats(-60, 60)] * 3),
    um_per_px=st.floats(1e-3, 1.0),
    size=st.tuples(st.integers(1, 900), st.integers(1, 900)),
)
def test_cut_at_the_box_along_pixel_edges(centre, um_per_px, size) -> None:
    plane = visible_plane(XY.frame(0.0), centre, um_per_px, size, BOUNDS_UM)
    if plane is None:
        return
    rows, columns = plane.shape
    assert plane.width_um / columns == pytest.approx(um_per_px)
    assert plane.height_um / rows == pytest.approx(um_per_px)
    for start_um, extent_um, axis, pixels in (
        (plane.left_um, plane.width_um, 0, size[0]),
        (plane.top_um, plane.height_um, 1, size[1]),
    ):
        edge_px = (start_um - (centre[axis] - 0.5 * pixels * um_per_px)) / um_per_px
        assert edge_px == pytest.approx(round(edge_px), abs=1e-6)
        assert start_um >= BOUNDS_UM[0, axis] - um_per_px * 1.001
        assert start_um + extent_um <= BOUNDS_UM[1, axis] + um_per_px * 1.001


def test_out_of_sight_is_none() -> None:
    assert visible_plane(XY.frame(0.0), (500.0, 0.0, 0.0), 0.1, (100, 100), BOUNDS_UM) is None


def test_huge_views_are_limited() -> None:
    plane = visible_plane(XY.frame(0.0), (0.0, 0.0, 0.0), 0.01, (3840, 2160), BOUNDS_UM)
    assert plane is not None
    assert np.prod(plane.shape) <= MOST_POINTS
    assert plane.width_um == pytest.approx(38.4)


def test_coarser_keeps_the_rectangle() -> None:
    plane = visible_plane(YZ.frame(1.0), (0.0, 0.0, 0.0), 0.01, (101, 99), BOUNDS_UM)
    assert plane is not None
    coarse = plane.coarser(4)
    assert coarse.shape == (25, 26)
    assert (coarse.origin_um, coarse.u_um, coarse.v_um) == (plane.origin_um, plane.u_um, plane.v_um)


@pytest.mark.parametrize("axes", [XY, XZ, YZ], ids=lambda axes: axes.name)
def test_the_whole_of_an_upright_slice_is_a_face_of_the_box(axes) -> None:
    plane = whole_plane(axes.frame(2.0), BOUNDS_UM, 128)
    assert plane is not None
    assert max(plane.shape) == 128
    corner = BOUNDS_UM[0].copy()
    corner[axes.normal] = 2.0
    np.testing.assert_allclose(plane.origin_um, corner)
    extent = np.ptp(BOUNDS_UM, axis=0)
    np.testing.assert_allclose(np.add(plane.u_um, plane.v_um), np.where(np.arange(3) == axes.normal, 0.0, extent))


@given(
    turns=st.lists(st.tuples(st.integers(0, 2), st.floats(-3.0, 3.0)), min_size=1, max_size=40),
    share=st.tuples(*[st.floats(0.05, 0.95)] * 3),
)
def test_an_oblique_plane_cuts_the_box_in_a_polygon_on_its_faces(turns, share) -> None:
    directions = np.eye(3)
    for about, angle in turns:
        directions = turned(directions, about, angle)
    np.testing.assert_allclose(directions @ directions.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(directions) == pytest.approx(1.0)
    through = as_point(BOUNDS_UM[0] + share * np.ptp(BOUNDS_UM, axis=0))
    frame = oblique_frame(directions, through, (0.0, 0.0, 0.0))
    np.testing.assert_allclose(frame.point(*frame.coordinates(through)), through, atol=1e-9)
    corners = section(frame, BOUNDS_UM)
    assert len(corners) >= 3
    for a_um, b_um in corners.tolist():
        point = np.array(frame.point(a_um, b_um))
        assert np.abs(np.abs(point) - BOUNDS_UM[1]).min() < 1e-6, "on a face"
        assert (point >= BOUNDS_UM[0] - 1e-6).all() and (point <= BOUNDS_UM[1] + 1e-6).all()
    # the origin stays while the plane goes through other points of its own
    other = oblique_frame(directions, frame.point(3.0, -2.0), (0.0, 0.0, 0.0))
    np.testing.assert_allclose(other.origin_um, frame.origin_um, atol=1e-9)
