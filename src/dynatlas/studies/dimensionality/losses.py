"""Losses, and the two-layer linear network x W1 W2: its data, and what noise on its weights amounts to.

Weights W1 (..., input, hidden) and W2 (..., hidden, output); C = E x'x (..., input, input) is not centred. Its loss is
L = 1/2 E |x W1 W2 - y|^2, summed over outputs. Derivations are in the study's README.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from dynatlas.datasets.batches import draw_batch
from dynatlas.ensemble.parameters import Params


def linear_data(generators: Sequence[Generator], *, inputs: int, outputs: int, examples: int) -> tuple[Tensor, Tensor]:
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
    """C, (member, input, input)."""
    xy: Tensor
    """(member, input, output)."""
    yy: Tensor
    """E |y|^2, (member,)."""

    @classmethod
    def of(cls, x: Tensor, y: Tensor, *, conditions: int) -> FullBatch:
        """The moments of each seed's data, for as many conditions a seed."""
        n = x.shape[-2]
        sums = (x.mT @ x / n, x.mT @ y / n, y.square().sum(dim=(-2, -1)) / n)
        return cls(*(part.repeat_interleave(conditions, dim=0) for part in sums))

    def __call__(self, params: Params) -> Tensor:
        """The loss (member,) of weights `w1`, `w2`."""
        product = params["w1"] @ params["w2"]
        explained = ((self.xx @ product - 2 * self.xy) * product).sum(dim=(-2, -1))
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


def squared_error(params: Params, batch: tuple[Tensor, Tensor]) -> Tensor:
    """The loss (seed,) of weights `w1`, `w2`, one network a seed, on a batch x (seed, example, input) and y."""
    x, y = batch
    error = x @ params["w1"] @ params["w2"] - y
    return 0.5 * error.square().sum(dim=-1).mean(dim=-1)


def noise_penalty(w1: Tensor, w2: Tensor, c: Tensor) -> Tensor:
    """R = tr C |W2|^2 + o |C^(1/2) W1|^2 for o outputs, (...): tr H of the loss, or twice what noise adds per sigma^2.

    The size of the hidden representation times that of the Jacobian to the output, layer by layer.
    """
    size = (w1 * (c @ w1)).sum(dim=(-2, -1))
    return _trace(c) * w2.square().sum(dim=(-2, -1)) + w2.shape[-1] * size


def penalty_bound(w1: Tensor, w2: Tensor, c: Tensor) -> Tensor:
    """2 sqrt(o tr C) |C^(1/2) W1 W2|_* (nuclear norm), the smallest `noise_penalty` of any network of the same product.

    By the inequality of means, and as |A|^2 + |B|^2 >= 2 |A B|_*; reached where both terms are balanced, by a hidden
    representation of no higher rank than the product's.
    """
    values, vectors = torch.linalg.eigh(c)
    root = vectors * values.clamp_min(0).sqrt().unsqueeze(-2) @ vectors.mT
    nuclear = torch.linalg.svdvals(root @ w1 @ w2).sum(dim=-1)
    return 2 * (w2.shape[-1] * _trace(c)).sqrt() * nuclear


def noise_excess(w1: Tensor, w2: Tensor, c: Tensor, sigma: float, *, fourth_order: bool = True) -> Tensor:
    """E L(w + sigma xi) - L(w) for xi ~ N(0, 1) on all weights, exactly, (...).

    sigma^2 / 2 R + sigma^4 / 2 o m tr C for m hidden units; without `fourth_order` the first term alone.
    """
    second = sigma**2 / 2 * noise_penalty(w1, w2, c)
    return second + ((sigma**2) ** 2 / 2 * w2.shape[-1] * w2.shape[-2] * _trace(c) if fourth_order else 0.0)


def _trace(c: Tensor) -> Tensor:
    return c.diagonal(dim1=-2, dim2=-1).sum(dim=-1)
