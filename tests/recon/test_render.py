"""Three-dimensional pictures against what can be worked out by hand: spheres from any side."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recon.render import Previews, render
from recon.result import Field
from recon.scene import Camera, Cut, Opacity, Scene, camera_of_box, to_rgba
from tests.recon.fields import rough_field
from tests.recon.spheres import sphere_box

SHAPE = (96, 112)
RADIUS_UM, DN = 5.0, 0.02
angles = st.floats(-math.pi, math.pi)


def scene(box, mode, turned=(0.0, 0.0, 0.0), **how):
    camera = camera_of_box(box.bounds, SHAPE, (1.0, 0.0, 0.0, 0.0))
    for axis, angle in zip(((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)), turned, strict=True):
        camera = camera.orbited(axis, angle)
    return Scene(camera, mode, **{"surface_dn": 0.5 * DN, **how})


def distance_um(camera, centre_um=(0.0, 0.0, 0.0)):
    """Of each pixel's ray from a point of the volume."""
    right, down, _ = camera.project(np.array(centre_um))
    x = np.arange(SHAPE[1]) + 0.5 - SHAPE[1] / 2 - right
    y = np.arange(SHAPE[0]) + 0.5 - SHAPE[0] / 2 - down
    return camera.um_per_px * np.hypot(x[None, :], y[:, None])


@settings(max_examples=12)
@given(angles, angles, angles)
def test_projected_phase_is_that_of_the_chord_from_any_side(a, b, c):
    box = sphere_box(soft_um=0.5)
    asked = scene(box, "phase", (a, b, c))
    phase = render(box, asked, SHAPE)
    r = distance_um(asked.camera)
    chord_um = 2 * np.sqrt(np.clip(RADIUS_UM**2 - r**2, 0, None))
    expected = 2 * math.pi / box.optics.wavelength_um * DN * chord_um
    inner = r < 0.9 * RADIUS_UM
    assert np.median(np.abs(phase - expected)[inner]) < 0.015 * expected.max()
    assert np.isclose(phase[inner].mean(), expected[inner].mean(), rtol=0.01)
    assert np.all(phase[r > RADIUS_UM + 0.25 + 3 * asked.camera.um_per_px] == 0)


@settings(max_examples=10)
@given(angles, angles, st.sampled_from(["moving", "rest"]))
def test_silhouette_of_the_surface_is_round_in_every_direction(a, b, quality):
    box = sphere_box(soft_um=1.5)
    asked = scene(box, "surface", (a, b, 0.3))
    opacity = render(box, asked, SHAPE, quality)[..., 3] / 255.0
    assert np.isclose(opacity.sum() * asked.camera.um_per_px**2, math.pi * RADIUS_UM**2, rtol=0.03)
    r = distance_um(asked.camera)
    slack = (0.6 if quality == "moving" else 0.25) + asked.camera.um_per_px
    assert opacity[r < RADIUS_UM - slack].min() > 0.99 and opacity[r > RADIUS_UM + slack].max() == 0


@pytest.mark.parametrize("quality", ["moving", "rest"])
def test_largest_and_smallest_value(quality):
    box = sphere_box(centres_um=((0, 0, 0), (1, 1, 2)), radii_um=(5.0, 1.5), dn=(0.02, 0.035), soft_um=0.5)
    asked = scene(box, "mip", (0.5, 0.4, 0.0))
    largest = render(box, asked, SHAPE, quality)
    assert np.isclose(largest.max(), 0.035, atol=1e-4)
    r = distance_um(asked.camera, (1, 1, 2))
    assert np.allclose(largest[r < 0.8], 0.035, atol=2e-3)
    smallest = render(box, replace(asked, mode="minip", crop_um=((-2, -2, -2), (2, 2, 2))), SHAPE, quality)
    assert np.allclose(smallest[distance_um(asked.camera) < 0.8], 0.02, atol=1e-4)
    assert smallest[distance_um(asked.camera) > 4.0].max() == 0  # beside the part that is shown


def test_unturned_camera_sees_what_the_xy_slice_shows():
    box = sphere_box(centres_um=((3.0, -4.0, 1.0),), radii_um=(1.5,))
    phase = render(box, scene(box, "phase"), SHAPE)
    row, column = (float((phase * place).sum() / phase.sum()) for place in np.indices(SHAPE))
    camera = scene(box, "phase").camera
    x, y, _ = (np.array([3.0, -4.0, 1.0]) - camera.centre_um) / camera.um_per_px
    assert np.allclose([column + 0.5 - SHAPE[1] / 2, row + 0.5 - SHAPE[0] / 2], [x, y], atol=0.5)


def test_orbiting_moves_the_near_side_with_the_hand():
    near = np.array([0.0, 0.0, -1.0])  # before the centre, as the viewer sees it
    assert Camera().orbited((0.0, 1.0, 0.0), -0.1).project(near)[0] > 0
    assert Camera().orbited((1.0, 0.0, 0.0), 0.1).project(near)[1] > 0
    point = np.array([3.0, -2.0, 5.0])
    zoomed = Camera(um_per_px=0.5).zoomed(4.0, *Camera(um_per_px=0.5).project(point)[:2])
    assert np.allclose(zoomed.project(point)[:2], Camera(um_per_px=0.5).project(point)[:2])
    assert np.allclose(Camera(um_per_px=0.5).panned(7, -3).project(point)[:2], [6 + 7, -4 - 3])


def test_opacity_is_that_of_the_way_whatever_the_steps(monkeypatch):
    from recon.render import preview

    box = sphere_box(soft_um=0.5)
    asked = scene(box, "composite", (0.4, 0.9, 0.0), opacity=Opacity(((0.015, 0.0), (0.019, 0.1)), 1.0))
    few = render(box, asked, SHAPE)[..., 3] / 255.0
    monkeypatch.setattr(preview, "LEAST_SLICES", 300)
    many = render(box, asked, SHAPE)[..., 3] / 255.0
    assert np.abs(few - many).max() < 0.02
    # A layer of 1 um takes a tenth of the light; at the soft edge, 0.2 um on each side, there is less.
    through_middle = few[distance_um(asked.camera) < 0.5].mean()
    assert np.isclose(through_middle, 1 - 0.9 ** (2 * (RADIUS_UM - 0.2)), atol=0.015)


@pytest.mark.parametrize("mode", ["phase", "surface", "composite"])
def test_cut_halves_the_sphere(mode):
    box = sphere_box(soft_um=0.5)
    asked = scene(box, mode, (0.3, 0.2, 0.1), opacity=Opacity(((0.015, 0.0), (0.019, 0.3)), 1.0))
    right = asked.camera.axes[0]
    cut = replace(asked, cut=Cut((0.0, 0.0, 0.0), tuple(right)))
    whole, half = (render(box, s, SHAPE).astype(float) for s in (asked, cut))
    if mode != "phase":
        whole, half = whole[..., 3], half[..., 3]
    assert np.isclose(half.sum(), 0.5 * whole.sum(), rtol=0.03)
    column = SHAPE[1] / 2 + asked.camera.project(np.zeros(3))[0]
    assert half[:, : int(column) - 2].max() == 0
    along = replace(asked, cut=Cut((0.0, 0.0, 0.0), tuple(asked.camera.axes[2])))
    if mode == "phase":
        assert np.allclose(render(box, along, SHAPE), 0.5 * whole, atol=0.03 * whole.max())
    if mode == "surface":  # the face that is seen has the colour of the index, the surface its own
        grey = render(box, replace(along, levels=(0.0, DN)), SHAPE)[distance_um(asked.camera) < 4]
        assert np.ptp(grey[:, :3], axis=1).max() == 0 and grey[:, 3].min() == 255


def test_coarse_copy_looks_like_the_field():
    field = rough_field()
    previews = Previews()
    for mode in ("mip", "phase", "composite"):
        asked = scene(field, mode, (0.9, 0.5, 0.2), opacity=Opacity(((0.0, 0.0), (0.1, 0.5)), 0.5), levels=(0.0, 0.1))
        moving, rest = (
            render(field, asked, SHAPE, quality, previews=previews).astype(float) for quality in ("moving", "rest")
        )
        assert np.abs(moving - rest).mean() < 0.06 * rest.max()


def test_copy_is_made_anew_when_the_field_has_changed(monkeypatch):
    from recon.render import preview

    made = []
    copy = preview.copy_coarsely
    monkeypatch.setattr(preview, "copy_coarsely", lambda *how: made.append(1) or copy(*how))
    previews, box = Previews(), sphere_box()
    for state, count in ((1, 1), (1, 1), (2, 2)):
        render(box, scene(box, "mip"), (20, 20), previews=previews, state=state)
        assert len(made) == count


def test_camera_that_moves_through_a_field_that_changes_gets_a_copy_a_little_old(monkeypatch):
    from recon.render import preview

    made, clock = [], [0.0]

    def take_a_second(*how):
        clock[0] += 1.0
        made.append(clock[0])
        return copy(*how)

    copy = preview.copy_coarsely
    monkeypatch.setattr(preview, "copy_coarsely", take_a_second)
    monkeypatch.setattr(preview.time, "monotonic", lambda: clock[0])
    previews, box = Previews(), sphere_box()

    def paint(state, quality):
        render(box, scene(box, "mip"), (20, 20), quality, previews=previews, state=state)
        return len(made)

    assert paint(1, "moving") == 1
    clock[0] += preview.SERVES_TIMES - 1.0
    assert paint(2, "moving") == 1
    assert paint(2, "rest") == 2, "at rest it is the field as it is"
    clock[0] += preview.SERVES_TIMES + 1.0
    assert paint(2, "moving") == 2, "the field has not changed"
    assert paint(3, "moving") == 3


def test_zoomed_picture_is_the_field_itself():
    """At 8 times the zoom every pixel is what the field says, not what voxels do."""
    field = rough_field()
    asked = scene(field, "mip")
    z_um = float(field.bounds.mean(axis=0)[2])
    thin = ((-9.0, -9.0, z_um - 1e-3), (9.0, 9.0, z_um + 1e-3))
    zoomed = replace(asked, camera=asked.camera.zoomed(8.0), crop_um=thin)
    picture = render(field, zoomed, SHAPE)
    side = np.array(SHAPE[::-1]) * zoomed.camera.um_per_px
    corner = np.array(zoomed.camera.centre_um[:2]) - side / 2
    truth = field.slice((*corner, z_um), (side[0], 0, 0), (0, side[1], 0), SHAPE).real - field.medium_index
    assert np.abs(picture - truth).max() < 1e-3 * np.abs(truth).max() + 1e-5


def test_pulse_may_end_a_picture():
    class Enough(Exception):
        pass

    def pulse():
        raise Enough

    with pytest.raises(Enough):
        render(sphere_box(), scene(sphere_box(), "mip"), SHAPE, pulse=pulse)


def test_colours():
    box = sphere_box()
    red = bytes(v for level in range(256) for v in (level, 0, 0))
    asked = scene(box, "phase", colours=red, levels=(0.0, 2.0))
    coloured = to_rgba(np.array([[0.0, 1.0, 9.0]], np.float32), asked)
    assert coloured.tolist() == [[[0, 0, 0, 255], [128, 0, 0, 255], [255, 0, 0, 255]]]
    clouds = render(box, scene(box, "composite"), SHAPE)
    assert clouds.dtype == np.uint8 and to_rgba(clouds, asked) is clouds
    assert np.all(clouds[..., :3] <= clouds[..., 3:])  # multiplied by the opacity
    empty = render(box, scene(box, "composite", crop_um=((90, 90, 90), (91, 91, 91))), SHAPE)
    assert empty.shape == (*SHAPE, 4) and empty.max() == 0


def test_slices_across_any_axis_are_the_same_field():
    field = rough_field()
    assert isinstance(field, Field)
    axes = [torch.linspace(float(low), float(high), 7, dtype=torch.float64) for low, high in field.bounds.T]
    whole = field.network.on_axes(*axes)
    for axis in range(3):
        thin = [a[3:4] if k == axis else a for k, a in enumerate(axes)]
        kept = whole.narrow(3 - axis, 3, 1)
        assert torch.allclose(field.network.on_axes(*thin), kept, atol=1e-6)
