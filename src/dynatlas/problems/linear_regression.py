"""Regression on a noisy linear teacher, and the squared error of linear networks on it.

The loss is L = 1/2 E |f(x) - y|^2, summed over outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from dynatlas.datasets.batches import draw_batch


def linear_teacher(
    generators: Sequence[Generator], *, inputs: int, outputs: int, examples: int
) -> tuple[Tensor, Tensor]:
    """x ~ N(0, 1) (seed, example, input) and y = x M + noise / 2 with M ~ N(0, 1 / inputs), (seed, example, output)."""
    pairs = []
    for g in generators:
        x = torch.randn(examples, inputs, generator=g, device=g.device)
        teacher = torch.randn(inputs, outputs, generator=g, device=g.device) / inputs**0.5
        pairs.append((x, x @ teacher + 0.5 * torch.randn(examples, outputs, generator=g, device=g.device)))
    return torch.stack([x for x, _ in pairs]), torch.stack([y for _, y in pairs])


@dataclass(frozen=True)
class FullBatch:
    """The loss on all examples by their second moments, which cost less than the examples."""

    xx: Tensor
    """E x'x, (member, input, input)."""
    xy: Tensor
    """(member, input, output)."""
    yy: Tensor
    """E |y|^2, (member,)."""

    @classmethod
    def of(cls, x: Tensor, y: Tensor, *, copies: int = 1) -> FullBatch:
        """The moments of each seed's data, for as many members a seed."""
        n = x.shape[-2]
        sums = (x.mT @ x / n, x.mT @ y / n, y.square().sum(dim=(-2, -1)) / n)
        return cls(*(part.repeat_interleave(copies, dim=0) for part in sums))

    def __call__(self, w: Tensor) -> Tensor:
        """The loss (member,) of f(x) = x w, w (member, input, output): the product of all weights."""
        explained = ((self.xx @ w - 2 * self.xy) * w).sum(dim=(-2, -1))
        return 0.5 * (explained + self.yy)


@dataclass(frozen=True)
class MiniBatches:
    """`size` examples at a time, drawn with replacement for each seed."""

    x: Tensor
    y: Tensor
    size: int
    generators: Sequence[Generator]

    def __call__(self, step: int) -> tuple[Tensor, Tensor]:
        """The next batch: x (seed, example, input) and y (seed, example, output)."""
        index = draw_batch(self.x.shape[1], size=self.size, generators=self.generators).to(self.x.device)
        seed = torch.arange(len(self.x), device=self.x.device)[:, None]
        return self.x[seed, index], self.y[seed, index]


def squared_error(outputs: Tensor, y: Tensor) -> Tensor:
    """The loss (member,) of outputs (member, example, output)."""
    return 0.5 * (outputs - y).square().sum(dim=-1).mean(dim=-1)
