"""An empty field is told from one with a sample in it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from acquisition.capture import CaptureWriter, Frame
from acquisition.capture_empty import LARGEST_STRUCTURE, structure_of
from tests.acquisition.captures import make_header

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = (96, 128)
LEDS = 6
HEADER = replace(
    make_header(LEDS, SHAPE), led_na_l2=np.stack([np.linspace(-0.5, 0.5, LEDS), np.full(LEDS, 0.1)], axis=1)
)


def write(path: Path, sample: float, repeats: int = 4) -> Path:
    """Uneven light, dust on the camera, and a sample that shows shifted in the light of each LED."""
    rng = np.random.default_rng(3)
    rows, columns = np.indices(SHAPE)
    dust_yx = 1 - 0.3 * (np.hypot(rows - 30, columns - 80) < 9)
    with CaptureWriter(path, HEADER) as writer:
        for number, led in enumerate(np.tile(np.arange(LEDS), repeats).tolist()):
            shade_yx = 1 + 0.4 * HEADER.led_na_l2[led, 0] * (columns - 64) / 64 - 0.2 * ((rows - 48) / 48) ** 2
            seen_yx = 1 + sample * np.exp(-((rows - 60) ** 2 + (columns - 50 - 6 * led) ** 2) / 60)
            counts_yx = 100 + rng.poisson(4000 * dust_yx * shade_yx * seen_yx)
            writer.write_frame(Frame(number, led, counts_yx.astype(np.uint16), 10.0, 0.1 * number))
        return writer.finish("complete")


def test_dust_and_uneven_light_are_no_sample(tmp_path: Path) -> None:
    structure = structure_of(write(tmp_path / "a.h5", sample=0.0))
    assert structure is not None
    assert structure < LARGEST_STRUCTURE


@pytest.mark.parametrize("contrast", [0.1, -0.1])
def test_a_sample_is_seen(tmp_path: Path, contrast: float) -> None:
    structure = structure_of(write(tmp_path / "a.h5", sample=contrast))
    assert structure is not None
    assert structure > LARGEST_STRUCTURE


def test_nothing_is_said_without_repeats(tmp_path: Path) -> None:
    assert structure_of(write(tmp_path / "a.h5", sample=0.1, repeats=1)) is None
