"""Shell correlation against known spectra, halves of LEDs, and the missing cone against geometry."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from recon.grid import VolumeGrid, axial_period_um, choose_grid, lateral_period_um
from recon.measurement import Measurement
from recon.resolution import half_volumes, resolution_of, shell_correlation, split_leds, transfer_coverage
from tests.recon.simulate import DEPTH_UM, LONG_WAVES, RING_NA, SHORT_WAVES, photograph, rings

VOXEL = (0.5, 0.2, 0.2)
SHAPE = (24, 64, 64)


def noise(seed, shape=SHAPE):
    return np.random.default_rng(seed).standard_normal(shape)


def frequencies(shape=SHAPE, voxel=VOXEL):
    fz, fy, fx = (np.fft.fftfreq(count, step) for count, step in zip(shape, voxel, strict=True))
    return np.abs(fz)[:, None, None], np.hypot(fy[:, None], fx)[None]


def coloured(seed, amplitude_of_fz_fr):
    """Random volume whose spectrum has the amplitude given as a function of (|fz|, fr)."""
    return np.fft.ifftn(np.fft.fftn(noise(seed)) * amplitude_of_fz_fr(*frequencies())).real


@pytest.mark.parametrize(
    ("direction", "argument"),
    [
        ("all", lambda fz, fr: np.hypot(fz, fr)),
        ("lateral", lambda fz, fr: np.hypot(fz, fr)),
        ("axial", lambda fz, fr: fz + 0 * fr),
    ],
)
def test_same_signal_in_independent_noise(direction, argument):
    """Signal power exp(-(f/s)^2) in white noise of power p correlates as S / (S + p)."""
    scale, power = 0.5, 0.05
    signal = coloured(0, lambda fz, fr: np.exp(-0.5 * (argument(fz, fr) / scale) ** 2))
    halves = [signal + math.sqrt(power) * noise(seed) for seed in (1, 2)]
    found = shell_correlation(*halves, VOXEL, direction)
    expected = np.exp(-((found.frequency_per_um / scale) ** 2))
    expected = expected / (expected + power)
    # A layer of one plane's frequencies or a shell of hundreds: fluctuations of some per cent are its own.
    assert np.abs(found.correlation - expected)[2:].max() < 0.15
    assert np.abs(found.correlation - expected)[2:].mean() < 0.05
    crossing = scale * math.sqrt(math.log(1 / (power / 6)))  # S = p / 6 correlates by 1/7
    if crossing < found.frequency_per_um[-1]:
        assert found.resolution_um == pytest.approx(1 / crossing, rel=0.1)
        assert not found.never_falls
    else:
        assert found.never_falls


def test_lateral_and_axial_resolution_are_told_apart():
    signal = coloured(0, lambda fz, fr: 1.0 * ((fr < 1.6) & (fz < 0.35)))
    halves = [signal + 0.3 * noise(seed) for seed in (1, 2)]
    lateral, axial = (shell_correlation(*halves, VOXEL, direction) for direction in ("lateral", "axial"))
    # Within the two shells into which the faded edges blur the limits of the signal.
    for found, limit in ((lateral, 1.6), (axial, 0.35)):
        assert found.resolution_um is not None
        assert 1 / found.resolution_um == pytest.approx(limit, abs=2 * found.frequency_per_um[0])


@pytest.mark.parametrize("direction", ["all", "lateral", "axial"])
def test_equal_volumes_are_limited_by_their_sampling(direction):
    found = shell_correlation(noise(0), noise(0), VOXEL, direction)
    assert found.never_falls
    assert found.resolution_um == pytest.approx(2 * {"all": 0.5, "lateral": 0.2, "axial": 0.5}[direction])


def test_beyond_the_light_nothing_counts():
    found = shell_correlation(noise(0), noise(0), VOXEL, "axial", finest_um=3.0)
    assert found.never_falls
    assert found.resolution_um == pytest.approx(3.0)
    assert found.frequency_per_um[-1] <= 1 / 3.0 + 0.5 * found.frequency_per_um[0]


@pytest.mark.parametrize("direction", ["all", "lateral", "axial"])
@pytest.mark.parametrize("seed", range(4))
def test_independent_volumes_have_no_resolution(direction, seed):
    """Not even in the shells of few frequencies, whose correlation is large by chance."""
    found = shell_correlation(noise(seed), noise(seed + 100), VOXEL, direction)
    assert found.resolution_um is None
    assert not found.never_falls


def test_edges_that_do_not_meet_make_no_agreement():
    """A slope has a step at the periodic boundary, whose spectrum would reach the finest shells of both volumes."""
    ramp = np.broadcast_to(np.linspace(-30, 30, SHAPE[2]), SHAPE)
    found = shell_correlation(ramp + noise(1), ramp + noise(2), VOXEL, "lateral")
    assert np.abs(found.correlation[found.frequency_per_um > 1.0]).max() < 0.3
    assert found.resolution_um is not None
    assert found.resolution_um > 1.0


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="different shapes"):
        shell_correlation(noise(0), noise(0)[1:], VOXEL)


@pytest.mark.parametrize(
    "led_na",
    [
        rings((12, 0.5)),
        rings((1, 0.0), (8, 0.3), (24, 0.6)),
        rings((10, 0.35), (10, 0.4)),
        np.stack(np.meshgrid(np.arange(-5, 6), np.arange(-5, 6)), -1).reshape(-1, 2) * 0.05,
    ],
    ids=["ring", "three rings", "close rings", "board"],
)
def test_each_half_covers_all_angles_and_apertures(led_na):
    first, second = split_leds(led_na)
    assert sorted([*first, *second]) == list(range(len(led_na)))
    assert 0 <= len(first) - len(second) <= 1
    for half in (first, second):
        other = np.setdiff1d(np.arange(len(led_na)), half)
        # Whoever is not in a half has one of it for a neighbour: no gap is wider than two LEDs.
        gaps = np.linalg.norm(led_na[other][:, None] - led_na[half], axis=-1).min(1)
        nearest = np.sort(np.linalg.norm(led_na[other][:, None] - led_na, axis=-1), 1)[:, 2]
        assert np.all(gaps <= 1.5 * nearest + 1e-9)
        assert np.hypot(*led_na[half].T).mean() == pytest.approx(np.hypot(*led_na.T).mean(), rel=0.1)


def test_a_single_ring_is_split_by_turns():
    first, _ = split_leds(rings((12, 0.5)))
    assert len(set(first % 2)) == 1


def test_resolution_of_cells(cells):
    """As fine as theory allows where there is light, and coarser where the camera has little."""
    header = cells.header
    grid = choose_grid(header.image_shape, header.optics, DEPTH_UM)
    brightness, led_na = torch.from_numpy(header.patterns_pl), torch.as_tensor(header.led_na_l2)
    found = []
    for shot in (cells, photograph("cells", dn_max=0.012, electrons=100)):
        measurement = Measurement(header)
        for pattern, counts in enumerate(shot.counts_pyx):
            measurement.add(pattern, counts)
        images = torch.from_numpy(measurement.images().intensity_pyx)
        found.append(resolution_of(*half_volumes(images, brightness, led_na, grid, header.optics), grid, header.optics))
    bright, dim = found
    print([(r.lateral.resolution_um, r.axial.resolution_um) for r in found])
    assert bright.lateral.resolution_um is not None
    assert dim.lateral.resolution_um is not None
    assert lateral_period_um(SHORT_WAVES) <= bright.lateral.resolution_um < 0.6
    assert bright.lateral.resolution_um < dim.lateral.resolution_um
    assert bright.axial.resolution_um == pytest.approx(axial_period_um(SHORT_WAVES))
    assert bright.axial.never_falls


GRID = VolumeGrid((40, 128, 128), 0.5, 0.1625, -10.0)


def pupil_and_ball(optics):
    return optics.objective_na / optics.wavelength_um, optics.medium_index / optics.wavelength_um


@pytest.mark.parametrize("optics", [SHORT_WAVES, LONG_WAVES], ids=["NA 0.65", "NA 0.25"])
def test_light_along_the_axis_shows_one_cap(optics):
    pupil, ball = pupil_and_ball(optics)
    grid = VolumeGrid((40, 128, 128), 0.5 if optics is SHORT_WAVES else 4.0, optics.pixel_um, -10.0)
    coverage = transfer_coverage([[0.0, 0.0]], optics, grid)
    iz, iy, ix = np.nonzero(coverage.strength_zyx)
    middle = len(coverage.fr_per_um) - 1
    fr = coverage.fr_per_um[1] * np.hypot(iy - middle, ix - middle)
    fz = coverage.fz_per_um[iz]
    step, step_z = coverage.fr_per_um[1], coverage.fz_per_um[1] - coverage.fz_per_um[0]
    assert fr.max() == pytest.approx(pupil, abs=step)
    cap = ball - np.sqrt(ball**2 - np.minimum(fr, pupil) ** 2)
    slope = pupil / math.sqrt(ball**2 - pupil**2)
    assert np.all(np.abs(np.abs(fz) - cap) <= 0.5 * step_z + slope * step + 1e-9)
    assert np.array_equal(coverage.strength_zyx, coverage.strength_zyx[::-1, ::-1, ::-1])


def test_rings_show_what_geometry_allows():
    pupil, ball = pupil_and_ball(SHORT_WAVES)
    coverage = transfer_coverage(rings((1, 0.0), (12, 0.3), (32, 0.6499)), SHORT_WAVES, GRID)
    seen_z = coverage.fz_per_um[coverage.strength_zyx.any((1, 2))]
    step_z = coverage.fz_per_um[1] - coverage.fz_per_um[0]
    highest = ball - math.sqrt(ball**2 - pupil**2)  # (n0 - sqrt(n0^2 - NA^2)) / wavelength
    assert seen_z.max() == pytest.approx(highest, abs=step_z)
    assert seen_z.min() == pytest.approx(-highest, abs=step_z)
    section = coverage.section()
    assert coverage.fr_per_um[section.any(0)].max() == pytest.approx(2 * pupil, abs=2 * coverage.fr_per_um[1])
    # The missing cone: at each fz nothing below the fr where the steepest LED's cap reaches it.
    for row, fz in zip(section, coverage.fz_per_um, strict=True):
        if step_z < abs(fz) < highest:
            first = pupil - math.sqrt(ball**2 - (abs(fz) + math.sqrt(ball**2 - pupil**2)) ** 2)
            assert coverage.fr_per_um[row > 0].min() >= first - 0.5 * step_z / math.tan(0.5) - 2 * coverage.fr_per_um[1]


def test_more_leds_leave_less_out_and_the_cone_stays():
    few, many, all_of_them = (
        transfer_coverage(led_na, SHORT_WAVES, GRID)
        for led_na in (rings((4, 0.3)), RING_NA, rings(*((6 * k + 1, 0.04999 * k) for k in range(14))))
    )
    assert few.missing_share > many.missing_share > all_of_them.missing_share
    assert few.filled_share < many.filled_share < all_of_them.filled_share
    assert all_of_them.filled_share > 0.95
    # The body of revolution below the highest fz, over the ball.
    pupil, ball = pupil_and_ball(SHORT_WAVES)
    fr = np.linspace(0, 2 * pupil, 2001)
    highest = np.sqrt(ball**2 - (pupil - fr) ** 2) - math.sqrt(ball**2 - pupil**2)
    body = 2 * np.trapezoid(highest * 2 * math.pi * fr, fr) / (4 / 3 * math.pi * (2 * pupil) ** 3)
    assert all_of_them.missing_share == pytest.approx(1 - body, abs=0.04)


def test_dark_field_adds_nothing_to_what_the_born_model_shows():
    bright = transfer_coverage(RING_NA, SHORT_WAVES, GRID)
    with_dark = transfer_coverage(np.concatenate([RING_NA, rings((8, 0.8))]), SHORT_WAVES, GRID)
    assert np.array_equal(bright.strength_zyx, with_dark.strength_zyx)
