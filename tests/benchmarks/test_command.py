"""The benchmark command on a capture of thumbnail size, and the parts of it that could lie without being noticed."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from acquisition.capture import Truth
from recon.forward.born import BornModel
from recon.grid import choose_grid
from recon.result import Field
from tests.benchmarks import reconstruction
from tests.benchmarks.baselines.linear_tv import gradient, gradient_adjoint, linear_tv
from tests.benchmarks.baselines.normal import build_normal_equations
from tests.benchmarks.beads import bead_report
from tests.benchmarks.costs import field_costs, model_costs
from tests.benchmarks.fieldscope import snapshot_of_field
from tests.benchmarks.methods import DEFAULT_METHODS
from tests.benchmarks.problem import load_problem
from tests.benchmarks.synthetic import Size, write_synthetic
from tests.benchmarks.trajectory import Snapshot, record, seconds_to
from tests.recon.fields import HISTORY, rough_network

SIZE = Size(48, 48, 7, 9)


@pytest.fixture(scope="module")
def capture(tmp_path_factory):
    return write_synthetic(tmp_path_factory.mktemp("synthetic"), SIZE)


@pytest.fixture(scope="module")
def problem(capture):
    return load_problem(capture)


def test_command_compares_all_methods(capture, tmp_path, capsys):
    out = tmp_path / "benchmark.json"
    reconstruction.main(
        [str(capture), "--in-process", "--parts", "comparison", "--max-seconds", "0.5", "--out", str(out)]
    )
    result = json.loads(out.read_text())
    found = {row["method"]: row for row in result["table"]}
    assert list(found) == list(DEFAULT_METHODS)
    assert "best_held_out" in capsys.readouterr().out
    assert all(np.isfinite(row["psnr_db"]) and row["held_out"] > 0 for row in found.values())
    # What must hold at any speed: rescaling and joint solution help, and the fit improves on its own start.
    assert found["slice-wise"]["psnr_db"] < found["slice-wise-rescaled"]["psnr_db"] < found["joint"]["psnr_db"]
    field = next(row for row in result["rows"] if row["method"] == "field-born")
    assert field["points"][-1]["held_out"] < field["points"][0]["held_out"]


def test_held_out_images_are_seen_by_no_method(problem):
    assert len(problem.held_out_p) > 0
    assert not set(problem.held_out_p) & set(problem.rows_p)
    assert len(problem.images_pyx) + len(problem.held_out_pyx) == SIZE.leds


def test_snapshots_of_a_padded_field_show_what_the_images_do(problem):
    pad, header = 4, problem.header
    grid = choose_grid(header.image_shape, header.optics, problem.depths_um, pad=pad)
    history = replace(HISTORY, led_na_l2=header.led_na_l2)
    field = Field(rough_network(grid=grid).requires_grad_(False), grid, header.optics, history, pad)
    snapshot = snapshot_of_field(problem, field)
    images = snapshot.held_out()
    assert images.shape == (len(problem.held_out_p), *header.image_shape)
    led = header.patterns_pl[problem.held_out_p[0]].argmax()
    assert np.array_equal(images[0], field.intensity(header.led_na_l2[led]))
    assert snapshot.dn_on(grid.z_um[:2]).shape == (2, *header.image_shape)


def test_normal_equations_are_those_of_the_born_model(problem):
    """A^H y by the matrices agrees with the gradient of the model that is tested against Mie spheres."""
    equations = build_normal_equations(problem, 2)
    found = equations.volume(equations.data_fq)
    model = BornModel(problem.grid, problem.header.optics, problem.led_na_l2)
    leaf = torch.zeros(2, *problem.grid.shape_zyx, requires_grad=True)
    images = model.images(torch.complex(leaf[0], leaf[1]), torch.from_numpy(problem.rows_p))
    torch.autograd.backward((images * problem.contrast_pyx).sum())
    assert leaf.grad is not None
    expected = leaf.grad
    factor = (found * expected).sum() / expected.square().sum()
    # The model's pupil has a soft edge, a pixel of the spectrum wide, which is much of so small an image's spectrum.
    assert torch.linalg.vector_norm(found - factor * expected) < 0.15 * torch.linalg.vector_norm(found)


def test_gradient_and_adjoint():
    generator = torch.Generator().manual_seed(0)
    x, u = torch.randn(2, 4, 6, 5, generator=generator), torch.randn(3, 2, 4, 6, 5, generator=generator)
    torch.testing.assert_close((gradient(x, 0.7) * u).sum(), (x * gradient_adjoint(u, 0.7)).sum(), rtol=1e-4, atol=1e-4)


def test_linear_tv_converges_to_the_same_from_any_splitting(problem):
    """rho must change the way only, so what different rho predict must meet (what no image shows meets much later)."""
    one, other = (list(linear_tv(problem, rho=rho, iterations=300))[-1]().held_out() - 1.0 for rho in (0.02, 0.06))
    assert np.linalg.norm(one - other) < 0.02 * np.linalg.norm(one)


def test_scoring_is_not_timed_and_results_are_kept(problem):
    def counting():
        for factor in (1.1, 2.0, 3.0):
            yield lambda factor=factor: multiple_of_truth(problem, factor)

    points = record(problem, counting(), max_seconds=10.0)
    assert points[-1]["seconds"] < 0.3
    assert points[-1]["psnr_db"] < points[0]["psnr_db"]  # three times the truth is worse than the truth
    assert points[-1]["held_out"] == pytest.approx(1.0)
    assert seconds_to(points, "psnr_db", 1000.0) is None


def multiple_of_truth(problem, factor):
    """A result that is slow to evaluate."""

    def dn_on(z_um):
        time.sleep(0.3)
        return np.float32(factor) * problem.truth.dn_zyx

    return Snapshot(dn_on, lambda: np.ones_like(problem.held_out_pyx))


def test_bead_report():
    z_um, pixel_um = 0.3 * np.arange(-12, 13), 0.2
    axis = pixel_um * np.arange(-20, 20)
    z, y, x = np.meshgrid(z_um, axis, axis, indexing="ij")
    one = (z**2 + (y + 2) ** 2 + (x + 1) ** 2 < 1.5**2) * np.float32(0.02)
    other = (z**2 + (y - 2) ** 2 + (x - 2) ** 2 < 1.0) * np.float32(0.03)
    truth = Truth((one + other).astype(np.float32), None, z_um, np.zeros((1, 2)))
    large, small = bead_report(0.9 * truth.dn_zyx, truth, pixel_um)
    assert (large["radius_um"], small["radius_um"]) == pytest.approx((1.5, 1.0), rel=0.05)
    assert (large["dn"], small["dn"]) == pytest.approx((0.02, 0.03))
    assert (large["x_um"], large["y_um"], large["z_um"]) == pytest.approx((-1.0, -2.0, 0.0), abs=0.11)
    assert (large["dn_ratio"], large["width_error_pixels"]) == pytest.approx((0.9, 0.0), abs=1e-3)
    wide = bead_report(np.maximum(np.roll(truth.dn_zyx, 1, 2), truth.dn_zyx), truth, pixel_um)
    assert wide[0]["width_error_pixels"] == pytest.approx(0.5, abs=0.01)  # one pixel in x, none in y


@pytest.mark.parametrize("name", ["born", "ssnp"])
def test_costs(name):
    row = model_costs(name, Size(32, 32, 5, 2))
    assert row is not None
    assert row["gradient_ms"] > row["forward_ms"] > 0
    assert row["forward_over_floor"] > 0.5


def test_costs_of_no_such_model():
    assert model_costs("ray tracing", Size(32, 32, 5, 2)) is None


def test_costs_of_the_field():
    row = field_costs(Size(32, 32, 5, 2))
    assert row["on_axes_ns_per_point"] > 0 and row["at_points_ns_per_point"] > 0
