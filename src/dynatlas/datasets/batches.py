"""Which examples are seen when, drawn for each seed by its own generator: in epochs, or with replacement."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Generator, Tensor


def batch_order(count: int, *, updates: int, size: int, generators: Sequence[Generator]) -> Tensor:
    """The examples of every batch, long (update, seed, size), for `updates` batches of `size` out of `count` examples.

    Within an epoch no example comes twice; what does not fill a batch is left out. Raises ValueError unless
    0 < size <= count.
    """
    if not 0 < size <= count:
        raise ValueError(f"batch = {size}: wanted is 1 to {count}, the number of examples")
    each = count // size
    orders = []
    for generator in generators:
        epochs = range(math.ceil(updates / each))
        drawn = [torch.randperm(count, generator=generator, device=generator.device) for _ in epochs]
        orders.append(torch.stack(drawn)[:, : each * size].reshape(-1, size)[:updates])
    return torch.stack(orders, dim=1)


def draw_batch(count: int, *, size: int, generators: Sequence[Generator]) -> Tensor:
    """The next batch of each seed, long (seed, size): `size` of `count` examples, drawn with replacement."""
    return torch.stack([torch.randint(count, (size,), generator=own, device=own.device) for own in generators])
