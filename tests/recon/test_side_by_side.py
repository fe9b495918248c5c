"""Batches side by side: in order, without gradients, and the caller can always answer."""

from __future__ import annotations

import threading

import pytest
import torch

from recon.forward.model import build_model
from recon.grid import VolumeGrid
from recon.side_by_side import AHEAD, Interrupted, no_pulse, shares, side_by_side, threads, use_threads
from tests.recon.fields import rough_network
from tests.recon.simulate import SHORT_WAVES

CPU = torch.device("cpu")


@pytest.fixture(params=[1, 3])
def cores(request):
    before = threads()
    use_threads(request.param)
    yield request.param
    use_threads(before)


def test_results_come_in_order_from_other_threads(cores):
    seen = set()

    def square(number):
        assert not torch.is_grad_enabled() and torch.get_num_threads() == 1
        seen.add(threading.get_ident())
        return number**2

    assert list(side_by_side(square, range(50), no_pulse, CPU)) == [number**2 for number in range(50)]
    assert threading.get_ident() not in seen and 1 <= len(seen) <= cores
    assert list(side_by_side(square, [], no_pulse, CPU)) == []


def test_the_caller_answers_while_a_batch_takes_long(cores):
    del cores
    go_on, pulses = threading.Event(), []

    def pulse():
        pulses.append(threading.get_ident())
        if len(pulses) == 5:
            go_on.set()

    assert list(side_by_side(lambda _: go_on.wait(30.0), [0], pulse, CPU)) == [True]
    assert set(pulses) == {threading.get_ident()}


def test_work_within_a_pulse_does_not_wait_for_the_work_it_is_in(cores):
    del cores
    go_on, inner = threading.Event(), []

    def pulse():
        if not inner:
            inner.extend(side_by_side(lambda number: number + 1, range(20), no_pulse, CPU))
            go_on.set()

    assert all(side_by_side(lambda _: go_on.wait(30.0), range(20), pulse, CPU))
    assert inner == list(range(1, 21))


def test_what_a_pulse_raises_ends_the_work(cores):
    done = []

    def pulse():
        if done:
            raise Interrupted

    with pytest.raises(Interrupted):
        list(side_by_side(done.append, range(1000), pulse, CPU))
    assert len(done) <= 2 * AHEAD * cores
    assert list(side_by_side(str, range(3), no_pulse, CPU)) == ["0", "1", "2"]


def test_what_a_batch_raises_reaches_the_caller(cores):
    del cores
    with pytest.raises(ZeroDivisionError):
        list(side_by_side(lambda number: 1 // number, [2, 1, 0], no_pulse, CPU))


def test_shares_are_all_there_is(cores):
    for count in range(1, 12):
        parts = shares(count)
        assert [number for part in parts for number in range(count)[part]] == list(range(count))
        assert len(parts) == min(count, cores) and all(part.stop > part.start for part in parts)
        assert len(shares(count, 2)) <= 2


@pytest.mark.parametrize("name", ["beam", "ssnp"])
def test_cores_change_neither_images_nor_gradient(name):
    grid = VolumeGrid((5, 32, 30), 0.3, 0.16, -0.6)
    na = torch.tensor([[0.0, 0.0], [0.2, 0.1], [-0.3, 0.2], [0.1, -0.4], [0.0, 0.3]], dtype=torch.float64)
    network = rough_network(grid=grid)
    found = []
    before = threads()
    for count in (1, 2, 4):
        use_threads(count)
        model = build_model(name, grid, SHORT_WAVES, na)
        values = network.on_axes(*(torch.as_tensor(axis) for axis in grid.axes_um))
        images = model.images(torch.complex(*values), torch.arange(5))
        gradients = torch.autograd.grad(images.square().sum(), list(network.parameters()))
        found.append([images.detach(), *gradients])
    use_threads(before)
    for other in found[1:]:
        for one, another in zip(found[0], other, strict=True):
            assert torch.allclose(one, another, rtol=1e-4, atol=1e-4 * float(one.abs().max()))
