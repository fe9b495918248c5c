"""Fieldscope's own reconstruction as one of the methods: driven as the command line drives it, watched at any step."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from acquisition.capture import Calibration, read_capture
from acquisition.errors import OperatorError
from recon.messages import FitSettings
from recon.reconstruct import Reconstruction
from tests.benchmarks.trajectory import Snapshot

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from recon.result import Field
    from tests.benchmarks.problem import Problem
    from tests.benchmarks.trajectory import Method


def fieldscope(problem: Problem, model: str = "born", max_seconds: float = 300.0, seed: int = 0) -> Method:
    """Reconstruct from the capture file, reading it included, through a forward model."""
    capture = read_capture(problem.path)
    known: dict[str, Any] = {}
    if problem.leds != "nominal":  # told where the LEDs are; else it finds out
        optics, led_na_l2 = problem.header.optics, problem.header.led_na_l2
        gain_l = np.ones(len(led_na_l2))
        known["calibration"] = Calibration(led_na_l2, gain_l, optics.objective_na, 0.0, problem.leds)
    run = Reconstruction(
        0,
        problem.header,
        FitSettings(
            model=model,  # type: ignore[arg-type]
            max_seconds=max_seconds,
            device=problem.device.type,
            hold_out=tuple(problem.held_out_p.tolist()),
            seed=seed,
        ),
        lambda event: None,
        capture.darks,
        capture.background_pyx,
        problem.path.name,
        available=capture.pattern_n,
        **known,
    )
    for pattern, image_yx in zip(capture.pattern_n.tolist(), capture.images_nyx, strict=True):
        run.add_frame(pattern, image_yx)
    run.frames_done()
    while run.advance():
        if run.has_field:
            yield lambda: snapshot_of_field(problem, run.field())


def snapshot_of_field(problem: Problem, field: Field) -> Snapshot:
    """Keep a field as it is now."""
    network = copy.deepcopy(field.network).cpu()  # memory on the device is the fit's
    note = {"steps": field.history.steps, "model": field.history.forward_model, "reason": field.history.reason}

    def kept() -> Field:
        return replace(field, network=network.to(problem.device))

    return Snapshot(
        lambda z_um: dn_on(kept(), problem.header.image_shape, z_um), lambda: held_out(problem, kept()), note
    )


def dn_on(field: Field, image_shape: tuple[int, int], z_um: NDArray[np.float64]) -> NDArray[np.float32]:
    """Evaluate dn on the capture's pixels and given planes, (Z, H, W)."""
    rows, columns = image_shape
    pixel_um = field.optics.pixel_um
    corner = (-(columns // 2) - 0.5) * pixel_um, (-(rows // 2) - 0.5) * pixel_um
    edges = (columns * pixel_um, 0, 0), (0, rows * pixel_um, 0)
    planes = [field.slice((*corner, float(z)), *edges, (rows, columns)).real for z in z_um]
    return np.stack(planes) - np.float32(field.medium_index)


def held_out(problem: Problem, field: Field) -> NDArray[np.float32]:
    """Predict the held-out images from the directions that the field knows; NaN where its model cannot."""
    rows, columns = problem.header.image_shape
    images = np.zeros((len(problem.held_out_p), rows, columns), np.float32)
    for image, brightness_l in zip(images, problem.header.patterns_pl[problem.held_out_p], strict=True):
        for led in np.flatnonzero(brightness_l):
            try:
                share = brightness_l[led] / brightness_l.sum()
                image += share * field.intensity(field.history.led_na_l2[led])
            except OperatorError:  # outside the aperture of a linear model
                image[:] = np.nan
    return images
