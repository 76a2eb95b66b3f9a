"""Which examples are seen when, drawn for each seed by its own generator: in epochs, or with replacement."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Generator, Tensor


def batch_order(
    count: int, *, size: int, generators: Sequence[Generator], updates: int | None = None, epochs: int | None = None
) -> Tensor:
    """The examples of every batch, long (update, seed, size): batches of `size` out of `count` examples.

    Either so many `updates`, or all batches of so many `epochs`. Within an epoch no example comes twice; what does not
    fill a batch is left out. Raises ValueError unless 0 < size <= count and one of the two is given.
    """
    if not 0 < size <= count:
        raise ValueError(f"batch = {size}: wanted is 1 to {count}, the number of examples")
    if (updates is None) == (epochs is None):
        raise ValueError(f"updates = {updates}, epochs = {epochs}: wanted is one of the two")
    each = count // size
    updates = each * (epochs or 0) if updates is None else updates
    orders = []
    for generator in generators:
        begun = range(math.ceil(updates / each))
        drawn = [torch.randperm(count, generator=generator, device=generator.device) for _ in begun]
        orders.append(torch.stack(drawn)[:, : each * size].reshape(-1, size)[:updates])
    return torch.stack(orders, dim=1)


def draw_batch(count: int, *, size: int, generators: Sequence[Generator]) -> Tensor:
    """The next batch of each seed, long (seed, size): `size` of `count` examples, drawn with replacement.

    Raises ValueError for a size or a count below 1.
    """
    if min(count, size) < 1:
        raise ValueError(f"batch = {size} of {count} examples: wanted is at least 1 of at least 1")
    return torch.stack([torch.randint(count, (size,), generator=own, device=own.device) for own in generators])
