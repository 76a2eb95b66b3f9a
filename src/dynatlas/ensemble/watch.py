"""What is looked at while an ensemble learns, and where each member first meets a criterion."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from dynatlas.ensemble.parameters import Memory, Params
from dynatlas.ensemble.schedules import AtSteps, Every, Occasion
from dynatlas.names import named

Measured = Mapping[str, Tensor]


@dataclass(frozen=True)
class Watch:
    """Something measured on a schedule of steps, without gradients.

    `measure(parameters, step)` gives named tensors with leading axis member, after `step` updates (0: before the
    first). It should make its random numbers from fresh generators, so that it may run at any step. Where `remember` is
    given, `remember(measured, memory)` gives what is noted instead: `memory`, empty at the first look, holds from one
    look to the next what it writes there, tensors with leading axis member by name (see `RunningMean`). Where
    `reached` is given, it turns what is noted into (member,) booleans: the first step at which a member's is true is
    its crossing. With `stop` the member learns no further from there; with `keep` its parameters there are kept.
    """

    measure: Callable[[Params, int], Measured]
    at: Occasion = field(default_factory=lambda: Every(25))
    remember: Callable[[Measured, Memory], Measured] | None = None
    reached: Callable[[Measured], Tensor] | None = None
    stop: bool = False
    keep: bool = False


@dataclass(frozen=True)
class RunningMean:
    """For `Watch(remember=...)`: notes also the mean of `of` over all looks, as `mean <of>`.

    A look counts `decay` times as much as the one after it, so about the last 1 / (1 - decay) decide. The weights are
    divided by their sum (as the bias correction of Kingma and Ba 2015), so that the first looks are means, too. What
    was NaN once has the mean NaN, which meets no criterion.
    Raises ValueError for a decay outside 0 ... 1, and KeyError naming what is measured where `of` is not.
    """

    of: str
    decay: float = 0.9

    def __post_init__(self) -> None:
        if not 0 <= self.decay <= 1:
            raise ValueError(f"decay = {self.decay}: wanted is 0 (the last look alone) to 1 (all looks alike)")

    def __call__(self, measured: Measured, memory: Memory) -> Measured:
        """See `Watch`."""
        value = named(measured, self.of, "measured value")
        value = value.to(torch.promote_types(value.dtype, torch.float32))
        total, weight = (memory.get(name, torch.zeros_like(value)) for name in ("total", "weight"))
        memory["total"], memory["weight"] = self.decay * total + value, self.decay * weight + 1
        return {**measured, f"mean {self.of}": memory["total"] / memory["weight"]}


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
