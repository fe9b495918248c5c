"""Predicted images beside measured ones that other optics made: on one scale, in any light, from memory and files."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from acquisition.capture import CaptureWriter, Frame, read_capture, sha256_of
from acquisition.errors import OperatorError
from recon import messages, view_requests
from recon.field import NeuralField, design_field
from recon.field_file import write_field
from recon.grid import choose_grid
from recon.lights import ErrorSurvey, NothingMeasured, light_pair, light_picture, lights_of, thinned
from recon.measurement import Measurement
from recon.quality import contrast_error, contrast_errors
from recon.reconstruct import State
from recon.result import Field, History
from recon.side_by_side import Interrupted
from recon.stored_images import StoredImages, beside
from recon.subject import Opened
from recon.view_requests import NO_PATTERN, RequestLight
from recon.worker import NOBODYS_RUN, Worker
from tests.mie import mie_intensity
from tests.recon.simulate import SHORT_WAVES, bead, photograph, rings
from tests.recon.test_reconstruct import QUICK, after_steps

RADIUS_UM, DN, CENTRE_UM = 2.0, 0.02, (0.8, -0.5, 0.4)
SHAPE = (96, 96)
LED_NA = rings((1, 0.0), (6, 0.3), (8, 0.5))


def go_on():
    """Nothing waits."""


def history(model, patterns=15, **known):
    ones = np.ones(len(LED_NA))
    return History(model, "told", None, 0.0, (4,), 0, 0.0, 0, "bead.h5", "", LED_NA, np.ones(patterns), ones, **known)


@pytest.fixture(scope="module")
def shot():
    """A bead, by the simulator's optics, with noise and LEDs that differ."""
    return photograph(bead(RADIUS_UM, DN, CENTRE_UM), led_na_l2=LED_NA, shape=SHAPE, electrons=1e5)


@pytest.fixture(scope="module")
def field(shot):
    """A field that is the bead, without a fit, seen through SSNP."""
    grid = choose_grid(SHAPE, SHORT_WAVES, (-3.0, 3.0), resonant=True)
    fine = 5
    z_um = grid.axes_um[2]
    dz_um = grid.dz_um / fine
    offsets_um = (np.arange(fine) - fine // 2) * dz_um
    planes = np.mean([shot.truth(z_um + offset_um) for offset_um in offsets_um], axis=0)
    config = design_field(grid, SHORT_WAVES.medium_index, DN)
    network = NeuralField(config)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    field = Field(network.requires_grad_(False), grid, SHORT_WAVES, history("ssnp"))
    wanted = start = torch.from_numpy(planes.astype(np.complex64))
    for _ in range(4):  # splines blur what they begin with
        network.start_from(start)
        start = start + (wanted - field.on_grid())
    return field


@pytest.fixture(scope="module")
def measured(shot):
    measurement = Measurement(shot.header)
    for pattern, counts_yx in enumerate(shot.counts_pyx):
        measurement.add(pattern, counts_yx)
    return measurement


class Given:
    """Measured images that are given."""

    def __init__(self, patterns_pl, images, mean_is_one=False):
        self.patterns_pl, self._images, self.mean_is_one = patterns_pl, images, mean_is_one

    def image(self, pattern):
        return self._images.get(pattern)


# --- what is predicted ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("na", [(0.0, 0.0), (0.31, 0.22), (-0.1, 0.55)])
def test_an_image_in_light_that_never_was_is_that_of_exact_scattering(field, na):
    predicted, there_is_none = light_pair(NO_PATTERN, na, field, NothingMeasured(), go_on)
    exact = mie_intensity(SHORT_WAVES, na, RADIUS_UM, DN, CENTRE_UM, SHAPE, soft_edge=True)
    assert contrast_error(predicted, exact) < 0.15
    assert np.isnan(there_is_none).all()


def test_dark_field_is_predicted_on_the_scale_of_its_own_mean(field):
    predicted, _ = light_pair(NO_PATTERN, (0.78, 0.0), field, NothingMeasured(), go_on)
    exact = mie_intensity(SHORT_WAVES, (0.78, 0.0), RADIUS_UM, DN, CENTRE_UM, SHAPE, soft_edge=True)
    assert predicted.mean() == pytest.approx(1.0, abs=1e-5)
    assert contrast_error(predicted, exact / exact.mean()) < 0.3


def test_every_measured_image_stands_beside_its_prediction(field, measured):
    for pattern in range(len(LED_NA)):
        predicted, image = light_pair(pattern, (9.0, 9.0), field, measured, go_on)
        assert predicted.mean() == pytest.approx(1.0, abs=1e-4) and image.mean() == pytest.approx(1.0, abs=1e-4)
        assert contrast_error(predicted, image) < 0.3
    neighbour = measured.image(8)
    assert contrast_error(light_pair(7, (0.0, 0.0), field, measured, go_on)[0], neighbour) > 0.5


def test_measured_dark_field_stands_beside_its_prediction(field):
    dark_na_l2 = np.array([[0.78, 0.0], [0.3, -0.72]])
    dark = photograph(bead(RADIUS_UM, DN, CENTRE_UM), led_na_l2=dark_na_l2, shape=SHAPE, electrons=2e6)
    measurement = Measurement(dark.header)
    seen = replace(field, history=replace(field.history, led_na_l2=dark_na_l2))
    for pattern, counts_yx in enumerate(dark.counts_pyx):
        measurement.add(pattern, counts_yx)
        predicted, image = light_pair(pattern, (0.0, 0.0), seen, measurement, go_on)
        assert predicted.mean() == pytest.approx(1.0, abs=1e-4) and image.mean() == pytest.approx(1.0, abs=1e-4)
        assert contrast_error(predicted, image) < 0.3


def test_the_own_prediction_leaves_nothing(field):
    images = {pattern: field.intensity(LED_NA[pattern]) for pattern in (0, 3)}
    given = Given(np.eye(len(LED_NA), dtype=np.float32), images)
    for pattern in images:
        answer = light_picture(RequestLight(1, "light", 1, pattern), field, given, go_on)
        assert answer.shape == (3, *SHAPE) and answer.dtype == np.float32
        assert np.abs(answer[2]).max() < 1e-6
    changed = Given(given.patterns_pl, {0: images[0] + np.float32(0.125)})
    answer = light_picture(RequestLight(1, "light", 1, 0), field, changed, go_on)
    assert answer[2] == pytest.approx(np.full(SHAPE, -0.125), abs=1e-6)


def test_with_an_empty_field_the_fitted_brightness_counts(field):
    gain_p = np.ones(len(LED_NA))
    gain_p[2], gain_p[3] = 1.25, np.nan
    bright = replace(field, history=replace(field.history, pattern_gain_p=gain_p))
    patterns_pl = np.eye(len(LED_NA), dtype=np.float32)
    for pattern, gain in ((2, 1.25), (3, 1.0)):
        plain = field.intensity(LED_NA[pattern])
        known = light_pair(pattern, (0.0, 0.0), bright, Given(patterns_pl, {}), go_on)[0]
        own = light_pair(pattern, (0.0, 0.0), bright, Given(patterns_pl, {}, mean_is_one=True), go_on)[0]
        assert known == pytest.approx(gain * plain, rel=1e-5)
        assert own == pytest.approx(plain / plain.mean(), rel=1e-5)


def test_leds_lit_together_add_by_their_brightness(field):
    patterns_pl = np.zeros((1, len(LED_NA)), np.float32)
    patterns_pl[0, [0, 5]] = 1.0, 0.25
    predicted, _ = light_pair(0, (0.0, 0.0), field, Given(patterns_pl, {}), go_on)
    expected = 0.8 * field.intensity(LED_NA[0]) + 0.2 * field.intensity(LED_NA[5])
    assert predicted == pytest.approx(expected, abs=1e-6)


def test_what_the_model_cannot_describe_is_missing_and_the_measured_image_is_not(field, measured):
    weak = replace(field, history=replace(field.history, forward_model="born"))
    assert np.isnan(light_pair(NO_PATTERN, (0.7, 0.0), weak, measured, go_on)).all()
    assert np.isnan(light_pair(NO_PATTERN, (1.4, 0.0), field, measured, go_on)).all()
    dark = Given(np.array([[1.0]], np.float32), {0: measured.image(0)})
    weak = replace(weak, history=replace(weak.history, led_na_l2=np.array([[0.7, 0.0]])))
    predicted, image = light_pair(0, (0.0, 0.0), weak, dark, go_on)
    assert np.isnan(predicted).all() and np.isfinite(image).all()
    assert lights_of(1, weak, dark.patterns_pl, np.zeros(1)).largest_na == SHORT_WAVES.objective_na
    assert lights_of(1, field, dark.patterns_pl, np.zeros(1)).largest_na == SHORT_WAVES.medium_index


def test_images_that_are_too_large_are_averaged():
    stack = np.arange(2 * 7 * 10, dtype=np.float32).reshape(2, 7, 10)
    small = thinned(stack, 4)
    assert small.shape == (2, 2, 3)
    assert small[1, 1, 2] == stack[1, 3:6, 6:9].mean()
    assert thinned(stack, 10) is stack


def test_the_volume_is_evaluated_once_and_again_when_the_field_has_changed(field, monkeypatch):
    evaluated = []
    on_axes = NeuralField.on_axes
    monkeypatch.setattr(NeuralField, "on_axes", lambda *args: evaluated.append(1) or on_axes(*args))
    changing = replace(field, network=NeuralField(field.network.config, seed=3))
    first, second = changing.on_grid(), changing.on_grid()
    assert first is second and len(evaluated) == 1
    with torch.no_grad():
        changing.network.layers[-1].add_(0.1)
    assert (changing.on_grid() - first).abs().max() > 0 and len(evaluated) == 2


# --- errors of all patterns -------------------------------------------------------------------------------------------


def test_errors_of_a_fit_are_those_of_its_final_field_and_of_its_figure_of_merit(cells_capture):
    events = []
    run = after_steps(cells_capture, 12, QUICK, events.append)
    before = run.field().on_grid()
    run.advance()
    assert (run.field().on_grid() - before).abs().max() > 0, "a step of the fit is seen"
    run.finish("told")
    (*_, told) = [event for event in events if isinstance(event, messages.Lights)]
    assert len(told.led_na_l2) == len(told.error_p) == 19 and told.held_out == run.field().history.held_out
    assert told.lit_k2.tolist() == [[k, k] for k in range(19)]
    survey = ErrorSurvey(run.error_p)
    while not survey.done:
        survey.advance(run.field(), run.measured, go_on)
    held_out = list(told.held_out)
    assert told.error_p[held_out] == pytest.approx(survey.error_p[held_out], rel=1e-3)
    assert np.nanmax(np.abs(told.error_p / survey.error_p - 1)) < 0.2  # others are as they were last seen on the way
    images = np.stack([run.measured.image(pattern) for pattern in held_out])
    weight_p = ((images - 1) ** 2).sum((1, 2))
    whole = np.sqrt((weight_p * survey.error_p[held_out] ** 2).sum() / weight_p.sum())
    assert whole == pytest.approx(run.field().history.held_out_error, rel=1e-3)


def test_a_survey_that_was_broken_off_goes_on_where_it_was(field, measured):
    def stop():
        raise KeyboardInterrupt

    survey = ErrorSurvey(np.full(2, np.nan, np.float32))
    with pytest.raises(KeyboardInterrupt):
        survey.advance(field, measured, stop)
    survey.advance(field, measured, go_on)
    pair = light_pair(0, (0.0, 0.0), field, measured, go_on)
    assert survey.error_p[0] == contrast_errors(pair[:1], pair[1:])[0]
    assert np.isnan(survey.error_p[1]) and not survey.done


# --- measured images of a file ----------------------------------------------------------------------------------------


@pytest.fixture
def capture(shot, tmp_path):
    """The bead as a file with an empty field, scanned twice; the second scan is twice as bright."""
    path = tmp_path / "there" / "bead.h5"
    path.parent.mkdir()
    background_pyx = np.linspace(900, 1100, SHAPE[1], dtype=np.float32) * np.ones((len(LED_NA), *SHAPE), np.float32)
    with CaptureWriter(path, shot.header) as writer:
        for scan in range(2):
            for pattern, counts_yx in enumerate(shot.counts_pyx):
                counts_yx = (counts_yx // (2 - scan)).astype(np.uint16)
                index = scan * len(LED_NA) + pattern
                writer.write_frame(Frame(index, pattern, counts_yx, 10.0, time_point=scan))
        writer.write_background(background_pyx)
        writer.finish("complete")
    return path


def test_a_file_gives_the_images_that_the_fit_saw(field, capture):
    for time_point in (0, 1):
        of_scan = replace(field, history=history("ssnp", time_point=time_point, position=0))
        stored = StoredImages(capture, of_scan)
        whole = read_capture(capture, visit=(time_point, 0))
        measurement = Measurement(whole.header, whole.darks, whole.background_pyx)
        for pattern, image_yx in zip(whole.pattern_n.tolist(), whole.images_nyx, strict=True):
            measurement.add(pattern, image_yx)
        assert stored.mean_is_one is measurement.mean_is_one is False
        for pattern in (3, 0, 3):
            assert np.array_equal(stored.image(pattern), measurement.image(pattern))


def test_the_capture_is_found_beside_the_field_or_where_it_was(field, capture, tmp_path):
    beside_it = field_of(capture, field)
    images, told = beside(str(capture.parent / "x.field.h5"), beside_it)
    assert images is not None and told == ""
    images, told = beside(str(tmp_path / "x.field.h5"), beside_it)
    assert images is None and f"there is no bead.h5 in {tmp_path}" in told
    images, told = beside(str(tmp_path / "x.field.h5"), field_of(capture, field, capture_folder=str(capture.parent)))
    assert images is not None and told == ""


def field_of(capture, field, **known):
    return replace(field, history=replace(history("ssnp", **known), capture_sha256=sha256_of(capture)))


def test_a_capture_that_is_another_or_has_changed_is_told(field, capture):
    path = str(capture.parent / "x.field.h5")
    images, told = beside(path, replace(field, history=history("ssnp", patterns=7)))
    assert images is None and "not the capture of this field" in told and "7 patterns" in told
    images, told = beside(path, replace(field, history=replace(history("ssnp"), capture_sha256="0" * 64)))
    assert images is not None and "has changed since" in told
    capture.write_bytes(b"no longer")
    images, told = beside(path, field_of(capture, field))
    assert images is None and "damaged" in told
    images, told = beside(path, replace(field, history=replace(history("ssnp"), capture_name="")))
    assert images is None and told


def test_a_file_that_goes_away_costs_the_measured_image_alone(field, capture):
    stored = StoredImages(capture, field)
    capture.unlink()
    with pytest.raises(OperatorError):
        stored.image(0)
    predicted, image = light_pair(0, (0.0, 0.0), field, stored, go_on)
    assert np.isfinite(predicted).all() and np.isnan(image).all()


# --- in the process ---------------------------------------------------------------------------------------------------


class Line:
    """The worker's end of a connection."""

    def __init__(self):
        self.coming, self.sent = [], []

    def poll(self, wait_s):
        return bool(self.coming)

    def recv(self):
        return self.coming.pop(0)

    def send(self, event):
        self.sent.append(event)

    def answers(self):
        return [event for event in self.sent if isinstance(event, messages.Picture)]


@pytest.fixture
def worker(field, measured):
    worker = Worker(Line(), "cpu")
    worker._begin(1).opened = Opened(field, measured)
    return worker


def plane(view, request):
    edges = (2.0, 0.0, 0.0), (0.0, 2.0, 0.0)
    return view_requests.RequestSlice(1, view, request, (-1.0, -1.0, 0.0), *edges, (4, 4))


def test_a_newer_request_ends_the_painting_of_an_older_and_slices_are_painted_within_it(worker, monkeypatch):
    line = worker._connection
    intensity = Field.intensity

    def meanwhile(field, na):
        if na[0] == 0.1:
            line.coming += [plane("xy", 5), RequestLight(1, "light", 2, NO_PATTERN, (0.2, 0.0))]
            worker._pulse()
        return intensity(field, na)

    monkeypatch.setattr(Field, "intensity", meanwhile)
    line.coming.append(RequestLight(1, "light", 1, NO_PATTERN, (0.1, 0.0)))
    worker._take_messages(0.0)
    worker._work()
    worker._work()
    assert sorted((answer.view, answer.request) for answer in line.answers()) == [("light", 2), ("xy", 5)]
    assert not worker.painter._painting
    worker._work()
    assert len(line.answers()) == 2, "nothing has changed"


def test_a_view_that_is_forgotten_is_not_painted_to_its_end(worker, monkeypatch):
    line = worker._connection

    def meanwhile(field, na):
        line.coming.append(view_requests.CloseView(1, "light"))
        worker._pulse()
        raise AssertionError("goes on")

    monkeypatch.setattr(Field, "intensity", meanwhile)
    line.coming.append(RequestLight(1, "light", 1, NO_PATTERN, (0.1, 0.0)))
    worker._take_messages(0.0)
    worker.painter.paint_waiting()
    assert not line.answers() and not worker.painter._views


def test_the_end_of_a_run_ends_the_painting(worker, monkeypatch):
    line = worker._connection

    def meanwhile(field, na):
        line.coming.append(messages.Cancel(1))
        worker._pulse()
        raise AssertionError("goes on")

    monkeypatch.setattr(Field, "intensity", meanwhile)
    line.coming.append(RequestLight(1, "light", 1, NO_PATTERN, (0.1, 0.0)))
    worker._take_messages(0.0)
    with pytest.raises(Interrupted):
        worker._work()
    assert not worker.painter._painting
    worker._take_messages(0.0)
    assert worker.subject.run == NOBODYS_RUN and not worker.painter._views


def test_errors_of_an_opened_field_are_found_once_somebody_looks_at_lights(worker, monkeypatch):
    line = worker._connection
    assert not worker._work()
    line.coming.append(RequestLight(1, "light", 1, 4))
    worker._take_messages(0.0)
    assert worker._work() and not worker._work(), "who has just asked may ask again"
    monkeypatch.setattr("recon.worker.QUIET_S", 0.0)
    while worker._work():
        pass
    (*_, told) = [event for event in line.sent if isinstance(event, messages.Lights)]
    assert np.isfinite(told.error_p).all() and told.error_p.max() < 0.3


def test_a_run_that_waits_for_frames_has_no_errors_to_find(worker):
    waiting = SimpleNamespace(has_field=False, state=State.COLLECTING)
    worker.subject.lights_wanted, worker.subject.reconstruction = True, waiting
    assert worker.subject.shown() is worker.subject.opened.field, "what a lost process has left"
    assert not worker.subject.find_error(worker.emit, go_on)


def test_a_field_that_is_looked_at_makes_way_for_messages(worker, field, tmp_path):
    write_field(tmp_path / "later.field.h5", field)
    worker._handle(messages.LookAt(1, str(tmp_path / "later.field.h5")))
    worker._connection.coming.append(messages.Cancel(1))
    with pytest.raises(Interrupted):
        worker.subject.shown().coarse_dn()


def test_a_survey_that_fails_is_given_up(worker, monkeypatch):
    def out_of_memory(field, na):
        raise torch.OutOfMemoryError("full")

    monkeypatch.setattr(Field, "intensity", out_of_memory)
    worker.subject.lights_wanted = True
    assert worker._work() and not worker._work()
    assert not [event for event in worker._connection.sent if isinstance(event, messages.Failed)]
