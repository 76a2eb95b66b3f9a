"""Sums over a leading axis whose bits do not depend on how much stands behind it.

torch adds along the last axis row by row, so that one more row changes none; but along a leading axis it adds several
columns at once and the columns that are left over one by one, in another order. (step, member) is therefore turned to
(member, step) in memory before it is summed. The same for products with a matrix of one column, which torch hands to
another routine where the batch is a single matrix.
"""

from __future__ import annotations

import torch
from torch import Tensor


def sum_over_first(values: Tensor) -> Tensor:
    """(k, ...) -> (...)."""
    return _last(values).sum(dim=-1)


def mean_over_first(values: Tensor) -> Tensor:
    """(k, ...) -> (...)."""
    return _last(values).mean(dim=-1)


def std_over_first(values: Tensor) -> Tensor:
    """Standard deviation, over k - 1, (k, ...) -> (...)."""
    away = _last(values)
    away = away - away.mean(dim=-1, keepdim=True)  # torch's own takes another way for a single row
    return (away.square().sum(dim=-1) / (len(values) - 1)).sqrt()


def batched_product(x: Tensor, w: Tensor) -> Tensor:
    """x W of each member, (E, m, i) and (E, i, n) -> (E, m, n)."""
    if w.shape[-1] == 1:
        return (x * w.mT).sum(dim=-1, keepdim=True)
    return torch.bmm(x, w)


def _last(values: Tensor) -> Tensor:
    return values.movedim(0, -1).contiguous()
