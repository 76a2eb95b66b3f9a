"""Class labels made wrong on purpose, one random stream for each seed.

With generators at the same state, the labels changed at a small fraction are among those changed at a larger one, and
to the same classes: conditions of one seed are paired.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor


def relabel_uniform(y: Tensor, fraction: float, *, classes: int, generators: Sequence[Generator]) -> Tensor:
    """Labels (seed, example): round(fraction x examples) of y (example,) drawn anew from all classes.

    One in `classes` of them draws the class that it had, so that only fraction x (1 - 1 / classes) change on average;
    at fraction 1 the labels hold no information. Compare with y to see which changed.
    Raises ValueError for a fraction outside 0 ... 1 and labels outside 0 ... classes - 1.
    """
    y = y.long()
    return _changed(y, fraction, lambda generator: _integers(classes, y, generator), classes, generators)


def flip_labels(y: Tensor, fraction: float, *, classes: int, generators: Sequence[Generator]) -> Tensor:
    """Labels (seed, example): round(fraction x examples) of y (example,) changed to one of the other classes.

    At fraction 1 no label is right, which is information too: see `relabel_uniform`. Raises ValueError as it does.
    """

    y = y.long()

    def other(generator: Generator) -> Tensor:
        return (y + 1 + _integers(classes - 1, y, generator)) % classes

    if classes < 2:
        raise ValueError(f"classes = {classes}: there is no other class to change to")
    return _changed(y, fraction, other, classes, generators)


def shuffle_labels(y: Tensor, *, generators: Sequence[Generator]) -> Tensor:
    """Labels (seed, example): y (example,) in a random order, so that each class keeps its number of examples."""
    return torch.stack([y[_order(y, generator)] for generator in generators])


def _integers(high: int, like: Tensor, generator: Generator) -> Tensor:
    """Uniform integers below `high`, as many as `like` has; drawn where the generator lives."""
    return torch.randint(high, like.shape, generator=generator, device=generator.device).to(like.device)


def _order(like: Tensor, generator: Generator) -> Tensor:
    return torch.randperm(len(like), generator=generator, device=generator.device).to(like.device)


def _changed(
    y: Tensor, fraction: float, draw: Callable[[Generator], Tensor], classes: int, generators: Sequence[Generator]
) -> Tensor:
    if not 0 <= fraction <= 1:
        raise ValueError(f"fraction = {fraction}: wanted is 0 to 1")
    if len(y) and not 0 <= int(y.min()) <= int(y.max()) < classes:
        raise ValueError(f"labels lie in {int(y.min())}..{int(y.max())}, wanted is 0..{classes - 1}")
    count = round(fraction * len(y))
    rows = []
    for generator in generators:
        place = _order(y, generator)
        rows.append(torch.where(place < count, draw(generator), y))
    return torch.stack(rows)
