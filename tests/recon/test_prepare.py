"""From head, light and images to what a fit starts from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from acquisition.errors import OperatorError
from recon.grid import lateral_period_um
from recon.illumination import Illumination, nominal
from recon.measurement import Images
from recon.messages import FitSettings
from recon.prepare import WAVE_MODEL, prepare, reaches_rim
from tests.recon.simulate import RING_NA, SHORT_WAVES, make_header, rings

# Rows 0 to 18 bright field, 19 and 20 at the very edge of the aperture, 21 to 26 dark field.
ALL_NA = np.concatenate([RING_NA, rings((2, 0.653), (6, 0.8))])
BRIGHT, EDGE, DARK = list(range(19)), [19, 20], list(range(21, 27))
SHAPE = (48, 60)


def blob(at_yx, shape=SHAPE):
    y, x = np.mgrid[: shape[0], : shape[1]]
    return np.exp(-((y - at_yx[0]) ** 2 + (x - at_yx[1]) ** 2) / 30)


INNER = 1 + 0.2 * blob((24, 30))
EVERYWHERE = 1 + 0.2 * np.random.default_rng(0).standard_normal(SHAPE)
IN_THE_DARK = 8 * blob((24, 30))


def images(rows, picture=INNER, dark_picture=IN_THE_DARK):
    stack = np.stack([dark_picture if row in DARK else picture for row in rows]).astype(np.float32)
    return Images(stack, np.array(rows), np.full(len(rows), 1000.0), len(rows), mean_is_one=True)


def prepared(settings, rows=(*BRIGHT, *EDGE, *DARK), told=None, **pictures):
    header = make_header(SHORT_WAVES, ALL_NA, SHAPE)
    notify = (lambda text: None) if told is None else told.append
    return prepare(header, nominal(header), images(list(rows), **pictures), settings, notify)


# --- patterns ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["auto", "beam", "ssnp"])
def test_models_of_waves_take_dark_field_but_not_the_edge(model):
    told = []
    setup = prepared(FitSettings(model=model), told=told)
    assert setup.dark_field == tuple(DARK)
    assert len(told) == 1 and "2 of 27 patterns" in told[0]


def test_born_leaves_dark_field_out_and_tells():
    told = []
    setup = prepared(FitSettings(model="born"), told=told)
    assert setup.dark_field == ()
    assert len(told) == 1 and "8 of 27 patterns" in told[0] and "0.65" in told[0]


def test_nothing_is_told_where_all_is_used():
    told = []
    prepared(FitSettings(model="born"), BRIGHT, told)
    prepared(FitSettings(model="auto"), BRIGHT + DARK, told)
    assert not told


def test_held_out_are_bright_field_patterns_that_were_measured():
    assert prepared(FitSettings()).held_out == (4, 13)
    rows = [1, 3, 4, 7, 8, 9, 22, 25]
    assert prepared(FitSettings(), rows).held_out == (8,)
    told = []
    setup = prepared(FitSettings(hold_out=(2, 5, 20, 24)), [*range(5), *EDGE, *DARK], told)
    assert setup.held_out == (2,)
    assert any("Patterns 5, 20, 24 cannot be held out" in text for text in told)
    # Nor are they fitted where they are dark field.
    assert setup.dark_field == tuple(row for row in DARK if row not in (20, 24))


def test_too_few_bright_field_patterns_are_refused_even_with_dark_field():
    with pytest.raises(OperatorError, match="1 usable patterns"):
        prepared(FitSettings(model="beam"), [3, *DARK])


def test_what_is_bright_field_follows_the_calibration():
    header = make_header(SHORT_WAVES, ALL_NA, SHAPE)
    optics = replace(SHORT_WAVES, objective_na=0.5)
    light = Illumination(ALL_NA, optics, "told", None)
    setup = prepare(header, light, images(BRIGHT), FitSettings(model="beam"), lambda text: None)
    assert setup.optics.objective_na == 0.5
    assert setup.dark_field == tuple(row for row in range(7, 19) if row != 13)  # held out by the profile's directions
    assert setup.held_out == (4,)


# --- volume -----------------------------------------------------------------------------------------------------------


def test_depths_are_those_of_the_operator_else_of_the_capture_else_of_the_optics():
    header = make_header(SHORT_WAVES, ALL_NA, SHAPE)
    bare = replace(header, sample_z_um=None)

    def z_um(head, settings):
        grid = prepare(head, nominal(head), images(BRIGHT), settings, lambda text: None).grid
        return grid.z_um[0], grid.z_um[-1]

    assert z_um(header, FitSettings(z_um=(-1.0, 4.0))) == pytest.approx((-1.0, 4.0))
    assert z_um(header, FitSettings()) == pytest.approx((-3.0, 3.0))
    assert z_um(bare, FitSettings()) == pytest.approx((-0.5 * 48 * 0.1625, 0.5 * 48 * 0.1625))


def test_auto_takes_the_planes_of_the_model_it_may_end_with():
    auto, wave = (prepared(FitSettings(model=model)) for model in ("auto", WAVE_MODEL))
    assert auto.grid == wave.grid
    assert (auto.model, auto.wave_model) == ("auto", WAVE_MODEL)


def test_a_sample_that_goes_on_beyond_the_images_gets_a_wider_volume():
    setup = prepared(FitSettings(), picture=EVERYWHERE)
    # Light at NA 0.65 in water goes 1.7 um sideways on 3 um: 10.3 pixels, to the next multiple of four.
    assert setup.pad == 12
    assert setup.grid.shape_zyx[1:] == (72, 84)
    assert prepared(FitSettings()).pad == 0
    assert prepared(FitSettings()).grid.shape_zyx[1:] == SHAPE


def test_dark_field_and_held_out_images_say_nothing_about_the_rim():
    bright_rim = 3 * (1 - blob((24, 30)))
    assert prepared(FitSettings(model="beam"), dark_picture=bright_rim).pad == 0
    header = make_header(SHORT_WAVES, ALL_NA, SHAPE)
    measured = images(BRIGHT)
    measured.intensity_pyx[[4, 13]] = 50 * EVERYWHERE
    assert prepare(header, nominal(header), measured, FitSettings(), lambda text: None).pad == 0


@pytest.mark.parametrize("corner", [(0, 30), (47, 30), (24, 0), (24, 59)])
def test_contrast_at_any_edge_reaches_the_rim(corner):
    assert reaches_rim((1 + 0.2 * blob(corner))[None].astype(np.float32))
    assert not reaches_rim(INNER[None].astype(np.float32))


def test_the_rim_of_small_images_is_one_block_at_least():
    assert lateral_period_um(SHORT_WAVES) > SHORT_WAVES.pixel_um
    small = np.ones((2, 36, 36), np.float32)
    small[:, 16:20, 16:20] = 1.5
    assert not reaches_rim(small)
    small[:, :4, 16:20] = 1.5
    assert reaches_rim(small)
