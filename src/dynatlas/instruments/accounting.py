"""What a way of learning costs: parameters of built networks, and updates to a criterion.

An update is one trainable number changed once: trainable numbers times optimiser steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dynatlas.instruments.given import whole
from dynatlas.reductions import sum_over_first


def count_built(params: Mapping[str, Tensor], *, masked: Sequence[str] = ("w_in", "w_rec")) -> Tensor:
    """Parameters of each member of a built network, long (member,): the existing entries of every tensor (member, ...).

    In the tensors named in `masked` an entry that is exactly 0 does not exist; everywhere else all entries count
    (biases start at 0 and exist).
    """
    counts = [
        (value != 0).flatten(1).sum(dim=1)
        if name in masked
        else torch.full((len(value),), value[0].numel(), device=value.device)
        for name, value in params.items()
    ]
    return sum_over_first(torch.stack(counts))


@dataclass(frozen=True)
class Updates:
    """Cost of reaching a criterion; where it was not reached, that of the whole budget: a lower bound."""

    steps: Tensor
    """(...), long: optimiser steps."""
    updates: Tensor
    """(...), float64: steps times trainable numbers."""
    reached: Tensor
    """(...), bool."""


def count_updates(curve: Tensor, steps: Sequence[int], *, criterion: float, trainable: int) -> Updates:
    """Updates until a learning curve (..., check) first is at `criterion` or above, checked after `steps` (check,).

    Raises ValueError for steps that do not ascend or do not match the curve, and for a NaN in it.
    """
    at = torch.tensor([whole(step, "steps") for step in steps], device=curve.device)
    if at.shape != curve.shape[-1:] or (at.diff() <= 0).any():
        raise ValueError(f"steps: wanted are {curve.shape[-1]} ascending numbers, one per point of the curve")
    if curve.isnan().any():
        raise ValueError(f"the curve is NaN at {curve.isnan().nonzero()[0].tolist()}")
    passed = curve >= criterion
    reached = passed.any(dim=-1)
    used = torch.where(reached, at[passed.to(torch.long).argmax(dim=-1)], at[-1])
    return Updates(used, used.to(torch.float64) * trainable, reached)
