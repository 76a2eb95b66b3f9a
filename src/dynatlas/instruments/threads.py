"""Work on independent parts, side by side, with the same bits for any number of threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Part = TypeVar("Part")
Result = TypeVar("Result")


def over_threads(function: Callable[[Part], Result], parts: Sequence[Part]) -> list[Result]:
    """`[function(part) for part in parts]`, as many at once as torch was given threads; each computes with one.

    Batched LAPACK calls leave torch's second thread idle, and sums that several threads share come out in another
    order: parts that are computed with one thread each mend both. Grad mode inside is the default one.
    """
    threads = torch.get_num_threads()
    if threads == 1:
        return [function(part) for part in parts]
    with ThreadPoolExecutor(min(threads, len(parts) or 1), initializer=torch.set_num_threads, initargs=(1,)) as pool:
        return list(pool.map(function, parts))
