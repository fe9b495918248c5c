"""Batches of work on the processor's cores, side by side, while the caller's thread stays free to answer.

Torch would share each operation among the cores and wait for the last of them after each. For arrays that fit a cache
that takes longer than one core alone, many times longer where another program wants a core too. So torch gets one
thread, and whole batches run side by side.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor, wait
from functools import lru_cache, partial
from itertools import islice, pairwise
from typing import TYPE_CHECKING, TypeVar

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future

Batch = TypeVar("Batch")
Result = TypeVar("Result")

PULSE_S = 0.02
"""So often at least the caller may answer while it waits."""
AHEAD = 2
"""Batches under way or next, for each thread: those that are given up are still worked at."""


class Interrupted(Exception):
    """What a pulse raises to end the work in hand: something else is wanted, and nothing has failed."""


def no_pulse() -> None:
    """Nothing waits."""


def pulse_of_gradient(pulse: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """Pulse of work within a gradient: for a GPU torch computes it in a thread of its own, where nobody answers."""
    return pulse if device.type == "cpu" else no_pulse


class _Cores:
    """How many batches run side by side, and how many callers wait for some: a pulse may begin work within work."""

    def __init__(self) -> None:
        self.threads = torch.get_num_threads()
        self.callers = 0
        torch.set_num_threads(1)


_cores = _Cores()


def threads() -> int:
    """How many batches run side by side: as many as there are cores, or as OMP_NUM_THREADS says."""
    return _cores.threads


def use_threads(count: int) -> None:
    """Run so many batches side by side from now on."""
    _cores.threads = count
    _pool.cache_clear()


def side_by_side(
    function: Callable[[Batch], Result],
    batches: Iterable[Batch],
    pulse: Callable[[], None],
    device: torch.device,
) -> Iterator[Result]:
    """Apply a function of tensors to each batch, without gradients; results come in the order of the batches.

    Parameters
    ----------
    function
        Of a batch on a CPU it is called in another thread. It may write where no other batch does.
    batches
        What it is applied to.
    pulse
        Called often meanwhile, in the caller's thread; whatever it raises ends the work: what is under way goes on
        for a while, to no effect.
    device
        Where the tensors are. A GPU takes one batch after the other.
    """

    def without_gradients(batch: Batch) -> Result:  # whether there are gradients is each thread's own
        with torch.no_grad():
            return function(batch)

    if device.type != "cpu":
        for batch in batches:
            pulse()
            yield without_gradients(batch)
        return
    pool, most, rest = _pool(_cores.callers), AHEAD * _cores.threads, iter(batches)
    under_way: deque[Future[Result]] = deque()
    _cores.callers += 1
    try:
        while True:
            under_way.extend(pool.submit(without_gradients, batch) for batch in islice(rest, most - len(under_way)))
            if not under_way:
                return
            pulse()
            wait((under_way[0],), PULSE_S)
            if under_way[0].done():
                yield under_way.popleft().result()
    finally:
        _cores.callers -= 1
        for future in under_way:
            future.cancel()


@lru_cache
def _pool(callers: int) -> ThreadPoolExecutor:
    """Threads of a caller within so many others, whose batches it must not wait for."""
    # Of the libraries below torch, the one for Fourier transforms shares its work unless told in each thread.
    alone = partial(torch.set_num_threads, 1)
    return ThreadPoolExecutor(_cores.threads, f"side by side {callers}", initializer=alone)


def shares(count: int, most: int | None = None) -> list[slice]:
    """Cut so many things into a share for each thread, `most` shares at most."""
    parts = max(1, min(count, _cores.threads, count if most is None else most))
    edges = [round(k * count / parts) for k in range(parts + 1)]
    return [slice(start, stop) for start, stop in pairwise(edges)]
