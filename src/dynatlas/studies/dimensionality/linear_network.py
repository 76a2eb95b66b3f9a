"""What noise on the weights of a two-layer linear network x W1 W2 amounts to.

Weights W1 (..., input, hidden) and W2 (..., hidden, output); C = E x'x (..., input, input) is not centred. Its loss is
L = 1/2 E |x W1 W2 - y|^2, summed over outputs. Derivations are in the study's README.
"""

from __future__ import annotations

import torch
from torch import Tensor


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
