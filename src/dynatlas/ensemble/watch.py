"""What is looked at while an ensemble learns, and where each member first meets a criterion."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from dynatlas.ensemble.parameters import Params
from dynatlas.ensemble.schedules import AtSteps, Every, Occasion

Measured = Mapping[str, Tensor]


@dataclass(frozen=True)
class Watch:
    """Something measured on a schedule of steps, without gradients.

    `measure(parameters, step)` gives named tensors with leading axis member, after `step` updates (0: before the
    first). It should make its random numbers from fresh generators, so that it may run at any step. Where `reached`
    is given, it turns what was measured into (member,) booleans: the first step at which a member's is true is its
    crossing. With `stop` the member learns no further from there; with `keep` its parameters there are kept.
    """

    measure: Callable[[Params, int], Measured]
    at: Occasion = field(default_factory=lambda: Every(25))
    reached: Callable[[Measured], Tensor] | None = None
    stop: bool = False
    keep: bool = False


def snapshot_at(steps: Iterable[int]) -> Watch:
    """Keeps all parameters after each of these numbers of updates; read them with `Log.at`."""
    return Watch(lambda params, step: params, at=AtSteps(frozenset(steps)))


def first_crossing(values: Tensor, steps: Tensor, criterion: Callable[[Tensor], Tensor]) -> Tensor:
    """The first of `steps` (L,) at which `criterion(values)` holds, for each member; -1 where it never does.

    values (L, member); criterion maps them to booleans of the same shape; NaN meets no comparison, so a diverged
    member does not cross.
    """
    met = criterion(values)
    first = met.to(torch.int64).argmax(dim=0)
    return torch.where(met.any(dim=0), steps[first], -1)
