"""Small captures that several tests write, each frame known by its number."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from acquisition.capture import CaptureHeader, CaptureWriter, Frame, Optics

REPOSITORY = Path(__file__).parents[2]
OPTICS = Optics(0.515, 0.65, 40.0, 6.5, 0.1625, 1.33, camera_offset=100.0, camera_gain_e=4.0, bit_depth=12)


def make_header(leds: int = 4, shape: tuple[int, int] = (6, 8), **changes: object) -> CaptureHeader:
    rng = np.random.default_rng(leds)
    header = CaptureHeader(
        optics=OPTICS,
        led_position_mm_l3=rng.normal(size=(leds, 3)),
        led_na_l2=rng.uniform(-0.6, 0.6, (leds, 2)),
        patterns_pl=np.eye(leds, dtype=np.float32),
        image_shape=shape,
        profile_toml='name = "µ"\n',
        title="a title",
        sample="cheek cell, Größe 2",
        operator="someone",
        sample_z_um=(-6.0, 7.5),
    )
    return replace(header, **changes)


def make_frame(number: int, header: CaptureHeader) -> Frame:
    image = np.random.default_rng(number).integers(0, 65536, header.image_shape, dtype=np.uint16)
    return Frame(number, number % len(header.patterns_pl), image, 10.5, 0.03 * number, 0.25, time_point=number // 4)


def write_frames(path: Path, header: CaptureHeader, count: int) -> Path:
    with CaptureWriter(path, header) as writer:
        for number in range(count):
            writer.write_frame(make_frame(number, header))
        return writer.finish("complete")
