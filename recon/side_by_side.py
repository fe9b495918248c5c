"""Batches of work side by side on the processor's cores.

Torch would share each operation among the cores, and wait for the last of them after each: for operations on as much
as fits a cache that takes longer than one core alone.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Batch = TypeVar("Batch")
Result = TypeVar("Result")


def side_by_side(
    function: Callable[[Batch], Result], batches: Sequence[Batch], pulse: Callable[[], None]
) -> list[Result]:
    """Apply a function of tensors on the CPU to each batch, without gradients, on as many threads as torch has.

    `pulse` is called in between in the thread of the caller; whatever it raises ends the work.
    """
    threads = min(torch.get_num_threads(), len(batches))
    results = []
    if threads < 2:
        for batch in batches:
            pulse()
            results.append(function(batch))
        return results

    def without_gradient(batch: Batch) -> Result:  # whether there are gradients is each thread's own
        with torch.no_grad():
            return function(batch)

    for result in _pool(threads).map(without_gradient, batches):
        results.append(result)
        pulse()
    return results


@lru_cache(maxsize=2)
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "side by side", initializer=lambda: torch.set_num_threads(1))
